// SPDX-License-Identifier: GPL-3.0-or-later
// How many steps wait, by the code of what binds them: whole queues at once, never step by step.
#include "server/core/detail/survey.h"

#include <algorithm>

namespace penstock::core::detail {
namespace {

constexpr std::size_t kLooked = 20'000;    // pairs of a queue and a machine
constexpr std::size_t kCountedLive = 4'096; // leaves

} // namespace

// What keeps every step from starting; null: nothing does.
const char* Farm::farmReason() const
{
    if (!m_storeOk)
        return "database-away";
    if (m_sequence - m_confirmed > m_options.maxUnconfirmed)
        return "server-busy";
    return m_pause.paused ? "dispatch-paused" : nullptr;
}

// What keeps the first step of a leaf, and so all of it, from starting. The order is that of the explanation. On a
// large farm an estimate by kinds of machines must do.
std::string Farm::bindingReason(const sched::Planner::LeafView& leaf, Reaches& reaches) const
{
    if (leaf.isParked)
        return leaf.isNamespaceFull ? "namespace-limit" : "concurrency-limit";
    const work::Placement& placement = m_planner.placements().at(leaf.placement);
    if (m_planner.leaves() * m_machines.size() <= kLooked)
        return bindingMachineReason(placement, leaf);
    const auto [found, isNew] = reaches.try_emplace(leaf.placement);
    if (isNew)
        found->second = m_planner.reach(placement);
    const sched::Planner::Reach& reach = found->second;
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

// The same verdicts as in an explanation: of the last rule that takes out machines, the one that takes out most.
std::string Farm::bindingMachineReason(const work::Placement& placement, const sched::Planner::LeafView& leaf) const
{
    const sched::Ask& ask = m_planner.asks().at(leaf.ask);
    std::map<std::pair<Stage, std::string_view>, std::size_t> counts;
    std::size_t free = 0;
    m_machines.forEach([&](MachineId id, const MachineRecord& machine) {
        if (const auto verdict = verdictOn(placement, ask, sightOf(id, machine)))
            ++counts[{verdict->stage, verdict->code}];
        else if (std::binary_search(leaf.avoid.begin(), leaf.avoid.end(), id))
            ++counts[{Stage::Allowed, "machine-avoided"}];
        else
            ++free;
    });
    if (free > 0)
        return "starting";
    if (counts.empty())
        return "all-lost";
    const Stage last = counts.rbegin()->first.first;
    const auto most = std::max_element(counts.begin(), counts.end(), [last](const auto& a, const auto& b) {
        return std::pair(a.first.first == last, a.second) < std::pair(b.first.first == last, b.second);
    });
    return std::string(most->first.second);
}

Farm::Binding Farm::countBinding() const
{
    Binding binding;
    Reaches reaches;
    m_planner.forEachLeaf([&](const sched::Planner::LeafView& leaf) {
        ++binding.looked;
        binding.steps[bindingReason(leaf, reaches)] += leaf.steps;
    });
    return binding;
}

// Totals are asked for several times a second, and a leaf for each job is possible: many are counted once a second.
void Farm::keepBinding()
{
    m_binding.reset();
    if (m_planner.leaves() > kCountedLive)
        m_binding = countBinding();
}

void Farm::countWaiting(Totals& totals) const
{
    if (totals.stepsBlocked > 0)
        totals.waiting["inputs-not-built"] += totals.stepsBlocked;
    if (totals.stepsDelayed > 0)
        totals.waiting["retry-backoff"] += totals.stepsDelayed;
    const std::uint64_t queued = m_planner.queued();
    if (totals.stepsReady > queued)
        totals.waiting["held"] += totals.stepsReady - queued;
    if (queued == 0)
        return;
    if (const char* reason = farmReason()) {
        totals.waiting[reason] += queued;
        return;
    }
    const bool isKept = m_binding && m_planner.leaves() > kCountedLive;
    const Binding fresh = isKept ? Binding{} : countBinding();
    totals.looked = fresh.looked;
    for (const auto& [code, steps] : (isKept ? *m_binding : fresh).steps)
        totals.waiting[code] += steps;
}

} // namespace penstock::core::detail
