// SPDX-License-Identifier: GPL-3.0-or-later
// Ledger: what the outside of the farm knows to be true: rows as they were committed, messages as they left,
// work as it really ran. It checks each against the promises of the farm and reports the first that is
// broken.
#pragma once

#include "server/work/changes.h"
#include "shared/protocol/link_values.h"
#include "tests/sim/start_rules.h"
#include "tests/sim/world.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace penstock::sim {

class Ledger {
public:
    Ledger(World& world, const core::CoreOptions& options) : m_world(world), m_rules(world, options) {}

    [[nodiscard]] StartRules& rules() { return m_rules; }
    [[nodiscard]] const StartRules& rules() const { return m_rules; }

    // ---- rows
    void committed(const work::Changes& changes);
    // ---- messages, at the moment they leave the server
    void sent(const protocol::ServerMessage& message);
    void acknowledged(const std::vector<JobId>& jobs);
    // ---- what clients asked for
    void cancelAsked(JobId job) { m_cancelAsked.insert(job); }
    void reopenAsked(JobId job);
    // ---- work that really happens
    void distrust(const std::string& identity) { m_liars.insert(identity); } // what it says need not be so
    void started(AttemptId attempt, StepId step);
    void ended(AttemptId attempt, StepId step, protocol::Outcome outcome);
    void killed(AttemptId attempt, StepId step);

    // ---- questions
    [[nodiscard]] bool isLive(AttemptId attempt) const;
    [[nodiscard]] std::size_t openSteps() const { return m_openSteps; }
    [[nodiscard]] std::size_t unfinished() const; // acknowledged jobs that are not over
    [[nodiscard]] std::vector<JobId> finishedBadly() const;
    [[nodiscard]] const std::vector<JobId>& acknowledgedJobs() const { return m_acknowledged; }
    void checkEnd(); // when all is over
    [[nodiscard]] std::uint64_t lostWhileRunning() const { return m_lostWhileRunning; }

private:
    void checkAttempt(const work::AttemptRow& row);
    void checkDependencies(StepId step);
    void updateAttempt(const work::AttemptUpdate& update);
    void updateStep(const work::StepUpdate& update);
    void updateJob(const work::JobUpdate& update);
    [[nodiscard]] bool mayReopen(StepId step) const;

    struct Step {
        work::StepProgress progress;
        std::set<StepId> dependsOn;
        std::set<JobId> jobs;
        AttemptId live{0};
        std::set<AttemptId> executing;
        std::uint32_t succeeded = 0;
        bool root = false;
    };
    struct Attempt {
        StepId step{0};
        MachineId machine{0};
        work::AttemptProgress progress;
    };

    World& m_world;
    StartRules m_rules;
    std::size_t m_openSteps = 0;
    std::map<JobId, work::JobProgress> m_jobs;
    std::map<StepId, Step> m_steps;
    std::map<AttemptId, Attempt> m_attempts;
    std::map<AttemptId, std::optional<protocol::Outcome>> m_executions; // outcome, once it has ended
    std::set<AttemptId> m_assigned;                                     // told to a machine at least once
    std::uint64_t m_lostWhileRunning = 0;
    std::set<std::string> m_liars;
    std::set<MachineId> m_lyingMachines;
    std::set<MachineId> m_machines;
    std::vector<JobId> m_acknowledged;
    std::set<JobId> m_cancelAsked;
    std::map<JobId, std::uint32_t> m_reopens;
};

} // namespace penstock::sim
