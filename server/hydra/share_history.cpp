// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/share_history.h"

#include "server/store/postgres/row_reader.h"
#include "server/work/changes.h"

#include <algorithm>

namespace penstock::hydra {
namespace {

using store::postgres::Connection;
using store::postgres::Parameters;
using store::postgres::RowReader;
using store::postgres::Rows;
using store::postgres::Statement;

constexpr std::int64_t kBucketSeconds = 60; // as the statements have it
static_assert(work::kUsageBucket == std::chrono::seconds(kBucketSeconds));

constexpr Statement kSince{
    "hydra_share_history_since",
    "SELECT greatest($1::bigint, coalesce((SELECT max(u.bucket_us) / 1000000 + 60 FROM penstock.share_usage u "
    "WHERE u.group_name IN (SELECT j.project || ':' || j.name FROM jobsets j)), 0))"};
// stoptime is compared as it is stored, with a value that the planner sees, so that its index serves; the two other
// conditions are those of the index.
constexpr Statement kAdd{"hydra_add_share_history", R"sql(
WITH span AS (SELECT $1::bigint::integer AS first, $2::bigint::integer AS last),
used AS (
    SELECT j.project || ':' || j.name AS name, m.minute,
           sum(least(s.stoptime, (m.minute + 1) * 60, span.last) - greatest(s.starttime, m.minute * 60, span.first))
               AS seconds
    FROM span, buildsteps s JOIN builds b ON b.id = s.build JOIN jobsets j ON j.id = b.jobset_id,
    LATERAL generate_series(greatest(s.starttime, span.first) / 60, (least(s.stoptime, span.last) - 1) / 60)
        AS m (minute)
    WHERE s.starttime IS NOT NULL AND s.stoptime IS NOT NULL AND s.stoptime > $1::bigint::integer
    GROUP BY j.project, j.name, m.minute)
INSERT INTO penstock.share_usage (digest, group_name, bucket_us, used_us)
SELECT sha256(convert_to(u.name, 'UTF8')), u.name, u.minute::bigint * 60000000, u.seconds * 1000000
FROM used u WHERE u.seconds > 0 ON CONFLICT DO NOTHING)sql"};

// The beginning of the first bucket that counts.
std::int64_t beginOf(HistorySpan span)
{
    const std::int64_t whole = (span.window + work::kUsageBucket - Duration(1)) / work::kUsageBucket;
    return (span.now / kBucketSeconds - whole) * kBucketSeconds;
}

Result<std::uint64_t> add(Connection& connection, HistorySpan span)
{
    Parameters begin;
    begin.int64(std::max<std::int64_t>(beginOf(span), 0));
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(kSince, begin));
    RowReader row(rows, 0);
    const std::int64_t since = row.int64();
    PENSTOCK_TRY_VOID(row.finish("time of the last usage"));
    if (since >= span.now)
        return std::uint64_t{0};
    Parameters ends;
    ends.int64(since);
    ends.int64(span.now);
    PENSTOCK_TRY(const Rows added, connection.runPlanned(kAdd, ends));
    return added.affected();
}

} // namespace

Result<std::uint64_t> addShareHistory(Connection& connection, HistorySpan span)
{
    PENSTOCK_TRY_VOID(connection.runScript("SET statement_timeout = '30s'"));
    auto added = add(connection, span);
    if (connection.isUsable())
        PENSTOCK_TRY_VOID(connection.runScript("RESET statement_timeout"));
    return added;
}

} // namespace penstock::hydra
