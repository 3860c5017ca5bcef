// SPDX-License-Identifier: GPL-3.0-or-later
// Connection: one HTTP connection. Reads a request, has it answered, writes the answer, and only then reads the next:
// what a peer sends meanwhile stays in the kernel. A body that its route takes as a stream is handed on while it
// comes, an answer that is a stream is sent while it is made: neither is ever whole in memory. Bounded in time by
// deadlines that its owner checks. Qt loop.
#pragma once

#include "server/auth/identity.h"
#include "server/http/application.h"
#include "server/http/body_pipe.h"
#include "server/http/http_server.h"
#include "server/http/request_reader.h"
#include "server/transfer/worker_pool.h"

#include <QObject>
#include <QSslSocket>
#include <QTcpSocket>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

namespace penstock::http {

// A streamed body that moves less in the time it is given is taken as stalled.
inline constexpr std::uint64_t kLeastProgress = 4U << 10U;

// What the connections of a server share; outlives them.
struct ConnectionEnvironment {
    Application& application;
    const HttpOptions& options;
    const Clock& clock;
    Loop& loop;
    transfer::WorkerPool& senders; // threads for streamed answers
};

class Connection final : public QObject {
    Q_OBJECT
public:
    // Takes the socket over. Ends itself (deleteLater) when the connection is over.
    Connection(QTcpSocket* socket, auth::PeerAddress peer, const ConnectionEnvironment& environment);
    ~Connection() override;

    void start();
    void checkDeadline(Instant now);
    void stop(); // after the answer that is being made

private:
    enum class State : std::uint8_t { Idle, Reading, Receiving, Answering, Sending, Writing, Lingering };

    // A body on its way in.
    struct Incoming {
        std::shared_ptr<BodyPipe> pipe;
        std::string piece; // that the pipe had no room for
        bool wanted = false;
        bool ended = false;
    };
    // An answer on its way out.
    struct Outgoing {
        std::shared_ptr<PiecePipe> pipe;
        Reply reply; // its head, until that is sent
        bool headSent = false;
        bool chunked = false;
        std::uint64_t sent = 0;          // bytes of the body handed to the socket
        std::deque<std::uint64_t> marks; // m_enqueued at the end of each piece that has not left
    };

    void onReadyRead();
    void onWritten();
    void readMore();
    void advance();
    void answer();
    [[nodiscard]] Respond responder();
    void answered(std::uint64_t request, Reply reply, bool close, bool headOnly);
    void refuse(unsigned status, std::string_view reason);
    void refuse(const Reply& reply);
    void enter(State state);

    void receive();
    void onWanted();
    void pump();
    void send(Reply reply);
    void sendHead();
    void onPiece(std::uint64_t request, const std::string& piece);
    void onProduced(std::uint64_t request, const Result<void>& result);
    void onSent();
    void writeOut(std::string_view bytes);
    [[nodiscard]] qint64 unsent() const;
    void progress(std::uint64_t bytes, std::chrono::milliseconds time);

    QTcpSocket* m_socket;
    auth::PeerAddress m_peer;
    const ConnectionEnvironment& m_environment;
    RequestReader m_reader;
    State m_state = State::Idle;
    Instant m_deadline;
    bool m_bodyBegun = false;
    bool m_close = false;           // after this answer
    std::uint64_t m_lingered = 0;   // bytes thrown away after a refusal
    std::uint64_t m_request = 0;    // number of the request being answered
    std::uint64_t m_moved = 0;      // bytes of a streamed body since its deadline was last put off
    std::uint64_t m_enqueued = 0;   // bytes ever given to the socket
    std::optional<Incoming> m_incoming;
    std::optional<Outgoing> m_outgoing;
};

} // namespace penstock::http
