// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/connection.h"

#include <QByteArray>
#include <QPointer>

#include <fmt/format.h>
#include <utility>

namespace penstock::http {
namespace {

constexpr qint64 kReadBuffer = 64 << 10;
constexpr qint64 kReadPiece = 64 << 10;
// A peer that has been refused may still be sending. Closing at once would reset the connection and destroy the
// answer, so its bytes are thrown away for a while.
constexpr std::chrono::seconds kLingerTime{2};
constexpr std::uint64_t kLingerBytes = 4U << 20U;
constexpr std::uint64_t kLingerStreamBytes = 64U << 20U; // of a body that was allowed to be long
constexpr std::chrono::seconds kWriteTime{60};
constexpr std::chrono::minutes kAnswerTime{5};
constexpr std::chrono::minutes kSlowAnswerTime{60}; // of requests that move much

} // namespace

Connection::Connection(QTcpSocket* socket, auth::PeerAddress peer, const ConnectionEnvironment& environment)
    : m_socket(socket), m_peer(std::move(peer)), m_environment(environment),
      m_reader([&environment](const RequestHead& head) { return environment.application.takesStream(head); })
{
    m_socket->setParent(this);
    m_socket->setReadBufferSize(kReadBuffer);
    m_socket->setSocketOption(QAbstractSocket::LowDelayOption, 1);
    connect(m_socket, &QTcpSocket::readyRead, this, &Connection::onReadyRead);
    connect(m_socket, &QTcpSocket::bytesWritten, this, &Connection::onWritten);
    if (auto* encrypted = qobject_cast<QSslSocket*>(m_socket); encrypted != nullptr)
        connect(encrypted, &QSslSocket::encryptedBytesWritten, this, &Connection::onWritten);
    connect(m_socket, &QTcpSocket::disconnected, this, &QObject::deleteLater);
    enter(State::Idle);
}

Connection::~Connection()
{
    if (m_incoming)
        m_incoming->pipe->abandon("the peer went away before its request body was complete");
    if (m_outgoing)
        m_outgoing->pipe->cancel();
}

void Connection::start()
{
    if (m_socket->state() != QAbstractSocket::ConnectedState)
        return deleteLater();
    onReadyRead();
}

void Connection::enter(State state)
{
    m_state = state;
    m_moved = 0;
    const auto now = m_environment.clock.now().mono;
    const auto& options = m_environment.options;
    switch (state) {
    case State::Idle: m_deadline = now + options.idleTime; break;
    case State::Reading: m_deadline = now + options.headTime; break;
    case State::Receiving: m_deadline = now + options.bodyTime; break;
    case State::Answering:
        m_deadline = now + (m_environment.application.isSlow(m_reader.head()) ? kSlowAnswerTime : kAnswerTime);
        break;
    case State::Sending: m_deadline = now + kAnswerTime; break; // for its first byte
    case State::Writing: m_deadline = now + kWriteTime; break;
    case State::Lingering: m_deadline = now + kLingerTime; break;
    }
}

void Connection::checkDeadline(Instant now)
{
    if (now < m_deadline)
        return;
    switch (m_state) {
    case State::Reading:
        return refuse(408, m_bodyBegun ? "the request body took too long" : "the request head took too long");
    case State::Receiving: {
        const auto reason = fmt::format("the request body stalled: fewer than {} bytes of it came within {} s; send it "
                                        "again",
                                        kLeastProgress, m_environment.options.bodyTime.count() / 1'000);
        m_incoming->pipe->abandon(reason);
        m_environment.application.countRefused(408);
        return refuse(408, reason);
    }
    case State::Answering:
        // The part that has the answer has lost the question; the peer learns that it may ask again.
        return refuse(503, "the answer took too long; ask again");
    case State::Idle:
    case State::Sending:
    case State::Writing:
    case State::Lingering: m_socket->abort(); break;
    }
    deleteLater();
}

void Connection::stop()
{
    m_close = true;
    if (m_state == State::Idle)
        m_socket->disconnectFromHost();
}

void Connection::onReadyRead()
{
    if (m_state == State::Lingering) {
        m_lingered += static_cast<std::uint64_t>(m_socket->readAll().size());
        if (m_lingered > (m_incoming ? kLingerStreamBytes : kLingerBytes))
            m_socket->abort();
        return;
    }
    if (m_state == State::Receiving)
        return pump();
    readMore();
}

void Connection::readMore()
{
    while ((m_state == State::Idle || m_state == State::Reading) && m_socket->bytesAvailable() > 0) {
        const QByteArray bytes = m_socket->read(kReadPiece);
        m_reader.push(std::string_view(bytes.constData(), static_cast<std::size_t>(bytes.size())));
        advance();
    }
}

// Looks at what the reader has made of the bytes so far.
void Connection::advance()
{
    if (m_state == State::Idle && m_reader.begun()) {
        m_bodyBegun = false;
        enter(State::Reading);
    }
    if (m_reader.streams() && m_reader.state() != RequestReader::State::Failed)
        return receive();
    switch (m_reader.state()) {
    case RequestReader::State::Head: break;
    case RequestReader::State::Body:
        if (!m_bodyBegun) {
            m_bodyBegun = true;
            m_deadline = m_environment.clock.now().mono + m_environment.options.bodyTime;
        }
        if (m_reader.takeContinueWanted())
            m_socket->write("HTTP/1.1 100 Continue\r\n\r\n");
        break;
    case RequestReader::State::Complete: answer(); break;
    case RequestReader::State::Failed:
        m_environment.application.countRefused(m_reader.status());
        refuse(m_reader.status(), m_reader.reason());
        break;
    }
}

Respond Connection::responder()
{
    const auto request = ++m_request;
    const bool close = m_close || !m_reader.head().keepsAlive();
    const bool headOnly = m_reader.head().method == "HEAD";
    return [weak = QPointer<Connection>(this), request, close, headOnly](Reply reply) {
        // The connection may be gone by now.
        if (auto* self = weak.data(); self != nullptr)
            self->answered(request, std::move(reply), close, headOnly);
    };
}

void Connection::answer()
{
    enter(State::Answering);
    auto respond = responder();
    m_environment.application.handle(m_reader.head(), m_reader.body(), m_peer, std::move(respond));
}

void Connection::answered(std::uint64_t request, Reply reply, bool close, bool headOnly)
{
    const bool early = m_state == State::Receiving;
    if ((m_state != State::Answering && !early) || m_request != request)
        return; // it has given up waiting
    m_close = m_close || close || early;
    if (early) {
        // What of the body is still to come nobody wants; the peer is told to stop by an answer and the end.
        m_incoming->pipe->abandon("the request was answered before its body was complete");
        return refuse(std::move(reply));
    }
    m_incoming.reset();
    if (reply.stream && !headOnly && reply.stream->size != 0)
        return send(std::move(reply));
    enter(State::Writing);
    writeOut(reply.stream ? renderHead(reply, m_close, m_reader.head().minorVersion > 0)
                          : renderReply(reply, m_close, headOnly));
}

qint64 Connection::unsent() const
{
    const auto* encrypted = qobject_cast<const QSslSocket*>(m_socket);
    return m_socket->bytesToWrite() + (encrypted == nullptr ? 0 : encrypted->encryptedBytesToWrite());
}

void Connection::writeOut(std::string_view bytes)
{
    m_enqueued += bytes.size();
    m_socket->write(bytes.data(), static_cast<qint64>(bytes.size()));
}

void Connection::onWritten()
{
    if (m_state == State::Sending)
        return onSent();
    if (m_state != State::Writing || unsent() > 0)
        return;
    m_outgoing.reset();
    if (m_close)
        return m_socket->disconnectFromHost();
    enter(State::Idle);
    m_reader.next();
    advance();
    readMore();
}

void Connection::refuse(unsigned status, std::string_view reason)
{
    refuse(problem(status, reason));
}

void Connection::refuse(const Reply& reply)
{
    enter(State::Lingering);
    writeOut(renderReply(reply, true, false));
    m_socket->flush();
    onReadyRead();
}

} // namespace penstock::http
