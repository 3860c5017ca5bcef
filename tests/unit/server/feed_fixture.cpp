// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/server/feed_fixture.h"

#include "shared/protocol/frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::test {
namespace {

class Recorder final : public feed::FeedPeer, private protocol::FrameSink {
public:
    explicit Recorder(FakePeer& peer) : m_peer(peer) {}
    void send(std::string_view frame) override
    {
        if (m_peer.stuck)
            m_peer.buffered += frame.size();
        m_decoder.push(bytesOf(frame), *this);
        EXPECT_TRUE(m_decoder.status() && m_decoder.atBoundary());
    }
    [[nodiscard]] std::size_t bufferedBytes() const override { return m_peer.buffered; }
    void close(std::string_view) override { m_peer.closed = true; }

private:
    void onFrame(ByteView payload) override
    {
        monitor::FeedMessage message;
        ASSERT_TRUE(message.ParseFromArray(payload.data(), static_cast<int>(payload.size())));
        EXPECT_NE(message.server_time_us(), 0U);
        m_peer.messages.push_back(std::move(message));
    }
    FakePeer& m_peer;
    protocol::FrameDecoder m_decoder;
};

} // namespace

void StepLoop::run()
{
    while (!m_tasks.empty()) {
        const auto task = std::move(m_tasks.front());
        m_tasks.pop_front();
        task();
    }
}

void StepLoop::advance(Duration by)
{
    run();
    const Instant end = m_now.mono + by;
    while (!m_timers.empty() && m_timers.begin()->first.first <= end) {
        auto node = m_timers.extract(m_timers.begin());
        const auto passed = std::max(Duration(0), node.key().first - m_now.mono);
        m_now = {m_now.mono + passed, m_now.wall + passed};
        node.mapped()();
        run();
    }
    m_now = {end, m_now.wall + (end - m_now.mono)};
}

void FakeFarm::later(std::function<void()> task)
{
    if (hold)
        m_held.push_back(std::move(task));
    else
        task();
}

void FakeFarm::release()
{
    auto held = std::exchange(m_held, {});
    for (auto& task : held)
        task();
}

