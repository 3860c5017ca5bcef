// SPDX-License-Identifier: GPL-3.0-or-later
// The total orders that decide who goes first. Integers only, every tie broken by id, so that equal farms give equal
// plans. Pure, callable from any thread.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/ids.h"

#include <compare>
#include <cstdint>

namespace penstock::sched {

// Of waiting steps: smaller goes first. A larger priority first, then the older, then the smaller id.
struct QueueOrder {
    std::int32_t priority = 0;
    WallTime age; // when the step was asked for
    StepId step{0};

    friend constexpr std::strong_ordering operator<=>(const QueueOrder& a, const QueueOrder& b)
    {
        if (const auto order = b.priority <=> a.priority; order != 0)
            return order;
        if (const auto order = a.age <=> b.age; order != 0)
            return order;
        return a.step <=> b.step;
    }
    friend constexpr bool operator==(const QueueOrder&, const QueueOrder&) = default;
};

// Of machines with a free slot: smaller is chosen first. The largest free share of its slots, then the least load.
struct MachineRank {
    std::uint32_t usedShare = 0; // used slots, in 1/65536 of all its slots
    std::uint32_t load = 0;      // load1 per core, in thousandths
    MachineId machine{0};
    friend constexpr auto operator<=>(const MachineRank&, const MachineRank&) = default;
};

[[nodiscard]] constexpr std::uint32_t usedShare(std::uint32_t used, std::uint32_t slots)
{
    return slots == 0 ? UINT32_MAX : static_cast<std::uint32_t>((std::uint64_t{used} << 16U) / slots);
}

} // namespace penstock::sched
