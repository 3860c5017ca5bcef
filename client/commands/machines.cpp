// SPDX-License-Identifier: GPL-3.0-or-later
// machines, machine, drain, undrain, status: the farm itself.
#include "client/commands/arguments.h"
#include "client/commands/table.h"
#include "client/output/json_fields.h"

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

int machine(Invocation& invocation, const Values& values)
{
    return invocation.show(machinePath(values), renderMachine);
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
    const QJsonObject body{{QStringLiteral("note"), QString::fromStdString(values.text("note"))}};
    return change(invocation, values, "drain",
                  QJsonDocument(body).toJson(QJsonDocument::Compact).toStdString());
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
            "PSI is the kernel's pressure in percent: CPU (some), memory and I/O (full).",
            {"penstock machines"},
            machines};
}

Command machineCommand()
{
    return {{"machine", "show one machine and what it runs", {}, {{"NAME", "its name or number"}}},
            "",
            {"penstock machine builder-1"},
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
