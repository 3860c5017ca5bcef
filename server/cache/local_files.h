// SPDX-License-Identifier: GPL-3.0-or-later
// LocalFiles: a LocalStore as the files of a binary cache, for readers by HTTP: nar/DIGEST-NARHASH.nar is made from the
// store while it is read; logs and realisations are those kept beside. Nothing can be put here; removing a NAR's key
// forgets what was staged of its path. Blocking, any thread, several at once.
#pragma once

#include "server/cache/local_store.h"
#include "server/cache/object_store.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::cache {

class LocalFiles final : public ObjectStore {
public:
    // Both outlive it.
    LocalFiles(LocalStore& store, ObjectStore& beside) : m_store(store), m_beside(beside) {}

    [[nodiscard]] Result<std::optional<ObjectInfo>> head(std::string_view key) override;
    [[nodiscard]] Result<void> get(std::string_view key, ByteRange range, const ByteSink& sink) override;
    [[nodiscard]] Result<std::unique_ptr<ObjectWriter>> create(std::string_view key, PutOptions options) override;
    [[nodiscard]] Result<void> remove(std::string_view key) override;
    [[nodiscard]] Result<void> list(std::string_view prefix,
                                    const std::function<bool(std::string_view)>& visit) override;
    [[nodiscard]] std::string describe() const override { return m_store.describe(); }

private:
    [[nodiscard]] Result<std::optional<nix::NarInfo>> find(std::string_view key);

    LocalStore& m_store;
    ObjectStore& m_beside;
};

// "nar/DIGEST-NARHASH.nar": the digest, as only that names a path in a store.
[[nodiscard]] std::string localNarKey(const nix::NarInfo& info);

} // namespace penstock::cache
