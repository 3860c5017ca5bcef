// SPDX-License-Identifier: GPL-3.0-or-later
// The pages of single records; their lists are in records.cpp.
#include "client/output/human_text.h"
#include "client/output/json_fields.h"
#include "client/output/records.h"
#include "client/output/table.h"

#include <fmt/format.h>
#include <QJsonDocument>

namespace penstock::client {

namespace {

using Fields = std::vector<std::pair<std::string, Cell>>;

void addText(Fields& fields, const QJsonObject& object, const char* key, const std::string& title)
{
    if (const auto text = textField(object, key); !text.empty())
        fields.emplace_back(title, Cell{text});
}

void addList(Fields& fields, const QJsonObject& object, const char* key, const std::string& title)
{
    if (const auto text = listField(object, key); !text.empty())
        fields.emplace_back(title, Cell{text});
}

void addTime(Fields& fields, const QJsonObject& object, const char* key, const std::string& title,
             WallTime now)
{
    if (hasField(object, key))
        fields.emplace_back(
            title, Cell{fmt::format("{} ({} ago)", textField(object, key), ageField(object, key, now))});
}

std::uint64_t bytesField(const QJsonObject& object, const char* key)
{
    return static_cast<std::uint64_t>(std::max<std::int64_t>(numberField(object, key), 0));
}

std::string commandText(const QJsonValue& command)
{
    if (command.isString())
        return command.toString().toStdString();
    return QJsonDocument(command.toArray()).toJson(QJsonDocument::Compact).toStdString();
}

double fraction(const QJsonObject& object, const char* key)
{
    return object.value(QLatin1String(key)).toDouble();
}

void addLoad(Fields& fields, const QJsonObject& load)
{
    if (load.isEmpty())
        return;
    fields.emplace_back("Load", Cell{fmt::format("{:.2f}, CPU {:.0f} % busy", fraction(load, "load1"),
                                                 fraction(load, "cpu_busy_percent"))});
    fields.emplace_back("Memory free", Cell{humanBytes(bytesField(load, "memory_available_bytes"))});
    fields.emplace_back("Disk free",
                        Cell{fmt::format("{} of {}", humanBytes(bytesField(load, "disk_free_bytes")),
                                         humanBytes(bytesField(load, "disk_total_bytes")))});
    const auto psi = objectField(load, "psi");
    fields.emplace_back(
        "Pressure", Cell{psi.isEmpty() ? "not reported by this kernel"
                                       : fmt::format("cpu {:.1f} %, memory {:.1f} % (all stalled {:.1f} %), "
                                                     "io {:.1f} % (all stalled {:.1f} %)",
                                                     fraction(psi, "cpu_some"), fraction(psi, "mem_some"),
                                                     fraction(psi, "mem_full"), fraction(psi, "io_some"),
                                                     fraction(psi, "io_full"))});
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
    if (const auto end = endingOf(job); !end.empty())
        fields.emplace_back("Ended with", Cell{end, Colour::Red});
    else
        addText(fields, job, "exit_code", "Exit code");
    addText(fields, job, "user", "User");
    addText(fields, job, "namespace", "Namespace");
    addText(fields, job, "priority", "Priority");
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
    return renderFields(fields, view.style);
}

std::string renderMachine(const QJsonObject& machine, const View& view)
{
    Fields fields;
    addText(fields, machine, "id", "Machine");
    addText(fields, machine, "name", "Name");
    const auto state = textField(machine, "state");
    auto cell = stateCell(state == "ready" ? "connected" : state, view.style);
    if (state == "ready")
        cell.text.replace(cell.text.find("connected"), 9, "ready");
    fields.emplace_back("State", cell);
    addText(fields, machine, "note", "Note");
    addText(fields, machine, "version", "Version");
    addTime(fields, machine, "last_seen", "Last seen", view.now);
    fields.emplace_back("Slots", Cell{fmt::format("{} of {} in use", numberField(machine, "used"),
                                                  numberField(machine, "slots"))});
    fields.emplace_back("Cores", Cell{textField(machine, "cores")});
    fields.emplace_back("Memory", Cell{humanBytes(bytesField(machine, "memory_bytes"))});
    addList(fields, machine, "systems", "Systems");
    addList(fields, machine, "features", "Features");
    addList(fields, machine, "mandatory_features", "Mandatory features");
    addList(fields, machine, "tags", "Tags");
    addList(fields, machine, "executors", "Executors");
    addLoad(fields, objectField(machine, "load"));
    fields.emplace_back("Finished",
                        Cell{fmt::format("{} runs, {} of them failed", numberField(machine, "finished"),
                                         numberField(machine, "failed"))});
    auto out = renderFields(fields, view.style);
    const auto running = arrayField(machine, "running");
    if (running.isEmpty())
        return out;
    Table table({{"STEP", Align::Right},
                 {"JOB", Align::Right},
                 {"NAME", Align::Left, true},
                 {"PHASE"},
                 {"SINCE", Align::Right}});
    for (const auto& item : running) {
        const auto row = item.toObject();
        table.add({{textField(row, "step")},
                   {textField(row, "job")},
                   {textField(row, "name")},
                   {textField(row, "phase")},
                   {ageField(row, "since", view.now)}});
    }
    return out + "\n" + table.render(view.style, view.width);
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
    fields.emplace_back("Open jobs", Cell{textField(objectField(status, "jobs"), "open")});
    const auto steps = objectField(status, "steps");
    fields.emplace_back("Steps",
                        Cell{fmt::format("{} running, {} ready, {} blocked, {} delayed",
                                         numberField(steps, "running"), numberField(steps, "ready"),
                                         numberField(steps, "blocked"), numberField(steps, "delayed"))});
    const auto machines = objectField(status, "machines");
    fields.emplace_back(
        "Machines", Cell{fmt::format("{} of {} connected, {} draining", numberField(machines, "connected"),
                                     numberField(machines, "total"), numberField(machines, "draining"))});
    const auto slots = objectField(status, "slots");
    fields.emplace_back("Slots", Cell{fmt::format("{} of {} in use", numberField(slots, "used"),
                                                  numberField(slots, "total"))});
    addText(fields, status, "signing_key", "Signing key");
    addList(fields, status, "signing_keys", "Signing keys");
    return renderFields(fields, view.style);
}

std::string renderExplain(const QJsonObject& answer, const View& view)
{
    auto out = fmt::format("job {}: {}\n", numberField(answer, "job"),
                           paint(view.style, Colour::Bold, words(printable(textField(answer, "state")))));
    if (const auto text = textField(answer, "text"); !text.empty())
        out += printable(text) + "\n";
    const auto steps = arrayField(answer, "steps");
    for (const auto& item : steps) {
        const auto step = item.toObject();
        const auto state = stateCell(textField(step, "state"), view.style);
        out +=
            fmt::format("  step {} {}  {}\n", numberField(step, "step"), printable(textField(step, "name")),
                        paint(view.style, state.colour, printable(state.text)));
        const auto reasons = arrayField(step, "reasons");
        for (const auto& reason : reasons) {
            const auto entry = reason.toObject();
            const auto machine = textField(entry, "machine");
            out += fmt::format("    {} {}{}\n", view.style.unicode ? "•" : "*",
                               machine.empty() ? "" : printable(machine) + ": ",
                               printable(textField(entry, "text")));
        }
        if (const auto change = textField(step, "change"); !change.empty())
            out += fmt::format("    {} {}\n", view.style.unicode ? "→" : "=>",
                               paint(view.style, Colour::Green, printable(change)));
    }
    return out;
}

} // namespace penstock::client
