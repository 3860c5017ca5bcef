// SPDX-License-Identifier: GPL-3.0-or-later
// The planner's machines and the groups they form.
#include "server/sched/planner.h"

#include "shared/base/check.h"

#include <algorithm>

namespace penstock::sched {

void Planner::setFacts(MachineId id, const protocol::MachineFacts& facts)
{
    const Capability capability = capabilityOf(facts);
    Machine* machine = m_machines.find(id);
    if (machine == nullptr) {
        machine = &m_machines.insert(id, Machine{});
        nameChanged(id, *machine, facts.name);
        join(id, *machine, groupFor(capability));
        return;
    }
    const bool renamed = machine->name != facts.name;
    if (!renamed && *m_groups[machine->group].capability == capability)
        return;
    leave(id, *machine);
    if (renamed)
        nameChanged(id, *machine, facts.name);
    join(id, *machine, groupFor(capability));
}

void Planner::setStatus(MachineId id, const MachineStatus& status)
{
    Machine& machine = m_machines.at(id);
    if (machine.status == status)
        return;
    const bool moved = machine.status.able != status.able || machine.status.open != status.open;
    withdraw(id, machine);
    machine.status = status;
    enter(id, machine);
    if (moved)
        wakeStalled(machine.group);
}

void Planner::removeMachine(MachineId id)
{
    Machine& machine = m_machines.at(id);
    leave(id, machine);
    nameChanged(id, machine, {});
    m_machines.erase(id);
}

void Planner::nameChanged(MachineId id, Machine& machine, const std::string& name)
{
    if (const auto found = m_names.find(machine.name); found != m_names.end()) {
        found->second.erase(id);
        if (found->second.empty())
            m_names.erase(found);
    }
    machine.name = name;
    if (!name.empty())
        m_names[name].insert(id);
}

Planner::GroupIndex Planner::groupFor(const Capability& capability)
{
    const auto [found, isNew] = m_groupIndex.try_emplace(capability, GroupIndex{0});
    if (!isNew)
        return found->second;
    if (m_freeGroups.empty()) {
        m_freeGroups.push_back(static_cast<GroupIndex>(m_groups.size()));
        m_groups.emplace_back();
    }
    const GroupIndex index = m_freeGroups.back();
    m_freeGroups.pop_back();
    found->second = index;
    Group& group = m_groups[index];
    group.capability = &found->first;
    for (const auto& [key, queueIndex] : m_classIndex) {
        Class& queue = m_classes[queueIndex];
        if (mismatch(placementOf(queue), capability))
            continue;
        queue.groups.insert(std::lower_bound(queue.groups.begin(), queue.groups.end(), index), index);
        group.classes.insert(queueIndex);
        if (queue.shown)
            group.waiting.insert(*queue.shown);
        if (queue.stalled)
            group.stalled.insert(queueIndex);
    }
    return index;
}

void Planner::join(MachineId id, Machine& machine, GroupIndex group)
{
    machine.group = group;
    m_groups[group].members.insert(id);
    enter(id, machine);
    wakeStalled(group);
}

void Planner::leave(MachineId id, Machine& machine)
{
    const GroupIndex index = machine.group;
    withdraw(id, machine);
    Group& group = m_groups[index];
    group.members.erase(id);
    wakeStalled(index);
    if (!group.members.empty())
        return;
    for (const ClassIndex queue : group.classes)
        std::erase(m_classes[queue].groups, index);
    if (group.active)
        m_active.erase(*group.active);
    m_groupIndex.erase(m_groupIndex.find(*group.capability));
    group = Group{};
    m_freeGroups.push_back(index);
}

void Planner::enter(MachineId id, Machine& machine)
{
    const MachineStatus& status = machine.status;
    Group& group = m_groups[machine.group];
    if (!status.able)
        return;
    ++group.able;
    if (status.used < status.slots)
        group.freeSlots += status.slots - status.used;
    if (!status.open)
        return;
    group.open.insert(id);
    if (status.used >= status.slots)
        return;
    machine.rank = MachineRank{usedShare(status.used, status.slots), status.load, id};
    group.available.insert(*machine.rank);
    // Classes that found nobody allowed look again when this one is.
    for (auto at = group.stalled.begin(); at != group.stalled.end();) {
        const ClassIndex queue = *at++;
        if (allows(m_classes[queue], id, false) || !hasOpenBeside(m_classes[queue]))
            wake(queue);
    }
    refreshActive(machine.group);
}

void Planner::withdraw(MachineId id, Machine& machine)
{
    Group& group = m_groups[machine.group];
    if (machine.status.able) {
        --group.able;
        if (machine.status.used < machine.status.slots)
            group.freeSlots -= machine.status.slots - machine.status.used;
    }
    group.open.erase(id);
    if (machine.rank) {
        group.available.erase(*machine.rank);
        machine.rank.reset();
        refreshActive(machine.group);
    }
}

// Whether an avoided machine is better than none may have changed, also for classes that other groups know.
void Planner::wakeStalled(GroupIndex index)
{
    const std::set<ClassIndex> stalled = m_groups[index].stalled;
    for (const ClassIndex queue : stalled)
        wake(queue);
}

} // namespace penstock::sched
