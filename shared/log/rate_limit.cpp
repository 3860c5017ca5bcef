// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/log/rate_limit.h"

#include <utility>

namespace penstock::log {

RateLimit::Verdict RateLimit::admit(std::string_view event, Instant now)
{
    auto found = m_events.find(event);
    if (found == m_events.end()) {
        const std::string_view name = m_events.size() < kMaxEvents ? event : kOtherEvents;
        found = m_events.try_emplace(std::string(name), Allowance{.windowStart = now}).first;
    }
    Allowance& allowance = found->second;
    if (now - allowance.windowStart >= m_window) {
        allowance.windowStart = now;
        allowance.written = 0;
    }
    if (allowance.written >= m_burst) {
        ++allowance.dropped;
        return {.write = false};
    }
    ++allowance.written;
    return {.write = true, .suppressed = std::exchange(allowance.dropped, 0)};
}

std::vector<RateLimit::Dropped> RateLimit::takeUntold()
{
    std::vector<Dropped> untold;
    for (auto& [event, allowance] : m_events)
        if (allowance.dropped > 0)
            untold.push_back({event, std::exchange(allowance.dropped, 0)});
    return untold;
}

} // namespace penstock::log
