// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/link/server_link.h"

#include "builder/link/back_off.h"

#include <QNetworkRequest>
#include <QRandomGenerator>
#include <QUrl>
#include <QWebSocket>
#include <algorithm>
#include <fmt/format.h>

namespace penstock::builder {
namespace {

constexpr std::chrono::milliseconds kConnectTime{10'000};

Now systemNow()
{
    return SystemClock{}.now();
}

} // namespace

Result<std::string> linkUrl(const std::string& text)
{
    QUrl url(QString::fromStdString(text), QUrl::StrictMode);
    const QString scheme = url.scheme();
    if (!url.isValid() || url.host().isEmpty() || (scheme != QStringLiteral("ws") && scheme != QStringLiteral("wss")))
        return fail(ErrorCode::Invalid,
                    fmt::format("server is \"{}\", must be ws://HOST:PORT or wss://HOST:PORT", text));
    if (url.path().isEmpty() || url.path() == QStringLiteral("/"))
        url.setPath(QStringLiteral("/link"));
    return url.toString().toStdString();
}

ServerLink::ServerLink(LinkSettings settings, LinkEvents events, Logger& logger, QObject* parent)
    : QObject(parent), m_settings(std::move(settings)), m_events(std::move(events)), m_logger(logger)
{
    for (QTimer* timer : {&m_retry, &m_tick, &m_flush})
        timer->setSingleShot(true);
    m_tick.setTimerType(Qt::PreciseTimer);
    connect(&m_retry, &QTimer::timeout, this, &ServerLink::connectNext);
    connect(&m_tick, &QTimer::timeout, this, &ServerLink::onTick);
    connect(&m_flush, &QTimer::timeout, this, &ServerLink::flush);
}

ServerLink::~ServerLink()
{
    dropSocket();
}

void ServerLink::start()
{
    connectNext();
}

void ServerLink::connectNext()
{
    m_url = m_settings.urls[m_nextUrl++ % m_settings.urls.size()];
    m_goodbye.reset();
    m_decoder = protocol::FrameDecoder();
    m_socket = new QWebSocket(QString(), QWebSocketProtocol::VersionLatest, this);
    m_socket->setMaxAllowedIncomingMessageSize(4 * protocol::kMaxFrameBytes);
    m_socket->setMaxAllowedIncomingFrameSize(4 * protocol::kMaxFrameBytes);
    connect(m_socket, &QWebSocket::connected, this, &ServerLink::onConnected);
    connect(m_socket, &QWebSocket::binaryMessageReceived, this, &ServerLink::onBytes);
    connect(m_socket, &QWebSocket::bytesWritten, this, &ServerLink::scheduleFlush);
    connect(m_socket, &QWebSocket::disconnected, this, [this] {
        lost(m_goodbye ? std::string("the server said goodbye") : m_socket->closeReason().toStdString());
    });
    connect(m_socket, QOverload<QAbstractSocket::SocketError>::of(&QWebSocket::error), this,
            [this] { lost(m_socket->errorString().toStdString()); });
    QNetworkRequest request(QUrl(QString::fromStdString(m_url)));
    if (!m_settings.token.empty())
        request.setRawHeader("Authorization", QByteArray::fromStdString("Bearer " + m_settings.token));
    m_connectBy = systemNow().mono + kConnectTime;
    m_socket->open(request);
    armTick();
}

void ServerLink::onConnected()
{
    m_connectBy.reset();
    m_session = protocol::Session::forBuilder(protocol::ownDialect(), systemNow());
    append(m_events.hello());
    flush();
    armTick();
}

void ServerLink::onBytes(const QByteArray& bytes)
{
    if (!m_session)
        return;
    m_session->onBytes(systemNow());
    m_decoder.push(std::as_bytes(std::span(bytes.constData(), static_cast<std::size_t>(bytes.size()))), *this);
    if (const auto status = m_decoder.status(); !status)
        return lost("the server sent a bad frame: " + status.error().message);
    armTick();
}

void ServerLink::onFrame(ByteView payload)
{
    if (!m_session)
        return; // given up within the same batch
    auto message = protocol::decodeServerMessage(payload);
    if (!message)
        return lost("the server sent a bad message: " + message.error().message);
    if (!*message) {
        ++m_unknown;
        return m_logger.debug("link.unknown_message", {{"count", m_unknown}});
    }
    onMessage(std::move(**message));
}

void ServerLink::onMessage(protocol::ServerMessage message)
{
    if (const auto* welcome = std::get_if<protocol::Welcome>(&message))
        return onWelcome(*welcome);
    if (auto* goodbye = std::get_if<protocol::Goodbye>(&message))
        return onGoodbye(std::move(*goodbye));
    if (const auto known = m_session->onTraffic(systemNow()); !known)
        return lost(known.error().message);
    m_events.message(std::move(message));
}

void ServerLink::onWelcome(const protocol::Welcome& welcome)
{
    if (const auto agreed = m_session->onWelcome(welcome, systemNow()); !agreed) {
        m_goodbye = protocol::Goodbye{protocol::GoodbyeReason::Version, agreed.error().message, {}};
        return lost(agreed.error().message);
    }
    m_failures = 0;
    m_up = true;
    m_logger.info("link.up", {{"url", m_url},
                              {"server", welcome.serverName},
                              {"server_version", welcome.serverVersion},
                              {"protocol", welcome.protocol},
                              {"machine", welcome.machine.value()},
                              {"heartbeat_ms", welcome.heartbeat.count()}});
    sendReport();
    m_events.up(welcome);
}

void ServerLink::onGoodbye(protocol::Goodbye goodbye)
{
    m_logger.warning("link.goodbye", {{"url", m_url}, {"reason", toString(goodbye.reason)}, {"text", goodbye.text}});
    m_goodbye = std::move(goodbye);
    lost("the server said goodbye");
}

void ServerLink::onTick()
{
    const Now now = systemNow();
    if (m_connectBy && now.mono > *m_connectBy)
        return lost(fmt::format("no connection within {} s", kConnectTime.count() / 1000));
    if (!m_session)
        return armTick();
    switch (m_session->due(now)) {
    case protocol::SessionDue::Nothing: break;
    case protocol::SessionDue::SendHeartbeat: sendReport(); break;
    case protocol::SessionDue::Dead:
        return lost(m_up ? fmt::format("silent for more than {} ms", m_session->timing().deadline.count())
                         : std::string("no welcome in time"));
    }
    armTick();
}

void ServerLink::armTick()
{
    std::optional<Instant> due = m_connectBy;
    if (m_session)
        due = m_session->nextDue();
    if (!due)
        return m_tick.stop();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - systemNow().mono);
    m_tick.start(std::max(left, std::chrono::milliseconds{1}));
}

void ServerLink::sendReport()
{
    const Now now = systemNow();
    protocol::Report report = m_events.report();
    report.sentAt = now.wall;
    report.sequence = m_session->heartbeatSent(now);
    append(report);
    scheduleFlush();
    armTick();
}

void ServerLink::report()
{
    if (m_up)
        sendReport();
}

void ServerLink::send(const protocol::BuilderMessage& message)
{
    if (!m_up)
        return;
    append(message);
    if (m_out.size() > kMaxUnsentBytes)
        return lost(fmt::format("{} bytes are unsent, the limit is {}", m_out.size(), kMaxUnsentBytes));
    scheduleFlush();
}

void ServerLink::append(const protocol::BuilderMessage& message)
{
    const auto appended = protocol::appendMessage(m_out, message);
    if (!appended)
        return m_logger.error("link.message_too_large", {{"error", appended.error().message}});
    m_ends.push_back(m_out.size());
}

void ServerLink::scheduleFlush()
{
    if (!m_out.empty() && !m_flush.isActive())
        m_flush.start(0);
}

// Whole frames only in one WebSocket message, as the protocol asks.
void ServerLink::flush()
{
    std::size_t sent = 0;
    auto end = m_ends.begin();
    while (m_socket != nullptr && end != m_ends.end() && m_socket->bytesToWrite() < kMaxSocketBytes) {
        std::size_t last = *end++;
        while (end != m_ends.end() && *end - sent <= kMaxBatchBytes)
            last = *end++;
        m_socket->sendBinaryMessage(QByteArray(m_out.data() + sent, static_cast<qsizetype>(last - sent)));
        sent = last;
    }
    m_ends.erase(m_ends.begin(), end);
    for (std::size_t& one : m_ends)
        one -= sent;
    m_out.erase(0, sent);
}

void ServerLink::lost(const std::string& why)
{
    if (m_socket == nullptr)
        return;
    const bool wasUp = std::exchange(m_up, false);
    dropSocket();
    ++m_failures;
    const auto wait = waitBeforeRetry(m_failures, m_goodbye, QRandomGenerator::global()->generateDouble());
    m_logger.log(wasUp ? LogLevel::Warning : LogLevel::Info, wasUp ? "link.down" : "link.not_up",
                 {{"url", m_url}, {"reason", why}, {"retry_in_ms", wait.count()}});
    if (!m_stopped)
        m_retry.start(wait);
    if (wasUp)
        m_events.down();
}

void ServerLink::dropSocket()
{
    m_session.reset();
    m_connectBy.reset();
    m_out.clear();
    m_ends.clear();
    m_tick.stop();
    if (m_socket == nullptr)
        return;
    QWebSocket* const socket = std::exchange(m_socket, nullptr);
    socket->disconnect(this);
    socket->abort();
    socket->deleteLater(); // we may be in one of its signals
}

void ServerLink::stop(const std::string& text)
{
    m_stopped = true;
    m_retry.stop();
    if (m_socket == nullptr || !m_session)
        return dropSocket();
    append(protocol::Goodbye{protocol::GoodbyeReason::Stopping, text, {}});
    flush();
    m_up = false;
    m_socket->disconnect(this);
    m_socket->close(QWebSocketProtocol::CloseCodeGoingAway);
    m_session->close();
    m_tick.stop();
}

} // namespace penstock::builder
