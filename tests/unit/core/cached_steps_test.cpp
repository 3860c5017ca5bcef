// SPDX-License-Identifier: GPL-3.0-or-later
// Steps that came in as cached: their outputs were where they must be, so they are over from the start.
#include "tests/unit/core/farm_fixture.h"

namespace penstock::core::test {
namespace {

using work::JobState;
using work::StepResult;
using work::StepState;

struct CachedSteps : FarmTest {
    static JobRequest job(std::initializer_list<std::size_t> cached)
    {
        JobRequest job = nixJob("job", {"a", "b", "c"}, {{1, 0}, {2, 1}});
        for (const std::size_t at : cached)
            job.steps.at(at).cached = true;
        return job;
    }
};

TEST_F(CachedSteps, AJobWhoseRootsAreAllThereIsFinishedAtOnce)
{
    JobRequest request = nixJob("job", {"a"}, {});
    request.steps.front().cached = true;
    const SessionId session = connect("one");
    static_cast<void>(session);
    const JobId id = submit(request);
    EXPECT_TRUE(assigned().empty());
    EXPECT_EQ(stateOf(id), JobState::Succeeded);
    EXPECT_EQ(core->job(id)->progress.result, StepResult::Cached);
    EXPECT_EQ(core->job(id)->progress.finished, now.wall);
    EXPECT_EQ(core->job(id)->stepsDone, 1U);
    const work::StepProgress progress = progressOf(stepOf(id));
    EXPECT_EQ(progress.state, StepState::Finished);
    EXPECT_EQ(progress.result, StepResult::Cached);
    EXPECT_EQ(progress.finished, now.wall);
    EXPECT_EQ(progress.attempts, 0U);
    EXPECT_EQ(core->counters().attemptsStarted, 0U);
    EXPECT_EQ(core->counters().stepsThereAlready, 1U);
    EXPECT_EQ(core->totals().jobsOpen, 0U);
    // What is stored says so too.
    ASSERT_EQ(persist->changes.newSteps.size(), 1U);
    EXPECT_EQ(persist->changes.newSteps.front().progress.result, StepResult::Cached);
    ASSERT_EQ(persist->changes.jobs.size(), 1U);
    EXPECT_EQ(persist->changes.jobs.front().progress.result, StepResult::Cached);
}

TEST_F(CachedSteps, ShowTheirOutputsThoughNobodyBuiltThem)
{
    const JobId id = submit(job({0}));
    const auto view = core->step(stepOf(id, 0), id);
    EXPECT_FALSE(view->newest);
    EXPECT_EQ(view->outputs, (std::vector<work::NixOutput>{{"out", "/nix/store/a"}}));
    EXPECT_TRUE(core->step(stepOf(id, 1), id)->outputs.empty()); // to be built
}

TEST_F(CachedSteps, NobodyWaitsForThem)
{
    const SessionId session = connect("one");
    const JobId id = submit(job({0}));
    const AttemptId attempt = onlyAssigned();
    EXPECT_EQ(core->attempt(attempt)->step, stepOf(id, 1));
    finish(session, attempt);
    finish(session, onlyAssigned());
    EXPECT_EQ(stateOf(id), JobState::Succeeded);
    EXPECT_EQ(core->counters().attemptsStarted, 2U);
}

TEST_F(CachedSteps, WaitForNothingThemselves)
{
    const SessionId session = connect("one", 2);
    const JobId id = submit(job({1}));
    EXPECT_TRUE(core->step(stepOf(id, 1), id)->dependsOn.empty());
    const auto attempts = assigned();
    ASSERT_EQ(attempts.size(), 2U); // a and c, at once
    finish(session, attempts.at(0), protocol::Outcome::Failed, 1);
    EXPECT_EQ(progressOf(stepOf(id, 1)).result, StepResult::Cached);
    finish(session, attempts.at(1));
    EXPECT_EQ(stateOf(id), JobState::Succeeded); // its root is good
}

TEST_F(CachedSteps, AreNotSharedWithThoseWhoBuildTheSame)
{
    const SessionId session = connect("one", 2);
    const JobId building = submit(nixJob("job", {"a"}, {}));
    const AttemptId attempt = onlyAssigned();
    JobRequest request = nixJob("job", {"a"}, {});
    request.steps.front().cached = true;
    const JobId there = submit(request);
    EXPECT_EQ(stateOf(there), JobState::Succeeded);
    EXPECT_EQ(stateOf(building), JobState::Running);
    // And a later job still joins the one that runs.
    const JobId joining = submit(nixJob("job", {"a"}, {}));
    EXPECT_EQ(stepOf(joining), stepOf(building));
    finish(session, attempt);
    EXPECT_EQ(stateOf(building), JobState::Succeeded);
    EXPECT_EQ(stateOf(joining), JobState::Succeeded);
}

TEST_F(CachedSteps, ComeBackAfterARestartAsTheyWere)
{
    const JobId id = submit(job({0}));
    const JobId over = submit([] {
        JobRequest request = nixJob("over", {"z"}, {});
        request.steps.front().cached = true;
        return request;
    }());
    static_cast<void>(over);
    const StepId step = stepOf(id, 0);
    recover();
    EXPECT_EQ(progressOf(step).result, StepResult::Cached);
    EXPECT_EQ(core->step(step, id)->outputs.size(), 1U);
    EXPECT_EQ(core->job(id)->stepsDone, 1U);
    const SessionId session = connect("one");
    finish(session, onlyAssigned());
    finish(session, onlyAssigned());
    EXPECT_EQ(stateOf(id), JobState::Succeeded);
}

TEST_F(CachedSteps, DoNotCountAgainstTheLimitOfOpenSteps)
{
    options.maxOpenSteps = 2;
    restart();
    static_cast<void>(submit(job({0})));
    EXPECT_EQ(core->totals().jobsOpen, 1U);
    EXPECT_EQ(refused(job({0, 1})).code, ErrorCode::Exhausted);
}

TEST_F(CachedSteps, StayGoodWhenTheirJobIsTriedAgain)
{
    const SessionId session = connect("one");
    JobRequest request = job({0});
    const JobId id = submit(request);
    finish(session, onlyAssigned(), protocol::Outcome::Failed, 1);
    ASSERT_EQ(stateOf(id), JobState::Failed);
    work::StoredJob over{durable.jobs.front(), durable.steps, durable.dependencies, durable.jobSteps};
    confirm();
    ask(ReopenJob{RequestId(77), over});
    EXPECT_EQ(progressOf(stepOf(id, 0)).result, StepResult::Cached);
    finish(session, onlyAssigned());
    finish(session, onlyAssigned());
    EXPECT_EQ(stateOf(id), JobState::Succeeded);
}

} // namespace
} // namespace penstock::core::test
