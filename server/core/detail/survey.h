// SPDX-License-Identifier: GPL-3.0-or-later
// Survey: what each machine says to one waiting step, stage by stage, and the reasons that follow. Value, one thread.
#pragma once

#include "server/core/detail/farm.h"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace penstock::core::detail {

// Rules in the order in which they are looked at; a machine that one takes out is not asked about the next.
enum class Stage : std::uint8_t {
    Named,
    Executor,
    System,
    Features,
    Other,
    Enabled,
    Connected,
    NotGated,
    Room,
    Allowed
};

// What keeps a step from a machine.
struct Verdict {
    Stage stage;
    const char* code; // of explain.h
};

// The machine as the planner sees it; no room: it was not here since the server started.
struct MachineSight {
    const MachineRecord& machine;
    const sched::Room* room = nullptr;
    const sched::Capability* capability = nullptr;
    bool isReserved = false;
    bool isWaitingForReport = false;
};

[[nodiscard]] const char* gateCode(sched::GateKind kind); // gated-cpu, disk-low, …

// Nothing: it would take the step now.
[[nodiscard]] std::optional<Verdict> verdictOn(const work::Placement& placement, const sched::Ask& ask,
                                               const MachineSight& sight);

class Survey {
public:
    Survey(const work::Placement& placement, const sched::Ask& ask, std::vector<MachineId> avoid);

    void add(MachineId id, const MachineSight& sight, Now now);
    // The reasons, the binding one first, and the funnel.
    void tell(StepExplanation& explanation) const;

    [[nodiscard]] std::size_t free() const { return m_free; }  // machines that would take it now
    [[nodiscard]] std::size_t full() const { return m_busy.size(); }
    [[nodiscard]] std::uint64_t slots() const { return m_slots; } // of the full ones
    [[nodiscard]] const std::vector<MachineId>& busy() const { return m_busy; }
    // When the first of what runs on the busy ones may end.
    [[nodiscard]] std::optional<WallTime> firstEnd() const { return m_firstEnd; }
    void setFirstEnd(std::optional<WallTime> end) { m_firstEnd = end; }

private:
    static constexpr std::size_t kStages = 10;
    struct Finding { // machines that say the same
        std::vector<std::string> names; // the first few
        std::string detail;             // of the first, with numbers
        std::map<std::string, double> numbers;
        std::size_t count = 0;
    };

    [[nodiscard]] Finding& count(const Verdict& verdict, const MachineRecord& machine);
    void addGates(const MachineRecord& machine, Now now);
    [[nodiscard]] std::string detailOf(const Verdict& verdict, const MachineSight& sight) const;
    [[nodiscard]] std::string textFor(const std::string& code, const Finding& finding) const;
    [[nodiscard]] std::string remedyFor(const std::string& code) const;

    const work::Placement& m_placement;
    const sched::Ask m_ask;
    std::vector<MachineId> m_avoid;
    std::array<FunnelStage, kStages> m_funnel;
    std::array<std::map<std::string, Finding>, kStages> m_findings; // by code
    std::vector<MachineId> m_busy;
    std::uint64_t m_slots = 0;
    std::uint64_t m_used = 0;
    std::size_t m_machines = 0;
    std::size_t m_free = 0;
    std::optional<WallTime> m_firstEnd;
};

// What the steps of one question have in common, found once: a job of a thousand steps costs little more than one.
struct Inquiry {
    std::map<std::tuple<sched::PlacementIndex, sched::Ask, std::vector<MachineId>>, Survey> surveys;
    std::map<sched::Planner::Line, sched::Planner::Ahead> lines;
    std::uint64_t looked = 0; // leaves
};

} // namespace penstock::core::detail
