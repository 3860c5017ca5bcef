// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/queue_diff.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::hydra {
namespace {

using store::postgres::ArrayColumn;
using store::postgres::Connection;
using store::postgres::Parameters;
using store::postgres::RowReader;
using store::postgres::Rows;
using store::postgres::Statement;

// `finished = 0` is written out everywhere, or the partial index would not serve.
constexpr Statement kNewBuilds{
    "hydra_new_builds",
    "SELECT b.id, substr(b.drvpath, $1::bigint::int, 32) FROM builds b JOIN jobsets j ON j.id = b.jobset_id "
    "WHERE b.finished = 0 AND NOT EXISTS (SELECT 1 FROM penstock.hydra_builds h WHERE h.build = b.id) "
    "ORDER BY b.globalpriority DESC, j.schedulingshares, random() LIMIT $2::bigint"};
constexpr Statement kClaim{
    "hydra_claim_builds",
    "WITH unclaimed AS (SELECT b.id, b.jobset_id, b.job, b.drvpath, b.maxsilent, b.timeout, b.globalpriority, "
    "b.priority FROM builds b WHERE b.id = ANY ($1::int[]) AND b.finished = 0), "
    "claimed AS (INSERT INTO penstock.hydra_builds (build, drvpath, globalpriority) "
    "SELECT id, drvpath, globalpriority FROM unclaimed ORDER BY id ON CONFLICT (build) DO NOTHING RETURNING build) "
    "SELECT u.id, j.project, j.name, j.schedulingshares, u.job, u.drvpath, u.maxsilent, u.timeout, u.globalpriority, "
    "u.priority FROM unclaimed u JOIN claimed c ON c.build = u.id JOIN jobsets j ON j.id = u.jobset_id "
    "ORDER BY u.globalpriority DESC, u.id"};
constexpr Statement kRelease{"hydra_release_builds",
                             "DELETE FROM penstock.hydra_builds WHERE build = ANY ($1::int[]) AND job IS NULL"};
constexpr Statement kChanges{
    "hydra_changes",
    "SELECT h.build, h.job, b.id IS NULL, coalesce(b.drvpath <> h.drvpath, false), coalesce(b.globalpriority, 0) "
    "FROM penstock.hydra_builds h LEFT JOIN (SELECT id, drvpath, globalpriority FROM builds WHERE finished = 0) b "
    "ON b.id = h.build WHERE b.id IS NULL OR b.drvpath <> h.drvpath OR b.globalpriority <> h.globalpriority"};
constexpr Statement kDisown{
    "hydra_disown_builds",
    "WITH held AS (SELECT build FROM penstock.hydra_builds WHERE build = ANY ($1::int[]) ORDER BY build FOR UPDATE) "
    "UPDATE penstock.hydra_builds h SET drvpath = '' FROM held WHERE h.build = held.build AND h.drvpath <> ''"};
constexpr Statement kLeft{
    "hydra_left_builds",
    "SELECT w.build, h.build IS NULL AND EXISTS (SELECT 1 FROM builds b WHERE b.id = w.build AND b.finished = 0) "
    "FROM unnest($1::int[], $2::bigint[]) w(build, job) LEFT JOIN penstock.hydra_builds h ON h.build = w.build "
    "WHERE h.job IS DISTINCT FROM w.job"};
constexpr Statement kRecordBumps{
    "hydra_record_bumps",
    "WITH held AS (SELECT h.build, w.globalpriority FROM penstock.hydra_builds h JOIN unnest($1::int[], $2::int[]) "
    "w(build, globalpriority) ON w.build = h.build ORDER BY h.build FOR UPDATE OF h) "
    "UPDATE penstock.hydra_builds h SET globalpriority = held.globalpriority FROM held WHERE h.build = held.build"};
constexpr Statement kShares{
    "hydra_shares", "SELECT j.project, j.name, j.schedulingshares FROM jobsets j WHERE j.id IN "
                    "(SELECT jobset_id FROM builds WHERE finished = 0) ORDER BY j.project, j.name"};
constexpr Statement kIsThere{"hydra_is_build_there",
                             "SELECT EXISTS (SELECT 1 FROM builds WHERE id = $1::bigint::int)"};
constexpr Statement kIsAnyFailed{"hydra_is_any_failed", "SELECT EXISTS (SELECT 1 FROM failedpaths)"};
constexpr Statement kFailed{"hydra_failed_paths", "SELECT path FROM failedpaths WHERE path = ANY ($1::text[])"};
constexpr Statement kIsQueued{"hydra_is_queued", "SELECT EXISTS (SELECT 1 FROM penstock.hydra_builds) OR "
                                                 "EXISTS (SELECT 1 FROM builds WHERE finished = 0)"};
// As Hydra's own runner fills them for such a build, with its outputs.
constexpr Statement kInsertBuild{
    "hydra_insert_build",
    "WITH added AS (INSERT INTO builds (finished, timestamp, jobset_id, job, nixname, drvpath, system, maxsilent, "
    "timeout, ischannel, iscurrent, priority, globalpriority, keep) "
    "SELECT 0, $1::bigint::int, j.id, 'debug', 'debug', $3, $4, 7200, 36000, 0, 0, 100, 0, 0 FROM jobsets j "
    "WHERE j.id = $2::bigint::int RETURNING id), "
    "outputs AS (INSERT INTO buildoutputs (build, name, path) SELECT a.id, o.name, nullif(o.path, '') FROM added a, "
    "unnest($5::text[], $6::text[]) o(name, path)) "
    "SELECT a.id, pg_notify('builds_added', '?')::text FROM added a"};

std::string idArray(std::span<const BuildId> builds)
{
    ArrayColumn column(ArrayColumn::Element::Int32);
    for (const BuildId build : builds)
        column.int32(build);
    return column.take();
}

// Each of the rows by `read`; the first that cannot be read is the error.
template <class T, class Read>
Result<std::vector<T>> collect(const Rows& rows, const char* what, const Read& read)
{
    std::vector<T> all;
    all.reserve(static_cast<std::size_t>(rows.count()));
    for (int index = 0; index < rows.count(); ++index) {
        RowReader row(rows, index);
        all.push_back(read(row));
        PENSTOCK_TRY_VOID(row.finish(what));
    }
    return all;
}

Result<bool> truthOf(const Rows& rows)
{
    RowReader row(rows, 0);
    const bool isTrue = row.boolean();
    PENSTOCK_TRY_VOID(row.finish("answer"));
    return isTrue;
}

QueuedBuild readQueuedBuild(RowReader& row)
{
    const auto optionalSeconds = [](std::optional<std::int64_t> value) {
        return value ? std::optional(static_cast<std::int32_t>(*value)) : std::nullopt;
    };
    QueuedBuild build;
    build.id = row.int32();
    build.project = row.text();
    build.jobset = row.text();
    build.shares = row.uint32();
    build.job = row.text();
    build.drvPath = row.text();
    build.maxSilent = optionalSeconds(row.optionalInt64());
    build.timeout = optionalSeconds(row.optionalInt64());
    build.globalPriority = row.int32();
    build.priority = row.int32();
    return build;
}

} // namespace

