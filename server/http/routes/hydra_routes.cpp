// SPDX-License-Identifier: GPL-3.0-or-later
// The routes of Hydra's queue runner, for its web interface, hydra-send-stats and its tests. Every path is there with a
// slash at its end too. An error is a problem document that also has the runner's own member "error".
#include "server/http/inputs.h"
#include "server/http/render.h"
#include "server/http/render_hydra.h"
#include "server/http/routes/hydra_inputs.h"
#include "shared/nix/store_path.h"

#include <fmt/format.h>

namespace penstock::http {
namespace {

// What a page leaves out is said, so that nobody takes a part for the whole.
template <class T> void writeNote(JsonWriter& out, const HydraList<T>& list)
{
    if (list.next) {
        out.field("next", *list.next);
        out.field("note", fmt::format("{} of {} are shown; the next ones come with ?after={}", list.items.size(),
                                      list.total, *list.next));
    } else if (list.isTotalLeast) {
        out.field("note", fmt::format("{} are shown, and there are more", list.items.size()));
    } else if (list.items.size() < list.total) {
        out.field("note", fmt::format("{} of {} are shown", list.items.size(), list.total));
    }
}

template <class T>
void writeList(JsonWriter& out, std::string_view key, const HydraList<T>& list, void (*write)(JsonWriter&, const T&))
{
    out.key(key);
    out.beginArray();
    for (const T& item : list.items)
        write(out, item);
    out.endArray();
}

void writeJobsets(JsonWriter& out, const std::vector<HydraJobset>& jobsets)
{
    out.key("jobsets");
    out.beginObject();
    for (const HydraJobset& jobset : jobsets) {
        out.key(jobset.name.empty() ? jobset.project : fmt::format("{}:{}", jobset.project, jobset.name));
        writeHydraJobset(out, jobset);
    }
    out.endObject();
}

void status(HydraGateway& hydra, const Request&, Respond respond)
{
    hydra.status([respond = std::move(respond)](Result<HydraStatus> view) {
        if (!view)
            return respond(hydraProblem(view.error()));
        JsonWriter out;
        out.beginObject();
        out.key("queueRunner");
        writeHydraFarm(out, view->farm, processUse());
        out.fieldRaw("machines", *view->machines);
        writeJobsets(out, view->jobsets);
        out.fieldNull("store");
        out.fieldRaw("s3", "{}");
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

void machines(HydraGateway& hydra, const Request&, Respond respond)
{
    hydra.machines([respond = std::move(respond)](Result<HydraMachines> view) {
        if (!view)
            return respond(hydraProblem(view.error()));
        JsonWriter out;
        out.beginObject();
        out.fieldRaw("machines", *view->machines);
        out.field("machinesCount", view->count);
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

void jobsets(HydraGateway& hydra, const Request&, Respond respond)
{
    hydra.jobsets([respond = std::move(respond)](Result<std::vector<HydraJobset>> view) {
        if (!view)
            return respond(hydraProblem(view.error()));
        JsonWriter out;
        out.beginObject();
        writeJobsets(out, *view);
        out.field("jobsetCount", view->size());
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

void builds(HydraGateway& hydra, const Request& request, Respond respond)
{
    const auto page = readHydraPage(request);
    if (!page)
        return respond(hydraProblem(400, page.error().message));
    hydra.builds(*page, [respond = std::move(respond)](Result<HydraList<HydraBuild>> list) {
        if (!list)
            return respond(hydraProblem(list.error()));
        JsonWriter out;
        out.beginObject();
        writeList(out, "builds", *list, writeHydraBuild);
        out.field("buildCount", list->total);
        writeNote(out, *list);
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

using WriteStep = void (*)(JsonWriter&, const HydraStep&);

void steps(HydraGateway& hydra, const Request& request, Respond respond, HydraSteps which, WriteStep write)
{
    const auto page = readHydraPage(request);
    if (!page)
        return respond(hydraProblem(400, page.error().message));
    hydra.steps(which, *page, [respond = std::move(respond), write](Result<HydraList<HydraStep>> list) {
        if (!list)
            return respond(hydraProblem(list.error()));
        JsonWriter out;
        out.beginObject();
        writeList(out, "steps", *list, write);
        out.field("stepCount", list->total);
        writeNote(out, *list);
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

void queues(HydraGateway& hydra, const Request& request, Respond respond)
{
    const auto page = readHydraPage(request);
    if (!page)
        return respond(hydraProblem(400, page.error().message));
    hydra.steps(HydraSteps::Queued, *page, [respond = std::move(respond)](Result<HydraList<HydraStep>> list) {
        if (!list)
            return respond(hydraProblem(list.error()));
        std::map<std::string, std::vector<const HydraStep*>> bySystem;
        for (const HydraStep& step : list->items)
            bySystem[step.system.empty() ? "any" : step.system].push_back(&step);
        JsonWriter out;
        out.beginObject();
        out.key("queues");
        out.beginObject();
        for (const auto& [system, entries] : bySystem) {
            out.key(system);
            out.beginArray();
            for (const HydraStep* step : entries)
                writeHydraStepInfo(out, *step);
            out.endArray();
        }
        out.endObject();
        writeNote(out, *list);
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

void uploads(HydraGateway& hydra, const Request& request, Respond respond)
{
    const auto limit = readUploadLimit(request);
    if (!limit)
        return respond(hydraProblem(400, limit.error().message));
    hydra.uploads(*limit, [respond = std::move(respond)](Result<HydraList<std::string>> list) {
        if (!list)
            return respond(hydraProblem(list.error()));
        JsonWriter out;
        out.beginObject();
        out.fieldList("paths", list->items);
        out.field("pathCount", list->total);
        writeNote(out, *list);
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

void active(HydraGateway& hydra, const Request& request, Respond respond)
{
    const auto build = parseUnsigned(request.params[0]);
    if (!build || *build == 0 || *build > kMostBuildId)
        return respond(hydraProblem(404, fmt::format("no build {}", toValidUtf8(request.params[0].substr(0, 60)))));
    hydra.isActive(*build, [respond = std::move(respond)](Result<bool> isActive) {
        if (!isActive)
            return respond(hydraProblem(isActive.error()));
        respond(json(*isActive ? R"({"active":true})" : R"({"active":false})"));
    });
}

Answer<void> done(Respond respond)
{
    return [respond = std::move(respond)](Result<void> result) {
        respond(result ? json("{}") : hydraProblem(result.error()));
    };
}

void addBuild(HydraGateway& hydra, const Request& request, Respond respond)
{
    auto asked = readAddedBuild(request.body);
    if (!asked)
        return respond(hydraProblem(bodyProblem(asked.error()).status, asked.error().message));
    hydra.addBuild(asked->jobset, std::move(asked->drv), done(std::move(respond)));
}

void loadBuild(HydraGateway& hydra, const Request& request, Respond respond)
{
    const auto build = readBuildId(request.body);
    if (!build)
        return respond(hydraProblem(bodyProblem(build.error()).status, build.error().message));
    hydra.loadBuild(*build, done(std::move(respond)));
}

struct Paths {
    std::string_view plain;
    std::string_view slash; // the same with a slash at its end; not described twice
};

struct Table {
    std::vector<Route> routes;
    HydraGateway& hydra;

    template <class Run> void add(std::string_view method, Paths paths, std::string_view summary, Run run)
    {
        const auto action = method == "GET" ? auth::Action::Watch : auth::Action::Submit;
        const auto call = [&hydra = hydra, run](const Request& request, Respond respond) {
            run(hydra, request, std::move(respond));
        };
        routes.push_back({method, paths.plain, action, {}, call, summary});
        routes.push_back({method, paths.slash, action, {}, call});
        // The web interface knows no tokens, but sends what its endpoint's address names: http://any:TOKEN@host.
        for (auto route = routes.end() - 2; route != routes.end(); ++route)
            route->traits.password = route->traits.isJson = true;
    }
    template <class Run> void addPages(Paths paths, std::string_view summary, Run run)
    {
        add("GET", paths, summary, run);
        for (auto route = routes.end() - 2; route != routes.end(); ++route)
            route->query = {"after", "limit"};
    }
    template <class Run>
    void addBody(std::string_view method, Paths paths, std::string_view summary, std::string_view body, Run run)
    {
        add(method, paths, summary, run);
        (routes.end() - 2)->body = body;
        for (auto route = routes.end() - 2; route != routes.end(); ++route)
            route->traits.anyType = true; // the runner took any
    }
};

auto stepsOf(HydraSteps which, WriteStep write)
{
    return [which, write](HydraGateway& hydra, const Request& request, Respond respond) {
        steps(hydra, request, std::move(respond), which, write);
    };
}

} // namespace

std::vector<Route> hydraRoutes(HydraGateway& hydra)
{
    Table table{{}, hydra};
    table.add("GET", {"/status", "/status/"}, "all that Hydra's runner tells of itself", status);
    table.add("GET", {"/status/machines", "/status/machines/"}, "connected machines, by name", machines);
    table.add("GET", {"/status/jobsets", "/status/jobsets/"}, "jobsets with work or recent use", jobsets);
    table.addPages({"/status/builds", "/status/builds/"}, "unfinished builds", builds);
    table.addPages({"/status/steps", "/status/steps/"}, "unfinished steps", stepsOf(HydraSteps::Live, writeHydraStep));
    table.addPages({"/status/runnable", "/status/runnable/"}, "steps that wait for a machine only",
                   stepsOf(HydraSteps::Runnable, writeHydraStep));
    table.addPages({"/status/queues", "/status/queues/"}, "steps in queues, by system", queues);
    table.addPages({"/status/queues/jobs", "/status/queues/jobs/"}, "steps that are runnable or run",
                   stepsOf(HydraSteps::Queued, writeHydraStepInfo));
    table.addPages({"/status/queues/scheduled", "/status/queues/scheduled/"}, "steps that are on a machine",
                   stepsOf(HydraSteps::Scheduled, writeHydraStepInfo));
    table.add("GET", {"/status/uploads", "/status/uploads/"},
              "store paths that wait for being shown, here or in a further store", uploads);
    for (auto route = table.routes.end() - 2; route != table.routes.end(); ++route)
        route->query = {"limit"};
    table.add("GET", {"/status/build/{}/active", "/status/build/{}/active/"}, "whether a build is not finished",
              active);
    table.addBody("PUT", {"/build", "/build/"}, "makes a build of a derivation, for trying out", kAddedBuildBody,
                  addBuild);
    table.addBody("POST", {"/build_one", "/build_one/"}, "loads one build of Hydra's queue", kBuildIdBody, loadBuild);
    return std::move(table.routes);
}

} // namespace penstock::http
