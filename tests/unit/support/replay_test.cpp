// SPDX-License-Identifier: GPL-3.0-or-later
// The machines and the virtual time that the scheduler is judged in must themselves be right.
#include "bench/sched/replay.h"

#include "tests/support/workload_requests.h"

#include <cmath>
#include <gtest/gtest.h>

namespace penstock::bench {
namespace {

constexpr Duration kSecond = std::chrono::seconds(1);

protocol::MachineFacts fourCores()
{
    protocol::MachineFacts facts = test::machineFacts("m", 8, 4);
    facts.thresholds.cpuPsi = 50;
    return facts;
}

Now at(Duration sinceStart)
{
    return {{sinceStart}, {sinceStart}};
}

double seconds(Duration duration)
{
    return static_cast<double>(duration.count()) / 1e6;
}

TEST(MachineModel, PressureIsAboutHalfWhenThreadsEqualCoresAndGrowsWithThem)
{
    EXPECT_DOUBLE_EQ(cpuSome(0, 16), 0.0);
    EXPECT_NEAR(cpuSome(16, 16), 50.0, 0.01);
    EXPECT_LT(cpuSome(12, 16), 5.0);
    EXPECT_GT(cpuSome(20, 16), 90.0);
}

TEST(MachineModel, AStepAloneTakesItsDurationOverTheSpeed)
{
    protocol::MachineFacts facts = fourCores();
    facts.speedFactor = 2;
    MachineModel machine(facts, true, {});
    machine.start(AttemptId(1), {kSecond * 10, 4'000}, at(Duration(0)));
    EXPECT_EQ(machine.nextFinish(), Instant{kSecond * 5});
}

TEST(MachineModel, StepsSlowEachOtherDownWhenTheyWantMoreThanThereIs)
{
    MachineModel machine(fourCores(), true, {});
    machine.start(AttemptId(1), {kSecond * 10, 4'000}, at(Duration(0)));
    machine.start(AttemptId(2), {kSecond * 20, 4'000}, at(Duration(0)));
    ASSERT_EQ(machine.nextFinish(), Instant{kSecond * 20}); // at half the speed
    EXPECT_EQ(machine.takeFinished({kSecond * 20})->attempt, AttemptId(1));
    EXPECT_EQ(machine.nextFinish(), Instant{kSecond * 30}); // then alone
    machine.advance({kSecond * 30});
    EXPECT_NEAR(machine.busyMicros(), 4 * 30e6, 1.0);
}

TEST(MachineModel, AveragesAndTimeOverTheLimitAreThoseOfSmallSteps)
{
    MachineModel machine(fourCores(), true, {});
    machine.start(AttemptId(1), {kSecond * 1'000, 6'000}, at(Duration(0)));
    const double target = cpuSome(6, 4);
    double average = 0;
    double over = 0;
    for (int i = 0; i < 60'000; ++i) { // of a millisecond
        average += (target - average) * (1 - std::exp(-0.001 / 10));
        over += average > 50 ? 0.001 : 0;
    }
    machine.advance({kSecond * 60});
    EXPECT_NEAR(machine.cpuAverage(), average, 0.01);
    EXPECT_NEAR(seconds(machine.overCpu().longest), over, 0.01);
    EXPECT_GT(over, 40);
}

TEST(MachineModel, TimeOverTheLimitGoesOnOverChangesAndEndsBelow)
{
    MachineModel machine(fourCores(), true, {});
    machine.start(AttemptId(1), {kSecond * 10'000, 8'000}, at(Duration(0)));
    machine.start(AttemptId(2), {kSecond * 10'000, 8'000}, at(kSecond * 30));
    machine.advance({kSecond * 60});
    const double first = seconds(machine.overCpu().longest);
    EXPECT_GT(first, 50); // one stretch over both starts
    static_cast<void>(machine.take(AttemptId(1), {kSecond * 60}));
    static_cast<void>(machine.take(AttemptId(2), {kSecond * 60}));
    machine.advance({kSecond * 120});
    EXPECT_EQ(machine.overCpu().current, Duration(0));
    EXPECT_NEAR(seconds(machine.overCpu().longest), first + 10 * std::log(2.0), 0.5); // fades from 100 to 50
}

TEST(MachineModel, WhatOthersDoIsShownButNotOurs)
{
    MachineModel machine(fourCores(), true, {});
    machine.setForeign(20, {});
    machine.advance({kSecond * 60});
    EXPECT_GT(machine.cpuAverage(), 95);
    EXPECT_GT(machine.sinceOverCpu(), kSecond * 50);
    EXPECT_EQ(machine.overCpu().longest, Duration(0));
}

test::Evaluation forkOfThree()
{
    test::Evaluation evaluation{"fork", "group", Duration(0), {}};
    evaluation.steps.push_back({"first", {}, kSecond * 10});
    evaluation.steps.push_back({"left", {0}, kSecond * 20});
    evaluation.steps.push_back({"right", {0}, kSecond * 30});
    return evaluation;
}

TEST(Replay, AForkEndsWithItsLongerBranch)
{
    const test::Evaluation evaluation = forkOfThree();
    core::CoreOptions options;
    options.policy.room = sched::MachineFree::Static;
    Replay replay(options, {}, [&evaluation](const protocol::Assignment& assignment) {
        const auto place = test::placeOf(std::get<protocol::NixWork>(assignment.work).drvPath);
        return Truth{evaluation.steps[place.step].duration};
    });
    replay.addMachine(test::machineFacts("m", 4, 4));
    replay.at(kSecond * 5, [&evaluation](Replay& farm) {
        core::SubmitJobs submit{RequestId(1), {}};
        submit.jobs.push_back(test::jobOf(evaluation, 0));
        farm.send(std::move(submit));
    });
    replay.run(std::chrono::hours(1));
    EXPECT_EQ(replay.finished(), 3U);
    EXPECT_EQ(replay.lastFinish(), kSecond * 45);
    EXPECT_EQ(replay.refusals(), 0U);
    const auto usage = replay.usage();
    EXPECT_EQ(usage[0].at(0), kSecond * 60);
}

TEST(Replay, MachineTimeIsCountedInTheMinuteItFallsInto)
{
    core::CoreOptions options;
    options.policy.room = sched::MachineFree::Static;
    Replay replay(options, {}, [](const protocol::Assignment&) { return Truth{kSecond * 100}; });
    replay.addMachine(test::machineFacts("m", 1, 4));
    core::SubmitJobs submit{RequestId(1), {}};
    submit.jobs.push_back(test::commandJob({}));
    submit.jobs.push_back(test::commandJob({}));
    replay.send(std::move(submit));
    replay.run(kSecond * 150);
    replay.at(kSecond * 160, [](Replay&) {});
    replay.run(kSecond * 160); // the second one still runs
    const auto usage = replay.usage();
    EXPECT_EQ(usage[0].at(0), kSecond * 60);
    EXPECT_EQ(usage[0].at(1), kSecond * 60);
    EXPECT_EQ(usage[0].at(2), kSecond * 40);
}

} // namespace
} // namespace penstock::bench
