// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/attempt.h"
#include "server/work/job.h"

#include <gtest/gtest.h>
#include <vector>

namespace penstock::work {
namespace {

const Now kNow{{std::chrono::hours(1)}, WallTime::fromMicros(1'000'000'000)};

AttemptProgress attemptIn(AttemptState state)
{
    AttemptProgress progress;
    progress.state = state;
    if (state == AttemptState::Ended)
        progress.end = AttemptEnd::Succeeded;
    return progress;
}

AttemptOver over(AttemptEnd end)
{
    AttemptOver event;
    event.report.end = end;
    return event;
}

TEST(Attempt, FollowsItsTableInEveryCell)
{
    const auto state = [](AttemptState from, const AttemptEvent& event) -> std::optional<AttemptState> {
        const auto moved = next(attemptIn(from), event, kNow);
        return moved ? std::optional(moved->state) : std::nullopt;
    };
    EXPECT_EQ(state(AttemptState::Assigned, AttemptAccepted{}), AttemptState::Running);
    EXPECT_EQ(state(AttemptState::Running, AttemptAccepted{}), std::nullopt);
    EXPECT_EQ(state(AttemptState::Ended, AttemptAccepted{}), std::nullopt);
    EXPECT_EQ(state(AttemptState::Assigned, AttemptRejected{"full"}), AttemptState::Ended);
    EXPECT_EQ(state(AttemptState::Running, AttemptRejected{"full"}), std::nullopt);
    EXPECT_EQ(state(AttemptState::Ended, AttemptRejected{"full"}), std::nullopt);
    EXPECT_EQ(state(AttemptState::Assigned, over(AttemptEnd::Lost)), AttemptState::Ended);
    EXPECT_EQ(state(AttemptState::Running, over(AttemptEnd::Failed)), AttemptState::Ended);
    EXPECT_EQ(state(AttemptState::Ended, over(AttemptEnd::Failed)), std::nullopt);
}

TEST(Attempt, NeedsAnEndToBeOver)
{
    EXPECT_FALSE(next(attemptIn(AttemptState::Running), AttemptOver{}, kNow));
}

TEST(Attempt, KeepsItsStartAndGetsAnEndTime)
{
    AttemptProgress progress = attemptIn(AttemptState::Running);
    progress.started = WallTime::fromMicros(5);
    const auto moved = next(progress, over(AttemptEnd::Lost), kNow);
    EXPECT_EQ(moved->started, WallTime::fromMicros(5));
    EXPECT_EQ(moved->stopped, kNow.wall);
}

TEST(Job, FollowsItsTableInEveryCell)
{
    const std::vector<JobState> states{JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Failed,
                                       JobState::Cancelled};
    const JobOver failed{.result = StepResult::Failed, .exitCode = 7, .signal = 0, .error = "bad"};
    for (const JobState from : states) {
        SCOPED_TRACE(toString(from));
        JobProgress progress;
        progress.state = from;
        const bool open = !isFinished(from);
        EXPECT_EQ(next(progress, JobStarted{}, kNow).has_value(), from == JobState::Queued);
        EXPECT_EQ(next(progress, JobCancelAsked{"who"}, kNow).has_value(), open);
        EXPECT_EQ(next(progress, failed, kNow).has_value(), open);
        EXPECT_EQ(next(progress, JobReopened{}, kNow).has_value(), !open);
    }
}

TEST(Job, RemembersThatItIsToBeCancelledUntilItIs)
{
    JobProgress progress;
    progress.state = JobState::Running;
    progress = *next(progress, JobCancelAsked{"cancelled by ann"}, kNow);
    EXPECT_TRUE(isCancelAsked(progress));
    EXPECT_FALSE(progress.finished);
    const JobOver good{.result = StepResult::Succeeded, .exitCode = 0, .signal = 0, .error = {}};
    progress = *next(progress, good, kNow);
    EXPECT_EQ(progress.state, JobState::Cancelled);
    EXPECT_EQ(progress.error, "cancelled by ann");
    EXPECT_FALSE(isCancelAsked(progress));
}

TEST(Job, EndsByItsResult)
{
    const auto stateFor = [](StepResult result) {
        return next(JobProgress{}, JobOver{.result = result, .exitCode = 0, .signal = 0, .error = {}}, kNow)->state;
    };
    EXPECT_EQ(stateFor(StepResult::Cached), JobState::Succeeded);
    EXPECT_EQ(stateFor(StepResult::Succeeded), JobState::Succeeded);
    EXPECT_EQ(stateFor(StepResult::DependencyFailed), JobState::Failed);
    EXPECT_EQ(stateFor(StepResult::Aborted), JobState::Failed);
    EXPECT_EQ(stateFor(StepResult::Cancelled), JobState::Cancelled);
}

TEST(Job, TakesTheWorstOfItsRoots)
{
    EXPECT_EQ(worse(StepResult::Cached, StepResult::Succeeded), StepResult::Succeeded);
    EXPECT_EQ(worse(StepResult::Failed, StepResult::DependencyFailed), StepResult::Failed);
    EXPECT_EQ(worse(StepResult::Failed, StepResult::Aborted), StepResult::Aborted);
}

} // namespace
} // namespace penstock::work
