// SPDX-License-Identifier: GPL-3.0-or-later
// Deadlines: due times run from `now`. An entry is a reminder to look, not a promise: whoever takes it checks whether
// it still applies, so nothing has to be found and removed when plans change. One thread.
#pragma once

#include "shared/base/clock.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <set>

namespace penstock::core::detail {

enum class DeadlineKind : std::uint8_t { StepRetry, StepShunEnds, MachineGrace, QuarantineOver, AttemptStop, Tick };

struct Deadline {
    Instant at;
    DeadlineKind kind = DeadlineKind::StepRetry;
    std::uint64_t id = 0; // of the step, machine or attempt; 0 for Tick
    friend auto operator<=>(const Deadline&, const Deadline&) = default;
};

class Deadlines {
public:
    void add(const Deadline& deadline) { m_entries.insert(deadline); }
    [[nodiscard]] std::optional<Instant> earliest() const
    {
        return m_entries.empty() ? std::nullopt : std::optional(m_entries.begin()->at);
    }
    // The earliest one that is due, taken out.
    [[nodiscard]] std::optional<Deadline> takeDue(Instant now)
    {
        if (m_entries.empty() || m_entries.begin()->at > now)
            return std::nullopt;
        return m_entries.extract(m_entries.begin()).value();
    }

private:
    std::set<Deadline> m_entries;
};

} // namespace penstock::core::detail
