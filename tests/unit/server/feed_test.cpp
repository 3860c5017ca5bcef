// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/server/feed_fixture.h"

#include "server/feed/detail/delta_ring.h"
#include "server/feed/detail/farm_mirror.h"

namespace penstock::test {
namespace {

using FeedTest = FeedFixture;

TEST(DeltaRing, GivesWhatCameAfterANumberWhileItHasIt)
{
    feed::DeltaRing ring(3, 1'000);
    for (const auto* delta : {"a", "b", "c", "d"})
        ring.push(delta);
    EXPECT_EQ(ring.last(), 4U);
    ASSERT_TRUE(ring.after(2));
    EXPECT_EQ(ring.after(2)->size(), 2U);
    EXPECT_EQ(*ring.after(2)->front(), "c");
    EXPECT_TRUE(ring.after(4)->empty());
    EXPECT_EQ(ring.after(1)->size(), 3U);
    EXPECT_FALSE(ring.after(0));
    EXPECT_FALSE(ring.after(5));
    ring.clear();
    EXPECT_FALSE(ring.after(3));
    EXPECT_TRUE(ring.after(4));
}

TEST(DeltaRing, DropsTheOldestAboveItsBytes)
{
    feed::DeltaRing ring(100, 10);
    ring.push(std::string(6, 'x'));
    ring.push(std::string(6, 'y'));
    EXPECT_FALSE(ring.after(0));
    EXPECT_TRUE(ring.after(1));
}

TEST(FarmMirror, KeepsTheNewestJobsOnly)
{
    feed::FarmMirror mirror;
    feed::FarmRecords records;
    records.totals.jobsOpen = 1'500;
    for (std::uint64_t id = 1; id <= 1'500; ++id) {
        feed::JobEntry job;
        job.id = JobId(id);
        records.jobs.push_back(job);
    }
    feed::FarmRequest request;
    request.newestJobs = true;
    EXPECT_EQ(mirror.apply(request, records).jobs.size(), feed::kShownOpenJobs);
    EXPECT_EQ(mirror.jobs().begin()->first, JobId(501));
    EXPECT_FALSE(mirror.lacksJobs());
    feed::FarmRecords finished;
    finished.totals.jobsOpen = 1'300;
    for (std::uint64_t id = 1'001; id <= 1'300; ++id) {
        feed::JobEntry job;
        job.id = JobId(id);
        job.state = work::JobState::Succeeded;
        job.finished = WallTime::fromMicros(static_cast<std::int64_t>(id));
        finished.jobs.push_back(job);
    }
    const auto change = mirror.apply({}, finished);
    EXPECT_EQ(change.jobs.size(), feed::kShownFinishedJobs);
    EXPECT_EQ(change.removedJobs.size(), 100U);
    EXPECT_TRUE(mirror.lacksJobs());
}

TEST_F(FeedTest, SendsASnapshotThenOneNumberedDeltaAPeriod)
{
    m_farm.addJob(1);
    m_farm.queues.push_back({"any", "any", {}, 1, 0, 0, {}, 0, 0});
    FakePeer peer;
    const auto client = join(peer);
    EXPECT_EQ(m_farm.farmQuestions, 0U);
    watchFarm(client, 5);
    const auto snapshot = take(peer).snapshot();
    EXPECT_EQ(snapshot.watch(), 5U);
    EXPECT_EQ(snapshot.stream(), "stream-1");
    EXPECT_EQ(snapshot.jobs_size(), 1);
    EXPECT_EQ(snapshot.queues_size(), 1);
    period();
    const auto heartbeat = take(peer).delta();
    EXPECT_EQ(heartbeat.number(), snapshot.number() + 1);
    EXPECT_EQ(heartbeat.watch(), 5U);
    EXPECT_EQ(heartbeat.jobs_size() + heartbeat.queues_size() + heartbeat.machines_size(), 0);
    m_farm.jobs.at(JobId(1)).job.stepsRunning = 1;
    m_farm.queues.clear();
    changed({JobId(1)});
    EXPECT_TRUE(peer.messages.empty());
    period();
    const auto delta = take(peer).delta();
    EXPECT_EQ(delta.number(), heartbeat.number() + 1);
    ASSERT_EQ(delta.jobs_size(), 1);
    EXPECT_EQ(delta.jobs(0).steps_running(), 1U);
    ASSERT_EQ(delta.removed_queues_size(), 1);
    EXPECT_EQ(delta.removed_queues(0), "any");
}

TEST_F(FeedTest, ResumesWithTheDeltasThatWereMissed)
{
    FakePeer first;
    watchFarm(join(first), 1);
    const auto number = take(first).snapshot().number();
    period();
    period();
    FakePeer second;
    watchFarm(join(second), 1, "stream-1", number);
    const auto resumed = take(second).snapshot();
    EXPECT_TRUE(resumed.resumed());
    EXPECT_EQ(resumed.number(), number);
    EXPECT_EQ(take(second).delta().number(), number + 1);
    EXPECT_EQ(take(second).delta().number(), number + 2);
    EXPECT_TRUE(second.messages.empty());
    FakePeer stranger;
    watchFarm(join(stranger), 1, "stream-0", number);
    EXPECT_FALSE(take(stranger).snapshot().resumed());
}

TEST_F(FeedTest, ResumesAfterAShortBreakOfTheOnlyMonitor)
{
    FakePeer first;
    const auto client = join(first);
    watchFarm(client, 1);
    const auto number = take(first).snapshot().number();
    m_feed->disconnected(client);
    m_loop.advance(std::chrono::seconds(10));
    FakePeer second;
    watchFarm(join(second), 1, "stream-1", number);
    EXPECT_TRUE(take(second).snapshot().resumed());
}

TEST_F(FeedTest, AsksNothingWhenNobodyWatchesForLong)
{
    FakePeer peer;
    const auto client = join(peer);
    watchFarm(client, 1);
    m_feed->disconnected(client);
    m_loop.advance(std::chrono::seconds(70));
    const auto questions = m_farm.farmQuestions;
    m_loop.advance(std::chrono::seconds(70));
    EXPECT_EQ(m_farm.farmQuestions, questions);
    FakePeer again;
    watchFarm(join(again), 1, "stream-1", 1);
    EXPECT_FALSE(take(again).snapshot().resumed());
}

TEST_F(FeedTest, GoesOnWhenTheFarmCannotAnswer)
{
    FakePeer peer;
    watchFarm(join(peer), 1);
    EXPECT_TRUE(take(peer).has_snapshot());
    m_farm.reachable = false;
    m_farm.addJob(9);
    changed({JobId(9)});
    period();
    EXPECT_EQ(take(peer).delta().jobs_size(), 0);
    m_farm.reachable = true;
    period();
    EXPECT_EQ(take(peer).delta().jobs_size(), 1);
}

TEST_F(FeedTest, TellsARemovedMachine)
{
    m_farm.machines[MachineId(3)].id = MachineId(3);
    FakePeer peer;
    watchFarm(join(peer), 1);
    EXPECT_EQ(take(peer).snapshot().machines_size(), 1);
    m_farm.machines.clear();
    changed({}, {}, {MachineId(3)});
    period();
    EXPECT_EQ(take(peer).delta().removed_machines(0), 3U);
}

TEST_F(FeedTest, SendsASlowMonitorAway)
{
    m_options.maxBufferedBytes = 2'000;
    m_feed = std::make_unique<feed::Feed>(m_loop, m_loop, m_logger, m_farm, m_options);
    FakePeer peer;
    watchFarm(join(peer), 1);
    peer.stuck = true;
    m_loop.advance(std::chrono::minutes(2));
    EXPECT_TRUE(peer.closed);
    EXPECT_EQ(peer.messages.back().goodbye().code(), "too_slow");
    EXPECT_LT(peer.buffered, 2'200U);
    EXPECT_EQ(m_feed->counters().tooSlow, 1U);
}

TEST_F(FeedTest, ListsAllStepsOfAJobThenTheChangedOnesThenEnds)
{
    m_farm.addJob(2, 2'500);
    FakePeer peer;
    const auto client = join(peer);
    watchJob(client, 4, 2, false);
    int steps = 0;
    for (bool complete = false; !complete;) {
        const auto update = take(peer).job();
        ASSERT_EQ(update.watch(), 4U);
        steps += update.steps_size();
        complete = update.complete();
    }
    EXPECT_EQ(steps, 2'500);
    auto& records = m_farm.jobs.at(JobId(2));
    records.steps[7].state = work::StepState::Running;
    changed({}, {records.steps[7].id});
    changed({}, {records.steps[7].id, StepId(1)});
    EXPECT_TRUE(peer.messages.empty()); // a large job is asked about at most every 50 ms
    m_loop.advance(std::chrono::milliseconds(50));
    const auto update = take(peer).job();
    ASSERT_EQ(update.steps_size(), 1);
    EXPECT_EQ(update.steps(0).state(), monitor::STEP_RUNNING);
    EXPECT_EQ(m_farm.stepQuestions, 1U);
    records.job.state = work::JobState::Succeeded;
    changed({JobId(2)});
    m_loop.advance(std::chrono::milliseconds(50));
    EXPECT_EQ(take(peer).job().job().state(), monitor::JOB_SUCCEEDED);
    const auto end = take(peer);
    EXPECT_EQ(end.end().watch(), 4U);
    EXPECT_EQ(end.end().error(), "");
    EXPECT_EQ(m_feed->counters().watches, 0U);
}

TEST_F(FeedTest, MissesNoChangeBetweenQuestionAndList)
{
    m_farm.addJob(2);
    FakePeer peer;
    const auto client = join(peer);
    m_farm.hold = true;
    watchJob(client, 4, 2, false);
    changed({}, {m_farm.jobs.at(JobId(2)).steps[0].id});
    m_farm.hold = false;
    m_farm.release();
    EXPECT_TRUE(take(peer).job().complete());
    EXPECT_EQ(take(peer).job().steps_size(), 1);
}

TEST_F(FeedTest, RefusesAnUnknownJobByEndingItsWatch)
{
    FakePeer peer;
    watchJob(join(peer), 4, 42, false);
    EXPECT_EQ(take(peer).end().error(), "no job 42");
}

TEST_F(FeedTest, FollowsTheLogOfAJobToItsEndBeforeItEnds)
{
    auto& records = (m_farm.addJob(2), m_farm.jobs.at(JobId(2)));
    FakePeer peer;
    const auto client = join(peer);
    watchJob(client, 4, 2, true);
    EXPECT_TRUE(take(peer).has_job());
    records.steps[0].state = work::StepState::Running;
    records.steps[0].newestAttempt = AttemptId(8);
    changed({JobId(2)}, {records.steps[0].id});
    EXPECT_TRUE(take(peer).has_job());
    EXPECT_EQ(take(peer).log().size(), 0U); // it has begun
    m_farm.appendLog(8, "hello\n");
    m_feed->logGrew(AttemptId(8), 6, false);
    const auto log = take(peer).log();
    ASSERT_EQ(log.records_size(), 1);
    EXPECT_EQ(log.records(0).data(), "hello\n");
    EXPECT_EQ(log.step_id(), records.steps[0].id.value());
    records.job.state = work::JobState::Succeeded;
    records.steps[0].state = work::StepState::Finished;
    changed({JobId(2)}, {records.steps[0].id});
    EXPECT_EQ(take(peer).job().job().state(), monitor::JOB_SUCCEEDED);
    EXPECT_TRUE(peer.messages.empty()); // the log has not ended
    m_farm.appendLog(8, "bye\n");
    m_farm.logs[AttemptId(8)].ended = true;
    m_feed->logGrew(AttemptId(8), 10, true);
    const auto last = take(peer).log();
    EXPECT_EQ(last.offset(), 6U);
    EXPECT_TRUE(last.ended());
    EXPECT_TRUE(take(peer).has_end());
}

TEST_F(FeedTest, EndsAWatchWhoseLogNeverEnds)
{
    auto& records = (m_farm.addJob(2), m_farm.jobs.at(JobId(2)));
    records.job.state = work::JobState::Failed;
    records.steps[0].newestAttempt = AttemptId(8);
    FakePeer peer;
    watchJob(join(peer), 4, 2, true);
    m_loop.advance(std::chrono::seconds(30));
    EXPECT_FALSE(peer.messages.back().end().error().empty());
}

TEST_F(FeedTest, ReadsALongLogInPiecesWithoutGap)
{
    std::string whole;
    for (int line = 0; line < 100'000; ++line)
        whole += std::to_string(line) + " line\n";
    m_farm.appendLog(8, whole);
    m_farm.logs[AttemptId(8)].ended = true;
    FakePeer peer;
    peer.stuck = true;
    const auto client = join(peer);
    monitor::ClientMessage message;
    message.mutable_watch_log()->set_watch(1);
    message.mutable_watch_log()->set_attempt_id(8);
    message.mutable_watch_log()->set_follow(true);
    say(client, message);
    EXPECT_LT(peer.buffered, 1U << 20U); // it stops and waits for the reader
    std::string got;
    for (bool ended = false; !ended;) {
        if (peer.messages.empty()) {
            peer.buffered = 0;
            m_feed->drained(client);
        }
        const auto next = take(peer);
        if (!next.has_log())
            break;
        EXPECT_EQ(next.log().offset(), got.size());
        EXPECT_EQ(next.log().gap(), 0U);
        for (const auto& record : next.log().records())
            got += record.data();
        ended = next.log().ended();
    }
    EXPECT_EQ(got, whole);
    EXPECT_TRUE(take(peer).has_end());
}

TEST_F(FeedTest, EndsALogThatIsNotFollowedAtItsSizeNow)
{
    m_farm.appendLog(8, "abc");
    FakePeer peer;
    const auto client = join(peer);
    monitor::ClientMessage message;
    message.mutable_watch_log()->set_watch(1);
    message.mutable_watch_log()->set_attempt_id(8);
    message.mutable_watch_log()->set_offset(1);
    say(client, message);
    EXPECT_EQ(take(peer).log().records(0).data(), "bc");
    EXPECT_TRUE(take(peer).has_end());
}

TEST_F(FeedTest, LimitsWatchesAndRefusesANumberInUse)
{
    FakePeer peer;
    const auto client = join(peer);
    for (std::uint64_t watch = 1; watch <= m_options.maxWatches; ++watch)
        watchFarm(client, watch);
    peer.messages.clear();
    watchFarm(client, 1'000);
    EXPECT_EQ(take(peer).problem().code(), "exhausted");
    watchFarm(client, 1);
    EXPECT_EQ(take(peer).problem().code(), "invalid");
    monitor::ClientMessage message;
    message.mutable_unwatch()->set_watch(1);
    say(client, message);
    watchFarm(client, 1'000);
    EXPECT_TRUE(take(peer).has_snapshot());
}

TEST_F(FeedTest, AnswersAPing)
{
    FakePeer peer;
    const auto client = join(peer);
    monitor::ClientMessage message;
    message.mutable_ping()->set_sequence(9);
    say(client, message);
    EXPECT_EQ(take(peer).pong().sequence(), 9U);
}

TEST_F(FeedTest, EndsConnectionsThatBreakTheProtocol)
{
    FakePeer garbage;
    m_feed->received(connect(garbage), std::string("\0\0\0\4abcd", 8));
    EXPECT_EQ(garbage.messages.back().goodbye().code(), "protocol_error");
    FakePeer oversize;
    m_feed->received(connect(oversize), std::string("\xff\xff\xff\xff", 4));
    EXPECT_EQ(oversize.messages.back().goodbye().code(), "protocol_error");
    FakePeer early;
    watchFarm(connect(early), 1);
    EXPECT_TRUE(early.closed);
    FakePeer old;
    monitor::ClientMessage hello;
    hello.mutable_hello()->set_protocol_min(2);
    hello.mutable_hello()->set_protocol_max(2);
    say(connect(old), hello);
    EXPECT_EQ(old.messages.back().goodbye().code(), "version");
    FakePeer silent;
    connect(silent);
    m_loop.advance(std::chrono::seconds(12));
    EXPECT_TRUE(silent.closed);
    EXPECT_EQ(m_feed->counters().protocolErrors, 3U);
}

TEST_F(FeedTest, RefusesABuildThatIsNotWhole)
{
    FakePeer peer;
    const auto client = join(peer);
    monitor::ClientMessage message;
    auto& part = *message.mutable_build_part();
    part.set_upload(3);
    part.set_last(true);
    part.add_roots("/nix/store/00000000000000000000000000000000-a.drv");
    say(client, message);
    const auto problem = take(peer).problem();
    EXPECT_EQ(problem.watch(), 3U);
    EXPECT_NE(problem.message().find("was not sent"), std::string::npos);
    auto& derivation = *part.add_derivations();
    derivation.set_path("/nix/store/00000000000000000000000000000000-a.drv");
    derivation.set_text("Derive(");
    say(client, message);
    EXPECT_NE(take(peer).problem().code(), "");
    EXPECT_TRUE(peer.messages.empty());
}

TEST_F(FeedTest, SaysGoodbyeWhenTheServerStops)
{
    FakePeer peer;
    join(peer);
    m_feed->stop("the server stops");
    EXPECT_EQ(peer.messages.back().goodbye().code(), "stopping");
}

} // namespace
} // namespace penstock::test
