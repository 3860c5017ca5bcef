// SPDX-License-Identifier: GPL-3.0-or-later
// StartRules: what must hold whenever an attempt starts, judged by the rows alone: the batch that stores an
// attempt shows the farm as it was when it was decided. Room, placement, gates, holds, a pause, quarantine,
// bumps. One thread.
#pragma once

#include "server/core/options.h"
#include "server/work/changes.h"
#include "shared/protocol/link_values.h"
#include "tests/sim/world.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace penstock::sim {

class StartRules {
public:
    StartRules(World& world, const core::CoreOptions& options) : m_world(world), m_options(options) {}

    // What the machine really is; several builders with one identity: the most of each.
    void machineIs(const std::string& identity, const protocol::MachineFacts& facts);
    void fails(const std::string& identity) { m_blackHoles[identity] = 0; } // everything, by its own fault
    // Names without experience, or equal steps of which one is expected to need more: order is not compared
    // then.
    void compareOrder(bool on) { m_compareOrder = on; }

    void committed(const work::Changes& changes);
    [[nodiscard]] std::uint64_t revision() const { return m_revision; } // batches
    [[nodiscard]] bool nobodyIsQuarantined() const;
    void checkHealth(); // at the end: nobody is left in quarantine for ever

    using Gate = std::pair<std::string, std::string>; // namespace; concurrency group, or empty
    struct Job {
        work::JobProgress progress;
        Gate gate;
        std::string share;
        std::set<StepId> steps;
        [[nodiscard]] bool isWanted() const;
    };
    struct Step {
        std::string name;
        work::Placement placement;
        work::Resources resources;
        work::StepProgress progress;
        std::set<JobId> jobs; // that list it
        std::string kind; // equal for equal placements
        std::set<StepId> above = {}; // those that depend on it
        std::set<StepId> below = {};
    };
    struct Live {
        StepId step{0};
        MachineId machine{0};
    };
    struct Machine {
        work::MachineRow row{MachineId(0), {}, {}, {}, false, {}, {}, {}, {}, {}};
        std::set<AttemptId> live;
    };
    [[nodiscard]] const std::map<JobId, Job>& jobs() const { return m_jobs; }
    [[nodiscard]] const std::map<StepId, Step>& steps() const { return m_steps; }
    [[nodiscard]] const std::map<AttemptId, Live>& live() const { return m_live; }
    [[nodiscard]] const std::map<MachineId, Machine>& machines() const { return m_machines; }
    // That list it, or an unfinished step which depends on it however far up.
    [[nodiscard]] std::set<JobId> jobsOf(const Step& step) const;
    [[nodiscard]] const std::map<std::string, std::set<StepId>>& ready() const { return m_ready; } // by kind
    [[nodiscard]] const protocol::MachineFacts* factsOf(const Machine& machine) const;
    [[nodiscard]] bool isPaused() const { return m_pause.paused; }
    [[nodiscard]] bool isHeld(const Step& step) const; // nobody wants it now
    [[nodiscard]] bool gatesAllow(const Step& step) const;
    [[nodiscard]] bool fits(const Step& step, const Machine& machine) const; // beside what runs there
    [[nodiscard]] static bool suits(const work::Placement& placement, const protocol::MachineFacts& facts);

private:
    void machineChanged(const work::MachineRow& row);
    void jobsChanged(const work::Changes& changes);
    void stepChanged(StepId id, const work::StepProgress& progress);
    void attemptEnded(const work::AttemptUpdate& update);
    void checkStart(const work::AttemptRow& row);
    void checkMachine(const work::AttemptRow& row, const Step& step, bool isProbe);
    void checkRoom(const Machine& machine, const protocol::MachineFacts& facts);
    void checkGates(const Step& step);
    void checkOrder(const Step& started, WallTime decided);
    [[nodiscard]] std::set<StepId> stepsUnder(const Job& job) const;
    [[nodiscard]] bool expectsAlike(const Step& step, WallTime decided) const;
    void countBlackHole(const Machine& machine);
    [[nodiscard]] std::optional<std::set<Gate>> gatesOf(const Step& step) const;

    World& m_world;
    const core::CoreOptions& m_options;
    std::map<std::string, protocol::MachineFacts> m_facts;
    std::map<std::string, std::uint64_t> m_blackHoles; // failures there
    std::map<std::string, std::uint64_t> m_sentences;  // quarantines and acts of trust, by identity
    std::map<JobId, Job> m_jobs;
    std::map<StepId, Step> m_steps;
    std::map<AttemptId, Live> m_live;
    std::map<MachineId, Machine> m_machines;
    std::map<std::string, std::set<StepId>> m_ready;
    std::set<JobId> m_bumped;
    std::map<Gate, std::uint32_t> m_groupLimits;
    std::map<std::string, work::NamespaceRow> m_namespaces;
    work::DispatchPause m_pause;
    bool m_compareOrder = true;
    bool m_hasUnlisted = false; // some step is in no job's list
    bool m_loadCounts = false; // on some machine: what a step is expected to use decides whether it fits
    std::map<std::string, WallTime> m_learned; // by historyKey: the last success, from which the farm expects anew
    std::uint64_t m_revision = 0;
};

} // namespace penstock::sim
