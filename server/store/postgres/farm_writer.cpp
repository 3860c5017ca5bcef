// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/row_writer.h"

#include "server/store/postgres/columns.h"
#include "server/store/postgres/sql.h"
#include "server/work/health.h"

namespace penstock::store::postgres {
namespace {

using enum ArrayColumn::Element;

void writeMachine(Columns& c, const work::MachineRow& row)
{
    c.id(row.id.value());
    c.text(row.identity);
    c.text(row.credential);
    c.text(row.name);
    c.boolean(row.drained);
    c.text(row.drainNote);
    c.time(row.firstSeen);
    c.time(row.lastSeen);
    const work::ThresholdOverrides& overrides = row.overrides;
    c.optional(overrides.cpuPsi);
    c.optional(overrides.memoryPsi);
    c.optional(overrides.ioPsi);
    c.optional(overrides.load1);
    c.optional(overrides.minFreeDiskBytes);
    c.optional(overrides.minFreeMemoryBytes);
    c.optional(overrides.minFreeInodes);
    const work::MachineHealth& health = row.health;
    c.word(health.state);
    c.uint32(health.failuresInRow);
    c.uint32(health.quarantines);
    c.time(health.until);
    c.text(health.reason);
}

void writeNamespace(Columns& c, const work::NamespaceRow& row)
{
    c.text(row.name);
    c.uint32(row.maxRunningSteps);
    c.uint32(row.maxQueuedJobs);
    c.uint32(row.maxCpus);
}

void writeHistory(Columns& c, const work::HistoryRow& row)
{
    c.text(row.name);
    c.uint32(row.runs);
    c.int64(row.duration.count());
    c.uint64(row.memoryBytes);
    c.uint32(row.milliCpus);
    c.time(row.lastRun);
}

Write writePause(const work::DispatchPause& pause)
{
    Write write{{&sql::kWritePause, {}}, 1, "pause of the farm", Write::Expect::All};
    Parameters& parameters = write.request.parameters;
    parameters.boolean(pause.paused);
    parameters.text(std::string_view(pause.who));
    parameters.text(std::string_view(pause.note));
    parameters.int64(pause.since.micros());
    return write;
}

} // namespace

std::vector<Write> farmRowsOf(const work::Changes& changes)
{
    using enum Write::Expect;
    std::vector<Write> writes;
    // Removed first: a machine that comes back is a new one with the same identity.
    slice(writes, changes.removedMachines, sql::kRemoveMachines, "removed machine", {Any, {Int64}},
          [](Columns& c, MachineId id) { c.id(id.value()); });
    slice(writes, changes.machines, sql::kWriteMachines, "machine",
          {All,
           {Int64,   Text,    Text,  Text,  Boolean, Text, Int64, Int64, Float64, Float64,
            Float64, Float64, Int64, Int64, Int64,   Text, Int32, Int32, Int64,   Text}},
          writeMachine);
    slice(writes, changes.shareGroups, sql::kWriteShareGroups, "share group", {All, {Text, Int32}},
          [](Columns& c, const work::ShareGroupRow& row) {
              c.text(row.name);
              c.uint32(row.shares);
          });
    slice(writes, changes.namespaces, sql::kWriteNamespaces, "namespace", {All, {Text, Int32, Int32, Int32}},
          writeNamespace);
    slice(writes, changes.usage, sql::kWriteUsage, "usage of a share group", {All, {Text, Int64, Int64}},
          [](Columns& c, const work::UsageRow& row) {
              c.text(row.group);
              c.time(row.bucket);
              c.int64(row.used.count());
          });
    slice(writes, changes.history, sql::kWriteHistory, "history of a step's name",
          {All, {Text, Int32, Int64, Int64, Int32, Int64}}, writeHistory);
    if (changes.pause)
        writes.push_back(writePause(*changes.pause));
    return writes;
}

} // namespace penstock::store::postgres
