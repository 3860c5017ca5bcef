// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/inputs.h"
#include "server/http/render.h"
#include "server/jobs/object_reader.h"

#include <array>

namespace penstock::http {
namespace {

constexpr std::string_view kPatchBody =
    R"({"type":"object","required":["thresholds"],"additionalProperties":false,"properties":{"thresholds":{)"
    R"("type":"object","additionalProperties":false,"properties":{"cpu_psi":{"type":["number","null"]},)"
    R"("mem_psi":{"type":["number","null"]},"io_psi":{"type":["number","null"]},"load1":{"type":["number","null"]},)"
    R"("min_free_disk_bytes":{"type":["integer","string","null"]},)"
    R"("min_free_memory_bytes":{"type":["integer","string","null"]},"min_free_inodes":{"type":["integer","null"]}}}}})";

constexpr std::array<std::string_view, 1> kPatchKeys{"thresholds"};
constexpr std::array<std::string_view, 7> kThresholdKeys{"cpu_psi", "mem_psi", "io_psi", "load1",
                                                         "min_free_disk_bytes", "min_free_memory_bytes",
                                                         "min_free_inodes"};
constexpr double kMaxLoad = 1e6;
constexpr std::uint64_t kMaxBytes = 1ULL << 60U;
constexpr std::int64_t kMaxInodes = 1LL << 60;

Answer<MachineView> rendering(Respond respond)
{
    return [respond = std::move(respond)](Result<MachineView> machine) {
        if (!machine)
            return respond(problem(machine.error()));
        JsonWriter out;
        writeMachine(out, *machine);
        respond(json(std::move(out).take()));
    };
}

void list(const Site& site, const Request&, Respond respond)
{
    site.gateway.machines([respond = std::move(respond)](Result<std::vector<MachineView>> machines) {
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

// Left out: stays. Null: the builder's counts. Else the value.
template <class T>
Override<T> overrideOf(const jobs::ObjectReader& reader, std::string_view key, std::optional<T> value)
{
    if (reader.isNull(key))
        return std::optional<T>();
    return value ? Override<T>(value) : Override<T>();
}

Result<Override<double>> readNumber(const jobs::ObjectReader& reader, std::string_view key, double most)
{
    PENSTOCK_TRY(const auto value, reader.number(key, 0, most));
    return overrideOf(reader, key, value);
}

Result<Override<std::uint64_t>> readBytes(const jobs::ObjectReader& reader, std::string_view key)
{
    PENSTOCK_TRY(const auto value, reader.bytes(key, {0, kMaxBytes}));
    return overrideOf(reader, key, value);
}

Result<ThresholdChange> readThresholds(const Request& request)
{
    PENSTOCK_TRY(const auto document, nix::parseJson(request.body));
    PENSTOCK_TRY(const auto body, jobs::ObjectReader::open(document, {}, kPatchKeys));
    const auto* value = body.find("thresholds");
    if (!value)
        return body.refuse("thresholds", "is missing; it holds the thresholds to change");
    PENSTOCK_TRY(const auto reader, jobs::ObjectReader::open(*value, "thresholds", kThresholdKeys));
    ThresholdChange change;
    PENSTOCK_TRY(change.cpuPsi, readNumber(reader, "cpu_psi", 100));
    PENSTOCK_TRY(change.memoryPsi, readNumber(reader, "mem_psi", 100));
    PENSTOCK_TRY(change.ioPsi, readNumber(reader, "io_psi", 100));
    PENSTOCK_TRY(change.load1, readNumber(reader, "load1", kMaxLoad));
    PENSTOCK_TRY(change.minFreeDiskBytes, readBytes(reader, "min_free_disk_bytes"));
    PENSTOCK_TRY(change.minFreeMemoryBytes, readBytes(reader, "min_free_memory_bytes"));
    PENSTOCK_TRY(const auto inodes, reader.integer("min_free_inodes", 0, kMaxInodes));
    change.minFreeInodes = overrideOf(
        reader, "min_free_inodes", inodes ? std::optional(static_cast<std::uint64_t>(*inodes)) : std::nullopt);
    return change;
}

void patch(const Site& site, const Request& request, Respond respond)
{
    auto thresholds = readThresholds(request);
    if (!thresholds)
        return respond(bodyProblem(thresholds.error()));
    site.gateway.changeThresholds(request.params[0], *std::move(thresholds), rendering(std::move(respond)));
}

void trust(const Site& site, const Request& request, Respond respond)
{
    site.gateway.trust(request.params[0], rendering(std::move(respond)));
}

void remove(const Site& site, const Request& request, Respond respond)
{
    site.gateway.removeMachine(request.params[0], [respond = std::move(respond),
                                                   name = request.params[0]](Result<void> done) {
        if (!done)
            return respond(problem(done.error()));
        JsonWriter out;
        out.beginObject();
        out.field("machine", std::string_view(name));
        out.field("removed", true);
        out.endObject();
        respond(json(std::move(out).take()));
    });
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
        {"GET", "/api/v1/machines", Action::Watch, {}, with(list),
         "all machines"},
        {"GET", "/api/v1/machines/{}", Action::Watch, {}, with(show),
         "one machine, by its name or number"},
        {"POST", "/api/v1/machines/{}/drain", Action::Operate, {}, with(drain),
         "gives a machine no new work", kNoteBody},
        {"POST", "/api/v1/machines/{}/undrain", Action::Operate, {}, with(undrain),
         "gives a drained machine work again"},
        {"POST", "/api/v1/machines/{}/trust", Action::Operate, {}, with(trust),
         "ends a machine's quarantine"},
        {"PATCH", "/api/v1/machines/{}", Action::Operate, {}, with(patch),
         "sets thresholds in place of the builder's own; null: those count again", kPatchBody},
        {"DELETE", "/api/v1/machines/{}", Action::Operate, {}, with(remove),
         "forgets a machine that is away and runs nothing"},
    };
}

} // namespace penstock::http
