// SPDX-License-Identifier: GPL-3.0-or-later
// What is new or different in Hydra's queue, found by SQL: `builds` compared with penstock.hydra_builds. Answers hold
// differences only, so nothing is read twice and no list of builds is kept. All of it walks the unfinished builds by
// their partial index, whatever the number of finished ones. Blocking; the connection's thread. Errors are those of
// Connection.
#pragma once

#include "server/hydra/build_loader_memory.h"
#include "server/store/postgres/connection.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace penstock::hydra {

using BuildId = std::int32_t; // of Hydra's table

struct NewBuild {
    BuildId id;
    DrvKey derivation; // anything when its derivation's path is none
};
// Unfinished builds without a row in hydra_builds: those that were bumped last come first; else mixed, as the order of
// ids would starve the builders of other systems. In the order in which they are to be loaded.
[[nodiscard]] Result<std::vector<NewBuild>> readNewBuilds(store::postgres::Connection& connection,
                                                          const std::string& storeDir, std::size_t most);

struct QueuedBuild {
    BuildId id = 0;
    std::string project;
    std::string jobset;
    std::uint32_t shares = 0; // of the jobset
    std::string job;
    std::string drvPath;
    std::optional<std::int32_t> maxSilent; // seconds; nothing: the runner's default
    std::optional<std::int32_t> timeout;
    std::int32_t globalPriority = 0; // when it was bumped, Unix seconds; 0: never
    std::int32_t priority = 0;

    [[nodiscard]] std::string group() const { return project + ":" + jobset; }
};
// A row for each of the builds that has none (its job null): this process is about to load it. Answers those that got
// one and are still unfinished; the others are somebody else's, or nobody's any more.
[[nodiscard]] Result<std::vector<QueuedBuild>> claimBuilds(store::postgres::Connection& connection,
                                                           std::span<const BuildId> builds);
// The opposite, for those that have no job: they are new again.
[[nodiscard]] Result<void> releaseBuilds(store::postgres::Connection& connection, std::span<const BuildId> builds);

// Finished or not, whether somebody has loaded it or not.
[[nodiscard]] Result<bool> isBuildThere(store::postgres::Connection& connection, BuildId build);

[[nodiscard]] Result<bool> isAnyPathFailed(store::postgres::Connection& connection);
// Those of the paths that are in failedpaths.
[[nodiscard]] Result<std::set<std::string>> readFailed(store::postgres::Connection& connection,
                                                       std::span<const std::string> paths);

enum class ChangeKind : std::uint8_t {
    Ended,     // cancelled, deleted or finished by somebody else
    Repointed, // its derivation is another one now
    Bumped,    // globalpriority differs, in either direction
};
struct ChangedBuild {
    BuildId id;
    std::optional<JobId> job; // nothing: it is being handed to the farm just now; to be looked at again
    ChangeKind kind;
    std::int32_t globalPriority; // the new one, of Bumped
};
[[nodiscard]] Result<std::vector<ChangedBuild>> readChanges(store::postgres::Connection& connection);

// They are about to be cancelled: whatever comes of their jobs is none of theirs any more, even if somebody restarts
// them meanwhile. From here on they differ until their rows are gone.
[[nodiscard]] Result<void> disownBuilds(store::postgres::Connection& connection, std::span<const BuildId> builds);

// Builds that were disowned; their rows are there until their jobs have ended.
struct Leaving {
    BuildId id;
    JobId job; // the one that is to end
};
struct Left {
    BuildId id;
    bool isNew; // unfinished and without a row: somebody wants it built again
};
// Those whose rows have gone. By primary keys, whatever the length of the queue.
[[nodiscard]] Result<std::vector<Left>> readLeft(store::postgres::Connection& connection,
                                                 std::span<const Leaving> builds);

struct Bump {
    BuildId id;
    std::int32_t globalPriority;
};
// The farm knows of them.
[[nodiscard]] Result<void> recordBumps(store::postgres::Connection& connection, std::span<const Bump> bumps);

struct JobsetShares {
    std::string group; // PROJECT:JOBSET
    std::uint32_t shares;
};
// Of jobsets that have unfinished builds.
[[nodiscard]] Result<std::vector<JobsetShares>> readShares(store::postgres::Connection& connection);

// Whether there is anything that could change: unfinished builds, or some that the farm has.
[[nodiscard]] Result<bool> isAnythingQueued(store::postgres::Connection& connection);

// Of builds of this derivation; for PUT /build. Answers its id. NotFound: no such jobset.
struct AddedBuild {
    std::string drvPath;
    std::string system;
    struct Output {
        std::string name;
        std::string path; // empty: only the build can tell
    };
    std::vector<Output> outputs;
    std::int32_t jobset;
    std::int64_t now; // Unix seconds
};
[[nodiscard]] Result<BuildId> insertBuild(store::postgres::Connection& connection, const AddedBuild& build);

} // namespace penstock::hydra
