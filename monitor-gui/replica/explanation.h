// SPDX-License-Identifier: GPL-3.0-or-later
// Why steps of a job do not run, as the server says it, and the question for it. Plain values, callable from any
// thread.
#pragma once

#include "monitor-gui/replica/records.h"

#include <string>
#include <utility>
#include <vector>

namespace penstock::gui {

struct WhyTarget {
    JobId job;
    std::optional<StepId> step{}; // none: the first unfinished ones of the job
    friend bool operator==(const WhyTarget&, const WhyTarget&) = default;
};

struct Reason {
    std::string code{};
    std::string text{};
    std::vector<std::pair<std::string, double>> numbers{};
    std::string remedy{};
    std::vector<std::string> names{};
};

struct RemovedMachine {
    std::string machine{};
    std::string why{};
};

struct FunnelStage {
    std::string stage{};
    std::uint32_t left = 0;         // machines after it
    std::uint32_t removedCount = 0; // by it
    std::vector<RemovedMachine> removed{};
};

struct StepReasons {
    StepId step;
    std::string name{};
    StepState state = StepState::Unknown;
    std::vector<Reason> reasons{}; // the binding one first
    std::vector<FunnelStage> funnel{};
    std::string change{};
    std::optional<WallTime> earliest{};
    std::optional<WallTime> latest{};
};

struct Explanation {
    JobState jobState = JobState::Unknown;
    std::optional<WallTime> evaluated{}; // on the server's clock
    std::vector<StepReasons> steps{};
    std::uint64_t more = 0; // unfinished steps that were left out
};

} // namespace penstock::gui
