// SPDX-License-Identifier: GPL-3.0-or-later
// A simulated farm for penstock-monitor --demo: machines with load and pressure, jobs as graphs of steps,
// queues, logs. tick() moves it on by one second. Deterministic: the same seed and size give the same farm.
// It speaks in the messages of the monitor stream. No clock, no thread, one owner.
#pragma once

#include "proto/monitor.pb.h"
#include "shared/base/clock.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::gui {

struct DemoStep {
    monitor::StepRecord record;
    std::uint64_t jobId = 0;
    std::string system;
    std::string feature; // empty: none
    std::string group;   // that shares the farm with others
    std::uint64_t machineId = 0;
    std::uint32_t secondsLeft = 0;
    std::uint32_t missing = 0; // dependencies that are not finished
    bool fails = false;
};

// What one machine says to a step, as the scheduler's funnel asks it: the stage that takes it out; empty: it would take
// the step now. And why, in words.
[[nodiscard]] std::string_view demoStage(const monitor::MachineRecord& machine, const DemoStep& step);
[[nodiscard]] std::string demoWhy(const monitor::MachineRecord& machine, std::string_view stage, WallTime now);
[[nodiscard]] bool demoGated(const monitor::MachineRecord& machine);

class DemoFarm {
public:
    DemoFarm(std::uint32_t machines, std::uint32_t seed, WallTime start);

    void tick();
    // Nothing starts from now on.
    void pause() { m_pausedSince = micros(); }

    [[nodiscard]] WallTime now() const { return m_now; }
    [[nodiscard]] monitor::FarmTotals totals() const;
    [[nodiscard]] std::vector<monitor::QueueRecord> queues() const;
    [[nodiscard]] std::vector<monitor::ShareRecord> shares() const;
    // Why unfinished steps wait: one, or with 0 the first ones. Nothing: no such job.
    [[nodiscard]] std::optional<monitor::Explanation> explain(std::uint64_t jobId, std::uint64_t stepId) const;
    [[nodiscard]] const std::vector<monitor::MachineRecord>& machines() const { return m_machines; }
    [[nodiscard]] const std::map<std::uint64_t, monitor::JobRecord>& jobs() const { return m_jobs; }
    [[nodiscard]] std::vector<monitor::StepRecord> stepsOf(std::uint64_t jobId) const;
    [[nodiscard]] const DemoStep* stepOfAttempt(std::uint64_t attemptId) const;
    // Changed by the last tick.
    [[nodiscard]] const std::set<std::uint64_t>& changedJobs() const { return m_changedJobs; }
    [[nodiscard]] const std::vector<std::uint64_t>& removedJobs() const { return m_removedJobs; }

private:
    [[nodiscard]] double random(); // in [0, 1)
    [[nodiscard]] std::uint32_t random(std::uint32_t below);
    void addMachine(std::uint32_t index);
    void addJob();
    void addStuckJob();
    DemoStep& addStep(std::uint64_t jobId, const std::string& system);
    void arrive();
    void finishDue();
    void finish(DemoStep& step);
    void failDependents(const DemoStep& failed);
    void settleJob(std::uint64_t jobId);
    void startReady();
    [[nodiscard]] bool startOn(monitor::MachineRecord& machine, DemoStep& step);
    void weather(monitor::MachineRecord& machine);
    void makeReady(DemoStep& step);
    void showRoom(monitor::MachineRecord& machine) const;
    void watchHealth(monitor::MachineRecord& machine);
    void countWaiting(monitor::FarmTotals& totals) const;
    void explainStep(const DemoStep& step, monitor::StepExplanation& out) const;
    void explainBlocked(const DemoStep& step, monitor::StepExplanation& out) const;
    void explainOrder(const DemoStep& step, monitor::StepExplanation& out) const;
    [[nodiscard]] std::uint64_t micros() const { return static_cast<std::uint64_t>(m_now.micros()); }

    std::mt19937 m_random;
    WallTime m_now;
    std::uint64_t m_ticks = 0;
    std::uint64_t m_lastId = 1000;
    std::vector<monitor::MachineRecord> m_machines;
    std::map<std::uint64_t, monitor::JobRecord> m_jobs;
    std::map<std::uint64_t, DemoStep> m_steps;
    std::map<std::uint64_t, std::vector<std::uint64_t>> m_jobSteps;
    std::map<std::uint64_t, std::uint64_t> m_attempts; // attempt → step
    std::deque<std::uint64_t> m_ready;
    std::deque<std::uint64_t> m_finishedJobs;
    std::set<std::uint64_t> m_running;
    std::set<std::uint64_t> m_changedJobs;
    std::vector<std::uint64_t> m_removedJobs;
    monitor::FarmTotals m_counters;
    std::uint32_t m_slots = 0;
    double m_jobsDue = 0;
    std::map<std::string, double> m_used; // seconds of machine time by group
    std::uint64_t m_pausedSince = 0;      // 0: not paused
};

} // namespace penstock::gui
