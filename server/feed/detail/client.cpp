// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/feed/detail/client.h"

#include "server/feed/detail/wire.h"
#include "shared/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::feed {
namespace {

constexpr std::uint32_t kProtocol = 1;
constexpr std::chrono::seconds kHelloTime{10};
// More than this waiting in the socket: what is read on demand (logs, steps) waits until it has gone out.
constexpr std::size_t kRoomBytes = 512U << 10U;

} // namespace

Client::Client(ClientEnvironment& environment, std::uint64_t number, std::unique_ptr<FeedPeer> peer, std::string user)
    : m_environment(environment), m_number(number), m_peer(std::move(peer)), m_user(std::move(user)),
      m_began(environment.clock.now().mono), m_heard(m_began),
      m_logs(
          environment.source, *this,
          [this](const LogTarget& target, const Error* error) {
              if (m_logWatches.contains(target.watch))
                  return endWatch(target.watch, error ? std::string_view(error->message) : std::string_view());
              if (const auto job = m_jobs.find(target.watch); job != m_jobs.end())
                  job->second->onLogEnd(target.attempt, error);
          },
          [this](const LogTarget& target, bool began) {
              const WatchKey key{m_number, target.watch};
              began ? m_environment.attempts.add(target.attempt, key)
                    : m_environment.attempts.remove(target.attempt, key);
          })
{
}

Client::~Client()
{
    m_alive.reset();
    dropUpload();
    m_jobs.clear();
    m_over.clear();
    for (const auto& [watch, known] : m_logWatches)
        m_logs.removeWatch(watch);
}

// -------------------------------------------------------------------------------------------------- to the peer

void Client::sendFrame(std::string_view frame)
{
    if (m_closed)
        return;
    if (m_peer->bufferedBytes() + frame.size() > m_environment.options.maxBufferedBytes) {
        ++m_environment.counters.tooSlow;
        return close("too_slow", "you read too slowly; connect again and resume");
    }
    m_peer->send(frame);
}

void Client::send(monitor::FeedMessage& message)
{
    sendFrame(wire::frame(message, now()));
}

bool Client::hasRoom() const
{
    return !m_closed && m_peer->bufferedBytes() < kRoomBytes;
}

void Client::close(std::string_view code, std::string_view text)
{
    if (m_closed)
        return;
    monitor::FeedMessage message;
    message.mutable_goodbye()->set_code(std::string(code));
    message.mutable_goodbye()->set_text(std::string(text));
    m_peer->send(wire::frame(message, now()));
    m_closed = true;
    m_peer->close(text);
}

void Client::problem(std::uint64_t watch, const Error& error)
{
    monitor::FeedMessage message;
    auto& out = *message.mutable_problem();
    out.set_watch(watch);
    out.set_code(std::string(toString(error.code)));
    out.set_message(toValidUtf8(error.message));
    send(message);
}

void Client::endWatch(std::uint64_t watch, std::string_view error)
{
    monitor::FeedMessage message;
    message.mutable_end()->set_watch(watch);
    message.mutable_end()->set_error(toValidUtf8(error));
    send(message);
    unwatch(watch);
}

void Client::unwatch(std::uint64_t watch)
{
    m_farms.erase(watch);
    if (m_logWatches.erase(watch) > 0)
        m_logs.removeWatch(watch);
    if (auto node = m_jobs.extract(watch); !node.empty()) {
        // It may be what is calling; it goes when it is not.
        m_over.push_back(std::move(node.mapped()));
        m_environment.loop.post([this, alive = std::weak_ptr(m_alive)] {
            if (alive.lock())
                m_over.clear();
        });
    }
}

std::size_t Client::watches() const
{
    return m_farms.size() + m_jobs.size() + m_logWatches.size();
}

// ------------------------------------------------------------------------------------------------ from the peer

void Client::received(std::string_view message)
{
    if (m_closed)
        return;
    m_heard = now().mono;
    m_decoder.push(bytesOf(message), *this);
    if (const auto good = m_decoder.status(); !good && !m_closed) {
        ++m_environment.counters.protocolErrors;
        m_environment.logger.warning("feed.protocol_error", {{"reason", good.error().message}});
        close("protocol_error", good.error().message);
    }
}

