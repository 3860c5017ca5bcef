// SPDX-License-Identifier: GPL-3.0-or-later
// MemoryNixStore: a whole StoreAccess in memory that refuses what Nix refuses: a path whose references are
// not valid, and bytes that are not what was announced. Any thread.
#pragma once

#include "shared/base/mutex.h"
#include "shared/nixstore/store_access.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace penstock::test {

class MemoryNixStore final : public nixstore::StoreAccess {
public:
    [[nodiscard]] const nix::StoreDir& storeDir() const override { return m_dir; }
    [[nodiscard]] Result<nix::StorePathSet> validPaths(const nix::StorePathSet& paths,
                                                       bool substitute) override;
    [[nodiscard]] Result<std::optional<nix::NarInfo>> info(const nix::StorePath& path) override;
    [[nodiscard]] Result<void> readNar(const nix::NarInfo& info, const ByteSink& sink) override;
    [[nodiscard]] Result<void> addNar(const nix::NarInfo& info, const ByteSource& nar) override;
    [[nodiscard]] Result<void> addRoot(const nix::StorePath& path, const std::string& link) override;

    [[nodiscard]] Result<std::optional<nix::StorePath>> pathOfDigest(std::string_view digest);
    [[nodiscard]] std::vector<nix::StorePath> added(); // in their order
    [[nodiscard]] std::map<std::string, nix::StorePath> roots();
    // Asked before each addition.
    std::function<Result<void>(const nix::NarInfo&)> onAdd;

private:
    struct Entry {
        nix::NarInfo info;
        std::string nar;
    };
    const nix::StoreDir m_dir = nix::StoreDir::standard();
    Mutex m_mutex;
    std::map<nix::StorePath, Entry> m_entries PENSTOCK_GUARDED_BY(m_mutex);
    std::vector<nix::StorePath> m_added PENSTOCK_GUARDED_BY(m_mutex);
    std::map<std::string, nix::StorePath> m_roots PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace penstock::test
