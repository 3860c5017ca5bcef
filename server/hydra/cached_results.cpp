// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/cached_results.h"

#include "server/hydra/cached_results_transaction.h"

#include <map>
#include <set>
#include <utility>

namespace penstock::hydra {
namespace {

using store::postgres::ArrayColumn;
using store::postgres::Connection;
using store::postgres::Parameters;
using store::postgres::Request;
using store::postgres::RowReader;
using store::postgres::Rows;
using store::postgres::Statement;

constexpr Statement kFinishGone{"hydra_finish_gone",
                                "UPDATE builds SET finished = 1, buildstatus = 3, starttime = $2::bigint::int, "
                                "stoptime = $2::bigint::int WHERE id = ANY ($1::int[]) AND finished = 0"};

// The newest build in which the derivation really failed; failing that, the newest in which its output did.
constexpr Statement kOrigins{
    "hydra_failure_origins",
    "SELECT w.drvpath, max(s.build) FROM unnest($1::text[]) w(drvpath) JOIN buildsteps s ON s.drvpath = w.drvpath "
    "WHERE s.status = 1 AND s.starttime <> 0 AND s.stoptime <> 0 GROUP BY w.drvpath"};
constexpr Statement kOriginsByPath{
    "hydra_failure_origins_by_path",
    "SELECT w.drvpath, max(s.build) FROM unnest($1::text[], $2::text[]) w(drvpath, path) "
    "JOIN buildstepoutputs o ON o.path = w.path JOIN buildsteps s ON s.build = o.build AND s.stepnr = o.stepnr "
    "WHERE s.status = 1 AND s.starttime <> 0 AND s.stoptime <> 0 GROUP BY w.drvpath"};
// An origin that somebody has deleted meanwhile, or is deleting, is none.
constexpr Statement kInsertFailedSteps{
    "hydra_insert_failed_steps",
    "WITH kept AS (SELECT id FROM builds WHERE id = ANY ($3::int[]) ORDER BY id FOR KEY SHARE SKIP LOCKED), "
    "steps AS (INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status, machine, system, "
    "propagatedfrom) "
    "SELECT w.build, coalesce((SELECT max(s.stepnr) FROM buildsteps s WHERE s.build = w.build), 0) + 1, 0, w.drvpath, "
    "0, 8, '', w.system, kept.id "
    "FROM unnest($1::int[], $2::text[], $3::int[], $7::text[]) w(build, drvpath, origin, system) "
    "LEFT JOIN kept ON kept.id = w.origin RETURNING build, stepnr, drvpath) "
    "INSERT INTO buildstepoutputs (build, stepnr, name, path) SELECT s.build, s.stepnr, o.name, nullif(o.path, '') "
    "FROM steps s JOIN unnest($4::text[], $5::text[], $6::text[]) o(drvpath, name, path) ON o.drvpath = s.drvpath"};
constexpr Statement kFinishFailed{
    "hydra_finish_failed",
    "UPDATE builds b SET finished = 1, buildstatus = CASE WHEN w.drvpath = b.drvpath THEN 1 ELSE 2 END, "
    "starttime = $3::bigint::int, stoptime = $3::bigint::int, iscachedbuild = 1, "
    "notificationpendingsince = $3::bigint::int FROM unnest($1::int[], $2::text[]) w(build, drvpath) "
    "WHERE b.id = w.build AND b.finished = 0"};

// Numbered after those that are there. Builds that are gone, or held by a deletion, get none.
constexpr Statement kInsertFetched{
    "hydra_insert_fetched",
    "WITH held AS (SELECT id FROM builds WHERE id = ANY ($1::int[]) ORDER BY id FOR KEY SHARE SKIP LOCKED), "
    "wanted AS (SELECT w.*, coalesce((SELECT max(s.stepnr) FROM buildsteps s WHERE s.build = w.build), 0) + "
    "row_number() OVER (PARTITION BY w.build ORDER BY w.drvpath, w.name) AS stepnr "
    "FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) w(build, drvpath, name, path) "
    "JOIN held ON held.id = w.build), "
    "steps AS (INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status, starttime, stoptime) "
    "SELECT build, stepnr, 1, drvpath, 0, 0, $5::bigint::int, $6::bigint::int FROM wanted) "
    "INSERT INTO buildstepoutputs (build, stepnr, name, path) SELECT build, stepnr, name, path FROM wanted"};

// ------------------------------------------------------------------------------------------------ cached failures

using Causes = std::map<std::string, const FailedDerivation*>; // by drvPath
using Origins = std::map<std::string, BuildId>;                // likewise

Result<void> takeOrigins(const Rows& rows, Origins& origins)
{
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        std::string drvPath = row.text();
        origins.emplace(std::move(drvPath), row.int32()); // what is there already counts
        PENSTOCK_TRY_VOID(row.finish("failed step"));
    }
    return {};
}

Result<Origins> readOrigins(Connection& connection, const Causes& causes)
{
    ArrayColumn drvPaths(ArrayColumn::Element::Text);
    ArrayColumn drvPathsOfOutputs(ArrayColumn::Element::Text);
    ArrayColumn paths(ArrayColumn::Element::Text);
    for (const auto& [drvPath, cause] : causes) {
        drvPaths.text(drvPath);
        for (const work::NixOutput& output : cause->outputs) {
            if (output.path.empty())
                continue;
            drvPathsOfOutputs.text(drvPath);
            paths.text(output.path);
        }
    }
    Parameters byDrv;
    byDrv.bytes(drvPaths.take());
    Parameters byPath;
    byPath.bytes(drvPathsOfOutputs.take());
    byPath.bytes(paths.take());
    const std::vector<Request> requests{{&kOrigins, std::move(byDrv)}, {&kOriginsByPath, std::move(byPath)}};
    PENSTOCK_TRY(const auto answers, connection.runAll(requests));
    Origins origins;
    for (const Rows& rows : answers)
        PENSTOCK_TRY_VOID(takeOrigins(rows, origins));
    return origins;
}

struct FailedRows {
    ArrayColumn builds{ArrayColumn::Element::Int32};
    ArrayColumn drvPaths{ArrayColumn::Element::Text};
    ArrayColumn origins{ArrayColumn::Element::Int32};
    ArrayColumn systems{ArrayColumn::Element::Text};
    ArrayColumn outputDrvPaths{ArrayColumn::Element::Text};
    ArrayColumn outputNames{ArrayColumn::Element::Text};
    ArrayColumn outputPaths{ArrayColumn::Element::Text};
};

std::vector<Request> failedRequests(std::span<const CachedFailure> all, const Causes& causes, const Origins& origins,
                                    std::span<const BuildId> locked, std::int64_t now)
{
    FailedRows rows;
    for (const auto& [drvPath, cause] : causes) {
        for (const work::NixOutput& output : cause->outputs) {
            rows.outputDrvPaths.text(drvPath);
            rows.outputNames.text(output.name);
            rows.outputPaths.text(output.path);
        }
    }
    const std::set<BuildId> wanted(locked.begin(), locked.end());
    for (const CachedFailure& failure : all) {
        if (!wanted.contains(failure.build.id))
            continue;
        rows.builds.int32(failure.build.id);
        rows.drvPaths.text(failure.cause->drvPath);
        rows.systems.text(failure.cause->system);
        const auto origin = origins.find(failure.cause->drvPath);
        if (origin == origins.end())
            rows.origins.null(); // 0 would be no build
        else
            rows.origins.int32(origin->second);
    }
    const std::string builds = rows.builds.take();
    const std::string drvPaths = rows.drvPaths.take();
    Parameters steps;
    steps.bytes(builds);
    steps.bytes(drvPaths);
    steps.bytes(rows.origins.take());
    steps.bytes(rows.outputDrvPaths.take());
    steps.bytes(rows.outputNames.take());
    steps.bytes(rows.outputPaths.take());
    steps.bytes(rows.systems.take());
    Parameters finish;
    finish.bytes(builds);
    finish.bytes(drvPaths);
    finish.int64(now);
    return {{&kInsertFailedSteps, std::move(steps)}, {&kFinishFailed, std::move(finish)}, notifyFinished(locked)};
}

} // namespace

