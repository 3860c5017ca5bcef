// SPDX-License-Identifier: GPL-3.0-or-later
// Connection: one HTTP connection. Reads a request, has it answered, writes the answer, and only then reads the next:
// what a peer sends meanwhile stays in the kernel. Bounded in time by deadlines that its owner checks. Qt loop.
#pragma once

#include "server/auth/identity.h"
#include "server/http/application.h"
#include "server/http/http_server.h"
#include "server/http/request_reader.h"

#include <QObject>
#include <QTcpSocket>

namespace penstock::http {

class Connection final : public QObject {
    Q_OBJECT
public:
    // Takes the socket over. Ends itself (deleteLater) when the connection is over.
    Connection(QTcpSocket* socket, auth::PeerAddress peer, Application& application, const HttpOptions& options,
               const Clock& clock);

    void start();
    void checkDeadline(Instant now);
    void stop(); // after the answer that is being made

private:
    enum class State : std::uint8_t { Idle, Reading, Answering, Writing, Lingering };

    void onReadyRead();
    void onWritten();
    void readMore();
    void advance();
    void answer();
    void answered(std::uint64_t request, const Reply& reply, bool close, bool headOnly);
    void refuse(unsigned status, std::string_view reason);
    void enter(State state);

    QTcpSocket* m_socket;
    auth::PeerAddress m_peer;
    Application& m_application;
    HttpOptions m_options;
    const Clock& m_clock;
    RequestReader m_reader;
    State m_state = State::Idle;
    Instant m_deadline;
    bool m_bodyBegun = false;
    bool m_close = false;           // after this answer
    std::uint64_t m_lingered = 0;   // bytes thrown away after a refusal
    std::uint64_t m_request = 0;    // number of the request being answered
};

} // namespace penstock::http
