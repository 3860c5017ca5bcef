// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/net/monitor_link.h"

#include <QByteArray>
#include <QPointer>
#include <QTimer>
#include <QWebSocket>

#include <algorithm>
#include <memory>

namespace penstock::net {
namespace {

// A peer that was told to go and does not read: it is cut off after this time.
constexpr std::chrono::seconds kCloseTime{5};

class SocketPeer final : public feed::FeedPeer {
public:
    explicit SocketPeer(QWebSocket* socket) : m_socket(socket) {}

    void send(std::string_view frame) override
    {
        if (auto* socket = m_socket.data(); socket != nullptr)
            socket->sendBinaryMessage(QByteArray(frame.data(), static_cast<qsizetype>(frame.size())));
    }

    [[nodiscard]] std::size_t bufferedBytes() const override
    {
        auto* socket = m_socket.data();
        return socket == nullptr ? 0 : static_cast<std::size_t>(socket->bytesToWrite());
    }

    void close(std::string_view reason) override
    {
        auto* socket = m_socket.data();
        if (socket == nullptr)
            return;
        // A close frame has room for 123 bytes of text (RFC 6455 5.5).
        socket->close(QWebSocketProtocol::CloseCodeNormal,
                      QString::fromUtf8(reason.data(),
                                        static_cast<qsizetype>(std::min<std::size_t>(reason.size(), 100))));
        QTimer::singleShot(kCloseTime, socket, [socket] { socket->abort(); });
    }

private:
    QPointer<QWebSocket> m_socket;
};

} // namespace

MonitorLinks::MonitorLinks(feed::Feed& feed, QObject* parent) : QObject(parent), m_feed(feed) {}

void MonitorLinks::add(QWebSocket* socket, const PeerInfo& peer)
{
    socket->setParent(this);
    const auto number = m_feed.connected(std::make_unique<SocketPeer>(socket), peer.identity.name);
    connect(socket, &QWebSocket::binaryMessageReceived, this, [this, number](const QByteArray& message) {
        m_feed.received(number,
                        std::string_view(message.constData(), static_cast<std::size_t>(message.size())));
    });
    connect(socket, &QWebSocket::textMessageReceived, this, [this, number, socket] {
        m_feed.disconnected(number);
        socket->close(QWebSocketProtocol::CloseCodeDatatypeNotSupported,
                      QStringLiteral("binary messages only"));
        QTimer::singleShot(kCloseTime, socket, [socket] { socket->abort(); });
    });
    connect(socket, &QWebSocket::bytesWritten, this, [this, number] { m_feed.drained(number); });
    connect(socket, &QWebSocket::disconnected, this, [this, number, socket] {
        m_feed.disconnected(number);
        socket->deleteLater();
    });
}

} // namespace penstock::net
