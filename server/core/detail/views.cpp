// SPDX-License-Identifier: GPL-3.0-or-later
// What the farm tells about itself.
#include "server/core/detail/survey.h"

#include "server/work/step.h"
#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::core::detail {

std::optional<JobView> Farm::job(JobId id) const
{
    const JobRecord* job = m_jobs.find(id);
    if (job == nullptr)
        return std::nullopt;
    const JobOrigin& origin = m_origins.at(job->origin);
    return JobView{.id = id,
                   .name = job->name,
                   .user = origin.user,
                   .nameSpace = origin.nameSpace,
                   .shareGroup = origin.shareGroup,
                   .priority = job->priority,
                   .key = job->key == nullptr ? std::string() : *job->key,
                   .created = job->created,
                   .progress = job->progress(),
                   .stepsTotal = static_cast<std::uint32_t>(job->steps.size()),
                   .stepsDone = job->done,
                   .stepsRunning = job->running,
                   .stepsFailed = job->failed,
                   .concurrencyGroup = origin.concurrencyGroup};
}

std::vector<JobId> Farm::newestJobs(bool finished, std::size_t limit) const
{
    std::vector<JobId> jobs;
    if (limit == 0)
        return jobs;
    if (finished) {
        for (auto at = m_finished.rbegin(); at != m_finished.rend() && jobs.size() < limit; ++at)
            jobs.push_back(*at);
        return jobs;
    }
    m_jobs.forEachBackwards([&](JobId id, const JobRecord& job) {
        if (job.isOpen())
            jobs.push_back(id);
        return jobs.size() < limit;
    });
    return jobs;
}

std::vector<StepId> Farm::stepsOf(JobId id) const
{
    std::vector<StepId> steps;
    if (const JobRecord* job = m_jobs.find(id))
        for (const JobStep& entry : job->steps)
            if (m_steps.find(entry.step) != nullptr)
                steps.push_back(entry.step);
    return steps;
}

AttemptView Farm::viewOf(AttemptId id, const AttemptRecord& attempt) const
{
    return {.id = id,
            .step = attempt.step,
            .job = attempt.job,
            .machine = attempt.machine,
            .machineName = m_machines.at(attempt.machine).row.name,
            .number = attempt.number,
            .created = attempt.created,
            .progress = attempt.progress,
            .phase = attempt.phase};
}

std::optional<AttemptView> Farm::attempt(AttemptId id) const
{
    const AttemptRecord* attempt = m_attempts.find(id);
    return attempt == nullptr ? std::nullopt : std::optional(viewOf(id, *attempt));
}

std::optional<LiveWork> Farm::liveWork(AttemptId id) const
{
    const AttemptRecord* attempt = m_attempts.find(id);
    if (attempt == nullptr || !attempt->isLive())
        return std::nullopt;
    return LiveWork{attempt->machine, attempt->step,
                    m_steps.at(attempt->step).work.work(), resolvedInputs(attempt->step)};
}

bool Farm::isLiveOf(AttemptId id, SessionId session) const
{
    const AttemptRecord* attempt = m_attempts.find(id);
    const auto machine = m_sessions.find(session);
    return attempt != nullptr && attempt->isLive() && machine != m_sessions.end() &&
           machine->second == attempt->machine;
}

std::optional<StepView> Farm::step(StepId id, JobId forJob) const
{
    const StepRecord* step = m_steps.find(id);
    if (step == nullptr)
        return std::nullopt;
    const auto below = m_dag.dependencies(id);
    StepView view{.id = id,
                  .name = step->work.name(),
                  .drvPath = step->work.sharingKey(),
                  .progress = step->progress(),
                  .created = step->created,
                  .dependsOn = {below.begin(), below.end()},
                  .root = false,
                  .newest = attempt(step->newest)};
    if (!view.newest && view.progress.result && work::isGood(*view.progress.result))
        view.outputs = work::knownOutputs(step->work.work(), view.progress);
    if (const JobRecord* job = m_jobs.find(forJob)) {
        const JobStep* found = job->find(id);
        view.root = found != nullptr && found->root;
    }
    return view;
}

