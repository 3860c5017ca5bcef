// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/intake_loader.h"

#include "shared/base/passing.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <poll.h>
#include <utility>

namespace penstock::hydra {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using store::postgres::Connection;

constexpr std::size_t kPostponedChunk = 16;
constexpr std::size_t kMostListed = 500'000; // the others are found by the next pass
constexpr std::size_t kMostSubmitted = 4;    // chunks
constexpr Duration kLeastPause = milliseconds(50); // between two lists
constexpr Duration kInPassPause = seconds(2);      // the same when it only changes the order
constexpr Duration kHeldPause = milliseconds(250); // until somebody's transaction is over, perhaps
constexpr unsigned kLongestBackOff = 60;           // seconds
constexpr Duration kLongest = std::chrono::minutes(30);

} // namespace

// -------------------------------------------------------------------------------------------------- other threads

Loader::Loader(LoaderParts parts)
    : m_parts(std::move(parts)), m_heldPause(kHeldPause, std::max(m_parts.options.rescan, kHeldPause))
{}

void Loader::wake(bool restarted)
{
    m_inbox->post([this, restarted] {
        m_isWanted = m_parts.options.monitorsQueue;
        m_wasRestarted = m_wasRestarted || restarted;
    });
}

bool Loader::buildOne(BuildId build, Answer<void> answer)
{
    return m_inbox->post([this, build, answer = std::move(answer)] {
        auto& answers = m_requests[build];
        answers.push_back(answer);
        if (answers.size() == 1) // else it is on its way
            m_first.push_front({{build}, true, false});
    });
}

// ------------------------------------------------------------------------------------------------------ the thread

void Loader::run()
{
    while (!m_parts.stop.isRequested()) {
        const auto served = serve();
        if (m_connection && !m_connection->isUsable()) {
            m_connection.reset();
            m_parts.counters.connected(false);
        }
        if (!served && !m_parts.stop.isRequested())
            waitOut(served.error());
    }
    if (m_connection)
        m_parts.counters.connected(false);
    m_connection.reset();
}

Result<void> Loader::serve()
{
    if (!m_connection) {
        PENSTOCK_TRY(Connection connection,
                     Connection::open(m_parts.options.databaseUrl, "penstock-hydra-loader", m_parts.stop));
        m_connection = std::move(connection);
        m_parts.counters.connected(true);
    }
    for (;;) {
        runTasks();
        if (m_parts.stop.isRequested())
            return fail(ErrorCode::Cancelled, "stopped");
        if (m_trouble)
            return fail(*std::exchange(m_trouble, std::nullopt));
        PENSTOCK_TRY_VOID(settleRefused());
        const Instant start = now();
        PENSTOCK_TRY(const bool didSomething, step());
        m_parts.counters.change([busy = now() - start, this](IntakeCounters& counters) {
            counters.busy += busy;
            counters.waiting = m_list.left() + m_last.size() + m_alone.size() + m_toCompute.size() +
                               m_toComputeLater.size();
        });
        if (!didSomething)
            waitFor(untilNext());
    }
}

Result<bool> Loader::step()
{
    if (m_heldAt && *m_heldAt <= now()) {
        m_heldAt.reset();
        m_isWanted = m_parts.options.monitorsQueue;
    }
    const bool isDue = m_isWanted && m_notBefore <= now();
    if (isDue) {
        PENSTOCK_TRY_VOID(beginPass());
        return true;
    }
    if (!m_toCompute.empty() && m_noComputingBefore <= now()) {
        PENSTOCK_TRY_VOID(computeOne());
        return true;
    }
    if (m_submitted.size() >= kMostSubmitted)
        return false; // an answer wakes us
    if (auto chunk = nextChunk()) {
        PENSTOCK_TRY_VOID(load(*std::move(chunk)));
        allIsWell();
        return true;
    }
    if (m_isInPass && m_submitted.empty()) {
        endPass();
        return true;
    }
    if (!m_isInPass && m_submitted.empty()) // builds that were asked for are loaded outside of passes
        m_memory.clear();
    if (m_toCompute.empty())
        return false;
    PENSTOCK_TRY_VOID(computeOne());
    return true;
}

Result<void> Loader::beginPass()
{
    const Instant start = now();
    PENSTOCK_TRY(auto builds, readNewBuilds(*m_connection, m_parts.storeDir.text(), kMostListed));
    std::erase_if(builds, [this](const NewBuild& build) {
        return m_isPostponed.contains(build.id) || m_toComputeLater.contains(build.id);
    });
    const Duration took = now() - start;
    m_parts.counters.change([isInPass = m_isInPass](IntakeCounters& counters) {
        ++counters.passesStarted;
        counters.passesInterrupted += isInPass ? 1 : 0;
    });
    m_isWanted = builds.size() == kMostListed;
    if (std::exchange(m_wasRestarted, false))
        m_memory.forgetFailures();
    m_isInPass = true;
    m_notBefore = now() + std::max(builds.empty() ? kLeastPause : kInPassPause, took * 2);
    m_list = PassList(std::move(builds));
    return {};
}

void Loader::endPass()
{
    m_isInPass = false;
    if (!std::exchange(m_wasHeld, false))
        m_heldPause.reset();
    m_list = {};
    m_memory.clear();
    m_isPostponed.clear();
    allIsWell();
    m_notBefore = std::min(m_notBefore, now() + kLeastPause);
    m_parts.counters.change([](IntakeCounters& counters) { ++counters.passesFinished; });
}

