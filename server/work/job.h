// SPDX-License-Identifier: GPL-3.0-or-later
// The life of a job: one transition function, and the rule that turns the results of its roots into its own. Pure,
// callable from any thread. A cell that is not named is refused with Conflict and changes nothing.
//
//   event \ state    Queued       Running      Succeeded, Failed, Cancelled
//   JobStarted       Running      -            -
//   JobCancelAsked   Queued (1)   Running (1)  -
//   JobOver          final (2)    final (2)    -
//   JobReopened      -            -            Queued
//
// (1) result becomes cancelled while finished stays empty: that is how a stored row remembers that somebody asked,
//     until the last running attempt has ended. (2) Cancelled when it was asked for, else by the result.
#pragma once

#include "server/work/changes.h"
#include "shared/base/result.h"

#include <span>
#include <string>
#include <variant>

namespace penstock::work {

struct JobStarted {};
struct JobCancelAsked {
    std::string reason;
};
struct JobOver {
    StepResult result;
    std::int32_t exitCode = 0;
    std::int32_t signal = 0;
    std::string error;
};
struct JobReopened {};
using JobEvent = std::variant<JobStarted, JobCancelAsked, JobOver, JobReopened>;

[[nodiscard]] Result<JobProgress> next(const JobProgress& progress, const JobEvent& event, Now now);

// Asked for, and not yet over.
[[nodiscard]] inline bool isCancelAsked(const JobProgress& progress)
{
    return !isFinished(progress.state) && progress.result == StepResult::Cancelled;
}

// The worse of two; cached is the best, aborted the worst.
[[nodiscard]] StepResult worse(StepResult a, StepResult b);

} // namespace penstock::work
