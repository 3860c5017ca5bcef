// SPDX-License-Identifier: GPL-3.0-or-later
// The live lines of `penstock build` and of a followed job: one summary and one line per running step. Pure:
// what to draw for given steps, width and time; the caller redraws them in place or, without a terminal,
// prints changes.
#pragma once

#include "client/output/style.h"
#include "shared/base/clock.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace penstock::client {

enum class StepPhase : std::uint8_t { Waiting, Running, Succeeded, Cached, Failed, NotBuilt, Cancelled };

struct StepProgress {
    std::string name;
    StepPhase phase = StepPhase::Waiting;
    std::string machine;
    std::string detail; // build phase while running, what went wrong after a failure
    WallTime started;
};

using StepProgressMap = std::map<std::uint64_t, StepProgress>; // by step id, so the order is stable

struct ProgressScreen {
    std::size_t width = 80;
    std::size_t maxLines = 10; // the summary included
    WallTime now;
};

[[nodiscard]] std::vector<std::string> renderProgress(const StepProgressMap& steps,
                                                      const ProgressScreen& screen, const Style& style);
// One line for a step's change, for logs and pipes; empty when the change is not worth a line.
[[nodiscard]] std::string describeChange(const StepProgress& step, const Style& style);
// "12 built, 3 already there, 1 failed, 4 not built".
[[nodiscard]] std::string summarize(const StepProgressMap& steps);

} // namespace penstock::client
