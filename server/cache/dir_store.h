// SPDX-License-Identifier: GPL-3.0-or-later
// DirStore: objects as files below a directory (`file://DIR`), the layout that Nix itself reads and writes.
// An object is written to a file in DIR/.penstock-tmp, made durable and renamed, so a reader sees it whole or
// not at all; what a crash leaves there is removed at the next opening (a lock tells it from the file of a
// server that still runs). Content types and encodings are not kept: create() refuses an encoding. Any
// thread, several at once.
#pragma once

#include "server/cache/detail/file_io.h"
#include "server/cache/detail/group_sync.h"
#include "server/cache/object_store.h"
#include "shared/base/clock.h"
#include "shared/base/mutex.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace penstock::cache {

enum class DirAccess : std::uint8_t { ReadWrite, ReadOnly };

class DirStore final : public ObjectStore {
public:
    // path: absolute. Made when missing. ReadOnly: neither made nor written.
    [[nodiscard]] static Result<std::unique_ptr<DirStore>> open(std::string path,
                                                                DirAccess access = DirAccess::ReadWrite);

    [[nodiscard]] Result<std::optional<ObjectInfo>> head(std::string_view key) override;
    [[nodiscard]] Result<void> get(std::string_view key, ByteRange range, const ByteSink& sink) override;
    [[nodiscard]] Result<std::unique_ptr<ObjectWriter>> create(std::string_view key,
                                                               PutOptions options) override;
    [[nodiscard]] Result<void> putMany(std::vector<SmallObject> objects) override;
    // One sync for all rounds: see putBatch.
    [[nodiscard]] Result<void> putRounds(std::vector<std::vector<SmallObject>> rounds) override;
    [[nodiscard]] Result<void> sync(const std::vector<std::string>& keys) override;
    [[nodiscard]] Result<void> remove(std::string_view key) override;
    [[nodiscard]] Result<void> list(std::string_view prefix,
                                    const std::function<bool(std::string_view)>& visit) override;
    [[nodiscard]] std::string describe() const override { return "file://" + m_path; }
    // When its content came; none when it is not there.
    [[nodiscard]] Result<std::optional<WallTime>> modifiedAt(std::string_view key);

private:
    friend class DirWriter;
    struct TempFile {
        std::string name; // below m_temporary
        detail::Descriptor file;
    };

    DirStore(std::string path, DirAccess access, detail::Descriptor root);
    [[nodiscard]] Result<void> prepare();
    [[nodiscard]] Result<void> removeLeftovers();
    [[nodiscard]] Result<TempFile> makeTemporary(const std::string& path);
    // Their contents are durable before the first is shown. They are shown one after the other in one thread: file
    // systems with a journal keep that order over a power cut, so no sync is needed between them.
    [[nodiscard]] Result<void> putBatch(std::span<const SmallObject> objects);
    [[nodiscard]] Result<void> syncAll(); // the file system
    // Gives the temporary file its name; the directory is not synced yet.
    [[nodiscard]] Result<void> show(const TempFile& temporary, const std::string& key, bool ifAbsent);
    [[nodiscard]] Result<void> linkNew(const TempFile& temporary, const std::string& key);
    [[nodiscard]] Result<void> makeParents(const std::string& key);
    void discard(const TempFile& temporary);
    [[nodiscard]] Result<void> syncDirectory(const std::string& directory); // below the root; "" is the root
    [[nodiscard]] std::string pathOf(std::string_view key) const;

    const std::string m_path;
    const DirAccess m_access;
    const detail::Descriptor m_root; // held, so that a path that is replaced below us is no empty store
    detail::Descriptor m_temporary;
    detail::GroupSync m_groupSync;
    Mutex m_mutex;
    std::uint64_t m_lastTemporary PENSTOCK_GUARDED_BY(m_mutex) = 0;
};

} // namespace penstock::cache
