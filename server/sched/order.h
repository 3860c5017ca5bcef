// SPDX-License-Identifier: GPL-3.0-or-later
// The total orders that decide who goes first. Integers only, every tie broken by id, so that equal farms give equal
// plans. Pure, callable from any thread.
#pragma once

#include "server/sched/policy.h"
#include "shared/base/clock.h"
#include "shared/base/ids.h"

#include <algorithm>
#include <compare>
#include <cstdint>
#include <optional>

namespace penstock::sched {

// What a step's place within its share group comes from.
struct Urgency {
    bool promoted = false;        // has waited too long: before all that has not
    std::uint32_t length = 0;     // of the chain of work that waits for it, in the unit of work::Dag
    std::uint32_t dependents = 0; // that wait for it directly
    std::int32_t priority = 0;    // larger first
};

// Of waiting steps of one share group: smaller goes first.
struct StepOrder {
    std::uint64_t urgency = 0; // see urgencyOf
    std::uint64_t age = 0;     // smallest id of the jobs that need it
    StepId step{0};
    friend constexpr auto operator<=>(const StepOrder&, const StepOrder&) = default;
};

// One number of an urgency, the more urgent the smaller: promoted, then what the sort looks at first, then priority.
[[nodiscard]] constexpr std::uint64_t urgencyOf(StepSort sort, const Urgency& urgency)
{
    constexpr std::uint32_t kMost = 0x7fff'ffffU;
    std::uint64_t first = 0;
    switch (sort) {
    case StepSort::Legacy: break;
    case StepSort::WithRdeps: first = std::min(urgency.dependents, kMost); break;
    case StepSort::WithCriticalPath: first = std::min(urgency.length, kMost); break;
    }
    const std::uint32_t priority = static_cast<std::uint32_t>(urgency.priority) ^ 0x8000'0000U;
    const std::uint64_t large = (urgency.promoted ? std::uint64_t{1} << 63U : 0U) | first << 32U | priority;
    return ~large;
}

// Of the whole farm's waiting steps: smaller goes first. Bumped ones, the newest bump first; then whose share groups
// have used the least for their shares; then the order within the group.
struct HeadOrder {
    std::uint64_t bump = UINT64_MAX; // see bumpOrder
    std::uint64_t use = 0;           // of its share groups the smallest
    StepOrder step;
    friend constexpr auto operator<=>(const HeadOrder&, const HeadOrder&) = default;
};

[[nodiscard]] constexpr std::uint64_t bumpOrder(std::optional<WallTime> bumped)
{
    return bumped ? ~static_cast<std::uint64_t>(std::max<std::int64_t>(bumped->micros(), 1)) : UINT64_MAX;
}

// Of machines with room: smaller is chosen first.
struct MachineRank {
    std::uint64_t first = 0;  // by the machine sort
    std::uint32_t second = 0; // then the emptier
    MachineId machine{0};
    friend constexpr auto operator<=>(const MachineRank&, const MachineRank&) = default;
};

// Part of a whole in 1/65536; of nothing everything is taken.
[[nodiscard]] constexpr std::uint32_t partOf(std::uint64_t used, std::uint64_t all)
{
    if (used >= all)
        return 65'536;
    // Amounts of memory are large: the quotient is exact enough without the last bits.
    return all >> 40U == 0 ? static_cast<std::uint32_t>((used << 16U) / all)
                           : static_cast<std::uint32_t>((used >> 24U << 16U) / (all >> 24U));
}

} // namespace penstock::sched
