// SPDX-License-Identifier: GPL-3.0-or-later
// How many steps wait, by the code of what binds them: whole queues at once, never step by step.
#include "server/core/detail/farm.h"

#include <algorithm>

namespace penstock::core::detail {

// What keeps the first step of a leaf, and so all of it, from starting. The order is that of the explanation.
std::string Farm::bindingReason(const sched::Planner::LeafView& leaf) const
{
    if (!m_storeOk)
        return "database-away";
    if (m_sequence - m_confirmed > m_options.maxUnconfirmed)
        return "server-busy";
    if (m_pause.paused)
        return "dispatch-paused";
    if (leaf.isParked)
        return leaf.isNamespaceFull ? "namespace-limit" : "concurrency-limit";
    const work::Placement& placement = m_planner.placements().at(leaf.placement);
    const sched::Planner::Reach reach = m_planner.reach(placement);
    if (reach.known == 0)
        return placement.features.empty() ? "unsupported-system" : "missing-feature";
    if (reach.able == 0)
        return "all-lost";
    if (reach.open == 0)
        return "gated-load";
    if (leaf.isStalled)
        return "resources-full";
    return reach.freeSlots == 0 ? "slots-full" : "starting";
}

void Farm::countWaiting(Totals& totals) const
{
    if (totals.stepsBlocked > 0)
        totals.waiting["inputs-not-built"] += totals.stepsBlocked;
    if (totals.stepsDelayed > 0)
        totals.waiting["retry-backoff"] += totals.stepsDelayed;
    std::uint64_t queued = 0;
    m_planner.forEachLeaf([&](const sched::Planner::LeafView& leaf) {
        totals.waiting[bindingReason(leaf)] += leaf.steps;
        queued += leaf.steps;
    });
    if (totals.stepsReady > queued)
        totals.waiting["held"] += totals.stepsReady - queued;
}

} // namespace penstock::core::detail
