// SPDX-License-Identifier: GPL-3.0-or-later
// Intake: the builds of a Hydra database become jobs of the farm. Two threads of its own, each with a connection: the
// listener (notifications, what was cancelled, repointed or bumped, shares) and the loader (new builds). What differs
// between Hydra's queue and ours is found by SQL; while nothing is queued, nothing but LISTEN goes to the database.
// Trouble with the database or the store is waited out, longer and longer up to a minute; nothing is ever taken for
// gone, built or failed because a question could not be answered.
#pragma once

#include "server/cache/output_store.h"
#include "server/hydra/farm_port.h"
#include "server/hydra/options.h"
#include "server/hydra/queue_diff.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace penstock::hydra {

struct IntakeParts { // all outlive the intake
    static constexpr std::size_t kMostToCompute = 5'000;

    FarmPort& farm;
    cache::OutputStore& store; // whose presence counts
    const Clock& clock;
    Logger& logger;
    // With Options::useSubstitutes: brings what it can of the paths into the store, with all that they refer to, and
    // answers those that are there then. Blocking, called from several threads. Null: nothing is fetched.
    std::function<Result<nix::StorePathSet>(const nix::StorePathSet& paths)> fetch = {};
    // Builds kept with their outputs until what is there is read from the store; of others only the ids.
    std::size_t mostToCompute = kMostToCompute;
};

struct IntakePlaces {
    nix::StoreDir storeDir;
    std::string storeFiles; // the directory in which its paths really are
};

struct IntakeCounters { // since the start
    std::uint64_t buildsRead = 0;
    std::uint64_t buildsHanded = 0;  // to the farm, which took them
    Duration readTime{0};            // that reading and loading them took
    std::uint64_t stepsCreated = 0;  // handed to the farm
    std::uint64_t derivationsRead = 0;
    std::uint64_t wakeUps = 0;       // by notifications
    std::uint64_t passesStarted = 0;
    std::uint64_t passesInterrupted = 0; // began anew because something was notified meanwhile
    std::uint64_t passesFinished = 0;
    std::uint64_t cachedSuccesses = 0;
    std::uint64_t fetched = 0;      // derivations whose outputs came from elsewhere
    std::uint64_t fetchFailures = 0; // of which that could not be found out
    std::uint64_t cachedFailures = 0;
    std::uint64_t aborted = 0; // derivation gone or unreadable
    std::uint64_t cancelled = 0;
    std::uint64_t bumped = 0;
    Duration lastDiff{0};      // that finding the changed ones took
    Duration busy{0};          // of the loader
    std::uint64_t waiting = 0; // builds that are known to be new and not loaded
    unsigned connections = 0;  // open now
    std::string lastError;     // empty: all is well
};

class Intake {
public:
    Intake(Options options, IntakeParts parts, IntakePlaces places);
    ~Intake(); // stops
    Intake(const Intake&) = delete;
    Intake& operator=(const Intake&) = delete;

    // Once, when the farm has been recovered and the projection has begun.
    void start();
    // What is under way ends soon, if the store and the fetching let it; nothing more is made of its answers.
    void beginStop();
    // Waits for that. Answers that are still out are dropped.
    void stop();

    // Any thread; answered on any thread. Unavailable: not started, stopped, or too many wait.

    // An unfinished build is loaded before all others, also with Options::monitorsQueue false; for one that is finished
    // nothing is to be done. NotFound: there is no such build.
    void buildOne(BuildId build, Answer<void> answer);
    // A build of the job "debug" of this derivation (base name in the store). Invalid: it cannot be read. NotFound: no
    // such jobset.
    void addBuild(std::string drvBaseName, std::int32_t jobset, Answer<BuildId> answer);
    // Compares everything now.
    void rescan();
    [[nodiscard]] IntakeCounters counters() const;

private:
    struct Threads;
    std::unique_ptr<Threads> m_threads;
};

} // namespace penstock::hydra
