// SPDX-License-Identifier: GPL-3.0-or-later
// A server's /monitor end on a real WebSocket, told by a test what to answer. Lives in the test's event loop.
#pragma once

#include "proto/monitor.pb.h"
#include "shared/protocol/frame.h"

#include <functional>
#include <memory>
#include <QWebSocket>
#include <QWebSocketServer>
#include <vector>

namespace penstock::client {

class FakeMonitor final : private protocol::FrameSink {
public:
    using Answer = std::function<void(FakeMonitor&, const monitor::ClientMessage&)>;
    explicit FakeMonitor(Answer answer);

    [[nodiscard]] std::uint16_t port() const { return m_server.serverPort(); }
    void send(const monitor::FeedMessage& message);
    void sendBytes(const std::string& bytes);
    // Without a closing handshake, as when a cable is cut.
    void drop();
    [[nodiscard]] int connections() const { return m_connections; }

    // The usual answers.
    void sendJob(std::uint64_t watch, std::uint64_t job, monitor::JobState state, std::uint64_t attempt);
    void sendLog(std::uint64_t watch, std::uint64_t attempt, std::uint64_t offset, const std::string& text,
                 bool ended);
    void sendEnd(std::uint64_t watch);

private:
    void onFrame(ByteView payload) override;

    QWebSocketServer m_server;
    Answer m_answer;
    std::unique_ptr<QWebSocket> m_socket;
    protocol::FrameDecoder m_decoder;
    int m_connections = 0;
};

} // namespace penstock::client