feed::JobEntry& FakeFarm::addJob(std::uint64_t id, std::size_t steps)
{
    auto& records = jobs[JobId(id)];
    records.job.id = JobId(id);
    records.job.name = fmt::format("job {}", id);
    for (std::size_t at = 0; at < steps; ++at) {
        feed::StepEntry step;
        step.id = StepId(id * 10'000 + at);
        step.state = work::StepState::Ready;
        records.steps.push_back(std::move(step));
    }
    totals.jobsOpen = jobs.size();
    return records.job;
}

void FakeFarm::appendLog(std::uint64_t attempt, const std::string& bytes)
{
    auto& log = logs[AttemptId(attempt)];
    log.pieces.push_back({log.size, WallTime::fromMicros(1), feed::LogStream::Out, bytes});
    log.size += bytes.size();
}

void FakeFarm::farm(feed::FarmRequest request, feed::Answer<feed::FarmRecords> answer)
{
    ++farmQuestions;
    later([this, request, answer] {
        if (!reachable)
            return answer(fail(ErrorCode::Unavailable, "busy"));
        feed::FarmRecords records{totals, queues, {}, {}};
        for (const auto& [id, machine] : machines) {
            if (request.allMachines || std::ranges::find(request.machines, id) != request.machines.end())
                records.machines.push_back(machine);
        }
        for (const auto& [id, job] : jobs) {
            if (request.newestJobs || std::ranges::find(request.jobs, id) != request.jobs.end())
                records.jobs.push_back(job.job);
        }
        if (request.shares)
            records.shares = shares;
        answer(std::move(records));
    });
}

void FakeFarm::explain(feed::ExplainQuestion question, feed::Answer<feed::JobReasons> answer)
{
    explained.push_back(question);
    later([this, question, answer] {
        if (!jobs.contains(question.job))
            return answer(fail(ErrorCode::NotFound, fmt::format("no job {}", question.job.value())));
        answer(reasons);
    });
}

void FakeFarm::job(JobId job, feed::Answer<feed::JobRecords> answer)
{
    later([this, job, answer] {
        const auto found = jobs.find(job);
        if (found == jobs.end())
            return answer(fail(ErrorCode::NotFound, fmt::format("no job {}", job.value())));
        answer(found->second);
    });
}

void FakeFarm::jobSteps(JobId job, std::vector<StepId> steps, feed::Answer<feed::JobRecords> answer)
{
    ++stepQuestions;
    later([this, job, steps, answer] {
        feed::JobRecords records{jobs.at(job).job, {}};
        for (const auto& step : jobs.at(job).steps) {
            if (std::ranges::find(steps, step.id) != steps.end())
                records.steps.push_back(step);
        }
        answer(std::move(records));
    });
}

void FakeFarm::readLog(AttemptId attempt, std::uint64_t offset, std::uint32_t limit,
                       feed::Answer<feed::LogSlice> answer)
{
    ++reads;
    later([this, attempt, offset, limit, answer] {
        const auto& log = logs[attempt];
        feed::LogSlice slice;
        slice.offset = slice.next = offset;
        slice.size = log.size;
        slice.ended = log.ended;
        for (const auto& piece : log.pieces) {
            if (piece.offset + piece.data.size() <= slice.next || slice.next - offset >= limit)
                continue;
            const auto skip = slice.next - piece.offset;
            auto part = piece;
            part.offset = slice.next;
            part.data = piece.data.substr(skip, limit - (slice.next - offset));
            slice.next += part.data.size();
            slice.pieces.push_back(std::move(part));
        }
        answer(std::move(slice));
    });
}

void FakeFarm::submitBuild(feed::BuildSubmission build, feed::Answer<feed::BuildReceipt> answer)
{
    auto job = std::move(build.assembler).finish(build.roots, build.json, build.submitter);
    if (!job)
        return answer(fail(std::move(job).error()));
    const auto steps = static_cast<std::uint32_t>(job->steps.size());
    submitted.push_back(*std::move(job));
    answer(feed::BuildReceipt{JobId(77), steps, 3, "a note"});
}

FeedFixture::FeedFixture()
{
    m_options.stream = "stream-1";
    m_options.serverName = "test";
    m_options.storeDir = "/nix/store";
    m_feed = std::make_unique<feed::Feed>(m_loop, m_loop, m_logger, m_farm, m_options);
}

std::uint64_t FeedFixture::connect(FakePeer& peer)
{
    return m_feed->connected(std::make_unique<Recorder>(peer), "rich");
}

std::uint64_t FeedFixture::join(FakePeer& peer)
{
    const auto client = connect(peer);
    monitor::ClientMessage hello;
    hello.mutable_hello()->set_protocol_min(1);
    hello.mutable_hello()->set_protocol_max(3);
    say(client, hello);
    EXPECT_TRUE(take(peer).has_hello());
    return client;
}

void FeedFixture::say(std::uint64_t client, const monitor::ClientMessage& message)
{
    std::string frame;
    protocol::appendFrame(frame, message.SerializeAsString());
    m_feed->received(client, frame);
    m_loop.run();
}

void FeedFixture::watchFarm(std::uint64_t client, std::uint64_t watch, const std::string& stream, std::uint64_t after)
{
    monitor::ClientMessage message;
    message.mutable_watch_farm()->set_watch(watch);
    message.mutable_watch_farm()->set_resume_stream(stream);
    message.mutable_watch_farm()->set_resume_after(after);
    say(client, message);
}

void FeedFixture::watchJob(std::uint64_t client, std::uint64_t watch, std::uint64_t job, bool withLog)
{
    monitor::ClientMessage message;
    message.mutable_watch_job()->set_watch(watch);
    message.mutable_watch_job()->set_job_id(job);
    message.mutable_watch_job()->set_with_log(withLog);
    say(client, message);
}

void FeedFixture::changed(std::vector<JobId> jobs, std::vector<StepId> steps, std::vector<MachineId> machines)
{
    m_feed->changed(jobs, steps, machines);
    m_loop.run();
}

monitor::FeedMessage FeedFixture::take(FakePeer& peer)
{
    EXPECT_FALSE(peer.messages.empty());
    if (peer.messages.empty())
        return {};
    auto message = std::move(peer.messages.front());
    peer.messages.pop_front();
    return message;
}

} // namespace penstock::test
