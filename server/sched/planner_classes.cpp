// SPDX-License-Identifier: GPL-3.0-or-later
// The planner's queues, and how groups of machines know about them.
#include "server/sched/planner.h"

#include "shared/base/check.h"

namespace penstock::sched {

ClassIndex Planner::classFor(ClassKey key)
{
    const auto [found, isNew] = m_classIndex.try_emplace(std::move(key), ClassIndex{0});
    if (!isNew)
        return found->second;
    if (m_freeClasses.empty()) {
        m_freeClasses.push_back(static_cast<ClassIndex>(m_classes.size()));
        m_classes.emplace_back();
    }
    const ClassIndex index = m_freeClasses.back();
    m_freeClasses.pop_back();
    found->second = index;
    Class& queue = m_classes[index];
    queue.key = &found->first;
    const work::Placement& placement = placementOf(queue);
    for (GroupIndex group = 0; group < m_groups.size(); ++group) {
        if (m_groups[group].capability == nullptr || mismatch(placement, *m_groups[group].capability))
            continue;
        queue.groups.push_back(group);
        m_groups[group].classes.insert(index);
    }
    return index;
}

void Planner::dropClass(ClassIndex index)
{
    Class& queue = m_classes[index];
    PENSTOCK_CHECK(queue.steps.empty() && !queue.shown);
    for (const GroupIndex group : queue.groups) {
        m_groups[group].classes.erase(index);
        m_groups[group].stalled.erase(index);
    }
    m_classIndex.erase(m_classIndex.find(*queue.key));
    queue = Class{};
    m_freeClasses.push_back(index);
}

// Makes its groups know the class by its present head, or not at all when it is empty or stalled.
void Planner::refreshClass(ClassIndex index)
{
    Class& queue = m_classes[index];
    std::optional<Waiting> wanted;
    if (!queue.steps.empty() && !queue.stalled)
        wanted = Waiting{*queue.steps.begin(), index};
    if (wanted == queue.shown)
        return;
    for (const GroupIndex group : queue.groups) {
        if (queue.shown)
            m_groups[group].waiting.erase(*queue.shown);
        if (wanted)
            m_groups[group].waiting.insert(*wanted);
        refreshActive(group);
    }
    queue.shown = wanted;
}

// No available machine is allowed for it: out of the way until one that is becomes available.
void Planner::stall(ClassIndex index)
{
    m_classes[index].stalled = true;
    for (const GroupIndex group : m_classes[index].groups)
        m_groups[group].stalled.insert(index);
    refreshClass(index);
}

void Planner::wake(ClassIndex index)
{
    m_classes[index].stalled = false;
    for (const GroupIndex group : m_classes[index].groups)
        m_groups[group].stalled.erase(index);
    refreshClass(index);
}

void Planner::refreshActive(GroupIndex index)
{
    Group& group = m_groups[index];
    std::optional<Active> wanted;
    if (!group.available.empty() && !group.waiting.empty())
        wanted = Active{*group.waiting.begin(), index};
    if (wanted == group.active)
        return;
    if (group.active)
        m_active.erase(*group.active);
    if (wanted)
        m_active.insert(*wanted);
    group.active = wanted;
}

} // namespace penstock::sched
