// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/demo/demo_transport.h"

#include "monitor-gui/demo/demo_log.h"
#include "shared/protocol/frame.h"

#include <algorithm>
#include <utility>

namespace penstock::gui {

namespace {

constexpr std::uint32_t kWarmUpTicks = 300;
constexpr std::uint32_t kPastTicks = 900;
constexpr std::uint64_t kLongestLogSeconds = 600;

// The past of a big farm is told shorter, so that the window does not wait for it.
std::uint32_t pastTicks(std::uint32_t machines)
{
    return std::clamp(kPastTicks * 60 / std::max(machines, 1U), 90U, kPastTicks);
}

struct ClientMessages final : protocol::FrameSink {
    std::vector<monitor::ClientMessage> messages;
    void onFrame(ByteView payload) override
    {
        monitor::ClientMessage message;
        if (message.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
            messages.push_back(std::move(message));
    }
};

} // namespace

DemoTransport::DemoTransport(DemoSettings settings, WallTime now)
    : m_settings(settings),
      m_farm(settings.machines, settings.seed,
             now + -std::chrono::seconds(pastTicks(settings.machines) + kWarmUpTicks))
{
    for (std::uint32_t second = 0; second < kWarmUpTicks; ++second)
        m_farm.tick();
    m_ticker.setInterval(1000);
    m_ticker.setTimerType(Qt::PreciseTimer);
    connect(&m_ticker, &QTimer::timeout, this, &DemoTransport::tick);
    m_ticker.start();
    m_faultTimer.setSingleShot(true);
    connect(&m_faultTimer, &QTimer::timeout, this, &DemoTransport::fault);
}

DemoTransport::~DemoTransport() = default;

void DemoTransport::open(TransportSink& sink)
{
    abort();
    m_sink = &sink;
    const std::uint64_t generation = ++m_generation;
    QTimer::singleShot(20, this, [this, generation] {
        if (generation != m_generation || m_sink == nullptr)
            return;
        if (m_faulty && m_settings.fault == DemoFault::Killed)
            std::exchange(m_sink, nullptr)->onClosed(CloseKind::Lost, "Connection refused");
        else if (!m_faulty)
            m_sink->onOpened();
    });
    if (m_settings.fault != DemoFault::None && !m_faulty && !m_faultTimer.isActive())
        m_faultTimer.start(std::chrono::ceil<std::chrono::milliseconds>(m_settings.faultAfter));
}

void DemoTransport::fault()
{
    if (m_settings.fault == DemoFault::Paused) {
        m_farm.pause();
        return;
    }
    m_faulty = true;
    if (m_settings.fault == DemoFault::Killed && m_sink != nullptr)
        std::exchange(m_sink, nullptr)->onClosed(CloseKind::Lost, "The remote host closed the connection");
}

void DemoTransport::abort()
{
    m_sink = nullptr;
    ++m_generation;
    m_farmWatch = m_jobWatch = m_logWatch = 0;
}

void DemoTransport::send(const std::string& message)
{
    // Never answered from inside send(): a socket would not either.
    QTimer::singleShot(0, this, [this, message, generation = m_generation] {
        if (generation == m_generation && m_sink != nullptr && !m_faulty)
            answer(message);
    });
}

void DemoTransport::answer(const std::string& message)
{
    ClientMessages received;
    protocol::FrameDecoder().push(bytesOf(message), received);
    for (const monitor::ClientMessage& question : received.messages) {
        monitor::FeedMessage reply;
        if (question.has_hello()) {
            monitor::ServerHello& hello = *reply.mutable_hello();
            hello.set_protocol(1);
            hello.set_version("0.1.0");
            hello.set_server_name("demo farm");
            hello.set_period_ms(1000);
            hello.set_machine_period_ms(1000);
            tell(std::move(reply));
        } else if (question.has_ping()) {
            reply.mutable_pong()->set_sequence(question.ping().sequence());
            tell(std::move(reply));
        } else if (question.has_watch_farm()) {
            watchFarm(question.watch_farm());
        } else if (question.has_watch_job()) {
            watchJob(question.watch_job());
        } else if (question.has_watch_log()) {
            watchLog(question.watch_log());
        } else if (question.has_explain()) {
            explain(question.explain());
        } else if (question.has_unwatch()) {
            for (std::uint64_t* watch : {&m_farmWatch, &m_jobWatch, &m_logWatch})
                *watch = *watch == question.unwatch().watch() ? 0 : *watch;
        }
    }
}

void DemoTransport::tell(monitor::FeedMessage message)
{
    if (m_sink == nullptr)
        return;
    message.set_server_time_us(static_cast<std::uint64_t>(m_farm.now().micros()));
    std::string frame;
    protocol::appendFrame(frame, message.SerializeAsString());
    m_sink->onMessage(bytesOf(frame));
}

void DemoTransport::watchFarm(const monitor::WatchFarm& watch)
{
    m_farmWatch = watch.watch();
    monitor::FeedMessage message;
    monitor::FarmSnapshot& snapshot = *message.mutable_snapshot();
    snapshot.set_watch(m_farmWatch);
    snapshot.set_stream("demo");
    snapshot.set_number(m_number);
    *snapshot.mutable_totals() = m_farm.totals();
    for (monitor::QueueRecord& queue : m_farm.queues())
        *snapshot.add_queues() = std::move(queue);
    for (const monitor::MachineRecord& machine : m_farm.machines())
        *snapshot.add_machines() = machine;
    for (const auto& [id, job] : m_farm.jobs())
        *snapshot.add_jobs() = job;
    for (monitor::ShareRecord& share : m_farm.shares())
        *snapshot.add_shares() = std::move(share);
    tell(std::move(message));
    if (std::exchange(m_toldPast, true))
        return;
    for (std::uint32_t second = 0; second < pastTicks(m_settings.machines) && m_farmWatch != 0; ++second) {
        m_farm.tick();
        tellDelta();
    }
}

void DemoTransport::tellDelta()
{
    monitor::FeedMessage message;
    monitor::FarmDelta& delta = *message.mutable_delta();
    delta.set_watch(m_farmWatch);
    delta.set_number(++m_number);
    *delta.mutable_totals() = m_farm.totals();
    for (monitor::QueueRecord& queue : m_farm.queues())
        *delta.add_queues() = std::move(queue);
    for (const monitor::MachineRecord& machine : m_farm.machines())
        *delta.add_machines() = machine;
    for (const std::uint64_t id : m_farm.changedJobs()) {
        const auto job = m_farm.jobs().find(id);
        if (job != m_farm.jobs().end())
            *delta.add_jobs() = job->second;
    }
    for (const std::uint64_t id : m_farm.removedJobs())
        delta.add_removed_jobs(id);
    for (monitor::ShareRecord& share : m_farm.shares())
        *delta.add_shares() = std::move(share);
    if (m_farmWatch != 0)
        tell(std::move(message));
}

void DemoTransport::watchJob(const monitor::WatchJob& watch)
{
    m_jobWatch = watch.watch();
    m_job = watch.job_id();
    if (m_farm.jobs().contains(m_job)) {
        tellJob(true);
        return;
    }
    monitor::FeedMessage message;
    message.mutable_problem()->set_watch(std::exchange(m_jobWatch, 0));
    message.mutable_problem()->set_code("not_found");
    message.mutable_problem()->set_message("no job " + std::to_string(m_job));
    tell(std::move(message));
}

void DemoTransport::explain(const monitor::ExplainRequest& request)
{
    monitor::FeedMessage message;
    if (auto explanation = m_farm.explain(request.job_id(), request.step_id())) {
        explanation->set_request(request.request());
        *message.mutable_explanation() = *std::move(explanation);
    } else {
        message.mutable_problem()->set_watch(request.request());
        message.mutable_problem()->set_code("not_found");
        message.mutable_problem()->set_message("no job " + std::to_string(request.job_id()));
    }
    tell(std::move(message));
}

void DemoTransport::tellJob(bool all)
{
    const auto job = m_farm.jobs().find(m_job);
    if (m_jobWatch == 0 || job == m_farm.jobs().end() || (!all && !m_farm.changedJobs().contains(m_job)))
        return;
    monitor::FeedMessage message;
    monitor::JobUpdate& update = *message.mutable_job();
    update.set_watch(m_jobWatch);
    *update.mutable_job() = job->second;
    update.set_complete(all);
    for (monitor::StepRecord& step : m_farm.stepsOf(m_job))
        *update.add_steps() = std::move(step);
    tell(std::move(message));
}

void DemoTransport::watchLog(const monitor::WatchLog& watch)
{
    m_logWatch = watch.watch();
    m_logAttempt = watch.attempt_id();
    m_logSecond = 0;
    m_logOffset = 0;
    tellLog();
}

void DemoTransport::tellLog()
{
    const DemoStep* step = m_farm.stepOfAttempt(m_logAttempt);
    if (m_logWatch == 0 || step == nullptr)
        return;
    const monitor::StepRecord& record = step->record;
    const bool ended = record.finished_us() != 0;
    const auto now = ended ? record.finished_us() : static_cast<std::uint64_t>(m_farm.now().micros());
    const std::uint64_t seconds = std::min((now - record.started_us()) / 1'000'000, kLongestLogSeconds);
    monitor::FeedMessage message;
    monitor::LogData& log = *message.mutable_log();
    log.set_watch(m_logWatch);
    log.set_attempt_id(m_logAttempt);
    log.set_step_id(record.id());
    log.set_offset(m_logOffset);
    for (; m_logSecond <= seconds; ++m_logSecond) {
        for (monitor::LogEntry& entry : demoLog(record, m_logSecond)) {
            m_logOffset += entry.data().size();
            *log.add_records() = std::move(entry);
        }
    }
    log.set_size(m_logOffset);
    log.set_ended(ended);
    tell(std::move(message));
    if (ended)
        m_logWatch = 0;
}

void DemoTransport::tick()
{
    m_farm.tick();
    if (m_sink == nullptr || m_faulty) {
        ++m_number; // changes that nobody hears
        return;
    }
    tellDelta();
    tellJob(false);
    tellLog();
}

} // namespace penstock::gui
