// SPDX-License-Identifier: GPL-3.0-or-later
// The feed over real WebSockets: that what waits for room goes on when the socket has taken what was sent.
#include "server/net/monitor_link.h"
#include "shared/protocol/frame.h"
#include "shared/qt/qt_loop.h"
#include "tests/unit/server/feed_fixture.h"
#include "tests/unit/server/port.h"

namespace penstock::test {
namespace {

class Messages final : private protocol::FrameSink {
public:
    std::vector<monitor::FeedMessage> all;
    void push(const QByteArray& bytes)
    {
        m_decoder.push(bytesOf(std::string_view(bytes.constData(), static_cast<std::size_t>(bytes.size()))), *this);
    }

private:
    void onFrame(ByteView payload) override
    {
        EXPECT_TRUE(all.emplace_back().ParseFromArray(payload.data(), static_cast<int>(payload.size())));
    }
    protocol::FrameDecoder m_decoder;
};

struct MonitorLinkTest : ::testing::Test {
    Port port;
    qt::QtLoop loop;
    FakeFarm farm;
    feed::FeedOptions options;
    std::unique_ptr<feed::Feed> feed;
    std::unique_ptr<net::MonitorLinks> links;
    QWebSocket client;
    Messages messages;

    MonitorLinkTest()
    {
        options.stream = "s";
        options.storeDir = "/nix/store";
        feed = std::make_unique<feed::Feed>(loop, port.clock, port.logger, farm, options);
        links = std::make_unique<net::MonitorLinks>(*feed);
        client.open(QUrl(QStringLiteral("ws://127.0.0.1:%1/monitor").arg(port.number())));
        EXPECT_TRUE(waitUntil([&] { return !port.monitors.empty(); }));
        links->add(port.monitors.back().release(), port.peers.back());
        port.monitors.clear();
        QObject::connect(&client, &QWebSocket::binaryMessageReceived, &client,
                         [this](const QByteArray& bytes) { messages.push(bytes); });
        monitor::ClientMessage hello;
        hello.mutable_hello()->set_protocol_min(1);
        hello.mutable_hello()->set_protocol_max(1);
        say(hello);
    }

    void say(const monitor::ClientMessage& message)
    {
        std::string frame;
        protocol::appendFrame(frame, message.SerializeAsString());
        client.sendBinaryMessage(QByteArray::fromStdString(frame));
    }
};

TEST_F(MonitorLinkTest, BringsALogThatIsLargerThanEveryBuffer)
{
    farm.appendLog(3, std::string(6'000'000, 'x'));
    farm.logs[AttemptId(3)].ended = true;
    monitor::ClientMessage watch;
    watch.mutable_watch_log()->set_watch(1);
    watch.mutable_watch_log()->set_attempt_id(3);
    watch.mutable_watch_log()->set_follow(true);
    say(watch);
    ASSERT_TRUE(waitUntil([&] { return !messages.all.empty() && messages.all.back().has_end(); }));
    EXPECT_TRUE(messages.all.front().has_hello());
    std::size_t bytes = 0;
    for (const auto& message : messages.all) {
        for (const auto& record : message.log().records())
            bytes += record.data().size();
    }
    EXPECT_EQ(bytes, 6'000'000U);
}

TEST_F(MonitorLinkTest, SendsDeltasAndForgetsAPeerThatLeaves)
{
    monitor::ClientMessage watch;
    watch.mutable_watch_farm()->set_watch(1);
    say(watch);
    ASSERT_TRUE(waitUntil([&] { return messages.all.size() >= 4; }));
    EXPECT_TRUE(messages.all[1].has_snapshot());
    EXPECT_EQ(messages.all[3].delta().number(), 2U);
    EXPECT_EQ(feed->counters().connections, 1U);
    client.abort();
    EXPECT_TRUE(waitUntil([&] { return feed->counters().connections == 0; }));
}

TEST_F(MonitorLinkTest, EndsAPeerThatSendsText)
{
    client.sendTextMessage(QStringLiteral("hello"));
    EXPECT_TRUE(waitUntil([&] { return client.state() == QAbstractSocket::UnconnectedState; }));
    EXPECT_EQ(client.closeCode(), QWebSocketProtocol::CloseCodeDatatypeNotSupported);
}

TEST_F(MonitorLinkTest, SaysGoodbyeBeforeItCloses)
{
    ASSERT_TRUE(waitUntil([&] { return !messages.all.empty(); }));
    feed->stop("the server stops");
    EXPECT_TRUE(waitUntil([&] { return client.state() == QAbstractSocket::UnconnectedState; }));
    EXPECT_EQ(messages.all.back().goodbye().code(), "stopping");
}

} // namespace
} // namespace penstock::test
