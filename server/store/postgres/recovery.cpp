// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/queries.h"
#include "server/store/postgres/row_reader.h"
#include "server/store/postgres/sql.h"

#include <iterator>

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

Result<work::Recovery> loadInTransaction(Connection& connection)
{
    work::Recovery recovery;
    PENSTOCK_TRY_VOID(loadMarks(connection, recovery.marks));
    PENSTOCK_TRY(const Rows machines, connection.runPlanned(sql::kLoadMachines, {}));
    PENSTOCK_TRY_VOID(readAll(machines, "machine", recovery.machines, readMachine));
    PENSTOCK_TRY_VOID(loadOpenRows(connection, sql::kOpenJobs, "job", recovery.jobs, readJob));
    PENSTOCK_TRY_VOID(loadOpenRows(connection, sql::kOpenSteps, "step", recovery.steps, readStep));
    PENSTOCK_TRY_VOID(loadOpenRows(connection, sql::kOpenDependencies, "dependency", recovery.dependencies,
                                   readDependency));
    PENSTOCK_TRY_VOID(loadOpenRows(connection, sql::kOpenJobSteps, "step of a job", recovery.jobSteps, readJobStep));
    PENSTOCK_TRY_VOID(loadOpenRows(connection, sql::kOpenAttempts, "attempt", recovery.attempts, readAttempt));
    PENSTOCK_TRY_VOID(loadKeys(connection, recovery));
    return recovery;
}

} // namespace

Result<work::Recovery> loadRecovery(Connection& connection)
{
    PENSTOCK_TRY_VOID(connection.runScript("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"));
    auto recovery = loadInTransaction(connection);
    if (connection.isUsable()) {
        const auto ended = connection.runScript("ROLLBACK"); // nothing was written
        if (recovery && !ended)
            return fail(ended.error());
    }
    return recovery;
}

} // namespace penstock::store::postgres
