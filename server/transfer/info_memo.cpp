// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/transfer/info_memo.h"

#include <utility>

namespace penstock::transfer {

std::shared_ptr<const nix::NarInfo> InfoMemo::find(const nix::StorePath& path)
{
    const auto now = m_clock.now().mono;
    const MutexLock lock(m_mutex);
    const auto found = m_infos.find(path);
    return found == m_infos.end() || found->second.until <= now ? nullptr : found->second.info;
}

void InfoMemo::keep(std::shared_ptr<const nix::NarInfo> info)
{
    const auto until = m_clock.now().mono + m_age;
    const MutexLock lock(m_mutex);
    if (m_infos.size() >= m_max)
        m_infos.clear();
    auto path = info->path;
    m_infos.insert_or_assign(std::move(path), Kept{std::move(info), until});
}

void InfoMemo::forget(const nix::StorePath& path)
{
    const MutexLock lock(m_mutex);
    m_infos.erase(path);
}

} // namespace penstock::transfer
