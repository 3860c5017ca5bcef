// SPDX-License-Identifier: GPL-3.0-or-later
// The choice: which step is next, and where it goes.
#include "server/sched/planner.h"

#include "shared/base/check.h"

#include <algorithm>

namespace penstock::sched {
namespace {

// Machines kept free for large steps: at most one in so many, but one always.
constexpr std::size_t kReservedShare = 8;

} // namespace

const work::Placement& Planner::placementOf(const Class& queue) const
{
    return m_placements.at(queue.key->placement);
}

bool Planner::allows(const Class& queue, MachineId id, bool evenAvoided) const
{
    const std::vector<MachineId>& avoid = queue.key->avoid;
    if (!evenAvoided && std::binary_search(avoid.begin(), avoid.end(), id))
        return false;
    return allowsName(placementOf(queue), m_machines.at(id).name);
}

bool Planner::takes(const Class& queue, const Machine& machine) const
{
    return machine.room.fits(m_asks.at(queue.key->ask));
}

// A class that names its machines looks only at those.
std::optional<MachineId> Planner::chooseNamed(const Class& queue, bool evenAvoided, VisitBudget& budget) const
{
    const std::vector<KindIndex>& kinds = *m_pools[queue.pool].kinds;
    std::optional<MachineRank> best;
    for (const std::string& name : placementOf(queue).machines) {
        const auto found = m_names.find(name);
        if (found == m_names.end())
            continue;
        for (const MachineId id : found->second) {
            static_cast<void>(budget.take());
            const Machine& machine = m_machines.at(id);
            if (machine.rank && (!best || *machine.rank < *best) && allows(queue, id, evenAvoided) &&
                takes(queue, machine) && std::binary_search(kinds.begin(), kinds.end(), machine.kind))
                best = machine.rank;
        }
    }
    return best ? std::optional(best->machine) : std::nullopt;
}

// The best available machine that the class allows and that has room for it.
std::optional<MachineId> Planner::choose(ClassIndex index, bool evenAvoided, VisitBudget& budget) const
{
    const Class& queue = m_classes[index];
    if (!placementOf(queue).machines.empty())
        return chooseNamed(queue, evenAvoided, budget);
    for (const MachineRank& rank : m_pools[queue.pool].available) {
        static_cast<void>(budget.take());
        if (allows(queue, rank.machine, evenAvoided) && takes(queue, m_machines.at(rank.machine)))
            return rank.machine;
    }
    return std::nullopt;
}

std::optional<MachineId> Planner::chooseAny(ClassIndex index, VisitBudget& budget) const
{
    std::optional<MachineId> chosen = choose(index, false, budget);
    // A machine that failed the step is better than none, or than one that is too loaded; a busy one is better.
    if (!chosen && !m_classes[index].key->avoid.empty() && !hasOpenBeside(m_classes[index]))
        chosen = choose(index, true, budget);
    return chosen;
}

bool Planner::hasOpenBeside(const Class& queue) const
{
    const Ask& ask = m_asks.at(queue.key->ask);
    for (const KindIndex kind : *m_pools[queue.pool].kinds)
        for (const MachineId id : m_kinds[kind].open)
            if (allows(queue, id, false) && m_machines.at(id).room.couldFit(ask))
                return true;
    return false;
}

// Whether the first leaf of the class is where it belongs and may start; otherwise it has been moved or parked.
bool Planner::settleFirst(ClassIndex index)
{
    const LeafIndex first = m_classes[index].heads.begin()->index;
    Leaf& leaf = m_leaves[first];
    if (leaf.shown->use != useOf(m_parties[leaf.key.party])) {
        refreshLeaf(first);
        return false;
    }
    const std::uint32_t cpus = m_asks.cpus(m_classes[index].key->ask);
    if (const GateIndex gate = m_gates.closedFor(leaf.key.gates, cpus); gate != 0) {
        leaf.parkedAt = gate;
        m_parked[gate].insert(first);
        refreshLeaf(first);
        return false;
    }
    return true;
}

std::optional<Start> Planner::next(VisitBudget& budget, Instant now)
{
    m_more = false;
    if (!m_reservedWithRoom.empty())
        if (auto reserved = startReserved(now))
            return reserved;
    while (!m_active.empty()) {
        if (!budget.take()) {
            m_more = true;
            return std::nullopt;
        }
        const ClassIndex index = m_pools[m_active.begin()->index].waiting.begin()->index;
        if (!settleFirst(index))
            continue;
        if (const std::optional<MachineId> chosen = chooseAny(index, budget))
            return start(m_classes[index].heads.begin()->index, *chosen);
        stall(index, now);
    }
    return std::nullopt;
}

Start Planner::start(LeafIndex index, MachineId id)
{
    Leaf& leaf = m_leaves[index];
    const ClassKey& key = *m_classes[leaf.key.queue].key;
    const Start start{leaf.steps.begin()->step, id, key.ask, leaf.key.gates};
    Machine& machine = m_machines.at(id);
    machine.room.take(m_asks.at(key.ask));
    ++machine.started;
    m_gates.enter(start.gates, m_asks.cpus(key.ask));
    rerank(id, machine);
    leaf.steps.erase(leaf.steps.begin());
    --m_queued;
    if (leaf.steps.empty())
        dropLeaf(index);
    else
        refreshLeaf(index);
    return start;
}

std::optional<Start> Planner::startReserved(Instant now)
{
    while (!m_reservedWithRoom.empty()) {
        const MachineId id = *m_reservedWithRoom.begin();
        const ClassIndex index = *m_machines.at(id).reservedFor;
        while (!m_classes[index].heads.empty() && !settleFirst(index))
            continue;
        unreserve(index);
        if (m_classes[index].heads.empty())
            continue; // all of it waits at gates: when one opens, it asks again
        const LeafIndex leaf = m_classes[index].heads.begin()->index;
        m_classes[index].stalledSince = now; // the next of them has its own patience
        m_classes[index].stalledStep = StepId(0);
        return start(leaf, id);
    }
    return std::nullopt;
}

// The first in order of what is stalled, when it has been for long and nothing that could start is before it.
std::optional<Planner::ClassIndex> Planner::firstStalled(const Pool& pool, Instant since) const
{
    std::optional<Head> first;
    for (const ClassIndex index : pool.stalled) {
        const Class& queue = m_classes[index];
        if (queue.reserved || queue.heads.empty() || queue.stalledSince > since)
            continue;
        const Head head{queue.heads.begin()->order, index};
        if (!first || head < *first)
            first = head;
    }
    if (!first || (!pool.waiting.empty() && pool.waiting.begin()->order < first->order))
        return std::nullopt;
    return first->index;
}

std::optional<MachineId> Planner::reservable(const Class& queue) const
{
    std::optional<std::pair<std::uint32_t, MachineId>> best;
    const Ask& ask = m_asks.at(queue.key->ask);
    const bool evenAvoided = !queue.key->avoid.empty() && !hasOpenBeside(queue);
    for (const KindIndex kind : *m_pools[queue.pool].kinds)
        for (const MachineId id : m_kinds[kind].open) {
            const Machine& machine = m_machines.at(id);
            if (machine.reservedFor || !machine.room.couldFit(ask) || !allows(queue, id, evenAvoided))
                continue;
            const std::pair candidate{machine.room.takenPart(), id};
            if (!best || candidate < *best)
                best = candidate;
        }
    return best ? std::optional(best->second) : std::nullopt;
}

std::size_t Planner::reserveFor(Duration stalled, Instant now)
{
    std::size_t made = 0;
    const std::size_t most = std::max<std::size_t>(m_machines.size() / kReservedShare, 1);
    const Instant since = now + (-stalled);
    for (const Pool& pool : m_pools) {
        if (m_reserved >= most)
            break;
        if (pool.kinds == nullptr || pool.stalled.empty())
            continue;
        const std::optional<ClassIndex> index = firstStalled(pool, since);
        if (!index)
            continue;
        const std::optional<MachineId> id = reservable(m_classes[*index]);
        if (!id)
            continue;
        Machine& machine = m_machines.at(*id);
        machine.reservedFor = *index;
        m_classes[*index].reserved = *id;
        ++m_reserved;
        ++made;
        rerank(*id, machine);
        roomChanged(*id, machine);
    }
    return made;
}

// The machine is anybody's again, and the class looks for itself.
void Planner::unreserve(ClassIndex index)
{
    const MachineId id = *m_classes[index].reserved;
    Machine& machine = m_machines.at(id);
    machine.reservedFor.reset();
    m_classes[index].reserved.reset();
    --m_reserved;
    m_reservedWithRoom.erase(id);
    rerank(id, machine);
    roomChanged(id, machine);
    if (m_classes[index].isStalled)
        wake(index);
}

void Planner::leaveGates(AskIndex ask, const GateSet& gates)
{
    m_gates.leave(gates, m_asks.cpus(ask));
    for (const GateIndex gate : gates)
        if (gate != 0)
            unpark(gate);
}

void Planner::giveRoom(MachineId id, AskIndex ask)
{
    Machine* machine = m_machines.find(id);
    if (machine == nullptr)
        return; // the machine was forgotten before its attempt
    machine->room.give(m_asks.at(ask));
    rerank(id, *machine);
    roomChanged(id, *machine);
}

void Planner::takeRoom(MachineId id, AskIndex ask)
{
    Machine& machine = m_machines.at(id);
    machine.room.take(m_asks.at(ask));
    rerank(id, machine);
    roomChanged(id, machine); // one that is kept free may have no room for its step any more
}

void Planner::gateOpened(GateIndex gate)
{
    unpark(gate);
}

} // namespace penstock::sched