void Client::onFrame(ByteView payload)
{
    if (m_closed)
        return;
    monitor::ClientMessage message;
    const bool parsed = message.ParseFromArray(payload.data(), static_cast<int>(payload.size()));
    const bool isHello = parsed && message.kind_case() == monitor::ClientMessage::kHello;
    if (!parsed || isHello == m_greeted) {
        ++m_environment.counters.protocolErrors;
        m_environment.logger.warning("feed.protocol_error", {{"user", m_user}});
        return close("protocol_error", !parsed     ? "a message cannot be read"
                                       : m_greeted ? "a second hello"
                                                   : "the first message must be a hello");
    }
    switch (message.kind_case()) {
    case monitor::ClientMessage::kHello: return onHello(message.hello());
    case monitor::ClientMessage::kWatchFarm: return onWatchFarm(message.watch_farm());
    case monitor::ClientMessage::kWatchJob: return onWatchJob(message.watch_job());
    case monitor::ClientMessage::kWatchLog: return onWatchLog(message.watch_log());
    case monitor::ClientMessage::kUnwatch: return unwatch(message.unwatch().watch());
    case monitor::ClientMessage::kBuildPart: return onBuildPart(message.build_part());
    case monitor::ClientMessage::kExplain: return onExplain(message.explain());
    case monitor::ClientMessage::kPing: {
        monitor::FeedMessage pong;
        pong.mutable_pong()->set_sequence(message.ping().sequence());
        return send(pong);
    }
    case monitor::ClientMessage::KIND_NOT_SET:
        // From a newer client: it learns that we do not know this, and may do without.
        return problem(0, {ErrorCode::Invalid, "this message is not known to this server"});
    }
}

void Client::onHello(const monitor::ClientHello& hello)
{
    if (hello.protocol_min() > kProtocol || hello.protocol_max() < kProtocol)
        return close("version", fmt::format("you speak protocol {} to {}, this server speaks {}; use programs of the "
                                            "same age",
                                            hello.protocol_min(), hello.protocol_max(), kProtocol));
    m_greeted = true;
    monitor::FeedMessage message;
    auto& out = *message.mutable_hello();
    out.set_protocol(kProtocol);
    out.set_version(m_environment.options.version);
    out.set_server_name(m_environment.options.serverName);
    out.set_period_ms(static_cast<std::uint32_t>(m_environment.options.period.count()));
    out.set_machine_period_ms(static_cast<std::uint32_t>(m_environment.options.machinePeriod.count()));
    send(message);
}

bool Client::admit(std::uint64_t watch)
{
    if (watch == 0 || m_farms.contains(watch) || m_jobs.contains(watch) || m_logWatches.contains(watch)) {
        problem(watch, {ErrorCode::Invalid, fmt::format("watch {} is 0 or in use; choose another number", watch)});
        return false;
    }
    if (watches() >= m_environment.options.maxWatches) {
        problem(watch, {ErrorCode::Exhausted, fmt::format("this connection has {} watches, the limit; end one first",
                                                          watches())});
        return false;
    }
    return true;
}

void Client::onWatchFarm(const monitor::WatchFarm& request)
{
    if (!admit(request.watch()))
        return;
    auto& farm = m_farms[request.watch()];
    farm.resumeStream = request.resume_stream();
    farm.resumeAfter = request.resume_after();
    m_environment.farm.setWatched(true);
    if (const auto found = m_farms.find(request.watch());
        m_environment.farm.isWarm() && found != m_farms.end() && !found->second.started)
        startFarm(request.watch(), found->second);
}

void Client::startFarm(std::uint64_t watch, FarmWatch& farm)
{
    const auto& publisher = m_environment.farm;
    farm.started = true;
    const bool known = farm.resumeStream == m_environment.options.stream;
    const auto missed = known ? publisher.ring().after(farm.resumeAfter) : std::nullopt;
    if (!missed) {
        ++m_environment.counters.snapshots;
        return sendFrame(publisher.snapshotFrame(watch));
    }
    ++m_environment.counters.resumed;
    sendFrame(publisher.resumedFrame(watch, farm.resumeAfter));
    for (const auto* delta : *missed)
        sendFrame(wire::deltaFrame(*delta, watch, now()));
}

