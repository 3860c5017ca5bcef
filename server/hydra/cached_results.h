// SPDX-License-Identifier: GPL-3.0-or-later
// Builds that need no work are finished here, in short transactions of our own: their outputs are there already, some
// derivation they need has failed before, or their derivation is gone. Only of builds that are still unfinished and
// still of the derivation that was looked at, and only of those whose row nobody holds (SKIP LOCKED: the evaluator
// keeps some for minutes); all others stay as they are and are new again, as every build given here loses its row in
// hydra_builds. Deadlocks and serialisation failures are tried again; other errors are those of Connection, with
// nothing written. Blocking; the connection's thread.
#pragma once

#include "server/hydra/build_loader.h"
#include "server/hydra/queue_diff.h"
#include "server/store/postgres/connection.h"
#include "shared/base/result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace penstock::hydra {

struct BuildRef {
    BuildId id;
    std::string drvPath; // as it was when it was looked at
};

// Where and when.
struct Finishing {
    store::postgres::Connection& connection;
    const store::postgres::StopSignal& stop;
    std::int64_t now; // Unix seconds
};

// Each answers those that are finished now.

// Aborted (3), nobody is told.
[[nodiscard]] Result<std::vector<BuildId>> finishGone(Finishing at, std::span<const BuildRef> builds);

struct CachedFailure {
    BuildRef build;
    std::shared_ptr<const FailedDerivation> cause;
};
[[nodiscard]] Result<std::vector<BuildId>> finishFailed(Finishing at, std::span<const CachedFailure> builds);

struct CachedSuccess {
    BuildRef build;
    std::vector<work::NixOutput> outputs; // all with a path
};
// With what an earlier build of one of the outputs has left; `others`: those without such a build, which keep their row
// in hydra_builds.
struct Copied {
    std::vector<BuildId> finished;
    std::vector<CachedSuccess> others;
};
[[nodiscard]] Result<Copied> finishFromEarlier(Finishing at, std::span<const CachedSuccess> builds);

// Rows of buildsteps that say that outputs were fetched (type 1), one for each output. Nobody is told.
struct FetchTimes {
    std::int64_t start; // Unix seconds
    std::int64_t stop;
};
[[nodiscard]] Result<void> recordFetched(store::postgres::Connection& connection,
                                         std::span<const LoadedChunk::Fetched> fetched, FetchTimes times);

struct ResultProduct {
    std::string type;
    std::string subtype;
    std::string path; // full
    std::string name;
    std::string defaultPath;
    std::optional<std::uint64_t> size; // of files
    std::string sha256;                // of files, hex; else empty
};
struct ResultMetric {
    std::string name;
    double value;
    std::string unit; // empty: none
};
struct ComputedResult {
    std::uint64_t size = 0;        // of the outputs' NARs
    std::uint64_t closureSize = 0; // of the NARs of all that they refer to
    std::string releaseName;       // empty: none
    bool hasFailed = false;        // it says so itself
    std::vector<ResultProduct> products;
    std::vector<ResultMetric> metrics;
};
// With a row of buildsteps (type 1) where none says that its derivation was built or fetched.
[[nodiscard]] Result<bool> finishComputed(Finishing at, const CachedSuccess& build, const ComputedResult& result);

} // namespace penstock::hydra
