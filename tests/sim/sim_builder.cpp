// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_builder.h"

#include <algorithm>
#include <fmt/format.h>
#include <vector>

namespace penstock::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Frames final : protocol::FrameSink {
    std::vector<std::string> payloads;
    void onFrame(ByteView payload) override { payloads.emplace_back(textOf(payload)); }
};

} // namespace

SimBuilder::SimBuilder(World& world, Ledger& ledger, SimServer& server, std::string identity,
                       protocol::MachineFacts facts)
    : m_world(world), m_ledger(ledger), m_server(server), m_identity(std::move(identity)), m_facts(std::move(facts))
{
}

void SimBuilder::start()
{
    if (m_isRetired || std::exchange(m_isUp, true))
        return;
    ++m_life;
    m_instance = fmt::format("{:032x}", m_world.random.next());
    m_draining = false;
    m_world.note("builder.start", m_life);
    connect();
}

void SimBuilder::crash()
{
    if (!std::exchange(m_isUp, false))
        return;
    m_world.note("builder.crash", m_life);
    ++m_life;
    std::vector<AttemptId> dying;
    for (const auto& [attempt, held] : m_held)
        dying.push_back(attempt);
    for (const AttemptId attempt : dying)
        kill(attempt);
    m_held.clear();
    cutLink(m_world.random.chance(30));
}

void SimBuilder::cutLink(bool halfOpen)
{
    if (m_wire == nullptr)
        return;
    m_world.note(halfOpen ? "link.half_open" : "link.cut");
    m_world.reach(halfOpen ? "link.half_open" : "link.cut");
    if (halfOpen)
        return m_wire->die(); // our own deadline finds out
    m_wire->close(0);
    disconnected();
}

void SimBuilder::connect()
{
    if (!m_isUp || m_wire != nullptr)
        return;
    if (!m_networkUp || !m_server.isUp())
        return retryLater();
    ++m_connection;
    m_wire = std::make_shared<Wire>(m_world, m_world.random.duration(milliseconds(1), milliseconds(40)));
    const std::uint64_t connection = m_connection;
    m_wire->attach(0, {[this](const std::string& bytes) { receive(bytes); },
                       [this, connection] {
                           if (connection == m_connection)
                               disconnected();
                       }});
    m_session = protocol::Session::forBuilder(protocol::ownDialect(), m_world.now());
    m_decoder = std::make_unique<protocol::FrameDecoder>();
    m_applied = 0;
    m_server.accept(m_wire);
    protocol::Hello hello;
    hello.identity = m_identity;
    hello.instance = m_instance;
    hello.version = "sim";
    hello.facts = m_facts;
    send(hello);
    watch();
}

void SimBuilder::disconnected()
{
    if (m_wire == nullptr)
        return;
    m_wire.reset();
    m_session.reset();
    ++m_connection;
    retryLater();
}

void SimBuilder::retryLater()
{
    m_world.after(m_world.random.duration(milliseconds(100), seconds(3)), [this, life = m_life] {
        if (life == m_life)
            connect();
    });
}

// Heartbeats and the deadline of this connection.
void SimBuilder::watch()
{
    if (m_session == std::nullopt || m_wire == nullptr)
        return;
    const Now now = m_world.now();
    const protocol::SessionDue due = m_session->due(now);
    if (due == protocol::SessionDue::Dead) {
        m_world.note("builder.deadline");
        m_wire->close(0);
        return disconnected();
    }
    if (due == protocol::SessionDue::SendHeartbeat)
        report();
    m_world.after(std::max<Duration>(m_session->nextDue() - now.mono, milliseconds(1)),
                  [this, connection = m_connection] {
                      if (connection == m_connection)
                          watch();
                  });
}

void SimBuilder::send(const protocol::BuilderMessage& message)
{
    if (m_wire == nullptr)
        return;
    std::string bytes;
    if (auto appended = protocol::appendMessage(bytes, message); !appended)
        return m_world.violate(appended.error().message);
    m_world.note("builder.send", message.index());
    m_wire->send(0, bytes);
}

void SimBuilder::report()
{
    protocol::Report report;
    report.appliedRevision = m_applied;
    for (const auto& [attempt, held] : m_held)
        report.held.push_back({attempt, false});
    for (const auto& [attempt, result] : m_spool)
        report.held.push_back({attempt, true});
    report.load.load1 = m_load1;
    report.sentAt = m_world.now().wall;
    report.sequence = m_session->heartbeatSent(m_world.now());
    send(report);
}

void SimBuilder::receive(const std::string& bytes)
{
    Frames frames;
    m_decoder->push(bytesOf(bytes), frames);
    const std::uint64_t connection = m_connection;
    for (const std::string& payload : frames.payloads) {
        if (connection != m_connection || !m_session)
            return;
        auto message = protocol::decodeServerMessage(bytesOf(payload));
        if (!message || !*message)
            return m_world.violate(message ? "an unknown message" : message.error().message);
        if (const auto* welcome = std::get_if<protocol::Welcome>(&**message)) {
            handle(*welcome);
            continue;
        }
        if (std::holds_alternative<protocol::Goodbye>(**message)) {
            m_wire->close(0);
            return disconnected();
        }
        if (auto heard = m_session->onTraffic(m_world.now()); !heard)
            return m_world.violate(heard.error().message);
        if (const auto* desired = std::get_if<protocol::Desired>(&**message))
            handle(*desired);
        else if (const auto* stored = std::get_if<protocol::ResultStored>(&**message))
            handle(*stored);
    }
}

void SimBuilder::handle(const protocol::Welcome& welcome)
{
    if (auto opened = m_session->onWelcome(welcome, m_world.now()); !opened)
        return m_world.violate(opened.error().message);
    report();
    watch();
    for (const auto& [attempt, result] : m_spool)
        sendResult(attempt);
    if (m_draining)
        send(protocol::Drain{true, "sim"});
}

