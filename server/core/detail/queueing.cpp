// SPDX-License-Identifier: GPL-3.0-or-later
// A step's place among the others, from the jobs that need it, the graph, shares and experience; and what is looked at
// once a second while steps are open.
#include "server/core/detail/farm.h"

#include "shared/base/check.h"

#include <algorithm>
#include <utility>

namespace penstock::core::detail {
namespace {

constexpr Duration kTick = std::chrono::seconds(1);
constexpr std::uint32_t kTicksPerSave = 10;       // between two looks at what shares and history have to store
constexpr std::uint64_t kPatrolledPerTick = 4'000;  // steps
constexpr std::uint32_t kDeciseconds = 100'000;   // microseconds; the graph's unit
constexpr Duration kLongestRun = std::chrono::hours(24 * 366);

Duration measured(Duration told)
{
    return std::clamp(told, Duration(0), kLongestRun);
}

// from is before to, and either may be any number.
Duration timeBetween(WallTime from, WallTime to)
{
    const std::uint64_t micros = static_cast<std::uint64_t>(to.micros()) - static_cast<std::uint64_t>(from.micros());
    return Duration(std::min(micros, static_cast<std::uint64_t>(kLongestRun.count())));
}

} // namespace

// ------------------------------------------------------------------------------------------------------ its place

// What was asked for, and from experience what was not. A step that uses more cpus than it asks for is expected to.
sched::Ask Farm::askOf(const StepRecord& step) const
{
    sched::Ask ask{.reserved = m_policies.at(step.policy).resources};
    ask.reserved.cpus = std::max(ask.reserved.cpus, 1U);
    if (const std::optional<sched::Estimate> known = m_history.estimate(step.work.name())) {
        ask.expectedCpus = std::max(ask.reserved.cpus, known->cpus);
        if (ask.reserved.memoryBytes == 0)
            ask.expectedMemoryBytes = known->memoryBytes;
    }
    return ask;
}

// From a success: what the next step of that name may need. On a machine with more work than cores each got only its
// share of them, so that its time is scaled by the load.
void Farm::learn(const AttemptRecord& attempt, work::AttemptEnd end)
{
    constexpr std::uint32_t kMemory = 256;          // runs
    constexpr std::int64_t kMostPerCore = 64'000;   // thousandths
    constexpr std::int64_t kMostMilliCpus = 4'096'000;
    const work::AttemptProgress& progress = attempt.progress;
    if (end != work::AttemptEnd::Succeeded || !progress.started || !progress.stopped ||
        *progress.stopped <= *progress.started)
        return;
    // Machines tell these times: brought into ranges in which no sum or product below overflows.
    sched::RunFacts facts{.duration = timeBetween(*progress.started, *progress.stopped),
                          .cpuTime = std::min(measured(progress.cpuUser) + measured(progress.cpuSystem), kLongestRun),
                          .maxRssBytes = progress.maxRssBytes};
    const MachineRecord& machine = m_machines.at(attempt.machine);
    if (machine.load) {
        const std::int64_t perCore = sched::loadPerCore(*machine.load, machine.facts.cores);
        facts.cpuTime = facts.cpuTime * std::clamp<std::int64_t>(perCore, 1000, kMostPerCore) / 1000;
    }
    m_history.record(m_steps.at(attempt.step).work.name(), facts, m_now.wall);
    const std::uint32_t weight = std::min(++m_experience, kMemory);
    m_experience = weight;
    const std::uint32_t unknown = m_planner.asks().at(attempt.ask).expectedCpus == 0 ? 1'000 : 0;
    m_unknownPerMille = (m_unknownPerMille * (weight - 1) + unknown) / weight;
    m_typical += (facts.duration - m_typical) / static_cast<std::int64_t>(weight);
    const auto used = static_cast<std::uint64_t>(std::min(facts.cpuTime * 1000 / facts.duration, kMostMilliCpus));
    m_typicalMilliCpus = (m_typicalMilliCpus * (weight - 1) + used) / weight;
}

Duration Farm::expectedOf(std::string_view name) const
{
    const std::optional<sched::Estimate> known = m_history.estimate(name);
    return known && known->duration > Duration(0) ? known->duration : m_typical;
}

std::uint32_t Farm::weightOf(std::string_view name) const
{
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(expectedOf(name).count() / kDeciseconds, 1, 1U << 30U));
}

