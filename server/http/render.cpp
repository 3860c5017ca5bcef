// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/render.h"

#include <span>
#include <variant>

namespace penstock::http {
namespace {

double seconds(Duration duration)
{
    return static_cast<double>(duration.count()) / 1e6;
}

template <class T> void fieldWord(JsonWriter& out, std::string_view name, const std::optional<T>& state)
{
    if (state)
        out.field(name, toString(*state));
    else
        out.fieldNull(name);
}

template <class IdType> void fieldId(JsonWriter& out, std::string_view name, const std::optional<IdType>& id)
{
    if (id)
        out.field(name, id->value());
    else
        out.fieldNull(name);
}

// A process that was ended by a signal has no exit code, and one that ended has no signal.
void fieldsExit(JsonWriter& out, bool known, std::int32_t exitCode, std::int32_t signal)
{
    if (known && signal == 0)
        out.field("exit_code", exitCode);
    else
        out.fieldNull("exit_code");
    if (known && signal != 0)
        out.field("signal", signal);
    else
        out.fieldNull("signal");
}

bool hasExit(const std::optional<work::StepResult>& result)
{
    return result == work::StepResult::Succeeded || result == work::StepResult::Failed;
}

bool hasExit(const work::AttemptRow& row)
{
    return row.progress.end == work::AttemptEnd::Succeeded || row.progress.end == work::AttemptEnd::Failed;
}

void fieldIds(JsonWriter& out, std::string_view name, std::span<const StepId> ids)
{
    out.key(name);
    out.beginArray();
    for (const auto id : ids)
        out.value(id.value());
    out.endArray();
}

template <class Outputs> void fieldOutputs(JsonWriter& out, const Outputs& outputs)
{
    out.key("outputs");
    out.beginArray();
    for (const auto& output : outputs) {
        out.beginObject();
        out.field("name", std::string_view(output.name));
        out.fieldText("path", output.path);
        out.endObject();
    }
    out.endArray();
}

const work::NixWork* nixWork(const work::StepSpec& spec)
{
    return spec.work ? std::get_if<work::NixWork>(spec.work.get()) : nullptr;
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
    out.key("thresholds");
    out.beginObject();
    out.field("cpu_psi", machine.thresholds.cpuPsi);
    out.field("mem_psi", machine.thresholds.memoryPsi);
    out.field("io_psi", machine.thresholds.ioPsi);
    out.field("load1", machine.thresholds.load1);
    out.field("min_free_disk_bytes", machine.thresholds.minFreeDiskBytes);
    out.endObject();
}

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

} // namespace

void writeJob(JsonWriter& out, const store::JobView& job, bool withDefinition)
{
    const auto& spec = job.row.spec;
    const auto& progress = job.row.progress;
    const bool isBuild = spec.definition.starts_with("{\"drv\":[");
    out.beginObject();
    out.field("id", job.row.id.value());
    out.field("name", std::string_view(spec.name));
    out.field("user", std::string_view(spec.user));
    out.field("namespace", std::string_view(spec.nameSpace));
    out.field("priority", spec.priority);
    out.fieldText("key", spec.key);
    out.field("state", toString(progress.state));
    fieldWord(out, "result", progress.result);
    fieldsExit(out, !isBuild && hasExit(progress.result), progress.exitCode, progress.signal);
    out.fieldText("error", progress.error);
    out.fieldTime("created", job.row.created);
    out.fieldTime("started", progress.started);
    out.fieldTime("finished", progress.finished);
    out.key("steps");
    out.beginObject();
    out.field("total", job.row.stepsTotal);
    out.field("done", job.stepsDone);
    out.field("running", job.stepsRunning);
    out.field("failed", job.stepsFailed);
    out.endObject();
    if (withDefinition)
        out.fieldRaw("definition", spec.definition.empty() ? std::string_view("null") : spec.definition);
    out.endObject();
}

void writeStep(JsonWriter& out, const store::StepView& step)
{
    const auto& progress = step.row.progress;
    const auto* nix = nixWork(step.row.spec);
    out.beginObject();
    out.field("id", step.row.id.value());
    out.field("name", std::string_view(step.row.spec.name));
    out.fieldText("drv", nix ? std::string_view(nix->drvPath) : std::string_view());
    out.field("state", toString(progress.state));
    fieldWord(out, "result", progress.result);
    out.field("root", step.root);
    out.field("attempts", progress.attempts);
    out.fieldText("machine", step.machine);
    fieldId(out, "attempt", step.newest ? std::optional(step.newest->id) : std::nullopt);
    fieldIds(out, "depends_on", step.dependsOn);
    fieldId(out, "failed_dependency", progress.failedDependency);
    out.fieldTime("ready_since", progress.readySince);
    out.fieldTime("retry_at", progress.retryAt);
    out.fieldTime("started", step.newest ? step.newest->progress.started : std::nullopt);
    out.fieldTime("finished", progress.finished);
    const bool exited = !nix && step.newest && hasExit(*step.newest);
    fieldsExit(out, exited, exited ? step.newest->progress.exitCode : 0, exited ? step.newest->progress.signal : 0);
    out.fieldText("error", !progress.error.empty() || !step.newest ? progress.error : step.newest->progress.error);
    if (nix)
        fieldOutputs(out, nix->outputs);
    else
        fieldOutputs(out, std::span<const work::NixOutput>());
    out.field("log_bytes", step.newest ? step.newest->progress.logBytes : 0);
    out.endObject();
}

void writeRun(JsonWriter& out, const store::AttemptView& run)
{
    const auto& row = run.row;
    const auto& progress = row.progress;
    out.beginObject();
    out.field("id", row.id.value());
    out.field("job", row.job.value());
    out.field("step", row.step.value());
    out.field("number", row.number);
    out.fieldText("machine", run.machine);
    out.field("state", toString(progress.state));
    fieldWord(out, "end", progress.end);
    out.fieldTime("created", row.created);
    out.fieldTime("started", progress.started);
    out.fieldTime("stopped", progress.stopped);
    fieldsExit(out, hasExit(row), progress.exitCode, progress.signal);
    out.field("core_dumped", progress.coreDumped);
    out.fieldText("error", progress.error);
    out.field("cpu_user_seconds", seconds(progress.cpuUser));
    out.field("cpu_system_seconds", seconds(progress.cpuSystem));
    out.field("max_rss_bytes", progress.maxRssBytes);
    out.field("log_bytes", progress.logBytes);
    out.field("log_truncated", progress.logTruncated);
    fieldOutputs(out, progress.outputs);
    out.endObject();
}

void writeMachine(JsonWriter& out, const feed::MachineEntry& machine)
{
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
    out.fieldTime("last_seen", machine.lastSeen);
    out.fieldText("version", machine.version);
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
    out.field("finished", machine.finished);
    out.field("failed", machine.failed);
    out.endObject();
}

void writeExplanation(JsonWriter& out, const JobExplanation& explanation)
{
    out.beginObject();
    out.field("job", explanation.job.value());
    out.field("state", toString(explanation.state));
    out.key("steps");
    out.beginArray();
    for (const auto& step : explanation.steps) {
        out.beginObject();
        out.field("step", step.step.value());
        out.field("name", std::string_view(step.name));
        out.field("state", toString(step.state));
        out.key("reasons");
        out.beginArray();
        for (const auto& reason : step.reasons) {
            out.beginObject();
            out.field("code", std::string_view(reason.code));
            out.field("text", std::string_view(reason.text));
            out.key("numbers");
            out.beginObject();
            for (const auto& [name, number] : reason.numbers)
                out.field(name, number);
            out.endObject();
            out.endObject();
        }
        out.endArray();
        out.fieldText("change", step.change);
        out.endObject();
    }
    out.endArray();
    out.endObject();
}

void writeStatus(JsonWriter& out, const StatusView& status)
{
    const auto& totals = status.totals;
    const auto group = [&](std::string_view name,
                           std::initializer_list<std::pair<std::string_view, std::uint64_t>> numbers) {
        out.key(name);
        out.beginObject();
        for (const auto& [key, number] : numbers)
            out.field(key, number);
        out.endObject();
    };
    out.beginObject();
    out.field("version", std::string_view(status.version));
    out.field("server_name", std::string_view(status.serverName));
    out.field("healthy", status.problems.empty() && totals.databaseOk);
    out.fieldList("problems", status.problems);
    out.key("database");
    out.beginObject();
    out.field("ok", totals.databaseOk);
    out.fieldText("error", totals.databaseError);
    out.field("kind", status.databaseEmbedded ? "embedded" : "external");
    out.endObject();
    out.field("uptime_seconds", seconds(status.uptime));
    out.fieldList("listen", status.listen);
    group("jobs", {{"open", totals.jobsOpen}});
    group("steps", {{"blocked", totals.stepsBlocked},
                    {"ready", totals.stepsReady},
                    {"delayed", totals.stepsDelayed},
                    {"running", totals.stepsRunning}});
    group("machines", {{"total", totals.machinesTotal},
                       {"connected", totals.machinesConnected},
                       {"draining", totals.machinesDraining}});
    group("slots", {{"total", totals.slotsTotal}, {"used", totals.slotsUsed}});
    out.field("auth", std::string_view(status.auth));
    out.endObject();
}

void writeToken(JsonWriter& out, const store::TokenRow& token)
{
    out.field("id", std::string_view(token.id));
    out.field("kind", std::string_view(token.kind));
    out.field("name", std::string_view(token.name));
    out.fieldTime("created", token.created);
    out.fieldTime("expires", token.expires);
    out.field("revoked", token.revoked);
}

} // namespace penstock::http
