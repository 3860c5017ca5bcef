// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/queries.h"
#include "server/store/postgres/row_reader.h"
#include "server/store/postgres/sql.h"

#include <algorithm>
#include <iterator>
#include <tuple>

namespace penstock::store::postgres {
namespace {

// Through a cursor, so that a million rows do not wait in memory twice.
template <class Row, class Read>
Result<void> loadOpenRows(Connection& connection, const Statement& declare, const char* what, std::vector<Row>& into,
                          Read read)
{
    PENSTOCK_TRY_VOID(connection.runPlanned(declare, {}));
    for (;;) {
        PENSTOCK_TRY(const Rows rows, connection.runPlanned(sql::kFetch, {}));
        if (rows.count() == 0)
            break;
        std::vector<Row> some;
        PENSTOCK_TRY_VOID(readAll(rows, what, some, read));
        into.insert(into.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
    }
    return connection.runScript("CLOSE recovery");
}

Result<void> loadMarks(Connection& connection, work::IdMarks& marks)
{
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(sql::kLoadMarks, {}));
    if (rows.count() != 1)
        return fail(ErrorCode::Corrupt, "the table penstock.id_marks must hold one row; restore it from a backup");
    RowReader row(rows, 0);
    marks.job = row.uint64();
    marks.step = row.uint64();
    marks.attempt = row.uint64();
    marks.machine = row.uint64();
    return row.finish("row of id marks");
}

Result<void> loadKeys(Connection& connection, work::Recovery& recovery)
{
    Parameters limit;
    limit.int64(static_cast<std::int64_t>(kMaxKeysRemembered));
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(sql::kLoadKeys, limit));
    return readAll(rows, "idempotency key", recovery.keys, [](RowReader& row) {
        std::string nameSpace = row.text();
        std::string key = row.text();
        return std::pair(std::pair(std::move(nameSpace), std::move(key)), JobId(row.uint64()));
    });
}

Parameters onlyNumber(std::int64_t value)
{
    Parameters parameters;
    parameters.int64(value);
    return parameters;
}

template <class Row, class Read>
Result<void> loadAll(Connection& connection, const Statement& statement, const Parameters& parameters,
                     const char* what, std::vector<Row>& into, Read read)
{
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(statement, parameters));
    return readAll(rows, what, into, read);
}

// What the operator said and the scheduler learned.
Result<void> loadFarm(Connection& connection, work::Recovery& recovery, WallTime now)
{
    PENSTOCK_TRY_VOID(loadAll(connection, sql::kLoadMachines, {}, "machine", recovery.machines, readMachine));
    PENSTOCK_TRY_VOID(
        loadAll(connection, sql::kLoadShareGroups, {}, "share group", recovery.shareGroups, readShareGroup));
    std::ranges::sort(recovery.shareGroups, {}, &work::ShareGroupRow::name);
    PENSTOCK_TRY_VOID(loadAll(connection, sql::kLoadNamespaces, {}, "namespace", recovery.namespaces, readNamespace));
    std::ranges::sort(recovery.namespaces, {}, &work::NamespaceRow::name);
    Parameters window = onlyNumber(Duration(kUsageRecovered).count());
    window.int64(now.micros());
    PENSTOCK_TRY_VOID(
        loadAll(connection, sql::kLoadUsage, window, "usage of a share group", recovery.usage, readUsage));
    std::ranges::sort(recovery.usage, {}, [](const work::UsageRow& row) { return std::tie(row.bucket, row.group); });
    PENSTOCK_TRY_VOID(loadAll(connection, sql::kLoadHistory, onlyNumber(work::kHistoryKept),
                              "history of a step's name", recovery.history, readHistory));
    std::ranges::sort(recovery.history, {},
                      [](const work::HistoryRow& row) { return std::tie(row.lastRun, row.name); });
    std::vector<work::DispatchPause> pauses;
    PENSTOCK_TRY_VOID(loadAll(connection, sql::kLoadPause, {}, "pause of the farm", pauses, readPause));
    if (pauses.size() != 1)
        return fail(ErrorCode::Corrupt,
                    "the table penstock.dispatch_pause must hold one row; restore it from a backup");
    recovery.pause = std::move(pauses.front());
    return {};
}

Result<work::Recovery> loadInTransaction(Connection& connection, WallTime now)
{
    work::Recovery recovery;
    FormerLimits former;
    PENSTOCK_TRY_VOID(loadMarks(connection, recovery.marks));
    PENSTOCK_TRY_VOID(loadFarm(connection, recovery, now));
    PENSTOCK_TRY_VOID(loadOpenRows(connection, sql::kOpenJobs, "job", recovery.jobs,
                                   [&former](RowReader& row) { return readJob(row, &former); }));
    PENSTOCK_TRY_VOID(loadOpenRows(connection, sql::kOpenSteps, "step", recovery.steps,
                                   [&former](RowReader& row) { return readStep(row, &former); }));
    PENSTOCK_TRY_VOID(loadOpenRows(connection, sql::kOpenDependencies, "dependency", recovery.dependencies,
                                   readDependency));
    PENSTOCK_TRY_VOID(loadOpenRows(connection, sql::kOpenJobSteps, "step of a job", recovery.jobSteps, readJobStep));
    PENSTOCK_TRY_VOID(loadOpenRows(connection, sql::kOpenAttempts, "attempt", recovery.attempts, readAttempt));
    PENSTOCK_TRY_VOID(loadKeys(connection, recovery));
    former.give(recovery.jobs, recovery.jobSteps);
    return recovery;
}

Result<std::uint64_t> pruneInTransaction(Connection& connection, WallTime now)
{
    Parameters window = onlyNumber(Duration(kUsageKept).count());
    window.int64(now.micros());
    PENSTOCK_TRY(const Rows usage, connection.runPlanned(sql::kPruneUsage, window));
    PENSTOCK_TRY(const Rows history, connection.runPlanned(sql::kPruneHistory, onlyNumber(work::kHistoryKept)));
    return usage.affected() + history.affected();
}

} // namespace

Result<work::Recovery> loadRecovery(Connection& connection, WallTime now)
{
    PENSTOCK_TRY_VOID(connection.runScript("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"));
    auto recovery = loadInTransaction(connection, now);
    if (connection.isUsable()) {
        const auto ended = connection.runScript("ROLLBACK"); // nothing was written
        if (recovery && !ended)
            return fail(ended.error());
    }
    return recovery;
}

Result<std::uint64_t> prune(Connection& connection, WallTime now)
{
    // The writer forbids such scans; here each table is read from end to end.
    PENSTOCK_TRY_VOID(connection.runScript("BEGIN; SET LOCAL enable_seqscan = on"));
    auto pruned = pruneInTransaction(connection, now);
    if (connection.isUsable()) {
        const auto ended = connection.runScript(pruned ? "COMMIT" : "ROLLBACK");
        if (pruned && !ended)
            return fail(ended.error());
    }
    return pruned;
}

} // namespace penstock::store::postgres
