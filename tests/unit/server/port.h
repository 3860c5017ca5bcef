// SPDX-License-Identifier: GPL-3.0-or-later
// Port: a listener with HTTP behind it on a free port, and raw clients for it, all on the test's own event loop.
#pragma once

#include "server/http/http_server.h"
#include "server/net/listener.h"
#include "shared/qt/qt_loop.h"
#include "tests/unit/server/fake_gateway.h"

#include <QCoreApplication>
#include <QElapsedTimer>
#include <QTcpSocket>
#include <QWebSocket>
#include <gtest/gtest.h>
#include <memory>

namespace penstock::test {

// Qt wants one application object; it lives as long as the program.
void needQt();

// Runs the loop until the condition holds; false after five seconds.
template <class Condition> bool waitUntil(Condition condition)
{
    QElapsedTimer timer;
    timer.start();
    while (!condition()) {
        if (timer.elapsed() > 5'000)
            return false;
        QCoreApplication::processEvents(QEventLoop::WaitForMoreEvents | QEventLoop::AllEvents, 20);
        // Without exec() Qt leaves what was deleted later from outside the loop.
        QCoreApplication::sendPostedEvents(nullptr, QEvent::DeferredDelete);
    }
    return true;
}

class Port final : public net::ConnectionSink {
public:
    explicit Port(net::ListenerOptions listen = {}, http::HttpOptions http = {}, auth::Mode mode = auth::Mode::Local,
                  transfer::TransferDesk* desk = nullptr);
    ~Port() override;

    void onLink(QWebSocket* socket, net::PeerInfo peer) override;
    void onMonitor(QWebSocket* socket, net::PeerInfo peer) override;
    void onHttp(QTcpSocket* socket, auth::PeerAddress peer) override;

    [[nodiscard]] std::uint16_t number() const { return listener.port(); }

    qt::QtLoop loop;
    SystemClock clock;
    NullLogger logger;
    FakeGateway gateway;
    FakeTokens tokens;
    auth::Authenticator authenticator;
    http::HttpServer server;
    net::Listener listener;
    std::vector<std::unique_ptr<QWebSocket>> links;
    std::vector<std::unique_ptr<QWebSocket>> monitors;
    std::vector<net::PeerInfo> peers;
};

// A client that sends bytes as they are.
class RawClient final {
public:
    explicit RawClient(const Port& port);

    void send(std::string_view bytes);
    // One whole answer (head and body by its Content-Length); empty when the connection ends first or time runs out.
    [[nodiscard]] std::string receive();
    [[nodiscard]] bool ended(); // waits for the other side to close

    QTcpSocket socket;

private:
    std::string m_received;
};

[[nodiscard]] std::string get(std::string_view path, std::string_view more = {});
[[nodiscard]] std::string post(std::string_view path, std::string_view body, std::string_view more = {});
[[nodiscard]] std::string bodyOf(const std::string& answer);

} // namespace penstock::test
