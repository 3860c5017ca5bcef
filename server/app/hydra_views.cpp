// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_views.h"

#include "server/hydra/side_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::app {
namespace {

double percentOf(std::uint64_t part, std::uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

http::HydraTimes timesOf(const core::AttemptTimes& times)
{
    return {times.attempts, times.total, times.fetching, times.building, times.sending};
}

http::HydraPressure some(const protocol::Pressure& pressure)
{
    return {pressure.someAvg10, pressure.someAvg60, pressure.someAvg300, pressure.someTotalMicros};
}

http::HydraPressure full(const protocol::Pressure& pressure)
{
    return {pressure.fullAvg10, pressure.fullAvg60, pressure.fullAvg300, pressure.fullTotalMicros};
}

void addLoad(http::HydraMachine& view, const protocol::LoadSample& load, const protocol::Thresholds& thresholds)
{
    view.memoryUsed = view.memoryBytes - std::min(view.memoryBytes, load.memoryAvailableBytes);
    view.load1 = load.load1;
    view.load5 = load.load5;
    view.load15 = load.load15;
    view.buildDirFree = percentOf(load.diskFreeBytes, load.diskTotalBytes);
    view.storeFree = percentOf(load.storeFreeBytes, load.storeTotalBytes);
    view.buildDirThreshold = percentOf(thresholds.minFreeDiskBytes, load.diskTotalBytes);
    view.storeThreshold = percentOf(thresholds.minFreeDiskBytes, load.storeTotalBytes);
    if (load.pressure)
        view.pressure = http::HydraPressures{some(load.pressure->cpu), some(load.pressure->memory),
                                             full(load.pressure->memory), some(load.pressure->io),
                                             full(load.pressure->io)};
}

void addFacts(http::HydraMachine& view, protocol::MachineFacts&& facts)
{
    view.systems = std::move(facts.systems);
    view.supportedFeatures = std::move(facts.features);
    view.mandatoryFeatures = std::move(facts.mandatoryFeatures);
    view.nixVersion = std::move(facts.nixVersion);
    view.cores = facts.cores;
    view.bogomips = facts.bogomips;
    view.speedFactor = facts.speedFactor;
    view.maxJobs = facts.maxJobs;
    view.memoryBytes = facts.memoryBytes;
}

void addRunning(http::HydraMachine& view, const core::MachineView& machine)
{
    for (std::size_t at = 0; at < machine.running.size(); ++at) {
        const std::string& key = machine.runningKeys[at];
        view.jobs.push_back(key.empty() ? machine.runningNames[at] : key.substr(key.rfind('/') + 1));
        const std::string& phase = machine.running[at].phase;
        view.uploading += phase == "uploading" ? 1U : 0U;
        view.fetching += phase == "sending-inputs" || phase == "preparing" ? 1U : 0U;
    }
}

std::uint64_t waitingFor(const core::Totals& totals, std::string_view code)
{
    const auto found = totals.waiting.find(std::string(code));
    return found == totals.waiting.end() ? 0 : found->second;
}

void addQueues(http::HydraFarm& view, const core::FarmCore& farm, Now now)
{
    for (const core::QueueView& queue : farm.queues()) {
        http::HydraQueue& sum = view.queues[queue.system];
        sum.running += queue.running;
        sum.ready += queue.queued;
        sum.delayed += queue.delayed;
        if (queue.oldestReady)
            sum.oldestWait = std::max(sum.oldestWait, now.wall - *queue.oldestReady);
    }
}

} // namespace

http::HydraFarm hydraFarm(const core::FarmCore& farm, const dispatch::DispatchCounters& dispatch, Now now)
{
    http::HydraFarm view;
    const core::Totals totals = farm.totals();
    const core::Counters& counters = farm.counters();
    view.now = now.wall;
    view.stepsBlocked = totals.stepsBlocked;
    view.stepsReady = totals.stepsReady;
    view.stepsDelayed = totals.stepsDelayed;
    view.stepsRunning = totals.stepsRunning;
    for (const std::string_view code : {"unsupported-system", "missing-feature", "mandatory-feature-mismatch"})
        view.stepsUnsupported += waitingFor(totals, code);
    view.unsupportedEnded = counters.unsupported;
    view.stepsStarted = counters.attemptsStarted;
    view.stepsDone = counters.finishedOk + counters.finishedFailed;
    view.stepsCancelled = counters.finishedCancelled;
    view.retries = counters.retries;
    view.mostRetries = counters.mostAttempts == 0 ? 0 : counters.mostAttempts - 1;
    view.buildsSucceeded = counters.jobsSucceeded;
    view.buildsFailed = counters.jobsFailed;
    view.times = timesOf(counters.times);
    view.dispatches = dispatch.batches;
    view.dispatchTime = Duration(static_cast<std::int64_t>(dispatch.busyMicros));
    view.machines = totals.machinesConnected;
    for (const core::NamespaceView& nameSpace : farm.namespaces())
        if (nameSpace.limits.name == hydra::kNameSpace)
            view.buildsOpen = nameSpace.openJobs;
    addQueues(view, farm, now);
    return view;
}

http::HydraCounters hydraCounters(const hydra::IntakeCounters& intake, Duration running, unsigned others)
{
    http::HydraCounters counters;
    counters.passesStarted = intake.passesStarted;
    counters.passesFinished = intake.passesFinished;
    counters.passesCutShort = intake.passesInterrupted;
    counters.wakeups = intake.wakeUps;
    counters.buildsLoaded = intake.buildsHanded;
    counters.stepsLoaded = intake.stepsCreated;
    counters.buildsRead = intake.buildsRead;
    counters.readTime = intake.readTime;
    counters.busyTime = intake.busy;
    counters.idleTime = std::max(running - intake.busy, Duration(0));
    counters.buildsWaiting = intake.waiting;
    counters.cachedSuccesses = intake.cachedSuccesses;
    counters.cachedFailures = intake.cachedFailures;
    counters.aborted = intake.aborted;
    counters.substitutesSucceeded = intake.fetched;
    counters.substitutesFailed = intake.fetchFailures;
    counters.substitutesStarted = intake.fetched + intake.fetchFailures;
    counters.connections = intake.connections + others;
    counters.lastDiff = intake.lastDiff;
    counters.lastError = intake.lastError;
    return counters;
}

void addHydraCounters(http::HydraFarm& farm, const http::HydraCounters& counters, bool served)
{
    farm.counters = counters;
    if (!served) { // jobs of a farm are no builds
        farm.buildsOpen = farm.buildsUnfinished = farm.buildsSucceeded = farm.buildsFailed = 0;
        return;
    }
    farm.buildsSucceeded += counters.cachedSuccesses;
    farm.buildsFailed += counters.cachedFailures + counters.aborted;
    farm.buildsDone = farm.buildsSucceeded + farm.buildsFailed;
    farm.buildsUnfinished = farm.buildsOpen + counters.buildsWaiting;
}

std::optional<http::HydraMachine> hydraMachine(core::MachineView&& machine, Now now)
{
    if (!machine.connected && machine.running.empty())
        return std::nullopt;
    http::HydraMachine view;
    view.name = machine.facts.name;
    addFacts(view, std::move(machine.facts));
    if (machine.load)
        addLoad(view, *machine.load, machine.thresholds);
    addRunning(view, machine);
    view.uptime = machine.connected ? now.wall - *machine.connected : Duration(0);
    view.load1Threshold = machine.thresholds.load1;
    view.cpuThreshold = machine.thresholds.cpuPsi;
    view.memThreshold = machine.thresholds.memoryPsi;
    if (machine.thresholds.ioPsi > 0)
        view.ioThreshold = machine.thresholds.ioPsi;
    view.score = machine.score;
    view.hasRoom = machine.hasRoom;
    view.hasSlots = machine.connected && machine.used < view.maxJobs;
    view.isCalm = machine.connected && machine.over.empty();
    view.finished = machine.finished;
    view.failed = machine.failed;
    view.times = timesOf(machine.times);
    view.idleSince = machine.idleSince;
    view.lastFailure = machine.lastFailure;
    view.disabledUntil = machine.health.until;
    view.failuresInRow = machine.health.failuresInRow;
    view.lastSeen = machine.lastSeen;
    if (machine.lastSeen)
        view.sinceLastSeen = std::max(Duration(0), now.wall - *machine.lastSeen);
    return view;
}

http::HydraJobset hydraJobset(const core::ShareView& share)
{
    http::HydraJobset view;
    const auto colon = share.group.find(':');
    view.project = share.group.substr(0, colon);
    if (colon != std::string::npos)
        view.name = share.group.substr(colon + 1);
    view.used = share.used;
    view.shares = share.shares;
    return view;
}

http::HydraStep hydraStep(core::LiveStep&& step)
{
    http::HydraStep view;
    view.id = step.id.value();
    view.drvPath = std::move(step.name);
    view.system = std::move(step.system);
    view.isRunnable = step.state == work::StepState::Ready || step.state == work::StepState::Delayed;
    view.isScheduled = step.state == work::StepState::Running;
    view.hasFailed = step.failures > 0;
    view.created = step.created;
    view.runnableSince = step.readySince;
    view.tries = step.attempts;
    view.dependencies = step.dependencies;
    if (step.priority)
        view.localPriority = *step.priority;
    return view;
}

std::string MachineKeys::keyOf(const std::string& name, MachineId id)
{
    if (m_taken.insert(name).second)
        return name;
    return *m_taken.insert(fmt::format("{}#{}", name, id.value())).first;
}

} // namespace penstock::app
