// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/output/records.h"

#include "client/output/human_text.h"
#include "client/output/json_fields.h"
#include "client/output/table.h"

#include <fmt/format.h>

namespace penstock::client {

namespace {

using Row = QJsonObject;
using CellMaker = Cell (*)(const Row&, const View&);

struct RecordColumn {
    TableColumn column;
    CellMaker cell;
};

// The state, or once there is one the result, which says more.
Cell stateOf(const Row& row, const View& view)
{
    const auto result = textField(row, "result");
    return stateCell(result.empty() ? textField(row, "state") : result, view.style);
}

Cell stepStateOf(const Row& row, const View& view)
{
    return row.value(QLatin1String("failed_with_output")).toBool() ? outputFailedCell(view.style) : stateOf(row, view);
}

Cell runStateOf(const Row& row, const View& view)
{
    if (row.value(QLatin1String("failed")).toBool())
        return outputFailedCell(view.style);
    const auto end = textField(row, "end");
    return stateCell(end.empty() ? textField(row, "state") : end, view.style);
}

Cell jobStateOf(const Row& row, const View& view)
{
    auto cell = stateOf(row, view);
    if (row.value(QLatin1String("held")).toBool() && !hasField(row, "finished"))
        cell.text += " (held)";
    return cell;
}

// Why it drains, or else why it would take no work.
Cell machineNoteOf(const Row& row, const View&)
{
    if (const auto note = textField(row, "note"); !note.empty())
        return {note};
    return {textField(objectField(row, "closed"), "text")};
}

// Reserved of those that may be.
Cell reservedCpusOf(const Row& row, const View&)
{
    const auto capacity = objectField(row, "capacity");
    if (capacity.isEmpty())
        return {"-", Colour::Grey};
    return {fmt::format("{}/{}", numberField(objectField(row, "reserved"), "cpus"), numberField(capacity, "cpus"))};
}

Cell stepsOf(const Row& row, const View&)
{
    const auto steps = objectField(row, "steps");
    const auto failed = numberField(steps, "failed");
    auto text = fmt::format("{}/{}", numberField(steps, "done"), numberField(steps, "total"));
    if (failed != 0)
        text += fmt::format(" ({} failed)", failed);
    return {text, failed != 0 ? Colour::Red : Colour::None};
}

Cell waitOf(const Row& row, const View& view)
{
    return {textField(row, "state") == "ready" ? ageField(row, "ready_since", view.now) : std::string(),
            Colour::None};
}

Cell pressureOf(const Row& row, const View&)
{
    const auto psi = objectField(objectField(row, "load"), "psi");
    if (psi.isEmpty())
        return {"-", Colour::Grey};
    return {fmt::format("{:.0f}/{:.0f}/{:.0f}", psi.value(QLatin1String("cpu_some")).toDouble(),
                        psi.value(QLatin1String("mem_full")).toDouble(),
                        psi.value(QLatin1String("io_full")).toDouble()),
            Colour::None};
}

Cell memoryOf(const Row& row, const View&)
{
    const auto free = numberField(objectField(row, "load"), "memory_available_bytes");
    return {fmt::format("{}", humanBytes(static_cast<std::uint64_t>(std::max<std::int64_t>(free, 0)))),
            Colour::None};
}

Cell loadOf(const Row& row, const View&)
{
    return {fmt::format("{:.2f}", objectField(row, "load").value(QLatin1String("load1")).toDouble()),
            Colour::None};
}

const std::vector<RecordColumn>& jobColumns()
{
    static const std::vector<RecordColumn> columns{
        {{"ID", Align::Right}, [](const Row& r, const View&) { return Cell{textField(r, "id")}; }},
        {{"STATE"}, jobStateOf},
        {{"NAME", Align::Left, true}, [](const Row& r, const View&) { return Cell{textField(r, "name")}; }},
        {{"USER"}, [](const Row& r, const View&) { return Cell{textField(r, "user")}; }},
        {{"PRIORITY", Align::Right},
         [](const Row& r, const View&) {
             return Cell{hasField(r, "bumped_at") ? "bumped" : textField(r, "priority")};
         }},
        {{"STEPS", Align::Right}, stepsOf},
        {{"AGE", Align::Right},
         [](const Row& r, const View& v) { return Cell{ageField(r, "created", v.now)}; }},
        {{"TOOK", Align::Right},
         [](const Row& r, const View& v) { return Cell{spanField(r, "started", "finished", v.now)}; }},
        {{"END"}, [](const Row& r, const View&) { return Cell{endingOf(r)}; }},
    };
    return columns;
}

const std::vector<RecordColumn>& stepColumns()
{
    static const std::vector<RecordColumn> columns{
        {{"ID", Align::Right}, [](const Row& r, const View&) { return Cell{textField(r, "id")}; }},
        {{"STATE"}, stepStateOf},
        {{"NAME", Align::Left, true}, [](const Row& r, const View&) { return Cell{textField(r, "name")}; }},
        {{"MACHINE"}, [](const Row& r, const View&) { return Cell{textField(r, "machine")}; }},
        {{"TRIES", Align::Right}, [](const Row& r, const View&) { return Cell{textField(r, "attempts")}; }},
        {{"WAITS", Align::Right}, waitOf},
        {{"TOOK", Align::Right},
         [](const Row& r, const View& v) { return Cell{spanField(r, "started", "finished", v.now)}; }},
        {{"END"}, [](const Row& r, const View&) { return Cell{endingOf(r)}; }},
    };
    return columns;
}

const std::vector<RecordColumn>& runColumns()
{
    static const std::vector<RecordColumn> columns{
        {{"RUN", Align::Right}, [](const Row& r, const View&) { return Cell{textField(r, "id")}; }},
        {{"STEP", Align::Right}, [](const Row& r, const View&) { return Cell{textField(r, "step")}; }},
        {{"TRY", Align::Right}, [](const Row& r, const View&) { return Cell{textField(r, "number")}; }},
        {{"STATE"}, runStateOf},
        {{"MACHINE"}, [](const Row& r, const View&) { return Cell{textField(r, "machine")}; }},
        {{"AGE", Align::Right},
         [](const Row& r, const View& v) { return Cell{ageField(r, "created", v.now)}; }},
        {{"TOOK", Align::Right},
         [](const Row& r, const View& v) { return Cell{spanField(r, "started", "stopped", v.now)}; }},
        {{"LOG", Align::Right},
         [](const Row& r, const View&) {
             return Cell{humanBytes(
                 static_cast<std::uint64_t>(std::max<std::int64_t>(numberField(r, "log_bytes"), 0)))};
         }},
        {{"END", Align::Left, true}, [](const Row& r, const View&) { return Cell{endingOf(r)}; }},
    };
    return columns;
}

const std::vector<RecordColumn>& machineColumns()
{
    static const std::vector<RecordColumn> columns{
        {{"ID", Align::Right}, [](const Row& r, const View&) { return Cell{textField(r, "id")}; }},
        {{"NAME", Align::Left}, [](const Row& r, const View&) { return Cell{textField(r, "name")}; }},
        {{"STATE"},
         [](const Row& r, const View& v) {
             const auto state = textField(r, "state");
             auto cell = stateCell(state == "ready" ? "connected" : state, v.style);
             if (state == "ready")
                 cell.text.replace(cell.text.find("connected"), 9, "ready");
             return cell;
         }},
        {{"SLOTS", Align::Right},
         [](const Row& r, const View&) {
             return Cell{fmt::format("{}/{}", numberField(r, "used"), numberField(r, "slots"))};
         }},
        {{"CPUS", Align::Right}, reservedCpusOf},
        {{"SYSTEMS"}, [](const Row& r, const View&) { return Cell{listField(r, "systems")}; }},
        {{"LOAD", Align::Right}, loadOf},
        {{"PSI cpu/mem/io", Align::Right}, pressureOf},
        {{"MEM FREE", Align::Right}, memoryOf},
        {{"SEEN", Align::Right},
         [](const Row& r, const View& v) { return Cell{ageField(r, "last_seen", v.now)}; }},
        {{"NOTE", Align::Left, true}, machineNoteOf},
    };
    return columns;
}

const std::vector<RecordColumn>& tokenColumns()
{
    static const std::vector<RecordColumn> columns{
        {{"ID", Align::Right}, [](const Row& r, const View&) { return Cell{textField(r, "id")}; }},
        {{"KIND"}, [](const Row& r, const View&) { return Cell{textField(r, "kind")}; }},
        {{"NAME", Align::Left, true}, [](const Row& r, const View&) { return Cell{textField(r, "name")}; }},
        {{"CREATED"}, [](const Row& r, const View&) { return Cell{textField(r, "created")}; }},
        {{"EXPIRES"}, [](const Row& r, const View&) { return Cell{textField(r, "expires")}; }},
        {{"REVOKED"}, [](const Row& r, const View&) { return Cell{textField(r, "revoked")}; }},
    };
    return columns;
}

const std::vector<RecordColumn>& columnsOf(RecordKind kind)
{
    switch (kind) {
    case RecordKind::Job: return jobColumns();
    case RecordKind::Step: return stepColumns();
    case RecordKind::Run: return runColumns();
    case RecordKind::Machine: return machineColumns();
    case RecordKind::Token: break;
    }
    return tokenColumns();
}

} // namespace

std::string renderList(RecordKind kind, const QJsonArray& records, const View& view)
{
    std::vector<TableColumn> titles;
    const auto& columns = columnsOf(kind);
    titles.reserve(columns.size());
    for (const auto& column : columns)
        titles.push_back(column.column);
    Table table(std::move(titles));
    for (const auto& record : records) {
        const auto row = record.toObject();
        std::vector<Cell> cells;
        cells.reserve(columns.size());
        for (const auto& column : columns)
            cells.push_back(column.cell(row, view));
        table.add(std::move(cells));
    }
    return table.render(view.style, view.width);
}

} // namespace penstock::client
