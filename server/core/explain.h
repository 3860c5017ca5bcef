// SPDX-License-Identifier: GPL-3.0-or-later
// Why a step is where it is: structured reasons with numbers, and what would have to change. Values.
//
// Codes: waits_for_dependency, retry_at, running, finished, no_machines, no_machine_supports_system, executor_missing,
// system_missing, feature_missing, mandatory_feature_not_asked_for, tag_missing, os_not_wanted, user_not_allowed,
// machine_not_named, machine_disconnected, machine_draining, over_threshold, all_slots_busy, machine_avoided,
// behind_in_queue, database_unavailable, cancel_in_progress, starting.
#pragma once

#include "server/work/state.h"
#include "shared/base/ids.h"

#include <map>
#include <string>
#include <vector>

namespace penstock::core {

struct Reason {
    std::string code; // stable
    std::string text; // one sentence for people
    std::map<std::string, double> numbers;
};

struct StepExplanation {
    StepId step{0};
    std::string name;
    work::StepState state = work::StepState::Blocked;
    std::vector<Reason> reasons;
    std::string change; // what would start it; may be empty
};

struct Explanation {
    JobId job{0};
    work::JobState state = work::JobState::Queued;
    std::vector<StepExplanation> steps; // unfinished ones
};

} // namespace penstock::core
