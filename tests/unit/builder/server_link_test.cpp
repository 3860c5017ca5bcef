// SPDX-License-Identifier: GPL-3.0-or-later
// The link against a real WebSocket server in the same process.
#include "builder/link/server_link.h"

#include <QCoreApplication>
#include <QEventLoop>
#include <QTimer>
#include <QWebSocket>
#include <QWebSocketServer>
#include <functional>
#include <gtest/gtest.h>
#include <memory>

namespace penstock::builder {
namespace {

using namespace std::chrono_literals;

struct SilentLogger final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

class LinkTest : public ::testing::Test, protected protocol::FrameSink {
protected:
    LinkTest() : m_server(QStringLiteral("test"), QWebSocketServer::NonSecureMode)
    {
        EXPECT_TRUE(m_server.listen(QHostAddress::LocalHost, 0));
        QObject::connect(&m_server, &QWebSocketServer::newConnection, &m_server, [this] { accept(); });
    }
    void accept()
    {
        m_socket.reset(m_server.nextPendingConnection());
        m_token = m_socket->request().rawHeader("Authorization").toStdString();
        m_path = m_socket->requestUrl().path().toStdString();
        m_decoder = protocol::FrameDecoder();
        ++m_connections;
        QObject::connect(
            m_socket.get(), &QWebSocket::binaryMessageReceived, &m_server, [this](const QByteArray& bytes) {
                m_decoder.push(bytesOf({bytes.constData(), static_cast<std::size_t>(bytes.size())}), *this);
                EXPECT_TRUE(m_decoder.atBoundary()); // whole frames only
            });
    }
    void onFrame(ByteView payload) override
    {
        auto message = protocol::decodeBuilderMessage(payload);
        ASSERT_TRUE(message && *message);
        m_got.push_back(std::move(**message));
        if (std::holds_alternative<protocol::Hello>(m_got.back()) && m_welcome)
            say(*m_welcome);
    }
    void say(const protocol::ServerMessage& message)
    {
        std::string bytes;
        ASSERT_TRUE(protocol::appendMessage(bytes, message));
        m_socket->sendBinaryMessage(QByteArray::fromStdString(bytes));
    }
    // Runs the event loop until the condition holds; false after a limit that a working link never reaches.
    bool until(const std::function<bool()>& condition)
    {
        QEventLoop loop;
        QTimer limit;
        limit.setSingleShot(true);
        QObject::connect(&limit, &QTimer::timeout, &loop, &QEventLoop::quit);
        limit.start(20'000);
        while (!condition() && limit.isActive())
            loop.processEvents(QEventLoop::WaitForMoreEvents, 50);
        return condition();
    }
    std::unique_ptr<ServerLink> makeLink(std::vector<std::string> urls)
    {
        LinkEvents events;
        events.hello = [] {
            protocol::Hello hello;
            hello.identity = std::string(32, 'a');
            hello.instance = std::string(32, 'b');
            hello.facts.name = "wheel";
            return hello;
        };
        events.up = [this](const protocol::Welcome&) { ++m_ups; };
        events.down = [this] { ++m_downs; };
        events.message = [this](protocol::ServerMessage message) { m_said.push_back(std::move(message)); };
        events.report = [] { return protocol::Report{}; };
        auto link = std::make_unique<ServerLink>(LinkSettings{std::move(urls), "sesame"}, std::move(events), m_logger);
        link->start();
        return link;
    }
    std::string url() const { return *linkUrl("ws://127.0.0.1:" + std::to_string(m_server.serverPort())); }
    template <class T> std::size_t count() const
    {
        std::size_t found = 0;
        for (const auto& message : m_got)
            found += std::holds_alternative<T>(message) ? 1U : 0U;
        return found;
    }

    SilentLogger m_logger;
    QWebSocketServer m_server;
    std::unique_ptr<QWebSocket> m_socket;
    protocol::FrameDecoder m_decoder;
    std::vector<protocol::BuilderMessage> m_got;
    std::vector<protocol::ServerMessage> m_said;
    std::optional<protocol::Welcome> m_welcome = protocol::Welcome{1, {}, MachineId(1), 100ms, 400ms, {}, "t", "t"};
    std::string m_token;
    std::string m_path;
    int m_connections = 0;
    int m_ups = 0;
    int m_downs = 0;
};

TEST_F(LinkTest, SaysHelloWithItsTokenAndKeepsTheHeartbeat)
{
    const auto link = makeLink({url()});
    ASSERT_TRUE(until([&] { return count<protocol::Report>() >= 3; }));
    EXPECT_EQ(m_token, "Bearer sesame");
    EXPECT_EQ(m_path, "/link");
    EXPECT_EQ(count<protocol::Hello>(), 1U);
    EXPECT_TRUE(link->isUp());
    EXPECT_EQ(std::get<protocol::Report>(m_got[1]).sequence, 1U);
}

TEST_F(LinkTest, ReportsAheadOfTheHeartbeatWhenAsked)
{
    m_welcome = protocol::Welcome{1, {}, MachineId(1), 600s, 1800s, {}, "t", "t"};
    const auto link = makeLink({url()});
    link->report(); // not connected yet: nothing to send it on
    ASSERT_TRUE(until([&] { return m_ups == 1 && count<protocol::Report>() == 1; }));
    link->report();
    ASSERT_TRUE(until([&] { return count<protocol::Report>() == 2; }));
    EXPECT_EQ(std::get<protocol::Report>(m_got.back()).sequence, 2U);
}

TEST_F(LinkTest, DropsASilentServerAndConnectsAgain)
{
    const auto link = makeLink({url()});
    ASSERT_TRUE(until([&] { return m_ups == 2; })); // nothing is ever said after the welcome
    EXPECT_EQ(m_downs, 1);
    EXPECT_EQ(m_connections, 2);
}

TEST_F(LinkTest, TriesTheNextUrlWhenOneRefuses)
{
    QWebSocketServer closed(QStringLiteral("closed"), QWebSocketServer::NonSecureMode);
    ASSERT_TRUE(closed.listen(QHostAddress::LocalHost, 0));
    const std::string dead = *linkUrl("ws://127.0.0.1:" + std::to_string(closed.serverPort()));
    closed.close();
    const auto link = makeLink({dead, url()});
    EXPECT_TRUE(until([&] { return m_ups == 1; }));
}

TEST_F(LinkTest, HandsOnMessagesAndSkipsKindsItDoesNotKnow)
{
    const auto link = makeLink({url()});
    ASSERT_TRUE(until([&] { return m_ups == 1; }));
    std::string bytes;
    protocol::appendFrame(bytes, std::string("\xA2\x06\x02\x08\x01", 5));
    ASSERT_TRUE(protocol::appendMessage(bytes, protocol::ServerMessage(protocol::ResultStored{{AttemptId(4)}})));
    m_socket->sendBinaryMessage(QByteArray::fromStdString(bytes));
    ASSERT_TRUE(until([&] { return m_said.size() == 1; }));
    EXPECT_EQ(m_said[0], protocol::ServerMessage(protocol::ResultStored{{AttemptId(4)}}));
    EXPECT_EQ(link->unknownMessages(), 1U);
}

TEST_F(LinkTest, LeavesAServerThatSendsABadFrame)
{
    const auto link = makeLink({url()});
    ASSERT_TRUE(until([&] { return m_ups == 1; }));
    m_socket->sendBinaryMessage(QByteArray(8, '\0'));
    EXPECT_TRUE(until([&] { return m_downs == 1; }));
}

TEST_F(LinkTest, SaysGoodbyeWhenItStops)
{
    const auto link = makeLink({url()});
    ASSERT_TRUE(until([&] { return m_ups == 1; }));
    link->stop("done");
    EXPECT_TRUE(until([&] { return count<protocol::Goodbye>() == 1; }));
    EXPECT_EQ(m_downs, 0);
}

TEST_F(LinkTest, SendsManyMessagesInOrder)
{
    const auto link = makeLink({url()});
    ASSERT_TRUE(until([&] { return m_ups == 1; }));
    for (std::uint64_t i = 1; i <= 5000; ++i)
        link->send(protocol::AttemptAnswer{AttemptId(i), true, {}, std::string(1000, 'x')});
    ASSERT_TRUE(until([&] { return count<protocol::AttemptAnswer>() == 5000; }));
    std::uint64_t next = 1;
    for (const auto& message : m_got) {
        if (const auto* answer = std::get_if<protocol::AttemptAnswer>(&message)) {
            ASSERT_EQ(answer->attempt.value(), next++);
        }
    }
}

} // namespace
} // namespace penstock::builder

int main(int argc, char** argv)
{
    QCoreApplication application(argc, argv);
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
