// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/listener.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <poll.h>
#include <string>
#include <utility>

namespace penstock::hydra {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using store::postgres::Connection;

constexpr const char* kListen = "LISTEN builds_added; LISTEN builds_restarted; LISTEN builds_cancelled; "
                                "LISTEN builds_deleted; LISTEN builds_bumped; LISTEN jobset_shares_changed";
constexpr Duration kLeastPause = milliseconds(50);
// Until a build that is just being handed over has its job: at once, or after hours when its outputs are read first.
constexpr Duration kUnclaimedPause = milliseconds(250);
constexpr Duration kLongestUnclaimedPause = seconds(4);
// Until a job that was cancelled has ended: what runs of it has to be stopped.
constexpr Duration kLeftPause = milliseconds(250);
constexpr Duration kLongestLeftPause = seconds(1);
constexpr Duration kErrorPause = seconds(1);
constexpr Duration kLongestSharesPause = seconds(60); // until shares that were refused are told again
constexpr std::size_t kMostBumps = 20'000;   // told to the farm at once: some ten milliseconds of its loop
constexpr std::size_t kMostRecorded = 5'000; // at once
constexpr unsigned kTries = 10;
constexpr milliseconds kTryPause(50); // after the first, twice that after the second
constexpr Duration kLongest = std::chrono::minutes(30); // of one wait; then it listens on
constexpr unsigned kLongestBackOff = 60;                // seconds

} // namespace

// Answers of the farm, collected so that many of them are one task.
class Listener::Outcomes {
public:
    Outcomes(std::shared_ptr<TaskInbox> inbox, Listener* owner) : m_inbox(std::move(inbox)), m_owner(owner) {}
    void add(std::shared_ptr<Outcomes> self, Outcome outcome)
    {
        {
            const MutexLock lock(m_mutex);
            m_outcomes.push_back(outcome);
            if (m_outcomes.size() > 1)
                return;
        }
        m_inbox->post([self = std::move(self)] { self->m_owner->takeOutcomes(self->take()); });
    }

private:
    std::vector<Outcome> take()
    {
        const MutexLock lock(m_mutex);
        return std::exchange(m_outcomes, {});
    }
    std::shared_ptr<TaskInbox> m_inbox;
    Listener* m_owner; // tasks run on its thread only
    Mutex m_mutex;
    std::vector<Outcome> m_outcomes PENSTOCK_GUARDED_BY(m_mutex);
};

Listener::Listener(ListenerParts parts)
    : m_parts(std::move(parts)), m_outcomes(std::make_shared<Outcomes>(m_inbox, this)),
      m_unclaimedPause(kUnclaimedPause, kLongestUnclaimedPause), m_leftPause(kLeftPause, kLongestLeftPause),
      m_sharesPause(kErrorPause, kLongestSharesPause)
{
    m_parts.shares.whenInDoubt([this, inbox = m_inbox] {
        inbox->post([this] { // tasks run on our thread only, and none when it has ended
            if (!m_sharesAt)
                m_sharesAt = now() + m_sharesPause.next();
        });
    });
}

// -------------------------------------------------------------------------------------------------- other threads

void Listener::rescan()
{
    m_inbox->post([this] { everythingMayDiffer(); });
}

bool Listener::addBuild(std::function<Result<AddedBuild>()> read, Answer<BuildId> answer)
{
    return m_inbox->post([this, read = std::move(read), answer = std::move(answer)] {
        if (!m_connection)
            return answer(fail(ErrorCode::Unavailable, "the database cannot be reached now; try again later"));
        const auto build = read();
        answer(build ? insertBuild(*m_connection, *build) : Result<BuildId>(fail(build.error())));
    });
}

// ------------------------------------------------------------------------------------------------------ the thread

void Listener::run()
{
    while (!m_parts.stop.isRequested()) {
        const auto served = serve();
        if (m_connection) {
            m_connection.reset();
            m_parts.counters.connected(false);
        }
        if (!served && !m_parts.stop.isRequested())
            waitOut(served.error());
    }
}

Result<void> Listener::serve()
{
    PENSTOCK_TRY(Connection connection,
                 Connection::open(m_parts.options.databaseUrl, "penstock-hydra-listener", m_parts.stop));
    m_connection = std::move(connection);
    m_parts.counters.connected(true);
    // What is told from here on is not lost; what was told before is found by comparing everything.
    PENSTOCK_TRY_VOID(m_connection->runScript(kListen));
    everythingMayDiffer();
    if (!m_leaving.empty())
        lookForLeftSoon();
    for (;;)
        PENSTOCK_TRY_VOID(turn());
}

Result<void> Listener::turn()
{
    runTasks();
    takeDueTimers();
    PENSTOCK_TRY_VOID(recordBumpsNow());
    if (std::exchange(m_mustReadShares, false)) {
        const auto shares = readShares(*m_connection);
        if (!shares) {
            m_mustReadShares = true;
            return fail(shares.error());
        }
        for (const JobsetShares& jobset : *shares)
            m_parts.shares.set(jobset.group, jobset.shares);
    }
    if (isDue(m_leftAt))
        PENSTOCK_TRY_VOID(lookForLeft());
    if (m_mustCompare && m_notBefore <= now())
        PENSTOCK_TRY_VOID(compare());
    const auto wait = std::chrono::ceil<milliseconds>(untilNext());
    PENSTOCK_TRY(const auto channels, m_connection->waitForNotifications(wait, m_inbox->descriptor()));
    absorb(channels);
    return {};
}

