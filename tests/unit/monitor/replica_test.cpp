// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/farm_replica.h"

#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/replica/job_replica.h"
#include "tests/unit/monitor/farm_events.h"

#include <gtest/gtest.h>

namespace penstock::gui {
namespace {

using namespace test;

TEST(FarmReplica, IsEmptyUntilTheFirstSnapshot)
{
    FarmReplica farm;
    EXPECT_FALSE(farm.filled());
    EXPECT_EQ(farm.apply(delta(1), server(0), at(0)), Applied::NeedsResync);
    EXPECT_FALSE(farm.filled());
}

TEST(FarmReplica, TakesASnapshotAndTheDeltasAfterIt)
{
    FarmReplica farm;
    SnapshotEvent first = snapshot(7);
    first.machines = {machine(1), machine(2)};
    first.queues = {queue("x86_64-linux", 3)};
    ASSERT_EQ(farm.apply(first, server(0), at(0)), Applied::Yes);
    DeltaEvent change = delta(8);
    change.machines = {machine(2, "renamed", 5)};
    change.totals.stepsReady = 4;
    ASSERT_EQ(farm.apply(change, server(1), at(1)), Applied::Yes);
    EXPECT_EQ(farm.machines().size(), 2U);
    EXPECT_EQ(farm.machines().at(MachineId(2))->name, "renamed");
    EXPECT_EQ(farm.totals().stepsReady, 4U);
    EXPECT_EQ(farm.number(), 8U);
}

TEST(FarmReplica, RemovesWhatADeltaRemoves)
{
    FarmReplica farm;
    SnapshotEvent first = snapshot(1);
    first.machines = {machine(1), machine(2)};
    first.queues = {queue("a"), queue("b")};
    first.jobs = {job(10), job(11)};
    ASSERT_EQ(farm.apply(first, server(0), at(0)), Applied::Yes);
    DeltaEvent change = delta(2);
    change.removedMachines = {MachineId(1), MachineId(99)};
    change.removedQueues = {"b"};
    change.removedJobs = {JobId(10)};
    ASSERT_EQ(farm.apply(change, server(1), at(1)), Applied::Yes);
    EXPECT_FALSE(farm.machines().contains(MachineId(1)));
    EXPECT_EQ(farm.queues().size(), 1U);
    EXPECT_EQ(farm.jobs().size(), 1U);
}

TEST(FarmReplica, TakesSharesPauseAndWhatWaits)
{
    FarmReplica farm;
    SnapshotEvent first = snapshot(1);
    first.shares = {share("nixpkgs", 10), share("default")};
    first.totals.pause = DispatchPause{"ada", "new switch", server(0)};
    ASSERT_EQ(farm.apply(first, server(0), at(0)), Applied::Yes);
    EXPECT_EQ(farm.totals().pause->who, "ada");
    DeltaEvent change = delta(2);
    change.shares = {share("nixpkgs", 20)};
    change.removedShares = {"default", "unknown"};
    change.totals.waiting = {{"slots-full", 3}};
    ASSERT_EQ(farm.apply(change, server(1), at(1)), Applied::Yes);
    ASSERT_EQ(farm.shares().size(), 1U);
    EXPECT_EQ(farm.shares().at("nixpkgs")->usedPercent, 20);
    EXPECT_FALSE(farm.totals().pause);
    EXPECT_EQ(farm.totals().waiting.at(0).steps, 3U);
    SnapshotEvent anew = snapshot(9);
    ASSERT_EQ(farm.apply(anew, server(2), at(2)), Applied::Yes);
    EXPECT_TRUE(farm.shares().empty());
}

TEST(FarmReplica, HoldsNoMoreSharesThanItsBound)
{
    FarmReplica farm;
    SnapshotEvent first = snapshot(1);
    for (std::size_t place = 0; place < kMaxShares + 3; ++place)
        first.shares.push_back(share(std::to_string(place)));
    ASSERT_EQ(farm.apply(first, server(0), at(0)), Applied::Yes);
    EXPECT_EQ(farm.shares().size(), kMaxShares);
    EXPECT_EQ(farm.refused(), 3U);
}

TEST(FarmReplica, RefusesADeltaAfterAGapAndKeepsWhatItHas)
{
    FarmReplica farm;
    SnapshotEvent first = snapshot(1);
    first.machines = {machine(1)};
    ASSERT_EQ(farm.apply(first, server(0), at(0)), Applied::Yes);
    DeltaEvent late = delta(3);
    late.removedMachines = {MachineId(1)};
    EXPECT_EQ(farm.apply(late, server(1), at(1)), Applied::NeedsResync);
    EXPECT_EQ(farm.apply(delta(4), server(2), at(2)), Applied::Ignored) << "said once";
    EXPECT_TRUE(farm.machines().contains(MachineId(1))) << "nothing vanishes because of a gap";
    EXPECT_EQ(farm.apply(snapshot(9), server(3), at(3)), Applied::Yes);
    EXPECT_EQ(farm.apply(delta(10), server(4), at(4)), Applied::Yes);
}

TEST(FarmReplica, IgnoresARepeatedDelta)
{
    FarmReplica farm;
    ASSERT_EQ(farm.apply(snapshot(5), server(0), at(0)), Applied::Yes);
    EXPECT_EQ(farm.apply(delta(5), server(1), at(1)), Applied::Ignored);
    EXPECT_EQ(farm.apply(delta(6), server(1), at(1)), Applied::Yes);
}

TEST(FarmReplica, KeepsItsRecordsWhenTheStreamIsResumed)
{
    FarmReplica farm;
    SnapshotEvent first = snapshot(5);
    first.machines = {machine(1)};
    ASSERT_EQ(farm.apply(first, server(0), at(0)), Applied::Yes);
    SnapshotEvent resumed = snapshot(5);
    resumed.resumed = true;
    ASSERT_EQ(farm.apply(resumed, server(9), at(9)), Applied::Yes);
    EXPECT_TRUE(farm.machines().contains(MachineId(1)));
    EXPECT_EQ(farm.apply(delta(6), server(9), at(9)), Applied::Yes);
}

TEST(FarmReplica, DoesNotBelieveAResumeOfAnotherStream)
{
    FarmReplica farm;
    ASSERT_EQ(farm.apply(snapshot(5, "a"), server(0), at(0)), Applied::Yes);
    SnapshotEvent resumed = snapshot(5, "b");
    resumed.resumed = true;
    EXPECT_EQ(farm.apply(resumed, server(1), at(1)), Applied::NeedsResync);
}

TEST(FarmReplica, CarriesTheServersClockOnByOurMonotonicOne)
{
    FarmReplica farm;
    ASSERT_EQ(farm.apply(snapshot(1), server(100), at(5)), Applied::Yes);
    EXPECT_EQ(farm.serverNow(at(8)), server(103));
    EXPECT_EQ(farm.asOf(), server(100));
}

TEST(FarmReplica, HoldsNoMoreMachinesThanItsBound)
{
    FarmReplica farm;
    SnapshotEvent first = snapshot(1);
    for (std::uint64_t id = 1; id <= kMaxMachines + 3; ++id)
        first.machines.push_back(machine(id));
    ASSERT_EQ(farm.apply(first, server(0), at(0)), Applied::Yes);
    EXPECT_EQ(farm.machines().size(), kMaxMachines);
    EXPECT_EQ(farm.refused(), 3U);
}

TEST(Freshness, GrowsOldByDeclaredPeriods)
{
    const Duration period = std::chrono::seconds(5);
    EXPECT_EQ(freshnessOf(std::nullopt, period), Freshness::Unknown);
    EXPECT_EQ(freshnessOf(std::chrono::seconds(15), period), Freshness::Fresh);
    EXPECT_EQ(freshnessOf(std::chrono::seconds(16), period), Freshness::Stale);
    EXPECT_EQ(freshnessOf(std::chrono::seconds(50), period), Freshness::Stale);
    EXPECT_EQ(freshnessOf(std::chrono::seconds(51), period), Freshness::Lost);
}

TEST(Freshness, ADisconnectedMachineIsLostHoweverYoungItsReport)
{
    MachineRecord record{.id = MachineId(1)};
    record.lastSeen = server(10);
    record.state = MachineState::Ready;
    EXPECT_EQ(freshnessOf(record, server(10), std::chrono::seconds(5)), Freshness::Fresh);
    record.state = MachineState::Disconnected;
    EXPECT_EQ(freshnessOf(record, server(10), std::chrono::seconds(5)), Freshness::Lost);
}

TEST(Freshness, AMachineIsPastItsGateOnlyAboveIt)
{
    MachineRecord record{.id = MachineId(1)};
    record.gates.ioFull = 40;
    record.pressure = Pressure{};
    record.pressure->ioFull = 40;
    EXPECT_FALSE(pastGate(record));
    record.pressure->ioFull = 40.1;
    EXPECT_TRUE(pastGate(record));
    record.pressure.reset();
    EXPECT_FALSE(pastGate(record));
    record.load1 = 9;
    record.gates.load1 = 8;
    EXPECT_TRUE(pastGate(record));
    record.load1 = 0;
    record.gates.diskFree = 100;
    record.diskFreeBytes = 100;
    EXPECT_FALSE(pastGate(record));
    record.diskFreeBytes = 99;
    EXPECT_TRUE(pastGate(record));
    record.diskFreeBytes = 0;
    EXPECT_FALSE(pastGate(record)) << "not reported yet";
}

TEST(JobReplica, ReplacesAllStepsWithACompleteUpdateAndSomeWithAnother)
{
    JobReplica replica;
    replica.watch(JobId(3));
    JobEvent all;
    all.job = job(3);
    all.complete = true;
    all.steps = {step(1), step(2)};
    replica.apply(all);
    JobEvent some;
    some.steps = {step(2, StepState::Running)};
    replica.apply(some);
    ASSERT_EQ(replica.steps().size(), 2U);
    EXPECT_EQ(replica.steps().at(StepId(2))->state, StepState::Running);
    all.steps = {step(2)};
    replica.apply(all);
    EXPECT_EQ(replica.steps().size(), 1U);
}

TEST(JobReplica, IgnoresUpdatesOfAnotherJob)
{
    JobReplica replica;
    replica.watch(JobId(3));
    JobEvent other;
    other.asked = JobId(4);
    other.steps = {step(1)};
    replica.apply(other);
    EXPECT_TRUE(replica.steps().empty());
}

TEST(JobReplica, KeepsTheServersRefusal)
{
    JobReplica replica;
    replica.watch(JobId(3));
    JobEvent refused;
    refused.asked = JobId(3);
    refused.refusal = "no job 3";
    replica.apply(refused);
    EXPECT_EQ(replica.refusal(), "no job 3");
    replica.watch(JobId(4));
    EXPECT_TRUE(replica.refusal().empty());
}

} // namespace
} // namespace penstock::gui
