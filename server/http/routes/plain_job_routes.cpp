// SPDX-License-Identifier: GPL-3.0-or-later
// The five routes of hydra-jobs, with its shapes: "_id", times without a zone, FastAPI's detail lists.
#include "server/http/inputs.h"
#include "server/http/json_writer.h"
#include "server/http/time_text.h"
#include "server/jobs/job_spec.h"
#include "server/jobs/json_text.h"

#include <algorithm>
#include <memory>

namespace penstock::http {
namespace {

constexpr std::string_view kPlainBody =
    R"({"type":"object","required":["name","user","affinity","command"],"properties":{"name":{"type":"string"},)"
    R"("user":{"type":"string"},"affinity":{"type":"object"},"command":{"type":"string"},"shell":{"type":"string"},)"
    R"("retries":{"type":"integer"},"timeout":{"type":"integer"},"schedule":{"type":["string","null"]}}})";

constexpr std::uint32_t kMaxLogPerRun = 256U << 10U;
constexpr std::uint32_t kMaxLogInAnswer = 4U << 20U;

Reply detail(unsigned status, std::string_view what)
{
    JsonWriter out;
    out.beginObject();
    out.field("detail", what);
    out.endObject();
    return json(std::move(out).take(), status);
}

// One entry of FastAPI's list: where, what, and the kind of fault.
void writeFault(JsonWriter& out, std::string_view path, std::string_view message, std::string_view type)
{
    out.beginObject();
    out.key("loc");
    out.beginArray();
    out.value("body");
    for (const auto part : split(path, '.'))
        out.value(part);
    out.endArray();
    out.field("msg", message);
    out.field("type", type);
    out.endObject();
}

Reply refused(const std::vector<std::string_view>& missing, std::string_view message)
{
    JsonWriter out;
    out.beginObject();
    out.key("detail");
    out.beginArray();
    for (const auto key : missing)
        writeFault(out, key, "field required", "value_error.missing");
    if (missing.empty()) {
        const auto colon = message.find(": ");
        const bool hasPath =
            colon != std::string_view::npos && message.substr(0, colon).find(' ') == std::string_view::npos;
        writeFault(out, hasPath ? message.substr(0, colon) : std::string_view(),
                   hasPath ? message.substr(colon + 2) : message, "value_error");
    }
    out.endArray();
    out.endObject();
    return json(std::move(out).take(), 422);
}

std::vector<std::string_view> missingKeys(const nix::JsonValue& document)
{
    std::vector<std::string_view> missing;
    for (const std::string_view key : {"name", "user", "affinity", "command"}) {
        if (!document.member(key))
            missing.push_back(key);
    }
    return missing;
}

// ------------------------------------------------------------------------------------------------
// definitions

void fieldOr(JsonWriter& out, const nix::JsonValue* document, std::string_view key,
             std::string_view otherwise)
{
    const auto* member = document ? document->member(key) : nullptr;
    out.fieldRaw(key, member ? jobs::renderJson(*member) : otherwise);
}

void writeAffinity(JsonWriter& out, const nix::JsonValue* document)
{
    const auto* affinity = document ? document->member("affinity") : nullptr;
    out.key("affinity");
    out.beginObject();
    for (const std::string_view key : {"os", "tags", "allowed_users"})
        fieldOr(out, affinity, key, "[]");
    out.endObject();
}

void writeDefinition(JsonWriter& out, const store::JobView& job)
{
    const auto parsed = nix::parseJson(job.row.spec.definition);
    const auto* document = parsed ? &*parsed : nullptr;
    out.beginObject();
    out.field("_id", std::string_view(std::to_string(job.row.id.value())));
    out.field("name", std::string_view(job.row.spec.name));
    out.field("user", std::string_view(job.row.spec.user));
    writeAffinity(out, document);
    fieldOr(out, document, "command", "\"\"");
    fieldOr(out, document, "shell", "\"bash\"");
    fieldOr(out, document, "retries", "0");
    fieldOr(out, document, "timeout", "0");
    fieldOr(out, document, "schedule", "null");
    out.field("created_at", std::string_view(formatPlainIso(job.row.created)));
    out.field("updated_at",
              std::string_view(formatPlainIso(job.row.progress.finished.value_or(job.row.created))));
    out.endObject();
}

Answer<store::JobView> answeringDefinition(Respond respond)
{
    return [respond = std::move(respond)](Result<store::JobView> job) {
        if (!job && job.error().code == ErrorCode::NotFound)
            return respond(detail(404, "job not found"));
        if (!job)
            return respond(detail(statusOf(job.error().code), job.error().message));
        JsonWriter out;
        writeDefinition(out, *job);
        respond(json(std::move(out).take()));
    };
}

void submit(const Site& site, const Request& request, Respond respond)
{
    const auto document = nix::parseJson(request.body);
    if (!document || !document->asObject())
        return respond(refused({}, document ? "the body must be an object" : document.error().message));
    if (const auto missing = missingKeys(*document); !missing.empty())
        return respond(refused(missing, {}));
    auto job = jobs::parseJob(*document, {}, {request.who.name, {}});
    if (!job)
        return respond(refused({}, job.error().message));
    std::vector<jobs::ParsedJob> list;
    list.push_back(*std::move(job));
    site.gateway.submit(std::move(list),
                        [&site, respond = std::move(respond)](Result<std::vector<JobId>> ids) {
                            if (!ids || ids->empty())
                                return respond(detail(ids ? 500 : statusOf(ids.error().code),
                                                      ids ? "the job got no id" : ids.error().message));
                            site.gateway.findJob(ids->front(), answeringDefinition(respond));
                        });
}

void show(const Site& site, const Request& request, Respond respond)
{
    const auto id = readId<JobId>(request.params[0], "job");
    if (!id)
        return respond(detail(404, "job not found"));
    site.gateway.findJob(*id, answeringDefinition(std::move(respond)));
}

void list(const Site& site, const Request&, Respond respond)
{
    store::JobFilter filter;
    filter.limit = 1'000;
    site.gateway.findJobs(filter, [respond = std::move(respond)](Result<std::vector<store::JobView>> jobs) {
        if (!jobs)
            return respond(detail(statusOf(jobs.error().code), jobs.error().message));
        JsonWriter out;
        out.beginArray();
        for (const auto& job : *jobs)
            writeDefinition(out, job);
        out.endArray();
        respond(json(std::move(out).take()));
    });
}

// -------------------------------------------------------------------------------------------------------
// runs

std::string_view statusWord(const work::AttemptProgress& progress)
{
    switch (progress.state) {
    case work::AttemptState::Assigned: return "pending";
    case work::AttemptState::Running: return "running";
    case work::AttemptState::Ended: break;
    }
    const bool good = progress.end == work::AttemptEnd::Succeeded || progress.end == work::AttemptEnd::Cached;
    return good ? "success" : "failed";
}

// Reads the logs of the runs one after the other, then answers. Kept alive by the answers it waits for.
class RunList final : public std::enable_shared_from_this<RunList> {
public:
    RunList(const Site& site, std::string user, Respond respond)
        : m_site(site), m_user(std::move(user)), m_respond(std::move(respond))
    {
        m_out.beginArray();
    }

