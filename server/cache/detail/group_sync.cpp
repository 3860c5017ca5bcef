// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/group_sync.h"

#include <utility>

namespace penstock::cache::detail {

Result<void> GroupSync::sync(const std::string& directory)
{
    m_mutex.lock();
    Round& round = m_rounds[directory]; // stays while somebody waits
    const std::uint64_t mine = ++round.asked;
    ++round.waiting;
    while (round.covered < mine) {
        if (round.running) {
            m_changed.wait(m_mutex);
            continue;
        }
        round.running = true;
        const std::uint64_t held = round.asked;
        m_mutex.unlock();
        auto done = m_syncNow(directory);
        m_mutex.lock();
        round.running = false;
        round.covered = held;
        if (!done) {
            round.failedUpTo = held;
            round.error = std::move(done).error();
        }
        m_changed.notifyAll();
    }
    // A later failure may be told to somebody whose own sync went well: harmless, he tries again.
    Result<void> result = mine <= round.failedUpTo ? Result<void>(fail(round.error)) : Result<void>();
    if (--round.waiting == 0)
        m_rounds.erase(directory);
    m_mutex.unlock();
    return result;
}

} // namespace penstock::cache::detail
