// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/side_tables.h"

#include "server/store/postgres/row_reader.h"

#include <cstdint>
#include <fmt/format.h>

namespace penstock::hydra {
namespace {

using store::postgres::Connection;
using store::postgres::RowReader;
using store::postgres::Rows;
using store::postgres::Statement;

constexpr Statement kSchemaTable{"hydra_schema_table", "SELECT to_regclass('schemaversion') IS NOT NULL"};
constexpr Statement kSchemaVersion{"hydra_schema_version", "SELECT max(version)::bigint FROM schemaversion"};

// Rows come and go with every step, so tables are emptied by vacuum often and keep room for updates in place.
constexpr const char* kMakeTables = R"sql(
CREATE TABLE IF NOT EXISTS penstock.hydra_builds (
    build integer PRIMARY KEY,
    job bigint,
    step bigint,
    drvpath text NOT NULL,
    globalpriority integer NOT NULL,
    started boolean NOT NULL DEFAULT false,
    deferred boolean NOT NULL DEFAULT false,
    accounted integer
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS hydra_builds_by_job ON penstock.hydra_builds (job);
CREATE INDEX IF NOT EXISTS hydra_builds_by_step ON penstock.hydra_builds (step);
CREATE INDEX IF NOT EXISTS hydra_builds_deferred ON penstock.hydra_builds (build) WHERE deferred;
CREATE TABLE IF NOT EXISTS penstock.hydra_attempts (
    attempt bigint PRIMARY KEY,
    step bigint NOT NULL,
    build integer NOT NULL,
    stepnr integer NOT NULL,
    deferred boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS hydra_attempts_deferred ON penstock.hydra_attempts (attempt) WHERE deferred;
CREATE TABLE IF NOT EXISTS penstock.hydra_projected (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    attempt bigint NOT NULL
) WITH (fillfactor = 20);
INSERT INTO penstock.hydra_projected (attempt) VALUES (0) ON CONFLICT DO NOTHING;
)sql";

} // namespace

Result<int> readSchemaVersion(Connection& connection)
{
    PENSTOCK_TRY(const Rows tables, connection.runPlanned(kSchemaTable, {}));
    RowReader table(tables, 0);
    if (tables.count() != 1 || !table.boolean())
        return fail(ErrorCode::Invalid, "--db-url names a database without Hydra's tables (there is no table "
                                        "schemaversion); give the URL that hydra-server uses, or leave out --hydra");
    PENSTOCK_TRY(const Rows versions, connection.runPlanned(kSchemaVersion, {}));
    RowReader row(versions, 0);
    const std::optional<std::int64_t> version = row.optionalInt64();
    PENSTOCK_TRY_VOID(row.finish("schemaversion"));
    if (!version || *version < kOldestSchema)
        return fail(ErrorCode::Invalid,
                    fmt::format("Hydra's schema has version {}, at least {} is needed; run hydra-init of a newer Hydra",
                                version ? *version : 0, kOldestSchema));
    return static_cast<int>(*version);
}

Result<void> makeSideTables(Connection& connection)
{
    return connection.runScript(kMakeTables);
}

} // namespace penstock::hydra
