// SPDX-License-Identifier: GPL-3.0-or-later
// What an operator chooses about the order of steps and machines. The names are those of Hydra's settings stepSortFn,
// machineSortFn and machineFreeFn, and mean the same. Values.
#pragma once

#include "shared/base/clock.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::sched {

// After bump and share, both the same for all; each then by the smaller job id.
enum class StepSort : std::uint8_t {
    Legacy,           // local priority
    WithRdeps,        // more direct dependents, then local priority
    WithCriticalPath, // longer chain of work that waits for it, then local priority
};

enum class MachineSort : std::uint8_t {
    Headroom,                    // the largest share of slots, cpus and memory that is really free
    SpeedFactorOnly,             // speed factor, then fewer attempts
    CpuCoreCountWithSpeedFactor, // speed factor x cores, then fewer attempts
    BogomipsWithSpeedFactor,     // speed factor x bogomips x cores, then fewer attempts
};

enum class MachineFree : std::uint8_t {
    Static,                 // attempts < slots; load and pressure do not count
    Dynamic,                // load and pressure below the thresholds; slots do not count
    DynamicWithMaxJobLimit, // both
};

struct Policy {
    StepSort steps = StepSort::WithCriticalPath;
    MachineSort machines = MachineSort::Headroom;
    MachineFree room = MachineFree::DynamicWithMaxJobLimit;
    Duration shareWindow{std::chrono::minutes(10)}; // over which machine time is counted
    Duration reserveAfter{std::chrono::minutes(2)}; // no machine has room for a first one: one is kept free
    Duration promoteAfter{std::chrono::hours(6)};  // waits so long: first of its share group
    friend bool operator==(const Policy&, const Policy&) = default;
};

[[nodiscard]] std::string_view toString(StepSort sort);
[[nodiscard]] std::string_view toString(MachineSort sort);
[[nodiscard]] std::string_view toString(MachineFree free);
[[nodiscard]] std::optional<StepSort> parseStepSort(std::string_view word);
[[nodiscard]] std::optional<MachineSort> parseMachineSort(std::string_view word);
[[nodiscard]] std::optional<MachineFree> parseMachineFree(std::string_view word);

} // namespace penstock::sched
