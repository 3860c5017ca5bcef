// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/inputs.h"
#include "server/http/render.h"

#include <algorithm>

namespace penstock::http {
namespace {

using Steps = std::vector<store::StepView>;

Reply listReply(const Result<Steps>& steps, std::uint32_t limit)
{
    if (!steps)
        return problem(steps.error());
    JsonWriter out;
    out.beginObject();
    out.key("steps");
    out.beginArray();
    for (const auto& step : *steps)
        writeStep(out, step);
    out.endArray();
    if (steps->size() >= limit && !steps->empty())
        out.field("next", steps->back().row.id.value());
    else
        out.fieldNull("next");
    out.endObject();
    return json(std::move(out).take());
}

Result<store::StepFilter> readPage(const Request& request)
{
    store::StepFilter filter;
    PENSTOCK_TRY(const auto before, queryNumber(request, "before", {1, INT64_MAX}));
    if (before)
        filter.before = StepId(*before);
    PENSTOCK_TRY(filter.limit, queryLimit(request, 100));
    return filter;
}

// Ready and delayed ones, newest first, as one page.
void listQueued(const Site& site, store::StepFilter filter, Respond respond)
{
    auto second = filter;
    filter.state = work::StepState::Ready;
    second.state = work::StepState::Delayed;
    site.gateway.findSteps(filter, [&site, second, respond = std::move(respond)](Result<Steps> ready) {
        if (!ready)
            return respond(problem(ready.error()));
        site.gateway.findSteps(second, [respond, limit = second.limit,
                                        all = *std::move(ready)](Result<Steps> delayed) mutable {
            if (!delayed)
                return respond(problem(delayed.error()));
            std::ranges::move(*delayed, std::back_inserter(all));
            std::ranges::sort(all, std::greater(), [](const auto& step) { return step.row.id; });
            if (all.size() > limit)
                all.erase(all.begin() + limit, all.end());
            respond(listReply(std::move(all), limit));
        });
    });
}

void list(const Site& site, const Request& request, Respond respond)
{
    auto filter = readPage(request);
    if (!filter)
        return respond(badQuery(filter.error()));
    const auto state = queryText(request, "state");
    if (state == "queued")
        return listQueued(site, *filter, std::move(respond));
    if (state) {
        filter->state = work::parseStepState(*state);
        if (!filter->state)
            return respond(problem(400, fmt::format("query key \"state\" must be queued, blocked, ready, delayed, "
                                                    "running or finished, not \"{}\"", state->substr(0, 60))));
    }
    site.gateway.findSteps(*filter, [respond = std::move(respond), limit = filter->limit](Result<Steps> steps) {
        respond(listReply(steps, limit));
    });
}

void listOfJob(const Site& site, const Request& request, Respond respond)
{
    const auto id = readId<JobId>(request.params[0], "job");
    if (!id)
        return respond(problem(id.error()));
    auto filter = readPage(request);
    if (!filter)
        return respond(badQuery(filter.error()));
    filter->job = *id;
    // A job has at least one step, so an empty first page means there is no such job.
    const bool first = !filter->before;
    site.gateway.findSteps(*filter, [respond = std::move(respond), limit = filter->limit, first,
                                     id = *id](Result<Steps> steps) {
        if (steps && steps->empty() && first)
            return respond(problem(404, fmt::format("no job {}", id.value())));
        respond(listReply(steps, limit));
    });
}

void show(const Site& site, const Request& request, Respond respond)
{
    const auto id = readId<StepId>(request.params[0], "step");
    if (!id)
        return respond(problem(id.error()));
    store::StepFilter filter;
    filter.step = *id;
    site.gateway.findSteps(filter, [respond = std::move(respond), id = *id](Result<Steps> steps) {
        if (!steps)
            return respond(problem(steps.error()));
        if (steps->empty())
            return respond(problem(404, fmt::format("no step {}", id.value())));
        JsonWriter out;
        writeStep(out, steps->front());
        respond(json(std::move(out).take()));
    });
}

} // namespace

std::vector<Route> stepRoutes(const Site& site)
{
    using auth::Action;
    const auto with = [&site](auto function) {
        return [&site, function](const Request& request, Respond respond) {
            function(site, request, std::move(respond));
        };
    };
    return {
        {"GET", "/api/v1/jobs/{}/steps", Action::Watch, {"before", "limit"}, with(listOfJob),
         "the steps of a job"},
        {"GET", "/api/v1/steps", Action::Watch, {"state", "before", "limit"}, with(list),
         "steps, newest first"},
        {"GET", "/api/v1/steps/{}", Action::Watch, {}, with(show),
         "one step"},
    };
}

} // namespace penstock::http
