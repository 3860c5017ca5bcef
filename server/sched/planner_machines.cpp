// SPDX-License-Identifier: GPL-3.0-or-later
// The planner's machines, the kinds they form, and how pools know who has room.
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
        join(id, *machine, kindFor(capability));
        return;
    }
    const bool renamed = machine->name != facts.name;
    if (!renamed && *m_kinds[machine->kind].capability == capability)
        return;
    leave(id, *machine);
    if (renamed)
        nameChanged(id, *machine, facts.name);
    join(id, *machine, kindFor(capability));
}

void Planner::setStatus(MachineId id, const MachineStatus& status)
{
    Machine& machine = m_machines.at(id);
    const bool moved = machine.status.able != status.able || machine.status.open != status.open ||
                       machine.status.capacity.resources != status.capacity.resources;
    noteOpen(id, machine, false);
    if (machine.status.report != status.report)
        machine.started = 0;
    machine.status = status;
    machine.room.setCapacity(status.capacity);
    machine.room.setForeign(status.foreign, status.foreignCpus);
    noteOpen(id, machine, true);
    if (machine.reservedFor &&
        !(status.able && status.open && machine.room.couldFit(m_asks.at(m_classes[*machine.reservedFor].key->ask))))
        unreserve(*machine.reservedFor);
    rerank(id, machine);
    roomChanged(id, machine);
    if (moved)
        wakeStalled(machine.kind);
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

Planner::KindIndex Planner::kindFor(const Capability& capability)
{
    const auto [found, isNew] = m_kindIndex.try_emplace(capability, KindIndex{0});
    if (!isNew)
        return found->second;
    if (m_freeKinds.empty()) {
        m_freeKinds.push_back(static_cast<KindIndex>(m_kinds.size()));
        m_kinds.emplace_back();
    }
    const KindIndex index = m_freeKinds.back();
    m_freeKinds.pop_back();
    found->second = index;
    m_kinds[index].capability = &found->first;
    for (const auto& [key, queue] : m_classIndex)
        if (!mismatch(m_placements.at(key.placement), capability))
            repool(queue);
    return index;
}

void Planner::dropKind(KindIndex index)
{
    const Capability& capability = *m_kinds[index].capability;
    m_kinds[index].capability = nullptr; // repool() passes it over
    for (const auto& [key, queue] : m_classIndex)
        if (!mismatch(m_placements.at(key.placement), capability))
            repool(queue);
    PENSTOCK_CHECK(m_kinds[index].pools.empty());
    m_kindIndex.erase(m_kindIndex.find(capability));
    m_kinds[index] = Kind{};
    m_freeKinds.push_back(index);
}

void Planner::join(MachineId id, Machine& machine, KindIndex kind)
{
    machine.kind = kind;
    m_kinds[kind].members.insert(id);
    noteOpen(id, machine, true);
    rerank(id, machine);
    roomChanged(id, machine);
    wakeStalled(kind);
}

void Planner::leave(MachineId id, Machine& machine)
{
    const KindIndex kind = machine.kind;
    if (machine.reservedFor)
        unreserve(*machine.reservedFor);
    noteOpen(id, machine, false);
    if (machine.rank)
        for (const PoolIndex pool : m_kinds[kind].pools) {
            m_pools[pool].available.erase(*machine.rank);
            refreshPool(pool);
        }
    machine.rank.reset();
    m_kinds[kind].members.erase(id);
    wakeStalled(kind);
    if (m_kinds[kind].members.empty())
        dropKind(kind);
}

void Planner::noteOpen(MachineId id, const Machine& machine, bool in)
{
    if (!machine.status.able || !machine.status.open)
        return;
    if (in)
        m_kinds[machine.kind].open.insert(id);
    else
        m_kinds[machine.kind].open.erase(id);
}

bool Planner::isAvailable(const Machine& machine) const
{
    return machine.status.able && machine.status.open && !machine.reservedFor && machine.room.hasAny() &&
           machine.started < machine.status.starts;
}

MachineRank Planner::rankOf(MachineId id, const Machine& machine) const
{
    const std::uint32_t taken = machine.room.takenPart();
    if (machine.status.score != 0)
        return {~machine.status.score, machine.room.slotsTaken(), id};
    // What was started since the last report shows in no load yet, but it has taken its room.
    return {std::max(taken, machine.status.load), machine.status.load, id};
}

void Planner::rerank(MachineId id, Machine& machine)
{
    std::optional<MachineRank> wanted;
    if (isAvailable(machine))
        wanted = rankOf(id, machine);
    if (wanted == machine.rank)
        return;
    for (const PoolIndex index : m_kinds[machine.kind].pools) {
        Pool& pool = m_pools[index];
        if (machine.rank)
            pool.available.erase(*machine.rank);
        if (wanted)
            pool.available.insert(*wanted);
        refreshPool(index);
    }
    machine.rank = wanted;
}

// Classes that found nobody look again when this machine can take them.
void Planner::roomChanged(MachineId id, Machine& machine)
{
    if (machine.reservedFor) {
        const bool fits = machine.status.able && machine.status.open && takes(m_classes[*machine.reservedFor], machine);
        if (fits)
            m_reservedWithRoom.insert(id);
        else
            m_reservedWithRoom.erase(id);
        return;
    }
    if (!machine.rank)
        return;
    for (const PoolIndex index : m_kinds[machine.kind].pools) {
        std::vector<ClassIndex> woken;
        for (const ClassIndex queue : m_pools[index].stalled)
            if (takes(m_classes[queue], machine) &&
                (allows(m_classes[queue], id, false) || !hasOpenBeside(m_classes[queue])))
                woken.push_back(queue);
        for (const ClassIndex queue : woken)
            wake(queue);
    }
}

// Whether an avoided machine is better than none may have changed.
void Planner::wakeStalled(KindIndex kind)
{
    for (const PoolIndex index : m_kinds[kind].pools) {
        const std::set<ClassIndex> stalled = m_pools[index].stalled;
        for (const ClassIndex queue : stalled)
            if (!m_classes[queue].key->avoid.empty())
                wake(queue);
    }
}

} // namespace penstock::sched