Result<void> recordFetched(Connection& connection, std::span<const LoadedChunk::Fetched> fetched, FetchTimes times)
{
    if (fetched.empty())
        return {};
    ArrayColumn builds(ArrayColumn::Element::Int32);
    ArrayColumn drvPaths(ArrayColumn::Element::Text);
    ArrayColumn names(ArrayColumn::Element::Text);
    ArrayColumn paths(ArrayColumn::Element::Text);
    for (const LoadedChunk::Fetched& each : fetched) {
        for (const work::NixOutput& output : each.outputs) {
            builds.int32(each.build);
            drvPaths.text(each.drvPath);
            names.text(output.name);
            paths.text(output.path);
        }
    }
    Parameters parameters;
    for (ArrayColumn* column : {&builds, &drvPaths, &names, &paths})
        parameters.bytes(column->take());
    parameters.int64(times.start);
    parameters.int64(times.stop);
    PENSTOCK_TRY_VOID(connection.run(kInsertFetched, parameters));
    return {};
}

Result<std::vector<BuildId>> finishGone(Finishing at, std::span<const BuildRef> builds)
{
    return finishLocked(at, builds, [&](std::span<const BuildId> locked) {
        Parameters parameters = onlyIds(locked);
        parameters.int64(at.now);
        return std::vector<Request>{{&kFinishGone, std::move(parameters)}};
    });
}

Result<std::vector<BuildId>> finishFailed(Finishing at, std::span<const CachedFailure> builds)
{
    if (builds.empty())
        return std::vector<BuildId>();
    Causes causes;
    for (const CachedFailure& failure : builds)
        causes.emplace(failure.cause->drvPath, failure.cause.get());
    PENSTOCK_TRY(const Origins origins, readOrigins(at.connection, causes));
    return finishLocked(at, refsOf(builds), [&](std::span<const BuildId> locked) {
        return failedRequests(builds, causes, origins, locked, at.now);
    });
}

} // namespace penstock::hydra
