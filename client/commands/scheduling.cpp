// SPDX-License-Identifier: GPL-3.0-or-later
// queue, namespace, pause, resume: what waits and for whom, and what operators decide about it.
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

std::string compact(const QJsonObject& object)
{
    return QJsonDocument(object).toJson(QJsonDocument::Compact).toStdString();
}

// The list of one route, and the share groups beside it.
Result<QJsonObject> withShares(Invocation& invocation, const std::string& target, const char* key)
{
    PENSTOCK_TRY(const auto list, invocation.api().get(target));
    PENSTOCK_TRY(const auto shares, invocation.api().get("/api/v1/shares"));
    return QJsonObject{{QLatin1String(key), arrayField(list.object, key)},
                       {QStringLiteral("shares"), arrayField(shares.object, "shares")}};
}

int showWithShares(Invocation& invocation, const Result<QJsonObject>& answer, std::string_view none,
                   std::string (*render)(const QJsonObject&, const View&))
{
    if (!answer)
        return invocation.complain(answer.error());
    if (invocation.globals().json) {
        invocation.printJson(compact(*answer));
        return kExitFine;
    }
    const auto text = render(*answer, invocation.view());
    if (text.empty())
        invocation.console().note(std::string(none));
    invocation.console().out(text);
    return kExitFine;
}

int queue(Invocation& invocation, const Values&)
{
    return showWithShares(invocation, withShares(invocation, "/api/v1/queues", "queues"), "nothing is queued or runs",
                          renderQueues);
}

// ------------------------------------------------------------------------------------------------- namespaces

int listNamespaces(Invocation& invocation)
{
    return showWithShares(invocation, withShares(invocation, "/api/v1/namespaces", "namespaces"),
                          "no namespace has limits or open jobs", renderNamespaces);
}

int showNamespace(Invocation& invocation, const std::string& name)
{
    const auto found = invocation.api().get("/api/v1/namespaces/" + percentEncode(name));
    if (!found)
        return invocation.complain(found.error());
    const auto shares = invocation.api().get("/api/v1/shares");
    if (!shares)
        return invocation.complain(shares.error());
    if (!invocation.globals().json) {
        const QJsonObject answer{{QStringLiteral("namespaces"), QJsonArray{found->object}},
                                 {QStringLiteral("shares"), arrayField(shares->object, "shares")}};
        invocation.console().out(renderNamespaces(answer, invocation.view()));
        return kExitFine;
    }
    auto document = found->object;
    document.insert(QStringLiteral("share"), QJsonValue(QJsonValue::Null));
    const auto groups = arrayField(shares->object, "shares");
    for (const auto& group : groups)
        if (textField(group.toObject(), "group") == name)
            document.insert(QStringLiteral("share"), group);
    invocation.printJson(compact(document));
    return kExitFine;
}

int setNamespace(Invocation& invocation, const Values& values, const std::string& name)
{
    QJsonObject limits;
    for (const auto& [flag, key] :
         {std::pair{"max-running-steps", "max_running_steps"}, std::pair{"max-queued-jobs", "max_queued_jobs"},
          std::pair{"max-cpus", "max_cpus"}})
        if (values.has(flag))
            limits.insert(QLatin1String(key), qint64{values.integer(flag)});
    if (limits.isEmpty() && !values.has("shares"))
        return usageError(invocation, {ErrorCode::Invalid, "namespace set needs --shares, --max-running-steps, "
                                                           "--max-queued-jobs or --max-cpus"});
    if (values.has("shares")) {
        const QJsonObject body{{QStringLiteral("shares"), qint64{values.integer("shares")}}};
        const auto reply = invocation.api().send("PUT", "/api/v1/shares/" + percentEncode(name), compact(body));
        if (!reply)
            return invocation.complain(reply.error());
        if (limits.isEmpty()) {
            if (invocation.globals().json)
                invocation.printJson(reply->body);
            else if (!invocation.globals().quiet)
                invocation.console().out(
                    fmt::format("{}: {} shares\n", printable(name), numberField(reply->object, "shares")));
            return kExitFine;
        }
    }
    const auto reply = invocation.api().send("PUT", "/api/v1/namespaces/" + percentEncode(name), compact(limits));
    if (!reply)
        return invocation.complain(reply.error());
    if (invocation.globals().json)
        invocation.printJson(reply->body);
    else if (!invocation.globals().quiet)
        invocation.console().out(renderNamespaces({{QStringLiteral("namespaces"), QJsonArray{reply->object}}},
                                                  invocation.view()));
    return kExitFine;
}

