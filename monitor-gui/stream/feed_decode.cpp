// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/stream/feed_decode.h"

#include "proto/monitor.pb.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <google/protobuf/arena.h>
#include <limits>

namespace penstock::gui {

namespace {

constexpr std::uint64_t kLatestMicros = 253'402'300'800'000'000; // the year 10000: later times are nonsense

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

template <class Field> std::vector<std::string> stringsOf(const Field& field)
{
    return {field.begin(), field.end()};
}

FarmTotals totalsOf(const monitor::FarmTotals& from)
{
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
            .databaseError = from.database_error()};
}

QueuePtr queueOf(const monitor::QueueRecord& from)
{
    return std::make_shared<const QueueRecord>(QueueRecord{.key = from.key(),
                                                           .system = from.system(),
                                                           .features = stringsOf(from.features()),
                                                           .queued = from.queued(),
                                                           .running = from.running(),
                                                           .blocked = from.blocked(),
                                                           .oldestReady = timeOf(from.oldest_ready_us()),
                                                           .eligibleMachines = from.eligible_machines(),
                                                           .freeSlots = from.free_slots()});
}

MachineState stateOf(monitor::MachineState from)
{
    switch (from) {
    case monitor::MACHINE_READY: return MachineState::Ready;
    case monitor::MACHINE_DRAINING: return MachineState::Draining;
    case monitor::MACHINE_DISCONNECTED: return MachineState::Disconnected;
    case monitor::MACHINE_QUARANTINED: return MachineState::Quarantined;
    default: // a newer server may know more states
        return MachineState::Unknown;
    }
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

template <class IdType> Result<IdType> idOf(std::uint64_t value, std::string_view field)
{
    if (value == 0)
        return fail(ErrorCode::Invalid,
                    fmt::format("{} is 0, which is no id; the server is at fault", field));
    return IdType(value);
}

template <class IdType> std::optional<IdType> optionalIdOf(std::uint64_t value)
{
    return value == 0 ? std::nullopt : std::optional<IdType>(value);
}

std::vector<RunningStep> runningOf(const monitor::MachineRecord& from)
{
    std::vector<RunningStep> running;
    for (const monitor::RunningStep& step : from.running()) {
        if (step.attempt_id() == 0 || step.step_id() == 0 || step.job_id() == 0)
            continue; // cannot be opened, so it is not listed
        running.push_back({AttemptId(step.attempt_id()), StepId(step.step_id()), JobId(step.job_id()),
                           step.name(), timeOf(step.since_us()).value_or(WallTime{}), step.phase()});
    }
    return running;
}

std::optional<Pressure> pressureOf(const monitor::MachineRecord& from)
{
    if (!from.has_psi())
        return std::nullopt;
    return Pressure{drawable(from.psi_cpu_some()), drawable(from.psi_mem_some()),
                    drawable(from.psi_mem_full()), drawable(from.psi_io_some()),
                    drawable(from.psi_io_full())};
}

Result<MachinePtr> machineOf(const monitor::MachineRecord& from)
{
    PENSTOCK_TRY(const MachineId id, idOf<MachineId>(from.id(), "machine.id"));
    return std::make_shared<const MachineRecord>(
        MachineRecord{.id = id,
                      .name = from.name(),
                      .state = stateOf(from.state()),
                      .note = from.note(),
                      .systems = stringsOf(from.systems()),
                      .features = stringsOf(from.features()),
                      .mandatoryFeatures = stringsOf(from.mandatory_features()),
                      .tags = stringsOf(from.tags()),
                      .slots = from.slots(),
                      .used = from.used(),
                      .cores = from.cores(),
                      .memoryBytes = from.memory_bytes(),
                      .memoryAvailableBytes = std::min(from.memory_available_bytes(), from.memory_bytes()),
                      .load1 = drawable(from.load1()),
                      .cpuBusyPercent = drawable(from.cpu_busy_percent()),
                      .pressure = pressureOf(from),
                      .gates = {drawable(from.limit_psi_cpu()), drawable(from.limit_psi_mem()),
                                drawable(from.limit_psi_io()), drawable(from.limit_load1())},
                      .diskFreeBytes = from.disk_free_bytes(),
                      .diskTotalBytes = from.disk_total_bytes(),
                      .lastSeen = timeOf(from.last_seen_us()),
                      .version = from.version(),
                      .finished = from.finished(),
                      .failed = from.failed(),
                      .running = runningOf(from),
                      .executors = stringsOf(from.executors())});
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

template <class From, class To> Result<void> recordsOf(const From& from, To& to)
{
    to.totals = totalsOf(from.totals());
    for (const monitor::QueueRecord& queue : from.queues())
        to.queues.push_back(queueOf(queue));
    for (const monitor::MachineRecord& record : from.machines()) {
        PENSTOCK_TRY(MachinePtr machine, machineOf(record));
        to.machines.push_back(std::move(machine));
    }
    for (const monitor::JobRecord& record : from.jobs()) {
        PENSTOCK_TRY(JobPtr job, jobOf(record));
        to.jobs.push_back(std::move(job));
    }
    return {};
}

Result<SnapshotEvent> snapshotOf(const monitor::FarmSnapshot& from)
{
    SnapshotEvent event{.watch = from.watch(),
                        .stream = from.stream(),
                        .number = from.number(),
                        .totals = {},
                        .queues = {},
                        .machines = {},
                        .jobs = {},
                        .resumed = from.resumed()};
    PENSTOCK_TRY_VOID(recordsOf(from, event));
    return event;
}

Result<DeltaEvent> deltaOf(const monitor::FarmDelta& from)
{
    DeltaEvent event;
    event.watch = from.watch();
    event.number = from.number();
    PENSTOCK_TRY_VOID(recordsOf(from, event));
    event.removedQueues = stringsOf(from.removed_queues());
    for (const std::uint64_t value : from.removed_machines()) {
        PENSTOCK_TRY(const MachineId id, idOf<MachineId>(value, "removed_machines"));
        event.removedMachines.push_back(id);
    }
    for (const std::uint64_t value : from.removed_jobs()) {
        PENSTOCK_TRY(const JobId id, idOf<JobId>(value, "removed_jobs"));
        event.removedJobs.push_back(id);
    }
    return event;
}

Result<JobEvent> jobUpdateOf(const monitor::JobUpdate& from)
{
    JobEvent event;
    event.watch = from.watch();
    event.complete = from.complete();
    if (from.has_job()) {
        PENSTOCK_TRY(event.job, jobOf(from.job()));
    }
    for (const monitor::StepRecord& record : from.steps()) {
        PENSTOCK_TRY(StepPtr step, stepOf(record));
        event.steps.push_back(std::move(step));
    }
    return event;
}

LogStream streamOf(monitor::LogStream from)
{
    switch (from) {
    case monitor::LOG_OUT: return LogStream::Out;
    case monitor::LOG_ERR: return LogStream::Err;
    default: return LogStream::System;
    }
}

Result<LogEvent> logOf(monitor::LogData& from)
{
    constexpr std::uint64_t kHighestOffset = std::uint64_t{1} << 62U;
    if (from.offset() > kHighestOffset || from.size() > kHighestOffset)
        return fail(ErrorCode::Invalid,
                    fmt::format("log offset {} or size {} is above 2^62; the server is at fault",
                                from.offset(), from.size()));
    LogEvent event;
    event.watch = from.watch();
    event.attempt = optionalIdOf<AttemptId>(from.attempt_id());
    event.offset = from.offset();
    event.gap = from.gap();
    event.size = from.size();
    event.ended = from.ended();
    for (monitor::LogEntry& entry : *from.mutable_records()) {
        event.pieces.push_back({timeOf(entry.time_us()).value_or(WallTime{}), streamOf(entry.stream()),
                                std::move(*entry.mutable_data())});
    }
    return event;
}

HelloEvent helloOf(const monitor::ServerHello& from)
{
    const auto period = [](std::uint32_t milliseconds, std::uint32_t fallback) {
        return Duration{std::chrono::milliseconds(milliseconds == 0 ? fallback : milliseconds)};
    };
    return {from.protocol(), from.version(), from.server_name(), period(from.period_ms(), 1000),
            period(from.machine_period_ms(), 5000)};
}

template <class T> Result<FeedEvent> eventOf(WallTime time, Result<T> body)
{
    if (!body)
        return fail(std::move(body).error());
    return FeedEvent{time, *std::move(body)};
}

} // namespace

Result<FeedEvent> decodeFeed(ByteView payload)
{
    google::protobuf::Arena arena;
    auto& message = *google::protobuf::Arena::CreateMessage<monitor::FeedMessage>(&arena);
    if (payload.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
        !message.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
        return fail(ErrorCode::Corrupt,
                    fmt::format("a frame of {} bytes is no feed message", payload.size()));
    const WallTime time = timeOf(message.server_time_us()).value_or(WallTime{});
    switch (message.kind_case()) {
    case monitor::FeedMessage::kHello: return FeedEvent{time, helloOf(message.hello())};
    case monitor::FeedMessage::kSnapshot: return eventOf(time, snapshotOf(message.snapshot()));
    case monitor::FeedMessage::kDelta: return eventOf(time, deltaOf(message.delta()));
    case monitor::FeedMessage::kJob: return eventOf(time, jobUpdateOf(message.job()));
    case monitor::FeedMessage::kLog: return eventOf(time, logOf(*message.mutable_log()));
    case monitor::FeedMessage::kEnd:
        return FeedEvent{time, WatchEndEvent{message.end().watch(), message.end().error()}};
    case monitor::FeedMessage::kProblem:
        return FeedEvent{time, ProblemEvent{message.problem().watch(), message.problem().code(),
                                            message.problem().message()}};
    case monitor::FeedMessage::kPong: return FeedEvent{time, PongEvent{message.pong().sequence()}};
    case monitor::FeedMessage::kGoodbye:
        return FeedEvent{time, GoodbyeEvent{message.goodbye().code(), message.goodbye().text()}};
    case monitor::FeedMessage::kExplanation: // never asked for
    case monitor::FeedMessage::kBuildAccepted: // asked for by the command-line client only
    case monitor::FeedMessage::KIND_NOT_SET: break;
    }
    return FeedEvent{time, UnknownEvent{}};
}

} // namespace penstock::gui
