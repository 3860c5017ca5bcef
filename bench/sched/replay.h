// SPDX-License-Identifier: GPL-3.0-or-later
// Replay: a real FarmCore with machines that are models, in virtual time, as fast as the processor allows.
// The store answers at once, messages take no time, reports come every few seconds. Everything that happens
// at one instant is one batch. Equal input gives equal output, so its figures can be gated.
#pragma once

#include "bench/sched/machine_model.h"
#include "server/core/farm_core.h"

#include <functional>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace penstock::bench {

inline constexpr Duration kUsageSpan = std::chrono::minutes(1);

struct ReplaySettings {
    Duration reportEvery{std::chrono::seconds(5)}; // zero: only the first
    bool sharesCores = false;                      // steps slow each other down and make pressure
    std::size_t groups = 1;                        // in Truth::group
};

class Replay {
public:
    using Lookup = std::function<Truth(const protocol::Assignment&)>;
    using Action = std::function<void(Replay&)>;

    Replay(const core::CoreOptions& options, ReplaySettings settings, Lookup truthOf);

    void recover(const work::Recovery& recovery); // before anything else
    void addMachine(const protocol::MachineFacts& facts);
    void at(Duration sinceBegin, Action action);
    void send(core::Event event); // part of the batch of this instant
    // Until the time is over, or nothing is left that could happen but reports.
    void run(Duration sinceBegin);

    [[nodiscard]] core::FarmCore& core() { return m_core; }
    [[nodiscard]] Now now() const { return m_now; }
    [[nodiscard]] Duration elapsed() const { return m_now.mono - kBegin; }
    [[nodiscard]] std::vector<MachineModel>& machines() { return m_machines; }
    [[nodiscard]] Duration lastFinish() const { return m_lastFinish; } // since the beginning
    [[nodiscard]] std::uint64_t finished() const { return m_finished; }
    [[nodiscard]] std::uint64_t refusals() const { return m_refusals; } // requests answered with an error
    [[nodiscard]] const std::string& firstRefusal() const { return m_firstRefusal; }
    [[nodiscard]] const std::map<std::string, work::HistoryRow>& history() const { return m_history; }
    // Machine time of each group in each kUsageSpan; what runs counts up to now.
    [[nodiscard]] std::vector<std::vector<Duration>> usage();
    // Starts on machines that had been over their pressure threshold for so long already, by the true
    // average.
    [[nodiscard]] std::uint64_t startsUnderPressure() const { return m_startsUnderPressure; }

private:
    static constexpr Instant kBegin{std::chrono::hours(100)};
    enum class Kind : std::uint8_t { Finish, Report, Act };
    struct Happening {
        Instant at;
        std::uint64_t sequence = 0;
        Kind kind = Kind::Act;
        std::size_t index = 0;        // of the machine or the action
        std::uint64_t generation = 0; // of the machine's set of running steps
        friend bool operator>(const Happening& a, const Happening& b)
        {
            return a.at != b.at ? a.at > b.at : a.sequence > b.sequence;
        }
    };
    struct Link {
        std::uint64_t revision = 0;
        std::uint64_t generation = 0;
    };

    void push(Instant at, Kind kind, std::size_t index, std::uint64_t generation);
    void happened(const Happening& happening);
    void finishDue(std::size_t machine);
    void report(std::size_t machine);
    void scheduleFinish(std::size_t machine);
    void apply();
    void carryOut(core::Command& command);
    void assigned(const core::SendDesired& command);
    void account(const Running& running);
    [[nodiscard]] bool isIdle() const;

    core::FarmCore m_core;
    ReplaySettings m_settings;
    Lookup m_truthOf;
    Now m_now{kBegin, WallTime::fromMicros(1'700'000'000'000'000)};
    std::vector<MachineModel> m_machines;
    std::vector<Link> m_links;
    std::vector<Action> m_actions;
    std::priority_queue<Happening, std::vector<Happening>, std::greater<>> m_happenings;
    std::uint64_t m_sequence = 0;
    std::size_t m_waitingActions = 0;
    std::size_t m_runningSteps = 0;
    std::optional<Instant> m_timer;
    std::vector<core::Event> m_batch;
    std::set<std::size_t> m_changed; // machines whose next finish moved
    Duration m_lastFinish{0};
    std::uint64_t m_finished = 0;
    std::uint64_t m_refusals = 0;
    std::string m_firstRefusal;
    std::uint64_t m_startsUnderPressure = 0;
    std::map<std::string, work::HistoryRow> m_history;
    std::vector<std::vector<Duration>> m_usage;
};

} // namespace penstock::bench