void Farm::enqueue(StepId id, StepRecord& step)
{
    const Needs::View need = needOf(id);
    if (need.shares.empty())
        return; // held, or new: the end of the batch or a release puts it here
    step.urgency = sched::urgencyOf(m_options.policy.steps, {.promoted = step.isPromoted,
                                                             .length = m_dag.length(id),
                                                             .dependents = m_dag.openDependents(id),
                                                             .priority = need.priority});
    step.age = need.age;
    step.ask = m_planner.asks().acquire(askOf(step));
    step.queue = m_planner.enqueue({.placement = step.placement,
                                    .ask = step.ask,
                                    .avoid = step.avoided(),
                                    .shares = need.shares,
                                    .gates = gatesOf(need),
                                    .bump = need.bump,
                                    .order = {step.urgency, step.age, id}});
    step.isQueued = true;
}

// Since it came into its queue, such steps have turned out to use more than was known then.
bool Farm::askChanged(const sched::Start& start) const
{
    const std::uint32_t before = m_planner.asks().at(start.ask).expectedCpus;
    return askOf(m_steps.at(start.step)).expectedCpus > before;
}

// Back into the queues, this time with what is known.
void Farm::askAnew(const sched::Start& start)
{
    ++m_counters.asksRaised;
    StepRecord& step = m_steps.at(start.step);
    m_planner.leaveGates(start.ask, start.gates);
    m_planner.giveRoom(start.machine, start.ask);
    m_planner.asks().release(start.ask);
    step.isQueued = false;
    enqueue(start.step, step);
}

bool Farm::dequeue(StepId id, StepRecord& step)
{
    if (!std::exchange(step.isQueued, false))
        return false;
    m_planner.dequeue(step.queue, {step.urgency, step.age, id});
    m_planner.asks().release(step.ask);
    return true;
}

void Farm::requeue(StepId id, StepRecord& step)
{
    if (step.state() != work::StepState::Ready)
        return;
    dequeue(id, step);
    enqueue(id, step);
}

// New edges and ends change how much work waits for a step.
void Farm::settleGraph()
{
    for (const work::Dag::Moved& moved : m_dag.settle()) {
        StepRecord* step = m_steps.find(moved.step);
        if (step != nullptr && step->isQueued && m_options.policy.steps != sched::StepSort::Legacy)
            requeue(moved.step, *step);
    }
}

// --------------------------------------------------------------------------------------------------------- shares

void Farm::jobCloses(const JobRecord& job)
{
    ShareState& share = m_shares.at(m_originStates[job.origin].share);
    if (--share.openJobs == 0)
        m_openGroups.erase(share.name);
    const auto open = m_openByNamespace.find(m_origins.at(job.origin).nameSpace);
    if (--open->second == 0)
        m_openByNamespace.erase(open);
}

void Farm::refreshUse(sched::ShareIndex share)
{
    m_planner.setUse(share, m_ledger.key(share));
}

void Farm::shareStarted(AttemptRecord& attempt)
{
    const Needs::View need = needOf(attempt.step);
    std::vector<sched::ShareIndex> shares(need.shares.begin(), need.shares.end());
    if (shares.empty()) // every job has been held or cancelled meanwhile: the one it is for pays
        if (const JobRecord* job = m_jobs.find(attempt.job))
            shares.push_back(m_originStates[job->origin].share);
    attempt.ticket = m_ledger.started(shares, m_planner.asks().cpus(attempt.ask), m_now);
    for (const sched::ShareIndex share : shares)
        refreshUse(share);
}

// ----------------------------------------------------------------------------------------------------------- tick

