// SPDX-License-Identifier: GPL-3.0-or-later
// ReferenceScan: looks in a stream for paths of the store (STOREDIR/DIGEST-) that are not among the stated
// references. Nix itself looks for the bare digests of a build's inputs; a cache does not know those, so it
// takes what is written as a path. Finding one is no proof of a mistake: Nix lets a builder discard
// references, and a text may name a path that was never an input. One thread.
#pragma once

#include "shared/nix/store_path.h"

#include <cstddef>
#include <set>
#include <string>
#include <string_view>

namespace penstock::cache::detail {

inline constexpr std::size_t kMaxUnstated = 16; // digests that are kept

class ReferenceScan {
public:
    ReferenceScan(const nix::StoreDir& dir, const nix::StorePathSet& stated);
    void push(std::string_view bytes);
    [[nodiscard]] const std::set<std::string>& unstated() const { return m_unstated; }

private:
    void scan(std::string_view bytes);

    const std::string m_prefix; // STOREDIR/
    std::set<std::string, std::less<>> m_stated;
    std::set<std::string> m_unstated;
    std::string m_tail; // the end of what came so far, too short to hold a whole path
};

} // namespace penstock::cache::detail