int nameSpace(Invocation& invocation, const Values& values)
{
    const auto action = values.argument("ACTION");
    const auto name = values.argument("NAME");
    if (action == "list")
        return listNamespaces(invocation);
    if (action != "show" && action != "set")
        return usageError(invocation, {ErrorCode::Invalid,
                                       fmt::format("namespace \"{}\": it must be list, show or set", action)});
    if (name.empty())
        return usageError(invocation,
                          {ErrorCode::Invalid, fmt::format("namespace {} needs the namespace's NAME", action)});
    return action == "show" ? showNamespace(invocation, name) : setNamespace(invocation, values, name);
}

// ------------------------------------------------------------------------------------------------------ pause

int change(Invocation& invocation, const std::string& verb, std::string body, std::string_view done)
{
    const auto reply = invocation.api().post("/api/v1/dispatch/" + verb, std::move(body));
    if (!reply)
        return invocation.complain(reply.error());
    if (invocation.globals().json)
        invocation.printJson(reply->body);
    else if (!invocation.globals().quiet)
        invocation.console().out(fmt::format("{}\n", done));
    return kExitFine;
}

int pause(Invocation& invocation, const Values& values)
{
    return change(invocation, "pause", noteBody(values), "the farm is paused: what runs goes on, nothing new starts");
}

int resume(Invocation& invocation, const Values&)
{
    return change(invocation, "resume", {}, "the farm goes on");
}

config::OptionSpec limitOption(std::string name, std::string help)
{
    return {std::move(name), Kind::Integer, std::move(help), "N", {}, {}, {}, false, false, 0, 0, 1'000'000'000};
}

} // namespace

Command queueCommand()
{
    return {{"queue", "show what waits: per system and features, and per share group", {}, {}},
            "QUEUED steps could start now, DELAYED ones wait for their retry time, BLOCKED ones for other steps. "
            "MACHINES are\nthose that are connected, able and not draining. A group's use is its machine time in the "
            "window that counts; its\ntarget is what its shares give it among the groups that have work.",
            {"penstock queue", "penstock queue --json | jq '.queues[] | select(.eligible_machines == 0)'"},
            queue};
}

Command namespaceCommand()
{
    return {{"namespace",
             "show and limit what namespaces may use",
             {{"shares", Kind::Integer, "set: its share of the farm against the others' (usual: 100)", "N", {}, {}, {},
               false, false, 0, 1, 1'000'000},
              limitOption("max-running-steps", "set: steps that may run at once; 0: no limit"),
              limitOption("max-queued-jobs", "set: jobs that may be open at once; more are refused; 0: no limit"),
              limitOption("max-cpus", "set: CPUs that its running steps may take together; 0: no limit")},
             {{"ACTION", "list, show or set"}, {"NAME", "show, set: the namespace", false}}},
            "set changes what is given and leaves the rest. Shares belong to the share group of the same name, which "
            "is where\na namespace's jobs are unless they say otherwise.",
            {"penstock namespace list", "penstock namespace set nightly --shares 50 --max-cpus 64"},
            nameSpace};
}

Command pauseCommand()
{
    return {{"pause",
             "start nothing new on the whole farm; what runs goes on",
             {{"note", Kind::Text, "why, for others to see", "TEXT"}},
             {}},
            "Jobs are still taken. `penstock status` shows the pause; it outlives restarts of the server.",
            {"penstock pause --note 'new switch at noon'"},
            pause};
}

Command resumeCommand()
{
    return {{"resume", "let a paused farm go on", {}, {}}, "", {"penstock resume"}, resume};
}

} // namespace penstock::client
