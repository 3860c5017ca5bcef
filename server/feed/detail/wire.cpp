// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/feed/detail/wire.h"

#include "shared/base/text.h"
#include "shared/protocol/frame.h"

#include <algorithm>

namespace penstock::feed::wire {
namespace {

monitor::MachineState stateOf(MachineCondition condition)
{
    switch (condition) {
    case MachineCondition::Ready: return monitor::MACHINE_READY;
    case MachineCondition::Draining: return monitor::MACHINE_DRAINING;
    case MachineCondition::Disconnected: return monitor::MACHINE_DISCONNECTED;
    case MachineCondition::Quarantined: return monitor::MACHINE_QUARANTINED;
    }
    return monitor::MACHINE_UNSPECIFIED;
}

monitor::StepState stateOf(const StepEntry& step)
{
    switch (step.state) {
    case work::StepState::Blocked: return monitor::STEP_BLOCKED;
    case work::StepState::Ready: return monitor::STEP_READY;
    case work::StepState::Delayed: return monitor::STEP_DELAYED;
    case work::StepState::Running: return monitor::STEP_RUNNING;
    case work::StepState::Finished: break;
    }
    if (step.result == work::StepResult::Cancelled)
        return monitor::STEP_CANCELLED;
    return step.result && work::isGood(*step.result) ? monitor::STEP_SUCCEEDED : monitor::STEP_FAILED;
}

monitor::LogStream streamOf(LogStream stream)
{
    switch (stream) {
    case LogStream::Out: return monitor::LOG_OUT;
    case LogStream::Err: return monitor::LOG_ERR;
    case LogStream::System: return monitor::LOG_SYSTEM;
    }
    return monitor::LOG_UNSPECIFIED;
}

monitor::HealthState stateOf(work::HealthState state)
{
    switch (state) {
    case work::HealthState::Healthy: return monitor::HEALTH_HEALTHY;
    case work::HealthState::Quarantined: return monitor::HEALTH_QUARANTINED;
    case work::HealthState::Probing: return monitor::HEALTH_PROBING;
    case work::HealthState::Parole: return monitor::HEALTH_PAROLE;
    }
    return monitor::HEALTH_UNSPECIFIED;
}

template <class Field> void addAll(Field* field, const std::vector<std::string>& texts)
{
    for (const auto& text : texts)
        field->Add(utf8(text));
}

void appendVarint(std::string& out, std::uint64_t value)
{
    while (value >= 0x80) {
        out.push_back(static_cast<char>(static_cast<unsigned char>(value | 0x80U)));
        value >>= 7U;
    }
    out.push_back(static_cast<char>(value));
}

void write(monitor::MachineHealth& out, const HealthEntry& health)
{
    out.set_state(stateOf(health.state));
    out.set_failures_in_row(health.failuresInRow);
    out.set_quarantines(health.quarantines);
    out.set_until_us(micros(health.until));
    out.set_reason(utf8(health.reason));
}

void write(monitor::MachineRoom& out, const RoomEntry& room)
{
    out.set_open(room.open);
    out.set_closed(utf8(room.closed));
    out.set_score(room.score);
    out.set_cpus(room.cpus);
    out.set_cpus_capacity(room.cpusCapacity);
    out.set_memory_bytes(room.memoryBytes);
    out.set_memory_capacity_bytes(room.memoryCapacityBytes);
    for (const auto& amount : room.named) {
        auto* added = out.add_named();
        added->set_name(utf8(amount.name));
        added->set_reserved(amount.reserved);
        added->set_capacity(amount.capacity);
    }
    out.set_foreign_cpus(room.foreignCpus);
    for (const auto& crossed : room.crossed) {
        auto* added = out.add_crossed();
        added->set_gate(utf8(crossed.gate));
        added->set_value(crossed.value);
        added->set_limit(crossed.limit);
    }
}

void writeThresholds(monitor::MachineRecord& out, const ThresholdsEntry& limits)
{
    out.set_limit_psi_cpu(limits.cpuPsi);
    out.set_limit_psi_mem(limits.memoryPsi);
    out.set_limit_psi_io(limits.ioPsi);
    out.set_limit_load1(limits.load1);
    out.set_limit_disk_free_bytes(limits.minFreeDiskBytes);
    out.set_limit_memory_free_bytes(limits.minFreeMemoryBytes);
    out.set_limit_inodes_free(limits.minFreeInodes);
    addAll(out.mutable_overridden(), limits.overridden);
}

} // namespace

std::uint64_t micros(std::optional<WallTime> at)
{
    return at && at->micros() > 0 ? static_cast<std::uint64_t>(at->micros()) : 0;
}

monitor::JobState stateOf(work::JobState state)
{
    switch (state) {
    case work::JobState::Queued: return monitor::JOB_QUEUED;
    case work::JobState::Running: return monitor::JOB_RUNNING;
    case work::JobState::Succeeded: return monitor::JOB_SUCCEEDED;
    case work::JobState::Failed: return monitor::JOB_FAILED;
    case work::JobState::Cancelled: return monitor::JOB_CANCELLED;
    }
    return monitor::JOB_UNSPECIFIED;
}

std::string utf8(const std::string& text)
{
    return isUtf8(text) ? text : toValidUtf8(text);
}

void write(monitor::FarmTotals& out, const FarmTotals& totals)
{
    out.set_steps_blocked(totals.stepsBlocked);
    out.set_steps_ready(totals.stepsReady);
    out.set_steps_running(totals.stepsRunning);
    out.set_steps_delayed(totals.stepsDelayed);
    out.set_jobs_open(totals.jobsOpen);
    out.set_finished_ok(totals.finishedOk);
    out.set_finished_failed(totals.finishedFailed);
    out.set_finished_cancelled(totals.finishedCancelled);
    out.set_retries(totals.retries);
    out.set_slots_total(totals.slotsTotal);
    out.set_slots_used(totals.slotsUsed);
    out.set_machines_total(totals.machinesTotal);
    out.set_machines_connected(totals.machinesConnected);
    out.set_database_ok(totals.databaseOk);
    out.set_database_error(utf8(totals.databaseError));
    out.set_machines_draining(totals.machinesDraining);
    out.set_machines_quarantined(totals.machinesQuarantined);
    for (const auto& reason : totals.waiting) {
        if (static_cast<std::size_t>(out.waiting_size()) >= kShownReasons)
            break;
        auto* added = out.add_waiting();
        added->set_code(utf8(reason.code));
        added->set_steps(reason.steps);
    }
    if (totals.pause) {
        out.mutable_pause()->set_who(utf8(totals.pause->who));
        out.mutable_pause()->set_note(utf8(totals.pause->note));
        out.mutable_pause()->set_since_us(micros(totals.pause->since));
    }
}

void write(monitor::QueueRecord& out, const QueueEntry& queue)
{
    out.set_key(utf8(queue.key));
    out.set_system(utf8(queue.system));
    addAll(out.mutable_features(), queue.features);
    out.set_queued(queue.queued);
    out.set_running(queue.running);
    out.set_blocked(queue.blocked);
    out.set_oldest_ready_us(micros(queue.oldestReady));
    out.set_eligible_machines(queue.eligibleMachines);
    out.set_free_slots(queue.freeSlots);
    out.set_delayed(queue.delayed);
    for (const auto& group : queue.groups) {
        auto* added = out.add_groups();
        added->set_group(utf8(group.group));
        added->set_steps(group.steps);
    }
    out.set_oldest_step_id(queue.oldestStep ? queue.oldestStep->value() : 0);
    out.set_oldest_job_id(queue.oldestJob ? queue.oldestJob->value() : 0);
}

void write(monitor::ShareRecord& out, const ShareEntry& share)
{
    out.set_group(utf8(share.group));
    out.set_shares(share.shares);
    const auto used = std::chrono::duration_cast<std::chrono::microseconds>(share.used).count();
    out.set_used_us(static_cast<std::uint64_t>(std::max<std::int64_t>(used, 0)));
    out.set_used_percent(share.usedPercent);
    out.set_target_percent(share.targetPercent);
    out.set_running(share.running);
    out.set_queued(share.queued);
}

void write(monitor::MachineRecord& out, const MachineEntry& machine)
{
    out.set_id(machine.id.value());
    out.set_name(utf8(machine.name));
    out.set_state(stateOf(machine.condition));
    out.set_note(utf8(machine.note));
    addAll(out.mutable_systems(), machine.systems);
    addAll(out.mutable_features(), machine.features);
    addAll(out.mutable_mandatory_features(), machine.mandatoryFeatures);
    addAll(out.mutable_tags(), machine.tags);
    addAll(out.mutable_executors(), machine.executors);
    out.set_slots(machine.slots);
    out.set_used(machine.used);
    out.set_cores(machine.cores);
    out.set_memory_bytes(machine.memoryBytes);
    out.set_memory_available_bytes(machine.memoryAvailableBytes);
    out.set_load1(machine.load1);
    out.set_cpu_busy_percent(machine.cpuBusyPercent);
    out.set_has_psi(machine.pressure.has_value());
    if (machine.pressure) {
        out.set_psi_cpu_some(machine.pressure->cpuSome);
        out.set_psi_mem_full(machine.pressure->memoryFull);
        out.set_psi_io_full(machine.pressure->ioFull);
        out.set_psi_mem_some(machine.pressure->memorySome);
        out.set_psi_io_some(machine.pressure->ioSome);
    }
    writeThresholds(out, machine.thresholds);
    out.set_disk_free_bytes(machine.diskFreeBytes);
    out.set_disk_total_bytes(machine.diskTotalBytes);
    out.set_last_seen_us(micros(machine.lastSeen));
    out.set_version(utf8(machine.version));
    out.set_finished(machine.finished);
    out.set_failed(machine.failed);
    out.set_disk_free_inodes(machine.diskFreeInodes);
    out.set_os(utf8(machine.os));
    write(*out.mutable_health(), machine.health);
    if (machine.room)
        write(*out.mutable_room(), *machine.room);
    for (const auto& running : machine.running) {
        auto* step = out.add_running();
        step->set_attempt_id(running.attempt.value());
        step->set_step_id(running.step.value());
        step->set_job_id(running.job.value());
        step->set_name(utf8(running.name));
        step->set_since_us(micros(running.since));
        step->set_phase(utf8(running.phase));
    }
}

void write(monitor::JobRecord& out, const JobEntry& job)
{
    out.set_id(job.id.value());
    out.set_name(utf8(job.name));
    out.set_user(utf8(job.user));
    out.set_namespace_(utf8(job.nameSpace));
    out.set_state(stateOf(job.state));
    out.set_priority(job.priority);
    out.set_created_us(micros(job.created));
    out.set_started_us(micros(job.started));
    out.set_finished_us(micros(job.finished));
    out.set_steps_total(job.stepsTotal);
    out.set_steps_done(job.stepsDone);
    out.set_steps_running(job.stepsRunning);
    out.set_steps_failed(job.stepsFailed);
    if (job.result)
        out.set_result(std::string(toString(*job.result)));
    out.set_exit_code(job.exitCode);
    out.set_signal(job.signal);
    out.set_error(utf8(job.error));
}

void write(monitor::StepRecord& out, const StepEntry& step)
{
    out.set_id(step.id.value());
    out.set_name(utf8(step.name));
    out.set_drv_path(utf8(step.drvPath));
    out.set_state(stateOf(step));
    if (step.result)
        out.set_result(std::string(toString(*step.result)));
    out.set_attempt_id(step.newestAttempt ? step.newestAttempt->value() : 0);
    out.set_attempts(step.attempts);
    out.set_machine(utf8(step.machine));
    out.set_ready_us(micros(step.readySince));
    out.set_started_us(micros(step.started));
    out.set_finished_us(micros(step.finished));
    out.set_phase(utf8(step.phase));
    out.set_exit_code(step.exitCode);
    out.set_signal(step.signal);
    out.set_error(utf8(step.error));
    for (const auto id : step.dependsOn)
        out.add_depends_on(id.value());
    for (const auto& output : step.outputs) {
        auto* added = out.add_outputs();
        added->set_name(utf8(output.name));
        added->set_path(utf8(output.path));
    }
    out.set_failed_dependency(step.failedDependency ? step.failedDependency->value() : 0);
    out.set_requested(step.root);
    out.set_log_bytes(step.logBytes);
}

void write(monitor::LogEntry& out, const LogPiece& piece)
{
    out.set_time_us(micros(piece.time));
    out.set_stream(streamOf(piece.stream));
    out.set_data(piece.data);
}

std::string frame(monitor::FeedMessage& message, Now now)
{
    message.set_server_time_us(micros(now.wall));
    std::string out;
    protocol::appendFrame(out, message.SerializeAsString());
    return out;
}

std::string deltaFrame(std::string_view delta, std::uint64_t watch, Now now)
{
    // Fields of a protobuf message may come in any order, so the watch is added behind (FarmDelta.watch = 1).
    constexpr char kWatchTag = (1 << 3) | 0;
    constexpr char kDeltaTag = (monitor::FeedMessage::kDeltaFieldNumber << 3) | 2;
    constexpr char kTimeTag = (monitor::FeedMessage::kServerTimeUsFieldNumber << 3) | 0;
    std::string tail(1, kWatchTag);
    appendVarint(tail, watch);
    std::string payload(1, kTimeTag);
    appendVarint(payload, micros(now.wall));
    payload.push_back(kDeltaTag);
    appendVarint(payload, delta.size() + tail.size());
    payload += delta;
    payload += tail;
    std::string out;
    protocol::appendFrame(out, payload);
    return out;
}

} // namespace penstock::feed::wire
