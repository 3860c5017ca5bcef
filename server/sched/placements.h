// SPDX-License-Identifier: GPL-3.0-or-later
// PlacementTable: each distinct placement once, counted by the steps that have it, with how many of them are in which
// state. A hundred thousand equal commands share one entry. One thread.
#pragma once

#include "server/work/spec.h"
#include "server/work/state.h"

#include <array>
#include <cstdint>
#include <map>
#include <vector>

namespace penstock::sched {

using PlacementIndex = std::uint32_t;

class PlacementTable {
public:
    using Counts = std::array<std::uint64_t, 5>; // by StepState

    // Counts one more step with this placement.
    [[nodiscard]] PlacementIndex acquire(const work::Placement& placement);
    // One step less; true when it was the last and the index may be given out anew.
    bool release(PlacementIndex index);
    [[nodiscard]] const work::Placement& at(PlacementIndex index) const;

    void count(PlacementIndex index, work::StepState state, std::int64_t change);
    // In the order of the placements. visit(index, placement, counts)
    template <class Visit> void forEach(Visit visit) const
    {
        for (const auto& [placement, index] : m_index)
            visit(index, placement, m_entries[index].counts);
    }

private:
    struct Entry {
        const work::Placement* placement = nullptr; // the key in m_index; null when free
        std::uint64_t users = 0;
        Counts counts{};
    };
    std::map<work::Placement, PlacementIndex> m_index;
    std::vector<Entry> m_entries;
    std::vector<PlacementIndex> m_free;
};

} // namespace penstock::sched
