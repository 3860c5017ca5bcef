// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/cached_results_transaction.h"

#include <chrono>
#include <utility>

namespace penstock::hydra {
namespace {

using store::postgres::ArrayColumn;
using store::postgres::Connection;
using store::postgres::Parameters;
using store::postgres::Request;
using store::postgres::RowReader;
using store::postgres::Statement;

constexpr unsigned kTries = 10;
constexpr std::chrono::milliseconds kPause(50); // after the first try, twice that after the second

constexpr Statement kBegin{"hydra_begin", "BEGIN"};
constexpr Statement kCommit{"hydra_commit", "COMMIT"};
// Whoever ends a build holds this row until he is done, and may want any build next: it is waited for while nothing is
// held, and not for long, as the loader has other things to do.
constexpr Statement kLimitWaiting{"hydra_limit_waiting", "SELECT set_config('lock_timeout', '3s', true)"};
constexpr Statement kHoldCount{"hydra_hold_count_alone",
                               "SELECT count FROM nrbuilds WHERE what = 'finished' FOR NO KEY UPDATE"};
// In the order of ids, as all who lock several do.
constexpr Statement kLock{"hydra_lock_builds",
                          "SELECT b.id FROM builds b JOIN unnest($1::int[], $2::text[]) w(build, drvpath) ON "
                          "w.build = b.id WHERE b.finished = 0 AND b.drvpath = w.drvpath ORDER BY b.id "
                          "FOR UPDATE OF b SKIP LOCKED"};
constexpr Statement kRelease{"hydra_release_finished",
                             "DELETE FROM penstock.hydra_builds WHERE build = ANY ($1::int[]) AND job IS NULL"};
constexpr Statement kNotify{"hydra_notify_finished",
                            "SELECT pg_notify('build_finished', build::text)::text FROM unnest($1::int[]) w(build) "
                            "ORDER BY build"};

Result<std::vector<BuildId>> lockBuilds(Connection& connection, std::span<const BuildRef> builds)
{
    ArrayColumn ids(ArrayColumn::Element::Int32);
    ArrayColumn paths(ArrayColumn::Element::Text);
    for (const BuildRef& build : builds) {
        ids.int32(build.id);
        paths.text(build.drvPath);
    }
    Parameters parameters;
    parameters.bytes(ids.take());
    parameters.bytes(paths.take());
    const std::vector<Request> requests{
        {&kBegin, {}}, {&kLimitWaiting, {}}, {&kHoldCount, {}}, {&kLock, std::move(parameters)}};
    PENSTOCK_TRY(const auto answers, connection.runAll(requests));
    std::vector<BuildId> locked;
    for (int index = 0; index < answers.back().count(); ++index) {
        RowReader row(answers.back(), index);
        locked.push_back(row.int32());
        PENSTOCK_TRY_VOID(row.finish("build"));
    }
    return locked;
}

Result<std::vector<BuildId>> tryOnce(Finishing& at, std::span<const BuildRef> builds, const WriteLocked& write)
{
    PENSTOCK_TRY(std::vector<BuildId> locked, lockBuilds(at.connection, builds));
    std::vector<Request> requests;
    if (!locked.empty())
        requests = write(locked);
    std::vector<BuildId> all;
    for (const BuildRef& build : builds)
        all.push_back(build.id);
    requests.push_back({&kRelease, onlyIds(all)});
    requests.push_back({&kCommit, {}});
    PENSTOCK_TRY_VOID(at.connection.runAll(requests));
    return locked;
}

} // namespace

Parameters onlyIds(std::span<const BuildId> builds)
{
    ArrayColumn column(ArrayColumn::Element::Int32);
    for (const BuildId build : builds)
        column.int32(build);
    Parameters parameters;
    parameters.bytes(column.take());
    return parameters;
}

Request notifyFinished(std::span<const BuildId> builds)
{
    return {&kNotify, onlyIds(builds)};
}

Result<std::vector<BuildId>> finishLocked(Finishing& at, std::span<const BuildRef> builds, const WriteLocked& write)
{
    if (builds.empty())
        return std::vector<BuildId>();
    for (unsigned attempt = 1;; ++attempt) {
        auto done = tryOnce(at, builds, write);
        if (done || !at.connection.isUsable())
            return done;
        PENSTOCK_TRY_VOID(at.connection.runScript("ROLLBACK"));
        if (done.error().code != ErrorCode::Unavailable || attempt == kTries || !at.stop.sleepFor(kPause * attempt))
            return done;
    }
}

} // namespace penstock::hydra
