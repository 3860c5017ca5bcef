// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/stream/monitor_stream.h"

#include "monitor-gui/stream/feed_decode.h"

#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <type_traits>
#include <utility>

namespace penstock::gui {

namespace {

std::chrono::milliseconds milliseconds(Duration duration)
{
    return std::max(std::chrono::ceil<std::chrono::milliseconds>(duration), std::chrono::milliseconds{1});
}

} // namespace

MonitorStream::MonitorStream(StreamSettings settings, std::unique_ptr<Transport> transport,
                             const Clock& clock, BatchSink sink)
    : m_settings(std::move(settings)),
      m_transport(std::move(transport)),
      m_clock(clock),
      m_sink(std::move(sink)),
      m_random(m_settings.randomSeed)
{
    m_watchdog.setSingleShot(true);
    m_retryTimer.setSingleShot(true);
    connect(&m_pingTimer, &QTimer::timeout, this, &MonitorStream::onPing);
    connect(&m_watchdog, &QTimer::timeout, this, &MonitorStream::onWatchdog);
    connect(&m_retryTimer, &QTimer::timeout, this, &MonitorStream::connectNow);
}

MonitorStream::~MonitorStream()
{
    m_transport->abort();
}

void MonitorStream::start()
{
    if (m_status.phase == LinkPhase::Idle)
        connectNow();
}

void MonitorStream::reconnect()
{
    m_failures = 0;
    connectNow();
}

void MonitorStream::connectNow()
{
    m_retryTimer.stop();
    m_pingTimer.stop();
    m_decoder = protocol::FrameDecoder(kMaxFrame);
    m_farmWatch = m_jobWatch = m_logWatch = m_explainRequest = 0;
    m_status.phase = LinkPhase::Connecting;
    m_status.attempt = m_failures + 1;
    m_status.retryAt.reset();
    m_status.roundTrip.reset();
    armWatchdog(); // also bounds the time to connect
    changed();
    m_transport->open(*this);
}

void MonitorStream::onOpened()
{
    armWatchdog();
    m_transport->send(encodeHello(m_settings.program));
    watchFarm();
    askJob();
    askLog();
    m_pingTimer.start(milliseconds(m_settings.timing.ping));
}

void MonitorStream::watchFarm()
{
    if (m_farmWatch != 0)
        m_transport->send(encodeUnwatch(m_farmWatch));
    m_farmWatch = ++m_lastWatch;
    m_transport->send(encodeWatchFarm(m_farmWatch, m_numbering.stream(), m_numbering.number()));
}

void MonitorStream::askJob()
{
    if (m_jobWatch != 0)
        m_transport->send(encodeUnwatch(m_jobWatch));
    m_jobWatch = m_job ? ++m_lastWatch : 0;
    if (m_job)
        m_transport->send(encodeWatchJob(m_jobWatch, *m_job));
}

void MonitorStream::askLog()
{
    if (m_logWatch != 0)
        m_transport->send(encodeUnwatch(m_logWatch));
    m_logWatch = m_log ? ++m_lastWatch : 0;
    if (m_log)
        m_transport->send(encodeWatchLog(m_logWatch, *m_log, m_logEnd));
}

void MonitorStream::watchJob(std::optional<JobId> job)
{
    m_job = job;
    if (m_farmWatch != 0)
        askJob();
}

void MonitorStream::watchLog(std::optional<AttemptId> attempt)
{
    m_log = attempt;
    m_logEnd = 0;
    if (m_farmWatch != 0)
        askLog();
}

void MonitorStream::explain(const WhyTarget& target)
{
    if (m_farmWatch == 0)
        return;
    // From the same row of numbers as watches, so that a Problem names one thing only.
    m_explainRequest = ++m_lastWatch;
    m_explained = target;
    m_transport->send(encodeExplain(m_explainRequest, target));
}

void MonitorStream::resynchronise()
{
    m_numbering.reset();
    if (m_farmWatch != 0)
        watchFarm();
}

void MonitorStream::onAlive()
{
    armWatchdog();
}

void MonitorStream::onMessage(ByteView bytes)
{
    armWatchdog();
    m_decoder.push(bytes, *this);
    const Result<void> status = m_decoder.status();
    if (!status)
        loseLink("the server sent something unreadable: " + status.error().message, LinkPhase::Waiting);
    flush();
}

void MonitorStream::onFrame(ByteView payload)
{
    if (m_status.phase != LinkPhase::Connecting && m_status.phase != LinkPhase::Open)
        return; // the rest of a message after which the link was given up
    Result<FeedEvent> event = decodeFeed(payload);
    if (!event) {
        m_numbering.reset(); // what could not be read may have been a change
        loseLink("the server sent something unreadable: " + event.error().message, LinkPhase::Waiting);
        return;
    }
    if (!handle(*event))
        return;
    if (m_held.size() >= kMaxHeldEvents) {
        // The window is too slow: drop all and ask for the farm as it is by then.
        m_held.clear();
        resynchronise();
        askJob();
        return;
    }
    m_held.push_back(*std::move(event));
}

bool MonitorStream::handle(FeedEvent& event)
{
    if (const auto* snapshot = std::get_if<SnapshotEvent>(&event.body))
        return snapshot->watch == m_farmWatch && handleFarm(m_numbering.accept(*snapshot));
    if (const auto* delta = std::get_if<DeltaEvent>(&event.body))
        return delta->watch == m_farmWatch && handleFarm(m_numbering.accept(*delta));
    if (auto* job = std::get_if<JobEvent>(&event.body)) {
        job->asked = m_job;
        return job->watch == m_jobWatch;
    }
    if (const auto* log = std::get_if<LogEvent>(&event.body))
        return log->watch == m_logWatch && handleLog(*log);
    if (auto* explanation = std::get_if<ExplanationEvent>(&event.body))
        return handleExplanation(*explanation);
    if (const auto* pong = std::get_if<PongEvent>(&event.body))
        return handlePong(*pong);
    if (const auto* hello = std::get_if<HelloEvent>(&event.body))
        handleHello(*hello);
    else if (const auto* goodbye = std::get_if<GoodbyeEvent>(&event.body))
        handleGoodbye(*goodbye);
    else if (const auto* problem = std::get_if<ProblemEvent>(&event.body))
        return handleProblem(event, *problem);
    else if (const auto* end = std::get_if<WatchEndEvent>(&event.body); end != nullptr && !end->error.empty())
        return refuseWatch(event, end->watch, end->error);
    return false;
}

void MonitorStream::handleHello(const HelloEvent& hello)
{
    m_status.phase = LinkPhase::Open;
    m_status.attempt = 0;
    m_status.reason.clear();
    m_status.serverName = hello.serverName;
    m_status.serverVersion = hello.version;
    m_status.period = hello.period;
    m_status.machinePeriod = hello.machinePeriod;
}

bool MonitorStream::handlePong(const PongEvent& pong)
{
    if (pong.sequence == m_pingSequence)
        m_status.roundTrip = m_clock.now().mono - m_pingAt;
    return false;
}

bool MonitorStream::handleFarm(Applied applied)
{
    if (applied == Applied::NeedsResync)
        resynchronise();
    if (applied == Applied::Yes)
        m_failures = 0;
    return applied == Applied::Yes;
}

bool MonitorStream::handleLog(const LogEvent& event)
{
    std::uint64_t end = event.offset;
    for (const LogPiece& piece : event.pieces)
        end += piece.bytes.size();
    m_logEnd = std::max(m_logEnd, end);
    return true;
}

bool MonitorStream::handleExplanation(ExplanationEvent& event)
{
    if (event.request == 0 || event.request != m_explainRequest)
        return false;
    event.asked = m_explained;
    m_explainRequest = 0;
    return true;
}

bool MonitorStream::handleProblem(FeedEvent& event, ProblemEvent problem)
{
    // A server that refuses to show the farm at all has nothing else for us.
    if (problem.watch != 0 && problem.watch == m_farmWatch)
        loseLink(std::move(problem.message), LinkPhase::Refused);
    return refuseWatch(event, problem.watch, std::move(problem.message));
}

bool MonitorStream::refuseWatch(FeedEvent& event, std::uint64_t watch, std::string reason)
{
    if (watch == 0 || (watch != m_jobWatch && watch != m_logWatch && watch != m_explainRequest))
        return false;
    if (watch == m_explainRequest) {
        ExplanationEvent refused;
        refused.request = watch;
        refused.refusal = std::move(reason);
        const bool mine = handleExplanation(refused);
        event.body = std::move(refused);
        return mine;
    }
    if (watch == m_jobWatch) {
        JobEvent refused;
        refused.asked = m_job;
        refused.refusal = std::move(reason);
        event.body = std::move(refused);
    } else {
        LogEvent refused;
        refused.attempt = m_log;
        refused.refusal = std::move(reason);
        event.body = std::move(refused);
    }
    return true;
}

void MonitorStream::handleGoodbye(const GoodbyeEvent& goodbye)
{
    const bool refused = goodbye.code == "denied" || goodbye.code == "version";
    if (goodbye.code == "protocol_error")
        m_numbering.reset();
    const std::string text = goodbye.text.empty() ? goodbye.code : goodbye.text;
    loseLink(refused ? text : "the server said goodbye: " + text,
             refused ? LinkPhase::Refused : LinkPhase::Waiting);
}

void MonitorStream::onPing()
{
    ++m_pingSequence;
    m_pingAt = m_clock.now().mono;
    m_transport->send(encodePing(m_pingSequence));
}

void MonitorStream::armWatchdog()
{
    m_watchdog.start(milliseconds(m_settings.timing.silence));
}

void MonitorStream::onWatchdog()
{
    const bool connecting = m_status.phase == LinkPhase::Connecting;
    loseLink(fmt::format("{} for {}", connecting ? "no answer" : "the server was silent",
                         formatAge(m_settings.timing.silence)),
             LinkPhase::Waiting);
}

void MonitorStream::onClosed(CloseKind kind, const std::string& reason)
{
    loseLink(reason, kind == CloseKind::Denied ? LinkPhase::Refused : LinkPhase::Waiting);
}

void MonitorStream::loseLink(std::string reason, LinkPhase phase)
{
    if (m_status.phase == LinkPhase::Waiting || m_status.phase == LinkPhase::Refused)
        return; // the first reason is the one that matters
    m_transport->abort();
    m_pingTimer.stop();
    m_watchdog.stop();
    m_farmWatch = m_jobWatch = m_logWatch = m_explainRequest = 0;
    ++m_failures;
    const double random = static_cast<double>(m_random() - std::minstd_rand::min()) /
                          static_cast<double>(std::minstd_rand::max());
    const BackOff& backOff = m_settings.timing.backOff;
    // A refusal is mended by a person, so it is tried again at the longest pause only.
    const Duration pause = backOff.delay(
        phase == LinkPhase::Refused ? std::numeric_limits<std::uint32_t>::max() : m_failures, random);
    m_status.phase = phase;
    m_status.reason = std::move(reason);
    m_status.retryAt = m_clock.now().mono + pause;
    m_retryTimer.start(milliseconds(pause));
    changed();
}

void MonitorStream::taken()
{
    m_receiverReady = true;
    if (!m_held.empty())
        flush();
}

void MonitorStream::changed()
{
    // Status changes are rare and small, so they do not wait for the receiver; events keep their order.
    m_sink({{}, m_status});
}

void MonitorStream::flush()
{
    // A batch without events (a pong) is small and needs no permission; it also leaves the receiver ready.
    if (m_held.empty()) {
        m_sink({{}, m_status});
        return;
    }
    if (!m_receiverReady)
        return;
    m_receiverReady = false;
    m_sink({std::exchange(m_held, {}), m_status});
}

} // namespace penstock::gui
