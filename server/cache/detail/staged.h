// SPDX-License-Identifier: GPL-3.0-or-later
// Staged: what this process has verified and not yet published, so that publish() signs nothing on somebody's
// word. Bounded: what was dropped is verified again from the stored file when it is published. Any thread.
#pragma once

#include "server/cache/detail/nar_check.h"
#include "shared/base/mutex.h"
#include "shared/nix/narinfo.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace penstock::cache::detail {

class Staged {
public:
    void put(const nix::NarInfo& info, NarFacts facts);
    // The facts, when exactly this was verified.
    [[nodiscard]] std::optional<NarFacts> find(const nix::NarInfo& info);
    void forget(const nix::StorePath& path);

private:
    struct Entry {
        nix::NarInfo info;
        NarFacts facts;
        std::size_t bytes;
        std::uint64_t number;
    };
    void drop(const nix::StorePath& path) PENSTOCK_REQUIRES(m_mutex);

    Mutex m_mutex;
    std::map<nix::StorePath, Entry> m_entries PENSTOCK_GUARDED_BY(m_mutex);
    std::map<std::uint64_t, nix::StorePath> m_order PENSTOCK_GUARDED_BY(m_mutex); // oldest first
    std::uint64_t m_lastNumber PENSTOCK_GUARDED_BY(m_mutex) = 0;
    std::size_t m_bytes PENSTOCK_GUARDED_BY(m_mutex) = 0;
};

} // namespace penstock::cache::detail
