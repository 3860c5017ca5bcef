// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/planner.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::sched {
namespace {

struct PlannerTest : ::testing::Test {
    Planner planner;
    std::uint64_t visits = 0;

    void machine(std::uint64_t id, std::uint32_t slots, std::uint32_t used = 0, std::uint32_t load = 0,
                 const std::string& system = {})
    {
        protocol::MachineFacts facts;
        facts.name = fmt::format("m{}", id);
        if (!system.empty())
            facts.systems = {system};
        planner.setFacts(MachineId(id), facts);
        status(id, slots, used, true, true, load);
    }
    void status(std::uint64_t id, std::uint32_t slots, std::uint32_t used, bool able = true, bool open = true,
                std::uint32_t load = 0)
    {
        planner.setStatus(MachineId(id), {.able = able, .open = open, .slots = slots, .used = used, .load = load});
    }
    ClassIndex step(std::uint64_t id, const work::Placement& placement = {}, std::int32_t priority = 0,
                    const std::vector<MachineId>& avoid = {}, std::int64_t age = 0)
    {
        return planner.enqueue(planner.placements().acquire(placement),
                               {priority, WallTime::fromMicros(age), StepId(id)}, avoid);
    }
    static work::Placement forSystem(const std::string& name)
    {
        work::Placement placement;
        placement.system = name;
        return placement;
    }
    std::string plan(std::uint64_t budget = UINT64_MAX)
    {
        VisitBudget left(budget);
        const Plan plan = planner.plan(left);
        visits = left.used();
        std::string text;
        for (const Start& start : plan.starts)
            text += fmt::format("{}@{} ", start.step.value(), start.machine.value());
        return text + (plan.more ? "more" : "");
    }
};
using Plans = PlannerTest;

TEST_F(Plans, PrefersPriorityThenAgeThenId)
{
    static_cast<void>(step(1, {}, 0, {}, 5));
    static_cast<void>(step(2, {}, 0, {}, 4));
    static_cast<void>(step(3, {}, 1, {}, 9));
    static_cast<void>(step(4, {}, 0, {}, 4));
    machine(1, 4);
    EXPECT_EQ(plan(), "3@1 2@1 4@1 1@1 ");
}

TEST_F(Plans, SpreadsOverTheLargestFreeShareThenTheLeastLoad)
{
    machine(1, 2, 1);
    machine(2, 4, 1);
    machine(3, 4, 1, 500);
    for (std::uint64_t id = 1; id <= 5; ++id)
        static_cast<void>(step(id));
    EXPECT_EQ(plan(), "1@2 2@3 3@1 4@2 5@3 ");
}

TEST_F(Plans, NeverExceedsSlotsAndStartsMoreWhenOneIsFree)
{
    machine(1, 1);
    static_cast<void>(step(1));
    static_cast<void>(step(2));
    EXPECT_EQ(plan(), "1@1 ");
    EXPECT_EQ(plan(), "");
    status(1, 1, 0);
    EXPECT_EQ(plan(), "2@1 ");
    EXPECT_EQ(planner.queued(), 0U);
}

TEST_F(Plans, AClassThatNothingCanRunDelaysNobodyAndCostsNothing)
{
    for (std::uint64_t id = 1; id <= 1'000; ++id)
        static_cast<void>(step(id, forSystem(fmt::format("s{}", id)), 100));
    static_cast<void>(step(2'000));
    for (std::uint64_t id = 1; id <= 1'000; ++id)
        machine(id, 1);
    EXPECT_EQ(plan(), "2000@1 ");
    EXPECT_LE(visits, 3U);
    EXPECT_EQ(plan(), "");
    EXPECT_EQ(visits, 0U);
}

TEST_F(Plans, UsesTheGroupsThatFit)
{
    machine(1, 1, 0, 0, "a");
    machine(2, 1, 0, 0, "b");
    static_cast<void>(step(1, forSystem("b")));
    static_cast<void>(step(2, forSystem("b")));
    static_cast<void>(step(3, forSystem("a")));
    EXPECT_EQ(plan(), "1@2 3@1 ");
}

TEST_F(Plans, RespectsAbleAndOpen)
{
    machine(1, 1);
    status(1, 1, 0, false);
    static_cast<void>(step(1));
    EXPECT_EQ(plan(), "");
    status(1, 1, 0, true, false);
    EXPECT_EQ(plan(), "");
    status(1, 1, 0, true, true);
    EXPECT_EQ(plan(), "1@1 ");
}

TEST_F(Plans, AvoidsAMachineWhileAnotherIsOpen)
{
    machine(1, 2);
    machine(2, 1, 1, 900);
    static_cast<void>(step(1, {}, 0, {MachineId(1)}));
    static_cast<void>(step(2));
    EXPECT_EQ(plan(), "2@1 "); // step 1 waits for machine 2, which is busy
    status(2, 1, 0);
    EXPECT_EQ(plan(), "1@2 ");
}

TEST_F(Plans, TakesAnAvoidedMachineWhenNoOtherIsOpen)
{
    machine(1, 1);
    machine(2, 1, 1);
    static_cast<void>(step(1, {}, 0, {MachineId(1)}));
    EXPECT_EQ(plan(), "");
    status(2, 1, 1, true, false); // over its thresholds
    EXPECT_EQ(plan(), "1@1 ");
    static_cast<void>(step(2, {}, 0, {MachineId(2)}));
    status(2, 1, 0);
    EXPECT_EQ(plan(), "");
    status(1, 1, 1, false); // gone
    EXPECT_EQ(plan(), "2@2 ");
}

TEST_F(Plans, GoesOnlyToNamedMachines)
{
    machine(1, 1);
    machine(2, 1, 1);
    work::Placement named;
    named.machines = {"m2", "m9"};
    static_cast<void>(step(1, named));
    EXPECT_EQ(plan(), "");
    status(2, 1, 0);
    EXPECT_EQ(plan(), "1@2 ");
    static_cast<void>(step(2, named));
    machine(9, 1);
    EXPECT_EQ(plan(), "2@9 ");
}

TEST_F(Plans, StopsAtItsBudgetAndGoesOnLater)
{
    machine(1, 10);
    for (std::uint64_t id = 1; id <= 4; ++id)
        static_cast<void>(step(id));
    EXPECT_EQ(plan(3), "1@1 2@1 more");
    EXPECT_EQ(plan(), "3@1 4@1 ");
}

TEST_F(Plans, FollowsAMachineThatChangesWhatItCanDo)
{
    machine(1, 1, 0, 0, "a");
    const ClassIndex queue = step(1, forSystem("b"));
    static_cast<void>(step(2, forSystem("b")));
    EXPECT_EQ(plan(), "");
    planner.dequeue(queue, {0, WallTime{}, StepId(1)});
    protocol::MachineFacts facts;
    facts.name = "m1";
    facts.systems = {"b"};
    planner.setFacts(MachineId(1), facts);
    EXPECT_EQ(plan(), "2@1 ");
    planner.removeMachine(MachineId(1));
    static_cast<void>(step(3, forSystem("b")));
    EXPECT_EQ(plan(), "");
}

TEST_F(Plans, CountsWhoIsAheadAndWhoCouldRunIt)
{
    machine(1, 3, 1, 0, "a");
    static_cast<void>(step(1, forSystem("b")));
    static_cast<void>(step(2, forSystem("b")));
    const ClassIndex queue = step(3, forSystem("b"));
    EXPECT_EQ(planner.ahead(queue, {0, WallTime{}, StepId(3)}, 100), 2U);
    EXPECT_EQ(planner.ahead(queue, {0, WallTime{}, StepId(3)}, 1), 1U);
    EXPECT_EQ(planner.reach(forSystem("a")).able, 1U);
    EXPECT_EQ(planner.reach(forSystem("a")).freeSlots, 2U);
    EXPECT_EQ(planner.reach(forSystem("b")).able, 0U);
}

// The law of the budget: what a start costs does not grow with machines, queue or classes.
TEST_F(Plans, VisitsPerStartStayConstant)
{
    for (std::uint64_t id = 1; id <= 2'000; ++id)
        machine(id, 1, 0, 0, fmt::format("s{}", id % 4));
    for (std::uint64_t id = 1; id <= 1'000; ++id)
        static_cast<void>(step(id, forSystem(fmt::format("s{}", id % 4))));
    VisitBudget budget(UINT64_MAX);
    const Plan plan = planner.plan(budget);
    EXPECT_EQ(plan.starts.size(), 1'000U);
    EXPECT_LE(budget.used(), 3'000U);
}

// Against a planner that looks at everything: same number of starts, in the same order of steps.
TEST_F(Plans, AgreesWithAnExhaustivePlanner)
{
    std::uint64_t random = 7;
    const auto draw = [&random](std::uint64_t below) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        return (random >> 33U) % below;
    };
    for (int round = 0; round < 100; ++round) {
        planner = Planner();
        struct Model {
            std::uint64_t id;
            std::uint32_t free;
            std::string system;
        };
        std::vector<Model> machines;
        for (std::uint64_t id = 1; id <= 6; ++id) {
            const Model model{id, static_cast<std::uint32_t>(draw(3)), fmt::format("s{}", draw(3))};
            machines.push_back(model);
            machine(id, 4, 4 - model.free, 0, model.system);
        }
        struct Waiting {
            QueueOrder order;
            std::string system;
        };
        std::vector<Waiting> steps;
        for (std::uint64_t id = 1; id <= 12; ++id) {
            const Waiting waiting{{static_cast<std::int32_t>(draw(3)), WallTime{}, StepId(id)},
                                  fmt::format("s{}", draw(4))};
            steps.push_back(waiting);
            static_cast<void>(step(id, forSystem(waiting.system), waiting.order.priority));
        }
        std::sort(steps.begin(), steps.end(), [](const auto& a, const auto& b) { return a.order < b.order; });
        std::vector<StepId> expected;
        for (const Waiting& waiting : steps)
            for (Model& model : machines)
                if (model.system == waiting.system && model.free > 0) {
                    --model.free;
                    expected.push_back(waiting.order.step);
                    break;
                }
        VisitBudget budget(UINT64_MAX);
        std::vector<StepId> started;
        for (const Start& start : planner.plan(budget).starts)
            started.push_back(start.step);
        EXPECT_EQ(started, expected);
    }
}

} // namespace
} // namespace penstock::sched