    void start(std::vector<store::AttemptView> runs)
    {
        m_runs = std::move(runs);
        next();
    }

private:
    void next()
    {
        if (m_at == m_runs.size()) {
            m_out.endArray();
            return m_respond(json(std::move(m_out).take()));
        }
        if (m_left == 0)
            return write({});
        m_site.gateway.readLog(m_runs[m_at].row.id, 0, std::min(kMaxLogPerRun, m_left),
                               [self = shared_from_this()](Result<feed::LogSlice> slice) {
                                   // A run that has written nothing yet has no log to read.
                                   self->write(slice ? *std::move(slice) : feed::LogSlice());
                               });
    }

    void write(const feed::LogSlice& slice)
    {
        std::string streams[2];
        for (const auto& piece : slice.pieces) {
            streams[piece.stream == feed::LogStream::Out ? 0 : 1] += piece.data;
            m_left -= std::min(m_left, static_cast<std::uint32_t>(piece.data.size()));
        }
        const auto& run = m_runs[m_at++];
        const auto& progress = run.row.progress;
        const auto time = [&](std::string_view key, std::optional<WallTime> at) {
            m_out.fieldText(key, at ? formatPlainIso(*at) : std::string());
        };
        m_out.beginObject();
        m_out.field("_id", std::string_view(std::to_string(run.row.id.value())));
        m_out.field("job_id", std::string_view(std::to_string(run.row.job.value())));
        m_out.field("user", std::string_view(m_user));
        m_out.fieldText("worker_id", run.machine);
        time("start_ts", progress.started);
        time("end_ts", progress.stopped);
        m_out.field("status", statusWord(progress));
        if (progress.state == work::AttemptState::Ended)
            m_out.field("returncode", progress.signal != 0 ? -progress.signal : progress.exitCode);
        else
            m_out.fieldNull("returncode");
        m_out.field("stdout", std::string_view(streams[0]));
        m_out.field("stderr", std::string_view(streams[1]));
        m_out.endObject();
        next();
    }

