// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/farm_fixture.h"

namespace penstock::core::test {
namespace {

using work::JobState;
using work::StepState;

// Keeps rows like a store does, from the Persist commands it is given.
struct Recovered : FarmTest {
    work::Recovery kept; // of the batches that became durable

    void keep()
    {
        if (persist)
            keepIn(kept, *persist);
    }
    Result<std::vector<Command>> crash()
    {
        std::erase_if(kept.attempts, [](const auto& row) { return row.progress.state == work::AttemptState::Ended; });
        std::erase_if(kept.jobs, [](const auto& row) { return work::isFinished(row.progress.state); });
        restart();
        advance(std::chrono::seconds(5));
        return core->recover(kept, now);
    }
};

TEST_F(Recovered, AdoptsWhatStillRunsAndLosesWhatDoesNot)
{
    const SessionId first = connectAs(kIdentity, kInstance, machineFacts("one", 2));
    keep();
    report(first, {});
    const std::vector<JobId> jobs = submitAll({commandJob("a"), commandJob("b"), commandJob("c")});
    const std::vector<AttemptId> attempts = assigned();
    ASSERT_EQ(attempts.size(), 2U);
    keep();
    ASSERT_TRUE(crash());
    ASSERT_TRUE(core->checkInvariants());
    EXPECT_EQ(stateOf(jobs.at(0)), JobState::Running);
    const SessionId again = connectAs(kIdentity, kInstance, machineFacts("one", 2));
    EXPECT_EQ(welcomed.at(0).after, 0U); // its row is stored
    report(again, {attempts.at(0)});
    EXPECT_EQ(core->counters().adopted, 1U);
    EXPECT_EQ(core->counters().lost, 1U);
    const std::vector<AttemptId> fresh = assigned();
    ASSERT_EQ(fresh.size(), 1U);
    EXPECT_GT(fresh.at(0), attempts.at(1));
    finish(again, attempts.at(0));
    EXPECT_EQ(stateOf(jobs.at(0)), JobState::Succeeded);
}

TEST_F(Recovered, RetriesWhatNobodyClaimsWithinTheGrace)
{
    const SessionId first = connect("one");
    static_cast<void>(first);
    keep();
    const JobId job = submit(commandJob("a"));
    kept.machines = {{MachineId(1), std::string(32, 'b'), "local", "one", false, {}, now.wall, now.wall}};
    keep();
    ASSERT_TRUE(crash());
    advance(options.reconnectGrace);
    tick();
    EXPECT_EQ(core->counters().lost, 1U);
    EXPECT_EQ(progressOf(stepOf(job)).state, StepState::Ready);
}

TEST_F(Recovered, ContinuesACancelThatTheCrashInterrupted)
{
    const SessionId first = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    keep();
    report(first, {});
    const JobId job = submit(commandJob("a"));
    const AttemptId attempt = onlyAssigned();
    keep();
    send(CancelJob{RequestId(9), job, "ann"});
    keep();
    ASSERT_TRUE(crash());
    const SessionId again = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    report(again, {attempt});
    EXPECT_EQ(stopped(), std::vector<AttemptId>{attempt});
    finish(again, attempt, protocol::Outcome::Cancelled);
    EXPECT_EQ(stateOf(job), JobState::Cancelled);
    EXPECT_EQ(core->job(job)->progress.error, "cancelled by ann");
}

// The stopped step has the lower id, and gives the key back only after both have been loaded.
TEST_F(Recovered, FindsTheSuccessorOfAStoppedStepByItsKey)
{
    const SessionId first = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    keep();
    report(first, {});
    const JobId cancelled = submit(rootJob("first", {"a"}, {}));
    keep();
    send(CancelJob{RequestId(9), cancelled, "ann"});
    keep();
    const JobId successor = submit(rootJob("second", {"a"}, {}));
    keep();
    ASSERT_NE(stepOf(successor), stepOf(cancelled));
    ASSERT_TRUE(crash());
    ASSERT_TRUE(core->checkInvariants());
    JobRequest referring = rootJob("third", {"a"}, {});
    referring.steps.front().isReference = true;
    const JobId third = submit(std::move(referring));
    EXPECT_EQ(stepOf(third), stepOf(successor));
}

TEST_F(Recovered, KeepsRetryTimesDependenciesAndKeys)
{
    const SessionId first = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    keep();
    report(first, {});
    JobRequest request = nixJob("j", {"base", "top"}, {{1, 0}});
    request.spec.key = "k";
    request.steps.at(0).spec.retry.retries = 3;
    const JobId job = submit(request);
    keep();
    finish(first, onlyAssigned(), protocol::Outcome::Failed, 1);
    keep();
    ASSERT_TRUE(crash());
    EXPECT_EQ(progressOf(stepOf(job, 0)).state, StepState::Delayed);
    EXPECT_EQ(progressOf(stepOf(job, 1)).state, StepState::Blocked);
    EXPECT_EQ(submit(request), job);
    const SessionId again = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    report(again, {});
    advance(std::chrono::minutes(2));
    tick();
    finish(again, onlyAssigned());
    finish(again, onlyAssigned());
    EXPECT_EQ(stateOf(job), JobState::Succeeded);
}

TEST_F(Recovered, NamesRowsThatContradictEachOther)
{
    static_cast<void>(submit(commandJob("a")));
    keep();
    work::Recovery good = kept;
    kept.jobSteps.push_back({JobId(1), StepId(9), true});
    EXPECT_EQ(crash().error().code, ErrorCode::Corrupt);
    kept = good;
    kept.steps.push_back(kept.steps.at(0));
    EXPECT_EQ(crash().error().code, ErrorCode::Corrupt);
    kept = good;
    kept.dependencies.push_back({StepId(9), StepId(1)});
    EXPECT_EQ(crash().error().code, ErrorCode::Corrupt);
    kept = good;
    EXPECT_TRUE(crash());
}

} // namespace
} // namespace penstock::core::test
