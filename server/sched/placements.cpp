// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/placements.h"

#include "shared/base/check.h"

namespace penstock::sched {

PlacementIndex PlacementTable::acquire(const work::Placement& placement)
{
    const auto [found, isNew] = m_index.try_emplace(placement, PlacementIndex{0});
    if (isNew) {
        if (m_free.empty()) {
            m_free.push_back(static_cast<PlacementIndex>(m_entries.size()));
            m_entries.emplace_back();
        }
        found->second = m_free.back();
        m_free.pop_back();
        m_entries[found->second] = Entry{.placement = &found->first, .users = 0, .counts = {}};
    }
    ++m_entries[found->second].users;
    return found->second;
}

bool PlacementTable::release(PlacementIndex index)
{
    Entry& entry = m_entries[index];
    PENSTOCK_CHECK(entry.users > 0);
    if (--entry.users > 0)
        return false;
    m_index.erase(m_index.find(*entry.placement));
    entry = Entry{};
    m_free.push_back(index);
    return true;
}

const work::Placement& PlacementTable::at(PlacementIndex index) const
{
    PENSTOCK_CHECK(index < m_entries.size() && m_entries[index].placement != nullptr);
    return *m_entries[index].placement;
}

void PlacementTable::count(PlacementIndex index, work::StepState state, std::int64_t change)
{
    std::uint64_t& value = m_entries[index].counts[static_cast<std::size_t>(state)];
    value = static_cast<std::uint64_t>(static_cast<std::int64_t>(value) + change);
}

} // namespace penstock::sched