void Client::onWatchJob(const monitor::WatchJob& request)
{
    if (!admit(request.watch()))
        return;
    const JobWatchEnvironment environment{m_environment.loop, m_environment.source, *this, m_logs, m_environment.jobs,
                                          m_environment.steps};
    auto watch = std::make_unique<JobWatch>(environment, WatchKey{m_number, request.watch()}, JobId(request.job_id()),
                                            request.with_log());
    auto& added = *watch;
    m_jobs.emplace(request.watch(), std::move(watch));
    added.start();
}

void Client::onWatchLog(const monitor::WatchLog& request)
{
    if (!admit(request.watch()))
        return;
    const bool known = request.attempt_id() != 0;
    m_logWatches.emplace(request.watch(), known);
    if (!known)
        return watchNewestLog(request);
    m_logs.add({request.watch(), AttemptId(request.attempt_id()), StepId(0), request.offset(), request.follow()});
}

void Client::watchNewestLog(const monitor::WatchLog& request)
{
    const JobId job(request.job_id());
    m_environment.source.job(job, [this, request, job, alive = std::weak_ptr(m_alive)](Result<JobRecords> records) {
        if (!alive.lock() || !m_logWatches.contains(request.watch()))
            return;
        if (!records)
            return endWatch(request.watch(), records.error().message);
        const StepEntry* newest = nullptr;
        for (const auto& step : records->steps) {
            if (step.newestAttempt && (newest == nullptr || newest->newestAttempt < step.newestAttempt))
                newest = &step;
        }
        if (newest == nullptr)
            return endWatch(request.watch(), fmt::format("job {} has not run yet", job.value()));
        m_logWatches[request.watch()] = true;
        m_logs.add({request.watch(), *newest->newestAttempt, newest->id, request.offset(), request.follow()});
    });
}

// ---------------------------------------------------------------------------------------------- from the farm

void Client::onFarmStart()
{
    for (auto& [watch, farm] : m_farms)
        startFarm(watch, farm);
}

void Client::onFarmDelta(const std::string& delta)
{
    for (const auto& [watch, farm] : m_farms) {
        if (farm.started)
            sendFrame(wire::deltaFrame(delta, watch, now()));
    }
}

void Client::markJob(std::uint64_t watch)
{
    if (const auto found = m_jobs.find(watch); found != m_jobs.end())
        found->second->markJob();
}

void Client::markStep(std::uint64_t watch, StepId step)
{
    if (const auto found = m_jobs.find(watch); found != m_jobs.end())
        found->second->markStep(step);
}

void Client::pumpJob(std::uint64_t watch)
{
    if (const auto found = m_jobs.find(watch); found != m_jobs.end())
        found->second->pump();
}

void Client::onAnyStepChanged()
{
    for (auto& [watch, job] : m_jobs)
        job->onAnyStepChanged();
}

void Client::onLogGrew(std::uint64_t watch, AttemptId attempt)
{
    m_logs.grew(watch, attempt);
}

void Client::drained()
{
    if (!hasRoom())
        return;
    std::vector<std::uint64_t> watches;
    for (const auto& [watch, job] : m_jobs)
        watches.push_back(watch);
    for (const auto watch : watches) {
        if (const auto found = m_jobs.find(watch); found != m_jobs.end())
            found->second->pump();
    }
    m_logs.pump();
}

void Client::tick()
{
    if (m_closed)
        return;
    const auto at = now().mono;
    if (!m_greeted && at - m_began > kHelloTime)
        return close("protocol_error", "no hello came within 10 s");
    if (m_upload && at - m_upload->lastPart > m_environment.options.idleLimit) {
        problem(m_upload->number, {ErrorCode::Timeout, "the next part of the build took too long; start again"});
        dropUpload();
    }
    if (watches() == 0 && !m_upload && at - m_heard > m_environment.options.idleLimit)
        return close("idle", "nothing was asked for a while; connect again when needed");
    drained();
    m_logs.pollAll();
    std::vector<std::uint64_t> ids;
    for (const auto& [watch, job] : m_jobs)
        ids.push_back(watch);
    for (const auto watch : ids) {
        if (const auto found = m_jobs.find(watch); found != m_jobs.end())
            found->second->check();
    }
}

} // namespace penstock::feed
