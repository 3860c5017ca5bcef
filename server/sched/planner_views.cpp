// SPDX-License-Identifier: GPL-3.0-or-later
// What the planner tells about its queues, and the check of all its cross-references.
#include "server/sched/planner.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::sched {
namespace {

// Of those in the heap and these, the first in order, at most so many; a leaf costs no more than what is taken of it.
void keepFirst(std::vector<StepOrder>& heap, const absl::btree_set<StepOrder>& steps, std::size_t limit)
{
    for (const StepOrder& step : steps) {
        if (heap.size() >= limit) {
            if (heap.empty() || !(step < heap.front()))
                return;
            std::pop_heap(heap.begin(), heap.end());
            heap.pop_back();
        }
        heap.push_back(step);
        std::push_heap(heap.begin(), heap.end());
    }
}

} // namespace

Planner::LeafView Planner::viewOf(LeafIndex index) const
{
    const Leaf& leaf = m_leaves[index];
    const Class& queue = m_classes[leaf.key.queue];
    return {.placement = queue.key->placement,
            .ask = queue.key->ask,
            .avoid = queue.key->avoid,
            .shares = m_parties[leaf.key.party].shares,
            .steps = leaf.steps.size(),
            .first = leaf.steps.begin()->step,
            .isParked = leaf.parkedAt.has_value(),
            .isNamespaceFull = leaf.parkedAt && m_gates.at(*leaf.parkedAt).key->scope == GateScope::Namespace,
            .isStalled = queue.isStalled};
}

std::uint64_t Planner::Ahead::inGroup(const StepOrder& order) const
{
    return static_cast<std::uint64_t>(std::lower_bound(first.begin(), first.end(), order) - first.begin());
}

Planner::Line Planner::lineOf(LeafIndex index) const
{
    const LeafKey& key = m_leaves[index].key;
    return {.pool = m_classes[key.queue].pool, .party = key.party, .bump = key.bump};
}

Planner::Ahead Planner::ahead(const Line& line, std::size_t limit) const
{
    constexpr std::size_t kGroups = 5;
    Ahead ahead;
    const std::uint64_t use = useOf(m_parties[line.party]);
    for (const Leaf& other : m_leaves) {
        ++ahead.looked;
        if (other.steps.empty() || other.parkedAt || m_classes[other.key.queue].pool != line.pool)
            continue;
        if (other.key.bump != line.bump) {
            ahead.bumped += other.key.bump < line.bump ? other.steps.size() : 0;
        } else if (other.key.party == line.party) {
            keepFirst(ahead.first, other.steps, limit);
        } else if (useOf(m_parties[other.key.party]) < use) {
            ahead.byShare += other.steps.size();
            for (const ShareIndex share : m_parties[other.key.party].shares)
                if (ahead.groups.size() < kGroups &&
                    std::find(ahead.groups.begin(), ahead.groups.end(), share) == ahead.groups.end())
                    ahead.groups.push_back(share);
        }
    }
    std::sort_heap(ahead.first.begin(), ahead.first.end());
    return ahead;
}

Planner::Reach Planner::reach(const work::Placement& placement) const
{
    Reach reach;
    for (const Kind& kind : m_kinds) {
        if (kind.capability == nullptr || mismatch(placement, *kind.capability))
            continue;
        for (const MachineId id : kind.members) {
            const Machine& machine = m_machines.at(id);
            if (!allowsName(placement, machine.name))
                continue;
            ++reach.known;
            if (!machine.status.able)
                continue;
            ++reach.able;
            reach.open += machine.status.open ? 1U : 0U;
            reach.freeSlots += machine.room.slotsFree();
        }
    }
    return reach;
}

bool Planner::hasOpenBeside(PlacementIndex index, const Ask& ask, std::span<const MachineId> avoid) const
{
    const work::Placement& placement = m_placements.at(index);
    for (const Kind& kind : m_kinds) {
        if (kind.capability == nullptr || kind.open.empty() || mismatch(placement, *kind.capability))
            continue;
        for (const MachineId id : kind.open)
            if (const Machine& machine = m_machines.at(id); std::find(avoid.begin(), avoid.end(), id) == avoid.end() &&
                                                            allowsName(placement, machine.name) &&
                                                            machine.room.couldFit(ask))
                return true;
    }
    return false;
}

