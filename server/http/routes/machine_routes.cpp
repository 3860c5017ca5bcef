// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/inputs.h"
#include "server/http/render.h"
#include "server/jobs/object_reader.h"

#include <array>

namespace penstock::http {
namespace {

constexpr std::size_t kMaxNoteBytes = 1'000;

Answer<feed::MachineEntry> rendering(Respond respond)
{
    return [respond = std::move(respond)](Result<feed::MachineEntry> machine) {
        if (!machine)
            return respond(problem(machine.error()));
        JsonWriter out;
        writeMachine(out, *machine);
        respond(json(std::move(out).take()));
    };
}

void list(const Site& site, const Request&, Respond respond)
{
    site.gateway.machines([respond = std::move(respond)](Result<std::vector<feed::MachineEntry>> machines) {
        if (!machines)
            return respond(problem(machines.error()));
        JsonWriter out;
        out.beginObject();
        out.key("machines");
        out.beginArray();
        for (const auto& machine : *machines)
            writeMachine(out, machine);
        out.endArray();
        out.endObject();
        respond(json(std::move(out).take()));
    });
}

void show(const Site& site, const Request& request, Respond respond)
{
    site.gateway.machine(request.params[0], rendering(std::move(respond)));
}

Result<std::string> readNote(const Request& request)
{
    if (request.body.empty())
        return std::string();
    constexpr std::array<std::string_view, 1> kKeys{"note"};
    PENSTOCK_TRY(const auto document, nix::parseJson(request.body));
    PENSTOCK_TRY(const auto body, jobs::ObjectReader::open(document, {}, kKeys));
    PENSTOCK_TRY(auto note, body.text("note", kMaxNoteBytes));
    return std::move(note).value_or("");
}

void drain(const Site& site, const Request& request, Respond respond)
{
    auto note = readNote(request);
    if (!note)
        return respond(bodyProblem(note.error()));
    site.gateway.drain(request.params[0], true, *std::move(note), rendering(std::move(respond)));
}

void undrain(const Site& site, const Request& request, Respond respond)
{
    site.gateway.drain(request.params[0], false, {}, rendering(std::move(respond)));
}

} // namespace

std::vector<Route> machineRoutes(const Site& site)
{
    using auth::Action;
    const auto with = [&site](auto function) {
        return [&site, function](const Request& request, Respond respond) {
            function(site, request, std::move(respond));
        };
    };
    return {
        {"GET", "/api/v1/machines", Action::Watch, {}, with(list)},
        {"GET", "/api/v1/machines/{}", Action::Watch, {}, with(show)},
        {"POST", "/api/v1/machines/{}/drain", Action::Operate, {}, with(drain)},
        {"POST", "/api/v1/machines/{}/undrain", Action::Operate, {}, with(undrain)},
    };
}

} // namespace penstock::http
