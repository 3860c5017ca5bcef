// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/stream/record_decode.h"

#include <algorithm>
#include <cmath>

namespace penstock::gui::decode {

namespace {

constexpr std::uint64_t kLatestMicros = 253'402'300'800'000'000; // the year 10000: later times are nonsense

} // namespace

std::optional<WallTime> timeOf(std::uint64_t micros)
{
    if (micros == 0 || micros > kLatestMicros)
        return std::nullopt;
    return WallTime::fromMicros(static_cast<std::int64_t>(micros));
}

double drawable(double value)
{
    constexpr double kHighest = 1e12;
    return std::isfinite(value) && value > 0 ? std::min(value, kHighest) : 0.0;
}

FarmTotals totalsOf(const monitor::FarmTotals& from)
{
    std::vector<ReasonCount> waiting;
    for (const monitor::ReasonCount& reason : from.waiting())
        waiting.push_back({reason.code(), reason.steps()});
    std::optional<DispatchPause> pause;
    if (from.has_pause())
        pause = {from.pause().who(), from.pause().note(), timeOf(from.pause().since_us())};
    return {.stepsBlocked = from.steps_blocked(),
            .stepsReady = from.steps_ready(),
            .stepsRunning = from.steps_running(),
            .stepsDelayed = from.steps_delayed(),
            .jobsOpen = from.jobs_open(),
            .finishedOk = from.finished_ok(),
            .finishedFailed = from.finished_failed(),
            .finishedCancelled = from.finished_cancelled(),
            .retries = from.retries(),
            .slotsTotal = from.slots_total(),
            .slotsUsed = from.slots_used(),
            .machinesTotal = from.machines_total(),
            .machinesConnected = from.machines_connected(),
            .databaseOk = from.database_ok(),
            .databaseError = from.database_error(),
            .machinesDraining = from.machines_draining(),
            .machinesQuarantined = from.machines_quarantined(),
            .waiting = std::move(waiting),
            .pause = std::move(pause)};
}

QueuePtr queueOf(const monitor::QueueRecord& from)
{
    std::vector<GroupCount> groups;
    for (const monitor::GroupCount& group : from.groups())
        groups.push_back({group.group(), group.steps()});
    return std::make_shared<const QueueRecord>(QueueRecord{.key = from.key(),
                                                           .system = from.system(),
                                                           .features = stringsOf(from.features()),
                                                           .queued = from.queued(),
                                                           .running = from.running(),
                                                           .blocked = from.blocked(),
                                                           .oldestReady = timeOf(from.oldest_ready_us()),
                                                           .eligibleMachines = from.eligible_machines(),
                                                           .freeSlots = from.free_slots(),
                                                           .delayed = from.delayed(),
                                                           .groups = std::move(groups),
                                                           .oldestStep = optionalIdOf<StepId>(from.oldest_step_id()),
                                                           .oldestJob = optionalIdOf<JobId>(from.oldest_job_id())});
}

SharePtr shareOf(const monitor::ShareRecord& from)
{
    constexpr std::uint64_t kLongest = std::uint64_t{1} << 53U; // microseconds: some 285 years
    const auto used = std::chrono::microseconds(static_cast<std::int64_t>(std::min(from.used_us(), kLongest)));
    return std::make_shared<const ShareRecord>(ShareRecord{.group = from.group(),
                                                           .shares = from.shares(),
                                                           .used = used,
                                                           .usedPercent = drawable(from.used_percent()),
                                                           .targetPercent = drawable(from.target_percent()),
                                                           .running = from.running(),
                                                           .queued = from.queued()});
}

JobState stateOf(monitor::JobState from)
{
    switch (from) {
    case monitor::JOB_QUEUED: return JobState::Queued;
    case monitor::JOB_RUNNING: return JobState::Running;
    case monitor::JOB_SUCCEEDED: return JobState::Succeeded;
    case monitor::JOB_FAILED: return JobState::Failed;
    case monitor::JOB_CANCELLED: return JobState::Cancelled;
    default: return JobState::Unknown;
    }
}

StepState stateOf(monitor::StepState from)
{
    switch (from) {
    case monitor::STEP_BLOCKED: return StepState::Blocked;
    case monitor::STEP_READY: return StepState::Ready;
    case monitor::STEP_DELAYED: return StepState::Delayed;
    case monitor::STEP_RUNNING: return StepState::Running;
    case monitor::STEP_SUCCEEDED: return StepState::Succeeded;
    case monitor::STEP_FAILED: return StepState::Failed;
    case monitor::STEP_CANCELLED: return StepState::Cancelled;
    default: return StepState::Unknown;
    }
}

Result<JobPtr> jobOf(const monitor::JobRecord& from)
{
    PENSTOCK_TRY(const JobId id, idOf<JobId>(from.id(), "job.id"));
    return std::make_shared<const JobRecord>(JobRecord{.id = id,
                                                       .name = from.name(),
                                                       .user = from.user(),
                                                       .space = from.namespace_(),
                                                       .state = stateOf(from.state()),
                                                       .priority = from.priority(),
                                                       .created = timeOf(from.created_us()),
                                                       .started = timeOf(from.started_us()),
                                                       .finished = timeOf(from.finished_us()),
                                                       .stepsTotal = from.steps_total(),
                                                       .stepsDone = from.steps_done(),
                                                       .stepsRunning = from.steps_running(),
                                                       .stepsFailed = from.steps_failed(),
                                                       .result = from.result(),
                                                       .exitCode = from.exit_code(),
                                                       .signal = from.signal(),
                                                       .error = from.error()});
}

Result<StepPtr> stepOf(const monitor::StepRecord& from)
{
    PENSTOCK_TRY(const StepId id, idOf<StepId>(from.id(), "step.id"));
    StepRecord step{.id = id,
                    .name = from.name(),
                    .drvPath = from.drv_path(),
                    .state = stateOf(from.state()),
                    .result = from.result(),
                    .attempt = optionalIdOf<AttemptId>(from.attempt_id()),
                    .attempts = from.attempts(),
                    .machine = from.machine(),
                    .ready = timeOf(from.ready_us()),
                    .started = timeOf(from.started_us()),
                    .finished = timeOf(from.finished_us()),
                    .phase = from.phase(),
                    .exitCode = from.exit_code(),
                    .signal = from.signal(),
                    .error = from.error(),
                    .dependsOn = {},
                    .outputs = {},
                    .failedDependency = optionalIdOf<StepId>(from.failed_dependency()),
                    .requested = from.requested(),
                    .logBytes = from.log_bytes()};
    for (const std::uint64_t dependency : from.depends_on()) {
        PENSTOCK_TRY(const StepId on, idOf<StepId>(dependency, "step.depends_on"));
        step.dependsOn.push_back(on);
    }
    for (const monitor::StepOutput& output : from.outputs())
        step.outputs.push_back({output.name(), output.path()});
    return std::make_shared<const StepRecord>(std::move(step));
}

} // namespace penstock::gui::decode