std::vector<MachineId> Farm::machines() const
{
    std::vector<MachineId> machines;
    machines.reserve(m_machines.size());
    m_machines.forEach([&](MachineId id, const MachineRecord&) { machines.push_back(id); });
    return machines;
}

MachineCondition Farm::conditionOf(const MachineRecord& machine)
{
    if (machine.link != Link::Ready)
        return MachineCondition::Disconnected;
    const work::HealthState health = machine.row.health.state;
    if (health == work::HealthState::Quarantined || health == work::HealthState::Probing)
        return MachineCondition::Quarantined;
    return machine.isDraining() ? MachineCondition::Draining : MachineCondition::Ready;
}

// What it could take, and why nothing where that is so.
void Farm::addRoom(const MachineRecord& machine, MachineView& view) const
{
    const MachineId id = machine.row.id;
    if (!m_planner.knows(id)) {
        view.closedCode = "disconnected";
        view.closed = "was not here since the server started";
        return;
    }
    const sched::Room& room = m_planner.room(id);
    view.capacity = room.capacity().resources;
    view.reserved = room.taken();
    const auto close = [&view](std::string code, std::string text) {
        view.closedCode = std::move(code);
        view.closed = std::move(text);
    };
    if (view.condition == MachineCondition::Disconnected)
        close("disconnected", "not connected");
    else if (view.condition == MachineCondition::Quarantined)
        close("quarantined", fmt::format("{}: {}", work::toString(view.health.state), view.health.reason));
    else if (view.condition == MachineCondition::Draining)
        close("draining", "draining");
    else if (!machine.over.empty())
        close(gateCode(machine.over.front().kind), sched::describe(machine.over.front()));
    else if (m_planner.isReserved(id))
        close("machine-reserved", "kept free for a step that needs much");
    else if (room.slotsFree() == 0)
        close("slots-full", fmt::format("{} of {} slots taken", room.slotsTaken(), room.capacity().slots));
    else if (!room.hasAny())
        close("resources-full", fmt::format("{} of {} cpus are expected to be busy", room.expectedCpus(),
                                            room.capacity().busyCpus));
    else if (m_planner.isWaitingForReport(id))
        close("resources-full", "near a threshold: it takes one step a report");
    else
        view.hasRoom = true;
}

std::optional<MachineView> Farm::machine(MachineId id) const
{
    const MachineRecord* machine = m_machines.find(id);
    if (machine == nullptr)
        return std::nullopt;
    MachineView view{.id = id,
                     .identity = machine->row.identity,
                     .condition = conditionOf(*machine),
                     .note = machine->row.drained ? machine->row.drainNote : machine->drainNote,
                     .facts = machine->facts,
                     .load = machine->load,
                     .over = machine->over,
                     .used = machine->used(),
                     .thresholds = sched::inForce(machine->facts.thresholds, machine->row.overrides),
                     .overrides = machine->row.overrides,
                     .health = machine->row.health,
                     .foreignCpus = machine->foreignCpus,
                     .score = static_cast<std::int64_t>(scoreOf(*machine)),
                     .lastSeen = machine->lastReport ? machine->lastReport : machine->row.lastSeen,
                     .version = machine->version,
                     .finished = machine->finished,
                     .failed = machine->failed,
                     .running = {},
                     .runningNames = {},
                     .times = machine->times,
                     .connected = machine->link == Link::Away ? std::nullopt : std::optional(machine->row.lastSeen),
                     .idleSince = machine->idleSince,
                     .lastFailure = machine->lastFailure};
    addRoom(*machine, view);
    for (const AttemptId running : machine->running) {
        const AttemptRecord& attempt = m_attempts.at(running);
        view.running.push_back(viewOf(running, attempt));
        view.runningNames.push_back(m_steps.at(attempt.step).work.name());
        view.runningKeys.push_back(m_steps.at(attempt.step).work.sharingKey());
    }
    return view;
}

