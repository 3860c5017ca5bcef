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

bool hasEndedWell(const work::AttemptProgress& progress)
{
    return progress.end == work::AttemptEnd::Succeeded || progress.end == work::AttemptEnd::Cached;
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

void fieldFacts(JsonWriter& out, std::span<const work::OutputFact> outputs)
{
    out.key("outputs");
    out.beginArray();
    for (const auto& output : outputs) {
        out.beginObject();
        out.field("name", std::string_view(output.name));
        out.fieldText("path", output.path);
        out.fieldText("nar_hash", output.narHash);
        out.field("nar_size_bytes", output.narSize);
        out.endObject();
    }
    out.endArray();
}

const work::NixWork* nixWork(const work::StepSpec& spec)
{
    return spec.work ? std::get_if<work::NixWork>(spec.work.get()) : nullptr;
}

void writeConcurrency(JsonWriter& out, const work::JobSpec& spec)
{
    if (spec.concurrencyGroup.empty())
        return out.fieldNull("concurrency");
    out.key("concurrency");
    out.beginObject();
    out.field("group", std::string_view(spec.concurrencyGroup));
    out.field("limit", spec.concurrencyLimit);
    out.endObject();
}

void fieldsJob(JsonWriter& out, const store::JobView& job)
{
    const auto& spec = job.row.spec;
    const auto& progress = job.row.progress;
    const bool isBuild = spec.definition.starts_with("{\"drv\":[");
    out.field("id", job.row.id.value());
    out.field("name", std::string_view(spec.name));
    out.field("user", std::string_view(spec.user));
    out.field("namespace", std::string_view(spec.nameSpace));
    out.field("share_group", std::string_view(spec.shareGroup));
    out.field("priority", spec.priority);
    out.fieldTime("bumped_at", progress.bumped);
    out.field("held", progress.held);
    out.fieldText("hold_note", progress.holdNote);
    writeConcurrency(out, spec);
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
}

} // namespace

void writeJob(JsonWriter& out, const store::JobView& job)
{
    out.beginObject();
    fieldsJob(out, job);
    out.endObject();
}

void writeJob(JsonWriter& out, const store::JobView& job, std::span<const store::StepView> roots)
{
    const std::string& definition = job.row.spec.definition;
    out.beginObject();
    fieldsJob(out, job);
    out.fieldRaw("definition", definition.empty() ? std::string_view("null") : definition);
    out.key("results");
    out.beginArray();
    for (const store::StepView& step : roots) {
        if (!nixWork(step.row.spec) || !step.newest || !hasEndedWell(step.newest->progress))
            continue;
        out.beginObject();
        out.field("step", step.row.id.value());
        out.field("run", step.newest->id.value());
        out.field("name", std::string_view(step.row.spec.name));
        fieldFacts(out, step.newest->progress.outputs);
        fieldsResults(out, step.newest->progress);
        out.endObject();
    }
    out.endArray();
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
    out.key("resources");
    writeResources(out, step.row.spec.resources);
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
    out.field("failed_with_output", step.newest && step.newest->progress.results.get().failed);
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
    fieldFacts(out, progress.outputs);
    fieldsResults(out, progress);
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
