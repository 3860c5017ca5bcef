// SPDX-License-Identifier: GPL-3.0-or-later
// Listener: one listening address. Accepts with limits, looks at the head of the first request without taking it,
// identifies the peer, and passes the connection on: WebSocket upgrades of /link and /monitor as open WebSockets,
// everything else to HTTP. Heads that are too long, too slow or malformed end there, with an answer. Lives on a Qt
// loop; sinks are called on it. listen() fails with Invalid (address), Denied (TLS files) or Unavailable (in use).
#pragma once

#include "server/auth/authenticator.h"
#include "server/net/listen_address.h"
#include "shared/base/log.h"
#include "shared/base/result.h"

#include <QObject>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

class QWebSocket;
class QTcpSocket;

namespace penstock::net {

struct PeerInfo {
    auth::PeerAddress address;
    auth::Identity identity; // checked, and allowed to use the path
    std::string path;        // "/link"
};

struct ConnectionSink {
    virtual ~ConnectionSink() = default;
    // Ownership of the open socket passes; end it by deleteLater().
    virtual void onLink(QWebSocket* socket, PeerInfo peer) = 0;
    virtual void onMonitor(QWebSocket* socket, PeerInfo peer) = 0;
    // A connection whose first request is still unread; ownership passes.
    virtual void onHttp(QTcpSocket* socket, auth::PeerAddress peer) = 0;
};

struct TlsFiles { // empty: no TLS
    std::string certificate;
    std::string key;
    std::string clientAuthority;
};

struct ListenerOptions {
    std::uint32_t maxConnections = 10'000; // of this listener
    std::uint32_t maxPerHost = 2'000;
    std::uint32_t maxUnidentified = 1'000; // whose head is not complete yet
    std::chrono::milliseconds headTime{10'000};
    std::uint64_t maxMessageBytes = 16U << 20U; // of a WebSocket message and frame
    TlsFiles tls;
};

struct ListenerCounters {
    std::uint64_t connections = 0; // now
    std::uint64_t accepted = 0;
    std::uint64_t overLimit = 0;
    std::uint64_t malformed = 0;
    std::uint64_t headTimeouts = 0;
    std::uint64_t denied = 0;
    std::uint64_t links = 0;
    std::uint64_t monitors = 0;
    std::uint64_t http = 0;
};

class Listener final {
public:
    Listener(auth::Authenticator& authenticator, ConnectionSink& sink, Logger& logger, ListenerOptions options);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    [[nodiscard]] Result<void> listen(const ListenAddress& address);
    // What was bound, with the real port: "127.0.0.1:41231", "[::1]:7780", "unix:/run/x".
    [[nodiscard]] std::string boundAddress() const;
    [[nodiscard]] std::uint16_t port() const; // 0 for Unix sockets
    // Reads the TLS files anew, for connections from now on. On an error the former ones stay in force.
    [[nodiscard]] Result<void> reloadTls();
    void close();                             // accepts no more; open connections live on
    [[nodiscard]] ListenerCounters counters() const;

private:
    class Impl;
    std::unique_ptr<Impl> m_impl;
};

} // namespace penstock::net
