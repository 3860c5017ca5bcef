// SPDX-License-Identifier: GPL-3.0-or-later
// The builder links of the simulated server: bytes to messages and back, heartbeats and deadlines.
#include "tests/sim/sim_server.h"

#include <algorithm>
#include <fmt/format.h>
#include <vector>

namespace penstock::sim {
namespace {

struct Frames final : protocol::FrameSink {
    std::vector<std::string> payloads;
    void onFrame(ByteView payload) override { payloads.emplace_back(textOf(payload)); }
};

} // namespace

void SimServer::accept(const std::shared_ptr<Wire>& wire)
{
    const SessionId id(m_nextSession++);
    Peer& peer = m_peers[id];
    peer.wire = wire;
    peer.session = protocol::Session::forServer(protocol::ownDialect(), {}, m_world.now());
    wire->attach(1, {[this, id](const std::string& bytes) { receive(id, bytes); },
                     [this, id] { gone(id, "the connection was closed"); }});
    watchDeadlines(id);
}

void SimServer::watchDeadlines(SessionId id)
{
    const auto found = m_peers.find(id);
    if (found == m_peers.end())
        return;
    const Now now = m_world.now();
    Peer& peer = found->second;
    const protocol::SessionDue due = peer.session->due(now);
    if (due == protocol::SessionDue::SendHeartbeat) {
        static_cast<void>(peer.session->heartbeatSent(now));
        send(id, protocol::Heartbeat{0, now.wall});
    } else if (due == protocol::SessionDue::Dead) {
        m_world.reach("link.deadline");
        m_world.note("server.deadline", id.value());
        peer.wire->close(1);
        return gone(id, "no sign of life");
    }
    m_world.after(std::max<Duration>(peer.session->nextDue() - now.mono, std::chrono::milliseconds(1)),
                  [this, id] { watchDeadlines(id); });
}

void SimServer::receive(SessionId id, const std::string& bytes)
{
    const auto found = m_peers.find(id);
    if (found == m_peers.end())
        return;
    Frames frames;
    found->second.decoder.push(bytesOf(bytes), frames);
    for (const std::string& payload : frames.payloads) {
        auto message = protocol::decodeBuilderMessage(bytesOf(payload));
        if (!message || !*message)
            return m_world.violate(message ? "an unknown message" : message.error().message);
        if (m_peers.contains(id))
            handle(id, *std::move(*message));
    }
}

void SimServer::handle(SessionId id, protocol::BuilderMessage message)
{
    Peer& peer = m_peers.at(id);
    const Now now = m_world.now();
    dispatch::Dispatcher& farm = *m_life->dispatcher;
    if (auto* hello = std::get_if<protocol::Hello>(&message)) {
        if (auto agreed = peer.session->onHello(*hello, now); !agreed)
            return m_world.violate(agreed.error().message);
        peer.isConnected = true;
        return farm.post(core::MachineConnected{id, hello->identity, hello->instance, "local", hello->version,
                                                std::move(hello->facts)});
    }
    if (auto heard = peer.session->onTraffic(now); !heard)
        return m_world.violate(heard.error().message);
    if (auto* report = std::get_if<protocol::Report>(&message)) {
        protocol::Heartbeat beat{report->sequence, now.wall};
        farm.post(core::MachineReported{id, report->appliedRevision, std::move(report->held), report->load});
        send(id, beat);
    } else if (auto* answer = std::get_if<protocol::AttemptAnswer>(&message)) {
        farm.post(core::AttemptAnswered{id, std::move(*answer)});
    } else if (auto* result = std::get_if<protocol::AttemptResult>(&message)) {
        farm.post(core::AttemptFinished{id, std::move(*result)});
    } else if (auto* progress = std::get_if<protocol::AttemptProgress>(&message)) {
        farm.post(core::AttemptProgressed{id, progress->attempt, progress->phase, progress->startedAt});
    } else if (auto* drain = std::get_if<protocol::Drain>(&message)) {
        farm.post(core::MachineDrains{id, drain->draining, drain->note});
    } else if (auto* facts = std::get_if<protocol::MachineFacts>(&message)) {
        farm.post(core::MachineFactsChanged{id, std::move(*facts)});
    }
}

void SimServer::gone(SessionId id, const std::string& why)
{
    const auto found = m_peers.find(id);
    if (found == m_peers.end())
        return;
    const bool told = found->second.isConnected;
    m_peers.erase(found);
    if (!isUp())
        return;
    if (told)
        m_life->dispatcher->post(core::MachineDisconnected{id, why});
    m_life->dispatcher->dropSession(id);
}

void SimServer::send(SessionId id, const protocol::ServerMessage& message)
{
    const auto found = m_peers.find(id);
    if (found == m_peers.end())
        return;
    m_ledger.sent(message);
    std::string bytes;
    if (auto appended = protocol::appendMessage(bytes, message); !appended)
        return m_world.violate(appended.error().message);
    m_world.note("server.send", id.value(), message.index());
    found->second.wire->send(1, std::move(bytes));
}

void SimServer::sendWelcome(SessionId session, MachineId machine)
{
    const auto found = m_peers.find(session);
    if (found == m_peers.end())
        return;
    found->second.session->opened(m_world.now());
    const protocol::HeartbeatTiming timing = found->second.session->timing();
    send(session, protocol::Welcome{
                      1, {}, machine, timing.heartbeat, timing.deadline, m_world.now().wall, "sim", "sim"});
}

void SimServer::sendDesired(SessionId session, protocol::Desired desired)
{
    send(session, std::move(desired));
}

void SimServer::sendStored(SessionId session, std::vector<AttemptId> attempts)
{
    send(session, protocol::ResultStored{std::move(attempts)});
}

void SimServer::closeSession(SessionId session, protocol::GoodbyeReason reason, std::string text)
{
    m_world.reach(fmt::format("goodbye.{}", protocol::toString(reason)));
    send(session, protocol::Goodbye{reason, std::move(text), {}});
    if (const auto found = m_peers.find(session); found != m_peers.end()) {
        found->second.wire->close(1);
        gone(session, "closed by us");
    }
}

} // namespace penstock::sim
