// SPDX-License-Identifier: GPL-3.0-or-later
// States and results of jobs, steps and attempts, and the words they are stored and shown by. The database
// repeats each list as a CHECK constraint, and a test compares the two. Terminal states are immutable, except that a
// person may reopen a finished job (retry).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::work {

// Table (state x event): see work/step.h.
enum class StepState : std::uint8_t {
    Blocked,  // waits for other steps
    Ready,    // waits for a slot
    Delayed,  // waits for its retry time
    Running,  // has a live attempt
    Finished, // has a StepResult
};

enum class StepResult : std::uint8_t {
    Succeeded,
    Cached,           // outputs were valid already, nothing ran
    Failed,           // exit code, signal, or a permanent Nix failure
    DependencyFailed, // a step it needs did not succeed
    TimedOut,
    SilentTimedOut,
    LogLimit,
    OutputLimit,
    NotDeterministic,
    Cancelled,
    Unsupported,      // no machine can run it
    Aborted,          // infrastructure trouble used up its budget
};

enum class AttemptState : std::uint8_t {
    Assigned, // stored; the machine has not answered yet
    Running,  // the machine accepted it
    Ended,    // has an AttemptEnd
};

enum class AttemptEnd : std::uint8_t {
    Succeeded,
    Cached,
    Failed,
    TimedOut,
    SilentTimedOut,
    LogLimit,
    OutputLimit,
    NotDeterministic,
    Transient,      // Nix says: try again
    Cancelled,
    Infrastructure, // the machine's fault
    Rejected,       // the machine refused it, with a reason
    Lost,           // the machine went away or no longer knew it
};

enum class JobState : std::uint8_t { Queued, Running, Succeeded, Failed, Cancelled };

[[nodiscard]] std::string_view toString(StepState state);
[[nodiscard]] std::string_view toString(StepResult result);
[[nodiscard]] std::string_view toString(AttemptState state);
[[nodiscard]] std::string_view toString(AttemptEnd end);
[[nodiscard]] std::string_view toString(JobState state);
[[nodiscard]] std::optional<StepState> parseStepState(std::string_view word);
[[nodiscard]] std::optional<StepResult> parseStepResult(std::string_view word);
[[nodiscard]] std::optional<AttemptState> parseAttemptState(std::string_view word);
[[nodiscard]] std::optional<AttemptEnd> parseAttemptEnd(std::string_view word);
[[nodiscard]] std::optional<JobState> parseJobState(std::string_view word);

[[nodiscard]] constexpr bool isGood(StepResult result)
{
    return result == StepResult::Succeeded || result == StepResult::Cached;
}
// Neither done nor given up by a person: what is counted as failed.
[[nodiscard]] constexpr bool isFailure(StepResult result)
{
    return !isGood(result) && result != StepResult::Cancelled;
}
[[nodiscard]] constexpr bool isFinished(JobState state)
{
    return state == JobState::Succeeded || state == JobState::Failed || state == JobState::Cancelled;
}

} // namespace penstock::work
