// SPDX-License-Identifier: GPL-3.0-or-later
// Why the steps of a job are where they are, in the words people see: a question and its answer, as core/explain.h
// gives it. Values, callable from any thread. Zero or empty means "none" unless said.
#pragma once

#include "server/work/state.h"
#include "shared/base/clock.h"
#include "shared/base/ids.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::feed {

// Bounds of one answer on the stream; what is above is left out.
inline constexpr std::size_t kExplainedSteps = 50;
inline constexpr std::size_t kReasonsOfStep = 40;
inline constexpr std::size_t kNumbersOfReason = 16;
inline constexpr std::size_t kNamesOfReason = 5;
inline constexpr std::size_t kFunnelStages = 16;
inline constexpr std::size_t kRemovedOfStage = 5;
inline constexpr std::size_t kExplainedTextBytes = 1'000; // of each sentence or name
inline constexpr std::size_t kExplanationBytes = 1U << 20U;

struct ExplainQuestion {
    JobId job{0};
    std::optional<StepId> step = {}; // this one only; none: the first unfinished ones
    std::size_t limit = kExplainedSteps;
};

struct ReasonEntry {
    std::string code;
    std::string text;
    std::vector<std::pair<std::string, double>> numbers = {};
    std::string remedy = {};
    std::vector<std::string> names = {};
    friend bool operator==(const ReasonEntry&, const ReasonEntry&) = default;
};

struct RemovedEntry {
    std::string machine;
    std::string why;
    friend bool operator==(const RemovedEntry&, const RemovedEntry&) = default;
};

struct FunnelEntry {
    std::string stage;
    std::uint32_t left = 0;         // machines after it
    std::uint32_t removedCount = 0; // by it
    std::vector<RemovedEntry> removed = {};
    friend bool operator==(const FunnelEntry&, const FunnelEntry&) = default;
};

struct StepReasons {
    StepId step{0};
    std::string name;
    work::StepState state = work::StepState::Blocked;
    std::vector<ReasonEntry> reasons = {}; // the binding one first
    std::vector<FunnelEntry> funnel = {};
    std::string change = {};
    std::optional<WallTime> earliest = {};
    std::optional<WallTime> latest = {};
    friend bool operator==(const StepReasons&, const StepReasons&) = default;
};

struct JobReasons {
    JobId job{0};
    work::JobState state = work::JobState::Queued;
    WallTime evaluated;
    std::vector<StepReasons> steps = {}; // unfinished ones
    std::uint64_t more = 0;              // that were left out, at least
};

} // namespace penstock::feed
