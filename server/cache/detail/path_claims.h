// SPDX-License-Identifier: GPL-3.0-or-later
// PathClaims: one publication of a path at a time; who comes second waits and then finds it there. Any
// thread.
#pragma once

#include "shared/base/mutex.h"
#include "shared/nix/store_path.h"

namespace penstock::cache::detail {

class PathClaims {
public:
    // Holds all of the paths, from when all were free until it is destroyed.
    class Claim {
    public:
        Claim(PathClaims& owner, const nix::StorePathSet& paths);
        ~Claim();
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;

    private:
        PathClaims& m_owner;
        const nix::StorePathSet m_paths;
    };

private:
    [[nodiscard]] bool areFree(const nix::StorePathSet& paths) const PENSTOCK_REQUIRES(m_mutex);

    Mutex m_mutex;
    Condition m_released;
    nix::StorePathSet m_claimed PENSTOCK_GUARDED_BY(m_mutex); // bounded by those who publish
};

} // namespace penstock::cache::detail
