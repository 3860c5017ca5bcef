// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/health.h"

#include <array>
#include <gtest/gtest.h>

namespace penstock::work {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr std::array kStates{HealthState::Healthy, HealthState::Quarantined, HealthState::Probing,
                             HealthState::Parole};
const Now kNow{{hours(1)}, WallTime::fromMicros(1'000'000'000)};
const HealthPolicy kPolicy{};

MachineHealth in(HealthState state)
{
    MachineHealth health;
    health.state = state;
    if (state == HealthState::Healthy)
        return health;
    health.failuresInRow = 3;
    health.quarantines = 2;
    health.reason = "disk full";
    if (state == HealthState::Quarantined)
        health.until = kNow.wall + minutes(2);
    return health;
}

MachineHealth after(const MachineHealth& health, const HealthEvent& event, const HealthPolicy& policy = kPolicy)
{
    return next(health, event, policy, kNow);
}

TEST(Health, FollowsItsTableInEveryCell)
{
    struct Row {
        const char* name;
        HealthEvent event;
        std::array<HealthState, 4> to; // by kStates
    };
    using enum HealthState;
    const std::array rows{
        Row{"another step failed", MachineFailed{false, "x"}, {Healthy, Quarantined, Quarantined, Quarantined}},
        Row{"the same step failed", MachineFailed{true, "x"}, {Healthy, Quarantined, Quarantined, Quarantined}},
        Row{"did well", MachineDidWell{false}, {Healthy, Quarantined, Probing, Healthy}},
        Row{"the probe did well", MachineDidWell{true}, {Healthy, Quarantined, Parole, Healthy}},
        Row{"quarantine over", QuarantineOver{}, {Healthy, Probing, Probing, Parole}},
        Row{"trusted", Trusted{}, {Healthy, Healthy, Healthy, Healthy}},
    };
    for (const Row& row : rows)
        for (std::size_t i = 0; i < kStates.size(); ++i) {
            SCOPED_TRACE(std::string(row.name) + " when " + std::string(toString(kStates[i])));
            const MachineHealth before = in(kStates[i]);
            const MachineHealth now = after(before, row.event);
            EXPECT_EQ(now.state, row.to[i]);
            EXPECT_EQ(now.until.has_value(), now.state == Quarantined);
            if (now.state == Healthy && before.state != Healthy) {
                EXPECT_EQ(now, MachineHealth{});
            }
        }
}

TEST(Health, LeavesCellsThatAreNotNamedAsTheyWere)
{
    const MachineHealth quarantined = in(HealthState::Quarantined);
    EXPECT_EQ(after(quarantined, MachineFailed{false, "late"}), quarantined);
    EXPECT_EQ(after(quarantined, MachineDidWell{true}), quarantined);
    EXPECT_EQ(after(in(HealthState::Probing), MachineDidWell{false}), in(HealthState::Probing));
    for (const HealthState state : {HealthState::Healthy, HealthState::Probing, HealthState::Parole})
        EXPECT_EQ(after(in(state), QuarantineOver{}), in(state));
}

TEST(Health, QuarantinesAtTheLimitOfDifferentStepsInARow)
{
    MachineHealth health;
    health = after(health, MachineFailed{false, "a"});
    health = after(health, MachineFailed{false, "b"});
    EXPECT_EQ(health.state, HealthState::Healthy);
    EXPECT_EQ(health.failuresInRow, 2U);
    health = after(health, MachineFailed{false, "c"});
    EXPECT_EQ(health.state, HealthState::Quarantined);
    EXPECT_EQ(health.failuresInRow, 3U);
    EXPECT_EQ(health.quarantines, 1U);
    EXPECT_EQ(health.until, kNow.wall + minutes(1));
    EXPECT_EQ(health.reason, "c");
}

TEST(Health, CountsOneStepOnceHoweverOftenItFails)
{
    MachineHealth health;
    health = after(health, MachineFailed{false, "first"});
    for (int i = 0; i < 20; ++i)
        health = after(health, MachineFailed{true, "again"});
    EXPECT_EQ(health.state, HealthState::Healthy);
    EXPECT_EQ(health.failuresInRow, 1U);
    EXPECT_EQ(health.reason, "again");
}

TEST(Health, CountsAStepAgainWhenTheMachineDidWellMeanwhile)
{
    MachineHealth health = after({}, MachineFailed{false, "x"});
    health = after(health, MachineDidWell{false});
    EXPECT_EQ(health, MachineHealth{});
    EXPECT_EQ(after(health, MachineFailed{true, "x"}).failuresInRow, 1U);
}

TEST(Health, StaysAwayTwiceAsLongEachTimeUpToTheMaximum)
{
    MachineHealth health;
    for (int i = 0; i < 3; ++i)
        health = after(health, MachineFailed{false, "x"});
    for (const int expected : {1, 2, 4, 8, 16, 32, 60, 60}) {
        EXPECT_EQ(health.until, kNow.wall + minutes(expected));
        health = after(health, QuarantineOver{});
        EXPECT_EQ(health.state, HealthState::Probing);
        health = after(health, MachineFailed{true, "the probe"});
    }
    EXPECT_EQ(health.quarantines, 9U);
}

TEST(Health, DoublesAlsoWhenItFailsOnParole)
{
    const MachineHealth health = after(in(HealthState::Parole), MachineFailed{false, "x"});
    EXPECT_EQ(health.quarantines, 3U);
    EXPECT_EQ(health.until, kNow.wall + minutes(4));
}

TEST(Health, StartsOverAfterItWasHealthy)
{
    MachineHealth health = after(in(HealthState::Parole), MachineDidWell{false});
    EXPECT_EQ(health, MachineHealth{});
    for (int i = 0; i < 3; ++i)
        health = after(health, MachineFailed{false, "x"});
    EXPECT_EQ(health.until, kNow.wall + minutes(1));
}

TEST(Health, NeverQuarantinesWhenThePolicySaysZero)
{
    HealthPolicy off;
    off.failures = 0;
    MachineHealth health;
    for (int i = 0; i < 100; ++i)
        health = after(health, MachineFailed{false, "x"}, off);
    EXPECT_EQ(health.state, HealthState::Healthy);
    for (const HealthState state : {HealthState::Probing, HealthState::Parole})
        EXPECT_EQ(after(in(state), MachineFailed{false, "x"}, off).state, HealthState::Healthy);
}

TEST(Health, DoesNotWrapItsCounts)
{
    MachineHealth health = in(HealthState::Probing);
    health.failuresInRow = UINT32_MAX;
    health.quarantines = UINT32_MAX;
    health = after(health, MachineFailed{false, "x"});
    EXPECT_EQ(health.failuresInRow, UINT32_MAX);
    EXPECT_EQ(health.quarantines, UINT32_MAX);
    EXPECT_EQ(health.until, kNow.wall + hours(1));
}

TEST(Health, ReadsTheWordsThatItWrites)
{
    for (const HealthState state : kStates)
        EXPECT_EQ(parseHealthState(toString(state)), state);
    EXPECT_EQ(toString(HealthState::Quarantined), "quarantined");
    EXPECT_EQ(parseHealthState("Healthy"), std::nullopt);
    EXPECT_EQ(parseHealthState(""), std::nullopt);
}

} // namespace
} // namespace penstock::work
