// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/job.h"

#include <array>
#include <fmt/format.h>

namespace penstock::work {
namespace {

int badness(StepResult result)
{
    switch (result) {
    case StepResult::Cached: return 0;
    case StepResult::Succeeded: return 1;
    case StepResult::Cancelled: return 2;
    case StepResult::DependencyFailed: return 3;
    case StepResult::NotDeterministic: return 4;
    case StepResult::OutputLimit: return 5;
    case StepResult::LogLimit: return 6;
    case StepResult::SilentTimedOut: return 7;
    case StepResult::TimedOut: return 8;
    case StepResult::Failed: return 9;
    case StepResult::Unsupported: return 10;
    case StepResult::Aborted: return 11;
    }
    return 11;
}

struct Transition {
    JobProgress& progress;
    Now now;

    bool operator()(const JobStarted&) const
    {
        if (progress.state != JobState::Queued)
            return false;
        progress.state = JobState::Running;
        progress.started = now.wall;
        return true;
    }
    bool operator()(const JobCancelAsked& event) const
    {
        if (isFinished(progress.state))
            return false;
        progress.result = StepResult::Cancelled;
        progress.error = event.reason;
        return true;
    }
    bool operator()(const JobOver& event) const
    {
        if (isFinished(progress.state))
            return false;
        const bool asked = isCancelAsked(progress);
        progress.finished = now.wall;
        progress.exitCode = event.exitCode;
        progress.signal = event.signal;
        if (asked) { // its error already says who asked
            progress.state = JobState::Cancelled;
            return true;
        }
        progress.result = event.result;
        progress.error = event.error;
        progress.state = isGood(event.result)                        ? JobState::Succeeded
                         : event.result == StepResult::Cancelled ? JobState::Cancelled
                                                                     : JobState::Failed;
        return true;
    }
    bool operator()(const JobReopened&) const
    {
        if (!isFinished(progress.state))
            return false;
        progress = JobProgress{};
        return true;
    }
};

} // namespace

Result<JobProgress> next(const JobProgress& progress, const JobEvent& event, Now now)
{
    JobProgress moved = progress;
    if (!std::visit(Transition{moved, now}, event)) {
        constexpr std::array<std::string_view, 4> kNames{"started", "cancel", "over", "reopen"};
        return fail(ErrorCode::Conflict, fmt::format("the job is {}, so {} does not apply to it",
                                                     toString(progress.state), kNames[event.index()]));
    }
    return moved;
}

StepResult worse(StepResult a, StepResult b)
{
    return badness(a) >= badness(b) ? a : b;
}

} // namespace penstock::work
