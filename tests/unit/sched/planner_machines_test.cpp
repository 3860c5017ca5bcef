// SPDX-License-Identifier: GPL-3.0-or-later
// Where a step goes: room, the machines' sorts, avoided and named machines, reservations, machines that come and go.
#include "tests/unit/sched/planner_fixture.h"

namespace penstock::sched::test {
namespace {

using Places = PlannerTest;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

// ---------------------------------------------------------------------------------------------------------- room

TEST_F(Places, HaveNoMoreThanTheirSlotsAndCpus)
{
    machine(1, Capacity{.slots = 3, .resources = {4, 0, {}}});
    step({.id = 1, .ask = {{3, 0, {}}, 0}});
    step({.id = 2, .ask = {{2, 0, {}}, 0}});
    steps(3, 6);
    EXPECT_EQ(plan(), "1@1 3@1 ");
    end(1);
    EXPECT_EQ(plan(), "2@1 4@1 ");
    end(2);
    EXPECT_EQ(plan(), "5@1 ");
}

TEST_F(Places, ReserveMemoryAndNamedAmounts)
{
    machine(1, Capacity{.slots = 9, .resources = {9, 4 * kGiB, {{"gpu", 2}}}});
    step({.id = 1, .ask = {{1, 3 * kGiB, {}}, 0}});
    step({.id = 2, .ask = {{1, 2 * kGiB, {}}, 0}});
    step({.id = 3, .ask = {{1, 0, {{"gpu", 1}}}, 0}});
    step({.id = 4, .ask = {{1, 0, {{"gpu", 2}}}, 0}});
    step({.id = 5, .ask = {{1, 0, {{"licence", 1}}}, 0}});
    EXPECT_EQ(plan(), "1@1 3@1 ");
    end(3);
    EXPECT_EQ(plan(), "4@1 ");
    end(1);
    EXPECT_EQ(plan(), "2@1 ");
    EXPECT_EQ(planner.room(MachineId(1)).taken(), (work::Resources{2, 2 * kGiB, {{"gpu", 2}}}));
    status(1, {.able = true, .open = true, .capacity = {.slots = 9, .resources = {9, 0, {{"licence", 1}}}}});
    EXPECT_EQ(plan(), "5@1 ");
}

TEST_F(Places, ExpectCpusThatAreNotReserved)
{
    const Capacity capacity{.slots = 9, .resources = {9, 0, {}}, .busyCpus = 8, .unknownCpus = 3};
    machine(1, capacity);
    step({.id = 1, .ask = {{1, 0, {}}, 4}});
    step({.id = 2, .ask = {{1, 0, {}}, 0}}); // of which nobody knows: the machine's guess, three
    step({.id = 3, .ask = {{1, 0, {}}, 2}});
    step({.id = 4, .ask = {{1, 0, {}}, 1}});
    EXPECT_EQ(plan(), "1@1 2@1 4@1 ");
    EXPECT_EQ(planner.room(MachineId(1)).expectedCpus(), 8U);
    end(2);
    EXPECT_EQ(plan(), "3@1 ");
    EXPECT_EQ(planner.room(MachineId(1)).taken().cpus, 3U);
}

TEST_F(Places, GiveAnEmptyMachineAStepThatIsExpectedToUseMoreThanItHas)
{
    machine(1, Capacity{.slots = 9, .resources = {9, 0, {}}, .busyCpus = 4, .unknownCpus = 1});
    step({.id = 1, .ask = {{1, 0, {}}, 16}});
    step({.id = 2, .ask = {{1, 0, {}}, 1}});
    EXPECT_EQ(plan(), "1@1 ");
    end(1);
    EXPECT_EQ(plan(), "2@1 ");
}

TEST_F(Places, LeaveAMachineAloneThatOthersKeepBusy)
{
    const Capacity capacity{.slots = 4, .resources = {4, 0, {}}, .busyCpus = 4, .unknownCpus = 1};
    machine(1, capacity);
    step(1);
    status(1, {.able = true, .open = true, .capacity = capacity, .foreignCpus = 4});
    EXPECT_EQ(plan(), "");
    status(1, {.able = true, .open = true, .capacity = capacity, .foreignCpus = 3});
    EXPECT_EQ(plan(), "1@1 ");
    steps(2, 4);
    status(1, {.able = true, .open = true, .capacity = slots(4), .foreign = 2}); // slots of attempts that are over
    EXPECT_EQ(plan(), "2@1 ");
    status(1, {.able = true, .open = true, .capacity = slots(4)});
    EXPECT_EQ(plan(), "3@1 4@1 ");
}

// --------------------------------------------------------------------------------------------------------- sorts

TEST_F(Places, SpreadByHeadroomOfSlotsMemoryAndLoad)
{
    machine(1, Capacity{.slots = 4, .resources = {4, 4 * kGiB, {}}});
    machine(2, Capacity{.slots = 2, .resources = {2, 0, {}}});
    step({.id = 1, .ask = {{1, 3 * kGiB, {}}, 0}}); // first by id; takes three quarters of its memory
    EXPECT_EQ(plan(), "1@1 ");
    steps(2, 4);
    EXPECT_EQ(plan(), "2@2 3@2 4@1 ");
}

TEST_F(Places, PreferTheMachineThatIsReallyIdle)
{
    facts(1);
    facts(2);
    status(1, {.able = true, .open = true, .capacity = slots(4), .load = 40'000});
    status(2, {.able = true, .open = true, .capacity = slots(4)});
    steps(1, 4);
    EXPECT_EQ(plan(), "1@2 2@2 3@2 4@1 "); // until its slots are as full as the other is loaded
}

TEST_F(Places, GoByScoreThenByFewerStepsWhereTheSortSaysSo)
{
    for (std::uint64_t id = 1; id <= 3; ++id)
        facts(id);
    status(1, {.able = true, .open = true, .capacity = slots(4), .score = 100});
    status(2, {.able = true, .open = true, .capacity = slots(2), .score = 200});
    status(3, {.able = true, .open = true, .capacity = slots(2), .score = 100});
    steps(1, 6);
    EXPECT_EQ(plan(), "1@2 2@2 3@1 4@3 5@1 6@3 ");
}

// ---------------------------------------------------------------------------------------------- avoided and named

TEST_F(Places, AvoidAMachineWhileAnotherIsOpenEvenIfBusy)
{
    machine(1, 2);
    machine(2, 1);
    step(1);
    status(2, {.able = true, .open = true, .capacity = slots(1)});
    step({.id = 2, .placement = onMachines({"m2"})});
    EXPECT_EQ(plan(), "1@1 2@2 ");
    step({.id = 3, .avoid = {MachineId(1)}});
    EXPECT_EQ(plan(), "");
    status(2, {.able = true, .open = false, .capacity = slots(1)}); // now the only open one is the avoided one
    EXPECT_EQ(plan(), "3@1 ");
}

TEST_F(Places, UseAnAvoidedMachineWhenTheOtherGoesAway)
{
    machine(1, 1);
    machine(2, 1);
    step({.id = 1, .placement = onMachines({"m2"})});
    EXPECT_EQ(plan(), "1@2 ");
    step({.id = 2, .avoid = {MachineId(1), MachineId(1)}});
    EXPECT_EQ(plan(), "");
    EXPECT_TRUE(planner.hasOpenBeside(0, Ask{}, std::vector{MachineId(1)}));
    planner.removeMachine(MachineId(2));
    checked();
    EXPECT_FALSE(planner.hasOpenBeside(0, Ask{}, std::vector{MachineId(1)}));
    EXPECT_EQ(plan(), "2@1 ");
}

TEST_F(Places, UseAnAvoidedMachineWhenTheOtherIsTooSmall)
{
    machine(1, 4);
    machine(2, 1);
    step({.id = 1, .ask = {{2, 0, {}}, 0}, .avoid = {MachineId(1)}});
    EXPECT_EQ(plan(), "1@1 ");
    machine(2, 2);
    step({.id = 2, .ask = {{2, 0, {}}, 0}, .avoid = {MachineId(1)}});
    step({.id = 3, .ask = {{2, 0, {}}, 0}, .avoid = {MachineId(1)}});
    EXPECT_EQ(plan(), "2@2 ");
    machine(2, 1); // it has become too small
    EXPECT_EQ(plan(), "3@1 ");
}

TEST_F(Places, AreOnlyThoseThatAreNamed)
{
    machine(1, 4);
    machine(2, 1);
    step({.id = 1, .placement = onMachines({"m2", "m7"})});
    step({.id = 2, .placement = onMachines({"m2", "m7"})});
    EXPECT_EQ(plan(), "1@2 ");
    facts(1, {}, "m7"); // the same machine under another name
    EXPECT_EQ(plan(), "2@1 ");
    step({.id = 3, .placement = onMachines({"m1"})});
    EXPECT_EQ(plan(), "");
    machine(3, 1);
    facts(3, {}, "m1"); // names are not unique for ever
    EXPECT_EQ(plan(), "3@3 ");
}

// ----------------------------------------------------------------------------------------------------- reservation

struct Reservations : PlannerTest {
    static Ask large() { return {{4, 0, {}}, 0}; }
};

TEST_F(Reservations, KeepAMachineForALargeStepThatSmallOnesWouldStarve)
{
    machine(1, 4);
    steps(1, 2);
    EXPECT_EQ(plan(), "1@1 2@1 ");
    step({.id = 3, .ask = large()});
    steps(4, 9);
    EXPECT_EQ(plan(), "4@1 5@1 "); // the small ones pass it by
    EXPECT_EQ(reserve(minutes(2)), 0U);
    now = now + minutes(2);
    EXPECT_EQ(reserve(minutes(2)), 1U);
    EXPECT_TRUE(planner.isReserved(MachineId(1)));
    for (const std::uint64_t id : {1U, 2U, 4U}) {
        end(id);
        EXPECT_EQ(plan(), "");
    }
    end(5);
    EXPECT_EQ(plan(), "3@1 ");
    EXPECT_FALSE(planner.isReserved(MachineId(1)));
    end(3);
    EXPECT_EQ(plan(), "6@1 7@1 8@1 9@1 ");
}

TEST_F(Reservations, KeepAnAvoidedMachineWhenTheOthersAreTooSmall)
{
    machine(1, 4);
    machine(2, 1);
    steps(1, 3);
    EXPECT_EQ(plan(), "1@1 2@2 3@1 ");
    step({.id = 4, .ask = large(), .avoid = {MachineId(1)}});
    EXPECT_EQ(plan(), "");
    now = now + minutes(2);
    EXPECT_EQ(reserve(minutes(2)), 1U);
    EXPECT_TRUE(planner.isReserved(MachineId(1)));
}

TEST_F(Reservations, AreMadeForOneMachineInEightAndTheFirstStep)
{
    for (std::uint64_t id = 1; id <= 8; ++id) {
        machine(id, 4);
        step({.id = id, .placement = onMachines({fmt::format("m{}", id)})});
    }
    static_cast<void>(plan());
    step({.id = 20, .ask = large()});
    step({.id = 21, .ask = {{3, 0, {{"gpu", 1}}}, 0}}); // no machine could ever take it
    step({.id = 22, .ask = {{4, 1, {}}, 0}});
    EXPECT_EQ(plan(), "");
    now = now + minutes(5);
    EXPECT_EQ(reserve(minutes(2)), 1U);
    EXPECT_EQ(reserve(minutes(2)), 0U);
    EXPECT_TRUE(planner.isReserved(MachineId(1)));
}

TEST_F(Reservations, EndWhenTheStepIsTakenOutOrTheMachineCloses)
{
    machine(1, 4);
    machine(2, 4);
    step({.id = 1, .placement = onMachines({"m1"})});
    step({.id = 2, .placement = onMachines({"m2"})});
    EXPECT_EQ(plan(), "1@1 2@2 ");
    step({.id = 3, .ask = large()});
    EXPECT_EQ(plan(), "");
    now = now + minutes(3);
    EXPECT_EQ(reserve(minutes(2)), 1U);
    step({.id = 4, .placement = onMachines({"m1"})});
    EXPECT_EQ(plan(), "");
    status(1, {.able = true, .open = false, .capacity = slots(4)});
    EXPECT_FALSE(planner.isReserved(MachineId(1)));
    status(1, {.able = true, .open = true, .capacity = slots(4)});
    EXPECT_EQ(plan(), "4@1 ");
    EXPECT_EQ(reserve(minutes(2)), 1U); // the emptier one this time
    EXPECT_TRUE(planner.isReserved(MachineId(2)));
    dequeue(3);
    EXPECT_FALSE(planner.isReserved(MachineId(2)));
    step({.id = 5, .placement = onMachines({"m2"})});
    EXPECT_EQ(plan(), "5@2 ");
}

TEST_F(Reservations, LeaveTheMachineWhenTheStepFindsRoomElsewhere)
{
    machine(1, 4);
    machine(2, 4);
    step({.id = 1, .placement = onMachines({"m1"})});
    step({.id = 2, .placement = onMachines({"m2"})});
    EXPECT_EQ(plan(), "1@1 2@2 ");
    step({.id = 3, .ask = large()});
    EXPECT_EQ(plan(), "");
    now = now + minutes(3);
    EXPECT_EQ(reserve(minutes(2)), 1U);
    ASSERT_TRUE(planner.isReserved(MachineId(1)));
    end(2);
    EXPECT_EQ(plan(), "3@2 ");
    EXPECT_FALSE(planner.isReserved(MachineId(1)));
    step(4);
    EXPECT_EQ(plan(), "4@1 ");
}

TEST_F(Reservations, SayThatThereIsNoRoomAfterAllWhenAProbeTookIt)
{
    machine(1, 4);
    step(1);
    EXPECT_EQ(plan(), "1@1 ");
    step({.id = 2, .ask = large()});
    EXPECT_EQ(plan(), "");
    now = now + minutes(3);
    EXPECT_EQ(reserve(minutes(2)), 1U);
    end(1);
    const AskIndex probe = planner.asks().acquire({});
    planner.takeRoom(MachineId(1), probe);
    checked();
    EXPECT_EQ(plan(), "");
    planner.leaveGates(probe, {});
    planner.giveRoom(MachineId(1), probe);
    checked();
    EXPECT_EQ(plan(), "2@1 ");
}

TEST_F(Reservations, EndWhenTheMachineBecomesTooSmallForTheStep)
{
    machine(1, 4);
    machine(2, 0);
    step(1);
    EXPECT_EQ(plan(), "1@1 ");
    step({.id = 2, .ask = large()});
    EXPECT_EQ(plan(), "");
    now = now + minutes(3);
    EXPECT_EQ(reserve(minutes(2)), 1U); // not the one without slots
    ASSERT_TRUE(planner.isReserved(MachineId(1)));
    status(1, {.able = true, .open = true, .capacity = slots(3)});
    EXPECT_FALSE(planner.isReserved(MachineId(1)));
    step(3);
    EXPECT_EQ(plan(), "3@1 ");
}

TEST_F(Reservations, WaitForTheirOwnPatienceOfEveryStep)
{
    machine(1, 4);
    steps(10, 11);
    EXPECT_EQ(plan(), "10@1 11@1 ");
    step({.id = 2, .ask = {{3, 0, {}}, 0}});
    step({.id = 3, .ask = {{3, 0, {}}, 0}});
    EXPECT_EQ(plan(), "");
    now = now + minutes(3);
    EXPECT_EQ(reserve(minutes(2)), 1U);
    end(10);
    end(11); // one cpu stays free: small steps could take it
    EXPECT_EQ(plan(), "2@1 ");
    EXPECT_EQ(reserve(minutes(2)), 0U); // the next has only just come to the front
    now = now + minutes(3);
    EXPECT_EQ(reserve(minutes(2)), 1U);
}

// -------------------------------------------------------------------------------------------- kinds come and go

TEST_F(Places, ComeAndGoWithWhatTheyCanDo)
{
    step({.id = 1, .placement = forSystem("a")});
    step({.id = 2, .placement = forSystem("b")});
    EXPECT_EQ(planner.reach(forSystem("a")).known, 0U);
    machine(1, 1, "a");
    machine(2, 1, "a");
    EXPECT_EQ(planner.reach(forSystem("a")).open, 2U);
    EXPECT_EQ(plan(), "1@1 ");
    facts(2, "b");
    EXPECT_EQ(plan(), "2@2 ");
    step({.id = 3, .placement = forSystem("b")});
    planner.removeMachine(MachineId(2));
    checked();
    EXPECT_FALSE(planner.knows(MachineId(2)));
    end(2); // its attempt ends after it was forgotten
    EXPECT_EQ(plan(), "");
    EXPECT_EQ(planner.reach(forSystem("b")).known, 0U);
    machine(3, 1, "b");
    EXPECT_EQ(plan(), "3@3 ");
}

TEST_F(Places, GetNothingWhileTheyAreClosedOrNotAble)
{
    machine(1, 2);
    status(1, {.able = false, .open = true, .capacity = slots(2)});
    step(1);
    EXPECT_EQ(plan(), "");
    EXPECT_EQ(planner.reach({}).known, 1U);
    EXPECT_EQ(planner.reach({}).able, 0U);
    status(1, {.able = true, .open = false, .capacity = slots(2)});
    EXPECT_EQ(plan(), "");
    EXPECT_EQ(planner.reach({}).able, 1U);
    EXPECT_EQ(planner.reach({}).open, 0U);
    EXPECT_EQ(planner.reach({}).freeSlots, 2U);
    status(1, {.able = true, .open = true, .capacity = slots(2)});
    EXPECT_EQ(plan(), "1@1 ");
}

TEST_F(Places, WakeAStalledClassWithTheFirstRoomForIt)
{
    machine(1, 4);
    steps(1, 3);
    EXPECT_EQ(plan(), "1@1 2@1 3@1 ");
    step({.id = 4, .ask = {{3, 0, {}}, 0}});
    EXPECT_EQ(plan(), "");
    EXPECT_EQ(plan(), "");
    EXPECT_EQ(visits, 0U); // out of the way
    end(1);
    EXPECT_EQ(plan(), "");
    EXPECT_EQ(visits, 0U); // two of three are free: nobody looks
    end(2);
    EXPECT_EQ(plan(), "4@1 ");
}

} // namespace
} // namespace penstock::sched::test