    const Site& m_site;
    std::string m_user;
    Respond m_respond;
    JsonWriter m_out;
    std::vector<store::AttemptView> m_runs;
    std::size_t m_at = 0;
    std::uint32_t m_left = kMaxLogInAnswer;
};

void runs(const Site& site, const Request& request, Respond respond)
{
    const auto id = readId<JobId>(request.params[0], "job");
    if (!id)
        return respond(json("[]"));
    site.gateway.findJob(*id, [&site, respond = std::move(respond), id = *id](Result<store::JobView> job) {
        if (!job && job.error().code == ErrorCode::NotFound)
            return respond(json("[]"));
        if (!job)
            return respond(detail(statusOf(job.error().code), job.error().message));
        store::AttemptFilter filter;
        filter.job = id;
        filter.limit = 100;
        auto answer = std::make_shared<RunList>(site, job->row.spec.user, respond);
        site.gateway.findAttempts(filter, [answer, respond](Result<std::vector<store::AttemptView>> found) {
            if (!found)
                return respond(detail(statusOf(found.error().code), found.error().message));
            answer->start(*std::move(found));
        });
    });
}

// -----------------------------------------------------------------------------------------------------
// workers

void workers(const Site& site, const Request&, Respond respond)
{
    site.gateway.machines([respond = std::move(respond)](Result<std::vector<MachineView>> machines) {
        if (!machines)
            return respond(detail(statusOf(machines.error().code), machines.error().message));
        JsonWriter out;
        out.beginArray();
        for (const auto& view : *machines) {
            const auto& machine = view.entry;
            out.beginObject();
            out.field("worker_id", std::string_view(machine.name));
            out.field("os", std::string_view(machine.os));
            out.fieldList("tags", machine.tags);
            out.fieldList("allowed_users", machine.users);
            out.field("max_concurrency", machine.slots);
            out.field("current_running", machine.used);
            if (machine.lastSeen)
                out.field("last_heartbeat", static_cast<double>(machine.lastSeen->micros()) / 1e6);
            else
                out.fieldNull("last_heartbeat");
            out.field("status", machine.condition == feed::MachineCondition::Ready      ? "online"
                                : machine.condition == feed::MachineCondition::Draining ? "draining"
                                                                                        : "offline");
            out.endObject();
        }
        out.endArray();
        respond(json(std::move(out).take()));
    });
}

void health(const Site& site, const Request&, Respond respond)
{
    site.gateway.status([respond = std::move(respond)](Result<StatusView> view) {
        if (!view)
            return respond(detail(statusOf(view.error().code), view.error().message));
        const auto& totals = view->totals;
        JsonWriter out;
        out.beginObject();
        out.field("status", "ok");
        out.field("workers", totals.machinesTotal);
        out.field("pending_jobs", totals.stepsBlocked + totals.stepsReady + totals.stepsDelayed);
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

} // namespace

std::vector<Route> plainJobRoutes(const Site& site)
{
    using auth::Action;
    const auto with = [&site](auto function) {
        return [&site, function](const Request& request, Respond respond) {
            function(site, request, std::move(respond));
        };
    };
    const auto toSlash = [](const Request& request, Respond respond) {
        Reply reply{307, {}, {}, {}};
        reply.headers.emplace_back("Location", request.head.path + "/");
        respond(std::move(reply));
    };
    return {
        {"POST", "/jobs/", Action::Submit, {}, with(submit),
         "submits a job as hydra-jobs takes it", kPlainBody},
        {"POST", "/jobs", Action::Submit, {}, toSlash},
        {"GET", "/jobs/", Action::Watch, {}, with(list),
         "all jobs as hydra-jobs shows them"},
        {"GET", "/jobs", Action::Watch, {}, toSlash},
        {"GET", "/jobs/{}", Action::Watch, {}, with(show),
         "one job as hydra-jobs shows it"},
        {"GET", "/jobs/{}/runs", Action::Watch, {}, with(runs),
         "its runs as hydra-jobs shows them"},
        {"GET", "/workers/", Action::Watch, {}, with(workers),
         "machines as hydra-jobs shows its workers"},
        {"GET", "/workers", Action::Watch, {}, toSlash},
        {"GET", "/health", Action::Watch, {}, with(health),
         "health as hydra-jobs tells it"},
    };
}

} // namespace penstock::http