Result<std::vector<NewBuild>> readNewBuilds(Connection& connection, const std::string& storeDir, std::size_t most)
{
    Parameters parameters;
    parameters.int64(static_cast<std::int64_t>(storeDir.size() + 2)); // behind the slash, counted from 1
    parameters.int64(static_cast<std::int64_t>(most));
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(kNewBuilds, parameters));
    return collect<NewBuild>(rows, "new build", [](RowReader& row) {
        const BuildId id = row.int32();
        return NewBuild{id, DrvKey(row.bytes())};
    });
}

Result<std::vector<QueuedBuild>> claimBuilds(Connection& connection, std::span<const BuildId> builds)
{
    Parameters parameters;
    parameters.bytes(idArray(builds));
    PENSTOCK_TRY(const Rows rows, connection.run(kClaim, parameters));
    return collect<QueuedBuild>(rows, "queued build", readQueuedBuild);
}

Result<void> releaseBuilds(Connection& connection, std::span<const BuildId> builds)
{
    if (builds.empty())
        return {};
    Parameters parameters;
    parameters.bytes(idArray(builds));
    PENSTOCK_TRY_VOID(connection.run(kRelease, parameters));
    return {};
}

Result<std::vector<ChangedBuild>> readChanges(Connection& connection)
{
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(kChanges, {}));
    return collect<ChangedBuild>(rows, "changed build", [](RowReader& row) {
        ChangedBuild build{row.int32(), std::nullopt, ChangeKind::Bumped, 0};
        if (const auto job = row.optionalUint64())
            build.job = JobId(*job);
        const bool hasEnded = row.boolean();
        const bool isRepointed = row.boolean();
        build.globalPriority = row.int32();
        if (hasEnded || isRepointed)
            build.kind = hasEnded ? ChangeKind::Ended : ChangeKind::Repointed;
        return build;
    });
}

