// SPDX-License-Identifier: GPL-3.0-or-later
// Loader: one of the intake's threads, with a connection of its own: new builds, in chunks, become jobs of the farm or
// are finished. A pass goes over all that are new; between two chunks it starts over when something was notified, so
// that what was bumped comes first. A few chunks are with the farm at a time. Blocking.
#pragma once

#include "server/cache/output_store.h"
#include "server/hydra/build_loader.h"
#include "server/hydra/cached_results.h"
#include "server/hydra/doubling_pause.h"
#include "server/hydra/farm_port.h"
#include "server/hydra/intake_board.h"
#include "server/hydra/intake_derivations.h"
#include "server/hydra/intake_inbox.h"
#include "server/hydra/intake_list.h"
#include "server/hydra/options.h"
#include "server/hydra/queue_diff.h"
#include "server/store/postgres/connection.h"
#include "shared/base/cancel.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

namespace penstock::hydra {

struct LoaderParts { // all outlive it
    const Options& options;
    FarmPort& farm;
    cache::OutputStore& store;
    const nix::StoreDir& storeDir;
    const DerivationReader& derivations;
    const Clock& clock;
    Logger& logger;
    CounterBoard& counters;
    ShareBoard& shares;
    const store::postgres::StopSignal& stop;
    CancelToken cancel; // at the same time as stop
    std::function<Result<nix::StorePathSet>(const nix::StorePathSet& paths)> fetch; // see IntakeParts; may be null
    std::size_t mostToCompute; // at least 1
};

class Loader {
public:
    explicit Loader(LoaderParts parts);

    // The thread's body, until stop is requested.
    void run();

    // Any thread.
    void wake(bool restarted); // see ListenerParts
    [[nodiscard]] bool buildOne(BuildId build, Answer<void> answer); // false: closed
    void close() { m_inbox->close(); }

private:
    static constexpr std::size_t kFirstChunk = 50; // soon something can be built
    static constexpr std::size_t kMostChunk = 400;
    static constexpr std::size_t kLeastChunk = 10;

    struct Chunk {
        std::vector<BuildId> builds;
        bool takesLive = true;  // see ChunkWalk::Limits
        bool isBounded = true;  // else it is one build, however much it needs
    };
    struct Submission {
        std::vector<BuildRef> builds;
        bool takesLive = true;
        std::vector<DrvKey> keys; // what the memory may be wrong about when it is refused
    };

    // intake_loader.cpp: what comes when
    [[nodiscard]] Result<void> serve();
    [[nodiscard]] Result<bool> step();
    [[nodiscard]] Result<void> beginPass();
    void endPass();
    [[nodiscard]] std::optional<Chunk> nextChunk();
    [[nodiscard]] std::vector<BuildId> nextToCompute();
    void postpone(std::span<const BuildId> builds);
    void loadAlone(std::span<const BuildId> builds);
    void answered(std::uint64_t submission, const Result<std::vector<JobId>>& jobs);
    void refused(Submission submission, const Error& error);
    [[nodiscard]] Result<void> settleRefused();
    void settleRequest(BuildId build, const Result<void>& outcome);
    void runTasks();
    [[nodiscard]] Duration untilNext() const;
    void waitFor(Duration time);
    void waitOut(const Error& error);
    void allIsWell();
    [[nodiscard]] Instant now() const { return m_parts.clock.now().mono; }

    // intake_loader_chunk.cpp: one chunk
    [[nodiscard]] Result<void> load(Chunk chunk);
    void release(std::span<const BuildId> builds);
    [[nodiscard]] Result<void> loadNow(const Chunk& chunk, std::vector<BuildId>& claimed);
    [[nodiscard]] Result<void> settleUnclaimed(std::span<const BuildId> wanted, std::span<const BuildId> claimed);
    [[nodiscard]] Result<void> readClosure(ChunkWalk& walk);
    [[nodiscard]] Result<void> fetchLevel(ChunkWalk& walk);
    void adaptChunkSize(const ChunkWalk& walk);
    [[nodiscard]] Result<void> addListed(ChunkWalk& walk, std::vector<BuildId>& claimed);
    [[nodiscard]] Result<void> settle(LoadedChunk& chunk, std::int64_t startTime);
    [[nodiscard]] Result<void> finishSome(LoadedChunk& chunk);
    void noteFinished(std::size_t wanted, std::size_t finished);
    [[nodiscard]] Result<void> abort(std::span<const BuildRef> builds);
    void submit(LoadedChunk chunk, bool takesLive);
    [[nodiscard]] Result<void> computeOne();
    [[nodiscard]] Result<void> computeFirst();
    [[nodiscard]] Result<void> notComputed(CachedSuccess build, const Error& error, bool mayPass);
    [[nodiscard]] Finishing finishing();

    const LoaderParts m_parts;
    const std::shared_ptr<TaskInbox> m_inbox = std::make_shared<TaskInbox>();
    std::optional<store::postgres::Connection> m_connection;
    unsigned m_failures = 0;
    std::optional<Error> m_trouble; // of the farm: to be waited out

    bool m_isWanted = false; // a pass, or that it starts over
    bool m_wasRestarted = false;
    bool m_isInPass = false;
    Instant m_notBefore; // the next list
    // Builds whose rows somebody held are new again, and nobody tells when they are free.
    std::optional<Instant> m_heldAt; // the next look at them
    DoublingPause m_heldPause;
    bool m_wasHeld = false; // one, in this pass
    std::size_t m_chunkSize = kFirstChunk;
    PassList m_list;
    PassMemory m_memory;
    std::deque<Chunk> m_first;                 // before the list
    std::deque<BuildId> m_last;                // after it, a few at a time
    std::deque<BuildId> m_alone;               // after those
    std::unordered_set<BuildId> m_isPostponed; // to either
    std::vector<BuildId> m_toRelease;
    std::vector<BuildRef> m_toAbort;

    std::map<std::uint64_t, Submission> m_submitted;
    std::uint64_t m_lastSubmission = 0;
    std::deque<CachedSuccess> m_toCompute;
    std::unordered_set<BuildId> m_toComputeLater; // released; in no list until there is room for them
    Instant m_noComputingBefore;                  // while there are builds to load
    std::map<BuildId, std::vector<Answer<void>>> m_requests;
};

} // namespace penstock::hydra
