// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/render.h"

namespace penstock::http {
namespace {

std::string_view word(feed::MachineCondition condition)
{
    switch (condition) {
    case feed::MachineCondition::Ready: return "ready";
    case feed::MachineCondition::Draining: return "draining";
    case feed::MachineCondition::Disconnected: return "disconnected";
    case feed::MachineCondition::Quarantined: return "quarantined";
    }
    return "disconnected";
}

std::string_view word(work::HealthState state)
{
    switch (state) {
    case work::HealthState::Healthy: return "healthy";
    case work::HealthState::Quarantined: return "quarantined";
    case work::HealthState::Probing: return "probing";
    case work::HealthState::Parole: return "parole";
    }
    return "healthy";
}

void writeLoad(JsonWriter& out, const feed::MachineEntry& machine)
{
    out.key("load");
    out.beginObject();
    out.field("load1", machine.load1);
    out.field("memory_available_bytes", machine.memoryAvailableBytes);
    out.field("cpu_busy_percent", machine.cpuBusyPercent);
    if (machine.pressure) {
        out.key("psi");
        out.beginObject();
        out.field("cpu_some", machine.pressure->cpuSome);
        out.field("mem_some", machine.pressure->memorySome);
        out.field("mem_full", machine.pressure->memoryFull);
        out.field("io_some", machine.pressure->ioSome);
        out.field("io_full", machine.pressure->ioFull);
        out.endObject();
    } else {
        out.fieldNull("psi");
    }
    out.field("disk_free_bytes", machine.diskFreeBytes);
    out.field("disk_total_bytes", machine.diskTotalBytes);
    out.endObject();
}

// Every threshold that has a value, by its name in PATCH.
template <class Field> void fieldOverride(JsonWriter& out, std::string_view name, const Field& value)
{
    if (value)
        out.field(name, *value);
}

void writeThresholds(JsonWriter& out, const MachineView& machine)
{
    const auto& limits = machine.thresholds;
    out.key("thresholds");
    out.beginObject();
    out.field("cpu_psi", limits.cpuPsi);
    out.field("mem_psi", limits.memoryPsi);
    out.field("io_psi", limits.ioPsi);
    out.field("load1", limits.load1);
    out.field("min_free_disk_bytes", limits.minFreeDiskBytes);
    out.field("min_free_memory_bytes", limits.minFreeMemoryBytes);
    out.field("min_free_inodes", limits.minFreeInodes);
    out.endObject();
    const auto& overrides = machine.overrides;
    out.key("overrides");
    out.beginObject();
    fieldOverride(out, "cpu_psi", overrides.cpuPsi);
    fieldOverride(out, "mem_psi", overrides.memoryPsi);
    fieldOverride(out, "io_psi", overrides.ioPsi);
    fieldOverride(out, "load1", overrides.load1);
    fieldOverride(out, "min_free_disk_bytes", overrides.minFreeDiskBytes);
    fieldOverride(out, "min_free_memory_bytes", overrides.minFreeMemoryBytes);
    fieldOverride(out, "min_free_inodes", overrides.minFreeInodes);
    out.endObject();
    out.fieldList("over", machine.over);
}

// What the scheduler makes of it.
void writeScheduling(JsonWriter& out, const MachineView& machine)
{
    out.key("capacity");
    writeResources(out, machine.capacity);
    out.key("reserved");
    writeResources(out, machine.reserved);
    out.field("foreign_cpus", machine.foreignCpus);
    out.field("open", !machine.closed.has_value());
    if (machine.closed) {
        out.key("closed");
        out.beginObject();
        out.field("code", std::string_view(machine.closed->code));
        out.field("text", std::string_view(machine.closed->text));
        out.endObject();
    } else {
        out.fieldNull("closed");
    }
    out.field("score", machine.score);
    out.key("health");
    out.beginObject();
    out.field("state", word(machine.health.state));
    out.field("failures_in_row", machine.health.failuresInRow);
    out.field("quarantines", machine.health.quarantines);
    out.fieldTime("until", machine.health.until);
    out.fieldText("reason", machine.health.reason);
    out.endObject();
}

void writeRunning(JsonWriter& out, const feed::MachineEntry& machine)
{
    out.key("running");
    out.beginArray();
    for (const auto& running : machine.running) {
        out.beginObject();
        out.field("attempt", running.attempt.value());
        out.field("step", running.step.value());
        out.field("job", running.job.value());
        out.field("name", std::string_view(running.name));
        out.fieldTime("since", running.since);
        out.fieldText("phase", running.phase);
        out.endObject();
    }
    out.endArray();
}

} // namespace

void writeResources(JsonWriter& out, const work::Resources& resources)
{
    out.beginObject();
    out.field("cpus", resources.cpus);
    out.field("memory_bytes", resources.memoryBytes);
    out.key("named");
    out.beginObject();
    for (const auto& [name, amount] : resources.named)
        out.field(name, amount);
    out.endObject();
    out.endObject();
}

void writeMachine(JsonWriter& out, const MachineView& view)
{
    const auto& machine = view.entry;
    out.beginObject();
    out.field("id", machine.id.value());
    out.field("name", std::string_view(machine.name));
    out.field("state", word(machine.condition));
    out.fieldText("note", machine.note);
    out.fieldText("os", machine.os);
    out.fieldList("systems", machine.systems);
    out.fieldList("features", machine.features);
    out.fieldList("mandatory_features", machine.mandatoryFeatures);
    out.fieldList("tags", machine.tags);
    out.fieldList("users", machine.users);
    out.fieldList("executors", machine.executors);
    out.field("slots", machine.slots);
    out.field("used", machine.used);
    out.field("cores", machine.cores);
    out.field("memory_bytes", machine.memoryBytes);
    writeLoad(out, machine);
    writeThresholds(out, view);
    writeScheduling(out, view);
    out.fieldTime("last_seen", machine.lastSeen);
    out.fieldText("version", machine.version);
    writeRunning(out, machine);
    out.field("finished", machine.finished);
    out.field("failed", machine.failed);
    out.endObject();
}

} // namespace penstock::http
