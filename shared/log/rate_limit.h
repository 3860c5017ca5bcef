// SPDX-License-Identifier: GPL-3.0-or-later
// Decides whether one more record of an event may be written: at most `burst` of one event name per `window`.
// Pure and single-threaded (its owner holds the lock). Memory is bounded: past kMaxEvents names, all new
// names share one allowance.
#pragma once

#include "shared/base/clock.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::log {

class RateLimit {
public:
    static constexpr std::size_t kMaxEvents = 512;
    static constexpr std::string_view kOtherEvents = "(other events)";

    struct Verdict {
        bool write = true;
        std::uint64_t suppressed = 0; // dropped since the last written record of this event
    };
    struct Dropped {
        std::string event;
        std::uint64_t count;
    };

    RateLimit(std::uint32_t burst, Duration window) : m_burst(burst), m_window(window) {}

    [[nodiscard]] Verdict admit(std::string_view event, Instant now);
    // What was dropped and never told, by event name; counts start again at zero.
    [[nodiscard]] std::vector<Dropped> takeUntold();

private:
    struct Allowance {
        Instant windowStart;
        std::uint32_t written = 0;
        std::uint64_t dropped = 0;
    };

    std::uint32_t m_burst;
    Duration m_window;
    std::map<std::string, Allowance, std::less<>> m_events;
};

} // namespace penstock::log
