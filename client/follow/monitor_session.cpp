// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/follow/monitor_session.h"

#include "client/output/human_text.h"
#include "client/output/style.h"

#include <algorithm>
#include <fmt/format.h>
#include <QNetworkProxy>
#include <QNetworkRequest>
#include <QUrl>
#include <QWebSocket>

namespace penstock::client {

namespace {

constexpr std::chrono::seconds kPingEvery{10};
constexpr std::chrono::seconds kSilenceLimit{35}; // three pings unanswered
constexpr quint64 kMaxMessageBytes = 32U << 20U;  // several frames may share a message
constexpr unsigned kProtocol = 1;

Instant monotonic()
{
    return SystemClock().now().mono;
}

// Trying again cannot help.
bool isFinal(std::string_view goodbyeCode)
{
    return goodbyeCode == "denied" || goodbyeCode == "version" || goodbyeCode == "protocol_error";
}

} // namespace

Duration reconnectPause(unsigned attempt)
{
    constexpr Duration kFirst = std::chrono::milliseconds(100);
    constexpr Duration kMost = std::chrono::seconds(5);
    return attempt > 6 ? kMost : std::min<Duration>(kFirst * (1U << std::max(attempt, 1U)) / 2, kMost);
}

MonitorSession::MonitorSession(SessionSettings settings, SessionListener& listener)
    : m_settings(std::move(settings)), m_listener(listener)
{
    m_retry.setSingleShot(true);
    QObject::connect(&m_retry, &QTimer::timeout, &m_retry, [this] { connectSocket(); });
    QObject::connect(&m_tick, &QTimer::timeout, &m_tick, [this] { onTick(); });
}

MonitorSession::~MonitorSession()
{
    if (m_socket)
        m_socket->disconnect();
}

void MonitorSession::open()
{
    m_lostSince = monotonic();
    connectSocket();
}

void MonitorSession::connectSocket()
{
    if (m_socket) {
        m_socket->disconnect();
        m_socket.release()->deleteLater(); // we may be called from one of its signals
    }
    m_decoder = protocol::FrameDecoder();
    m_goodbye.clear();
    m_socket = std::make_unique<QWebSocket>();
    m_socket->setProxy(QNetworkProxy(QNetworkProxy::NoProxy));
    m_socket->setMaxAllowedIncomingFrameSize(kMaxMessageBytes);
    m_socket->setMaxAllowedIncomingMessageSize(kMaxMessageBytes);
    auto* socket = m_socket.get();
    QObject::connect(socket, &QWebSocket::connected, socket, [this] { onConnected(); });
    QObject::connect(socket, &QWebSocket::binaryMessageReceived, socket,
                     [this](const QByteArray& bytes) { onBytes(bytes); });
    QObject::connect(socket, &QWebSocket::bytesWritten, socket, [this](qint64) {
        if (m_onSent)
            m_onSent();
    });
    QObject::connect(socket, &QWebSocket::disconnected, socket, [this] {
        const auto reason = m_socket->closeReason().toStdString();
        onLost(reason.empty() ? m_socket->errorString().toStdString() : reason);
    });
    QObject::connect(socket, QOverload<QAbstractSocket::SocketError>::of(&QWebSocket::error), socket,
                     [this](QAbstractSocket::SocketError) { onLost(m_socket->errorString().toStdString()); });
    QNetworkRequest request(QUrl(QString::fromStdString(m_settings.endpoint.text() + "/monitor")));
    if (!m_settings.token.empty())
        request.setRawHeader("Authorization", QByteArray::fromStdString("Bearer " + m_settings.token));
    m_socket->open(request);
}

void MonitorSession::onConnected()
{
    m_ready = true;
    m_attempt = 0;
    m_lastHeard = monotonic();
    m_tick.start(kPingEvery);
    monitor::ClientMessage message;
    auto& hello = *message.mutable_hello();
    hello.set_protocol_min(kProtocol);
    hello.set_protocol_max(kProtocol);
    hello.set_program("penstock");
    send(message);
    const bool again = std::exchange(m_everReady, true);
    if (again)
        m_listener.onLinkNotice("the server is back");
    m_lostSince.reset();
    m_listener.onReady(again);
}

void MonitorSession::send(const monitor::ClientMessage& message)
{
    if (m_ready)
        write(message.SerializeAsString());
}

void MonitorSession::write(const std::string& payload)
{
    std::string frame;
    protocol::appendFrame(frame, payload);
    m_socket->sendBinaryMessage(QByteArray(frame.data(), static_cast<qsizetype>(frame.size())));
}

std::int64_t MonitorSession::unsent() const
{
    return m_socket ? m_socket->bytesToWrite() : 0;
}

void MonitorSession::onBytes(const QByteArray& bytes)
{
    m_lastHeard = monotonic();
    m_decoder.push(bytesOf({bytes.constData(), static_cast<std::size_t>(bytes.size())}), *this);
    if (const auto status = m_decoder.status(); !status)
        onLost(status.error().message);
}

void MonitorSession::onFrame(ByteView payload)
{
    if (m_over)
        return;
    monitor::FeedMessage message;
    if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
        giveUp({ErrorCode::Corrupt, "the server sent a message that cannot be read; are client and server of "
                                    "very different versions?"});
        return;
    }
    if (message.kind_case() != monitor::FeedMessage::kGoodbye) {
        m_listener.onMessage(message);
        return;
    }
    m_goodbye = message.goodbye().text().empty() ? words(message.goodbye().code()) : message.goodbye().text();
    if (isFinal(message.goodbye().code()))
        giveUp({ErrorCode::Denied, "the server ended the connection: " + printable(m_goodbye)});
}

void MonitorSession::onLost(const std::string& reason)
{
    if (m_over || m_retry.isActive())
        return;
    const auto now = monotonic();
    const auto text = printable(m_goodbye.empty() ? reason : m_goodbye);
    m_tick.stop();
    if (m_ready || (m_attempt == 0 && m_everReady))
        m_listener.onLinkNotice(fmt::format("lost the server ({}); trying again for up to {}", text,
                                            humanDuration(m_settings.giveUpAfter)));
    m_ready = false;
    if (!m_lostSince)
        m_lostSince = now;
    ++m_attempt;
    const auto pause = reconnectPause(m_attempt);
    if (!m_everReady && !m_patient) {
        giveUp({ErrorCode::Unavailable,
                fmt::format("cannot reach the server at {}: {}; is penstock-server running "
                            "there? (--server or PENSTOCK_SERVER names another)",
                            m_settings.endpoint.text(), text)});
        return;
    }
    if (now - *m_lostSince + pause > m_settings.giveUpAfter) {
        giveUp({ErrorCode::Unavailable,
                fmt::format("no connection to the server at {} for {}: {}", m_settings.endpoint.text(),
                            humanDuration(now - *m_lostSince), text)});
        return;
    }
    m_retry.start(std::chrono::duration_cast<std::chrono::milliseconds>(pause));
}

void MonitorSession::onTick()
{
    if (monotonic() - m_lastHeard > kSilenceLimit) {
        onLost(fmt::format("silent for {}", humanDuration(kSilenceLimit)));
        return;
    }
    monitor::ClientMessage message;
    message.mutable_ping()->set_sequence(++m_pings);
    send(message);
}

void MonitorSession::giveUp(Error error)
{
    m_over = true;
    m_ready = false;
    m_tick.stop();
    m_retry.stop();
    m_listener.onGaveUp(error);
}

} // namespace penstock::client
