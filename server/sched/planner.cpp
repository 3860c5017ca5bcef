// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/planner.h"

#include "shared/base/check.h"

#include <algorithm>

namespace penstock::sched {

const work::Placement& Planner::placementOf(const Class& queue) const
{
    return m_placements.at(queue.key->placement);
}

bool Planner::allows(const Class& queue, MachineId machine, bool evenAvoided) const
{
    const std::vector<MachineId>& avoid = queue.key->avoid;
    if (!evenAvoided && std::binary_search(avoid.begin(), avoid.end(), machine))
        return false;
    return allowsName(placementOf(queue), m_machines.at(machine).name);
}

// The best available machine that the class allows. Skips at most the avoided ones, of which there are few; a class
// that names its machines looks only at those.
std::optional<MachineRank> Planner::choose(ClassIndex index, bool evenAvoided, VisitBudget& budget) const
{
    const Class& queue = m_classes[index];
    std::optional<MachineRank> best;
    const auto consider = [&best](const MachineRank& rank) {
        if (!best || rank < *best)
            best = rank;
    };
    const std::vector<std::string>& names = placementOf(queue).machines;
    for (const std::string& name : names) {
        const auto found = m_names.find(name);
        if (found == m_names.end())
            continue;
        for (const MachineId id : found->second) {
            static_cast<void>(budget.take());
            const Machine& machine = m_machines.at(id);
            if (machine.rank && m_groups[machine.group].classes.contains(index) && allows(queue, id, evenAvoided))
                consider(*machine.rank);
        }
    }
    if (!names.empty())
        return best;
    for (const GroupIndex group : queue.groups) {
        for (const MachineRank& rank : m_groups[group].available) {
            static_cast<void>(budget.take());
            if (best && *best < rank)
                break;
            if (allows(queue, rank.machine, evenAvoided)) {
                consider(rank);
                break;
            }
        }
    }
    return best;
}

bool Planner::hasOpenBeside(const Class& queue) const
{
    const std::vector<std::string>& names = placementOf(queue).machines;
    for (const GroupIndex index : queue.groups) {
        if (names.empty() && m_groups[index].open.size() > queue.key->avoid.size())
            return true;
        for (const MachineId id : m_groups[index].open)
            if (allows(queue, id, false))
                return true;
    }
    return false;
}

Plan Planner::plan(VisitBudget& budget)
{
    Plan plan;
    while (!m_active.empty()) {
        if (!budget.take()) {
            plan.more = true;
            return plan;
        }
        const ClassIndex index = m_active.begin()->waiting.queue;
        const Class& queue = m_classes[index];
        std::optional<MachineRank> chosen = choose(index, false, budget);
        // A machine that failed the step is better than none, or than one that is too loaded; a busy one is better.
        if (!chosen && !queue.key->avoid.empty() && !hasOpenBeside(queue))
            chosen = choose(index, true, budget);
        if (chosen)
            start(index, chosen->machine, plan);
        else
            stall(index);
    }
    return plan;
}

void Planner::start(ClassIndex index, MachineId id, Plan& plan)
{
    plan.starts.push_back({m_classes[index].steps.begin()->step, id});
    Machine& machine = m_machines.at(id);
    withdraw(id, machine);
    ++machine.status.used;
    enter(id, machine);
    Class& queue = m_classes[index];
    queue.steps.erase(queue.steps.begin());
    --m_queued;
    refreshClass(index);
    if (queue.steps.empty())
        dropClass(index);
}

ClassIndex Planner::enqueue(PlacementIndex placement, const QueueOrder& order, std::span<const MachineId> avoid)
{
    ClassKey key{placement, {avoid.begin(), avoid.end()}};
    std::sort(key.avoid.begin(), key.avoid.end());
    key.avoid.erase(std::unique(key.avoid.begin(), key.avoid.end()), key.avoid.end());
    const ClassIndex index = classFor(std::move(key));
    const bool isNew = m_classes[index].steps.insert(order).second;
    PENSTOCK_CHECK(isNew);
    ++m_queued;
    refreshClass(index);
    return index;
}

void Planner::dequeue(ClassIndex index, const QueueOrder& order)
{
    PENSTOCK_CHECK(index < m_classes.size() && m_classes[index].key != nullptr);
    const std::size_t gone = m_classes[index].steps.erase(order);
    PENSTOCK_CHECK(gone == 1);
    --m_queued;
    refreshClass(index);
    if (m_classes[index].steps.empty())
        dropClass(index);
}

std::uint64_t Planner::ahead(ClassIndex index, const QueueOrder& order, std::uint64_t limit) const
{
    std::uint64_t count = 0;
    for (const QueueOrder& other : m_classes[index].steps) {
        if (count >= limit || !(other < order))
            break;
        ++count;
    }
    return count;
}

std::vector<StepId> Planner::oldest(PlacementIndex placement) const
{
    constexpr std::size_t kMaxLooks = 64;
    std::vector<StepId> found;
    for (auto at = m_classIndex.lower_bound(ClassKey{placement, {}});
         at != m_classIndex.end() && at->first.placement == placement && found.size() < kMaxLooks; ++at) {
        const std::set<QueueOrder>& steps = m_classes[at->second].steps;
        for (auto step = steps.begin(); step != steps.end() && found.size() < kMaxLooks;) {
            found.push_back(step->step);
            if (step->priority == INT32_MIN)
                break;
            step = steps.lower_bound(QueueOrder{step->priority - 1, WallTime{Duration::min()}, StepId(0)});
        }
    }
    return found;
}

Planner::Reach Planner::reach(const work::Placement& placement) const
{
    Reach reach;
    std::uint64_t freeSlots = 0;
    for (const Group& group : m_groups) {
        if (group.capability == nullptr || mismatch(placement, *group.capability))
            continue;
        reach.able += group.able;
        freeSlots += group.freeSlots;
    }
    reach.freeSlots = static_cast<std::uint32_t>(std::min<std::uint64_t>(freeSlots, UINT32_MAX));
    return reach;
}

bool Planner::hasOpenBeside(PlacementIndex index, std::span<const MachineId> avoid) const
{
    const work::Placement& placement = m_placements.at(index);
    for (const Group& group : m_groups) {
        if (group.capability == nullptr || group.open.empty() || mismatch(placement, *group.capability))
            continue;
        for (const MachineId id : group.open)
            if (std::find(avoid.begin(), avoid.end(), id) == avoid.end() &&
                allowsName(placement, m_machines.at(id).name))
                return true;
    }
    return false;
}

} // namespace penstock::sched
