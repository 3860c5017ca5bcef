// SPDX-License-Identifier: GPL-3.0-or-later
// The planner's queues: leaves, classes and pools, and how each knows the first of what is below it.
#include "server/sched/planner.h"

#include "shared/base/check.h"

#include <algorithm>

namespace penstock::sched {
namespace {

template <class T> std::uint32_t takeFree(std::vector<std::uint32_t>& free, std::vector<T>& all)
{
    if (free.empty()) {
        free.push_back(static_cast<std::uint32_t>(all.size()));
        all.emplace_back();
    }
    const std::uint32_t index = free.back();
    free.pop_back();
    return index;
}

} // namespace

// -------------------------------------------------------------------------------------------------- share groups

std::uint64_t Planner::useOf(const Party& party) const
{
    std::uint64_t least = UINT64_MAX;
    for (const ShareIndex share : party.shares)
        least = std::min(least, share < m_uses.size() ? m_uses[share] : 0);
    return least;
}

Planner::PartyIndex Planner::partyFor(std::span<const ShareIndex> shares)
{
    PENSTOCK_CHECK(!shares.empty());
    const auto [found, isNew] = m_partyIndex.try_emplace({shares.begin(), shares.end()}, PartyIndex{0});
    if (!isNew)
        return found->second;
    const PartyIndex index = takeFree(m_freeParties, m_parties);
    found->second = index;
    m_parties[index].shares = found->first;
    for (const ShareIndex share : shares) {
        if (share >= m_partiesOf.size())
            m_partiesOf.resize(share + std::size_t{1});
        m_partiesOf[share].insert(index);
    }
    return index;
}

void Planner::setUse(ShareIndex share, std::uint64_t use)
{
    if (share >= m_uses.size())
        m_uses.resize(share + std::size_t{1}, 0);
    const bool fell = use < m_uses[share];
    m_uses[share] = use;
    if (!fell || share >= m_partiesOf.size())
        return;
    for (const PartyIndex party : m_partiesOf[share])
        for (const LeafIndex leaf : m_parties[party].leaves)
            refreshLeaf(leaf);
}

// -------------------------------------------------------------------------------------------------------- leaves

LeafIndex Planner::leafFor(const LeafKey& key)
{
    const auto [found, isNew] = m_leafIndex.try_emplace(key, LeafIndex{0});
    if (!isNew)
        return found->second;
    const LeafIndex index = takeFree(m_freeLeaves, m_leaves);
    found->second = index;
    m_leaves[index].key = key;
    m_parties[key.party].leaves.insert(index);
    ++m_classes[key.queue].leaves;
    return index;
}

void Planner::dropLeaf(LeafIndex index)
{
    refreshLeaf(index); // nobody knows it any more
    Leaf& leaf = m_leaves[index];
    if (leaf.parkedAt) {
        const auto parked = m_parked.find(*leaf.parkedAt);
        parked->second.erase(index);
        if (parked->second.empty())
            m_parked.erase(parked);
    }
    const LeafKey key = leaf.key;
    m_leafIndex.erase(m_leafIndex.find(key));
    leaf = Leaf{};
    m_freeLeaves.push_back(index);
    Party& party = m_parties[key.party];
    party.leaves.erase(index);
    if (party.leaves.empty()) {
        for (const ShareIndex share : party.shares)
            m_partiesOf[share].erase(key.party);
        m_partyIndex.erase(m_partyIndex.find(party.shares));
        party = Party{};
        m_freeParties.push_back(key.party);
    }
    if (--m_classes[key.queue].leaves == 0)
        dropClass(key.queue);
}

// Makes its class know the leaf by its present first step, or not at all when it is empty or parked.
void Planner::refreshLeaf(LeafIndex index)
{
    Leaf& leaf = m_leaves[index];
    std::optional<HeadOrder> wanted;
    if (!leaf.steps.empty() && !leaf.parkedAt)
        wanted = HeadOrder{leaf.key.bump, useOf(m_parties[leaf.key.party]), *leaf.steps.begin()};
    if (wanted == leaf.shown)
        return;
    Class& queue = m_classes[leaf.key.queue];
    if (leaf.shown)
        queue.heads.erase(Head{*leaf.shown, index});
    if (wanted)
        queue.heads.insert(Head{*wanted, index});
    leaf.shown = wanted;
    refreshClass(leaf.key.queue);
}

void Planner::unpark(GateIndex gate)
{
    const auto parked = m_parked.find(gate);
    if (parked == m_parked.end())
        return;
    const std::set<LeafIndex> leaves = std::move(parked->second);
    m_parked.erase(parked);
    for (const LeafIndex leaf : leaves) {
        m_leaves[leaf].parkedAt.reset();
        refreshLeaf(leaf);
    }
}

LeafIndex Planner::enqueue(const Wish& wish)
{
    ClassKey key{wish.placement, wish.ask, {wish.avoid.begin(), wish.avoid.end()}};
    std::sort(key.avoid.begin(), key.avoid.end());
    key.avoid.erase(std::unique(key.avoid.begin(), key.avoid.end()), key.avoid.end());
    const LeafIndex index = leafFor({.queue = classFor(std::move(key)),
                                     .party = partyFor(wish.shares),
                                     .bump = wish.bump,
                                     .gates = wish.gates});
    Leaf& leaf = m_leaves[index];
    const auto [place, isNew] = leaf.steps.insert(wish.order);
    PENSTOCK_CHECK(isNew);
    ++m_queued;
    if (place == leaf.steps.begin())
        refreshLeaf(index);
    return index;
}

void Planner::dequeue(LeafIndex index, const StepOrder& order)
{
    PENSTOCK_CHECK(index < m_leaves.size());
    Leaf& leaf = m_leaves[index];
    const auto place = leaf.steps.find(order);
    PENSTOCK_CHECK(place != leaf.steps.end());
    const bool wasFirst = place == leaf.steps.begin();
    leaf.steps.erase(place);
    --m_queued;
    if (leaf.steps.empty())
        dropLeaf(index);
    else if (wasFirst)
        refreshLeaf(index);
}

// ------------------------------------------------------------------------------------------------------- classes

Planner::ClassIndex Planner::classFor(ClassKey key)
{
    const auto [found, isNew] = m_classIndex.try_emplace(std::move(key), ClassIndex{0});
    if (!isNew)
        return found->second;
    const ClassIndex index = takeFree(m_freeClasses, m_classes);
    found->second = index;
    m_classes[index].key = &found->first;
    repool(index);
    return index;
}

void Planner::dropClass(ClassIndex index)
{
    Class& queue = m_classes[index];
    PENSTOCK_CHECK(queue.heads.empty() && !queue.shown);
    if (queue.reserved)
        unreserve(index);
    leavePool(index);
    m_classIndex.erase(m_classIndex.find(*queue.key));
    queue = Class{};
    m_freeClasses.push_back(index);
}

void Planner::refreshClass(ClassIndex index)
{
    Class& queue = m_classes[index];
    std::optional<HeadOrder> wanted;
    if (!queue.heads.empty() && !queue.isStalled)
        wanted = queue.heads.begin()->order;
    if (wanted == queue.shown)
        return;
    Pool& pool = m_pools[queue.pool];
    if (queue.shown)
        pool.waiting.erase(Head{*queue.shown, index});
    if (wanted)
        pool.waiting.insert(Head{*wanted, index});
    queue.shown = wanted;
    refreshPool(queue.pool);
}

// No available machine can take it: out of the way until one that can gains room.
void Planner::stall(ClassIndex index, Instant now)
{
    Class& queue = m_classes[index];
    const StepId first = queue.heads.begin()->order.step.step;
    if (queue.stalledStep != first) {
        queue.stalledStep = first;
        queue.stalledSince = now;
    }
    queue.isStalled = true;
    m_pools[queue.pool].stalled.insert(index);
    refreshClass(index);
}

void Planner::wake(ClassIndex index)
{
    Class& queue = m_classes[index];
    queue.isStalled = false;
    m_pools[queue.pool].stalled.erase(index);
    refreshClass(index);
}

// --------------------------------------------------------------------------------------------------------- pools

// Moves the class to the pool of the kinds that can run it now.
void Planner::repool(ClassIndex index)
{
    const work::Placement& placement = placementOf(m_classes[index]);
    std::vector<KindIndex> kinds;
    for (KindIndex kind = 0; kind < m_kinds.size(); ++kind)
        if (m_kinds[kind].capability != nullptr && !mismatch(placement, *m_kinds[kind].capability))
            kinds.push_back(kind);
    const PoolIndex pool = poolFor(std::move(kinds));
    if (m_classes[index].pool == pool)
        return;
    ++m_pools[pool].classes; // before the old one goes, in case that frees this one's machines
    if (m_classes[index].pool != kNone)
        leavePool(index);
    m_classes[index].pool = pool;
    refreshClass(index);
}

void Planner::leavePool(ClassIndex index)
{
    Class& queue = m_classes[index];
    const PoolIndex poolIndex = queue.pool;
    Pool& pool = m_pools[poolIndex];
    if (queue.shown)
        pool.waiting.erase(Head{*queue.shown, index});
    queue.shown.reset();
    pool.stalled.erase(index);
    queue.isStalled = false;
    queue.pool = kNone;
    refreshPool(poolIndex);
    if (--pool.classes > 0)
        return;
    for (const KindIndex kind : *pool.kinds)
        m_kinds[kind].pools.erase(poolIndex);
    m_poolIndex.erase(m_poolIndex.find(*pool.kinds));
    pool = Pool{};
    m_freePools.push_back(poolIndex);
}

Planner::PoolIndex Planner::poolFor(std::vector<KindIndex> kinds)
{
    const auto [found, isNew] = m_poolIndex.try_emplace(std::move(kinds), PoolIndex{0});
    if (!isNew)
        return found->second;
    const PoolIndex index = takeFree(m_freePools, m_pools);
    found->second = index;
    Pool& pool = m_pools[index];
    pool.kinds = &found->first;
    for (const KindIndex kind : *pool.kinds) {
        m_kinds[kind].pools.insert(index);
        for (const MachineId id : m_kinds[kind].open)
            if (const auto& rank = m_machines.at(id).rank)
                pool.available.insert(*rank);
    }
    return index;
}

void Planner::refreshPool(PoolIndex index)
{
    Pool& pool = m_pools[index];
    std::optional<HeadOrder> wanted;
    if (!pool.available.empty() && !pool.waiting.empty())
        wanted = pool.waiting.begin()->order;
    if (wanted == pool.shown)
        return;
    if (pool.shown)
        m_active.erase(Head{*pool.shown, index});
    if (wanted)
        m_active.insert(Head{*wanted, index});
    pool.shown = wanted;
}

} // namespace penstock::sched
