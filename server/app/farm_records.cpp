// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/farm_records.h"

#include "server/app/feed_records.h"
#include "server/work/step.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>
#include <variant>

namespace penstock::app {
namespace {

feed::JobEntry toEntry(core::JobView&& view)
{
    feed::JobEntry entry;
    entry.id = view.id;
    entry.name = std::move(view.name);
    entry.user = std::move(view.user);
    entry.nameSpace = std::move(view.nameSpace);
    entry.state = view.progress.state;
    entry.priority = view.priority;
    entry.created = view.created;
    entry.started = view.progress.started;
    entry.finished = view.progress.finished;
    entry.stepsTotal = view.stepsTotal;
    entry.stepsDone = view.stepsDone;
    entry.stepsRunning = view.stepsRunning;
    entry.stepsFailed = view.stepsFailed;
    // A cancelled job that still has running attempts has its result before its end.
    if (work::isFinished(entry.state))
        entry.result = view.progress.result;
    entry.exitCode = view.progress.exitCode;
    entry.signal = view.progress.signal;
    entry.error = std::move(view.progress.error);
    return entry;
}

std::vector<feed::OutputEntry> outputsOf(const std::vector<work::OutputFact>& facts)
{
    std::vector<feed::OutputEntry> outputs;
    for (const work::OutputFact& fact : facts)
        outputs.push_back({fact.name, fact.path});
    return outputs;
}

// The fields that a step's record takes from its newest attempt.
void addAttempt(feed::StepEntry& entry, AttemptId id, const work::AttemptProgress& progress)
{
    entry.newestAttempt = id;
    entry.started = progress.started;
    entry.exitCode = progress.exitCode;
    entry.signal = progress.signal;
    entry.logBytes = progress.logBytes;
    entry.outputs = outputsOf(progress.outputs);
    if (entry.error.empty())
        entry.error = progress.error;
}

feed::StepEntry toEntry(StepId id, std::string name, const work::StepProgress& progress)
{
    feed::StepEntry entry;
    entry.id = id;
    entry.name = std::move(name);
    entry.state = progress.state;
    entry.result = progress.result;
    entry.attempts = progress.attempts;
    entry.readySince = progress.readySince;
    entry.finished = progress.finished;
    entry.error = progress.error;
    entry.failedDependency = progress.failedDependency;
    return entry;
}

feed::StepEntry toEntry(core::StepView&& view)
{
    feed::StepEntry entry = toEntry(view.id, std::move(view.name), view.progress);
    entry.drvPath = std::move(view.drvPath);
    entry.dependsOn = std::move(view.dependsOn);
    entry.root = view.root;
    for (work::NixOutput& output : view.outputs)
        entry.outputs.push_back({std::move(output.name), std::move(output.path)});
    if (view.newest) {
        addAttempt(entry, view.newest->id, view.newest->progress);
        entry.machine = view.newest->machineName;
        entry.phase = view.newest->phase;
    }
    return entry;
}

feed::MachineCondition toCondition(core::MachineCondition condition)
{
    switch (condition) {
    case core::MachineCondition::Ready: return feed::MachineCondition::Ready;
    case core::MachineCondition::Draining: return feed::MachineCondition::Draining;
    case core::MachineCondition::Quarantined: return feed::MachineCondition::Quarantined;
    case core::MachineCondition::Disconnected: break;
    }
    return feed::MachineCondition::Disconnected;
}

void addLoad(feed::MachineEntry& entry, const protocol::LoadSample& load)
{
    entry.memoryAvailableBytes = load.memoryAvailableBytes;
    entry.load1 = load.load1;
    entry.cpuBusyPercent = load.cpuBusyPercent;
    entry.diskFreeBytes = load.diskFreeBytes;
    entry.diskTotalBytes = load.diskTotalBytes;
    entry.diskFreeInodes = load.diskFreeInodes;
    if (load.pressure)
        entry.pressure = {load.pressure->cpu.someAvg10, load.pressure->memory.someAvg10,
                          load.pressure->memory.fullAvg10, load.pressure->io.someAvg10, load.pressure->io.fullAvg10};
}

feed::MachineEntry toEntry(core::MachineView&& view)
{
    feed::MachineEntry entry;
    entry.thresholds = thresholdsOf(view);
    entry.health = healthOf(view.health);
    entry.room = roomOf(view);
    protocol::MachineFacts& facts = view.facts;
    entry.id = view.id;
    entry.name = std::move(facts.name);
    entry.condition = toCondition(view.condition);
    entry.note = std::move(view.note);
    entry.os = std::move(facts.os);
    entry.systems = std::move(facts.systems);
    entry.features = std::move(facts.features);
    entry.mandatoryFeatures = std::move(facts.mandatoryFeatures);
    entry.tags = std::move(facts.tags);
    entry.users = std::move(facts.users);
    entry.executors = std::move(facts.executors);
    entry.slots = facts.maxJobs;
    entry.used = view.used;
    entry.cores = facts.cores;
    entry.memoryBytes = facts.memoryBytes;
    if (view.load)
        addLoad(entry, *view.load);
    entry.lastSeen = view.lastSeen;
    entry.version = std::move(view.version);
    entry.finished = view.finished;
    entry.failed = view.failed;
    for (std::size_t i = 0; i < view.running.size(); ++i) {
        core::AttemptView& attempt = view.running.at(i);
        entry.running.push_back({attempt.id, attempt.step, attempt.job, std::move(view.runningNames.at(i)),
                                 attempt.progress.started.value_or(attempt.created), std::move(attempt.phase)});
    }
    return entry;
}

std::vector<feed::QueueEntry> queueEntries(const core::FarmCore& farm)
{
    std::vector<feed::QueueEntry> entries;
    for (core::QueueView& queue : farm.queues())
        entries.push_back({std::move(queue.key), std::move(queue.system), std::move(queue.features),
                           queue.queued + queue.delayed, queue.running, queue.blocked, queue.oldestReady,
                           queue.eligibleMachines, queue.freeSlots, queue.delayed, groupsOf(queue.queuedByGroup),
                           queue.oldestStep, queue.oldestJob});
    return entries;
}

void addJobs(const core::FarmCore& farm, const std::vector<JobId>& ids, std::vector<feed::JobEntry>& jobs)
{
    for (const JobId id : ids)
        if (auto job = farm.job(id); job)
            jobs.push_back(toEntry(*std::move(job)));
}

} // namespace

feed::MachineEntry machineEntry(core::MachineView&& view)
{
    return toEntry(std::move(view));
}

bool isOpen(const core::FarmCore& farm, JobId job)
{
    const auto view = farm.job(job);
    return view && !work::isFinished(view->progress.state);
}

feed::FarmTotals totalsOf(const core::FarmCore& farm)
{
    const core::Totals totals = farm.totals();
    const core::Counters& counters = farm.counters();
    feed::FarmTotals result;
    result.stepsBlocked = totals.stepsBlocked;
    result.stepsReady = totals.stepsReady;
    result.stepsRunning = totals.stepsRunning;
    result.stepsDelayed = totals.stepsDelayed;
    result.jobsOpen = totals.jobsOpen;
    result.finishedOk = counters.finishedOk;
    result.finishedFailed = counters.finishedFailed;
    result.finishedCancelled = counters.finishedCancelled;
    result.retries = counters.retries;
    result.slotsTotal = totals.slotsTotal;
    result.slotsUsed = totals.slotsUsed;
    result.machinesTotal = totals.machinesTotal;
    result.machinesConnected = totals.machinesConnected;
    result.machinesDraining = totals.machinesDraining;
    result.databaseOk = totals.databaseOk;
    result.databaseError = totals.databaseError;
    result.machinesQuarantined = totals.machinesQuarantined;
    result.waiting = waitingOf(totals);
    result.pause = pauseOf(totals.pause);
    return result;
}

std::vector<feed::MachineEntry> machineEntries(const core::FarmCore& farm)
{
    std::vector<feed::MachineEntry> entries;
    for (const MachineId id : farm.machines())
        if (auto machine = farm.machine(id); machine)
            entries.push_back(toEntry(*std::move(machine)));
    return entries;
}

feed::FarmRecords farmRecords(const core::FarmCore& farm, const feed::FarmRequest& request, Now now)
{
    feed::FarmRecords records;
    records.totals = totalsOf(farm);
    records.queues = queueEntries(farm);
    if (request.allMachines)
        records.machines = machineEntries(farm);
    else
        for (const MachineId id : request.machines)
            if (auto machine = farm.machine(id); machine)
                records.machines.push_back(toEntry(*std::move(machine)));
    if (request.newestJobs) {
        addJobs(farm, farm.newestJobs(false, feed::kShownOpenJobs), records.jobs);
        addJobs(farm, farm.newestJobs(true, feed::kShownFinishedJobs), records.jobs);
    }
    addJobs(farm, request.jobs, records.jobs);
    if (request.shares)
        records.shares = shareEntries(farm, now);
    return records;
}

Result<feed::JobRecords> jobRecords(const core::FarmCore& farm, JobId job, const std::vector<StepId>* steps)
{
    auto view = farm.job(job);
    if (!view)
        return fail(ErrorCode::NotFound, fmt::format("no job {}", job.value()));
    feed::JobRecords records{toEntry(*std::move(view)), {}};
    for (const StepId id : steps == nullptr ? farm.stepsOf(job) : *steps)
        if (auto step = farm.step(id, job); step)
            records.steps.push_back(toEntry(*std::move(step)));
    return records;
}

feed::JobEntry toEntry(const store::JobView& view)
{
    feed::JobEntry entry;
    const work::JobRow& row = view.row;
    entry.id = row.id;
    entry.name = row.spec.name;
    entry.user = row.spec.user;
    entry.nameSpace = row.spec.nameSpace;
    entry.state = row.progress.state;
    entry.priority = row.spec.priority;
    entry.created = row.created;
    entry.started = row.progress.started;
    entry.finished = row.progress.finished;
    entry.stepsTotal = row.stepsTotal;
    entry.stepsDone = view.stepsDone;
    entry.stepsRunning = view.stepsRunning;
    entry.stepsFailed = view.stepsFailed;
    entry.result = row.progress.result;
    entry.exitCode = row.progress.exitCode;
    entry.signal = row.progress.signal;
    entry.error = row.progress.error;
    return entry;
}

feed::StepEntry toEntry(const store::StepView& view)
{
    feed::StepEntry entry = toEntry(view.row.id, view.row.spec.name, view.row.progress);
    if (view.row.spec.work != nullptr)
        entry.drvPath = view.row.spec.sharingKey();
    entry.dependsOn = view.dependsOn;
    entry.root = view.root;
    if (view.newest)
        addAttempt(entry, view.newest->id, view.newest->progress);
    else if (view.row.spec.work != nullptr && entry.result && work::isGood(*entry.result))
        for (work::NixOutput& output : work::knownOutputs(*view.row.spec.work, view.row.progress))
            entry.outputs.push_back({std::move(output.name), std::move(output.path)});
    entry.machine = view.machine;
    return entry;
}

} // namespace penstock::app