Result<void> Planner::check() const
{
    const auto wrong = [](std::string text) { return fail(ErrorCode::Internal, "planner: " + std::move(text)); };
    std::size_t queued = 0;
    for (LeafIndex index = 0; index < m_leaves.size(); ++index) {
        const Leaf& leaf = m_leaves[index];
        if (leaf.steps.empty())
            continue;
        queued += leaf.steps.size();
        const Class& queue = m_classes[leaf.key.queue];
        if (leaf.parkedAt ? leaf.shown.has_value() : !leaf.shown || leaf.shown->step != *leaf.steps.begin())
            return wrong(fmt::format("leaf {} is not shown as it is", index));
        if (leaf.shown && !queue.heads.contains(Head{*leaf.shown, index}))
            return wrong(fmt::format("class {} does not know leaf {}", leaf.key.queue, index));
        if (leaf.shown && leaf.shown->use > useOf(m_parties[leaf.key.party]))
            return wrong(fmt::format("leaf {} is further back than it should be", index));
        if (leaf.parkedAt && (!m_parked.contains(*leaf.parkedAt) || !m_parked.at(*leaf.parkedAt).contains(index)))
            return wrong(fmt::format("leaf {} waits at a gate that does not know it", index));
    }
    if (queued != m_queued)
        return wrong(fmt::format("{} steps are queued, {} were counted", queued, m_queued));
    for (ClassIndex index = 0; index < m_classes.size(); ++index) {
        const Class& queue = m_classes[index];
        if (queue.key == nullptr)
            continue;
        const Pool& pool = m_pools[queue.pool];
        const bool waits = !queue.heads.empty() && !queue.isStalled;
        if (waits != queue.shown.has_value() || (waits && *queue.shown != queue.heads.begin()->order) ||
            (waits && !pool.waiting.contains(Head{*queue.shown, index})) ||
            queue.isStalled != pool.stalled.contains(index))
            return wrong(fmt::format("pool {} does not know class {} as it is", queue.pool, index));
        if (!queue.isStalled || queue.heads.empty())
            continue;
        for (const MachineRank& rank : pool.available)
            if (allows(queue, rank.machine, false) && takes(queue, m_machines.at(rank.machine)))
                return wrong(
                    fmt::format("class {} is stalled though machine {} takes it", index, rank.machine.value()));
    }
    for (PoolIndex index = 0; index < m_pools.size(); ++index) {
        const Pool& pool = m_pools[index];
        const bool isActive = pool.kinds != nullptr && !pool.available.empty() && !pool.waiting.empty();
        if (isActive != pool.shown.has_value() || (isActive && *pool.shown != pool.waiting.begin()->order))
            return wrong(fmt::format("pool {} is not among the active as it should be", index));
    }
    Result<void> result;
    std::size_t reserved = 0;
    m_machines.forEach([&](MachineId id, const Machine& machine) {
        reserved += machine.reservedFor ? 1U : 0U;
        if (machine.reservedFor && m_classes[*machine.reservedFor].reserved != id)
            result = wrong(fmt::format("machine {} is reserved for a class that does not know it", id.value()));
        if (isAvailable(machine) != machine.rank.has_value())
            result = wrong(fmt::format("machine {} is not ranked as it should be", id.value()));
        for (const PoolIndex pool : m_kinds[machine.kind].pools)
            if (machine.rank && !m_pools[pool].available.contains(*machine.rank))
                result = wrong(fmt::format("pool {} does not know machine {}", pool, id.value()));
    });
    if (result && reserved != m_reserved)
        return wrong(fmt::format("{} machines are reserved, {} were counted", reserved, m_reserved));
    return result;
}

} // namespace penstock::sched
