// SPDX-License-Identifier: GPL-3.0-or-later
// What waits and for whom, and what operators decide about it: queues, shares, namespaces, the pause of the farm.
#include "server/http/inputs.h"
#include "server/http/render.h"
#include "server/jobs/job_spec.h"
#include "server/jobs/object_reader.h"

#include <algorithm>
#include <array>

namespace penstock::http {
namespace {

constexpr std::string_view kSharesBody =
    R"({"type":"object","required":["shares"],"additionalProperties":false,"properties":{)"
    R"("shares":{"type":"integer","minimum":1,"maximum":1000000}}})";
constexpr std::string_view kNamespaceBody =
    R"({"type":"object","additionalProperties":false,"properties":{"max_running_steps":{"type":"integer","minimum":0},)"
    R"("max_queued_jobs":{"type":"integer","minimum":0},"max_cpus":{"type":"integer","minimum":0}}})";

constexpr std::int64_t kMaxShares = 1'000'000;
constexpr std::int64_t kMaxLimit = 1'000'000'000;

// {"queues": [each]}
template <class T>
Answer<std::vector<T>> listing(Respond respond, const char* key, void (*write)(JsonWriter&, const T&))
{
    return [respond = std::move(respond), key, write](Result<std::vector<T>> records) {
        if (!records)
            return respond(problem(records.error()));
        JsonWriter out;
        out.beginObject();
        out.key(key);
        out.beginArray();
        for (const auto& record : *records)
            write(out, record);
        out.endArray();
        out.endObject();
        respond(json(std::move(out).take()));
    };
}

template <class T> Answer<T> showing(Respond respond, void (*write)(JsonWriter&, const T&))
{
    return [respond = std::move(respond), write](Result<T> record) {
        if (!record)
            return respond(problem(record.error()));
        JsonWriter out;
        write(out, *record);
        respond(json(std::move(out).take()));
    };
}

void queues(const Site& site, const Request&, Respond respond)
{
    site.gateway.queues(listing<QueueView>(std::move(respond), "queues", writeQueue));
}

void shares(const Site& site, const Request&, Respond respond)
{
    site.gateway.shares(listing<ShareView>(std::move(respond), "shares", writeShare));
}

void namespaces(const Site& site, const Request&, Respond respond)
{
    site.gateway.namespaces(listing<NamespaceView>(std::move(respond), "namespaces", writeNamespace));
}

void nameSpace(const Site& site, const Request& request, Respond respond)
{
    site.gateway.namespaces([respond = std::move(respond),
                             name = request.params[0]](Result<std::vector<NamespaceView>> all) {
        if (!all)
            return respond(problem(all.error()));
        const auto found =
            std::ranges::find(*all, name, [](const NamespaceView& each) { return each.limits.name; });
        if (found == all->end())
            return respond(problem(404, fmt::format("no namespace {}", toValidUtf8(name.substr(0, 100)))));
        JsonWriter out;
        writeNamespace(out, *found);
        respond(json(std::move(out).take()));
    });
}

// The name in the path, of something that needs not be there before.
Result<std::string> readName(const Request& request, std::string_view what)
{
    const auto& name = request.params[0];
    if (!jobs::isWord(name, jobs::kMaxWordBytes))
        return fail(ErrorCode::Invalid,
                    fmt::format("{} \"{}\" must be 1 to {} letters, digits and _ - . @ / +", what,
                                toValidUtf8(name.substr(0, jobs::kMaxWordBytes)), jobs::kMaxWordBytes));
    return name;
}

Result<work::ShareGroupRow> readShares(const Request& request)
{
    constexpr std::array<std::string_view, 1> kKeys{"shares"};
    work::ShareGroupRow group;
    PENSTOCK_TRY(group.name, readName(request, "share group"));
    PENSTOCK_TRY(const auto document, nix::parseJson(request.body));
    PENSTOCK_TRY(const auto body, jobs::ObjectReader::open(document, {}, kKeys));
    PENSTOCK_TRY(const auto shares, body.integer("shares", 1, kMaxShares));
    if (!shares)
        return body.refuse("shares", fmt::format("is missing; the usual number is {}", work::kDefaultShares));
    group.shares = static_cast<std::uint32_t>(*shares);
    return group;
}

void putShares(const Site& site, const Request& request, Respond respond)
{
    auto group = readShares(request);
    if (!group)
        return respond(bodyProblem(group.error()));
    site.gateway.setShares(*std::move(group), showing<ShareView>(std::move(respond), writeShare));
}

Result<NamespaceChange> readChange(const Request& request)
{
    constexpr std::array<std::string_view, 3> kKeys{"max_running_steps", "max_queued_jobs", "max_cpus"};
    NamespaceChange change;
    PENSTOCK_TRY(change.name, readName(request, "namespace"));
    PENSTOCK_TRY(const auto document, nix::parseJson(request.body));
    PENSTOCK_TRY(const auto body, jobs::ObjectReader::open(document, {}, kKeys));
    const auto read = [&](std::string_view key) -> Result<std::optional<std::uint32_t>> {
        PENSTOCK_TRY(const auto limit, body.integer(key, 0, kMaxLimit));
        return limit ? std::optional(static_cast<std::uint32_t>(*limit)) : std::nullopt;
    };
    PENSTOCK_TRY(change.maxRunningSteps, read("max_running_steps"));
    PENSTOCK_TRY(change.maxQueuedJobs, read("max_queued_jobs"));
    PENSTOCK_TRY(change.maxCpus, read("max_cpus"));
    return change;
}

void putNamespace(const Site& site, const Request& request, Respond respond)
{
    auto change = readChange(request);
    if (!change)
        return respond(bodyProblem(change.error()));
    site.gateway.changeNamespace(*std::move(change), showing<NamespaceView>(std::move(respond), writeNamespace));
}

void pause(const Site& site, const Request& request, Respond respond)
{
    auto note = readNote(request);
    if (!note)
        return respond(bodyProblem(note.error()));
    site.gateway.pause(true, request.who.name, *std::move(note),
                       showing<work::DispatchPause>(std::move(respond), writePause));
}

void resume(const Site& site, const Request& request, Respond respond)
{
    site.gateway.pause(false, request.who.name, {}, showing<work::DispatchPause>(std::move(respond), writePause));
}

} // namespace

std::vector<Route> schedulingRoutes(const Site& site)
{
    using auth::Action;
    const auto with = [&site](auto function) {
        return [&site, function](const Request& request, Respond respond) {
            function(site, request, std::move(respond));
        };
    };
    return {
        {"GET", "/api/v1/queues", Action::Watch, {}, with(queues),
         "what waits, per system and required features"},
        {"GET", "/api/v1/shares", Action::Watch, {}, with(shares),
         "use of the farm and shares, per share group"},
        {"PUT", "/api/v1/shares/{}", Action::Operate, {}, with(putShares),
         "sets the shares of a group", kSharesBody},
        {"GET", "/api/v1/namespaces", Action::Watch, {}, with(namespaces),
         "namespaces that have limits or open jobs"},
        {"GET", "/api/v1/namespaces/{}", Action::Watch, {}, with(nameSpace),
         "one of them"},
        {"PUT", "/api/v1/namespaces/{}", Action::Operate, {}, with(putNamespace),
         "limits a namespace; 0: no limit; what is left out stays", kNamespaceBody},
        {"POST", "/api/v1/dispatch/pause", Action::Operate, {}, with(pause),
         "starts nothing new on the whole farm", kNoteBody},
        {"POST", "/api/v1/dispatch/resume", Action::Operate, {}, with(resume),
         "lets a paused farm go on"},
    };
}

} // namespace penstock::http
