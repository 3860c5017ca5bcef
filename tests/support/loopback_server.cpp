// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/loopback_server.h"

#include <array>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace penstock::test {

bool LoopbackConnection::readMore()
{
    std::array<char, 64 * 1024> bytes{};
    const ssize_t got = ::recv(m_socket, bytes.data(), bytes.size(), 0);
    if (got <= 0)
        return false;
    m_read.append(bytes.data(), static_cast<std::size_t>(got));
    return true;
}

std::string LoopbackConnection::readHead()
{
    std::size_t end = m_read.find("\r\n\r\n");
    while (end == std::string::npos) {
        if (!readMore())
            return {};
        end = m_read.find("\r\n\r\n");
    }
    std::string head = m_read.substr(0, end + 4);
    m_read.erase(0, end + 4);
    return head;
}

std::string LoopbackConnection::readBytes(std::size_t count)
{
    while (m_read.size() < count && readMore()) {
    }
    std::string bytes = m_read.substr(0, count);
    m_read.erase(0, bytes.size());
    return bytes;
}

void LoopbackConnection::send(std::string_view bytes) const
{
    while (!bytes.empty()) {
        const ssize_t sent = ::send(m_socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0)
            return; // the peer is gone, which the test sees from its side
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
}

void LoopbackConnection::waitForPeerToLeave()
{
    while (readMore())
        m_read.clear();
}

void LoopbackConnection::finishSending() const
{
    ::shutdown(m_socket, SHUT_WR);
}

void LoopbackConnection::waitForError() const
{
    pollfd waited{m_socket, POLLRDHUP, 0};
    ::poll(&waited, 1, -1);
}

LoopbackServer::LoopbackServer(std::function<void(LoopbackConnection&)> serve)
    : m_serve(std::move(serve)),
      m_listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      m_stop(::eventfd(0, EFD_CLOEXEC))
{
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(m_listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(m_listener, 16), 0);
    EXPECT_EQ(::getsockname(m_listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    m_port = ntohs(address.sin_port);
    m_thread = std::thread([this] { run(); });
}

LoopbackServer::~LoopbackServer()
{
    ::eventfd_write(m_stop, 1);
    m_thread.join();
    for (const int socket : m_sockets)
        ::shutdown(socket, SHUT_RDWR);
    for (std::thread& thread : m_threads)
        thread.join();
    for (const int socket : m_sockets)
        ::close(socket);
    ::close(m_listener);
    ::close(m_stop);
}

std::string LoopbackServer::url(std::string_view path) const
{
    return fmt::format("http://127.0.0.1:{}{}", m_port, path);
}

void LoopbackServer::run()
{
    for (;;) {
        std::array<pollfd, 2> waited{{{m_stop, POLLIN, 0}, {m_listener, POLLIN, 0}}};
        ::poll(waited.data(), waited.size(), -1);
        if (waited[0].revents != 0)
            return;
        const int socket = ::accept4(m_listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0)
            continue;
        m_sockets.push_back(socket);
        m_threads.emplace_back([this, socket, number = ++m_connections] {
            LoopbackConnection connection(socket, number);
            m_serve(connection);
            ::shutdown(socket,
                       SHUT_RDWR); // closed by the destructor, so that the number is not used anew meanwhile
        });
    }
}

} // namespace penstock::test