void Listener::everythingMayDiffer()
{
    m_mustCompare = true;
    sharesMayDiffer();
    m_parts.wakeLoader(true);
}

void Listener::sharesMayDiffer()
{
    m_mustReadShares = true;
    m_sharesPause.reset();
}

void Listener::absorb(const std::set<std::string>& channels)
{
    if (channels.empty())
        return;
    m_parts.counters.change([](IntakeCounters& counters) { ++counters.wakeUps; });
    if (channels.contains("jobset_shares_changed"))
        sharesMayDiffer();
    if (channels != std::set<std::string>{"jobset_shares_changed"})
        m_mustCompare = true;
    const bool wasRestarted = channels.contains("builds_restarted");
    const bool isReordered = channels.contains("builds_bumped") && m_parts.counters.get().waiting > 0;
    if (wasRestarted || isReordered || channels.contains("builds_added"))
        m_parts.wakeLoader(wasRestarted);
}

Duration Listener::untilNext() const
{
    Duration wait = kLongest;
    if (m_mustCompare)
        wait = std::min(wait, m_notBefore - now());
    for (const auto& timer : {m_compareAt, m_rescanAt, m_leftAt, m_sharesAt})
        if (timer)
            wait = std::min(wait, *timer - now());
    return std::max(wait, Duration(0));
}

bool Listener::isDue(std::optional<Instant>& timer) const
{
    const bool due = timer && *timer <= now();
    if (due)
        timer.reset();
    return due;
}

void Listener::takeDueTimers()
{
    if (isDue(m_rescanAt)) {
        m_mustCompare = true;
        m_parts.wakeLoader(false);
    }
    if (isDue(m_compareAt))
        m_mustCompare = true;
    if (isDue(m_sharesAt))
        m_mustReadShares = true;
}

void Listener::lookAgainAfter(Duration time)
{
    const Instant at = now() + time;
    m_compareAt = m_compareAt ? std::min(*m_compareAt, at) : at;
}

// A stream of notifications costs a third of the time at most.
Result<void> Listener::compare()
{
    const Instant start = now();
    PENSTOCK_TRY(const auto changes, readChanges(*m_connection));
    PENSTOCK_TRY(const bool isQueued, isAnythingQueued(*m_connection));
    m_mustCompare = false;
    m_failures = 0;
    m_parts.counters.setError(CounterBoard::Listener, {});
    const Duration took = now() - start;
    m_notBefore = now() + std::max(kLeastPause, took * 2);
    m_parts.counters.change([took](IntakeCounters& counters) { counters.lastDiff = took; });
    m_compareAt.reset();
    if (!isQueued)
        m_rescanAt.reset();
    else if (!m_rescanAt) // not put off by what is told meanwhile
        m_rescanAt = now() + m_parts.options.rescan;
    return react(changes);
}

Result<void> Listener::react(const std::vector<ChangedBuild>& changes)
{
    bump(changes);
    const auto isLeaving = [this](const ChangedBuild& build) {
        const auto found = m_leaving.find(build.id);
        return found != m_leaving.end() && found->second == build.job;
    };
    std::vector<BuildId> ended;
    for (const ChangedBuild& build : changes)
        if (build.job && build.kind != ChangeKind::Bumped && !isLeaving(build))
            ended.push_back(build.id);
    if (!ended.empty())
        PENSTOCK_TRY_VOID(repeated([&] { return disownBuilds(*m_connection, ended); }));
    bool isAnyUnclaimed = false;
    for (const ChangedBuild& build : changes) {
        if (!build.job)
            isAnyUnclaimed = true;
        else if (build.kind != ChangeKind::Bumped && !isLeaving(build))
            cancel(build);
    }
    if (isAnyUnclaimed)
        lookAgainAfter(m_unclaimedPause.next());
    else
        m_unclaimedPause.reset();
    return {};
}

// The store's writer works on the same rows, so there may be deadlocks.
Result<void> Listener::repeated(const std::function<Result<void>()>& write)
{
    for (unsigned attempt = 1;; ++attempt) {
        auto done = write();
        const bool mayHelp = !done && done.error().code == ErrorCode::Unavailable && m_connection->isUsable();
        if (!mayHelp || attempt == kTries || !m_parts.stop.sleepFor(kTryPause * attempt))
            return done;
    }
}

void Listener::cancel(const ChangedBuild& build)
{
    m_leaving.insert_or_assign(build.id, *build.job);
    const std::string why =
        build.kind == ChangeKind::Ended ? "cancelled in Hydra" : "its derivation was replaced in Hydra";
    m_parts.farm.cancel(*build.job, why, [outcomes = m_outcomes, id = build.id](const Result<void>& done) {
        outcomes->add(outcomes, {id, done ? std::nullopt : std::optional(done.error().code)});
    });
}

