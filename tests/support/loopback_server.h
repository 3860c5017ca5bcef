// SPDX-License-Identifier: GPL-3.0-or-later
// LoopbackServer: a TCP server on 127.0.0.1 that says what a test scripts, byte by byte; for what no real
// server can be made to do at will (cut, hang, lie). One thread for each connection, ended and joined by the
// destructor.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <thread>

namespace penstock::test {

class LoopbackConnection {
public:
    explicit LoopbackConnection(int socket, int number) : m_socket(socket), m_number(number) {}
    // What was sent up to and with the blank line; empty when the peer is gone.
    [[nodiscard]] std::string readHead();
    [[nodiscard]] std::string readBytes(std::size_t count); // shorter when the peer is gone
    void send(std::string_view bytes) const;
    void waitForPeerToLeave();
    // Says that nothing more will come, and goes on reading nothing: as a relay before a server that died.
    void finishSending() const;
    void waitForError() const; // until the peer has given the connection up, without reading
    [[nodiscard]] int number() const { return m_number; } // from 1, in the order of arrival

private:
    bool readMore();

    int m_socket;
    int m_number;
    std::string m_read;
};

class LoopbackServer {
public:
    // The connection is closed when serve returns.
    explicit LoopbackServer(std::function<void(LoopbackConnection&)> serve);
    ~LoopbackServer();
    LoopbackServer(const LoopbackServer&) = delete;
    LoopbackServer& operator=(const LoopbackServer&) = delete;

    [[nodiscard]] std::string url(std::string_view path = "/") const; // http://127.0.0.1:PORT/…
    [[nodiscard]] int connections() const { return m_connections; }

private:
    void run();

    std::function<void(LoopbackConnection&)> m_serve;
    int m_listener;
    int m_stop; // an eventfd
    int m_port = 0;
    std::atomic<int> m_connections{0};
    std::list<int> m_sockets; // of the accepting thread, then of the destructor
    std::list<std::thread> m_threads;
    std::thread m_thread;
};

} // namespace penstock::test
