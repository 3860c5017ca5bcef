// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/unlock.h"

#include "server/hydra/side_tables.h"
#include "server/store/postgres/sql.h"

namespace penstock::hydra {
namespace {

using store::postgres::Connection;
using store::postgres::Parameters;
using store::postgres::RowReader;
using store::postgres::Rows;
using store::postgres::Statement;

// A stop time of zero is what an older runner wrote for "none".
constexpr Statement kEnd{"hydra_unlock",
                         "UPDATE buildsteps SET busy = 0, status = coalesce(status, 3), "
                         "stoptime = coalesce(nullif(stoptime, 0), $1::bigint) WHERE busy <> 0"};

} // namespace

Result<std::uint64_t> endBusySteps(Connection& connection, WallTime now)
{
    PENSTOCK_TRY_VOID(readSchemaVersion(connection));
    PENSTOCK_TRY(const Rows lead, connection.runPlanned(store::postgres::sql::kTryLead, {}));
    RowReader row(lead, 0);
    const bool isFree = row.boolean();
    PENSTOCK_TRY_VOID(row.finish("the lead"));
    if (!isFree)
        return fail(ErrorCode::Conflict, "a penstock-server leads this database, and its steps are running; stop it "
                                         "first");
    Parameters parameters;
    parameters.int64(now.micros() / 1'000'000);
    PENSTOCK_TRY(const Rows ended, connection.runPlanned(kEnd, parameters));
    return ended.affected();
}

} // namespace penstock::hydra
