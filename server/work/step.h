// SPDX-License-Identifier: GPL-3.0-or-later
// The life of a step: one transition function. Pure, callable from any thread. A cell that is not named in the table
// is refused with Conflict and changes nothing; the caller decides whether that is a late message or our own mistake.
//
//   event \ state     Blocked       Ready        Delayed      Running                          Finished
//   DependenciesDone  Ready         -            -            -                                -
//   DependencyFailed  Finished      -            -            -                                -
//   RetryDue          -             -            Ready        -                                -
//   AttemptStarted    -             Running      -            -                                -
//   AttemptEnded      -             -            -            Finished, Delayed or Ready (1)   -
//   CancelStep        Finished      Finished     Finished     - (its attempt ends first)       -
//   NoMachine         -             Finished     -            -                                -
//   ReopenStep        -             -            -            -                                Blocked or Ready (2)
//
// (1) by how the attempt ended:
//     succeeded, cached                                              Finished
//     failed, timed_out, silent_timed_out, log_limit, output_limit   charged to the step: Delayed while its own
//                                                                    retries last, then Finished with that result
//     not_deterministic                                              Finished
//     transient, infrastructure   charged to the farm's budget: Delayed shortly, then Finished as aborted
//     lost                        free; Ready at once, from the third Delayed shortly, at the bound Finished as aborted
//     rejected                    free; Ready, or Delayed when the event says how long
//     cancelled                   Finished as cancelled
//     When nobody wants the step any more (wanted false), whatever would be tried again is Finished as cancelled.
// (2) only from results that are not good.
#pragma once

#include "server/work/changes.h"
#include "server/work/retry.h"
#include "shared/base/result.h"

#include <string>
#include <variant>

namespace penstock::work {

struct DependenciesDone {};
struct DependencyFailed {
    StepId dependency;
};
struct RetryDue {};
struct AttemptStarted {};
struct AttemptEnded {
    AttemptEnd end;
    MachineId machine;
    std::string error;
    bool wanted = true;
    Duration delay{0}; // after a rejection
    std::vector<OutputFact> revealed = {}; // see StepProgress
    bool isFinal = false; // of Infrastructure: it is not tried again
};
struct CancelStep {
    std::string reason;
};
struct NoMachine {
    std::string reason;
};
struct ReopenStep {
    bool blocked = false; // it has dependencies that are not finished
};
using StepEvent = std::variant<DependenciesDone, DependencyFailed, RetryDue, AttemptStarted, AttemptEnded, CancelStep,
                               NoMachine, ReopenStep>;

// How many machines a step remembers to avoid; the oldest is forgotten first.
inline constexpr std::size_t kMaxAvoided = 16;

// What a step's tries are judged by: its own policy and the farm's limits. The step's id spreads its retry times.
struct RetryRules {
    StepId step;
    const RetryPolicy& policy;
    const FarmLimits& limits;
};

[[nodiscard]] Result<StepProgress> next(const StepProgress& progress, const StepEvent& event, const RetryRules& rules,
                                        Now now);

// The outputs whose paths are known: those that the derivation names, and what its build has revealed. None of a
// command.
[[nodiscard]] std::vector<NixOutput> knownOutputs(const Work& work, const StepProgress& progress);

} // namespace penstock::work
