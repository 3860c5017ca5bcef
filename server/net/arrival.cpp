// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/net/arrival.h"

#include "server/http/reply.h"

#include <QPointer>
#include <QWebSocket>

#include <utility>

namespace penstock::net {
namespace {

constexpr qint64 kPeekBytes = static_cast<qint64>(http::kMaxHeadBytes);
constexpr std::chrono::milliseconds kLingerTime{1'000};
constexpr std::size_t kLingerBytes = 1U << 20U;

std::optional<auth::Action> actionOf(const std::string& path)
{
    if (path == "/link")
        return auth::Action::ConnectBuilder;
    if (path == "/monitor")
        return auth::Action::Watch;
    return std::nullopt;
}

} // namespace

Arrival::Arrival(QTcpSocket* socket, auth::PeerAddress peer, ArrivalEnvironment& environment, QObject* parent)
    : QObject(parent), m_socket(socket), m_peer(std::move(peer)), m_environment(environment)
{
    ++m_environment.unidentified;
    m_socket->setParent(this);
    m_socket->setReadBufferSize(kPeekBytes);
    connect(m_socket, &QTcpSocket::readyRead, this, &Arrival::onReadyRead);
    connect(m_socket, &QTcpSocket::disconnected, this, &QObject::deleteLater);
    m_deadline.setSingleShot(true);
    connect(&m_deadline, &QTimer::timeout, this, &Arrival::onTimeout);
    m_deadline.start(m_environment.options.headTime);
}

Arrival::~Arrival()
{
    --m_environment.unidentified;
}

void Arrival::start()
{
    if (m_socket->bytesAvailable() > 0)
        onReadyRead();
}

void Arrival::onTimeout()
{
    if (m_decided) {
        // Refused and lingering, or in a handshake that does not come to its end.
        if (m_socket != nullptr)
            m_socket->abort();
        return deleteLater();
    }
    ++m_environment.counters.headTimeouts;
    refuse(408, "the request head took too long");
}

void Arrival::onReadyRead()
{
    if (m_decided)
        return;
    const QByteArray bytes = m_socket->peek(kPeekBytes);
    const std::string_view seen(bytes.constData(), static_cast<std::size_t>(bytes.size()));
    const auto length = http::headLength(seen);
    if (!length) {
        // The buffer holds no more than this, so a longer head could never be complete.
        if (bytes.size() >= kPeekBytes) {
            ++m_environment.counters.malformed;
            refuse(431, "the request head has more than 16384 bytes");
        }
        return;
    }
    auto head = http::parseRequestHead(seen.substr(0, *length));
    if (!head) {
        ++m_environment.counters.malformed;
        return refuse(head.error().code == ErrorCode::Exhausted ? 431 : 400, head.error().message);
    }
    onHead(*std::move(head));
}

void Arrival::onHead(http::RequestHead head)
{
    if (!head.wantsUpgrade())
        return toHttp();
    m_decided = true;
    if (!actionOf(head.path))
        return refuse(404, "no WebSocket is at this path; there are /link and /monitor");
    const std::string bearer(head.bearer());
    const auth::BrowserHeaders headers{head.header("host"), head.header("origin")};
    if (auto good = auth::checkBrowser(headers, m_peer.local && bearer.empty()); !good) {
        ++m_environment.counters.denied;
        return refuse(403, good.error().message);
    }
    identify(head.path, bearer);
}

void Arrival::toHttp()
{
    m_decided = true;
    ++m_environment.counters.http;
    auto* socket = std::exchange(m_socket, nullptr);
    socket->disconnect(this);
    socket->setParent(nullptr);
    m_environment.sink.onHttp(socket, m_peer);
    deleteLater();
}

void Arrival::identify(const std::string& path, const std::string& bearer)
{
    m_environment.authenticator.identify(
        m_peer, bearer, [weak = QPointer<Arrival>(this), path](Result<auth::Identity> who) {
            auto* self = weak.data();
            if (self == nullptr)
                return; // it went away while its token was looked up
            auto& counters = self->m_environment.counters;
            if (!who) {
                ++counters.denied;
                self->m_environment.logger.warning("net.denied", {{"peer", self->m_peer.text}, {"path", path},
                                                                  {"reason", who.error().message}});
                return self->refuse(who.error().code == ErrorCode::Denied ? 401 : 503, who.error().message);
            }
            if (auto may = auth::mayDo(*who, *actionOf(path)); !may) {
                ++counters.denied;
                return self->refuse(403, may.error().message);
            }
            self->toWebSocket({self->m_peer, *std::move(who), path});
        });
}

void Arrival::toWebSocket(PeerInfo peer)
{
    if (m_socket->state() != QAbstractSocket::ConnectedState)
        return; // and this is about to go
    auto* raw = std::exchange(m_socket, nullptr);
    const auto limit = m_environment.options.maxMessageBytes;
    m_upgrade = new QWebSocketServer(QStringLiteral("penstock"), QWebSocketServer::NonSecureMode, this);
    connect(m_upgrade, &QWebSocketServer::newConnection, this, [this, raw, peer = std::move(peer), limit] {
        auto* socket = m_upgrade->nextPendingConnection();
        if (socket == nullptr)
            return;
        socket->setParent(nullptr);
        raw->setParent(socket);
        socket->setMaxAllowedIncomingFrameSize(limit);
        socket->setMaxAllowedIncomingMessageSize(limit);
        ++(peer.path == "/link" ? m_environment.counters.links : m_environment.counters.monitors);
        if (peer.path == "/link")
            m_environment.sink.onLink(socket, peer);
        else
            m_environment.sink.onMonitor(socket, peer);
        deleteLater();
    });
    raw->disconnect(this);
    // When the handshake fails Qt closes the socket by itself; then nothing is left to do here.
    connect(raw, &QTcpSocket::disconnected, this, &QObject::deleteLater);
    connect(m_upgrade, &QWebSocketServer::serverError, this, [this] { ++m_environment.counters.malformed; });
    raw->setParent(m_upgrade);
    // Qt reads a frame only when all of it is there, so the buffer must have room for the largest one.
    raw->setReadBufferSize(static_cast<qint64>(limit) + kPeekBytes);
    raw->setSocketOption(QAbstractSocket::LowDelayOption, 1);
    raw->setSocketOption(QAbstractSocket::KeepAliveOption, 1);
    m_upgrade->handleConnection(raw);
    Q_EMIT raw->readyRead();
}

void Arrival::refuse(unsigned status, std::string_view reason)
{
    m_decided = true;
    const auto bytes = http::renderReply(http::problem(status, reason), true, false);
    // What the peer is still sending is thrown away for a moment: closing at once would destroy the answer.
    m_deadline.start(kLingerTime);
    disconnect(m_socket, &QTcpSocket::readyRead, this, nullptr);
    const auto drop = [this] {
        m_thrownAway += static_cast<std::size_t>(m_socket->readAll().size());
        if (m_thrownAway > kLingerBytes)
            m_socket->abort();
    };
    connect(m_socket, &QTcpSocket::readyRead, this, drop);
    m_socket->write(bytes.data(), static_cast<qint64>(bytes.size()));
    m_socket->flush();
    drop();
}

} // namespace penstock::net
