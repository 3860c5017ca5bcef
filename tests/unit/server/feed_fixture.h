// SPDX-License-Identifier: GPL-3.0-or-later
// FeedFixture: a feed on a loop whose time the test moves, before a farm in memory, with peers that keep what they are
// sent. Nothing here waits. Test code; one thread.
#pragma once

#include "proto/monitor.pb.h"
#include "server/feed/feed.h"
#include "tests/unit/server/fake_gateway.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

namespace penstock::test {

// Time stands still until the test moves it.
class StepLoop final : public Loop, public Clock {
public:
    void post(Task task) override { m_tasks.push_back(std::move(task)); }
    TimerId postAt(Instant at, Task task) override
    {
        m_timers.emplace(std::pair(at, ++m_lastTimer), std::move(task));
        return m_lastTimer;
    }
    void cancel(TimerId timer) override
    {
        std::erase_if(m_timers, [&](const auto& each) { return each.first.second == timer; });
    }
    [[nodiscard]] bool isHere() const override { return true; }
    [[nodiscard]] Now now() const override { return m_now; }

    void run();                    // what is posted
    void advance(Duration by);     // and timers on the way, in order

private:
    Now m_now{{std::chrono::hours(1)}, WallTime::fromMicros(1'700'000'000'000'000)};
    std::deque<Task> m_tasks;
    std::map<std::pair<Instant, TimerId>, Task> m_timers;
    TimerId m_lastTimer = 0;
};

class FakeFarm final : public feed::FeedSource {
public:
    feed::FarmTotals totals;
    std::vector<feed::QueueEntry> queues;
    std::map<MachineId, feed::MachineEntry> machines;
    std::map<JobId, feed::JobRecords> jobs;
    std::map<AttemptId, feed::LogSlice> logs; // pieces hold all of it
    std::vector<jobs::ParsedJob> submitted;
    std::vector<feed::ShareEntry> shares;
    feed::JobReasons reasons;
    std::vector<feed::ExplainQuestion> explained; // asked so far
    std::size_t farmQuestions = 0;
    std::size_t stepQuestions = 0;
    std::size_t reads = 0;
    bool hold = false;
    bool reachable = true;
    void release();

    feed::JobEntry& addJob(std::uint64_t id, std::size_t steps = 1);
    void appendLog(std::uint64_t attempt, const std::string& bytes);

    void farm(feed::FarmRequest request, feed::Answer<feed::FarmRecords> answer) override;
    void job(JobId job, feed::Answer<feed::JobRecords> answer) override;
    void jobSteps(JobId job, std::vector<StepId> steps, feed::Answer<feed::JobRecords> answer) override;
    void readLog(AttemptId attempt, std::uint64_t offset, std::uint32_t limit,
                 feed::Answer<feed::LogSlice> answer) override;
    void explain(feed::ExplainQuestion question, feed::Answer<feed::JobReasons> answer) override;
    void submitBuild(feed::BuildSubmission build, feed::Answer<feed::BuildReceipt> answer) override;

private:
    void later(std::function<void()> task);
    std::deque<std::function<void()>> m_held;
};

// What one peer was sent, decoded. Bytes stay "in the socket" while stuck.
struct FakePeer {
    std::deque<monitor::FeedMessage> messages;
    std::size_t buffered = 0;
    bool stuck = false;
    bool closed = false;
};

class FeedFixture : public ::testing::Test {
protected:
    FeedFixture();
    // Connects and says hello; takes the answer.
    std::uint64_t join(FakePeer& peer);
    std::uint64_t connect(FakePeer& peer);
    void say(std::uint64_t client, const monitor::ClientMessage& message);
    void watchFarm(std::uint64_t client, std::uint64_t watch, const std::string& stream = {}, std::uint64_t after = 0);
    void watchJob(std::uint64_t client, std::uint64_t watch, std::uint64_t job, bool withLog);
    void period() { m_loop.advance(std::chrono::milliseconds(250)); }
    void changed(std::vector<JobId> jobs, std::vector<StepId> steps = {}, std::vector<MachineId> machines = {});
    [[nodiscard]] static monitor::FeedMessage take(FakePeer& peer); // the next one; fails when there is none

    StepLoop m_loop;
    NullLogger m_logger;
    FakeFarm m_farm;
    feed::FeedOptions m_options;
    std::unique_ptr<feed::Feed> m_feed;
};

} // namespace penstock::test
