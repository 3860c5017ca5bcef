// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/path_claims.h"

#include <algorithm>

namespace penstock::cache::detail {

bool PathClaims::areFree(const nix::StorePathSet& paths) const
{
    return std::none_of(paths.begin(), paths.end(),
                        [this](const nix::StorePath& path) { return m_claimed.contains(path); });
}

PathClaims::Claim::Claim(PathClaims& owner, const nix::StorePathSet& paths) : m_owner(owner), m_paths(paths)
{
    const MutexLock lock(m_owner.m_mutex);
    while (!m_owner.areFree(m_paths))
        m_owner.m_released.wait(m_owner.m_mutex);
    m_owner.m_claimed.insert(m_paths.begin(), m_paths.end());
}

PathClaims::Claim::~Claim()
{
    {
        const MutexLock lock(m_owner.m_mutex);
        for (const nix::StorePath& path : m_paths)
            m_owner.m_claimed.erase(path);
    }
    m_owner.m_released.notifyAll();
}

} // namespace penstock::cache::detail
