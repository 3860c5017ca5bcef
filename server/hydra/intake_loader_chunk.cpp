// SPDX-License-Identifier: GPL-3.0-or-later
// How the loader turns one chunk of builds into jobs and finished rows.
#include "server/hydra/intake_loader.h"

#include "server/cache/parallel.h"
#include "server/hydra/intake_recorded.h"
#include "server/hydra/intake_results.h"
#include "shared/base/passing.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <utility>

namespace penstock::hydra {
namespace {

constexpr std::size_t kMostAdded = 1'000; // builds whose own derivation a chunk needs
constexpr std::size_t kMostToComputeLater = 500'000; // the others are found by the next pass
constexpr int kComputingShare = 8;                   // loading may take so many times as long as computing
constexpr std::size_t kFetchedAtATime = 10;
constexpr std::size_t kNoLimit = SIZE_MAX;

template <class Entries> std::vector<BuildRef> refsTo(const Entries& entries)
{
    std::vector<BuildRef> refs;
    for (const auto& entry : entries)
        refs.push_back({entry.build.id, entry.build.drvPath});
    return refs;
}

} // namespace

Finishing Loader::finishing()
{
    const auto wall = m_parts.clock.now().wall.sinceEpoch;
    return {*m_connection, m_parts.stop, std::chrono::duration_cast<std::chrono::seconds>(wall).count()};
}

// After an error nothing of the chunk is lost: what waiting may help is tried again, else each build on its own, so
// that one which cannot be loaded harms no other.
Result<void> Loader::load(Chunk chunk)
{
    const Instant start = now();
    std::vector<BuildId> claimed;
    auto done = loadNow(chunk, claimed);
    m_parts.counters.change([&](IntakeCounters& counters) {
        counters.readTime += now() - start;
        counters.buildsRead += claimed.size();
    });
    if (done)
        return {};
    release(chunk.builds);
    release(claimed); // those that were added too
    if (isPassing(done.error()) || !m_connection->isUsable()) {
        m_first.push_front(std::move(chunk));
        m_isWanted = m_parts.options.monitorsQueue;
        return done;
    }
    if (chunk.builds.size() > 1) {
        loadAlone(chunk.builds);
        return {};
    }
    const BuildId build = chunk.builds.front();
    m_parts.logger.error("hydra.build_not_loaded", {{"build", build}, {"error", done.error().message}});
    settleRequest(build, fail(done.error()));
    return {};
}

// But for those that are under way, from another chunk.
void Loader::release(std::span<const BuildId> builds)
{
    std::unordered_set<BuildId> underWay;
    for (const auto& [number, submission] : m_submitted)
        for (const BuildRef& build : submission.builds)
            underWay.insert(build.id);
    for (const CachedSuccess& build : m_toCompute)
        underWay.insert(build.build.id);
    std::ranges::copy_if(builds, std::back_inserter(m_toRelease),
                         [&](BuildId build) { return !underWay.contains(build); });
}

Result<void> Loader::loadNow(const Chunk& chunk, std::vector<BuildId>& claimed)
{
    PENSTOCK_TRY(auto builds, claimBuilds(*m_connection, chunk.builds));
    for (const QueuedBuild& build : builds)
        claimed.push_back(build.id);
    PENSTOCK_TRY_VOID(settleUnclaimed(chunk.builds, claimed));
    if (builds.empty())
        return {};
    ChunkWalk::Limits limits;
    limits.takesLive = chunk.takesLive;
    if (!chunk.isBounded)
        limits.maxNodes = kNoLimit;
    const std::int64_t startTime = finishing().now;
    ChunkWalk walk(m_parts.storeDir, m_parts.options, m_memory, std::move(builds), limits);
    PENSTOCK_TRY_VOID(readClosure(walk));
    adaptChunkSize(walk);
    PENSTOCK_TRY_VOID(addListed(walk, claimed));
    LoadedChunk loaded = std::move(walk).finish();
    if (auto settled = settle(loaded, startTime); !settled) {
        for (const DrvKey& key : loaded.listed) // they did not get there
            m_memory.dropLive(key);
        return settled;
    }
    submit(std::move(loaded), chunk.takesLive);
    return {};
}

// All but the jobs.
Result<void> Loader::settle(LoadedChunk& chunk, std::int64_t startTime)
{
    PENSTOCK_TRY_VOID(recordFetched(*m_connection, chunk.fetched, {startTime, finishing().now}));
    m_parts.counters.change([&](IntakeCounters& counters) { counters.fetched += chunk.fetched.size(); });
    postpone(chunk.postponed);
    PENSTOCK_TRY_VOID(releaseBuilds(*m_connection, chunk.postponed));
    return finishSome(chunk);
}

// Only for those that somebody asked for.
Result<void> Loader::settleUnclaimed(std::span<const BuildId> wanted, std::span<const BuildId> claimed)
{
    for (const BuildId build : wanted) {
        if (!m_requests.contains(build) || std::ranges::find(claimed, build) != claimed.end())
            continue;
        PENSTOCK_TRY(const bool isThere, isBuildThere(*m_connection, build));
        settleRequest(build, isThere ? Result<void>()
                                     : fail(ErrorCode::NotFound, fmt::format("buildId: there is no build {}", build)));
    }
    return {};
}

Result<void> Loader::readClosure(ChunkWalk& walk)
{
    PENSTOCK_TRY(const bool hasFailures, isAnyPathFailed(*m_connection));
    for (auto level = walk.toRead(); !level.empty(); level = walk.toRead()) {
        PENSTOCK_TRY(auto readings, m_parts.derivations.read(level));
        for (std::size_t at = 0; at < level.size(); ++at)
            walk.read(level[at], std::move(readings[at]));
        if (const auto unknown = walk.toLookUp(); !unknown.empty()) {
            PENSTOCK_TRY(const auto known, readRecorded(*m_connection, m_parts.storeDir, unknown));
            walk.recorded(known);
        }
        if (const auto wanted = walk.toFind(); !wanted.empty()) {
            PENSTOCK_TRY(const auto present, m_parts.store.findMany(wanted));
            walk.found(present);
        }
        if (const auto paths = hasFailures ? walk.toCheck() : std::vector<std::string>(); !paths.empty()) {
            PENSTOCK_TRY(const auto failed, readFailed(*m_connection, paths));
            walk.failed(failed);
        }
        if (m_parts.fetch)
            PENSTOCK_TRY_VOID(fetchLevel(walk));
        if (m_parts.stop.isRequested())
            return fail(ErrorCode::Cancelled, "stopped while builds were loaded");
    }
    m_parts.counters.change([&](IntakeCounters& counters) { counters.derivationsRead += walk.readCount(); });
    return {};
}

// What cannot be fetched is built.
Result<void> Loader::fetchLevel(ChunkWalk& walk)
{
    const auto wanted = walk.toFetch();
    std::vector<Result<nix::StorePathSet>> answers(wanted.size());
    PENSTOCK_TRY_VOID(cache::parallelFor(wanted.size(), kFetchedAtATime, [&](std::size_t item) -> Result<void> {
        if (m_parts.cancel.isCancelled())
            return fail(ErrorCode::Cancelled, "stopped while outputs were fetched");
        answers[item] = m_parts.fetch(wanted[item]);
        return {};
    }));
    nix::StorePathSet present;
    std::uint64_t failures = 0;
    for (const auto& answer : answers) {
        if (answer)
            present.insert(answer->begin(), answer->end());
        else if (failures++ == 0)
            m_parts.logger.warning("hydra.outputs_not_fetched", {{"error", answer.error().message}});
    }
    m_parts.counters.change([&](IntakeCounters& counters) { counters.fetchFailures += failures; });
    walk.fetched(present);
    return {};
}

// Few at a time while each brings much that was not seen before, many when most of it lives already.
void Loader::adaptChunkSize(const ChunkWalk& walk)
{
    const std::size_t most = ChunkWalk::Limits{}.maxNodes;
    if (walk.readCount() > most / 2)
        m_chunkSize = std::max(kLeastChunk, m_chunkSize / 2);
    else if (walk.readCount() < most / 8)
        m_chunkSize = std::min(kMostChunk, m_chunkSize * 2);
}

// Builds whose own derivation this chunk needs come with it, so that its step is accounted to them.
Result<void> Loader::addListed(ChunkWalk& walk, std::vector<BuildId>& claimed)
{
    const auto builds = m_list.takeOf(walk.toBeBuilt(), kMostAdded);
    if (builds.empty())
        return {};
    PENSTOCK_TRY(auto added, claimBuilds(*m_connection, builds));
    for (QueuedBuild& build : added) {
        claimed.push_back(build.id);
        walk.add(std::move(build));
    }
    return {};
}

Result<void> Loader::abort(std::span<const BuildRef> builds)
{
    PENSTOCK_TRY(const auto aborted, finishGone(finishing(), builds));
    m_parts.counters.change([&](IntakeCounters& counters) { counters.aborted += aborted.size(); });
    noteFinished(builds.size(), aborted.size());
    return {};
}

void Loader::noteFinished(std::size_t wanted, std::size_t finished)
{
    if (finished == wanted)
        return;
    m_wasHeld = true;
    if (!m_heldAt)
        m_heldAt = now() + m_heldPause.next();
}

Result<void> Loader::finishSome(LoadedChunk& chunk)
{
    for (const LoadedChunk::Unreadable& build : chunk.unreadable)
        m_parts.logger.warning("hydra.build_aborted",
                               {{"build", build.build.id},
                                {"drv", build.build.drvPath},
                                {"why", build.why.empty() ? "the derivation is gone from the store" : build.why}});
    PENSTOCK_TRY_VOID(abort(refsTo(chunk.unreadable)));
    std::vector<CachedFailure> failures;
    for (const LoadedChunk::Failed& build : chunk.failed)
        failures.push_back({{build.build.id, build.build.drvPath}, build.cause});
    PENSTOCK_TRY(const auto failed, finishFailed(finishing(), failures));
    std::vector<CachedSuccess> successes;
    for (LoadedChunk::Present& build : chunk.present)
        successes.push_back({{build.build.id, build.build.drvPath}, std::move(build.outputs)});
    PENSTOCK_TRY(auto copied, finishFromEarlier(finishing(), successes));
    noteFinished(failures.size() + successes.size(),
                 failed.size() + copied.finished.size() + copied.others.size());
    m_parts.counters.change([&](IntakeCounters& counters) {
        counters.cachedFailures += failed.size();
        counters.cachedSuccesses += copied.finished.size();
    });
    for (CachedSuccess& build : copied.others) {
        if (m_toCompute.size() < m_parts.mostToCompute) {
            m_toCompute.push_back(std::move(build));
            continue;
        }
        m_toRelease.push_back(build.build.id);
        if (m_toComputeLater.size() < kMostToComputeLater)
            m_toComputeLater.insert(build.build.id);
        else
            m_isWanted = m_parts.options.monitorsQueue;
    }
    for (const auto& builds : {refsTo(chunk.unreadable), refsTo(chunk.failed), refsTo(chunk.present)})
        for (const BuildRef& build : builds)
            settleRequest(build.id, {});
    return {};
}

void Loader::submit(LoadedChunk chunk, bool takesLive)
{
    if (chunk.jobs.empty())
        return;
    Submission submission{refsTo(chunk.jobs), takesLive, std::move(chunk.listed)};
    submission.keys.insert(submission.keys.end(), chunk.referenced.begin(), chunk.referenced.end());
    std::vector<jobs::ParsedJob> jobs;
    std::uint64_t steps = 0;
    for (LoadedChunk::Job& job : chunk.jobs) {
        m_parts.shares.suggest(job.build.group(), job.build.shares);
        steps += job.job.steps.size();
        jobs.push_back(std::move(job.job));
    }
    m_parts.counters.change([steps](IntakeCounters& counters) { counters.stepsCreated += steps; });
    const std::uint64_t number = ++m_lastSubmission;
    m_submitted.emplace(number, std::move(submission));
    m_parts.farm.submit(std::move(jobs), [this, inbox = m_inbox, number](Result<std::vector<JobId>> answer) {
        inbox->post([this, number, answer = std::move(answer)] { answered(number, answer); });
    });
}

// Reading outputs from a store that is far away takes long, so what is new goes first; but pass may follow pass, and
// then this must not wait for ever.
Result<void> Loader::computeOne()
{
    const Instant start = now();
    auto done = computeFirst();
    m_noComputingBefore = now() + (now() - start) * kComputingShare;
    return done;
}

Result<void> Loader::computeFirst()
{
    CachedSuccess build = std::move(m_toCompute.front());
    m_toCompute.pop_front();
    const auto computed = computeResult(m_parts.store, build.outputs, m_parts.cancel);
    if (!computed) { // Exhausted: it is larger than what is read, and stays so
        const bool mayPass = isPassing(computed.error()) && computed.error().code != ErrorCode::Exhausted;
        return notComputed(std::move(build), computed.error(), mayPass);
    }
    const auto isFinished = finishComputed(finishing(), build, *computed);
    if (!isFinished)
        return notComputed(std::move(build), isFinished.error(),
                           isPassing(isFinished.error()) || !m_connection->isUsable());
    noteFinished(1, *isFinished ? 1 : 0);
    m_parts.counters.change([&](IntakeCounters& counters) { counters.cachedSuccesses += *isFinished ? 1U : 0U; });
    allIsWell();
    return {};
}

// Whatever is wrong with it, others may fare better: it goes behind them, or is left to the next pass.
Result<void> Loader::notComputed(CachedSuccess build, const Error& error, bool mayPass)
{
    if (mayPass) {
        m_toCompute.push_back(std::move(build));
        return fail(error);
    }
    m_parts.logger.warning("hydra.outputs_unreadable", {{"build", build.build.id}, {"error", error.message}});
    m_toRelease.push_back(build.build.id);
    return {};
}

} // namespace penstock::hydra