Result<void> disownBuilds(Connection& connection, std::span<const BuildId> builds)
{
    if (builds.empty())
        return {};
    Parameters parameters;
    parameters.bytes(idArray(builds));
    PENSTOCK_TRY_VOID(connection.run(kDisown, parameters));
    return {};
}

Result<std::vector<Left>> readLeft(Connection& connection, std::span<const Leaving> builds)
{
    ArrayColumn ids(ArrayColumn::Element::Int32);
    ArrayColumn jobs(ArrayColumn::Element::Int64);
    for (const Leaving& build : builds) {
        ids.int32(build.id);
        jobs.int64(static_cast<std::int64_t>(build.job.value()));
    }
    Parameters parameters;
    parameters.bytes(ids.take());
    parameters.bytes(jobs.take());
    PENSTOCK_TRY(const Rows rows, connection.run(kLeft, parameters));
    return collect<Left>(rows, "build that was cancelled", [](RowReader& row) {
        const BuildId id = row.int32();
        return Left{id, row.boolean()};
    });
}

Result<void> recordBumps(Connection& connection, std::span<const Bump> bumps)
{
    ArrayColumn builds(ArrayColumn::Element::Int32);
    ArrayColumn priorities(ArrayColumn::Element::Int32);
    for (const Bump& bump : bumps) {
        builds.int32(bump.id);
        priorities.int32(bump.globalPriority);
    }
    Parameters parameters;
    parameters.bytes(builds.take());
    parameters.bytes(priorities.take());
    PENSTOCK_TRY_VOID(connection.run(kRecordBumps, parameters));
    return {};
}

Result<std::vector<JobsetShares>> readShares(Connection& connection)
{
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(kShares, {}));
    return collect<JobsetShares>(rows, "jobset", [](RowReader& row) {
        std::string project = row.text();
        const std::string name = row.text();
        return JobsetShares{std::move(project) + ":" + name, row.uint32()};
    });
}

Result<bool> isAnythingQueued(Connection& connection)
{
    PENSTOCK_TRY(const Rows rows, connection.runPlanned(kIsQueued, {}));
    return truthOf(rows);
}

Result<bool> isBuildThere(Connection& connection, BuildId build)
{
    Parameters parameters;
    parameters.int64(std::int64_t{build});
    PENSTOCK_TRY(const Rows rows, connection.run(kIsThere, parameters));
    return truthOf(rows);
}

Result<bool> isAnyPathFailed(Connection& connection)
{
    PENSTOCK_TRY(const Rows rows, connection.run(kIsAnyFailed));
    return truthOf(rows);
}

Result<std::set<std::string>> readFailed(Connection& connection, std::span<const std::string> paths)
{
    ArrayColumn column(ArrayColumn::Element::Text);
    for (const std::string& path : paths)
        column.text(path);
    Parameters parameters;
    parameters.bytes(column.take());
    PENSTOCK_TRY(const Rows rows, connection.run(kFailed, parameters));
    PENSTOCK_TRY(const auto failed,
                 collect<std::string>(rows, "failed path", [](RowReader& row) { return row.text(); }));
    return std::set<std::string>(failed.begin(), failed.end());
}

Result<BuildId> insertBuild(Connection& connection, const AddedBuild& build)
{
    ArrayColumn names(ArrayColumn::Element::Text);
    ArrayColumn paths(ArrayColumn::Element::Text);
    for (const AddedBuild::Output& output : build.outputs) {
        names.text(output.name);
        paths.text(output.path);
    }
    Parameters parameters;
    parameters.int64(build.now);
    parameters.int64(std::int64_t{build.jobset});
    parameters.text(std::string_view(build.drvPath));
    parameters.text(std::string_view(build.system));
    parameters.bytes(names.take());
    parameters.bytes(paths.take());
    PENSTOCK_TRY(const Rows rows, connection.run(kInsertBuild, parameters));
    if (rows.count() != 1)
        return fail(ErrorCode::NotFound, fmt::format("jobsetId: there is no jobset {}", build.jobset));
    RowReader row(rows, 0);
    const BuildId id = row.int32();
    PENSTOCK_TRY_VOID(row.finish("added build"));
    return id;
}

} // namespace penstock::hydra