void SimBuilder::handle(const protocol::Desired& desired)
{
    m_applied = desired.revision;
    if (desired.complete) {
        std::vector<AttemptId> unwanted;
        for (const auto& [attempt, held] : m_held)
            if (std::find(desired.wanted.begin(), desired.wanted.end(), attempt) == desired.wanted.end())
                unwanted.push_back(attempt);
        for (const AttemptId attempt : unwanted) {
            m_world.reach("builder.forgets_unwanted");
            kill(attempt);
        }
    }
    for (const protocol::Assignment& assignment : desired.assign)
        assign(assignment);
    for (const protocol::StopOrder& order : desired.stop)
        stop(order.attempt);
}

void SimBuilder::assign(const protocol::Assignment& assignment)
{
    const AttemptId id = assignment.attempt;
    m_seen.insert(id);
    if (m_held.contains(id) || m_spool.contains(id))
        return send(protocol::AttemptAnswer{id, true, protocol::RejectReason::Unspecified, {}});
    const bool full = running() >= m_facts.maxJobs;
    if (full || m_draining || m_world.random.chance(quirks.rejectPercent)) {
        const auto reason = full         ? protocol::RejectReason::NoSlot
                            : m_draining ? protocol::RejectReason::Draining
                                         : protocol::RejectReason::Resources;
        m_world.reach(full ? "builder.no_slot" : "builder.rejects");
        return send(protocol::AttemptAnswer{id, false, reason, "sim"});
    }
    Held held;
    held.step = assignment.step;
    held.planned = choose();
    m_held.emplace(id, held);
    m_ledger.started(id, assignment.step);
    m_world.note("run", id.value(), assignment.step.value());
    const protocol::AttemptAnswer accepted{id, true, protocol::RejectReason::Unspecified, {}};
    send(accepted);
    if (m_world.random.chance(quirks.repeatPercent))
        send(accepted);
    m_world.after(m_world.random.duration(quirks.shortest, quirks.longest), [this, id, life = m_life] {
        const auto found = m_held.find(id);
        if (life == m_life && found != m_held.end())
            finish(id, found->second.planned);
    });
}

protocol::Outcome SimBuilder::choose()
{
    if (m_world.random.chance(quirks.failPercent))
        return protocol::Outcome::Failed;
    if (m_world.random.chance(quirks.infrastructurePercent))
        return protocol::Outcome::Infrastructure;
    if (m_world.random.chance(quirks.transientPercent))
        return protocol::Outcome::Transient;
    return protocol::Outcome::Succeeded;
}

std::uint32_t SimBuilder::running() const
{
    return static_cast<std::uint32_t>(m_held.size());
}

void SimBuilder::stop(AttemptId id)
{
    const auto found = m_held.find(id);
    if (found == m_held.end() || std::exchange(found->second.isStopped, true))
        return;
    if (m_world.random.chance(quirks.ignoresStopPercent)) {
        m_world.reach("builder.ignores_stop");
        return;
    }
    m_world.after(m_world.random.duration(milliseconds(1), seconds(5)), [this, id, life = m_life] {
        if (life == m_life && m_held.contains(id))
            finish(id, protocol::Outcome::Cancelled);
    });
}

void SimBuilder::finish(AttemptId id, protocol::Outcome outcome)
{
    m_world.note("ran", id.value(), static_cast<std::uint64_t>(outcome));
    m_ledger.ended(id, m_held.at(id).step, outcome);
    m_held.erase(id);
    protocol::AttemptResult result;
    result.attempt = id;
    result.outcome = outcome;
    result.exitCode = outcome == protocol::Outcome::Failed ? 1 : 0;
    result.stoppedAt = m_world.now().wall;
    result.startedAt = m_world.now().wall;
    m_spool.emplace(id, result);
    if (!m_session || m_session->state() != protocol::SessionState::Open)
        return;
    sendResult(id);
    if (m_world.random.chance(quirks.repeatPercent))
        sendResult(id);
}

void SimBuilder::kill(AttemptId id)
{
    m_world.note("killed", id.value());
    m_ledger.killed(id, m_held.at(id).step);
    m_held.erase(id);
}

void SimBuilder::sendResult(AttemptId attempt)
{
    send(m_spool.at(attempt));
}

void SimBuilder::handle(const protocol::ResultStored& stored)
{
    for (const AttemptId attempt : stored.attempts)
        m_spool.erase(attempt);
}

void SimBuilder::drain(bool draining)
{
    m_draining = draining;
    if (m_session && m_session->state() == protocol::SessionState::Open)
        send(protocol::Drain{draining, "sim"});
}

void SimBuilder::lie()
{
    if (!quirks.lies || !m_session || m_session->state() != protocol::SessionState::Open)
        return;
    m_world.reach("builder.lies");
    const AttemptId about(m_world.random.between(1, 60));
    protocol::AttemptResult result;
    result.attempt = about;
    result.outcome = protocol::Outcome::Succeeded;
    switch (m_world.random.between(0, 4)) {
    case 0: return send(result);
    case 1: return send(protocol::AttemptAnswer{about, true, protocol::RejectReason::Unspecified, {}});
    case 2: return send(protocol::AttemptAnswer{about, false, protocol::RejectReason::Stale, "lie"});
    case 3: {
        protocol::Report report;
        report.appliedRevision = 1'000'000;
        report.held = {{about, false}};
        report.sequence = 1;
        return send(report);
    }
    default: return send(protocol::AttemptProgress{about, "lying", m_world.now().wall});
    }
}

} // namespace penstock::sim
