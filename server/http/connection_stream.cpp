// SPDX-License-Identifier: GPL-3.0-or-later
// The streams of a connection: a request's body handed on while it comes, an answer sent while it is made.
#include "server/http/connection.h"

#include "server/transfer/worker_pool.h"

#include <QPointer>

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::http {
namespace {

constexpr qint64 kReadPiece = static_cast<qint64>(kPipePieceBytes);
constexpr std::chrono::minutes kTakerTime{60};  // for whoever takes a body to take one piece of it
constexpr std::chrono::minutes kMakerTime{10};  // for whoever makes an answer to make one piece of it
constexpr std::chrono::seconds kStallTime{60};  // for a peer to take what was sent

} // namespace

// Puts the deadline off, but not for a trickle: that would keep a thread for as long as a peer likes.
void Connection::progress(std::uint64_t bytes, std::chrono::milliseconds time)
{
    m_moved += bytes;
    if (m_moved < kLeastProgress)
        return;
    m_moved = 0;
    m_deadline = m_environment.clock.now().mono + time;
}

// ---------------------------------------------------------------------------------------------------------- in

void Connection::receive()
{
    enter(State::Receiving);
    auto respond = responder();
    const auto request = m_request;
    auto pipe = std::make_shared<BodyPipe>(m_environment.loop, [weak = QPointer<Connection>(this), request] {
        auto* self = weak.data();
        if (self == nullptr || self->m_request != request || !self->m_incoming)
            return;
        if (self->m_state == State::Receiving)
            self->onWanted();
    });
    m_incoming = Incoming{pipe, {}, false, false};
    // Nobody reads until the route wants it: first it says who may.
    m_deadline = m_environment.clock.now().mono + kTakerTime;
    m_environment.application.receive(m_reader.head(), std::move(pipe), m_peer, std::move(respond));
}

void Connection::onWanted()
{
    if (!std::exchange(m_incoming->wanted, true)) {
        m_moved = 0;
        m_deadline = m_environment.clock.now().mono + m_environment.options.bodyTime;
    }
    pump();
}

void Connection::pump()
{
    while (m_state == State::Receiving && m_incoming->wanted) {
        auto& incoming = *m_incoming;
        if (incoming.piece.empty())
            incoming.piece = m_reader.takeBody();
        if (!incoming.piece.empty()) {
            if (!incoming.pipe->offer(incoming.piece)) {
                // Now it is not the peer that is waited for.
                incoming.wanted = false;
                m_deadline = m_environment.clock.now().mono + kTakerTime;
                return;
            }
            incoming.piece.clear();
            continue;
        }
        if (m_reader.state() == RequestReader::State::Complete) {
            incoming.ended = true;
            incoming.pipe->end();
            return enter(State::Answering);
        }
        if (m_reader.state() == RequestReader::State::Failed) {
            incoming.pipe->abandon(m_reader.reason());
            m_environment.application.countRefused(m_reader.status());
            return refuse(m_reader.status(), m_reader.reason());
        }
        if (m_reader.takeContinueWanted())
            writeOut("HTTP/1.1 100 Continue\r\n\r\n");
        if (m_socket->bytesAvailable() == 0)
            return;
        const QByteArray bytes = m_socket->read(kReadPiece);
        m_reader.push(std::string_view(bytes.constData(), static_cast<std::size_t>(bytes.size())));
        progress(static_cast<std::uint64_t>(bytes.size()), m_environment.options.bodyTime);
    }
}

// --------------------------------------------------------------------------------------------------------- out

void Connection::send(Reply reply)
{
    enter(State::Sending);
    const auto request = m_request;
    const QPointer<Connection> weak(this);
    auto pipe = std::make_shared<PiecePipe>(m_environment.loop, [weak, request](const std::string& piece) {
        if (auto* self = weak.data(); self != nullptr)
            self->onPiece(request, piece);
    });
    auto task = [pipe, stream = reply.stream, weak, request, &loop = m_environment.loop] {
        auto result = stream->produce([&pipe](std::string_view bytes) { return pipe->write(bytes); });
        if (result)
            result = pipe->flush();
        loop.post([weak, request, result = std::move(result)] {
            if (auto* self = weak.data(); self != nullptr)
                self->onProduced(request, result);
        });
    };
    if (!reply.stream->size && m_reader.head().minorVersion == 0)
        m_close = true; // its end is the connection's
    m_outgoing = Outgoing{std::move(pipe), std::move(reply), false, false, 0, {}};
    m_outgoing->chunked = !m_outgoing->reply.stream->size && m_reader.head().minorVersion > 0;
    if (m_environment.senders.run(std::move(task)))
        return;
    m_outgoing.reset();
    enter(State::Writing);
    m_environment.application.countRefused(503);
    writeOut(renderReply(problem(503, "as many transfers as the server allows are under way; try again"), m_close,
                         false));
}

void Connection::sendHead()
{
    if (std::exchange(m_outgoing->headSent, true))
        return;
    writeOut(renderHead(m_outgoing->reply, m_close, m_outgoing->chunked));
    m_deadline = m_environment.clock.now().mono + kStallTime;
}

void Connection::onPiece(std::uint64_t request, const std::string& piece)
{
    if (m_state != State::Sending || m_request != request)
        return;
    auto& outgoing = *m_outgoing;
    const auto& size = outgoing.reply.stream->size;
    if (size && piece.size() > *size - outgoing.sent) {
        m_socket->abort(); // more than was announced would be read as the next answer
        return deleteLater();
    }
    sendHead();
    if (outgoing.marks.empty())
        m_deadline = m_environment.clock.now().mono + kStallTime; // from now on the peer is waited for
    if (outgoing.chunked)
        writeOut(fmt::format("{:x}\r\n", piece.size()));
    writeOut(piece);
    if (outgoing.chunked)
        writeOut("\r\n");
    outgoing.sent += piece.size();
    outgoing.marks.push_back(m_enqueued);
}

void Connection::onSent()
{
    const auto left = m_enqueued - std::min(m_enqueued, static_cast<std::uint64_t>(unsent()));
    auto& marks = m_outgoing->marks;
    while (!marks.empty() && marks.front() <= left) {
        marks.pop_front();
        m_outgoing->pipe->took();
        progress(kLeastProgress, kStallTime);
    }
    if (marks.empty())
        m_deadline = m_environment.clock.now().mono + kMakerTime;
}

void Connection::onProduced(std::uint64_t request, const Result<void>& result)
{
    if (m_state != State::Sending || m_request != request)
        return;
    auto& outgoing = *m_outgoing;
    const auto& size = outgoing.reply.stream->size;
    if (!result && !outgoing.headSent) {
        enter(State::Writing);
        return writeOut(renderReply(problem(result.error()), m_close, false));
    }
    if (!result || (size && outgoing.sent != *size)) {
        m_socket->abort(); // the peer must not take a part for the whole
        return deleteLater();
    }
    sendHead();
    if (outgoing.chunked)
        writeOut("0\r\n\r\n");
    enter(State::Writing);
    onWritten(); // all may have left already
}

} // namespace penstock::http
