// SPDX-License-Identifier: GPL-3.0-or-later
// Memory that steps are expected to use, beside memory that they ask for.
#include "tests/unit/sched/planner_fixture.h"

namespace penstock::sched::test {
namespace {

using std::chrono::minutes;

Ask memory(std::uint64_t stated, std::uint64_t expected)
{
    return {.reserved = {1, stated, {}}, .expectedMemoryBytes = expected};
}

struct ExpectedMemory : ::testing::Test {
    Room room;
    void SetUp() override { room.setCapacity({.slots = 4, .resources = {4, 10, {}}}); }
};

TEST_F(ExpectedMemory, CountsBesideWhatRuns)
{
    room.take(memory(0, 6));
    EXPECT_EQ(room.taken().memoryBytes, 6U);
    EXPECT_TRUE(room.fits(memory(0, 4)));
    EXPECT_FALSE(room.fits(memory(0, 5)));
    EXPECT_TRUE(room.fits(memory(4, 0)));
    EXPECT_FALSE(room.fits(memory(5, 0)));
    EXPECT_TRUE(room.fits(memory(0, 0)));
    room.give(memory(0, 6));
    EXPECT_EQ(room.taken().memoryBytes, 0U);
}

TEST_F(ExpectedMemory, CountsOnlyWhereItIsMoreThanWhatWasAskedFor)
{
    room.take(memory(6, 2));
    EXPECT_EQ(room.taken().memoryBytes, 6U);
    EXPECT_TRUE(room.fits(memory(4, 1)));
    EXPECT_FALSE(room.fits(memory(1, 5)));
}

TEST_F(ExpectedMemory, KeepsNoStepFromAnEmptyMachine)
{
    EXPECT_TRUE(room.fits(memory(0, 1'000)));
    EXPECT_TRUE(room.couldFit(memory(10, 1'000)));
    EXPECT_FALSE(room.fits(memory(11, 0)));
    EXPECT_FALSE(room.couldFit(memory(11, 0)));
    room.setForeign(1, 0); // it is not empty
    EXPECT_FALSE(room.fits(memory(0, 11)));
    EXPECT_TRUE(room.couldFit(memory(0, 11)));
}

TEST_F(ExpectedMemory, CountsNowhereWhereNobodyKnowsHowMuchThereIs)
{
    room.setCapacity({.slots = 4, .resources = {4, 0, {}}});
    room.take(memory(0, 1'000));
    EXPECT_TRUE(room.fits(memory(0, 1'000)));
}

TEST_F(PlannerTest, KeepsAMachineFreeForAStepThatIsExpectedToNeedMoreMemoryThanAnyHas)
{
    machine(1, Capacity{.slots = 3, .resources = {3, 10, {}}});
    steps(1, 2);
    EXPECT_EQ(plan(), "1@1 2@1 ");
    step({.id = 3, .ask = memory(0, 1'000)});
    EXPECT_EQ(plan(), "");
    steps(4, 5);
    now = now + minutes(10);
    EXPECT_EQ(reserve(minutes(5)), 1U);
    end(1);
    EXPECT_EQ(plan(), "");
    end(2);
    EXPECT_EQ(plan(), "3@1 4@1 5@1 ");
}

} // namespace
} // namespace penstock::sched::test
