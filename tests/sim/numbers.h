// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers: what a farm is judged by over time: how long slots stand idle while a step that fits waits, and
// how far what share groups were given is from what they are entitled to. By the rows. One thread.
#pragma once

#include "tests/sim/site.h"

#include <map>
#include <optional>
#include <string>

namespace penstock::sim {

// A decision, its batch on the disk and the next one behind it. No step may wait longer for a free slot.
inline constexpr Duration kIdleBound = std::chrono::seconds(3);
// With faults about, what the farm has forgotten takes as long: two reports, a rejection, a look at
// reservations.
inline constexpr Duration kForgottenBound = std::chrono::seconds(90);

class Numbers {
public:
    explicit Numbers(Site& site) : m_site(site), m_begin(site.world.now().mono) {}

    void observe(); // after every event
    void checkEnd();

    [[nodiscard]] Duration longestIdle() const { return m_longestIdle; }
    [[nodiscard]] double worstShareError() const { return m_worstShareError; } // in parts of the farm
    [[nodiscard]] Duration sharesMeasured() const { return m_sharesMeasured; }

private:
    void watchIdle(Instant now);
    void watchForgotten(Instant now);
    void measureShares(Instant now);
    [[nodiscard]] bool isBehind() const;
    [[nodiscard]] bool isThere(const StartRules::Machine& machine) const;

    Site& m_site;
    Instant m_begin;
    std::uint64_t m_revision = 0;
    std::optional<Instant> m_idleSince;
    Duration m_longestIdle{0};
    Instant m_lookedAt{};
    std::map<MachineId, Instant> m_forgottenSince;
    Instant m_measuredAt{};
    Instant m_sampledAt{};
    std::map<std::string, Duration> m_used; // slots x time
    std::map<std::string, std::uint64_t> m_running;
    bool m_isBacklogged = true;
    Duration m_sharesMeasured{0};
    double m_worstShareError = 0;
};

} // namespace penstock::sim
