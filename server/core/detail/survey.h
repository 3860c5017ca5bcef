// SPDX-License-Identifier: GPL-3.0-or-later
// Survey: what each machine says to one waiting step, stage by stage, and the reasons that follow. Value, one thread.
#pragma once

#include "server/core/detail/farm.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace penstock::core::detail {

class Survey {
public:
    Survey(const work::Placement& placement, const sched::Ask& ask, std::vector<MachineId> avoid);

    // room: none when the machine was not here since the server started.
    void add(MachineId id, const MachineRecord& machine, const sched::Room* room, bool isReserved, Now now);
    // The reasons, the binding one first, and the funnel.
    void tell(StepExplanation& explanation) const;

    [[nodiscard]] std::size_t free() const { return m_free; }  // machines that would take it now
    [[nodiscard]] std::size_t full() const { return m_busy.size(); }
    [[nodiscard]] std::uint64_t slots() const { return m_slots; } // of the full ones
    [[nodiscard]] const std::vector<MachineId>& busy() const { return m_busy; }

private:
    enum class Stage : std::uint8_t { Named, Executor, System, Features, Other, Enabled, Connected, NotGated, Room, Allowed };
    static constexpr std::size_t kStages = 10;
    struct Finding { // machines that say the same
        std::vector<std::string> names; // the first few
        std::string detail;             // of the first, with numbers
        std::map<std::string, double> numbers;
        std::size_t count = 0;
    };

    void remove(Stage stage, const std::string& code, const MachineRecord& machine, std::string why,
                std::map<std::string, double> numbers = {});
    [[nodiscard]] bool removeUnable(const MachineRecord& machine, const sched::Room& room);
    [[nodiscard]] bool removeClosed(const MachineRecord& machine, Now now);
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
};

} // namespace penstock::core::detail