Result<MachineId> Farm::findMachine(const std::string& nameOrId) const
{
    std::vector<MachineId> named;
    m_machines.forEach([&](MachineId id, const MachineRecord& machine) {
        if (machine.row.name == nameOrId)
            named.push_back(id);
    });
    if (named.size() == 1)
        return named.front();
    if (named.size() > 1)
        return fail(ErrorCode::Conflict,
                    fmt::format("{} machines are called {}; use an id, such as {} or {}", named.size(), nameOrId,
                                named[0].value(), named[1].value()));
    const Result<std::uint64_t> number = parseUnsigned(nameOrId);
    if (number && m_machines.find(MachineId(*number)) != nullptr)
        return MachineId(*number);
    return fail(ErrorCode::NotFound, fmt::format("no machine {}", nameOrId));
}

std::string Farm::queueKey(const work::Placement& placement)
{
    std::string key = placement.system.empty() ? "any" : placement.system;
    for (const std::string& feature : placement.features)
        key += "+" + feature;
    return key;
}

// The patrol's find may have started since, and the first in order is not always the oldest: the older of the two that
// still wait.
void Farm::showOldest(QueueView& queue, std::pair<WallTime, StepId> candidate) const
{
    const StepRecord* step = m_steps.find(candidate.second);
    if (step == nullptr || step->state() != work::StepState::Ready ||
        (queue.oldestReady && *queue.oldestReady <= candidate.first))
        return;
    queue.oldestReady = candidate.first;
    queue.oldestStep = candidate.second;
    queue.oldestJob = jobFor(candidate.second);
}

// Which share groups wait in each queue, and how long the first of each has.
void Farm::addGroups(std::map<std::string, QueueView>& queues) const
{
    constexpr std::size_t kGroups = 20;
    m_planner.forEachLeaf([&](const sched::Planner::LeafView& leaf) {
        QueueView& queue = queues[queueKey(m_planner.placements().at(leaf.placement))];
        if (const auto share = m_shares.find(leaf.shares.front()); share != m_shares.end())
            queue.queuedByGroup[share->second.name] += leaf.steps;
        if (const auto since = m_steps.at(leaf.first).readySince())
            showOldest(queue, {*since, leaf.first});
    });
    for (auto& [key, queue] : queues)
        while (queue.queuedByGroup.size() > kGroups) {
            const auto isLess = [](const auto& a, const auto& b) { return a.second < b.second; };
            queue.queuedByGroup.erase(
                std::min_element(queue.queuedByGroup.begin(), queue.queuedByGroup.end(), isLess));
        }
}

std::vector<ShareView> Farm::shares(Now) const
{
    std::map<sched::ShareIndex, std::uint64_t> queued;
    m_planner.forEachLeaf([&](const sched::Planner::LeafView& leaf) {
        for (const sched::ShareIndex share : leaf.shares)
            queued[share] += leaf.steps;
    });
    std::uint64_t sharesOpen = 0;
    for (const auto& [name, share] : m_openGroups)
        sharesOpen += m_ledger.view(share).shares;
    std::map<std::string, sched::ShareIndex> indexes;
    for (const auto& [share, state] : m_shares)
        indexes.emplace(state.name, share);
    std::vector<ShareView> views;
    Duration all{0};
    for (const sched::ShareUse& use : m_ledger.views()) {
        all += use.used;
        ShareView& view = views.emplace_back();
        view.group = use.group;
        view.shares = use.shares;
        view.used = use.used;
        view.running = use.running;
        if (m_openGroups.contains(use.group))
            view.targetPercent = 100.0 * use.shares / static_cast<double>(sharesOpen);
        if (const auto index = indexes.find(use.group); index != indexes.end())
            view.queued = queued[index->second];
    }
    for (ShareView& view : views)
        view.usedPercent = all.count() == 0 ? 0
                                            : 100.0 * static_cast<double>(view.used.count()) /
                                                  static_cast<double>(all.count());
    return views;
}

