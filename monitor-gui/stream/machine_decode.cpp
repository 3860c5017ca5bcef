// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/stream/record_decode.h"

#include <algorithm>

namespace penstock::gui::decode {

namespace {

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

Gates gatesOf(const monitor::MachineRecord& from)
{
    return {.cpuSome = drawable(from.limit_psi_cpu()),
            .memoryFull = drawable(from.limit_psi_mem()),
            .ioFull = drawable(from.limit_psi_io()),
            .load1 = drawable(from.limit_load1()),
            .diskFree = from.limit_disk_free_bytes(),
            .memoryFree = from.limit_memory_free_bytes(),
            .inodesFree = from.limit_inodes_free(),
            .overridden = stringsOf(from.overridden())};
}

Health healthOf(const monitor::MachineHealth& from)
{
    const auto state = [](monitor::HealthState health) {
        switch (health) {
        case monitor::HEALTH_HEALTHY: return HealthState::Healthy;
        case monitor::HEALTH_QUARANTINED: return HealthState::Quarantined;
        case monitor::HEALTH_PROBING: return HealthState::Probing;
        case monitor::HEALTH_PAROLE: return HealthState::Parole;
        default: return HealthState::Unknown;
        }
    };
    return {.state = state(from.state()),
            .failuresInRow = from.failures_in_row(),
            .quarantines = from.quarantines(),
            .until = timeOf(from.until_us()),
            .reason = from.reason()};
}

Room roomOf(const monitor::MachineRoom& from)
{
    Room room{.open = from.open(),
              .closed = from.closed(),
              .score = from.score(),
              .cpus = from.cpus(),
              .cpusCapacity = from.cpus_capacity(),
              .memoryBytes = from.memory_bytes(),
              .memoryCapacityBytes = from.memory_capacity_bytes(),
              .named = {},
              .foreignCpus = from.foreign_cpus(),
              .crossed = {}};
    for (const monitor::NamedAmount& amount : from.named())
        room.named.push_back({amount.name(), amount.reserved(), amount.capacity()});
    for (const monitor::CrossedGate& crossed : from.crossed())
        room.crossed.push_back({crossed.gate(), drawable(crossed.value()), drawable(crossed.limit())});
    return room;
}

} // namespace

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
                      .gates = gatesOf(from),
                      .diskFreeBytes = from.disk_free_bytes(),
                      .diskTotalBytes = from.disk_total_bytes(),
                      .lastSeen = timeOf(from.last_seen_us()),
                      .version = from.version(),
                      .finished = from.finished(),
                      .failed = from.failed(),
                      .running = runningOf(from),
                      .executors = stringsOf(from.executors()),
                      .diskFreeInodes = from.disk_free_inodes(),
                      .os = from.os(),
                      .health = healthOf(from.health()),
                      .room = from.has_room() ? std::optional(roomOf(from.room())) : std::nullopt});
}

} // namespace penstock::gui::decode
