// SPDX-License-Identifier: GPL-3.0-or-later
// Why a step is where it is: every reason that applies, with numbers and what would have to change, the binding one
// first; the machines one by one removed (the funnel); and when it may start. Values.
#pragma once

#include "server/work/state.h"
#include "shared/base/clock.h"
#include "shared/base/ids.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::core {

inline constexpr std::size_t kNamesInReason = 5;

// Codes of what waits: the seventeen of the monitor, and what general jobs add.
inline constexpr std::array<std::string_view, 36> kWaitingCodes{
    "inputs-not-built",  "failed-input",      "unsupported-system", "missing-feature", "mandatory-feature-mismatch",
    "missing-executor",  "missing-tag",       "wrong-os",           "user-not-allowed", "machine-not-named",
    "missing-resources", "all-draining",      "all-quarantined",    "all-lost",        "gated-cpu",
    "gated-mem",         "gated-io",          "gated-load",         "disk-low",        "memory-low",
    "slots-full",        "resources-full",    "machine-reserved",   "machine-avoided", "behind-higher-priority",
    "jobset-share",      "behind-in-queue",   "retry-backoff",      "held",            "dispatch-paused",
    "concurrency-limit", "namespace-limit",   "server-busy",        "database-away",   "cancelled-pending",
    "starting"};
// Of what runs.
inline constexpr std::array<std::string_view, 3> kOtherCodes{"running", "connecting", "sending-inputs"};

struct Reason {
    std::string code;   // stable
    std::string text;   // one sentence for people, with the numbers
    std::map<std::string, double> numbers = {};
    std::string remedy = {};             // what would remove it, one sentence; may be empty
    std::vector<std::string> names = {}; // machines, steps or groups that it is about, at most kNamesInReason
};

struct Removed { // a machine that a stage of the funnel takes out
    std::string machine;
    std::string why; // "io pressure 22.4% > 10.0% for 180 s"
};

// Stages in order: known, named, executor, system, features, other (tags, os, user, resources), enabled (neither
// draining nor quarantined), connected, not_gated, room, allowed (not avoided, not reserved).
struct FunnelStage {
    std::string stage;
    std::uint32_t left = 0;           // machines after it
    std::uint32_t removedCount = 0;   // by it
    std::vector<Removed> removed;     // the first kNamesInReason of those
};

struct StepExplanation {
    StepId step{0};
    std::string name;
    work::StepState state = work::StepState::Blocked;
    std::vector<Reason> reasons;
    std::vector<FunnelStage> funnel = {}; // of a step that waits for a machine
    std::string change = {};              // what would start it, one sentence; may be empty
    std::optional<WallTime> earliest = {}; // expected start, where it can be said
    std::optional<WallTime> latest = {};
};

struct Explanation {
    // Of unfinished steps below those that the job claims; of a job that claims its roots only there may be 100,000s.
    static constexpr std::size_t kCountedBelow = 10'000;

    JobId job{0};
    work::JobState state = work::JobState::Queued;
    WallTime evaluated = {};
    std::vector<StepExplanation> steps = {}; // unfinished ones
    std::size_t more = 0;               // that were left out; when kCountedBelow were counted, at least so many
    std::uint64_t looked = 0;           // leaves of the planner that were looked at for it: what it cost
};

} // namespace penstock::core
