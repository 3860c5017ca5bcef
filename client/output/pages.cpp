// SPDX-License-Identifier: GPL-3.0-or-later
// The pages of a job and of the farm; lists are in records.cpp.
#include "client/output/fields.h"
#include "client/output/human_text.h"
#include "client/output/json_fields.h"
#include "client/output/records.h"
#include "client/output/table.h"

#include <algorithm>
#include <fmt/format.h>
#include <QJsonDocument>

namespace penstock::client {

namespace {

std::string commandText(const QJsonValue& command)
{
    if (command.isString())
        return command.toString().toStdString();
    return QJsonDocument(command.toArray()).toJson(QJsonDocument::Compact).toStdString();
}

// "12 slots-full, 3 held", the most first.
void addWaiting(Fields& fields, const QJsonObject& waiting)
{
    std::vector<std::pair<std::int64_t, std::string>> reasons;
    for (auto each = waiting.begin(); each != waiting.end(); ++each)
        if (each.value().toInteger() > 0)
            reasons.emplace_back(each.value().toInteger(), each.key().toStdString());
    std::stable_sort(reasons.begin(), reasons.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    std::string text;
    for (const auto& [steps, code] : reasons)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", steps, code);
    if (!text.empty())
        fields.emplace_back("Steps wait for", Cell{text});
}

bool hasFailedOutput(const QJsonObject& job)
{
    const auto results = arrayField(job, "results");
    return std::any_of(results.begin(), results.end(), [](const auto& result) {
        return result.toObject().value(QLatin1String("failed")).toBool();
    });
}

} // namespace

std::string renderJob(const QJsonObject& job, const View& view)
{
    Fields fields;
    addText(fields, job, "id", "Job");
    addText(fields, job, "name", "Name");
    const auto state = textField(job, "state");
    fields.emplace_back("State", stateCell(state, view.style));
    if (const auto result = textField(job, "result"); !result.empty() && result != state)
        fields.emplace_back("Result", stateCell(result, view.style));
    if (hasFailedOutput(job))
        fields.emplace_back("Result", outputFailedCell(view.style));
    if (const auto end = endingOf(job); !end.empty())
        fields.emplace_back("Ended with", Cell{end, Colour::Red});
    else
        addText(fields, job, "exit_code", "Exit code");
    addText(fields, job, "user", "User");
    addText(fields, job, "namespace", "Namespace");
    if (const auto group = textField(job, "share_group"); group != textField(job, "namespace"))
        fields.emplace_back("Share group", Cell{group});
    addText(fields, job, "priority", "Priority");
    addTime(fields, job, "bumped_at", "Bumped", view.now);
    if (job.value(QLatin1String("held")).toBool())
        fields.emplace_back("Held", Cell{textField(job, "hold_note"), Colour::Yellow});
    if (const auto concurrency = objectField(job, "concurrency"); !concurrency.isEmpty())
        fields.emplace_back("Concurrency", Cell{fmt::format("group {}, {} at once", textField(concurrency, "group"),
                                                            textField(concurrency, "limit"))});
    addTime(fields, job, "created", "Created", view.now);
    addTime(fields, job, "started", "Started", view.now);
    addTime(fields, job, "finished", "Finished", view.now);
    if (const auto took = spanField(job, "started", "finished", view.now); !took.empty())
        fields.emplace_back("Took", Cell{took});
    const auto steps = objectField(job, "steps");
    fields.emplace_back("Steps",
                        Cell{fmt::format("{} of {} done, {} running, {} failed", numberField(steps, "done"),
                                         numberField(steps, "total"), numberField(steps, "running"),
                                         numberField(steps, "failed"))});
    const auto definition = objectField(job, "definition");
    if (hasField(definition, "command"))
        fields.emplace_back("Command", Cell{commandText(definition.value(QLatin1String("command")))});
    addText(fields, definition, "drv", "Derivation");
    auto page = renderFields(fields, view.style);
    if (const auto results = renderResults(arrayField(job, "results"), view, true); !results.empty())
        page += "\n" + results;
    return page;
}

std::string renderStatus(const QJsonObject& status, const View& view)
{
    Fields fields;
    const bool healthy = status.value(QLatin1String("healthy")).toBool();
    auto health = stateCell(healthy ? "succeeded" : "failed", view.style);
    health.text.replace(health.text.find(healthy ? "succeeded" : "failed"), std::string::npos,
                        healthy ? "healthy" : "not healthy");
    fields.emplace_back("State", health);
    const auto problems = arrayField(status, "problems");
    for (const auto& problem : problems)
        fields.emplace_back("Problem", Cell{problem.toString().toStdString(), Colour::Red});
    addText(fields, status, "server_name", "Server");
    addText(fields, status, "version", "Version");
    fields.emplace_back("Up for",
                        Cell{humanDuration(std::chrono::seconds(numberField(status, "uptime_seconds")))});
    addList(fields, status, "listen", "Listens on");
    addText(fields, status, "auth", "Access");
    const auto database = objectField(status, "database");
    const bool databaseOk = database.value(QLatin1String("ok")).toBool();
    fields.emplace_back("Database", Cell{fmt::format("{}, {}", textField(database, "kind"),
                                                     databaseOk ? "ok" : textField(database, "error")),
                                         databaseOk ? Colour::None : Colour::Red});
    if (const auto dispatch = objectField(status, "dispatch"); dispatch.value(QLatin1String("paused")).toBool()) {
        const auto note = textField(dispatch, "note");
        fields.emplace_back("Dispatch", Cell{fmt::format("paused by {} {} ago{}; `penstock resume` ends it",
                                                         textField(dispatch, "who"),
                                                         ageField(dispatch, "since", view.now),
                                                         note.empty() ? note : ": " + note),
                                             Colour::Yellow});
    }
    fields.emplace_back("Open jobs", Cell{textField(objectField(status, "jobs"), "open")});
    const auto steps = objectField(status, "steps");
    fields.emplace_back("Steps",
                        Cell{fmt::format("{} running, {} ready, {} blocked, {} delayed",
                                         numberField(steps, "running"), numberField(steps, "ready"),
                                         numberField(steps, "blocked"), numberField(steps, "delayed"))});
    addWaiting(fields, objectField(status, "waiting"));
    const auto machines = objectField(status, "machines");
    const auto quarantined = numberField(machines, "quarantined");
    fields.emplace_back(
        "Machines",
        Cell{fmt::format("{} of {} connected, {} draining{}", numberField(machines, "connected"),
                         numberField(machines, "total"), numberField(machines, "draining"),
                         quarantined == 0 ? std::string() : fmt::format(", {} quarantined", quarantined)),
             quarantined == 0 ? Colour::None : Colour::Yellow});
    const auto slots = objectField(status, "slots");
    fields.emplace_back("Slots", Cell{fmt::format("{} of {} in use", numberField(slots, "used"),
                                                  numberField(slots, "total"))});
    addList(fields, status, "stores", "Outputs go to");
    addText(fields, status, "signing_key", "Signing key");
    addList(fields, status, "signing_keys", "Signing keys");
    return renderFields(fields, view.style);
}

} // namespace penstock::client
