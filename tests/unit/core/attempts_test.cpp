// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/farm_fixture.h"

namespace penstock::core::test {
namespace {

using Farm = FarmTest;
using work::JobState;
using work::StepResult;
using work::StepState;

TEST_F(Farm, AnswersARepeatedResultAgainAndCountsIt)
{
    const SessionId builder = connect("one");
    const JobId job = submit(commandJob("a"));
    const AttemptId attempt = onlyAssigned();
    finish(builder, attempt);
    finish(builder, attempt, protocol::Outcome::Failed, 1);
    EXPECT_EQ(stored.at(0).attempts, std::vector<AttemptId>{attempt});
    EXPECT_FALSE(persist);
    EXPECT_EQ(stateOf(job), JobState::Succeeded);
    EXPECT_EQ(core->counters().fenced, 1U);
    finish(builder, AttemptId(12345));
    EXPECT_EQ(stored.at(0).attempts, std::vector<AttemptId>{AttemptId(12345)});
}

TEST_F(Farm, RefusesAResultForAnotherMachinesAttempt)
{
    const SessionId one = connect("one");
    const JobId job = submit(commandJob("a"));
    const AttemptId attempt = onlyAssigned();
    const SessionId two = connect("two");
    finish(two, attempt);
    EXPECT_TRUE(stored.empty());
    EXPECT_EQ(core->counters().refused, 1U);
    EXPECT_EQ(stateOf(job), JobState::Running);
    finish(one, attempt);
    EXPECT_EQ(stateOf(job), JobState::Succeeded);
}

TEST_F(Farm, CountsHowLongStepsWaitedForAMachine)
{
    const JobId first = submit(commandJob("a"));
    advance(std::chrono::seconds(10));
    const SessionId builder = connect("one");
    finish(builder, onlyAssigned());
    const JobId second = submit(commandJob("b"));
    finish(builder, onlyAssigned());
    EXPECT_EQ(stateOf(first), JobState::Succeeded);
    EXPECT_EQ(stateOf(second), JobState::Succeeded);
    ASSERT_EQ(core->counters().waits.size(), 1U);
    const WaitTimes& times = core->counters().waits.begin()->second;
    EXPECT_EQ(times.count, 2U);
    EXPECT_EQ(times.sum, std::chrono::seconds(10));
    EXPECT_EQ(times.upTo, (decltype(times.upTo){1, 2, 2, 2, 2, 2, 2, 2}));
}

TEST_F(Farm, RetriesAfterItsOwnBackOff)
{
    const SessionId builder = connect("one");
    JobRequest request = commandJob("a");
    request.steps.at(0).spec.retry = {.retries = 1, .initial = std::chrono::seconds(60), .factor = 3,
                                      .max = std::chrono::hours(1), .jitterPercent = 0};
    const JobId job = submit(request);
    finish(builder, onlyAssigned(), protocol::Outcome::TimedOut);
    EXPECT_TRUE(assigned().empty());
    EXPECT_EQ(progressOf(stepOf(job)).state, StepState::Delayed);
    advance(std::chrono::seconds(59));
    tick();
    EXPECT_TRUE(assigned().empty());
    advance(std::chrono::seconds(1));
    tick();
    finish(builder, onlyAssigned(), protocol::Outcome::TimedOut);
    EXPECT_EQ(stateOf(job), JobState::Failed);
    EXPECT_EQ(core->job(job)->progress.result, StepResult::TimedOut);
}

TEST_F(Farm, InfrastructureTroubleIsTriedElsewhereAndHasItsOwnBudget)
{
    const SessionId one = connect("one");
    const JobId job = submit(commandJob("a"));
    const AttemptId first = onlyAssigned();
    const SessionId two = connect("two");
    finish(one, first, protocol::Outcome::Infrastructure);
    advance(std::chrono::seconds(67));
    tick();
    ASSERT_EQ(desired.size(), 1U);
    EXPECT_EQ(desired.at(0).session, two);
    AttemptId attempt = onlyAssigned();
    SessionId at = two;
    for (int i = 0; i < 5; ++i) {
        ASSERT_NE(stateOf(job), JobState::Failed);
        finish(at, attempt, protocol::Outcome::Infrastructure);
        advance(std::chrono::hours(2));
        tick();
        if (assigned().empty())
            break;
        attempt = onlyAssigned();
        at = desired.at(0).session;
    }
    EXPECT_EQ(stateOf(job), JobState::Failed);
    EXPECT_EQ(core->job(job)->progress.result, StepResult::Aborted);
    EXPECT_EQ(progressOf(stepOf(job)).failures, 0U);
}

TEST_F(Farm, TroubleThatEveryMachineWouldHaveEndsTheStep)
{
    const SessionId one = connect("one");
    const JobId job = submit(commandJob("a"));
    protocol::AttemptResult final = result(onlyAssigned(), protocol::Outcome::Infrastructure);
    final.isFinal = true;
    final.error = "dependency failed";
    send(AttemptFinished{one, final});
    EXPECT_EQ(stateOf(job), JobState::Failed);
    EXPECT_EQ(core->job(job)->progress.result, StepResult::Aborted);
    EXPECT_EQ(progressOf(stepOf(job)).error, "dependency failed");
}

TEST_F(Farm, WhatTheMakingTookIsKeptOfFailuresToo)
{
    const SessionId one = connect("one");
    (void)submit(commandJob("a"));
    protocol::AttemptResult ended = result(onlyAssigned(), protocol::Outcome::NotDeterministic);
    ended.effort = {std::chrono::seconds(3), 2, true};
    ended.results.releaseName = "of outputs that do not count";
    send(AttemptFinished{one, ended});
    const work::BuildResults kept = durable.attempts.at(0).progress.results.get();
    EXPECT_EQ(kept.effort, (work::BuildEffort{std::chrono::seconds(3), 2, true}));
    EXPECT_EQ(kept.releaseName, "");
}

TEST_F(Farm, ARejectedStepGoesElsewhereAtOnceAndNeverSpins)
{
    const SessionId one = connect("one");
    const JobId job = submit(commandJob("a"));
    const AttemptId first = onlyAssigned();
    const SessionId two = connect("two");
    reject(one, first, protocol::RejectReason::NoSlot);
    ASSERT_EQ(desired.size(), 1U);
    EXPECT_EQ(desired.at(0).session, two);
    reject(two, onlyAssigned(), protocol::RejectReason::Resources);
    EXPECT_TRUE(assigned().empty()); // both have refused: the step waits
    EXPECT_EQ(progressOf(stepOf(job)).state, StepState::Delayed);
    std::size_t tries = 0;
    for (int second = 0; second < 60; ++second) {
        advance(std::chrono::seconds(1));
        tick();
        const std::vector<SendDesired> orders = desired;
        for (const SendDesired& order : orders)
            for (const protocol::Assignment& assignment : order.desired.assign) {
                ++tries;
                reject(order.session, assignment.attempt, protocol::RejectReason::Resources);
            }
    }
    EXPECT_GE(tries, 2U);
    EXPECT_LE(tries, 20U);
    EXPECT_EQ(progressOf(stepOf(job)).failures, 0U);
    EXPECT_EQ(progressOf(stepOf(job)).infrastructureFailures, 0U);
}

TEST_F(Farm, AnUnwantedStopIsTheMachinesFault)
{
    const SessionId builder = connect("one");
    const JobId job = submit(commandJob("a"));
    finish(builder, onlyAssigned(), protocol::Outcome::Cancelled);
    EXPECT_EQ(progressOf(stepOf(job)).infrastructureFailures, 1U);
    EXPECT_EQ(stateOf(job), JobState::Running);
}

TEST_F(Farm, StartsNothingWhileTheDatabaseIsAway)
{
    const SessionId builder = connect("one", 2);
    const JobId first = submit(commandJob("a"));
    const AttemptId attempt = onlyAssigned();
    send(StoreHealth{false, "connection refused"});
    static_cast<void>(submit(commandJob("b")));
    EXPECT_TRUE(assigned().empty());
    finish(builder, attempt);
    EXPECT_EQ(stateOf(first), JobState::Succeeded);
    send(StoreHealth{true, {}});
    EXPECT_EQ(assigned().size(), 1U);
}

// With `complete` a list of assignments in two messages must not make the second stop the first: it is no complete one.
TEST_F(Farm, SplitsWhatWouldNotFitInAFrame)
{
    const SessionId builder = connect("one", 4);
    std::vector<JobRequest> jobs;
    for (int i = 0; i < 4; ++i) {
        JobRequest job = commandJob("j");
        work::CommandWork big{{"true", std::string(700'000, 'x')}, {}};
        job.steps.at(0).spec.work = std::make_shared<const work::Work>(std::move(big));
        jobs.push_back(std::move(job));
    }
    static_cast<void>(submitAll(std::move(jobs)));
    ASSERT_EQ(desired.size(), 4U);
    EXPECT_EQ(assigned().size(), 4U);
    for (std::size_t i = 1; i < desired.size(); ++i) {
        EXPECT_EQ(desired.at(i).desired.revision, desired.at(i - 1).desired.revision + 1);
        EXPECT_FALSE(desired.at(i).desired.complete);
    }
    // Told with the last revision, held from then on: the first is lost when it is not held.
    const std::vector<AttemptId> attempts = assigned();
    report(builder, {attempts.begin() + 1, attempts.end()}, desired.back().desired.revision);
    EXPECT_EQ(core->counters().lost, 1U);
}

TEST_F(Farm, ShowsPhasesWithoutStoringThem)
{
    const SessionId builder = connect("one");
    const JobId job = submit(commandJob("a"));
    const AttemptId attempt = onlyAssigned();
    accept(builder, attempt);
    send(AttemptProgressed{builder, attempt, "buildPhase", WallTime::fromMicros(5)});
    EXPECT_FALSE(persist);
    EXPECT_EQ(core->step(stepOf(job), job)->newest->phase, "buildPhase");
}

TEST_F(Farm, KeepsWhatASuccessSaysOfItself)
{
    const SessionId builder = connect("one");
    for (const auto outcome : {protocol::Outcome::Succeeded, protocol::Outcome::Failed}) {
        const JobId job = submit(commandJob("a"));
        const AttemptId attempt = onlyAssigned();
        protocol::AttemptResult end = result(attempt, outcome);
        end.results.products = {{"doc", "manual", "out", "share", "i", "n", protocol::ProductKind::Directory, 0, ""},
                                {"file", "", "out", "f", "", "", protocol::ProductKind::File, 3, std::string(64, 'a')}};
        end.results.metrics = {{"time", 1.5, "s"}};
        end.results.releaseName = "a-1";
        end.results.failed = true;
        end.results.closureSize = 7;
        send(AttemptFinished{builder, end});
        const bool isGood = outcome == protocol::Outcome::Succeeded;
        ASSERT_TRUE(persist);
        ASSERT_EQ(persist->changes.attempts.size(), 1U);
        const work::BuildResults& kept = persist->changes.attempts[0].progress.results.get();
        const work::BuildResults told{
            {{"doc", "manual", "out", "share", "i", "n", work::ProductKind::Directory, 0, ""},
             {"file", "", "out", "f", "", "", work::ProductKind::File, 3, std::string(64, 'a')}},
            {{"time", 1.5, "s"}},
            "a-1",
            true,
            7};
        EXPECT_EQ(kept, isGood ? told : work::BuildResults{});
        EXPECT_EQ(stateOf(job), isGood ? JobState::Succeeded : JobState::Failed) << "what outputs say changes no state";
    }
}

TEST_F(Farm, OutputsOnTheirWayOutHoldNoSlot)
{
    const SessionId builder = connect("one", 1);
    for (const char* name : {"a", "b", "c"})
        static_cast<void>(submit(commandJob(name)));
    // Submitted into a full machine: one runs, two wait.
    const auto runs = [this] { return core->machine(core->machines().front())->running.size(); };
    ASSERT_EQ(runs(), 1U);
    const AttemptId first = core->machine(core->machines().front())->running.front().id;
    accept(builder, first);
    send(AttemptProgressed{builder, first, "uploading", {}});
    const AttemptId second = onlyAssigned();
    accept(builder, second);
    EXPECT_EQ(runs(), 2U);
    // As many as there are slots may send at once, so this one keeps its slot.
    send(AttemptProgressed{builder, second, "uploading", {}});
    EXPECT_TRUE(assigned().empty());
    // What goes back to building takes its slot again, and what ends gives back what it has.
    send(AttemptProgressed{builder, first, "building", {}});
    finish(builder, first);
    EXPECT_TRUE(assigned().empty());
    finish(builder, second);
    EXPECT_EQ(assigned().size(), 1U);
}

} // namespace
} // namespace penstock::core::test
