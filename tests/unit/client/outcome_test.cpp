// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/follow/outcome.h"

#include "client/follow/follow_loop.h"

#include <csignal>
#include <gtest/gtest.h>

namespace penstock::client {
namespace {

monitor::JobRecord job(monitor::JobState state, const char* result, int exitCode = 0, int signal = 0)
{
    monitor::JobRecord record;
    record.set_id(7);
    record.set_state(state);
    record.set_result(result);
    record.set_exit_code(exitCode);
    record.set_signal(signal);
    return record;
}

TEST(Outcome, PassesOnTheExitCodeOfTheJob)
{
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_SUCCEEDED, "succeeded")), 0);
    for (const int code : {1, 2, 7, 124, 125, 255})
        EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "failed", code)), code);
}

TEST(Outcome, AddsTheSignalTo128)
{
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "failed", 0, SIGKILL)), 137);
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "failed", 0, SIGSEGV)), 139);
}

TEST(Outcome, HasItsOwnCodesForTimeFarmAndCancelling)
{
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "timed_out", 0, SIGTERM)), 124);
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "silent_timed_out")), 124);
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "aborted")), 125);
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "unsupported")), 125);
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_CANCELLED, "cancelled", 0, SIGTERM)), 130);
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "log_limit", 0, SIGKILL)), 1);
}

TEST(Outcome, NeverTurnsAFailureIntoSuccess)
{
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "failed", 0, 0)), 1);
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "failed", 256, 0)), 1);
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "failed", -1, 0)), 1);
    EXPECT_EQ(exitCodeOf(job(monitor::JOB_FAILED, "")), 1);
}

TEST(Outcome, IsDescribedForPeople)
{
    EXPECT_EQ(describeEnd(job(monitor::JOB_SUCCEEDED, "succeeded")), "job 7 succeeded");
    EXPECT_EQ(describeEnd(job(monitor::JOB_FAILED, "failed", 3)), "job 7 failed: exit code 3");
    EXPECT_EQ(describeEnd(job(monitor::JOB_FAILED, "timed_out", 0, 15)),
              "job 7 failed: timed out, signal 15");
}

TEST(FollowEnd, MapsToExitCodes)
{
    using Kind = FollowEnd::Kind;
    EXPECT_EQ(exitCodeOf({Kind::Finished, 0, false, {}}, 125), std::nullopt);
    EXPECT_EQ(exitCodeOf({Kind::Lost, 0, false, {}}, 125), 125);
    EXPECT_EQ(exitCodeOf({Kind::Lost, 0, false, {}}, 1), 1);
    EXPECT_EQ(exitCodeOf({Kind::Detached, SIGINT, false, {}}, 125), 0);
    EXPECT_EQ(exitCodeOf({Kind::Detached, SIGHUP, false, {}}, 125), 129);
    EXPECT_EQ(exitCodeOf({Kind::Left, SIGTERM, false, {}}, 125), 143);
    EXPECT_EQ(exitCodeOf({Kind::Finished, 0, true, {}}, 125), 141);
}

TEST(Interruption, AsksOnATerminalAndCancelsElsewhere)
{
    EXPECT_EQ(onSignal(FollowMode::Following, SIGINT, true), InterruptAction::Ask);
    EXPECT_EQ(onSignal(FollowMode::Asking, SIGINT, true), InterruptAction::Cancel);
    EXPECT_EQ(onSignal(FollowMode::Cancelling, SIGINT, true), InterruptAction::Leave);
    EXPECT_EQ(onSignal(FollowMode::Following, SIGINT, false), InterruptAction::Cancel);
    EXPECT_EQ(onSignal(FollowMode::Following, SIGTERM, true), InterruptAction::Cancel);
    EXPECT_EQ(onSignal(FollowMode::Following, SIGHUP, true), InterruptAction::Detach);
}

TEST(Interruption, ReadsTheAnswer)
{
    EXPECT_EQ(onAnswer("d\n"), InterruptAction::Detach);
    EXPECT_EQ(onAnswer(" Cancel\n"), InterruptAction::Cancel);
    EXPECT_EQ(onAnswer("\n"), InterruptAction::Continue);
    EXPECT_EQ(onAnswer("what\n"), InterruptAction::Ask);
}

TEST(ReconnectPause, GrowsToALimit)
{
    EXPECT_EQ(reconnectPause(1), std::chrono::milliseconds(100));
    EXPECT_EQ(reconnectPause(2), std::chrono::milliseconds(200));
    EXPECT_EQ(reconnectPause(6), std::chrono::milliseconds(3200));
    EXPECT_EQ(reconnectPause(7), std::chrono::seconds(5));
    EXPECT_EQ(reconnectPause(4'000'000'000U), std::chrono::seconds(5));
}

} // namespace
} // namespace penstock::client
