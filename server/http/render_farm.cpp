// SPDX-License-Identifier: GPL-3.0-or-later
// The farm as a whole: why things wait, queues, shares, namespaces, status.
#include "server/http/render.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace penstock::http {
namespace {

double seconds(Duration duration)
{
    return static_cast<double>(duration.count()) / 1e6;
}

void writeReason(JsonWriter& out, const Reason& reason)
{
    out.beginObject();
    out.field("code", std::string_view(reason.code));
    out.field("text", std::string_view(reason.text));
    out.key("numbers");
    out.beginObject();
    for (const auto& [name, number] : reason.numbers)
        out.field(name, number);
    out.endObject();
    out.fieldText("remedy", reason.remedy);
    out.fieldList("names", reason.names);
    out.endObject();
}

void writeStage(JsonWriter& out, const FunnelStage& stage)
{
    out.beginObject();
    out.field("stage", std::string_view(stage.stage));
    out.field("left", stage.left);
    out.field("removed_count", stage.removedCount);
    out.key("removed");
    out.beginArray();
    for (const auto& removed : stage.removed) {
        out.beginObject();
        out.field("machine", std::string_view(removed.machine));
        out.field("why", std::string_view(removed.why));
        out.endObject();
    }
    out.endArray();
    out.endObject();
}

void writeStepExplanation(JsonWriter& out, const StepExplanation& step)
{
    out.beginObject();
    out.field("step", step.step.value());
    out.field("name", std::string_view(step.name));
    out.field("state", toString(step.state));
    out.key("reasons");
    out.beginArray();
    for (const auto& reason : step.reasons)
        writeReason(out, reason);
    out.endArray();
    out.key("funnel");
    out.beginArray();
    for (const auto& stage : step.funnel)
        writeStage(out, stage);
    out.endArray();
    out.fieldText("change", step.change);
    out.fieldTime("earliest", step.earliest);
    out.fieldTime("latest", step.latest);
    out.endObject();
}

using Numbers = std::initializer_list<std::pair<std::string_view, std::uint64_t>>;

void writeNumbers(JsonWriter& out, std::string_view name, Numbers numbers)
{
    out.key(name);
    out.beginObject();
    for (const auto& [key, number] : numbers)
        out.field(key, number);
    out.endObject();
}

} // namespace

void writeExplanation(JsonWriter& out, const JobExplanation& explanation)
{
    out.beginObject();
    out.field("job", explanation.job.value());
    out.field("state", toString(explanation.state));
    const auto& ended = explanation.ended;
    if (ended && ended->result)
        out.field("result", toString(*ended->result));
    else
        out.fieldNull("result");
    out.fieldTime("finished", ended ? ended->finished : std::nullopt);
    out.fieldText("error", ended ? std::string_view(ended->error) : std::string_view());
    out.fieldTime("evaluated", explanation.evaluated);
    out.key("steps");
    out.beginArray();
    for (const auto& step : explanation.steps)
        writeStepExplanation(out, step);
    out.endArray();
    out.field("more", explanation.more);
    out.endObject();
}

void writeQueue(JsonWriter& out, const QueueView& queue)
{
    out.beginObject();
    out.field("key", std::string_view(queue.key));
    out.field("system", std::string_view(queue.system));
    out.fieldList("features", queue.features);
    out.field("queued", queue.queued);
    out.field("delayed", queue.delayed);
    out.field("running", queue.running);
    out.field("blocked", queue.blocked);
    out.fieldTime("oldest_ready", queue.oldestReady);
    out.field("eligible_machines", queue.eligibleMachines);
    out.field("free_slots", queue.freeSlots);
    std::vector<std::pair<std::string_view, std::uint64_t>> groups(queue.queuedByGroup.begin(),
                                                                   queue.queuedByGroup.end());
    std::ranges::stable_sort(groups, std::greater(), [](const auto& each) { return each.second; });
    out.key("groups");
    out.beginArray();
    for (const auto& [group, queued] : groups) {
        out.beginObject();
        out.field("group", group);
        out.field("queued", queued);
        out.endObject();
    }
    out.endArray();
    out.endObject();
}

void writeShare(JsonWriter& out, const ShareView& share)
{
    out.beginObject();
    out.field("group", std::string_view(share.group));
    out.field("shares", share.shares);
    out.field("used_seconds", seconds(share.used));
    out.field("used_percent", share.usedPercent);
    out.field("target_percent", share.targetPercent);
    out.field("running", share.running);
    out.field("queued", share.queued);
    out.endObject();
}

void writeNamespace(JsonWriter& out, const NamespaceView& nameSpace)
{
    out.beginObject();
    out.field("name", std::string_view(nameSpace.limits.name));
    out.field("max_running_steps", nameSpace.limits.maxRunningSteps);
    out.field("max_queued_jobs", nameSpace.limits.maxQueuedJobs);
    out.field("max_cpus", nameSpace.limits.maxCpus);
    out.field("open_jobs", nameSpace.openJobs);
    out.field("running_steps", nameSpace.runningSteps);
    out.field("running_cpus", nameSpace.runningCpus);
    out.endObject();
}

void writePause(JsonWriter& out, const work::DispatchPause& pause)
{
    out.beginObject();
    out.field("paused", pause.paused);
    out.fieldText("who", pause.paused ? std::string_view(pause.who) : std::string_view());
    out.fieldText("note", pause.paused ? std::string_view(pause.note) : std::string_view());
    out.fieldTime("since", pause.paused ? std::optional(pause.since) : std::nullopt);
    out.endObject();
}

void writeStatus(JsonWriter& out, const StatusView& status)
{
    const auto& totals = status.totals;
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
    out.key("dispatch");
    writePause(out, status.pause);
    writeNumbers(out, "jobs", {{"open", totals.jobsOpen}});
    writeNumbers(out, "steps",
                 {{"blocked", totals.stepsBlocked},
                  {"ready", totals.stepsReady},
                  {"delayed", totals.stepsDelayed},
                  {"running", totals.stepsRunning}});
    out.key("waiting");
    out.beginObject();
    for (const auto& [code, steps] : status.waiting)
        out.field(code, steps);
    out.endObject();
    writeNumbers(out, "machines",
                 {{"total", totals.machinesTotal},
                  {"connected", totals.machinesConnected},
                  {"draining", totals.machinesDraining},
                  {"quarantined", status.machinesQuarantined}});
    writeNumbers(out, "slots", {{"total", totals.slotsTotal}, {"used", totals.slotsUsed}});
    out.field("auth", std::string_view(status.auth));
    out.fieldList("stores", status.outputs.stores);
    out.fieldList("signing_keys", status.outputs.publicKeys);
    out.endObject();
}

} // namespace penstock::http
