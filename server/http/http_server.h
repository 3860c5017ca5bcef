// SPDX-License-Identifier: GPL-3.0-or-later
// HttpServer: HTTP over the connections the listener passes on. Bounds every request before it is read, identifies
// its sender, finds the route, asks the Gateway and renders the answer. Lives on a Qt loop. Requests are answered in
// order on each connection; a client that leaves early costs nothing more.
#pragma once

#include "server/auth/authenticator.h"
#include "server/http/gateway.h"
#include "server/http/hydra_gateway.h"
#include "server/transfer/worker_pool.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/loop.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

class QTcpSocket;

namespace penstock::transfer {
class TransferDesk;
}

namespace penstock::http {

struct HttpOptions {
    std::chrono::milliseconds headTime{10'000};  // for each request's head, from its first byte
    std::chrono::milliseconds bodyTime{30'000};  // for each body; for each piece of one that is a stream
    std::chrono::milliseconds idleTime{75'000};  // between requests
    std::uint32_t maxConnections = 2'000;
    std::string storeDir = "/nix/store";
    transfer::PoolSize senders{32, 64}; // streamed answers at once, and how many wait for their turn
};

struct HttpParts { // all outlive the server
    Loop& loop;    // the one it lives on
    const Clock& clock;
    auth::Authenticator& authenticator;
    Gateway& gateway;
    transfer::TransferDesk* desk = nullptr; // null: no outputs are kept here
    HydraGateway* hydra = nullptr; // null: without the routes of Hydra's runner
};

class HttpServer final {
public:
    HttpServer(HttpParts parts, HttpOptions options);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // Ownership passes. The first request may be in the socket's buffer already.
    void accept(QTcpSocket* socket, auth::PeerAddress peer);
    // Ends idle connections now, others after their answer.
    void stop();

private:
    class Impl;
    std::unique_ptr<Impl> m_impl;
};

} // namespace penstock::http
