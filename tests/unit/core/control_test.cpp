// SPDX-License-Identifier: GPL-3.0-or-later
// What operators do to the order and the bounds of work: bump, hold, pause, shares, namespaces, groups, limits.
#include "tests/unit/core/farm_fixture.h"

namespace penstock::core::test {
namespace {

using Control = FarmTest;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using work::JobState;
using Jobs = std::vector<JobId>;

JobRequest jobOfGroup(const std::string& name, const std::string& group)
{
    JobRequest job = commandJob(name);
    job.spec.shareGroup = group;
    return job;
}

JobRequest jobIn(const std::string& name, const std::string& nameSpace, std::uint32_t cpus = 0)
{
    JobRequest job = commandJob(name);
    job.spec.nameSpace = nameSpace;
    job.steps.at(0).spec.resources.cpus = cpus;
    return job;
}

JobRequest jobOfConcurrency(const std::string& name, std::uint32_t limit)
{
    JobRequest job = commandJob(name);
    job.spec.concurrencyGroup = "deploy";
    job.spec.concurrencyLimit = limit;
    return job;
}

// ---------------------------------------------------------------------------------------------------------- bump

TEST_F(Control, StartsTheNewestBumpFirst)
{
    const Jobs jobs = submitAll({commandJob("a"), commandJob("b"), commandJob("c"), commandJob("d")});
    ask(BumpJob{RequestId(1), jobs.at(2), true});
    advance(seconds(1));
    ask(BumpJob{RequestId(2), jobs.at(3), true});
    advance(seconds(1));
    ask(BumpJob{RequestId(3), jobs.at(1), true});
    ask(BumpJob{RequestId(4), jobs.at(1), false});
    static_cast<void>(connect("one", 4));
    EXPECT_EQ(assignedJobs(), (Jobs{jobs.at(3), jobs.at(2), jobs.at(0), jobs.at(1)}));
}

TEST_F(Control, BumpsManyInOneEventAndPassesOverThoseThatAreNotOpen)
{
    const Jobs jobs = submitAll({commandJob("a"), commandJob("b"), commandJob("c"), commandJob("d")});
    ask(BumpJob{RequestId(1), jobs.at(0), true});
    const WallTime earlier = now.wall + -minutes(1);
    ask(BumpJobs{RequestId(2),
                 {{jobs.at(0), std::nullopt}, {jobs.at(2), earlier}, {JobId(77), now.wall}, {jobs.at(3), now.wall}}});
    EXPECT_EQ(core->job(jobs.at(0))->progress.bumped, std::nullopt);
    EXPECT_EQ(core->job(jobs.at(2))->progress.bumped, earlier);
    static_cast<void>(connect("one", 4));
    EXPECT_EQ(assignedJobs(), (Jobs{jobs.at(3), jobs.at(2), jobs.at(0), jobs.at(1)}));
}

TEST_F(Control, RemembersABumpOfManyOverARestart)
{
    const Jobs jobs = submitAll({commandJob("a"), commandJob("b"), commandJob("c")});
    ask(BumpJobs{RequestId(1), {{jobs.at(1), now.wall}, {jobs.at(2), now.wall + seconds(1)}}});
    recover();
    static_cast<void>(connect("one", 4));
    EXPECT_EQ(assignedJobs(), (Jobs{jobs.at(2), jobs.at(1), jobs.at(0)}));
}

// Nothing to store or to hand down.
TEST_F(Control, StoresNothingOfABumpThatChangesNothing)
{
    const JobId job = submit(commandJob("a"));
    ask(BumpJobs{RequestId(1), {{job, now.wall}}});
    ASSERT_TRUE(persist);
    ask(BumpJobs{RequestId(2), {{job, core->job(job)->progress.bumped}}});
    EXPECT_FALSE(persist);
}

TEST_F(Control, BumpsWhatBecomesReadyLaterToo)
{
    const SessionId one = connect("one", 1);
    const JobId chain = submit(nixJob("j", {"base", "top"}, {{1, 0}}));
    const AttemptId base = onlyAssigned();
    static_cast<void>(submit(commandJob("first")));
    ask(BumpJob{RequestId(1), chain, true});
    finish(one, base);
    EXPECT_EQ(assignedJobs(), Jobs{chain});
}

TEST_F(Control, RefusesToBumpOrHoldAJobThatIsNotOpen)
{
    EXPECT_EQ(refusedEvent(BumpJob{RequestId(1), JobId(7), true}).message, "no job 7");
    EXPECT_EQ(refusedEvent(HoldJob{RequestId(1), JobId(7), true, ""}).code, ErrorCode::NotFound);
}

// ---------------------------------------------------------------------------------------------------------- hold

TEST_F(Control, StartsNothingOfAHeldJobUntilItIsReleased)
{
    const JobId held = submit(commandJob("a"));
    ask(HoldJob{RequestId(1), held, true, "ann: wait for the release"});
    static_cast<void>(connect("one", 2));
    EXPECT_TRUE(assigned().empty());
    EXPECT_EQ(core->job(held)->progress.holdNote, "ann: wait for the release");
    ask(HoldJob{RequestId(2), held, false, ""});
    EXPECT_EQ(assignedJobs(), Jobs{held});
    EXPECT_EQ(core->job(held)->progress.holdNote, "");
}

TEST_F(Control, HoldsWhatBecomesReadyWhileItsJobIsHeld)
{
    const SessionId one = connect("one", 1);
    const JobId chain = submit(nixJob("j", {"base", "top"}, {{1, 0}}));
    const AttemptId base = onlyAssigned();
    ask(HoldJob{RequestId(1), chain, true, ""});
    finish(one, base); // what runs goes on
    EXPECT_TRUE(assigned().empty());
    ask(HoldJob{RequestId(2), chain, false, ""});
    EXPECT_EQ(assignedJobs(), Jobs{chain});
}

TEST_F(Control, RunsAStepOfAHeldJobForAnotherJobThatNeedsIt)
{
    const JobId held = submit(nixJob("j", {"shared"}, {}));
    ask(HoldJob{RequestId(1), held, true, ""});
    const JobId other = submit(nixJob("k", {"shared"}, {}));
    EXPECT_EQ(stepOf(held), stepOf(other));
    const SessionId one = connect("one", 1);
    finish(one, onlyAssigned());
    EXPECT_EQ(stateOf(other), JobState::Succeeded);
    EXPECT_EQ(stateOf(held), JobState::Succeeded);
}

TEST_F(Control, RunsForAnotherJobWhatItNeedsOnlyThroughAStepOfTheHeldOne)
{
    const JobId held = submit(nixJob("j", {"base", "top"}, {{1, 0}}));
    ask(HoldJob{RequestId(1), held, true, ""});
    const JobId other = submit(nixJob("k", {"top"}, {})); // names the top only, which waits for the base
    const SessionId one = connect("one", 1);
    finish(one, onlyAssigned());
    finish(one, onlyAssigned());
    EXPECT_EQ(stateOf(other), JobState::Succeeded);
}

TEST_F(Control, HoldsASharedStepAgainWhenTheOtherJobIsCancelled)
{
    const JobId held = submit(nixJob("j", {"shared"}, {}));
    const JobId other = submit(nixJob("k", {"shared"}, {}));
    ask(HoldJob{RequestId(1), held, true, ""});
    ask(CancelJob{RequestId(2), other, "ann"});
    static_cast<void>(connect("one", 1));
    EXPECT_TRUE(assigned().empty());
    ask(HoldJob{RequestId(3), held, false, ""});
    EXPECT_EQ(assigned().size(), 1U);
}

// --------------------------------------------------------------------------------------------------------- pause

TEST_F(Control, StartsNothingOnAPausedFarmAndFinishesWhatRuns)
{
    const SessionId one = connect("one", 1);
    const Jobs jobs = submitAll({commandJob("a"), commandJob("b")});
    const AttemptId first = onlyAssigned();
    ask(PauseDispatch{RequestId(1), true, "ann", "new switch"});
    ASSERT_TRUE(persist->changes.pause);
    EXPECT_EQ(persist->changes.pause->note, "new switch");
    finish(one, first);
    EXPECT_TRUE(assigned().empty());
    EXPECT_EQ(stateOf(jobs.at(0)), JobState::Succeeded);
    EXPECT_TRUE(core->totals().pause.paused);
    ask(PauseDispatch{RequestId(2), false, "ann", ""});
    EXPECT_EQ(assignedJobs(), Jobs{jobs.at(1)});
}

// --------------------------------------------------------------------------------------------------------- shares

TEST_F(Control, DealsSlotsByShares)
{
    ask(SetShares{RequestId(1), {"rich", 300}});
    std::vector<JobRequest> requests;
    for (int i = 0; i < 8; ++i)
        requests.push_back(jobOfGroup("p", "poor"));
    for (int i = 0; i < 8; ++i)
        requests.push_back(jobOfGroup("r", "rich"));
    static_cast<void>(submitAll(std::move(requests)));
    static_cast<void>(connect("one", 8));
    EXPECT_EQ(assigned().size(), 8U);
    std::map<std::string, int> running;
    for (const JobId job : assignedJobs())
        ++running[core->job(job)->shareGroup];
    EXPECT_EQ(running, (std::map<std::string, int>{{"poor", 2}, {"rich", 6}}));
}

TEST_F(Control, ChangesTheOrderAtOnceWithTheShares)
{
    const SessionId one = connect("one", 4);
    static_cast<void>(submitAll(
        {jobOfGroup("a", "a"), jobOfGroup("a", "a"), jobOfGroup("b", "b"), jobOfGroup("b", "b")}));
    const std::vector<AttemptId> first = assigned();
    const JobId ofB = submit(jobOfGroup("b", "b"));
    const JobId ofA = submit(jobOfGroup("a", "a"));
    ask(SetShares{RequestId(1), {"a", 1000}});
    finish(one, first.at(2)); // one of b's
    EXPECT_EQ(assignedJobs(), Jobs{ofA});
    finish(one, first.at(3));
    EXPECT_EQ(assignedJobs(), Jobs{ofB});
    EXPECT_EQ(refusedEvent(SetShares{RequestId(2), {"a", 0}}).message, "shares of a: must be at least 1, not 0");
}

TEST_F(Control, StartsFirstWhoseGroupHasUsedLess)
{
    const SessionId one = connect("one", 1);
    static_cast<void>(submit(jobOfGroup("a", "a")));
    const AttemptId first = onlyAssigned();
    const JobId ofA = submit(jobOfGroup("a", "a"));
    const JobId ofB = submit(jobOfGroup("b", "b"));
    pass(minutes(2));
    finish(one, first);
    EXPECT_EQ(assignedJobs(), Jobs{ofB});
    EXPECT_EQ(stateOf(ofA), JobState::Queued);
    const std::vector<ShareView> shares = core->shares(now);
    ASSERT_EQ(shares.size(), 2U);
    EXPECT_EQ(shares.at(0).group, "a");
    EXPECT_EQ(shares.at(0).used, minutes(2));
    EXPECT_EQ(shares.at(1).running, 1U);
}

// ---------------------------------------------------------------------------------------------- namespaces, groups

TEST_F(Control, KeepsANamespaceToItsRunningSteps)
{
    ask(SetNamespace{RequestId(1), {.name = "team", .maxRunningSteps = 2}});
    const SessionId one = connect("one", 9);
    const Jobs jobs = submitAll({jobIn("a", "team"), jobIn("b", "team"), jobIn("c", "team"), jobIn("d", "other")});
    const std::vector<AttemptId> first = assigned();
    EXPECT_EQ(assignedJobs(), (Jobs{jobs.at(0), jobs.at(3), jobs.at(1)}));
    finish(one, first.at(0));
    EXPECT_EQ(assignedJobs(), Jobs{jobs.at(2)});
}

TEST_F(Control, CountsWhatRunsForAHeldJobInItsGroupAfterARestartToo)
{
    const auto inGroup = [](const std::string& name) {
        JobRequest job = commandJob(name);
        job.spec.concurrencyGroup = "deploy";
        job.spec.concurrencyLimit = 1;
        return job;
    };
    static_cast<void>(connectAs(kIdentity, kInstance, machineFacts("one", 2)));
    report(SessionId(1), {});
    const JobId first = submit(inGroup("a"));
    const AttemptId running = onlyAssigned();
    accept(SessionId(1), running);
    static_cast<void>(submit(inGroup("b")));
    ask(HoldJob{RequestId(1), first, true, ""});
    confirm();
    recover();
    const SessionId again = connectAs(kIdentity, kInstance, machineFacts("one", 2));
    report(again, {running});
    ask(HoldJob{RequestId(2), first, false, ""});
    EXPECT_TRUE(assigned().empty());
    finish(again, running);
    EXPECT_EQ(assigned().size(), 1U);
}

TEST_F(Control, RefusesAStepThatWantsMoreCpusThanItsNamespaceMayUse)
{
    ask(SetNamespace{RequestId(1), {.name = "team", .maxCpus = 3}});
    JobRequest job = commandJob("big");
    job.spec.nameSpace = "team";
    job.steps.at(0).spec.resources.cpus = 4;
    EXPECT_EQ(refused(job).message, "resources.cpus: big wants 4, but the steps of namespace team may use 3 at once; "
                                    "ask for less, or raise the limit");
}

TEST_F(Control, WidensANamespaceAtOnce)
{
    ask(SetNamespace{RequestId(1), {.name = "team", .maxCpus = 3}});
    static_cast<void>(connect("one", 9));
    const Jobs jobs = submitAll({jobIn("a", "team", 2), jobIn("b", "team", 2), jobIn("c", "team", 1)});
    EXPECT_EQ(assignedJobs(), (Jobs{jobs.at(0), jobs.at(2)}));
    const std::vector<NamespaceView> namespaces = core->namespaces();
    ASSERT_EQ(namespaces.size(), 1U);
    EXPECT_EQ(namespaces.at(0).runningCpus, 3U);
    EXPECT_EQ(namespaces.at(0).openJobs, 3U);
    ask(SetNamespace{RequestId(2), {.name = "team", .maxCpus = 5}});
    EXPECT_EQ(assignedJobs(), Jobs{jobs.at(1)});
}

TEST_F(Control, RefusesAJobThatWouldOpenOneMoreShareGroup)
{
    options.maxShareGroups = 2;
    restart();
    const SessionId one = connect("one", 1);
    static_cast<void>(submit(jobOfGroup("a", "red")));
    const AttemptId first = onlyAssigned();
    static_cast<void>(submit(jobOfGroup("b", "blue")));
    const Error error = refused(jobOfGroup("c", "green"));
    EXPECT_EQ(error.code, ErrorCode::Exhausted);
    EXPECT_EQ(error.message, "shares_group: with green of job c, 3 share groups would have open jobs, the limit is 2; "
                             "use a group that has some already, or wait until all of another's have finished");
    EXPECT_NE(refused(jobIn("c", "team")).message.find("namespace: with team"), std::string::npos);
    static_cast<void>(submit(jobOfGroup("d", "blue")));
    finish(one, first);
    confirm();
    static_cast<void>(submit(jobOfGroup("e", "green")));
    EXPECT_EQ(refused(jobOfGroup("f", "red")).code, ErrorCode::Exhausted);
}

TEST_F(Control, RefusesJobsThatTogetherWouldOpenTooManyShareGroupsAndInsertsNone)
{
    options.maxShareGroups = 2;
    restart();
    SubmitJobs submit{RequestId(7), {}};
    for (const char* group : {"red", "blue", "red", "green"})
        submit.jobs.push_back(jobOfGroup(group, group));
    EXPECT_EQ(refusedEvent(std::move(submit)).code, ErrorCode::Exhausted);
    EXPECT_EQ(core->totals().jobsOpen, 0U);
    EXPECT_EQ(submitAll({jobOfGroup("a", "red"), jobOfGroup("b", "red"), jobOfGroup("c", "blue")}).size(), 3U);
}

TEST_F(Control, KeepsWhatIsOpenAtARestartHoweverManyShareGroupsThatAre)
{
    static_cast<void>(submitAll({jobOfGroup("a", "red"), jobOfGroup("b", "blue"), jobOfGroup("c", "green")}));
    confirm();
    options.maxShareGroups = 1;
    recover();
    EXPECT_EQ(core->totals().jobsOpen, 3U);
    static_cast<void>(submit(jobOfGroup("d", "blue")));
    EXPECT_EQ(refused(jobOfGroup("e", "black")).code, ErrorCode::Exhausted);
}

TEST_F(Control, RefusesMoreOpenJobsThanTheNamespaceMayHave)
{
    ask(SetNamespace{RequestId(1), {.name = "team", .maxQueuedJobs = 2}});
    const Jobs jobs = submitAll({jobIn("a", "team"), jobIn("b", "team")});
    const Error error = refused(jobIn("c", "team"));
    EXPECT_EQ(error.code, ErrorCode::Exhausted);
    EXPECT_EQ(error.message, "namespace team would have 3 open jobs, its limit is 2; wait until some have finished");
    static_cast<void>(submit(jobIn("d", "other")));
    ask(CancelJob{RequestId(2), jobs.at(0), "ann"});
    static_cast<void>(submit(jobIn("c", "team")));
}

TEST_F(Control, AnswersARepeatedSubmissionAlsoWhenTheNamespaceIsFull)
{
    ask(SetNamespace{RequestId(1), {.name = "team", .maxQueuedJobs = 1}});
    JobRequest request = jobIn("a", "team");
    request.spec.key = "once";
    const JobId job = submit(request);
    EXPECT_EQ(submit(request), job); // its first answer may have been lost
    EXPECT_EQ(refused(jobIn("b", "team")).code, ErrorCode::Exhausted);
}

TEST_F(Control, RunsNoMoreOfAConcurrencyGroupThanTheNewestJobSays)
{
    const SessionId one = connect("one", 9);
    const Jobs jobs = submitAll({jobOfConcurrency("a", 1), jobOfConcurrency("b", 1), jobOfConcurrency("c", 1)});
    const AttemptId first = onlyAssigned();
    finish(one, first);
    EXPECT_EQ(assignedJobs(), Jobs{jobs.at(1)});
    const JobId wider = submit(jobOfConcurrency("d", 3));
    EXPECT_EQ(assignedJobs(), (Jobs{jobs.at(2), wider}));
}

TEST_F(Control, KeepsConcurrencyGroupsOfNamespacesApart)
{
    static_cast<void>(connect("one", 9));
    JobRequest other = jobOfConcurrency("b", 1);
    other.spec.nameSpace = "other";
    static_cast<void>(submitAll({jobOfConcurrency("a", 1), other}));
    EXPECT_EQ(assigned().size(), 2U);
}

// --------------------------------------------------------------------------------------------------------- limits

TEST_F(Control, GivesASharedStepTheWidestLimitsOfItsJobs)
{
    JobRequest strict = nixJob("j", {"shared"}, {});
    strict.spec.limits = {minutes(1), seconds(10), 1'000, 500, 2};
    JobRequest generous = nixJob("k", {"shared"}, {});
    generous.spec.limits = {minutes(5), seconds(5), 0, 700};
    static_cast<void>(submitAll({strict, generous}));
    static_cast<void>(connect("one"));
    const protocol::Limits limits = assignment().limits;
    EXPECT_EQ(limits.timeout, minutes(5));
    EXPECT_EQ(limits.silentTimeout, seconds(10));
    EXPECT_EQ(limits.maxLogBytes, 0U); // one without a limit lifts it
    EXPECT_EQ(limits.maxOutputBytes, 700U);
    EXPECT_EQ(limits.repeats, 2U) << "who asks for none does not take them from another";
}

TEST_F(Control, GivesAStepThatNobodyAskedForTheLimitsOfDependencies)
{
    options.dependencyLimits = {.timeout = hours(2), .silentTimeout = {}, .maxLogBytes = 10, .maxOutputBytes = 0};
    restart();
    JobRequest chain = nixJob("j", {"base", "top"}, {{1, 0}});
    chain.spec.limits = {minutes(1), seconds(10), 1'000, 500};
    static_cast<void>(submit(chain));
    const SessionId one = connect("one");
    const protocol::Assignment base = assignment();
    EXPECT_EQ(base.limits.timeout, hours(2));
    EXPECT_EQ(base.limits.silentTimeout, seconds(0));
    EXPECT_EQ(base.limits.maxLogBytes, 1'000U);
    finish(one, base.attempt);
    EXPECT_EQ(assignment().limits.timeout, minutes(1));
}

TEST_F(Control, PromotesWhatHasWaitedTooLongWithinItsGroup)
{
    options.policy.promoteAfter = minutes(10);
    restart();
    JobRequest patient = commandJob("patient");
    patient.spec.priority = -10;
    const JobId old = submit(patient);
    pass(minutes(9));
    const JobId urgent = submit(commandJob("urgent"));
    pass(minutes(2));
    EXPECT_EQ(core->counters().promotions, 1U);
    static_cast<void>(connect("one", 2));
    EXPECT_EQ(assignedJobs(), (Jobs{old, urgent}));
}

} // namespace
} // namespace penstock::core::test
