// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/net/builder_link.h"

#include "shared/protocol/envelope.h"

#include <QWebSocket>
#include <algorithm>
#include <fmt/format.h>
#include <type_traits>
#include <variant>

namespace penstock::net {
namespace {

constexpr std::size_t kFlushBytes = 1U << 20U; // one WebSocket message carries about this much at most
constexpr Duration kCloseTime = std::chrono::seconds(2);

// Whether a builder takes grants is the builder's to say; the server always can give them.
protocol::Dialect serverDialect()
{
    auto dialect = protocol::ownDialect();
    if (std::ranges::find(dialect.features, protocol::kGrantsFeature) == dialect.features.end())
        dialect.features.emplace_back(protocol::kGrantsFeature);
    return dialect;
}

} // namespace

BuilderLink::BuilderLink(BuilderLinks& links, SessionId session, QWebSocket* socket, std::string peer,
                         std::string credential)
    : m_links(links), m_session(session), m_socket(socket), m_peer(std::move(peer)),
      m_credential(std::move(credential)),
      m_state(protocol::Session::forServer(serverDialect(), links.m_options.timing, links.m_clock.now()))
{
    m_socket->setParent(this);
    connect(m_socket, &QWebSocket::binaryMessageReceived, this, &BuilderLink::received);
    connect(m_socket, &QWebSocket::textMessageReceived, this,
            [this](const QString&) { protocolError("a text message came; frames are binary"); });
    connect(m_socket, &QWebSocket::pong, this, [this] { m_state.onBytes(m_links.m_clock.now()); });
    connect(m_socket, &QWebSocket::disconnected, this, &BuilderLink::gone);
}

BuilderLink::~BuilderLink()
{
    m_socket->disconnect(this);
    m_socket->abort();
}

void BuilderLink::received(const QByteArray& bytes)
{
    if (m_closing)
        return;
    m_state.onBytes(m_links.m_clock.now());
    m_decoder.push(std::as_bytes(std::span(bytes.constData(), static_cast<std::size_t>(bytes.size()))), *this);
    if (const auto status = m_decoder.status(); !status)
        protocolError(status.error().message);
    if (!m_batch.empty() && m_announced)
        handOn(static_cast<std::size_t>(bytes.size()));
}

void BuilderLink::handOn(std::size_t bytes)
{
    m_untaken += bytes;
    m_links.m_sink.messages(m_session, std::exchange(m_batch, {}),
                            [self = m_links.m_self, &loop = m_links.m_loop, session = m_session, bytes] {
                                loop.post([self, session, bytes] {
                                    if (*self == nullptr)
                                        return;
                                    const auto link = (*self)->m_links.find(session);
                                    if (link != (*self)->m_links.end())
                                        link->second->m_untaken -= bytes;
                                });
                            });
    if (m_untaken > m_links.m_options.maxUntakenBytes)
        close(protocol::GoodbyeReason::Overloaded,
              fmt::format("{} bytes of messages wait for the server, the limit is {}", m_untaken,
                          m_links.m_options.maxUntakenBytes));
}

void BuilderLink::onFrame(ByteView payload)
{
    if (m_closing)
        return;
    auto message = protocol::decodeBuilderMessage(payload);
    if (!message)
        return protocolError(message.error().message);
    if (!*message) { // a newer builder says something we do not know
        ++m_links.m_counters.unknownMessages;
        return;
    }
    handle(std::move(**message));
}

void BuilderLink::handle(protocol::BuilderMessage message)
{
    const Now now = m_links.m_clock.now();
    if (auto* greeting = std::get_if<protocol::Hello>(&message))
        return hello(*greeting);
    if (auto* goodbye = std::get_if<protocol::Goodbye>(&message)) {
        m_closeText = goodbye->text.empty() ? std::string(protocol::toString(goodbye->reason)) : goodbye->text;
        return;
    }
    if (const auto traffic = m_state.onTraffic(now); !traffic)
        return protocolError(traffic.error().message);
    if (auto* chunk = std::get_if<protocol::LogChunk>(&message))
        return storeLog(std::move(*chunk));
    if (const auto* report = std::get_if<protocol::Report>(&message)) {
        send(protocol::Heartbeat{report->sequence, now.wall});
        m_state.heartbeatSent(now);
    }
    m_batch.push_back(std::move(message));
}

void BuilderLink::hello(const protocol::Hello& hello)
{
    const auto agreement = m_state.onHello(hello, m_links.m_clock.now());
    if (!agreement) {
        const bool version = agreement.error().code == ErrorCode::Conflict;
        if (!version)
            return protocolError(agreement.error().message);
        return close(protocol::GoodbyeReason::Version, agreement.error().message);
    }
    ++m_links.m_counters.accepted;
    m_announced = true;
    m_links.m_sink.connected(m_session, hello, m_credential);
}

void BuilderLink::welcome(MachineId machine)
{
    if (m_closing)
        return;
    const Now now = m_links.m_clock.now();
    m_machine = machine;
    m_logs.merge(m_links.takeLogs(machine));
    m_state.opened(now);
    const auto& timing = m_links.m_options.timing;
    send(protocol::Welcome{m_state.agreement().protocol, m_state.agreement().features, machine, timing.heartbeat,
                           timing.deadline, now.wall, m_links.m_options.serverVersion,
                           m_links.m_options.serverName});
}

void BuilderLink::allowLogs(const protocol::Desired& desired)
{
    m_logs.insert(desired.wanted.begin(), desired.wanted.end());
    for (const protocol::Assignment& assignment : desired.assign)
        m_logs.insert(assignment.attempt);
    while (m_logs.size() > m_links.m_options.maxLogAttempts)
        m_logs.erase(m_logs.begin()); // attempt ids grow: the first is the oldest
}

void BuilderLink::storeLog(protocol::LogChunk chunk)
{
    const AttemptId attempt = chunk.attempt;
    if (!m_logs.contains(attempt)) {
        ++m_links.m_counters.foreignLogs;
        return send(protocol::LogStored{attempt, chunk.offset, true});
    }
    m_links.m_sink.log(std::move(chunk), [self = m_links.m_self, &loop = m_links.m_loop, session = m_session,
                                          attempt](Result<LogAnswer> answer) {
        if (!answer)
            return; // not stored: the builder keeps it and sends it again
        loop.post([self, session, attempt, stored = *answer] {
            if (*self == nullptr)
                return;
            const auto link = (*self)->m_links.find(session);
            if (link != (*self)->m_links.end())
                link->second->send(protocol::LogStored{attempt, stored.offset, stored.stop});
        });
    });
}

void BuilderLink::send(const protocol::ServerMessage& message)
{
    if (m_closing)
        return;
    if (const auto appended = protocol::appendMessage(m_out, message); !appended)
        return oversize(appended.error());
    if (m_out.size() >= kFlushBytes)
        return flush();
    if (!std::exchange(m_flushPosted, true))
        m_links.m_loop.post([self = m_links.m_self, session = m_session] {
            if (*self == nullptr)
                return;
            if (const auto link = (*self)->m_links.find(session); link != (*self)->m_links.end())
                link->second->flush();
        });
}

void BuilderLink::flush()
{
    m_flushPosted = false;
    if (m_out.empty())
        return;
    m_socket->sendBinaryMessage(QByteArray::fromStdString(std::exchange(m_out, {})));
    if (m_socket->bytesToWrite() > m_links.m_options.maxUnsentBytes)
        close(protocol::GoodbyeReason::Overloaded,
              fmt::format("{} bytes are unsent, the limit is {}", m_socket->bytesToWrite(),
                          m_links.m_options.maxUnsentBytes));
}

void BuilderLink::oversize(const Error& error)
{
    m_out.clear();
    m_links.m_logger.error("link.message_too_large", {{"peer", m_peer}, {"error", error.message}});
    close(protocol::GoodbyeReason::Overloaded, error.message);
}

void BuilderLink::protocolError(const std::string& text)
{
    ++m_links.m_counters.malformed;
    close(protocol::GoodbyeReason::ProtocolError, text);
}

void BuilderLink::close(protocol::GoodbyeReason reason, const std::string& text)
{
    if (m_closing)
        return;
    m_links.m_logger.info("link.closing", {{"peer", m_peer},
                                           {"session", m_session.value()},
                                           {"reason", protocol::toString(reason)},
                                           {"text", text}});
    ++m_links.m_counters.goodbyes.at(static_cast<std::size_t>(reason));
    send(protocol::Goodbye{reason, text, {}});
    m_closing = true;
    m_closeText = text;
    m_abortAt = m_links.m_clock.now().mono + kCloseTime;
    flush();
    m_socket->close(QWebSocketProtocol::CloseCodeGoingAway,
                    QString::fromUtf8(text.data(), static_cast<qsizetype>(std::min<std::size_t>(text.size(), 100))));
}

void BuilderLink::gone()
{
    m_closing = true;
    if (m_machine)
        m_links.rememberLogs(*m_machine, std::exchange(m_logs, {}));
    if (std::exchange(m_announced, false))
        m_links.m_sink.disconnected(m_session, m_closeText.empty() ? "the connection was lost" : m_closeText);
    m_links.remove(m_session);
}

void BuilderLink::tick(Now now)
{
    if (m_closing) {
        if (now.mono >= m_abortAt && m_socket->state() != QAbstractSocket::UnconnectedState)
            m_socket->abort();
        return;
    }
    switch (m_state.due(now)) {
    case protocol::SessionDue::Nothing: return;
    case protocol::SessionDue::SendHeartbeat:
        m_state.heartbeatSent(now);
        return send(protocol::Heartbeat{0, now.wall});
    case protocol::SessionDue::Dead:
        ++m_links.m_counters.timeouts;
        close(protocol::GoodbyeReason::Timeout, "no heartbeat in time");
        m_socket->abort(); // a silent peer would not answer a closing handshake either
        return;
    }
}

} // namespace penstock::net
