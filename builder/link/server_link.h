// SPDX-License-Identifier: GPL-3.0-or-later
// ServerLink: the connection to the server, made again for ever. Tries the URLs in turn with a growing wait, says
// Hello, keeps the heartbeat, hands on what the server says, and sends what it is given, many messages to a WebSocket
// message. Decides nothing about attempts. Lives on the main loop; callbacks are called there.
// What is unsent when a connection ends is dropped: the core and the logs say it again when the next one is up.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/protocol/envelope.h"
#include "shared/protocol/session.h"

#include <QObject>
#include <QTimer>
#include <functional>
#include <optional>
#include <string>
#include <vector>

class QWebSocket;

namespace penstock::builder {

// Above this many bytes in the socket nothing is added to it.
inline constexpr qint64 kMaxSocketBytes = 8LL << 20U;
// Above this many bytes waiting the connection is given up: the peer does not read.
inline constexpr std::size_t kMaxUnsentBytes = 64U << 20U;
inline constexpr std::size_t kMaxBatchBytes = 1U << 20U; // of one WebSocket message, but for a single large frame

struct LinkSettings {
    std::vector<std::string> urls; // ws:// or wss://, at least one
    std::string token;             // empty: none
};

struct LinkEvents {
    std::function<protocol::Hello()> hello;
    std::function<void(const protocol::Welcome&)> up;
    std::function<void(protocol::ServerMessage)> message; // neither Welcome nor Goodbye
    std::function<void()> down;                           // after each up, once
    std::function<protocol::Report()> report;             // time and number are filled in here
};

// The URL with the path /link. Invalid: no ws:// or wss:// URL with a host.
[[nodiscard]] Result<std::string> linkUrl(const std::string& url);

class ServerLink final : public QObject, private protocol::FrameSink {
    Q_OBJECT
public:
    ServerLink(LinkSettings settings, LinkEvents events, Logger& logger, QObject* parent = nullptr);
    ~ServerLink() override;

    void start();
    // Nothing happens while the link is down.
    void send(const protocol::BuilderMessage& message);
    // A report ahead of the heartbeat; the next heartbeat counts from it. Nothing while the link is down.
    void report();
    // Says goodbye and stays away.
    void stop(const std::string& text);

    [[nodiscard]] bool isUp() const { return m_up; }
    [[nodiscard]] const std::string& url() const { return m_url; } // of the last connection
    [[nodiscard]] std::uint64_t unknownMessages() const { return m_unknown; }

private:
    void connectNext();
    void onConnected();
    void onBytes(const QByteArray& bytes);
    void onFrame(ByteView payload) override;
    void onMessage(protocol::ServerMessage message);
    void onWelcome(const protocol::Welcome& welcome);
    void onGoodbye(protocol::Goodbye goodbye);
    void onTick();
    void armTick();
    void append(const protocol::BuilderMessage& message);
    void flush();
    void scheduleFlush();
    void sendReport();
    // Ends this connection, if any, and plans the next one.
    void lost(const std::string& why);
    void dropSocket();

    LinkSettings m_settings;
    LinkEvents m_events;
    Logger& m_logger;
    QWebSocket* m_socket = nullptr; // child
    QTimer m_retry;
    QTimer m_tick;
    QTimer m_flush;
    std::size_t m_nextUrl = 0;
    std::string m_url; // of this connection
    std::uint32_t m_failures = 0;
    bool m_up = false;
    bool m_stopped = false;
    std::optional<protocol::Session> m_session;
    std::optional<Instant> m_connectBy; // while a connection is being made
    std::optional<protocol::Goodbye> m_goodbye;
    protocol::FrameDecoder m_decoder;
    std::string m_out;              // frames not yet given to the socket
    std::vector<std::size_t> m_ends; // where the frames in m_out end
    std::uint64_t m_unknown = 0;
};

} // namespace penstock::builder
