// SPDX-License-Identifier: GPL-3.0-or-later
// What the feed says of the scheduler: shares, what waits and why, room and health, explanations and their bounds.
#include "tests/unit/server/feed_fixture.h"

#include "server/feed/detail/farm_mirror.h"
#include "server/feed/detail/wire.h"
#include "shared/base/text.h"

namespace penstock::test {
namespace {

struct FeedSchedulingTest : FeedFixture {
    void explain(std::uint64_t client, std::uint64_t request, std::uint64_t job, std::uint64_t step = 0,
                 std::uint32_t maxSteps = 0)
    {
        monitor::ClientMessage message;
        message.mutable_explain()->set_request(request);
        message.mutable_explain()->set_job_id(job);
        message.mutable_explain()->set_step_id(step);
        message.mutable_explain()->set_max_steps(maxSteps);
        say(client, message);
    }
};

feed::StepReasons waiting(std::uint64_t step)
{
    feed::StepReasons reasons{StepId(step), "hello", work::StepState::Ready};
    reasons.reasons.push_back(
        {"slots-full", "3 machines can run it, all full", {{"machines", 3}}, "wait, or add a machine", {"a", "b"}});
    reasons.funnel.push_back({"system", 3, 9, {{"c", "aarch64-linux"}}});
    reasons.change = "it starts when a slot is free";
    reasons.earliest = WallTime::fromMicros(5);
    return reasons;
}

TEST_F(FeedSchedulingTest, ExplainsOneStepWithNumbersFunnelAndRemedy)
{
    m_farm.addJob(1);
    m_farm.reasons = {JobId(1), work::JobState::Running, WallTime::fromMicros(9), {waiting(7)}, 4};
    FakePeer peer;
    explain(join(peer), 3, 1, 7);
    ASSERT_EQ(m_farm.explained.size(), 1U);
    EXPECT_EQ(m_farm.explained.front().step, StepId(7));
    const auto answer = take(peer).explanation();
    EXPECT_EQ(answer.request(), 3U);
    EXPECT_EQ(answer.job_id(), 1U);
    EXPECT_EQ(answer.job_state(), monitor::JOB_RUNNING);
    EXPECT_EQ(answer.evaluated_us(), 9U);
    EXPECT_EQ(answer.more(), 4U);
    ASSERT_EQ(answer.steps_size(), 1);
    const auto& step = answer.steps(0);
    EXPECT_EQ(step.state(), monitor::STEP_READY);
    EXPECT_EQ(step.earliest_us(), 5U);
    EXPECT_EQ(step.latest_us(), 0U);
    ASSERT_EQ(step.reasons_size(), 1);
    EXPECT_EQ(step.reasons(0).code(), "slots-full");
    EXPECT_EQ(step.reasons(0).remedy(), "wait, or add a machine");
    EXPECT_EQ(step.reasons(0).numbers(0).name(), "machines");
    EXPECT_EQ(step.reasons(0).numbers(0).value(), 3);
    EXPECT_EQ(step.reasons(0).names_size(), 2);
    ASSERT_EQ(step.funnel_size(), 1);
    EXPECT_EQ(step.funnel(0).left(), 3U);
    EXPECT_EQ(step.funnel(0).removed_count(), 9U);
    EXPECT_EQ(step.funnel(0).removed(0).why(), "aarch64-linux");
}

TEST_F(FeedSchedulingTest, AsksForNoMoreStepsThanTheBound)
{
    m_farm.addJob(1);
    m_farm.reasons.job = JobId(1);
    FakePeer peer;
    const auto client = join(peer);
    explain(client, 1, 1);
    explain(client, 2, 1, 0, 7);
    explain(client, 3, 1, 0, 1'000'000);
    ASSERT_EQ(m_farm.explained.size(), 3U);
    EXPECT_EQ(m_farm.explained[0].limit, feed::kExplainedSteps);
    EXPECT_EQ(m_farm.explained[1].limit, 7U);
    EXPECT_EQ(m_farm.explained[2].limit, feed::kExplainedSteps);
    EXPECT_EQ(take(peer).explanation().steps_size(), 0) << "no reason is an answer too";
}

TEST_F(FeedSchedulingTest, HasOneExplanationInTheMakingForAConnection)
{
    m_farm.addJob(1);
    m_farm.reasons.job = JobId(1);
    m_farm.hold = true;
    FakePeer first;
    FakePeer second;
    const auto client = join(first);
    explain(client, 1, 1);
    explain(client, 2, 1);
    const auto refused = take(first).problem();
    EXPECT_EQ(refused.watch(), 2U);
    EXPECT_EQ(refused.code(), "exhausted");
    explain(join(second), 1, 1);
    EXPECT_EQ(m_farm.explained.size(), 2U) << "another connection has its own";
    m_farm.release();
    EXPECT_EQ(take(first).explanation().request(), 1U);
    m_farm.hold = false;
    explain(client, 3, 1);
    EXPECT_EQ(take(first).explanation().request(), 3U);
}

TEST_F(FeedSchedulingTest, RefusesToExplainWhatItDoesNotKnow)
{
    FakePeer peer;
    const auto client = join(peer);
    explain(client, 4, 42);
    const auto unknown = take(peer).problem();
    EXPECT_EQ(unknown.watch(), 4U);
    EXPECT_EQ(unknown.code(), "not_found");
    EXPECT_EQ(unknown.message(), "no job 42");
    explain(client, 0, 42);
    EXPECT_EQ(take(peer).problem().code(), "invalid");
    explain(client, 5, 0);
    EXPECT_EQ(take(peer).problem().code(), "invalid");
    EXPECT_EQ(m_farm.explained.size(), 1U);
    EXPECT_FALSE(peer.closed);
}

TEST_F(FeedSchedulingTest, ForgetsTheExplanationOfAClientThatLeft)
{
    m_farm.addJob(1);
    m_farm.hold = true;
    FakePeer peer;
    const auto client = join(peer);
    explain(client, 1, 1);
    m_feed->disconnected(client);
    m_loop.run();
    m_farm.release();
    EXPECT_TRUE(peer.messages.empty());
}

TEST(FeedWire, CutsAnExplanationToItsBounds)
{
    feed::JobReasons reasons{JobId(1), work::JobState::Queued, {}, {}, 10};
    feed::StepReasons step = waiting(1);
    const std::string words(5'000, 'x');
    for (std::size_t at = 0; at < 100; ++at) {
        step.reasons.push_back({words, words, {}, words, std::vector<std::string>(9, words)});
        step.funnel.push_back({words, 0, 9, std::vector<feed::RemovedEntry>(9, {words, words})});
    }
    for (std::size_t at = 0; at < 30; ++at)
        step.reasons.front().numbers.emplace_back("n", 1);
    reasons.steps.assign(60, step);
    monitor::Explanation message;
    feed::wire::write(message, reasons);
    EXPECT_LE(message.ByteSizeLong(), feed::kExplanationBytes + 1'000);
    ASSERT_GT(message.steps_size(), 0);
    EXPECT_EQ(message.more(), 10 + 60 - static_cast<std::uint64_t>(message.steps_size()));
    const auto& first = message.steps(0);
    EXPECT_EQ(static_cast<std::size_t>(first.reasons_size()), feed::kReasonsOfStep);
    EXPECT_EQ(static_cast<std::size_t>(first.reasons(0).numbers_size()), feed::kNumbersOfReason);
    EXPECT_EQ(static_cast<std::size_t>(first.reasons(1).names_size()), feed::kNamesOfReason);
    EXPECT_EQ(first.reasons(1).text().size(), feed::kExplainedTextBytes);
    EXPECT_EQ(static_cast<std::size_t>(first.funnel_size()), feed::kFunnelStages);
    EXPECT_EQ(static_cast<std::size_t>(first.funnel(1).removed_size()), feed::kRemovedOfStage);
    monitor::Explanation many;
    reasons.steps.assign(60, waiting(1));
    feed::wire::write(many, reasons);
    EXPECT_EQ(static_cast<std::size_t>(many.steps_size()), feed::kExplainedSteps);
    EXPECT_EQ(many.more(), 20U);
}

TEST(FeedWire, CutsASentenceOnlyBetweenCharacters)
{
    feed::StepReasons step = waiting(1);
    step.change = std::string(feed::kExplainedTextBytes - 1, 'x') + "\u2014";
    monitor::Explanation message;
    feed::wire::write(message, {JobId(1), work::JobState::Queued, {}, {step}, 0});
    EXPECT_TRUE(isUtf8(message.steps(0).change()));
}

TEST_F(FeedSchedulingTest, TellsSharesWithTheSnapshotAndThenWhatChanged)
{
    m_farm.shares = {{"nixpkgs", 200, std::chrono::seconds(3), 60, 50, 4, 9}, {"old", 100}};
    FakePeer peer;
    watchFarm(join(peer), 1);
    const auto snapshot = take(peer).snapshot();
    ASSERT_EQ(snapshot.shares_size(), 2);
    EXPECT_EQ(snapshot.shares(0).group(), "nixpkgs");
    EXPECT_EQ(snapshot.shares(0).used_us(), 3'000'000U);
    EXPECT_EQ(snapshot.shares(0).target_percent(), 50);
    m_farm.shares = {{"nixpkgs", 200, std::chrono::seconds(4), 60, 50, 4, 9}};
    for (int at = 0; at < 3; ++at) {
        period();
        EXPECT_EQ(take(peer).delta().shares_size(), 0) << "not oftener than machines";
    }
    period();
    const auto delta = take(peer).delta();
    ASSERT_EQ(delta.shares_size(), 1);
    EXPECT_EQ(delta.shares(0).used_us(), 4'000'000U);
    ASSERT_EQ(delta.removed_shares_size(), 1);
    EXPECT_EQ(delta.removed_shares(0), "old");
}

TEST_F(FeedSchedulingTest, TellsPauseReasonsGroupsHealthAndRoom)
{
    m_farm.totals.machinesQuarantined = 1;
    m_farm.totals.waiting.assign(feed::kShownReasons + 5, {"slots-full", 3});
    m_farm.totals.pause = {"ada", "new switch", WallTime::fromMicros(4)};
    feed::QueueEntry queue{"any", "any", {}, 3, 0, 0, {}, 0, 0};
    queue.groups = {{"nixpkgs", 2}, {"default", 1}};
    queue.oldestStep = StepId(8);
    queue.oldestJob = JobId(1);
    m_farm.queues.push_back(queue);
    feed::MachineEntry machine;
    machine.id = MachineId(1);
    machine.condition = feed::MachineCondition::Quarantined;
    machine.health = {work::HealthState::Quarantined, 3, 2, WallTime::fromMicros(7), "disk error"};
    machine.room = feed::RoomEntry{false, "quarantined", -5, 2, 8, 1U << 20U, 4U << 20U, {{"gpu", 1, 2}}, 500,
                                   {{"io_pressure", 22.4, 10}}};
    machine.thresholds.ioPsi = 10;
    machine.thresholds.overridden = {"io_psi"};
    m_farm.machines[machine.id] = machine;
    FakePeer peer;
    watchFarm(join(peer), 1);
    const auto snapshot = take(peer).snapshot();
    EXPECT_EQ(snapshot.totals().machines_quarantined(), 1U);
    EXPECT_EQ(static_cast<std::size_t>(snapshot.totals().waiting_size()), feed::kShownReasons);
    EXPECT_EQ(snapshot.totals().pause().who(), "ada");
    EXPECT_EQ(snapshot.queues(0).groups(0).group(), "nixpkgs");
    EXPECT_EQ(snapshot.queues(0).oldest_step_id(), 8U);
    const auto& told = snapshot.machines(0);
    EXPECT_EQ(told.health().state(), monitor::HEALTH_QUARANTINED);
    EXPECT_EQ(told.health().until_us(), 7U);
    EXPECT_EQ(told.health().reason(), "disk error");
    EXPECT_FALSE(told.room().open());
    EXPECT_EQ(told.room().score(), -5);
    EXPECT_EQ(told.room().named(0).capacity(), 2U);
    EXPECT_EQ(told.room().crossed(0).gate(), "io_pressure");
    EXPECT_EQ(told.limit_psi_io(), 10);
    EXPECT_EQ(told.overridden(0), "io_psi");
    m_farm.totals.pause.reset();
    period();
    EXPECT_FALSE(take(peer).delta().totals().has_pause());
}

TEST_F(FeedSchedulingTest, TellsAllOfTenThousandMachines)
{
    constexpr int kMachines = 10'000;
    for (std::uint64_t id = 1; id <= kMachines; ++id) {
        feed::MachineEntry machine;
        machine.id = MachineId(id);
        machine.name = "builder-" + std::to_string(id) + ".farm.example.org";
        machine.condition = feed::MachineCondition::Ready;
        machine.os = "linux";
        machine.systems = {"x86_64-linux", "i686-linux"};
        machine.features = {"big-parallel", "kvm", "nixos-test", "benchmark"};
        machine.executors = {"command", "nix"};
        machine.slots = machine.used = 8;
        machine.memoryBytes = machine.memoryAvailableBytes = 1ULL << 40U;
        machine.diskFreeBytes = machine.diskTotalBytes = 1ULL << 42U;
        machine.load1 = machine.cpuBusyPercent = 12.5;
        machine.pressure = feed::PressureEntry{1, 2, 3, 4, 5};
        machine.thresholds = {75, 10, 40, 64, 1ULL << 34U, 1ULL << 30U, 1'000'000};
        machine.version = "0.1.0";
        machine.lastSeen = WallTime::fromMicros(1'700'000'000'000'000);
        for (std::uint64_t slot = 0; slot < 8; ++slot)
            machine.running.push_back({AttemptId(id * 10 + slot), StepId(id * 10 + slot), JobId(id), "hello-2.12.1",
                                       WallTime::fromMicros(1'700'000'000'000'000), "buildPhase"});
        machine.room = feed::RoomEntry{false, "all 8 slots are taken by running steps", -1'000, 32, 64, 1ULL << 38U,
                                       1ULL << 39U, {{"gpu", 1, 2}}, 500, {{"io_pressure", 22.4, 10}}};
        m_farm.machines[machine.id] = machine;
    }
    FakePeer peer;
    watchFarm(join(peer), 1);
    EXPECT_EQ(take(peer).snapshot().machines_size(), kMachines);
    for (auto& [id, machine] : m_farm.machines)
        machine.load1 += 1;
    for (int at = 0; at < 4; ++at)
        period();
    ASSERT_EQ(peer.messages.size(), 4U);
    EXPECT_EQ(peer.messages.back().delta().machines_size(), kMachines) << "not a new snapshot each time";
}

TEST(FarmMirror, HoldsNoMoreSharesThanItsBoundAndKeepsThemWhenNotAsked)
{
    feed::FarmMirror mirror;
    feed::FarmRecords records;
    for (std::size_t at = 0; at < feed::kShownShares + 10; ++at)
        records.shares.push_back({"g" + std::to_string(at), 100});
    feed::FarmRequest request;
    request.shares = true;
    EXPECT_EQ(mirror.apply(request, records).shares.size(), feed::kShownShares);
    EXPECT_TRUE(mirror.apply({}, {}).removedShares.empty());
    EXPECT_EQ(mirror.shares().size(), feed::kShownShares);
}

} // namespace
} // namespace penstock::test
