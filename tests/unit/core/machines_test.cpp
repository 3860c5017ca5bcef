// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/farm_fixture.h"

namespace penstock::core::test {
namespace {

using Farm = FarmTest;
using protocol::GoodbyeReason;
using work::JobState;
using work::StepState;

TEST_F(Farm, StoresANewMachineBeforeItIsWelcomed)
{
    const SessionId session = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    ASSERT_EQ(welcomed.size(), 1U);
    EXPECT_EQ(welcomed.at(0).session, session);
    EXPECT_EQ(welcomed.at(0).after, persist->sequence);
    EXPECT_EQ(persist->changes.machines.at(0).identity, kIdentity);
    report(session, {});
    ASSERT_EQ(desired.size(), 1U);
    EXPECT_TRUE(desired.at(0).desired.complete);
}

TEST_F(Farm, GivesNoWorkBeforeTheFirstReport)
{
    static_cast<void>(submit(commandJob("a")));
    const SessionId session = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    EXPECT_TRUE(desired.empty());
    report(session, {});
    EXPECT_EQ(assigned().size(), 1U);
}

TEST_F(Farm, TheSameInstanceReplacesItsOldConnection)
{
    const SessionId first = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    report(first, {});
    const SessionId second = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed.at(0).session, first);
    EXPECT_EQ(closed.at(0).reason, GoodbyeReason::Replaced);
    send(MachineDisconnected{first, "closed"});
    report(second, {});
    EXPECT_EQ(core->totals().machinesConnected, 1U);
}

TEST_F(Farm, RefusesASecondBuilderWithTheSameIdentity)
{
    static_cast<void>(connectAs(kIdentity, kInstance, machineFacts("one", 1)));
    const SessionId second = connectAs(kIdentity, std::string(32, '2'), machineFacts("one", 1));
    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed.at(0).session, second);
    EXPECT_EQ(closed.at(0).reason, GoodbyeReason::IdentityInUse);
    EXPECT_EQ(core->counters().connectionsRefused, 1U);
}

TEST_F(Farm, RefusesAnIdentityWithAnotherCredential)
{
    const SessionId first = connectAs(kIdentity, kInstance, machineFacts("one", 1), "token-1");
    send(MachineDisconnected{first, "closed"});
    static_cast<void>(connectAs(kIdentity, kInstance, machineFacts("one", 1), "token-2"));
    EXPECT_EQ(closed.at(0).reason, GoodbyeReason::Denied);
}

TEST_F(Farm, BoundsTheMachinesItKnows)
{
    options.maxMachines = 1;
    restart();
    static_cast<void>(connect("one"));
    static_cast<void>(connectAs(kIdentity, kInstance, machineFacts("two", 1)));
    EXPECT_EQ(closed.at(0).reason, GoodbyeReason::Overloaded);
}

TEST_F(Farm, AMachineThatComesBackInTimeKeepsItsWork)
{
    const SessionId first = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    report(first, {});
    const JobId job = submit(commandJob("a"));
    const AttemptId attempt = onlyAssigned();
    accept(first, attempt);
    send(MachineDisconnected{first, "reset"});
    advance(options.reconnectGrace - std::chrono::seconds(1));
    tick();
    const SessionId second = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    report(second, {attempt});
    EXPECT_EQ(desired.at(0).desired.wanted, std::vector<AttemptId>{attempt});
    EXPECT_TRUE(assigned().empty());
    EXPECT_EQ(core->counters().adopted, 1U);
    finish(second, attempt);
    EXPECT_EQ(stateOf(job), JobState::Succeeded);
}

TEST_F(Farm, AMachineThatStaysAwayLosesItsWorkToAnother)
{
    const SessionId one = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    report(one, {});
    const JobId job = submit(commandJob("a"));
    const AttemptId lost = onlyAssigned();
    accept(one, lost);
    const SessionId two = connect("two");
    send(MachineDisconnected{one, "reset"});
    advance(options.reconnectGrace);
    tick();
    ASSERT_EQ(desired.size(), 1U);
    EXPECT_EQ(desired.at(0).session, two);
    const AttemptId second = onlyAssigned();
    EXPECT_EQ(progressOf(stepOf(job)).losses, 1U);
    EXPECT_EQ(progressOf(stepOf(job)).failures, 0U);
    // The machine comes back late: told to forget it, and its late result is fenced.
    const SessionId back = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    report(back, {lost});
    EXPECT_TRUE(desired.at(0).desired.complete);
    EXPECT_TRUE(desired.at(0).desired.wanted.empty());
    finish(back, lost, protocol::Outcome::Failed, 9);
    EXPECT_EQ(stored.size(), 1U);
    EXPECT_EQ(core->counters().fenced, 1U);
    EXPECT_EQ(stateOf(job), JobState::Running);
    finish(two, second);
    EXPECT_EQ(stateOf(job), JobState::Succeeded);
}

