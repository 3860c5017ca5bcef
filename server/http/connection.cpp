// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/connection.h"

#include <QByteArray>
#include <QPointer>

#include <utility>

namespace penstock::http {
namespace {

constexpr qint64 kReadBuffer = 64 << 10;
constexpr qint64 kReadPiece = 64 << 10;
// A peer that has been refused may still be sending. Closing at once would reset the connection and destroy the
// answer, so its bytes are thrown away for a while.
constexpr std::chrono::seconds kLingerTime{2};
constexpr std::uint64_t kLingerBytes = 4U << 20U;
constexpr std::chrono::seconds kWriteTime{60};
constexpr std::chrono::minutes kAnswerTime{5};

} // namespace

Connection::Connection(QTcpSocket* socket, auth::PeerAddress peer, Application& application,
                       const HttpOptions& options, const Clock& clock)
    : m_socket(socket), m_peer(std::move(peer)), m_application(application), m_options(options), m_clock(clock)
{
    m_socket->setParent(this);
    m_socket->setReadBufferSize(kReadBuffer);
    m_socket->setSocketOption(QAbstractSocket::LowDelayOption, 1);
    connect(m_socket, &QTcpSocket::readyRead, this, &Connection::onReadyRead);
    connect(m_socket, &QTcpSocket::bytesWritten, this, &Connection::onWritten);
    connect(m_socket, &QTcpSocket::disconnected, this, &QObject::deleteLater);
    enter(State::Idle);
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
    const auto now = m_clock.now().mono;
    switch (state) {
    case State::Idle: m_deadline = now + m_options.idleTime; break;
    case State::Reading: m_deadline = now + m_options.headTime; break;
    case State::Answering: m_deadline = now + kAnswerTime; break;
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
    case State::Answering:
        // The part that has the answer has lost the question; the peer learns that it may ask again.
        return refuse(503, "the answer took too long; ask again");
    case State::Idle:
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
        if (m_lingered > kLingerBytes)
            m_socket->abort();
        return;
    }
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
    switch (m_reader.state()) {
    case RequestReader::State::Head: break;
    case RequestReader::State::Body:
        if (!m_bodyBegun) {
            m_bodyBegun = true;
            m_deadline = m_clock.now().mono + m_options.bodyTime;
        }
        if (m_reader.takeContinueWanted())
            m_socket->write("HTTP/1.1 100 Continue\r\n\r\n");
        break;
    case RequestReader::State::Complete: answer(); break;
    case RequestReader::State::Failed:
        m_application.countRefused(m_reader.status());
        refuse(m_reader.status(), m_reader.reason());
        break;
    }
}

void Connection::answer()
{
    enter(State::Answering);
    const auto request = ++m_request;
    const bool close = m_close || !m_reader.head().keepsAlive();
    const bool headOnly = m_reader.head().method == "HEAD";
    m_application.handle(m_reader.head(), m_reader.body(), m_peer,
                         [weak = QPointer<Connection>(this), request, close, headOnly](const Reply& reply) {
                             // The connection may be gone by now.
                             if (auto* self = weak.data(); self != nullptr)
                                 self->answered(request, reply, close, headOnly);
                         });
}

void Connection::answered(std::uint64_t request, const Reply& reply, bool close, bool headOnly)
{
    if (m_state != State::Answering || m_request != request)
        return; // it has given up waiting
    m_close = m_close || close;
    enter(State::Writing);
    const auto bytes = renderReply(reply, m_close, headOnly);
    m_socket->write(bytes.data(), static_cast<qint64>(bytes.size()));
}

void Connection::onWritten()
{
    if (m_state != State::Writing || m_socket->bytesToWrite() > 0)
        return;
    if (m_close)
        return m_socket->disconnectFromHost();
    enter(State::Idle);
    m_reader.next();
    advance();
    readMore();
}

void Connection::refuse(unsigned status, std::string_view reason)
{
    enter(State::Lingering);
    const auto bytes = renderReply(problem(status, reason), true, false);
    m_socket->write(bytes.data(), static_cast<qint64>(bytes.size()));
    m_socket->flush();
    onReadyRead();
}

} // namespace penstock::http