void Farm::armTick()
{
    if (m_ticks || (m_openSteps == 0 && m_openJobs == 0))
        return;
    m_ticks = true;
    m_deadlines.add({m_now.mono + kTick, DeadlineKind::Tick, 0});
}

void Farm::tick()
{
    m_ledger.advance(m_now);
    // What runs and what leaves the window moves every group a little; falls must be told, see Planner.
    for (const auto& [name, share] : m_openGroups)
        refreshUse(share);
    m_counters.reservations += m_planner.reserveFor(m_options.policy.reserveAfter, m_now.mono);
    patrol();
    keepBinding();
    if (++m_tickCount % kTicksPerSave != 0)
        return;
    m_changes.usage = m_ledger.takeDirty();
    m_changes.history = m_history.takeDirty();
}

// Some of the steps each time, all of them in turn: who has waited too long, who can never run, of whom more is known
// than when it came into its queue. Otherwise a step of which nothing was known waits for half a machine while later
// ones of its name, which are known to need little, pass it by.
void Farm::patrol()
{
    std::uint64_t left = kPatrolledPerTick;
    std::vector<StepId> promoted;
    std::vector<StepId> unable;
    std::vector<StepId> asksAnew;
    std::map<std::pair<sched::PlacementIndex, std::uint32_t>, bool> known; // by placement and policy: many are alike
    const auto isUnable = [&](const StepRecord& step) {
        const auto [entry, isNew] = known.try_emplace({step.placement, step.policy}, false);
        if (isNew)
            entry->second = isForeverUnable(step);
        return entry->second;
    };
    const StepId last = m_steps.forEachFrom(m_patrolAt, [&](StepId id, const StepRecord& step) {
        if (step.state() == work::StepState::Ready) {
            const WallTime since = step.readySince().value_or(m_now.wall);
            const Duration waited = m_now.wall - since;
            const auto [oldest, isNew] = m_oldestSeen.try_emplace(step.placement, since, id);
            oldest->second = std::min(oldest->second, {since, id});
            if (!step.isPromoted && waited > m_options.policy.promoteAfter)
                promoted.push_back(id);
            if (step.isQueued && m_planner.asks().at(step.ask) != askOf(step))
                asksAnew.push_back(id);
            if (m_options.unsupportedAfter && waited >= *m_options.unsupportedAfter && isUnable(step))
                unable.push_back(id);
        }
        return --left > 0;
    });
    m_patrolAt = left > 0 ? StepId(0) : StepId(last.value() + 1);
    if (left > 0)
        m_oldestReady = std::exchange(m_oldestSeen, {});
    m_counters.promotions += promoted.size();
    for (const StepId id : promoted) {
        StepRecord& step = m_steps.at(id);
        step.isPromoted = true;
        requeue(id, step);
    }
    for (const StepId id : asksAnew)
        requeue(id, m_steps.at(id));
    for (const StepId id : unable)
        if (const StepRecord* step = m_steps.find(id); step != nullptr && step->state() == work::StepState::Ready) {
            ++m_counters.unsupported;
            moveStep(id, work::NoMachine{"no machine of the farm can run it; see why"});
        }
}

// No machine of the farm, connected or seen within the last day, could run it however free it were. Of one that was not
// here since the server started nobody knows yet.
bool Farm::isForeverUnable(const StepRecord& step) const
{
    constexpr Duration kRemembered = std::chrono::hours(24);
    const work::Placement& placement = m_planner.placements().at(step.placement);
    const work::Resources& resources = m_policies.at(step.policy).resources;
    bool able = false;
    m_machines.forEachFrom(MachineId(0), [&](MachineId id, const MachineRecord& machine) {
        const bool isHere = machine.link != Link::Away || m_now.wall - machine.row.lastSeen < kRemembered;
        if (isHere && sched::allowsName(placement, machine.row.name))
            able = machine.instance.empty() || (!sched::mismatch(placement, m_planner.capability(id)) &&
                                                m_planner.room(id).couldFit({.reserved = resources}));
        return !able; // one is enough
    });
    return !able;
}

} // namespace penstock::core::detail