std::vector<NamespaceView> Farm::namespaces() const
{
    std::map<std::string, NamespaceView> byName;
    for (const auto& [name, limits] : m_namespaces)
        byName[name].limits = limits;
    for (const auto& [name, jobs] : m_openByNamespace) {
        byName[name].limits.name = name;
        byName[name].openJobs = jobs;
    }
    std::vector<NamespaceView> views;
    for (auto& [name, view] : byName) {
        if (const auto gate = m_planner.gates().find({sched::GateScope::Namespace, name, {}}); gate != 0) {
            view.runningSteps = m_planner.gates().at(gate).steps;
            view.runningCpus = m_planner.gates().at(gate).cpus;
        }
        views.push_back(std::move(view));
    }
    return views;
}

std::vector<QueueView> Farm::queues() const
{
    std::map<std::string, QueueView> byKey;
    m_planner.placements().forEach([&](sched::PlacementIndex index, const work::Placement& placement,
                                       const sched::PlacementTable::Counts& counts) {
        const std::string key = queueKey(placement);
        QueueView& queue = byKey[key];
        if (queue.key.empty()) {
            queue.key = key;
            queue.system = placement.system.empty() ? "any" : placement.system;
            queue.features = placement.features;
            work::Placement asked;
            asked.system = placement.system;
            asked.features = placement.features;
            asked.executor = placement.executor;
            const sched::Planner::Reach reach = m_planner.reach(asked);
            queue.eligibleMachines = reach.able;
            queue.freeSlots = reach.freeSlots;
        }
        const auto count = [&counts](work::StepState state) { return counts[static_cast<std::size_t>(state)]; };
        queue.blocked += count(work::StepState::Blocked);
        queue.queued += count(work::StepState::Ready);
        queue.delayed += count(work::StepState::Delayed);
        queue.running += count(work::StepState::Running);
        if (const auto oldest = m_oldestReady.find(index); oldest != m_oldestReady.end())
            showOldest(queue, oldest->second);
    });
    addGroups(byKey);
    std::vector<QueueView> queues;
    queues.reserve(byKey.size());
    for (auto& [key, queue] : byKey)
        queues.push_back(std::move(queue));
    return queues;
}

Totals Farm::totals() const
{
    Totals totals;
    m_planner.placements().forEach([&](sched::PlacementIndex, const work::Placement&,
                                       const sched::PlacementTable::Counts& counts) {
        totals.stepsBlocked += counts[static_cast<std::size_t>(work::StepState::Blocked)];
        totals.stepsReady += counts[static_cast<std::size_t>(work::StepState::Ready)];
        totals.stepsDelayed += counts[static_cast<std::size_t>(work::StepState::Delayed)];
        totals.stepsRunning += counts[static_cast<std::size_t>(work::StepState::Running)];
    });
    totals.jobsOpen = m_openJobs;
    m_machines.forEach([&](MachineId, const MachineRecord& machine) {
        ++totals.machinesTotal;
        totals.slotsUsed += machine.running.size();
        if (machine.link != Link::Ready)
            return;
        ++totals.machinesConnected;
        totals.machinesDraining += machine.isDraining() ? 1U : 0U;
        totals.machinesQuarantined += conditionOf(machine) == MachineCondition::Quarantined ? 1U : 0U;
        totals.slotsTotal += machine.facts.maxJobs;
    });
    totals.databaseOk = m_storeOk;
    totals.databaseError = m_storeError;
    totals.unconfirmedBatches = m_sequence - m_confirmed;
    totals.pause = m_pause;
    countWaiting(totals);
    return totals;
}

} // namespace penstock::core::detail
