// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/stream/web_socket_transport.h"

#include <QNetworkRequest>
#include <QRegularExpression>
#include <utility>

namespace penstock::gui {

namespace {

// QWebSocket tells a refused upgrade only in the text of its error ("… http status code: 401 …").
CloseKind kindOf(const QString& errorText)
{
    static const QRegularExpression status(QStringLiteral("status code: (401|403)\\b"));
    return status.match(errorText).hasMatch() ? CloseKind::Denied : CloseKind::Lost;
}

} // namespace

WebSocketTransport::WebSocketTransport(QUrl url, QByteArray token)
    : m_url(std::move(url)), m_token(std::move(token))
{}

WebSocketTransport::~WebSocketTransport()
{
    WebSocketTransport::abort();
}

void WebSocketTransport::open(TransportSink& sink)
{
    WebSocketTransport::abort();
    ++m_generation;
    m_socket = std::make_unique<QWebSocket>();
    m_socket->setMaxAllowedIncomingMessageSize(kMaxMessageBytes);
    m_socket->setMaxAllowedIncomingFrameSize(kMaxMessageBytes);
    connectSignals(sink);
    QNetworkRequest request(m_url);
    if (!m_token.isEmpty())
        request.setRawHeader(QByteArrayLiteral("Authorization"), QByteArrayLiteral("Bearer ") + m_token);
    m_socket->open(request);
}

void WebSocketTransport::connectSignals(TransportSink& sink)
{
    QWebSocket* socket = m_socket.get();
    connect(socket, &QWebSocket::connected, this, [&sink] { sink.onOpened(); });
    connect(socket, &QWebSocket::binaryFrameReceived, this, [&sink](const QByteArray&, bool last) {
        if (!last)
            sink.onAlive();
    });
    connect(socket, &QWebSocket::pong, this, [&sink] { sink.onAlive(); });
    connect(socket, &QWebSocket::binaryMessageReceived, this, [&sink](const QByteArray& message) {
        sink.onMessage(bytesOf({message.constData(), static_cast<std::size_t>(message.size())}));
    });
    // Queued: a port that refuses does so from inside open().
    const auto end = [this, &sink, generation = m_generation] { closed(sink, generation); };
    connect(socket, &QWebSocket::disconnected, this, end, Qt::QueuedConnection);
    connect(socket, qOverload<QAbstractSocket::SocketError>(&QWebSocket::error), this, end,
            Qt::QueuedConnection);
}

void WebSocketTransport::closed(TransportSink& sink, std::uint64_t generation)
{
    // Both signals come for one end, and an abort may have overtaken them.
    if (!m_socket || generation != m_generation)
        return;
    const QString error = m_socket->errorString();
    const QString reason = m_socket->closeReason();
    abort();
    const QString text = !reason.isEmpty() ? reason
                         : error.isEmpty() ? QStringLiteral("the connection ended")
                                           : error;
    sink.onClosed(kindOf(error), text.toStdString());
}

void WebSocketTransport::send(const std::string& message)
{
    if (m_socket && m_socket->isValid())
        m_socket->sendBinaryMessage(QByteArray(message.data(), static_cast<qsizetype>(message.size())));
}

void WebSocketTransport::abort()
{
    if (!m_socket)
        return;
    m_socket->disconnect(this);
    m_socket->abort();
    // It may be the sender of the signal being handled.
    m_socket.release()->deleteLater();
}

} // namespace penstock::gui
