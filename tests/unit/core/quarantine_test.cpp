// SPDX-License-Identifier: GPL-3.0-or-later
// Machines that fail by their own fault, thresholds, trust, removal; steps that no machine can run; retries.
#include "tests/unit/core/farm_fixture.h"

namespace penstock::core::test {
namespace {

using protocol::Outcome;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using work::HealthState;
using work::JobState;
using work::StepResult;
using work::StepState;

work::ThresholdOverrides loadBelow(double limit)
{
    work::ThresholdOverrides overrides;
    overrides.load1 = limit;
    return overrides;
}

struct Quarantine : FarmTest {
    SessionId one{0};

    [[nodiscard]] work::MachineHealth health() const { return core->machine(MachineId(1))->health; }
    SessionId comeBack()
    {
        one = connectAs(kIdentity, kInstance, machineFacts("one", 2));
        return one;
    }
    // Three different steps fail by the machine's fault.
    void quarantine()
    {
        comeBack();
        report(one, {});
        for (const std::string name : {"a", "b", "c"}) {
            EXPECT_EQ(health().state, HealthState::Healthy);
            const JobId job = submit(commandJob(name));
            finish(one, onlyAssigned(), Outcome::Infrastructure);
            ask(CancelJob{RequestId(1), job, "test"});
        }
        EXPECT_EQ(health().state, HealthState::Quarantined);
    }
    AttemptId probe()
    {
        quarantine();
        pass(minutes(1));
        EXPECT_EQ(health().state, HealthState::Probing);
        return onlyAssigned();
    }
};

TEST_F(Quarantine, FollowsThreeDifferentStepsThatFailedByTheMachine)
{
    quarantine();
    EXPECT_EQ(core->counters().quarantines, 1U);
    EXPECT_EQ(core->totals().machinesQuarantined, 1U);
    EXPECT_EQ(core->machine(MachineId(1))->condition, MachineCondition::Quarantined);
    EXPECT_EQ(durable.machines.at(0).health.state, HealthState::Quarantined);
    EXPECT_EQ(*health().until - now.wall, minutes(1));
    static_cast<void>(submit(commandJob("d")));
    EXPECT_TRUE(assigned().empty());
}

TEST_F(Quarantine, DoesNotFollowTheKillOfABuilderThatRanSeveralSteps)
{
    one = connectAs(kIdentity, kInstance, machineFacts("one", 3));
    report(one, {});
    static_cast<void>(submitAll({commandJob("a"), commandJob("b"), commandJob("c")}));
    const std::vector<AttemptId> running = assigned();
    ASSERT_EQ(running.size(), 3U);
    send(MachineDisconnected{one, ""});
    advance(seconds(1));
    one = connectAs(kIdentity, std::string(32, '2'), machineFacts("one", 3));
    report(one, {}, 0, running);
    for (const AttemptId attempt : running)
        finish(one, attempt, Outcome::Infrastructure); // what the builder finds of them when it is back
    EXPECT_EQ(health().state, HealthState::Healthy);
    EXPECT_EQ(health().failuresInRow, 0U);
}

TEST_F(Quarantine, DoesNotFollowWhatTheServerCouldNotSend)
{
    comeBack();
    report(one, {});
    for (int i = 0; i < 5; ++i) {
        const JobId job = submit(commandJob("j" + std::to_string(i)));
        AttemptFinished event{one, result(onlyAssigned(), Outcome::Infrastructure), false};
        event.result.error = "no text";
        send(std::move(event));
        EXPECT_EQ(progressOf(stepOf(job)).state, StepState::Delayed);
        EXPECT_EQ(progressOf(stepOf(job)).error, "no text");
        ask(CancelJob{RequestId(1), job, "test"});
    }
    EXPECT_EQ(health().state, HealthState::Healthy);
    EXPECT_EQ(core->machine(MachineId(1))->failed, 0U);
}

TEST_F(Quarantine, AMachineMayBeRemovedInTheBatchInWhichItCame)
{
    const SessionId session(77);
    std::vector<Event> events{MachineConnected{session, kIdentity, kInstance, "local", "1", machineFacts("one", 1)},
                              MachineDisconnected{session, ""}, RemoveMachine{RequestId(1), "one"}};
    apply(events);
    EXPECT_FALSE(core->machine(MachineId(1)).has_value());
}

TEST_F(Quarantine, DoesNotFollowOneStepThatFailsThreeTimes)
{
    comeBack();
    report(one, {});
    static_cast<void>(submit(commandJob("a")));
    for (int i = 0; i < 3; ++i) {
        finish(one, onlyAssigned(), Outcome::Infrastructure);
        EXPECT_EQ(health().state, HealthState::Healthy);
        for (int second = 0; second < 700 && assigned().empty(); ++second)
            pass(seconds(1));
    }
    EXPECT_EQ(health().failuresInRow, 1U);
}

TEST_F(Quarantine, IsForgottenByASuccessBetween)
{
    comeBack();
    report(one, {});
    for (const std::string name : {"a", "b", "", "c", "d"}) {
        const JobId job = submit(commandJob(name));
        finish(one, onlyAssigned(), name.empty() ? Outcome::Succeeded : Outcome::Infrastructure);
        if (!name.empty())
            ask(CancelJob{RequestId(1), job, "test"});
    }
    EXPECT_EQ(health().state, HealthState::Healthy);
}

TEST_F(Quarantine, EndsWithAProbeThenOneStepThenAll)
{
    const AttemptId probed = probe();
    const JobId probeJob = jobOf(probed);
    EXPECT_EQ(core->job(probeJob)->nameSpace, kOwnNamespace);
    EXPECT_EQ(core->counters().probes, 1U);
    EXPECT_TRUE(core->checkInvariants());
    static_cast<void>(submitAll({commandJob("x"), commandJob("y")}));
    EXPECT_TRUE(assigned().empty());
    accept(one, probed);
    finish(one, probed);
    EXPECT_EQ(stateOf(probeJob), JobState::Succeeded);
    EXPECT_EQ(health().state, HealthState::Parole);
    const AttemptId first = onlyAssigned(); // one of two slots
    finish(one, first);
    EXPECT_EQ(health(), work::MachineHealth{});
    EXPECT_EQ(assigned().size(), 1U);
    static_cast<void>(submit(commandJob("z")));
    EXPECT_EQ(assigned().size(), 1U);
}

TEST_F(Quarantine, LastsTwiceAsLongWhenTheProbeFails)
{
    const AttemptId probed = probe();
    const JobId probeJob = jobOf(probed);
    finish(one, probed, Outcome::Infrastructure);
    EXPECT_EQ(health().state, HealthState::Quarantined);
    EXPECT_EQ(*health().until - now.wall, minutes(2));
    EXPECT_EQ(health().quarantines, 2U);
    EXPECT_EQ(stateOf(probeJob), JobState::Cancelled); // the next quarantine has its own probe
    pass(minutes(2) - seconds(1));
    EXPECT_EQ(health().state, HealthState::Quarantined);
    pass(seconds(1));
    EXPECT_EQ(assigned().size(), 1U);
}

TEST_F(Quarantine, GoesOnWhenTheProbeIsRejected)
{
    const AttemptId probed = probe();
    reject(one, probed, protocol::RejectReason::NoSlot);
    EXPECT_EQ(health().state, HealthState::Quarantined);
}

TEST_F(Quarantine, GoesOnWhenTheProbeIsLost)
{
    static_cast<void>(probe());
    send(MachineDisconnected{one, "reset"});
    pass(options.reconnectGrace + seconds(1));
    EXPECT_EQ(health().state, HealthState::Quarantined);
}

TEST_F(Quarantine, ProbesAnewWhenSomebodyCancelsTheProbe)
{
    const AttemptId probed = probe();
    accept(one, probed);
    ask(CancelJob{RequestId(1), jobOf(probed), "ann"});
    finish(one, probed, Outcome::Cancelled);
    EXPECT_EQ(health().state, HealthState::Probing);
    EXPECT_EQ(assigned().size(), 1U);
}

TEST_F(Quarantine, ProbesAMachineThatDrainedMeanwhileWhenItNoLongerDoes)
{
    quarantine();
    ask(DrainMachine{RequestId(1), "one", true, "disk"});
    pass(minutes(1));
    EXPECT_EQ(health().state, HealthState::Probing);
    EXPECT_TRUE(assigned().empty());
    ask(DrainMachine{RequestId(2), "one", false, ""});
    EXPECT_EQ(assigned().size(), 1U);
}

TEST_F(Quarantine, ProbesAMachineThatWasAwayWhenItIsBack)
{
    quarantine();
    send(MachineDisconnected{one, "reset"});
    pass(minutes(2));
    EXPECT_EQ(health().state, HealthState::Probing);
    report(comeBack(), {});
    EXPECT_EQ(assigned().size(), 1U);
}

TEST_F(Quarantine, WaitsWithTheProbeWhileTheFarmIsPaused)
{
    quarantine();
    ask(PauseDispatch{RequestId(1), true, "ann", ""});
    pass(minutes(1));
    EXPECT_TRUE(assigned().empty());
    ask(PauseDispatch{RequestId(2), false, "ann", ""});
    EXPECT_EQ(assigned().size(), 1U);
}

TEST_F(Quarantine, OutlivesARestart)
{
    quarantine();
    advance(seconds(30));
    recover();
    report(comeBack(), {});
    EXPECT_EQ(health().state, HealthState::Quarantined);
    static_cast<void>(submit(commandJob("d")));
    EXPECT_TRUE(assigned().empty());
    pass(seconds(30));
    EXPECT_EQ(health().state, HealthState::Probing);
    EXPECT_EQ(core->counters().probes, 1U);
}

TEST_F(Quarantine, IsOverAtOnceWhenAnOperatorTrustsTheMachine)
{
    quarantine();
    static_cast<void>(submit(commandJob("d")));
    ask(TrustMachine{RequestId(1), "one"});
    EXPECT_EQ(health(), work::MachineHealth{});
    EXPECT_EQ(assigned().size(), 1U);
    EXPECT_EQ(refusedEvent(TrustMachine{RequestId(2), "two"}).message, "no machine two");
}

TEST_F(Quarantine, EndsWithTheFirstRealStepWhereNoCommandRuns)
{
    quarantine();
    protocol::MachineFacts facts = machineFacts("one", 2);
    facts.executors = {"nix"};
    send(MachineFactsChanged{one, facts});
    pass(minutes(1));
    EXPECT_EQ(health().state, HealthState::Parole);
    static_cast<void>(submit(nixJob("j", {"x", "y"}, {})));
    EXPECT_EQ(assigned().size(), 1U);
}

// ------------------------------------------------------------------------------------------- thresholds and removal

using Machines = Quarantine;

TEST_F(Machines, OpenAndCloseByAnOperatorsThresholds)
{
    comeBack();
    report(one, {});
    protocol::LoadSample sample;
    sample.load1 = 3;
    load(one, sample);
    ask(SetThresholds{RequestId(1), "one", loadBelow(2)});
    EXPECT_DOUBLE_EQ(core->machine(MachineId(1))->thresholds.load1, 2);
    EXPECT_EQ(core->machine(MachineId(1))->over.size(), 1U);
    static_cast<void>(submit(commandJob("a")));
    EXPECT_TRUE(assigned().empty());
    recover(); // an override outlives a restart
    report(comeBack(), {});
    load(one, sample);
    EXPECT_EQ(core->machine(MachineId(1))->over.size(), 1U);
    ask(SetThresholds{RequestId(2), "one", loadBelow(0)}); // none at all
    EXPECT_TRUE(core->machine(MachineId(1))->over.empty());
    EXPECT_EQ(refusedEvent(SetThresholds{RequestId(3), "two", {}}).code, ErrorCode::NotFound);
}

TEST_F(Machines, AreRemovedOnlyWhenTheyAreAwayAndRunNothing)
{
    comeBack();
    report(one, {});
    const JobId job = submit(commandJob("a"));
    accept(one, onlyAssigned());
    const Error connected = refusedEvent(RemoveMachine{RequestId(1), "one"});
    EXPECT_EQ(connected.code, ErrorCode::Conflict);
    EXPECT_EQ(connected.message, "machine one is connected; stop its builder first");
    send(MachineDisconnected{one, ""});
    EXPECT_EQ(refusedEvent(RemoveMachine{RequestId(2), "1"}).message,
              "machine one may still run 1 attempts; try again when they are given up");
    pass(options.reconnectGrace + seconds(1));
    ask(RemoveMachine{RequestId(3), "one"});
    EXPECT_TRUE(core->machines().empty());
    EXPECT_TRUE(durable.machines.empty());
    EXPECT_EQ(stateOf(job), JobState::Running);
    report(comeBack(), {}); // a new one with the old identity
    EXPECT_EQ(core->machines(), std::vector<MachineId>{MachineId(2)});
    EXPECT_EQ(assigned().size(), 1U);
}

// ------------------------------------------------------------------------------------------------- unable, retried

using Unable = Quarantine;

TEST_F(Unable, EndsAsUnsupportedAfterTheConfiguredTime)
{
    options.unsupportedAfter = minutes(5);
    restart();
    static_cast<void>(connect("one"));
    JobRequest arm = commandJob("a");
    arm.steps.at(0).spec.placement.system = "aarch64-linux";
    JobRequest large = commandJob("b");
    large.steps.at(0).spec.resources.cpus = 99;
    const std::vector<JobId> jobs = submitAll({arm, large});
    pass(minutes(5) - seconds(1));
    EXPECT_EQ(stateOf(jobs.at(0)), JobState::Queued);
    pass(seconds(3));
    for (const JobId job : jobs)
        EXPECT_EQ(core->job(job)->progress.result, StepResult::Unsupported);
}

TEST_F(Unable, DoesNotEndBecauseAMachineIsBrieflyAwayOrAnswersToNoRestart)
{
    options.unsupportedAfter = minutes(5);
    restart();
    comeBack();
    report(one, {});
    send(MachineDisconnected{one, "reset"});
    const JobId job = submit(commandJob("a"));
    pass(minutes(10));
    EXPECT_EQ(stateOf(job), JobState::Queued);
    recover(); // now nobody knows what the machine can do
    pass(minutes(10));
    EXPECT_EQ(stateOf(job), JobState::Queued);
    advance(hours(24));
    pass(seconds(3));
    EXPECT_EQ(core->job(job)->progress.result, StepResult::Unsupported);
}

TEST_F(Unable, EndsADayAfterTheOnlyMachineForItHasLeft)
{
    options.unsupportedAfter = minutes(5);
    restart();
    comeBack();
    report(one, {});
    advance(hours(30));
    send(MachineDisconnected{one, "reset"});
    const JobId job = submit(commandJob("a"));
    advance(hours(23));
    pass(seconds(3));
    EXPECT_EQ(stateOf(job), JobState::Queued);
    advance(hours(1));
    pass(seconds(3));
    EXPECT_EQ(core->job(job)->progress.result, StepResult::Unsupported);
}

// Its row is not only of its connection.
TEST_F(Unable, WaitsForAMachineThatWasConnectedForDaysBeforeTheServerEnded)
{
    options.unsupportedAfter = minutes(5);
    restart();
    comeBack();
    report(one, {});
    advance(hours(48));
    report(one, {});
    ask(PauseDispatch{RequestId(1), true, "ann", ""});
    const JobId job = submit(commandJob("a"));
    advance(minutes(10));
    recover();
    pass(seconds(3));
    EXPECT_EQ(stateOf(job), JobState::Queued);
}

TEST_F(Unable, RetriesWithTheFarmsBackOffAlsoAfterARestart)
{
    comeBack();
    report(one, {});
    JobRequest request = commandJob("a");
    request.steps.at(0).spec.retry.retries = 3;
    const JobId job = submit(request);
    Duration expected = seconds(60);
    for (int failure = 1; failure <= 3; ++failure, expected = expected * 3) {
        finish(one, onlyAssigned(), Outcome::Failed, 1);
        const work::StepProgress progress = progressOf(stepOf(job));
        ASSERT_EQ(progress.state, StepState::Delayed);
        const Duration delay = *progress.retryAt - now.wall;
        EXPECT_GE(delay, expected * 9 / 10); // spread by a tenth
        EXPECT_LE(delay, expected * 11 / 10);
        recover();
        report(comeBack(), {});
        EXPECT_TRUE(assigned().empty());
        EXPECT_EQ(progressOf(stepOf(job)).retryAt, progress.retryAt);
        advance(delay - seconds(1));
        tick();
        EXPECT_TRUE(assigned().empty());
        advance(seconds(1));
        tick();
    }
    finish(one, onlyAssigned(), Outcome::Failed, 1);
    EXPECT_EQ(stateOf(job), JobState::Failed);
}

} // namespace
} // namespace penstock::core::test
