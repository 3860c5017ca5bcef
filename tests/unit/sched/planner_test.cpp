// SPDX-License-Identifier: GPL-3.0-or-later
// Who goes first, and what holds back: order, share groups, gates.
#include "tests/unit/sched/planner_fixture.h"

namespace penstock::sched::test {
namespace {

using Plans = PlannerTest;

// --------------------------------------------------------------------------------------------------------- order

TEST_F(Plans, TakeTheNewestBumpFirstThenWhatIsNotBumped)
{
    step(1);
    step({.id = 2, .bumped = 10});
    step({.id = 3, .bumped = 20});
    step({.id = 4, .bumped = 10});
    machine(1, 4);
    EXPECT_EQ(plan(), "3@1 2@1 4@1 1@1 ");
}

TEST_F(Plans, PutABumpBeforeAGroupThatHasUsedLess)
{
    use(1, 1'000);
    step({.id = 1, .shares = {0}});
    step({.id = 2, .shares = {1}, .bumped = 5});
    machine(1, 2);
    EXPECT_EQ(plan(), "2@1 1@1 ");
}

TEST_F(Plans, TakeAsSoonAsAGroupUsesMoreAnotherFirst)
{
    step({.id = 1, .shares = {0}});
    step({.id = 2, .shares = {1}});
    step({.id = 3, .shares = {0}});
    step({.id = 4, .shares = {1}});
    machine(1, 4);
    EXPECT_EQ(one(), "1@1 ");
    use(0, 10); // a rise is looked at when the group comes to the front
    EXPECT_EQ(one(), "2@1 ");
    use(1, 20);
    EXPECT_EQ(one(), "3@1 ");
    EXPECT_EQ(plan(), "4@1 ");
}

TEST_F(Plans, MoveAGroupForwardAtOnceWhenItsUseFalls)
{
    use(0, 100);
    use(1, 200);
    step({.id = 1, .shares = {0}});
    step({.id = 2, .shares = {1}});
    use(1, 50);
    machine(1, 1);
    EXPECT_EQ(one(), "2@1 ");
}

TEST_F(Plans, OrderByUseAcrossPlacementsAndPoolsToo)
{
    use(0, 100);
    step({.id = 1, .placement = forSystem("a"), .shares = {0}});
    step({.id = 2, .placement = forSystem("b"), .shares = {1}});
    machine(1, 1, "a");
    machine(2, 1, "b");
    EXPECT_EQ(plan(), "2@2 1@1 ");
}

TEST_F(Plans, CountAStepOfSeveralGroupsByTheOneThatHasUsedLeast)
{
    use(0, 100);
    use(1, 10);
    use(2, 50);
    step({.id = 1, .shares = {2}});
    step({.id = 2, .shares = {0, 1}});
    step({.id = 3, .shares = {0}});
    machine(1, 3);
    EXPECT_EQ(plan(), "2@1 1@1 3@1 ");
    step({.id = 4, .shares = {2}});
    step({.id = 5, .shares = {0, 1}});
    use(1, 60); // the least of its groups rises over the other's
    end(1);
    EXPECT_EQ(one(), "4@1 ");
}

TEST_F(Plans, SortByLegacyByLocalPriorityThenAgeThenId)
{
    sort = StepSort::Legacy;
    step({.id = 1, .urgency = {.length = 90, .dependents = 9, .priority = -1}});
    step({.id = 2, .urgency = {.priority = 1}, .age = 7});
    step({.id = 3, .urgency = {.priority = 1}, .age = 6});
    step({.id = 4, .urgency = {.priority = 1}, .age = 6});
    step({.id = 5, .urgency = {.promoted = true, .priority = -50}});
    machine(1, 5);
    EXPECT_EQ(plan(), "5@1 3@1 4@1 2@1 1@1 ");
}

TEST_F(Plans, SortWithRdepsByDependentsBeforePriority)
{
    sort = StepSort::WithRdeps;
    step({.id = 1, .urgency = {.length = 90, .dependents = 2, .priority = 5}});
    step({.id = 2, .urgency = {.length = 1, .dependents = 3, .priority = -5}});
    step({.id = 3, .urgency = {.length = 1, .dependents = 2, .priority = 6}});
    machine(1, 3);
    EXPECT_EQ(plan(), "2@1 3@1 1@1 ");
}

TEST_F(Plans, SortWithCriticalPathByLengthBeforePriority)
{
    step({.id = 1, .urgency = {.length = 2, .dependents = 9, .priority = 9}});
    step({.id = 2, .urgency = {.length = 3, .priority = INT32_MIN}});
    step({.id = 3, .urgency = {.length = 2, .dependents = 1, .priority = 10}});
    step({.id = 4, .urgency = {.promoted = true}});
    machine(1, 4);
    EXPECT_EQ(plan(), "4@1 2@1 3@1 1@1 ");
}

TEST_F(Plans, TakeAStepOutAndPutItBackElsewhere)
{
    steps(1, 3);
    dequeue(1);
    dequeue(3);
    EXPECT_EQ(planner.queued(), 1U);
    step({.id = 3, .bumped = 1});
    step({.id = 1, .placement = forSystem("x")});
    machine(1, 9);
    EXPECT_EQ(plan(), "3@1 2@1 ");
    EXPECT_EQ(planner.queued(), 1U);
    machine(2, 1, "x");
    EXPECT_EQ(plan(), "1@2 ");
}

TEST_F(Plans, EndAPassWithItsBudgetAndGoOnWithTheNext)
{
    steps(1, 3);
    machine(1, 3);
    EXPECT_EQ(plan(2), "1@1 more");
    EXPECT_EQ(visits, 3U); // two for a start, and the one that was not granted
    EXPECT_EQ(plan(), "2@1 3@1 ");
    EXPECT_FALSE(planner.more());
}

TEST_F(Plans, LetNoSystemThatIsFullHoldUpAnother)
{
    for (std::uint64_t id = 1; id <= 50; ++id)
        step({.id = id, .placement = forSystem("slow"), .bumped = 1});
    step({.id = 60, .placement = forSystem("fast")});
    machine(1, 1, "slow");
    machine(2, 1, "fast");
    EXPECT_EQ(plan(), "1@1 60@2 ");
    step({.id = 61, .placement = forSystem("fast")});
    end(60);
    EXPECT_EQ(plan(), "61@2 ");
    EXPECT_LE(visits, 3U); // of the 49 others nobody looked at any
}

TEST_F(Plans, SayWhoIsAhead)
{
    use(1, 100);
    step({.id = 1, .shares = {1}, .bumped = 5});
    step({.id = 2, .shares = {0}});
    step({.id = 3, .shares = {0}});
    step({.id = 4, .shares = {1}});
    step({.id = 5, .shares = {1}});
    step({.id = 6, .placement = forSystem("x"), .shares = {0}}); // the same machines: none
    machine(1, 1);
    const Planner::Ahead ahead = planner.ahead(planner.lineOf(queued.at(5).leaf), 10);
    EXPECT_EQ(ahead.bumped, 1U);
    EXPECT_EQ(ahead.byShare, 2U);
    EXPECT_EQ(ahead.inGroup(queued.at(5).order), 1U);
    EXPECT_EQ(ahead.groups, std::vector<ShareIndex>{0});
}

TEST_F(Plans, SayWhoIsAheadOfAllThatStandInOneLineByOneLookAtTheLeaves)
{
    std::vector<GateIndex> gates;
    for (std::uint64_t id = 1; id <= 30; ++id) { // a leaf each, because each passes another gate
        gates.push_back(gate(GateScope::Concurrency, fmt::format("g{}", id), {1, 0}));
        step({.id = id, .gates = {gates.back()}});
    }
    const Planner::Ahead ahead = planner.ahead(planner.lineOf(queued.at(1).leaf), 20);
    EXPECT_EQ(ahead.looked, 30U);
    for (std::uint64_t id = 1; id <= 30; ++id) {
        EXPECT_EQ(planner.lineOf(queued.at(id).leaf), planner.lineOf(queued.at(1).leaf));
        EXPECT_EQ(ahead.inGroup(queued.at(id).order), std::min<std::uint64_t>(id - 1, 20)) << id;
    }
}

// --------------------------------------------------------------------------------------------------------- gates

TEST_F(Plans, LetNoMoreOfAConcurrencyGroupRunThanItsLimit)
{
    const GateIndex group = gate(GateScope::Concurrency, "deploy", {.steps = 2, .cpus = 0});
    for (std::uint64_t id = 1; id <= 4; ++id)
        step({.id = id, .gates = {0, group}});
    step(9);
    machine(1, 8);
    EXPECT_EQ(plan(), "1@1 2@1 9@1 ");
    EXPECT_EQ(plan(), "");
    EXPECT_EQ(visits, 0U); // what waits for its group costs nothing
    end(1);
    EXPECT_EQ(plan(), "3@1 ");
    limit(group, {.steps = 3, .cpus = 0});
    EXPECT_EQ(plan(), "4@1 ");
}

TEST_F(Plans, KeepANamespaceToItsStepsAndCpus)
{
    const GateIndex space = gate(GateScope::Namespace, {}, {.steps = 3, .cpus = 5});
    step({.id = 1, .ask = {{4, 0, {}}, 0}, .gates = {space, 0}});
    step({.id = 2, .ask = {{2, 0, {}}, 0}, .gates = {space, 0}});
    step({.id = 3, .gates = {space, 0}});
    machine(1, Capacity{.slots = 9, .resources = {99, 0, {}}});
    EXPECT_EQ(plan(), "1@1 3@1 "); // 4 and 2 are too many; 4 and 1 are not
    limit(space, {.steps = 2, .cpus = 0});
    EXPECT_EQ(plan(), ""); // cpus without limit, but two run
    limit(space, {.steps = 0, .cpus = 0});
    EXPECT_EQ(plan(), "2@1 ");
}

TEST_F(Plans, PassBothGatesAndAskAgainWhenEitherOpens)
{
    const GateIndex space = gate(GateScope::Namespace, {}, {.steps = 2, .cpus = 0});
    const GateIndex group = gate(GateScope::Concurrency, "g", {.steps = 1, .cpus = 0});
    step({.id = 1, .gates = {space, group}});
    step({.id = 2, .gates = {space, group}});
    step({.id = 3, .gates = {space, 0}});
    step({.id = 4, .gates = {space, 0}});
    machine(1, 9);
    EXPECT_EQ(plan(), "1@1 3@1 ");
    limit(space, {.steps = 9, .cpus = 0});
    EXPECT_EQ(plan(), "4@1 "); // the second still waits for its group
    end(1);
    EXPECT_EQ(plan(), "2@1 ");
}

TEST_F(Plans, CountWhatRunsSinceBeforeARestartAtTheGates)
{
    const GateIndex group = gate(GateScope::Concurrency, "g", {.steps = 1, .cpus = 0});
    const AskIndex ask = planner.asks().acquire({});
    machine(1, 2);
    planner.enterGates(ask, {0, group});
    planner.takeRoom(MachineId(1), ask);
    checked();
    step({.id = 1, .gates = {0, group}});
    steps(2, 3);
    EXPECT_EQ(plan(), "2@1 ");
    planner.leaveGates(ask, {0, group});
    planner.giveRoom(MachineId(1), ask);
    checked();
    EXPECT_EQ(plan(), "1@1 ");
}

TEST_F(Plans, TakeAStepThatWaitsAtAGateOutOfItsQueue)
{
    const GateIndex group = gate(GateScope::Concurrency, "g", {.steps = 1, .cpus = 0});
    step({.id = 1, .gates = {0, group}});
    step({.id = 2, .gates = {0, group}});
    machine(1, 2);
    EXPECT_EQ(plan(), "1@1 ");
    dequeue(2);
    end(1);
    EXPECT_EQ(plan(), "");
}

TEST_F(Plans, KnowAParkedStepThatWasBumpedByItsNewPlace)
{
    const GateIndex group = gate(GateScope::Concurrency, "g", {.steps = 1, .cpus = 0});
    for (std::uint64_t id = 1; id <= 3; ++id)
        step({.id = id, .gates = {0, group}});
    machine(1, 3);
    EXPECT_EQ(plan(), "1@1 ");
    dequeue(3);
    step({.id = 3, .gates = {0, group}, .bumped = 1});
    EXPECT_EQ(plan(), "");
    end(1);
    EXPECT_EQ(plan(), "3@1 ");
}

} // namespace
} // namespace penstock::sched::test