void Listener::lookForLeftSoon()
{
    m_leftPause.reset();
    m_leftAt = now();
}

// A build that was repointed, or restarted after it was cancelled, is new when its former job is over. Nobody tells.
Result<void> Listener::lookForLeft()
{
    std::vector<Leaving> leaving;
    for (const auto& [build, job] : m_leaving)
        leaving.push_back({build, job});
    PENSTOCK_TRY(const auto left, readLeft(*m_connection, leaving));
    bool isAnyNew = false;
    for (const Left& build : left) {
        m_leaving.erase(build.id);
        isAnyNew = isAnyNew || build.isNew;
    }
    if (isAnyNew)
        m_parts.wakeLoader(false);
    if (!m_leaving.empty())
        m_leftAt = now() + m_leftPause.next();
    return {};
}

void Listener::takeOutcomes(std::vector<Outcome> outcomes)
{
    std::uint64_t cancelled = 0;
    for (const Outcome& outcome : outcomes) {
        cancelled += outcome.error ? 0U : 1U;
        if (!outcome.error || *outcome.error == ErrorCode::NotFound) {
            lookForLeftSoon();
        } else { // asked for again
            m_leaving.erase(outcome.build);
            lookAgainAfter(kErrorPause);
        }
    }
    m_parts.counters.change([cancelled](IntakeCounters& counters) { counters.cancelled += cancelled; });
}

void Listener::bump(const std::vector<ChangedBuild>& changes)
{
    std::vector<Bump> bumps;
    std::vector<JobBump> jobs;
    for (const ChangedBuild& build : changes) {
        if (!build.job || build.kind != ChangeKind::Bumped)
            continue;
        const auto [entry, isNew] = m_bumping.try_emplace(build.id, build.globalPriority);
        if (!isNew && std::exchange(entry->second, build.globalPriority) == build.globalPriority)
            continue;
        bumps.push_back({build.id, build.globalPriority});
        jobs.push_back({*build.job, std::nullopt});
        if (build.globalPriority > 0)
            jobs.back().at = WallTime{seconds(build.globalPriority)};
        if (bumps.size() == kMostBumps)
            send(std::exchange(bumps, {}), std::exchange(jobs, {}));
    }
    if (!bumps.empty())
        send(std::move(bumps), std::move(jobs));
}

void Listener::send(std::vector<Bump> bumps, std::vector<JobBump> jobs)
{
    ++m_bumpsUnanswered;
    m_parts.farm.bump(std::move(jobs), [this, inbox = m_inbox, bumps = std::move(bumps)](const Result<void>& done) {
        inbox->post([this, bumps, done] { takeBumps(bumps, done); });
    });
}

void Listener::takeBumps(const std::vector<Bump>& bumps, const Result<void>& done)
{
    --m_bumpsUnanswered;
    if (done) {
        m_bumped.insert(m_bumped.end(), bumps.begin(), bumps.end());
        m_parts.counters.change([&bumps](IntakeCounters& counters) { counters.bumped += bumps.size(); });
        return;
    }
    forget(bumps);
    lookAgainAfter(kErrorPause);
}

void Listener::forget(const std::vector<Bump>& bumps)
{
    for (const Bump& bump : bumps) {
        const auto sent = m_bumping.find(bump.id);
        if (sent != m_bumping.end() && sent->second == bump.globalPriority)
            m_bumping.erase(sent);
    }
}

// That the farm has them is what counts; what they are compared with is written when it is done with all of them.
Result<void> Listener::recordBumpsNow()
{
    if (m_bumped.empty() || m_bumpsUnanswered > 0)
        return {};
    // In portions, so that the rows of those that finish meanwhile are not held for long.
    for (std::span<const Bump> rest = m_bumped; !rest.empty();) {
        const auto portion = rest.first(std::min(kMostRecorded, rest.size()));
        rest = rest.subspan(portion.size());
        PENSTOCK_TRY_VOID(repeated([&] { return recordBumps(*m_connection, portion); }));
        if (m_parts.stop.isRequested())
            return fail(ErrorCode::Cancelled, "stopped");
    }
    forget(std::exchange(m_bumped, {}));
    return {};
}

void Listener::runTasks()
{
    for (const Task& task : m_inbox->take())
        task();
}

// Requests are answered meanwhile.
void Listener::waitOut(const Error& error)
{
    m_failures = std::min(m_failures + 1, 7U);
    const auto pause = seconds(std::min(1U << (m_failures - 1), kLongestBackOff));
    m_parts.counters.setError(CounterBoard::Listener, error.message);
    m_parts.logger.warning("hydra.listener_waits", {{"error", error.message}, {"seconds", pause.count()}});
    const Instant until = now() + pause;
    while (now() < until && !m_parts.stop.isRequested()) {
        std::array<pollfd, 2> waited{
            {{m_inbox->descriptor(), POLLIN, 0}, {m_parts.stop.descriptor(), POLLIN, 0}}};
        const auto left = std::chrono::ceil<milliseconds>(until - now());
        ::poll(waited.data(), waited.size(), static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        runTasks();
    }
}

} // namespace penstock::hydra
