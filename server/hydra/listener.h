// SPDX-License-Identifier: GPL-3.0-or-later
// Listener: one of the intake's threads, with a connection of its own: notifications, and what became of builds that
// the farm has. Many notifications are one look at the difference. While nothing is queued it only listens.
#pragma once

#include "server/hydra/doubling_pause.h"
#include "server/hydra/farm_port.h"
#include "server/hydra/intake_board.h"
#include "server/hydra/intake_inbox.h"
#include "server/hydra/options.h"
#include "server/hydra/queue_diff.h"
#include "server/store/postgres/connection.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

namespace penstock::hydra {

struct ListenerParts { // all outlive it
    const Options& options;
    FarmPort& farm;
    const Clock& clock;
    Logger& logger;
    CounterBoard& counters;
    ShareBoard& shares;
    const store::postgres::StopSignal& stop;
    // There may be new builds, or another order among them; restarted: some that had failed were started again.
    std::function<void(bool restarted)> wakeLoader;
};

class Listener {
public:
    explicit Listener(ListenerParts parts);

    // The thread's body, until stop is requested.
    void run();

    // Any thread.
    void rescan();
    // read: called on the listener's thread, may block. False: closed.
    [[nodiscard]] bool addBuild(std::function<Result<AddedBuild>()> read, Answer<BuildId> answer);
    void close() { m_inbox->close(); }

private:
    struct Outcome {
        BuildId build;
        std::optional<ErrorCode> error;
    };
    class Outcomes; // of cancellations

    [[nodiscard]] Result<void> serve();
    [[nodiscard]] Result<void> turn();
    void absorb(const std::set<std::string>& channels);
    void everythingMayDiffer();
    void sharesMayDiffer();
    [[nodiscard]] Result<void> compare();
    [[nodiscard]] Result<void> react(const std::vector<ChangedBuild>& changes);
    [[nodiscard]] Result<void> repeated(const std::function<Result<void>()>& write);
    void cancel(const ChangedBuild& build);
    void lookForLeftSoon();
    [[nodiscard]] Result<void> lookForLeft();
    void takeOutcomes(std::vector<Outcome> outcomes);
    void bump(const std::vector<ChangedBuild>& changes);
    void send(std::vector<Bump> bumps, std::vector<JobBump> jobs);
    void takeBumps(const std::vector<Bump>& bumps, const Result<void>& done);
    void forget(const std::vector<Bump>& bumps);
    [[nodiscard]] Result<void> recordBumpsNow();
    void runTasks();
    void waitOut(const Error& error);
    void takeDueTimers();
    void lookAgainAfter(Duration time);
    [[nodiscard]] bool isDue(std::optional<Instant>& timer) const; // resets it then
    [[nodiscard]] Duration untilNext() const;
    [[nodiscard]] Instant now() const { return m_parts.clock.now().mono; }

    ListenerParts m_parts;
    std::shared_ptr<TaskInbox> m_inbox = std::make_shared<TaskInbox>();
    std::shared_ptr<Outcomes> m_outcomes;
    std::optional<store::postgres::Connection> m_connection;
    unsigned m_failures = 0;
    bool m_mustCompare = false;
    bool m_mustReadShares = false;
    Instant m_notBefore;                // the next comparison
    std::optional<Instant> m_compareAt; // without a notification
    std::optional<Instant> m_rescanAt;  // the same, and new builds too
    std::optional<Instant> m_leftAt;    // the next look for those that have left
    std::optional<Instant> m_sharesAt;  // some were refused, or are not as the loader has seen them
    DoublingPause m_unclaimedPause;
    DoublingPause m_leftPause;
    DoublingPause m_sharesPause;
    std::map<BuildId, JobId> m_leaving; // the farm was asked to cancel them; until their rows are gone
    std::unordered_map<BuildId, std::int32_t> m_bumping; // told to the farm and not recorded yet
    std::vector<Bump> m_bumped;                          // of these, those that the farm has
    std::size_t m_bumpsUnanswered = 0;                   // portions
};

} // namespace penstock::hydra
