// SPDX-License-Identifier: GPL-3.0-or-later
// The page of one machine.
#include "client/output/fields.h"
#include "client/output/human_text.h"
#include "client/output/json_fields.h"
#include "client/output/records.h"

#include <array>
#include <cmath>
#include <fmt/format.h>

namespace penstock::client {

namespace {

void addLoad(Fields& fields, const QJsonObject& load)
{
    if (load.isEmpty())
        return;
    fields.emplace_back("Load", Cell{fmt::format("{:.2f}, CPU {:.0f} % busy", fractionField(load, "load1"),
                                                 fractionField(load, "cpu_busy_percent"))});
    fields.emplace_back("Memory free", Cell{humanBytes(bytesField(load, "memory_available_bytes"))});
    fields.emplace_back("Disk free",
                        Cell{fmt::format("{} of {}", humanBytes(bytesField(load, "disk_free_bytes")),
                                         humanBytes(bytesField(load, "disk_total_bytes")))});
    const auto psi = objectField(load, "psi");
    fields.emplace_back(
        "Pressure", Cell{psi.isEmpty() ? "not reported by this kernel"
                                       : fmt::format("cpu {:.1f} %, memory {:.1f} % (all stalled {:.1f} %), "
                                                     "io {:.1f} % (all stalled {:.1f} %)",
                                                     fractionField(psi, "cpu_some"), fractionField(psi, "mem_some"),
                                                     fractionField(psi, "mem_full"), fractionField(psi, "io_some"),
                                                     fractionField(psi, "io_full"))});
}

// Would it take another small step, and if not, why.
void addOpen(Fields& fields, const QJsonObject& machine)
{
    if (!hasField(machine, "open"))
        return;
    const auto closed = objectField(machine, "closed");
    if (closed.isEmpty()) {
        fields.emplace_back("Takes work", Cell{"yes", Colour::Green});
        return;
    }
    const auto text = textField(closed, "text");
    fields.emplace_back("Takes work",
                        Cell{"no: " + (text.empty() ? textField(closed, "code") : text), Colour::Yellow});
    const auto over = listField(machine, "over");
    if (!over.empty() && text.find(over) == std::string::npos)
        fields.emplace_back("Above", Cell{over, Colour::Yellow});
}

void addHealth(Fields& fields, const QJsonObject& health, WallTime now)
{
    const auto state = textField(health, "state");
    if (state.empty() || (state == "healthy" && numberField(health, "failures_in_row") == 0))
        return;
    auto text = state;
    if (const auto until = timeField(health, "until"); until && state == "quarantined")
        text += fmt::format(", for {} more", humanDuration(*until - now));
    if (state == "probing")
        text += ": one step decides whether it gets work again";
    if (const auto failures = numberField(health, "failures_in_row"); failures > 0)
        text += fmt::format("; {} failures of its own in a row", failures);
    if (const auto reason = textField(health, "reason"); !reason.empty())
        text += ", the last: " + reason;
    fields.emplace_back("Health", Cell{text, state == "healthy" ? Colour::None : Colour::Red});
}

// "3 of 8 CPUs, 512.0 MiB of 1.0 GiB, gpu 1 of 2"
void addReserved(Fields& fields, const QJsonObject& machine)
{
    const auto capacity = objectField(machine, "capacity");
    const auto reserved = objectField(machine, "reserved");
    if (capacity.isEmpty())
        return;
    auto text = fmt::format("{} of {} CPUs, {} of {}", numberField(reserved, "cpus"), numberField(capacity, "cpus"),
                            humanBytes(bytesField(reserved, "memory_bytes")),
                            humanBytes(bytesField(capacity, "memory_bytes")));
    const auto named = objectField(capacity, "named");
    const auto taken = objectField(reserved, "named");
    for (auto each = named.begin(); each != named.end(); ++each)
        text += fmt::format(", {} {} of {}", each.key().toStdString(), taken.value(each.key()).toInteger(),
                            each.value().toInteger());
    fields.emplace_back("Reserved", Cell{text});
    if (const auto foreign = numberField(machine, "foreign_cpus"); foreign > 0)
        fields.emplace_back("Foreign load", Cell{fmt::format("{} CPUs, with work that is not the farm's", foreign)});
}

struct Threshold {
    const char* flag;
    const char* key;
    bool isBytes;
};
constexpr std::array kThresholds{Threshold{"cpu-psi", "cpu_psi", false},
                                 Threshold{"mem-psi", "mem_psi", false},
                                 Threshold{"io-psi", "io_psi", false},
                                 Threshold{"load1", "load1", false},
                                 Threshold{"min-free-disk", "min_free_disk_bytes", true},
                                 Threshold{"min-free-memory", "min_free_memory_bytes", true},
                                 Threshold{"min-free-inodes", "min_free_inodes", false}};

// Those in force, and those that the server took off; a mark on what the server set.
void addThresholds(Fields& fields, const QJsonObject& machine)
{
    const auto inForce = objectField(machine, "thresholds");
    const auto overrides = objectField(machine, "overrides");
    std::string text;
    for (const auto& threshold : kThresholds) {
        const bool isOverride = hasField(overrides, threshold.key);
        const auto value = fractionField(isOverride ? overrides : inForce, threshold.key);
        if (value == 0 && !isOverride)
            continue;
        const auto shown = value == 0           ? std::string("no limit")
                           : threshold.isBytes ? humanBytes(static_cast<std::uint64_t>(std::llround(value)))
                                               : fmt::format("{:g}", value);
        text += fmt::format("{}{} {}{}", text.empty() ? "" : ", ", threshold.flag, shown,
                            isOverride ? " (set here)" : "");
    }
    if (!text.empty())
        fields.emplace_back("Thresholds", Cell{text});
}

// What it runs, after an empty line; nothing when it runs nothing.
std::string runningTable(const QJsonObject& machine, const View& view)
{
    const auto running = arrayField(machine, "running");
    if (running.isEmpty())
        return {};
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
    return "\n" + table.render(view.style, view.width);
}

} // namespace

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
    addOpen(fields, machine);
    addHealth(fields, objectField(machine, "health"), view.now);
    fields.emplace_back("Slots", Cell{fmt::format("{} of {} in use", numberField(machine, "used"),
                                                  numberField(machine, "slots"))});
    fields.emplace_back("Cores", Cell{textField(machine, "cores")});
    fields.emplace_back("Memory", Cell{humanBytes(bytesField(machine, "memory_bytes"))});
    addReserved(fields, machine);
    addList(fields, machine, "systems", "Systems");
    addList(fields, machine, "features", "Features");
    addList(fields, machine, "mandatory_features", "Mandatory features");
    addList(fields, machine, "tags", "Tags");
    addList(fields, machine, "executors", "Executors");
    addLoad(fields, objectField(machine, "load"));
    addThresholds(fields, machine);
    addText(fields, machine, "score", "Score");
    fields.emplace_back("Finished",
                        Cell{fmt::format("{} runs, {} of them failed", numberField(machine, "finished"),
                                         numberField(machine, "failed"))});
    return renderFields(fields, view.style) + runningTable(machine, view);
}

} // namespace penstock::client
