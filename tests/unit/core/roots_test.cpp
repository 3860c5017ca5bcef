// SPDX-License-Identifier: GPL-3.0-or-later
// Jobs that claim only their roots: what is below is wanted because the roots are.
#include "tests/unit/core/farm_fixture.h"

#include <fmt/format.h>

#include <map>

namespace penstock::core::test {
namespace {

using work::JobState;
using work::StepResult;
using work::StepState;

struct Roots : FarmTest {
    StepRequest reference(const std::string& name)
    {
        StepRequest step{nixStep(name), {}, false};
        step.isReference = true;
        return step;
    }
    JobId submitChain(const std::string& name = "job")
    {
        return submit(rootJob(name, {"a", "b", "c"}, {{1, 0}, {2, 1}}));
    }
    std::size_t stepsHere()
    {
        std::size_t here = 0;
        for (const work::StepRow& row : durable.steps)
            here += core->step(row.id, JobId(0)) ? 1U : 0U;
        return here;
    }
    void cancel(JobId job) { ask(CancelJob{RequestId(nextRequest++), job, "ann"}); }
};

TEST_F(Roots, AreAllThatAJobIsToldOf)
{
    const JobId job = submitChain();
    EXPECT_EQ(core->stepsOf(job), std::vector<StepId>{idOf("c")});
    EXPECT_EQ(core->job(job)->stepsTotal, 1U);
    ASSERT_EQ(persist->changes.jobSteps.size(), 1U);
    EXPECT_TRUE(persist->changes.jobSteps.front().root);
    EXPECT_EQ(persist->changes.newJobs.front().stepsTotal, 1U);
    EXPECT_EQ(persist->changes.newSteps.size(), 3U);
    EXPECT_EQ(persist->changes.dependencies.size(), 2U);
}

TEST_F(Roots, RunWhatTheyNeedFirst)
{
    const SessionId session = connect("one");
    const JobId job = submitChain();
    for (const char* name : {"a", "b", "c"}) {
        ASSERT_EQ(assignedName(), name);
        EXPECT_EQ(jobOf(onlyAssigned()), job); // also of steps that it does not list
        EXPECT_EQ(durable.attempts.back().job, job);
        EXPECT_EQ(core->job(job)->stepsRunning, name == std::string("c") ? 1U : 0U);
        const AttemptId attempt = onlyAssigned();
        accept(session, attempt);
        finish(session, attempt);
    }
    EXPECT_EQ(stateOf(job), JobState::Succeeded);
    EXPECT_EQ(core->job(job)->stepsDone, 1U);
}

TEST_F(Roots, LeaveNothingBehind)
{
    options.finishedJobsKept = 0;
    restart();
    const SessionId again = connect("one");
    const JobId job = submitChain();
    for (int i = 0; i < 3; ++i) {
        finish(again, onlyAssigned());
        // Good ones go as soon as they are done.
        EXPECT_EQ(stepsHere(), i == 2 ? 1U : 2U - static_cast<unsigned>(i));
    }
    EXPECT_EQ(stateOf(job), JobState::Succeeded);
    confirm();
    tick();
    EXPECT_EQ(stepsHere(), 0U);
    EXPECT_FALSE(core->job(job));
}

TEST_F(Roots, FailWithWhatTheyNeedAndSayWhatItWas)
{
    const SessionId session = connect("one");
    const JobId job = submitChain();
    finish(session, onlyAssigned(), protocol::Outcome::Failed, 1);
    EXPECT_EQ(stateOf(job), JobState::Failed);
    EXPECT_EQ(core->job(job)->progress.result, StepResult::DependencyFailed);
    EXPECT_EQ(core->job(job)->progress.error, "c was not tried: a did not succeed");
    EXPECT_EQ(rowOf("b")->result, StepResult::DependencyFailed);
    EXPECT_EQ(rowOf("b")->error, "a did not succeed");
    EXPECT_EQ(stepsHere(), 1U); // the root, for as long as its job is shown
    EXPECT_EQ(core->totals().stepsReady + core->totals().stepsBlocked, 0U);
}

TEST_F(Roots, CancelledTakeAllBelowThemAlong)
{
    const SessionId session = connect("one");
    const JobId job = submit(rootJob("job", {"a", "b", "c", "d"}, {{1, 0}, {2, 0}, {3, 1}, {3, 2}}));
    const AttemptId attempt = onlyAssigned();
    accept(session, attempt);
    cancel(job);
    EXPECT_EQ(stopped(), std::vector<AttemptId>{attempt});
    EXPECT_EQ(stateOf(job), JobState::Cancelled); // its own step has ended
    for (const char* name : {"b", "c", "d"}) {
        EXPECT_EQ(rowOf(name)->result, StepResult::Cancelled) << name;
        EXPECT_EQ(rowOf(name)->error, "cancelled by ann") << name;
    }
    EXPECT_EQ(rowOf("a")->state, StepState::Running);
    // A new job that needs the same does not get what is being stopped.
    const JobId other = submit(rootJob("other", {"a"}, {}));
    EXPECT_NE(core->stepsOf(other).front(), durable.attempts.front().step);
    finish(session, attempt, protocol::Outcome::Cancelled);
    EXPECT_EQ(core->counters().stepsUnwanted, 2U); // b, c; d was claimed, a was stopped
    EXPECT_EQ(durable.steps.front().progress.result, StepResult::Cancelled);
    EXPECT_FALSE(core->step(durable.steps.front().id, JobId(0)));
    EXPECT_EQ(core->totals().jobsOpen, 1U);
}

TEST_F(Roots, CancelledLeaveToOthersWhatThoseNeed)
{
    const JobId first = submitChain("first");
    JobRequest other = rootJob("other", {"a", "b", "e"}, {{1, 0}, {2, 1}});
    const JobId second = submit(std::move(other));
    cancel(first);
    EXPECT_EQ(stateOf(first), JobState::Cancelled);
    EXPECT_EQ(rowOf("c")->result, StepResult::Cancelled);
    EXPECT_FALSE(rowOf("b")->result);
    cancel(second);
    EXPECT_EQ(rowOf("b")->result, StepResult::Cancelled);
    EXPECT_EQ(rowOf("a")->result, StepResult::Cancelled);
    EXPECT_EQ(core->totals().stepsBlocked + core->totals().stepsReady, 0U);
}

TEST_F(Roots, OfTwoJobsMayDependOnEachOther)
{
    const SessionId session = connect("one");
    const JobId lower = submit(rootJob("lower", {"a", "b"}, {{1, 0}}));
    const JobId upper = submitChain("upper"); // its c needs b
    cancel(lower);
    EXPECT_EQ(stateOf(lower), JobState::Cancelled);
    EXPECT_FALSE(rowOf("b")->result); // goes on for the other
    for (int i = 0; i < 3; ++i)
        finish(session, durable.attempts.back().id);
    EXPECT_EQ(stateOf(upper), JobState::Succeeded);
}

TEST_F(Roots, StopWhatOnlyAFailedStepNeeded)
{
    const SessionId session = connect("one", 2);
    // d needs a and c; c needs b. Another job needs only b.
    const JobId job = submit(rootJob("job", {"a", "b", "c", "d"}, {{3, 0}, {3, 2}, {2, 1}}));
    ASSERT_EQ(assigned().size(), 2U);
    std::map<std::string, AttemptId> attempts;
    for (const work::AttemptRow& row : durable.attempts)
        attempts.emplace(core->step(row.step, JobId(0))->name, row.id);
    finish(session, attempts.at("a"), protocol::Outcome::Failed, 1);
    EXPECT_EQ(stateOf(job), JobState::Failed);
    EXPECT_EQ(rowOf("c")->result, StepResult::Cancelled);
    EXPECT_EQ(rowOf("c")->error, "no job needs it any more");
    EXPECT_EQ(stopped(), std::vector<AttemptId>{attempts.at("b")});
    finish(session, attempts.at("b")); // it was quicker than the stop
    EXPECT_EQ(rowOf("b")->result, StepResult::Succeeded);
    EXPECT_EQ(core->counters().stepsUnwanted, 1U);
    EXPECT_EQ(stepsHere(), 1U);
}

TEST_F(Roots, BesideAJobThatClaimsAllKeepGoingForThatOne)
{
    const SessionId session = connect("one");
    const JobId all = submit(nixJob("all", {"a", "b", "c"}, {{2, 0}, {2, 1}}));
    const JobId roots = submit(rootJob("roots", {"a", "b", "c", "d"}, {{2, 0}, {2, 1}, {3, 2}}));
    finish(session, durable.attempts.back().id, protocol::Outcome::Failed, 1);
    EXPECT_EQ(stateOf(roots), JobState::Failed);
    EXPECT_EQ(stateOf(all), JobState::Running);
    finish(session, onlyAssigned());
    EXPECT_EQ(stateOf(all), JobState::Failed);
    EXPECT_EQ(core->job(all)->stepsDone, 1U);
}

TEST_F(Roots, AJobThatClaimsAllCancelsOnlyWhatNoRootNeeds)
{
    const JobId all = submit(nixJob("all", {"a", "b", "c"}, {{1, 0}, {2, 1}}));
    const JobId roots = submit(rootJob("roots", {"a", "b", "d"}, {{1, 0}, {2, 1}}));
    cancel(all);
    EXPECT_EQ(stateOf(all), JobState::Cancelled);
    EXPECT_EQ(rowOf("c")->result, StepResult::Cancelled);
    EXPECT_FALSE(rowOf("a")->result);
    EXPECT_FALSE(rowOf("b")->result);
    cancel(roots);
    EXPECT_EQ(rowOf("a")->result, StepResult::Cancelled);
}

TEST_F(Roots, NeedNothingThatALiveStepDoesWithout)
{
    const JobId first = submit(rootJob("first", {"c"}, {}));
    const JobId second = submitChain("second"); // says that c needs b and a: the live c does not
    EXPECT_EQ(core->stepsOf(first), core->stepsOf(second));
    EXPECT_EQ(rowOf("a")->result, StepResult::Cancelled);
    EXPECT_EQ(rowOf("b")->result, StepResult::Cancelled);
    EXPECT_EQ(stepsHere(), 1U);
}

TEST_F(Roots, CachedBelowThemAreWrittenAndForgotten)
{
    JobRequest job = rootJob("job", {"a", "b"}, {{1, 0}});
    job.steps.front().cached = true;
    static_cast<void>(submit(std::move(job)));
    EXPECT_EQ(rowOf("a")->result, StepResult::Cached);
    EXPECT_EQ(stepsHere(), 1U);
}

TEST_F(Roots, MustBeNamed)
{
    JobRequest job = rootJob("job", {"a"}, {});
    job.steps.front().root = false;
    EXPECT_EQ(refused(std::move(job)).code, ErrorCode::Invalid);
}

// ---------------------------------------------------------------------------------------------------- references

TEST_F(Roots, MayReferToALiveStep)
{
    const SessionId session = connect("one");
    const JobId first = submitChain("first");
    JobRequest job = rootJob("second", {"d"}, {});
    job.steps.push_back(reference("b"));
    job.steps.front().dependsOn = {1};
    const JobId second = submit(std::move(job));
    EXPECT_EQ(persist->changes.newSteps.size(), 1U);
    ASSERT_EQ(persist->changes.dependencies.size(), 1U);
    EXPECT_EQ(persist->changes.dependencies.front().dependsOn, idOf("b"));
    cancel(first);
    for (int i = 0; i < 3; ++i)
        finish(session, durable.attempts.back().id);
    EXPECT_EQ(stateOf(second), JobState::Succeeded);
}

TEST_F(Roots, MayReferToAStepOfAnEarlierJobOfTheSubmission)
{
    std::vector<JobRequest> jobs;
    jobs.push_back(rootJob("first", {"a", "b"}, {{1, 0}}));
    jobs.push_back(rootJob("second", {"c"}, {}));
    jobs.back().steps.push_back(reference("a"));
    jobs.back().steps.front().dependsOn = {1};
    const std::vector<JobId> ids = submitAll(std::move(jobs));
    EXPECT_EQ(ids.size(), 2U);
    EXPECT_EQ(durable.steps.size(), 3U);
}

TEST_F(Roots, ThatReferToNothingAreRefusedAsAWhole)
{
    const SessionId session = connect("one");
    static_cast<void>(submit(rootJob("done", {"a"}, {})));
    finish(session, onlyAssigned());
    std::vector<JobRequest> jobs;
    jobs.push_back(rootJob("fine", {"x"}, {}));
    jobs.push_back(rootJob("not", {"c"}, {}));
    jobs.back().steps.push_back(reference("a")); // has ended
    jobs.back().steps.front().dependsOn = {1};
    send(SubmitJobs{RequestId(nextRequest++), std::move(jobs)});
    ASSERT_FALSE(replies.at(0).answer.has_value());
    EXPECT_EQ(replies.at(0).answer.error().code, ErrorCode::Conflict);
    EXPECT_EQ(replies.at(0).answer.error().message, "no live step for /nix/store/a.drv");
    EXPECT_EQ(core->totals().jobsOpen, 0U);
    EXPECT_EQ(durable.steps.size(), 1U);
}

TEST_F(Roots, MayNotReferToWhatALaterJobMakes)
{
    std::vector<JobRequest> jobs;
    jobs.push_back(rootJob("first", {"c"}, {}));
    jobs.back().steps.push_back(reference("a"));
    jobs.back().steps.front().dependsOn = {1};
    jobs.push_back(rootJob("second", {"a"}, {}));
    send(SubmitJobs{RequestId(nextRequest++), std::move(jobs)});
    EXPECT_FALSE(replies.at(0).answer.has_value());
}

TEST_F(Roots, MayNotSayMoreOfAReference)
{
    static_cast<void>(submitChain());
    JobRequest job = rootJob("second", {"x", "b"}, {{1, 0}});
    job.steps.back().isReference = true;
    EXPECT_EQ(refused(std::move(job)).code, ErrorCode::Invalid);
}

TEST_F(Roots, MayBeReferences)
{
    const JobId first = submitChain("first");
    JobRequest job = rootJob("second", {"b"}, {});
    job.steps.front().isReference = true;
    const JobId second = submit(std::move(job));
    EXPECT_EQ(core->stepsOf(second).front(), idOf("b"));
    EXPECT_NE(first, second);
}

// ------------------------------------------------------------------------------------------------------ which job

TEST_F(Roots, GiveTheirAttemptsToAJobThatAskedByName)
{
    const JobId above = submitChain("above"); // an older one that only needs a
    const JobId named = submit(rootJob("named", {"a"}, {}));
    static_cast<void>(connect("one"));
    EXPECT_EQ(assignedName(), "a");
    EXPECT_EQ(jobOf(onlyAssigned()), named);
    EXPECT_NE(above, named);
}

TEST_F(Roots, GetTheLimitsOfTheJobsAbove)
{
    options.dependencyLimits.timeout = std::chrono::hours(2);
    options.dependencyLimits.silentTimeout = std::chrono::hours(1);
    restart();
    JobRequest job = rootJob("job", {"a", "b"}, {{1, 0}});
    job.spec.limits.timeout = std::chrono::hours(3);
    job.spec.limits.silentTimeout = std::chrono::minutes(1);
    static_cast<void>(submit(std::move(job)));
    const SessionId session = connect("one");
    EXPECT_EQ(assignment().limits.timeout, std::chrono::hours(3));
    EXPECT_EQ(assignment().limits.silentTimeout, std::chrono::hours(1)); // a dependency's
    finish(session, onlyAssigned());
    EXPECT_EQ(assignment().limits.silentTimeout, std::chrono::minutes(1)); // the root's own
}

// ------------------------------------------------------------------------------------------------------- recovery

TEST_F(Roots, GoOnAfterARestart)
{
    SessionId session = connect("one");
    const JobId job = submitChain();
    finish(session, onlyAssigned());
    const AttemptId running = onlyAssigned();
    accept(session, running);
    recover();
    EXPECT_EQ(stepsHere(), 2U);
    session = connectAs(std::string(32, 'b'), kInstance, machineFacts("one", 1));
    report(session, {running});
    finish(session, running);
    finish(session, onlyAssigned());
    EXPECT_EQ(stateOf(job), JobState::Succeeded);
}

TEST_F(Roots, NobodyWantsAfterARestartAreCancelled)
{
    static_cast<void>(submitChain());
    std::erase_if(durable.jobs, [](const auto&) { return true; });
    durable.jobSteps.clear();
    recover();
    for (const work::StepRow& row : durable.steps)
        EXPECT_EQ(row.progress.result, StepResult::Cancelled);
    EXPECT_EQ(stepsHere(), 0U);
}

TEST_F(Roots, AreCancelledToTheEndAfterARestart)
{
    const SessionId session = connect("one");
    JobRequest request = rootJob("job", {"a", "b"}, {{1, 0}});
    request.steps.front().root = true;
    const JobId job = submit(std::move(request));
    accept(session, onlyAssigned());
    cancel(job);
    EXPECT_NE(stateOf(job), JobState::Cancelled); // a is being stopped
    recover();
    const SessionId again = connectAs(std::string(32, 'b'), kInstance, machineFacts("one", 1));
    report(again, {durable.attempts.back().id});
    EXPECT_EQ(stopped().size(), 1U);
    finish(again, durable.attempts.back().id, protocol::Outcome::Cancelled);
    EXPECT_EQ(stateOf(job), JobState::Cancelled);
}

// --------------------------------------------------------------------------------------------------------- reopen

TEST_F(Roots, ThemselvesMayBeTriedAgain)
{
    const SessionId session = connect("one");
    const JobId job = submit(rootJob("job", {"a", "b"}, {{1, 0}}));
    finish(session, onlyAssigned());
    finish(session, onlyAssigned(), protocol::Outcome::Failed, 1);
    EXPECT_EQ(stateOf(job), JobState::Failed);
    confirm();
    // What the store gives: a has ended well and is left out, with its edge.
    work::StoredJob row{durable.jobs.back(), {durable.steps.back()}, {}, durable.jobSteps};
    ask(ReopenJob{RequestId(nextRequest++), std::move(row)});
    EXPECT_EQ(assignedName(), "b");
    finish(session, onlyAssigned());
    EXPECT_EQ(stateOf(job), JobState::Succeeded);
}

TEST_F(Roots, WhoseNeedsAreGoneCannotBeOpenedAgain)
{
    const SessionId session = connect("one");
    const JobId job = submit(rootJob("job", {"a", "b"}, {{1, 0}}));
    finish(session, onlyAssigned(), protocol::Outcome::Failed, 1);
    EXPECT_EQ(stateOf(job), JobState::Failed);
    confirm();
    work::StoredJob row{durable.jobs.back(), {durable.steps.back()}, durable.dependencies, durable.jobSteps};
    const Error error = refusedEvent(ReopenJob{RequestId(nextRequest++), std::move(row)});
    EXPECT_EQ(error.code, ErrorCode::Conflict);
    EXPECT_NE(error.message.find("submit the job anew"), std::string::npos) << error.message;
}

// -------------------------------------------------------------------------------------------------------- explain

TEST_F(Roots, AreExplainedDownToWhatIsUnfinished)
{
    const JobId job = submitChain();
    const auto why = core->explain(job, 10, now);
    ASSERT_TRUE(why);
    ASSERT_EQ(why->steps.size(), 3U);
    EXPECT_EQ(why->steps.at(0).name, "c");
    EXPECT_EQ(why->steps.at(2).name, "a");
    EXPECT_EQ(why->steps.at(2).state, StepState::Ready);
    EXPECT_EQ(why->more, 0U);
    const auto some = core->explain(job, 2, now);
    EXPECT_EQ(some->steps.size(), 2U);
    EXPECT_EQ(some->more, 1U);
    EXPECT_EQ(core->explain(job, 1, now)->more, 2U);
    const auto one = core->explainStep(job, idOf("a"), now);
    ASSERT_EQ(one->steps.size(), 1U);
    const JobId other = submit(rootJob("other", {"x"}, {}));
    EXPECT_TRUE(core->explainStep(other, idOf("a"), now)->steps.empty());
}

// Without walking over a whole farm: what is not known to be another's is explained to whoever asks.
TEST_F(Roots, AreExplainedBeyondWhatIsCounted)
{
    constexpr std::size_t kWide = Explanation::kCountedBelow + 10;
    std::vector<std::string> names;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> edges;
    for (std::uint32_t below = 0; below < kWide; ++below) {
        names.push_back(fmt::format("below-{}", below));
        edges.emplace_back(kWide, below);
    }
    names.emplace_back("top");
    const JobId job = submit(rootJob("wide", names, edges));
    const auto why = core->explain(job, 5, now);
    EXPECT_EQ(why->steps.size(), 5U);
    EXPECT_EQ(why->more, Explanation::kCountedBelow - 4); // besides the top
    EXPECT_EQ(core->explainStep(job, idOf("below-1"), now)->steps.size(), 1U);
    EXPECT_EQ(core->explainStep(job, idOf(names.at(kWide - 1)), now)->steps.size(), 1U);
}

} // namespace
} // namespace penstock::core::test
