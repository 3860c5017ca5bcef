// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/inputs.h"
#include "server/http/render.h"
#include "server/jobs/job_spec.h"

namespace penstock::http {
namespace {

constexpr std::uint32_t kMaxRootsShown = 100; // whose results stand in a job's page; `/steps` has all

// What a job may say is in the manual; the server names every fault by its path.
constexpr std::string_view kJobsBody =
    R"({"oneOf":[{"type":"object"},{"type":"array","items":{"type":"object"},"maxItems":10000}]})";

Reply submitted(const Result<std::vector<JobId>>& ids, bool isList)
{
    if (!ids)
        return problem(ids.error());
    JsonWriter out;
    out.beginObject();
    if (isList) {
        out.key("ids");
        out.beginArray();
        for (const auto id : *ids)
            out.value(id.value());
        out.endArray();
    } else {
        out.field("id", ids->empty() ? 0 : ids->front().value());
    }
    out.endObject();
    return json(std::move(out).take(), 201);
}

void submit(const Site& site, const Request& request, Respond respond)
{
    const jobs::Submitter submitter{request.who.name, std::string(request.head.header("idempotency-key"))};
    if (submitter.idempotencyKey.size() > jobs::kMaxKeyBytes)
        return respond(problem(400, fmt::format("header Idempotency-Key has {} bytes, more than the limit of {}",
                                                submitter.idempotencyKey.size(), jobs::kMaxKeyBytes)));
    if (!isUtf8(submitter.idempotencyKey))
        return respond(problem(400, "header Idempotency-Key is not UTF-8"));
    auto submission = jobs::parseSubmission(request.body, submitter);
    if (!submission)
        return respond(bodyProblem(submission.error()));
    site.gateway.submit(std::move(submission->jobs),
                        [respond = std::move(respond), isList = submission->isList](Result<std::vector<JobId>> ids) {
                            respond(submitted(ids, isList));
                        });
}

Result<store::JobFilter> readFilter(const Request& request)
{
    store::JobFilter filter;
    if (const auto state = queryText(request, "state")) {
        filter.state = work::parseJobState(*state);
        if (!filter.state)
            return fail(ErrorCode::Invalid, fmt::format("query key \"state\" must be queued, running, succeeded, "
                                                        "failed or cancelled, not \"{}\"", state->substr(0, 60)));
    }
    if (const auto open = queryText(request, "open")) {
        if (*open != "true" && *open != "false")
            return fail(ErrorCode::Invalid, fmt::format("query key \"open\" must be true or false, not \"{}\"",
                                                        open->substr(0, 60)));
        filter.openOnly = *open == "true";
    }
    filter.nameSpace = std::string(queryText(request, "namespace").value_or(""));
    filter.user = std::string(queryText(request, "user").value_or(""));
    filter.name = std::string(queryText(request, "name").value_or(""));
    PENSTOCK_TRY(const auto before, queryNumber(request, "before", {1, INT64_MAX}));
    if (before)
        filter.before = JobId(*before);
    PENSTOCK_TRY(filter.limit, queryLimit(request, 100));
    return filter;
}

void list(const Site& site, const Request& request, Respond respond)
{
    auto filter = readFilter(request);
    if (!filter)
        return respond(badQuery(filter.error()));
    const auto limit = filter->limit;
    site.gateway.findJobs(*std::move(filter), [respond = std::move(respond),
                                               limit](Result<std::vector<store::JobView>> jobs) {
        if (!jobs)
            return respond(problem(jobs.error()));
        JsonWriter out;
        out.beginObject();
        out.key("jobs");
        out.beginArray();
        for (const auto& job : *jobs)
            writeJob(out, job);
        out.endArray();
        if (jobs->size() >= limit && !jobs->empty())
            out.field("next", jobs->back().row.id.value());
        else
            out.fieldNull("next");
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

void show(const Site& site, const Request& request, Respond respond)
{
    const auto id = readId<JobId>(request.params[0], "job");
    if (!id)
        return respond(problem(id.error()));
    site.gateway.findJob(*id, [&site, respond = std::move(respond)](Result<store::JobView> job) {
        if (!job)
            return respond(problem(job.error()));
        store::StepFilter roots;
        roots.job = job->row.id;
        roots.rootsOnly = true;
        roots.limit = kMaxRootsShown;
        site.gateway.findSteps(roots, [job = *std::move(job), respond](Result<std::vector<store::StepView>> steps) {
            if (!steps)
                return respond(problem(steps.error()));
            JsonWriter out;
            writeJob(out, job, *steps);
            respond(json(std::move(out).take()));
        });
    });
}

// What to ask of the gateway; or Invalid, for what the body says.
using Change = Result<void> (*)(Gateway&, JobId, const Request&, Answer<void>);

void change(const Site& site, const Request& request, Respond respond, Change what)
{
    const auto id = readId<JobId>(request.params[0], "job");
    if (!id)
        return respond(problem(id.error()));
    const auto asked = what(site.gateway, *id, request, [respond, id = *id](Result<void> done) {
        if (!done)
            return respond(problem(done.error()));
        respond(json(fmt::format("{{\"id\":{}}}", id.value())));
    });
    if (!asked)
        respond(bodyProblem(asked.error()));
}

Result<void> cancel(Gateway& gateway, JobId job, const Request& request, Answer<void> answer)
{
    gateway.cancel(job, request.who.name, std::move(answer));
    return {};
}

Result<void> retry(Gateway& gateway, JobId job, const Request& request, Answer<void> answer)
{
    gateway.retry(job, request.who.name, std::move(answer));
    return {};
}

Result<void> bump(Gateway& gateway, JobId job, const Request&, Answer<void> answer)
{
    gateway.bump(job, true, std::move(answer));
    return {};
}

Result<void> unbump(Gateway& gateway, JobId job, const Request&, Answer<void> answer)
{
    gateway.bump(job, false, std::move(answer));
    return {};
}

Result<void> hold(Gateway& gateway, JobId job, const Request& request, Answer<void> answer)
{
    PENSTOCK_TRY(const auto note, readNote(request));
    gateway.hold(job, true, note.empty() ? "by " + request.who.name : request.who.name + ": " + note,
                 std::move(answer));
    return {};
}

Result<void> release(Gateway& gateway, JobId job, const Request&, Answer<void> answer)
{
    gateway.hold(job, false, {}, std::move(answer));
    return {};
}

void explain(const Site& site, const Request& request, Respond respond)
{
    const auto id = readId<JobId>(request.params[0], "job");
    if (!id)
        return respond(problem(id.error()));
    site.gateway.explain(*id, [respond = std::move(respond)](Result<JobExplanation> explanation) {
        if (!explanation)
            return respond(problem(explanation.error()));
        JsonWriter out;
        writeExplanation(out, *explanation);
        respond(json(std::move(out).take()));
    });
}

} // namespace

std::vector<Route> jobRoutes(const Site& site)
{
    using auth::Action;
    const auto with = [&site](auto function) {
        return [&site, function](const Request& request, Respond respond) {
            function(site, request, std::move(respond));
        };
    };
    const auto changing = [&site](Change what) {
        return [&site, what](const Request& request, Respond respond) {
            change(site, request, std::move(respond), what);
        };
    };
    return {
        {"POST", "/api/v1/jobs", Action::Submit, {}, with(submit),
         "submits a job, or several, all or none", kJobsBody},
        {"GET", "/api/v1/jobs", Action::Watch, {"state", "open", "namespace", "user", "name", "before", "limit"},
         with(list),
         "jobs, newest first"},
        {"GET", "/api/v1/jobs/{}", Action::Watch, {}, with(show),
         "one job with its definition"},
        {"POST", "/api/v1/jobs/{}/cancel", Action::Submit, {}, changing(cancel),
         "ends a job"},
        {"POST", "/api/v1/jobs/{}/retry", Action::Submit, {}, changing(retry),
         "opens a finished job again"},
        {"POST", "/api/v1/jobs/{}/bump", Action::Operate, {}, changing(bump),
         "puts a job before everything else on the farm"},
        {"POST", "/api/v1/jobs/{}/unbump", Action::Operate, {}, changing(unbump),
         "puts a bumped job back in its place"},
        {"POST", "/api/v1/jobs/{}/hold", Action::Submit, {}, changing(hold),
         "starts nothing new for a job", kNoteBody},
        {"POST", "/api/v1/jobs/{}/release", Action::Submit, {}, changing(release),
         "lets a held job go on"},
        {"GET", "/api/v1/jobs/{}/explain", Action::Watch, {}, with(explain),
         "why a job does not run, and what would start it"},
    };
}

} // namespace penstock::http