TEST_F(Farm, ARestartedBuilderLosesWhatItDoesNotHold)
{
    const SessionId first = connectAs(kIdentity, kInstance, machineFacts("one", 2));
    report(first, {});
    const std::vector<JobId> jobs = submitAll({commandJob("a"), commandJob("b")});
    const std::vector<AttemptId> attempts = assigned();
    accept(first, attempts.at(0));
    send(MachineDisconnected{first, "reset"});
    const SessionId second = connectAs(kIdentity, std::string(32, '2'), machineFacts("one", 2));
    report(second, {attempts.at(1)});
    EXPECT_EQ(core->counters().lost, 1U);
    EXPECT_EQ(assigned().size(), 1U); // tried again at once, here, as there is no other machine
}

TEST_F(Farm, AnAssignmentThatNeverArrivedIsSentAgain)
{
    const SessionId first = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    report(first, {});
    static_cast<void>(submit(commandJob("a")));
    const AttemptId attempt = onlyAssigned();
    send(MachineDisconnected{first, "reset"});
    const SessionId second = connectAs(kIdentity, kInstance, machineFacts("one", 1));
    report(second, {});
    EXPECT_EQ(onlyAssigned(), attempt);
    EXPECT_EQ(core->counters().lost, 0U);
}

TEST_F(Farm, WhatAMachineWasToldAndDoesNotHoldIsLost)
{
    const SessionId one = connect("one");
    const JobId job = submit(commandJob("a"));
    const std::uint64_t revision = desired.at(0).desired.revision;
    accept(one, onlyAssigned());
    report(one, {}, revision - 1);
    EXPECT_EQ(core->counters().lost, 0U);
    report(one, {}, revision);
    EXPECT_EQ(core->counters().lost, 1U);
    EXPECT_EQ(stateOf(job), JobState::Running);
}

TEST_F(Farm, WhatAMachineHoldsUnwantedIsStoppedOnceAndTakesASlot)
{
    const SessionId one = connect("one");
    report(one, {AttemptId(77)}, 1);
    EXPECT_EQ(stopped(), std::vector<AttemptId>{AttemptId(77)});
    report(one, {AttemptId(77)}, 1);
    EXPECT_TRUE(stopped().empty());
    static_cast<void>(submit(commandJob("a")));
    EXPECT_TRUE(assigned().empty());
    report(one, {}, 1, {AttemptId(77)});
    EXPECT_EQ(assigned().size(), 1U);
}

TEST_F(Farm, ADrainedMachineGetsNothingNewAndTheDrainIsStored)
{
    const SessionId one = connect("one");
    send(DrainMachine{RequestId(9), "one", true, "new disk"});
    EXPECT_TRUE(persist->changes.machines.at(0).drained);
    EXPECT_EQ(persist->changes.machines.at(0).drainNote, "new disk");
    static_cast<void>(submit(commandJob("a")));
    EXPECT_TRUE(assigned().empty());
    EXPECT_EQ(core->machine(MachineId(1))->condition, MachineCondition::Draining);
    send(DrainMachine{RequestId(9), "1", false, ""});
    EXPECT_EQ(assigned().size(), 1U);
    send(DrainMachine{RequestId(9), "nobody", true, ""});
    EXPECT_EQ(replies.at(0).answer.error().message, "no machine nobody");
    finish(one, AttemptId(1));
    send(MachineDrains{one, true, "SIGTERM"});
    static_cast<void>(submit(commandJob("b")));
    EXPECT_TRUE(assigned().empty());
}

TEST_F(Farm, AMachineOverItsThresholdGetsNothingNew)
{
    protocol::MachineFacts facts = machineFacts("one", 2);
    facts.thresholds.load1 = 4;
    const SessionId one = connectAs(kIdentity, kInstance, facts);
    MachineReported event{one, 0, {}, {}};
    event.load.load1 = 4.5;
    send(event);
    const JobId job = submit(commandJob("a"));
    EXPECT_TRUE(assigned().empty());
    const auto why = core->explain(job, 10, now);
    EXPECT_EQ(why->steps.at(0).reasons.at(0).code, "gated-load");
    EXPECT_DOUBLE_EQ(why->steps.at(0).reasons.at(0).numbers.at("limit"), 4);
    event.load.load1 = 4;
    send(event);
    EXPECT_EQ(assigned().size(), 1U);
}

TEST_F(Farm, IgnoresEverythingFromASessionThatIsNotThere)
{
    report(SessionId(5), {AttemptId(1)});
    accept(SessionId(5), AttemptId(1));
    finish(SessionId(5), AttemptId(1));
    send(MachineDrains{SessionId(5), true, ""});
    send(MachineDisconnected{SessionId(5), ""});
    EXPECT_TRUE(stored.empty());
    EXPECT_FALSE(persist);
}

} // namespace
} // namespace penstock::core::test
