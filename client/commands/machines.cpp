// SPDX-License-Identifier: GPL-3.0-or-later
// machines, machine, drain, undrain, status: the farm itself.
#include "client/commands/arguments.h"
#include "client/commands/table.h"
#include "client/output/json_fields.h"
#include "shared/base/text.h"

#include <array>
#include <fmt/format.h>
#include <QJsonArray>
#include <QJsonDocument>

namespace penstock::client {

namespace {

using config::Kind;
using config::Values;

std::string machinePath(const Values& values)
{
    return "/api/v1/machines/" + percentEncode(values.argument("NAME"));
}

int machines(Invocation& invocation, const Values&)
{
    return invocation.show("/api/v1/machines", [&](const QJsonObject& answer, const View& view) {
        const auto records = arrayField(answer, "machines");
        if (!records.isEmpty())
            return renderList(RecordKind::Machine, records, view);
        invocation.console().note("no machines; start penstock-builder on one");
        return std::string();
    });
}

// The flags of penstock-builder, and how /api/v1 calls them.
struct Threshold {
    const char* flag;
    const char* key;
    bool isNumber; // else the server reads it, as in "10GiB"
};
constexpr std::array kThresholds{Threshold{"cpu-psi", "cpu_psi", true},
                                 Threshold{"mem-psi", "mem_psi", true},
                                 Threshold{"io-psi", "io_psi", true},
                                 Threshold{"load1", "load1", true},
                                 Threshold{"min-free-disk", "min_free_disk_bytes", false},
                                 Threshold{"min-free-memory", "min_free_memory_bytes", false},
                                 Threshold{"min-free-inodes", "min_free_inodes", true}};

Result<Threshold> findThreshold(const std::string& flag)
{
    std::string all;
    for (const auto& each : kThresholds) {
        if (each.flag == flag)
            return each;
        all += fmt::format("{}{}", all.empty() ? "" : ", ", each.flag);
    }
    return fail(ErrorCode::Invalid, fmt::format("threshold \"{}\" is not known; there are {}", flag, all));
}

Result<QJsonObject> thresholdChanges(const Values& values)
{
    QJsonObject changes;
    for (const auto& name : values.list("unset")) {
        PENSTOCK_TRY(const auto threshold, findThreshold(name));
        changes.insert(QLatin1String(threshold.key), QJsonValue(QJsonValue::Null));
    }
    for (const auto& setting : values.list("set")) {
        const auto equals = setting.find('=');
        if (equals == std::string::npos)
            return fail(ErrorCode::Invalid, fmt::format("--set \"{}\": write it as NAME=VALUE", setting));
        PENSTOCK_TRY(const auto threshold, findThreshold(setting.substr(0, equals)));
        const auto text = setting.substr(equals + 1);
        const auto number = parseDouble(text);
        if (threshold.isNumber && !number)
            return fail(ErrorCode::Invalid,
                        fmt::format("--set {}: \"{}\" is not a number", threshold.flag, text));
        const QLatin1String key(threshold.key);
        if (changes.contains(key))
            return fail(ErrorCode::Invalid,
                        fmt::format("{} is given twice with --set or --unset; give it once", threshold.flag));
        // A size stays text, which has no rounding.
        changes.insert(key, threshold.isNumber ? QJsonValue(*number) : QJsonValue(QString::fromStdString(text)));
    }
    return changes;
}

int printMachine(Invocation& invocation, const Result<ApiReply>& reply)
{
    if (!reply)
        return invocation.complain(reply.error());
    if (invocation.globals().json)
        invocation.printJson(reply->body);
    else if (!invocation.globals().quiet)
        invocation.console().out(renderMachine(reply->object, invocation.view()));
    return kExitFine;
}

int removeMachine(Invocation& invocation, const Values& values)
{
    const auto reply = invocation.api().send("DELETE", machinePath(values), {});
    if (!reply)
        return invocation.complain(reply.error());
    if (invocation.globals().json)
        invocation.printJson(reply->body);
    else if (!invocation.globals().quiet)
        invocation.console().out(fmt::format("machine {} removed\n", printable(values.argument("NAME"))));
    return kExitFine;
}

int machine(Invocation& invocation, const Values& values)
{
    const auto changes = thresholdChanges(values);
    if (!changes)
        return usageError(invocation, changes.error());
    const bool trust = values.flag("trust");
    if (values.flag("remove")) {
        if (trust || !changes->isEmpty())
            return usageError(invocation,
                              {ErrorCode::Invalid, "--remove goes with no other change of the machine"});
        return removeMachine(invocation, values);
    }
    if (!trust && changes->isEmpty())
        return invocation.show(machinePath(values), renderMachine);
    if (trust) {
        const auto reply = invocation.api().post(machinePath(values) + "/trust", {});
        if (!reply || changes->isEmpty())
            return printMachine(invocation, reply);
    }
    const QJsonObject body{{QStringLiteral("thresholds"), *changes}};
    return printMachine(invocation,
                        invocation.api().send("PATCH", machinePath(values),
                                              QJsonDocument(body).toJson(QJsonDocument::Compact).toStdString()));
}

int change(Invocation& invocation, const Values& values, std::string_view verb, std::string body)
{
    const auto reply =
        invocation.api().post(fmt::format("{}/{}", machinePath(values), verb), std::move(body));
    if (!reply)
        return invocation.complain(reply.error());
    if (invocation.globals().json)
        invocation.printJson(reply->body);
    else if (!invocation.globals().quiet)
        invocation.console().out(fmt::format("machine {}: {}\n", printable(textField(reply->object, "name")),
                                             printable(textField(reply->object, "state"))));
    return kExitFine;
}

int drain(Invocation& invocation, const Values& values)
{
    return change(invocation, values, "drain", noteBody(values));
}

int undrain(Invocation& invocation, const Values& values)
{
    return change(invocation, values, "undrain", {});
}

int status(Invocation& invocation, const Values&)
{
    const auto reply = invocation.api().get("/api/v1/status");
    if (!reply)
        return invocation.complain(reply.error());
    if (invocation.globals().json)
        invocation.printJson(reply->body);
    else
        invocation.console().out(renderStatus(reply->object, invocation.view()));
    // Without builders a farm is of no use yet, but nothing is broken.
    const auto database = objectField(reply->object, "database");
    return database.value(QLatin1String("ok")).toBool(true) ? kExitFine : kExitFailed;
}

} // namespace

Command machinesCommand()
{
    return {{"machines", "list machines with their slots, load and pressure", {}, {}},
            "PSI is the kernel's pressure in percent: CPU (some), memory and I/O (full). CPUS are those reserved by "
            "what runs,\nof those that may be. The note says why a machine would take nothing now.",
            {"penstock machines"},
            machines};
}

Command machineCommand()
{
    return {{"machine",
             "show one machine and what it runs, or change what the server thinks of it",
             {{"set", Kind::Text, "a threshold in place of the builder's own; 0: no limit", "NAME=VALUE", {}, {}, {},
               true},
              {"unset", Kind::Text, "let the builder's own threshold count again", "NAME", {}, {}, {}, true},
              {"trust", Kind::Flag, "end its quarantine at once"},
              {"remove", Kind::Flag, "forget a machine that is away and runs nothing"}},
             {{"NAME", "its name or number"}}},
            "Thresholds are those of penstock-builder: cpu-psi, mem-psi and io-psi (percent), load1, min-free-disk, "
            "min-free-memory,\nmin-free-inodes. They take effect at once and outlive restarts of both.",
            {"penstock machine builder-1", "penstock machine builder-1 --set cpu-psi=70 --unset io-psi",
             "penstock machine builder-1 --trust"},
            machine};
}

Command drainCommand()
{
    return {{"drain",
             "give a machine no new work; what it runs goes on",
             {{"note", Kind::Text, "why, for others to see", "TEXT"}},
             {{"NAME", "its name or number"}}},
            "",
            {"penstock drain builder-1 --note 'new disk on Monday'"},
            drain};
}

Command undrainCommand()
{
    return {{"undrain", "give a drained machine work again", {}, {{"NAME", "its name or number"}}},
            "",
            {"penstock undrain builder-1"},
            undrain};
}

Command statusCommand()
{
    return {{"status", "say whether the farm is healthy, and what is wrong if not", {}, {}},
            "Exits with 1 when the server cannot be reached or its database is away.",
            {"penstock status", "penstock status --json | jq .problems"},
            status};
}

} // namespace penstock::client
