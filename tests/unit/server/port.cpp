// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/server/port.h"

#include <fmt/format.h>

#include <cstdlib>

namespace penstock::test {

void needQt()
{
    static int argc = 1;
    static char name[] = "test";
    static char* argv[] = {name, nullptr};
    static QCoreApplication application(argc, argv);
}

Port::Port(net::ListenerOptions listen, http::HttpOptions http, auth::Mode mode, transfer::TransferDesk* desk)
    : loop((needQt(), nullptr)), authenticator(clock, tokens, mode),
      server({loop, clock, authenticator, gateway, desk}, std::move(http)),
      listener(authenticator, *this, logger, std::move(listen))
{
    const auto bound = listener.listen(*net::ListenAddress::parse("127.0.0.1:0"));
    EXPECT_TRUE(bound) << bound.error().message;
}

Port::~Port() = default;

void Port::onLink(QWebSocket* socket, net::PeerInfo peer)
{
    links.emplace_back(socket);
    peers.push_back(std::move(peer));
}

void Port::onMonitor(QWebSocket* socket, net::PeerInfo peer)
{
    monitors.emplace_back(socket);
    peers.push_back(std::move(peer));
}

void Port::onHttp(QTcpSocket* socket, auth::PeerAddress peer)
{
    server.accept(socket, std::move(peer));
}

RawClient::RawClient(const Port& port)
{
    socket.connectToHost(QStringLiteral("127.0.0.1"), port.number());
    // A server that is full closes at once, so connected is a state that may be over when we look.
    EXPECT_TRUE(socket.waitForConnected(5'000));
}

void RawClient::send(std::string_view bytes)
{
    socket.write(bytes.data(), static_cast<qint64>(bytes.size()));
}

std::string RawClient::receive()
{
    std::string answer;
    const auto whole = [&] {
        m_received += socket.readAll().toStdString();
        const auto head = m_received.find("\r\n\r\n");
        const auto field = m_received.find("Content-Length: ");
        if (head == std::string::npos || field > head)
            return false;
        const auto size = head + 4 + std::strtoull(m_received.c_str() + field + 16, nullptr, 10);
        if (m_received.size() < size)
            return false;
        answer = m_received.substr(0, size);
        m_received.erase(0, size);
        return true;
    };
    bool done = false;
    if (!waitUntil([&] {
            done = whole();
            return done || socket.state() == QAbstractSocket::UnconnectedState;
        }))
        return {};
    return answer;
}

bool RawClient::ended()
{
    return waitUntil([&] { return socket.state() == QAbstractSocket::UnconnectedState; });
}

std::string get(std::string_view path, std::string_view more)
{
    return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", path, more);
}

std::string post(std::string_view path, std::string_view body, std::string_view more)
{
    return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                       "Content-Length: {}\r\n{}\r\n{}",
                       path, body.size(), more, body);
}

std::string bodyOf(const std::string& answer)
{
    const auto end = answer.find("\r\n\r\n");
    return end == std::string::npos ? std::string() : answer.substr(end + 4);
}

} // namespace penstock::test
