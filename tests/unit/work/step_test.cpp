// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/step.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace penstock::work {
namespace {

const Now kNow{{std::chrono::hours(1)}, WallTime::fromMicros(1'000'000'000)};
const RetryPolicy kTwice{.retries = 2, .initial = std::chrono::seconds(60), .factor = 3, .max = std::chrono::hours(1),
                         .jitterPercent = 0};
const FarmLimits kLimits;
const std::vector<StepState> kStates{StepState::Blocked, StepState::Ready, StepState::Delayed, StepState::Running,
                                     StepState::Finished};

StepProgress in(StepState state)
{
    StepProgress progress;
    progress.state = state;
    if (state == StepState::Finished)
        progress.result = StepResult::Failed;
    if (state == StepState::Delayed)
        progress.retryAt = kNow.wall;
    return progress;
}

AttemptEnded ended(AttemptEnd end, bool wanted = true, Duration delay = Duration(0))
{
    return {.end = end, .machine = MachineId(3), .error = "because", .wanted = wanted, .delay = delay};
}

Result<StepProgress> become(const StepProgress& progress, const StepEvent& event)
{
    return next(progress, event, {StepId(7), kTwice, kLimits}, kNow);
}

// One row of the table: the state that follows in each state, or nothing where the event is refused.
struct Row {
    std::string name;
    StepEvent event;
    std::vector<std::optional<StepState>> becomes;
};

TEST(Step, FollowsItsTableInEveryCell)
{
    const std::optional<StepState> no;
    const std::vector<Row> table{
        {"dependencies_done", DependenciesDone{}, {StepState::Ready, no, no, no, no}},
        {"dependency_failed", DependencyFailed{StepId(1)}, {StepState::Finished, no, no, no, no}},
        {"retry_due", RetryDue{}, {no, no, StepState::Ready, no, no}},
        {"attempt_started", AttemptStarted{}, {no, StepState::Running, no, no, no}},
        {"attempt_ended", ended(AttemptEnd::Succeeded), {no, no, no, StepState::Finished, no}},
        {"cancel", CancelStep{"who"}, {StepState::Finished, StepState::Finished, StepState::Finished, no, no}},
        {"no_machine", NoMachine{"none"}, {no, StepState::Finished, no, no, no}},
        {"reopen", ReopenStep{}, {no, no, no, no, StepState::Ready}},
        {"reopen blocked", ReopenStep{true}, {no, no, no, no, StepState::Blocked}},
    };
    for (const Row& row : table) {
        for (std::size_t i = 0; i < kStates.size(); ++i) {
            SCOPED_TRACE(row.name + " in " + std::string(toString(kStates[i])));
            const auto moved = become(in(kStates[i]), row.event);
            ASSERT_EQ(moved.has_value(), row.becomes[i].has_value());
            if (moved)
                EXPECT_EQ(moved->state, *row.becomes[i]);
            else
                EXPECT_EQ(moved.error().code, ErrorCode::Conflict);
        }
    }
}

TEST(Step, JudgesEachEndOfAnAttempt)
{
    struct Case {
        AttemptEnd end;
        StepState state;
        std::optional<StepResult> result;
    };
    for (const Case& c : std::vector<Case>{
             {AttemptEnd::Succeeded, StepState::Finished, StepResult::Succeeded},
             {AttemptEnd::Cached, StepState::Finished, StepResult::Cached},
             {AttemptEnd::Failed, StepState::Delayed, std::nullopt},
             {AttemptEnd::TimedOut, StepState::Delayed, std::nullopt},
             {AttemptEnd::SilentTimedOut, StepState::Delayed, std::nullopt},
             {AttemptEnd::LogLimit, StepState::Delayed, std::nullopt},
             {AttemptEnd::OutputLimit, StepState::Delayed, std::nullopt},
             {AttemptEnd::NotDeterministic, StepState::Finished, StepResult::NotDeterministic},
             {AttemptEnd::Transient, StepState::Delayed, std::nullopt},
             {AttemptEnd::Cancelled, StepState::Finished, StepResult::Cancelled},
             {AttemptEnd::Infrastructure, StepState::Delayed, std::nullopt},
             {AttemptEnd::Rejected, StepState::Ready, std::nullopt},
             {AttemptEnd::Lost, StepState::Ready, std::nullopt},
         }) {
        SCOPED_TRACE(toString(c.end));
        const auto moved = become(in(StepState::Running), ended(c.end));
        ASSERT_TRUE(moved);
        EXPECT_EQ(moved->state, c.state);
        EXPECT_EQ(moved->result, c.result);
        EXPECT_EQ(moved->state == StepState::Delayed, moved->retryAt.has_value());
        EXPECT_EQ(moved->state == StepState::Finished, moved->finished.has_value());
        const auto unwanted = become(in(StepState::Running), ended(c.end, false));
        ASSERT_TRUE(unwanted);
        EXPECT_EQ(unwanted->state, StepState::Finished);
    }
}

TEST(Step, UsesUpItsOwnRetriesAndThenKeepsTheResult)
{
    StepProgress progress = in(StepState::Running);
    for (std::uint32_t failure = 1; failure <= 2; ++failure) {
        const auto moved = become(progress, ended(AttemptEnd::Failed));
        ASSERT_EQ(moved->state, StepState::Delayed);
        EXPECT_EQ(moved->failures, failure);
        EXPECT_EQ(*moved->retryAt - kNow.wall, std::chrono::seconds(failure == 1 ? 60 : 180));
        progress = *moved;
        progress.state = StepState::Running;
    }
    const auto last = become(progress, ended(AttemptEnd::TimedOut));
    EXPECT_EQ(last->state, StepState::Finished);
    EXPECT_EQ(last->result, StepResult::TimedOut);
    EXPECT_EQ(last->error, "because");
}

TEST(Step, InfrastructureHasItsOwnBudgetAndAvoidsTheMachine)
{
    StepProgress progress = in(StepState::Running);
    for (std::uint32_t i = 0; i < kLimits.infrastructureFailures; ++i) {
        progress = *become(progress, ended(AttemptEnd::Infrastructure));
        ASSERT_EQ(progress.state, StepState::Delayed);
        EXPECT_EQ(progress.avoid, std::vector<MachineId>{MachineId(3)});
        progress.state = StepState::Running;
    }
    progress = *become(progress, ended(AttemptEnd::Transient));
    EXPECT_EQ(progress.result, StepResult::Aborted);
    EXPECT_EQ(progress.failures, 0U);
}

TEST(Step, IsGivenUpAtOnceWhereNoOtherTryWouldEndOtherwise)
{
    AttemptEnded event = ended(AttemptEnd::Infrastructure);
    event.isFinal = true;
    const auto progress = become(in(StepState::Running), event);
    EXPECT_EQ(progress->state, StepState::Finished);
    EXPECT_EQ(progress->result, StepResult::Aborted);
    EXPECT_EQ(progress->error, "because");
    event.wanted = false;
    EXPECT_EQ(become(in(StepState::Running), event)->result, StepResult::Cancelled);
}

TEST(Step, IsGivenUpAtTheFifthFaultOfMachinesByDefault)
{
    StepProgress progress = in(StepState::Running);
    std::uint32_t attempts = 1;
    for (; attempts < 99; ++attempts) {
        progress = *become(progress, ended(AttemptEnd::Infrastructure));
        if (progress.state == StepState::Finished)
            break;
        progress.state = StepState::Running;
    }
    EXPECT_EQ(attempts, 5U);
}

TEST(Step, ALostMachineIsFreeButBounded)
{
    StepProgress progress = in(StepState::Running);
    for (std::uint32_t i = 1; i <= kLimits.losses; ++i) {
        progress = *become(progress, ended(AttemptEnd::Lost));
        ASSERT_EQ(progress.state, i < 3 ? StepState::Ready : StepState::Delayed) << i;
        progress.state = StepState::Running;
    }
    EXPECT_EQ(progress.failures + progress.infrastructureFailures, 0U);
    EXPECT_EQ(become(progress, ended(AttemptEnd::Lost))->result, StepResult::Aborted);
}

TEST(Step, ARejectionCountsNothingAndMayWait)
{
    const auto moved = become(in(StepState::Running), ended(AttemptEnd::Rejected, true, std::chrono::seconds(2)));
    EXPECT_EQ(moved->state, StepState::Delayed);
    EXPECT_EQ(*moved->retryAt, kNow.wall + std::chrono::seconds(2));
    EXPECT_TRUE(moved->avoid.empty());
    EXPECT_EQ(moved->failures + moved->infrastructureFailures + moved->losses, 0U);
}

TEST(Step, RemembersABoundedNumberOfMachinesOldestForgottenFirst)
{
    StepProgress progress = in(StepState::Running);
    for (std::uint64_t machine = 1; machine <= kMaxAvoided + 2; ++machine) {
        AttemptEnded lost = ended(AttemptEnd::Lost);
        lost.machine = MachineId(machine);
        progress = *become(progress, lost);
        progress.state = StepState::Running;
    }
    ASSERT_EQ(progress.avoid.size(), kMaxAvoided);
    EXPECT_EQ(progress.avoid.front(), MachineId(3));
    EXPECT_EQ(progress.avoid.back(), MachineId(kMaxAvoided + 2));
}

TEST(Step, ReopensFreshButNeverCountsAttemptsAnew)
{
    StepProgress progress = in(StepState::Finished);
    progress.attempts = 4;
    progress.failures = 3;
    progress.avoid = {MachineId(1)};
    progress.error = "old";
    const auto moved = become(progress, ReopenStep{});
    EXPECT_EQ(moved->attempts, 4U);
    EXPECT_EQ(moved->failures, 0U);
    EXPECT_TRUE(moved->avoid.empty());
    EXPECT_TRUE(moved->error.empty());
    progress.result = StepResult::Succeeded;
    EXPECT_FALSE(become(progress, ReopenStep{}));
}

} // namespace
} // namespace penstock::work
