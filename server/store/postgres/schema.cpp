// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/schema.h"

#include <fmt/core.h>

namespace penstock::store::postgres {
namespace {

// Not to_regclass(): inside a transaction that one may answer from a cache, older than a migration we waited for.
constexpr Statement kIsThere{"schema_is_there", "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'penstock' "
                                                "AND tablename = 'migrations')"};
constexpr Statement kVersion{"schema_version", "SELECT coalesce(max(number), 0) FROM penstock.migrations"};
constexpr Statement kLock{"schema_lock", "SELECT pg_advisory_xact_lock(5788143690190745)"};
constexpr Statement kRecord{"schema_record",
                            "INSERT INTO penstock.migrations (number, name) VALUES ($1::bigint::integer, $2::text)"};

Result<int> versionOf(Connection& connection)
{
    PENSTOCK_TRY(const Rows there, connection.runPlanned(kIsThere, {}));
    RowReader isThere(there, 0);
    if (there.count() != 1 || !isThere.boolean())
        return 0;
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(kVersion, {}));
    if (rows.count() != 1)
        return 0;
    RowReader row(rows, 0);
    const int version = row.int32();
    PENSTOCK_TRY_VOID(row.finish("schema version"));
    const auto known = static_cast<int>(migrations().size());
    if (version > known)
        return fail(ErrorCode::Invalid,
                    fmt::format("the database's schema penstock has version {}, this Penstock knows versions up to "
                                "{}: install the Penstock that wrote it or a later one",
                                version, known));
    return version;
}

Result<void> applyMissing(Connection& connection)
{
    PENSTOCK_TRY_VOID(connection.runPlanned(kLock, {}));
    PENSTOCK_TRY(const int version, versionOf(connection)); // another server may have been faster
    if (version == 0)
        PENSTOCK_TRY_VOID(connection.runScript(
            "CREATE SCHEMA IF NOT EXISTS penstock; CREATE TABLE IF NOT EXISTS penstock.migrations ("
            "number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"));
    for (const Migration& migration : migrations()) {
        if (migration.number <= version)
            continue;
        const auto applied = connection.runScript(migration.sql);
        if (!applied)
            return fail(Error(applied.error()).in(fmt::format("migration {}", migration.name)));
        Parameters record;
        record.int64(migration.number);
        record.text(std::string_view(migration.name));
        PENSTOCK_TRY_VOID(connection.runPlanned(kRecord, record));
    }
    return {};
}

} // namespace

Result<void> migrate(Connection& connection)
{
    PENSTOCK_TRY(const int version, versionOf(connection));
    if (version == static_cast<int>(migrations().size()))
        return {};
    PENSTOCK_TRY_VOID(connection.runScript("BEGIN"));
    auto applied = applyMissing(connection);
    const auto ended = connection.runScript(applied ? "COMMIT" : "ROLLBACK");
    if (!applied)
        return applied;
    return ended;
}

} // namespace penstock::store::postgres
