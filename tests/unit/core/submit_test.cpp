// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/farm_fixture.h"

namespace penstock::core::test {
namespace {

using Farm = FarmTest;
using work::JobState;
using work::StepResult;
using work::StepState;

TEST_F(Farm, AnswersASubmissionOnlyAfterItsBatch)
{
    const JobId job = submit(commandJob("a"));
    ASSERT_TRUE(persist);
    EXPECT_EQ(persist->sequence, 1U);
    EXPECT_EQ(persist->changes.newJobs.size(), 1U);
    EXPECT_EQ(persist->changes.newSteps.size(), 1U);
    EXPECT_EQ(persist->marks.job, job.value());
    EXPECT_EQ(replies.at(0).after, 1U);
    EXPECT_EQ(stateOf(job), JobState::Queued);
}

TEST_F(Farm, RunsAJobFromSubmissionToItsResult)
{
    const SessionId builder = connect("one");
    const JobId job = submit(commandJob("a"));
    const AttemptId attempt = onlyAssigned();
    EXPECT_EQ(desired.at(0).after, persist->sequence);
    EXPECT_EQ(persist->changes.newAttempts.size(), 1U);
    const auto& command = std::get<protocol::CommandWork>(desired.at(0).desired.assign.at(0).work);
    EXPECT_EQ(command.argv, (std::vector<std::string>{"sh", "-c", "true"}));
    EXPECT_EQ(command.env.at("K"), "V");
    accept(builder, attempt);
    EXPECT_EQ(stateOf(job), JobState::Running);
    finish(builder, attempt, protocol::Outcome::Failed, 7);
    EXPECT_EQ(stored.at(0).after, persist->sequence);
    EXPECT_EQ(stored.at(0).attempts, std::vector<AttemptId>{attempt});
    EXPECT_EQ(stateOf(job), JobState::Failed);
    EXPECT_EQ(core->job(job)->progress.exitCode, 7);
    EXPECT_EQ(core->job(job)->progress.result, StepResult::Failed);
}

TEST_F(Farm, GivesTheSameJobForTheSameKey)
{
    JobRequest first = commandJob("a");
    first.spec.key = "k";
    JobRequest second = first;
    const std::vector<JobId> jobs = submitAll({first, second});
    EXPECT_EQ(jobs.at(0), jobs.at(1));
    EXPECT_EQ(submit(first), jobs.at(0));
    first.spec.nameSpace = "other";
    EXPECT_NE(submit(first), jobs.at(0));
}

TEST_F(Farm, KeepsAKeyAfterTheJobIsForgotten)
{
    options.finishedJobsKept = 0;
    restart();
    const SessionId builder = connect("one");
    JobRequest request = commandJob("a");
    request.spec.key = "k";
    const JobId job = submit(request);
    finish(builder, onlyAssigned());
    confirm();
    EXPECT_FALSE(core->job(job).has_value());
    EXPECT_EQ(submit(request), job);
    EXPECT_TRUE(assigned().empty());
}

TEST_F(Farm, RefusesACircleAndLeavesNothingBehind)
{
    const Error error = refused(nixJob("j", {"a", "b", "c"}, {{0, 1}, {1, 2}, {2, 0}}));
    EXPECT_EQ(error.code, ErrorCode::Invalid);
    EXPECT_NE(error.message.find("circle"), std::string::npos) << error.message;
    EXPECT_FALSE(persist);
    EXPECT_EQ(core->totals().jobsOpen, 0U);
}

TEST_F(Farm, RefusesWhatIsOverTheStepLimit)
{
    options.maxOpenSteps = 2;
    restart();
    static_cast<void>(submit(commandJob("a")));
    static_cast<void>(submit(commandJob("b")));
    EXPECT_EQ(refused(commandJob("c")).code, ErrorCode::Exhausted);
}

TEST_F(Farm, RefusesSubmissionsWhenTooManyBatchesWait)
{
    options.maxUnconfirmed = 2;
    restart();
    static_cast<void>(submit(commandJob("a")));
    static_cast<void>(submit(commandJob("b")));
    static_cast<void>(submit(commandJob("c")));
    EXPECT_EQ(refused(commandJob("d")).code, ErrorCode::Unavailable);
    confirm();
    static_cast<void>(submit(commandJob("d")));
}

TEST_F(Farm, RunsADiamondInOrderAndSharesStepsBetweenJobs)
{
    const SessionId builder = connect("one", 8);
    const JobId first = submit(nixJob("j", {"base", "left", "right", "top"}, {{1, 0}, {2, 0}, {3, 1}, {3, 2}}));
    const AttemptId base = onlyAssigned();
    const JobId second = submit(nixJob("k", {"base", "left", "other"}, {{1, 0}, {2, 1}}));
    EXPECT_TRUE(assigned().empty());
    EXPECT_EQ(core->job(second)->stepsTotal, 3U);
    EXPECT_EQ(stateOf(second), JobState::Running); // a shared step of it runs already
    finish(builder, base);
    const std::vector<AttemptId> sides = assigned();
    ASSERT_EQ(sides.size(), 2U);
    finish(builder, sides.at(0));
    const AttemptId other = onlyAssigned();
    finish(builder, sides.at(1));
    finish(builder, onlyAssigned());
    EXPECT_EQ(stateOf(first), JobState::Succeeded);
    finish(builder, other);
    EXPECT_EQ(stateOf(second), JobState::Succeeded);
    EXPECT_EQ(core->counters().attemptsStarted, 5U);
}

TEST_F(Farm, MarksAllThatDependsOnAFailedStepOnce)
{
    const SessionId builder = connect("one", 8);
    const JobId job = submit(nixJob("j", {"base", "left", "right", "top"}, {{1, 0}, {2, 0}, {3, 1}, {3, 2}}));
    const StepId base = stepOf(job, 0);
    finish(builder, onlyAssigned(), protocol::Outcome::Failed, 1);
    EXPECT_EQ(stateOf(job), JobState::Failed);
    EXPECT_EQ(core->job(job)->progress.result, StepResult::DependencyFailed);
    for (std::size_t i = 1; i < 4; ++i) {
        EXPECT_EQ(progressOf(stepOf(job, i)).result, StepResult::DependencyFailed);
        EXPECT_EQ(progressOf(stepOf(job, i)).failedDependency, base);
    }
    EXPECT_EQ(persist->changes.steps.size(), 4U);
    EXPECT_NE(core->job(job)->progress.error.find("base"), std::string::npos);
}

// What has ended is never taken for granted: outputs may have been collected since, and builders look for themselves.
TEST_F(Farm, SharesOnlyWhatHasNotEnded)
{
    const SessionId builder = connect("one", 8);
    const JobId first = submit(nixJob("j", {"base", "top"}, {{1, 0}}));
    const AttemptId base = onlyAssigned();
    const JobId meanwhile = submit(nixJob("j", {"base", "top"}, {{1, 0}}));
    EXPECT_EQ(stepOf(first, 0), stepOf(meanwhile, 0));
    EXPECT_EQ(stepOf(first, 1), stepOf(meanwhile, 1));
    finish(builder, base);
    finish(builder, onlyAssigned(), protocol::Outcome::Failed, 1);
    EXPECT_EQ(stateOf(meanwhile), JobState::Failed);
    const JobId second = submit(nixJob("j", {"base", "top"}, {{1, 0}}));
    EXPECT_NE(stepOf(first, 0), stepOf(second, 0));
    EXPECT_NE(stepOf(first, 1), stepOf(second, 1));
}

TEST_F(Farm, CancelsQueuedWorkAtOnce)
{
    const JobId job = submit(nixJob("j", {"base", "top"}, {{1, 0}}));
    send(CancelJob{RequestId(99), job, "ann"});
    EXPECT_TRUE(replies.at(0).answer.has_value());
    EXPECT_EQ(replies.at(0).after, persist->sequence);
    EXPECT_EQ(stateOf(job), JobState::Cancelled);
    EXPECT_EQ(core->job(job)->progress.error, "cancelled by ann");
    send(CancelJob{RequestId(99), job, "ann"});
    EXPECT_EQ(replies.at(0).answer.error().code, ErrorCode::NotFound);
    EXPECT_EQ(replies.at(0).answer.error().message, "no job 1");
}

TEST_F(Farm, ACancelledJobEndsWhenItsRunningAttemptHas)
{
    const SessionId builder = connect("one");
    const JobId job = submit(commandJob("a"));
    const AttemptId attempt = onlyAssigned();
    accept(builder, attempt);
    send(CancelJob{RequestId(99), job, "ann"});
    EXPECT_EQ(stopped(), std::vector<AttemptId>{attempt});
    EXPECT_EQ(desired.at(0).after, persist->sequence);
    EXPECT_EQ(stateOf(job), JobState::Running);
    finish(builder, attempt, protocol::Outcome::Cancelled);
    EXPECT_EQ(stateOf(job), JobState::Cancelled);
}

TEST_F(Farm, ACancelledJobEndsEvenWhenTheBuilderSaysNothing)
{
    const SessionId builder = connect("one");
    const JobId job = submit(commandJob("a"));
    accept(builder, onlyAssigned());
    send(CancelJob{RequestId(99), job, "ann"});
    advance(options.stopGrace);
    tick();
    EXPECT_EQ(stateOf(job), JobState::Cancelled);
}

TEST_F(Farm, CancelLeavesWhatAnotherJobNeeds)
{
    const SessionId builder = connect("one", 8);
    const JobId first = submit(nixJob("j", {"base", "top"}, {{1, 0}}));
    const AttemptId base = onlyAssigned();
    const JobId second = submit(nixJob("k", {"base", "other"}, {{1, 0}}));
    send(CancelJob{RequestId(99), first, "ann"});
    EXPECT_TRUE(stopped().empty());
    EXPECT_EQ(stateOf(first), JobState::Cancelled);
    finish(builder, base);
    finish(builder, onlyAssigned());
    EXPECT_EQ(stateOf(second), JobState::Succeeded);
}

TEST_F(Farm, AJobSubmittedWhileItsStepIsBeingStoppedGetsItsOwn)
{
    const SessionId builder = connect("one", 8);
    const JobId first = submit(nixJob("j", {"base"}, {}));
    const AttemptId attempt = onlyAssigned();
    send(CancelJob{RequestId(99), first, "ann"});
    const JobId second = submit(nixJob("k", {"base"}, {}));
    EXPECT_NE(stepOf(first), stepOf(second));
    finish(builder, attempt, protocol::Outcome::Cancelled);
    EXPECT_EQ(stateOf(second), JobState::Running);
}

TEST_F(Farm, ReopensAFinishedJobAndRunsOnlyWhatDidNotSucceed)
{
    const SessionId builder = connect("one", 8);
    const JobRequest request = nixJob("j", {"base", "top"}, {{1, 0}});
    const JobId job = submit(request);
    work::StoredJob rows{persist->changes.newJobs.at(0), persist->changes.newSteps, persist->changes.dependencies,
                         persist->changes.jobSteps};
    finish(builder, onlyAssigned());
    finish(builder, onlyAssigned(), protocol::Outcome::Failed, 1);
    for (work::StepRow& row : rows.steps)
        row.progress = progressOf(row.id);
    rows.job.progress = core->job(job)->progress;
    send(ReopenJob{RequestId(99), rows});
    EXPECT_EQ(replies.at(0).answer.error().code, ErrorCode::Unavailable);
    confirm();
    send(ReopenJob{RequestId(99), rows});
    ASSERT_TRUE(replies.at(0).answer.has_value()) << replies.at(0).answer.error().message;
    const AttemptId again = onlyAssigned();
    EXPECT_EQ(desired.at(0).desired.assign.at(0).name, "top");
    EXPECT_EQ(desired.at(0).desired.assign.at(0).attemptNumber, 2U);
    send(ReopenJob{RequestId(99), rows});
    EXPECT_EQ(replies.at(0).answer.error().code, ErrorCode::Conflict);
    finish(builder, again);
    EXPECT_EQ(stateOf(job), JobState::Succeeded);
}

TEST_F(Farm, ReopensNoJobWhoseShareGroupWouldBeOneTooMany)
{
    options.maxShareGroups = 1;
    restart();
    const SessionId builder = connect("one", 8);
    const JobId job = submit(nixJob("j", {"base"}, {}));
    work::StoredJob rows{persist->changes.newJobs.at(0), persist->changes.newSteps, {}, persist->changes.jobSteps};
    finish(builder, onlyAssigned(), protocol::Outcome::Failed, 1);
    rows.steps.at(0).progress = progressOf(rows.steps.at(0).id);
    rows.job.progress = core->job(job)->progress;
    confirm();
    JobRequest other = commandJob("other");
    other.spec.shareGroup = "other";
    static_cast<void>(submit(other));
    const AttemptId attempt = onlyAssigned();
    send(ReopenJob{RequestId(99), rows});
    EXPECT_EQ(replies.at(0).answer.error().code, ErrorCode::Exhausted);
    finish(builder, attempt);
    send(ReopenJob{RequestId(99), rows});
    EXPECT_TRUE(replies.at(0).answer.has_value());
}

TEST_F(Farm, AJobReopenedWhileItsStepIsBeingStoppedRunsItAgain)
{
    const SessionId builder = connect("one", 8);
    const JobId first = submit(nixJob("j", {"base"}, {}));
    const AttemptId attempt = onlyAssigned();
    const JobId second = submit(nixJob("k", {"base"}, {}));
    work::StoredJob rows{persist->changes.newJobs.at(0),
                         {{stepOf(second), nixStep("base"), now.wall, progressOf(stepOf(second))}},
                         {},
                         persist->changes.jobSteps};
    send(CancelJob{RequestId(99), second, "ann"});
    rows.job.progress = core->job(second)->progress;
    confirm();
    send(CancelJob{RequestId(99), first, "ann"});
    EXPECT_EQ(stopped().size(), 1U);
    send(ReopenJob{RequestId(99), rows});
    ASSERT_TRUE(replies.at(0).answer.has_value()) << replies.at(0).answer.error().message;
    finish(builder, attempt, protocol::Outcome::Cancelled);
    EXPECT_EQ(stateOf(first), JobState::Cancelled);
    const AttemptId again = onlyAssigned();
    const JobId third = submit(nixJob("l", {"base"}, {}));
    EXPECT_EQ(stepOf(third), stepOf(second)); // its key leads there again
    finish(builder, again);
    EXPECT_EQ(stateOf(second), JobState::Succeeded);
}

} // namespace
} // namespace penstock::core::test