std::optional<Loader::Chunk> Loader::nextChunk()
{
    if (!m_first.empty()) {
        Chunk chunk = std::move(m_first.front());
        m_first.pop_front();
        return chunk;
    }
    Chunk chunk{m_list.take(m_chunkSize)};
    for (; m_list.left() == 0 && chunk.builds.size() < kPostponedChunk && !m_last.empty(); m_last.pop_front())
        chunk.builds.push_back(m_last.front());
    if (!chunk.builds.empty())
        return chunk;
    if (!m_alone.empty()) {
        chunk = {{m_alone.front()}, true, false};
        m_alone.pop_front();
        return chunk;
    }
    chunk.builds = nextToCompute();
    return chunk.builds.empty() ? std::nullopt : std::optional(std::move(chunk));
}

// When all that were remembered with their outputs are computed.
std::vector<BuildId> Loader::nextToCompute()
{
    std::vector<BuildId> builds;
    const std::size_t most = std::min(kMostChunk, m_parts.mostToCompute);
    while (m_toCompute.empty() && !m_toComputeLater.empty() && builds.size() < most)
        builds.push_back(m_toComputeLater.extract(m_toComputeLater.begin()).value());
    return builds;
}

// Once to the end of the list, when most of what they need lives in the farm, then each alone.
void Loader::postpone(std::span<const BuildId> builds)
{
    for (const BuildId build : builds)
        (m_isPostponed.insert(build).second ? m_last : m_alone).push_back(build);
}

void Loader::loadAlone(std::span<const BuildId> builds)
{
    for (const BuildId build : builds)
        m_first.push_back({{build}, false, false});
}

// -------------------------------------------------------------------------------------------------- the farm's answer

void Loader::answered(std::uint64_t submission, const Result<std::vector<JobId>>& jobs)
{
    auto found = m_submitted.extract(submission);
    if (!jobs)
        return refused(std::move(found.mapped()), jobs.error());
    m_parts.counters.change([taken = jobs->size()](IntakeCounters& counters) { counters.buildsHanded += taken; });
    for (const BuildRef& build : found.mapped().builds)
        settleRequest(build.id, {});
}

// Its rows in hydra_builds go first: whatever becomes of its builds, they are new again.
void Loader::refused(Submission submission, const Error& error)
{
    for (const DrvKey& key : submission.keys)
        m_memory.dropLive(key);
    Chunk again{{}, submission.takesLive, submission.builds.size() > 1};
    for (const BuildRef& build : submission.builds)
        again.builds.push_back(build.id);
    m_toRelease.insert(m_toRelease.end(), again.builds.begin(), again.builds.end());
    m_parts.logger.info("hydra.chunk_refused", {{"builds", again.builds.size()}, {"error", error.message}});
    if (isPassing(error)) {
        m_trouble = error;
        m_first.push_front(std::move(again));
    } else if (error.code == ErrorCode::Conflict && submission.takesLive) {
        again.takesLive = false;
        m_first.push_front(std::move(again));
    } else if (again.builds.size() > 1) {
        loadAlone(again.builds);
    } else {
        m_parts.logger.error("hydra.build_refused",
                             {{"build", again.builds.front()}, {"error", error.message}});
        settleRequest(again.builds.front(), fail(error));
        if (error.code == ErrorCode::Invalid) // else it is tried again with the next pass
            m_toAbort.insert(m_toAbort.end(), submission.builds.begin(), submission.builds.end());
    }
}

Result<void> Loader::settleRefused()
{
    PENSTOCK_TRY_VOID(releaseBuilds(*m_connection, m_toRelease));
    m_toRelease.clear();
    if (m_toAbort.empty())
        return {};
    PENSTOCK_TRY_VOID(abort(m_toAbort));
    m_toAbort.clear();
    return {};
}

void Loader::settleRequest(BuildId build, const Result<void>& outcome)
{
    if (auto found = m_requests.extract(build))
        for (const Answer<void>& answer : found.mapped())
            answer(outcome);
}

// -------------------------------------------------------------------------------------------------------- waiting

void Loader::runTasks()
{
    for (const Task& task : m_inbox->take())
        task();
}

Duration Loader::untilNext() const
{
    Duration wait = m_isWanted ? m_notBefore - now() : kLongest;
    if (m_heldAt)
        wait = std::min(wait, *m_heldAt - now());
    return std::max(wait, Duration(0));
}

void Loader::waitFor(Duration time)
{
    std::array<pollfd, 2> waited{{{m_inbox->descriptor(), POLLIN, 0}, {m_parts.stop.descriptor(), POLLIN, 0}}};
    ::poll(waited.data(), waited.size(), static_cast<int>(std::chrono::ceil<milliseconds>(time).count()));
}

void Loader::allIsWell()
{
    m_failures = 0;
    m_parts.counters.setError(CounterBoard::Loader, {});
}

void Loader::waitOut(const Error& error)
{
    m_failures = std::min(m_failures + 1, 7U);
    const auto pause = seconds(std::min(1U << (m_failures - 1), kLongestBackOff));
    m_parts.counters.setError(CounterBoard::Loader, error.message);
    m_parts.logger.warning("hydra.loader_waits", {{"error", error.message}, {"seconds", pause.count()}});
    const Instant until = now() + pause;
    for (Duration left = pause; left > Duration(0) && !m_parts.stop.isRequested(); left = until - now()) {
        waitFor(left);
        runTasks();
    }
}

} // namespace penstock::hydra
