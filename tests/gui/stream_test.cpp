// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/stream/monitor_stream.h"

#include "monitor-gui/stream/feed_decode.h"
#include "monitor-gui/stream/stream_thread.h"
#include "monitor-gui/stream/web_socket_transport.h"
#include "tests/gui/feed_server.h"
#include "tests/unit/monitor/qt_application.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>
#include <QTcpServer>
#include <QTcpSocket>
#include <QTest>

namespace penstock::gui {
namespace {

using namespace std::chrono_literals;

constexpr int kPatience = 8000; // milliseconds; far above any timing under test

StreamSettings quickSettings()
{
    StreamSettings settings;
    settings.timing.ping = 40ms;
    settings.timing.silence = 400ms;
    settings.timing.backOff = {20ms, 100ms, 0.25};
    return settings;
}

// A base, so that the application is there before the members that need it.
struct WithApplication : ::testing::Test {
    WithApplication() { test::ensureApplication(); }
};

struct MonitorStreamTest : WithApplication {
    std::unique_ptr<MonitorStream> streamTo(const QUrl& url, const QByteArray& token = {})
    {
        auto stream =
            std::make_unique<MonitorStream>(quickSettings(), std::make_unique<WebSocketTransport>(url, token),
                                            clock, [this](FeedBatch batch) { take(std::move(batch)); });
        stream->start();
        current = stream.get();
        return stream;
    }
    void take(FeedBatch batch)
    {
        phases.push_back(batch.status.phase);
        status = batch.status;
        if (batch.events.empty())
            return;
        ++batches;
        for (FeedEvent& event : batch.events) {
            if (const auto* delta = std::get_if<DeltaEvent>(&event.body))
                deltas.push_back(delta->number);
            if (const auto* snapshot = std::get_if<SnapshotEvent>(&event.body))
                snapshots.push_back(*snapshot);
            if (const auto* explanation = std::get_if<ExplanationEvent>(&event.body))
                explanations.push_back(*explanation);
        }
        if (takeAtOnce)
            QMetaObject::invokeMethod(
                current, [this] { current->taken(); }, Qt::QueuedConnection);
    }
    template <class Condition> static bool until(Condition condition)
    {
        return QTest::qWaitFor(condition, kPatience);
    }

    SystemClock clock;
    test::FeedServer server;
    MonitorStream* current = nullptr;
    LinkStatus status;
    std::vector<LinkPhase> phases;
    std::vector<std::uint64_t> deltas;
    std::vector<SnapshotEvent> snapshots;
    std::vector<ExplanationEvent> explanations;
    int batches = 0;
    bool takeAtOnce = true;
};

TEST_F(MonitorStreamTest, DeliversSnapshotAndDeltasInOrder)
{
    const auto stream = streamTo(server.url(), "secret");
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; })) << status.reason;
    server.sendDelta(11);
    server.sendDelta(12);
    ASSERT_TRUE(until([&] { return deltas.size() == 2; }));
    EXPECT_EQ(deltas, (std::vector<std::uint64_t>{11, 12}));
    EXPECT_EQ(status.phase, LinkPhase::Open);
    EXPECT_EQ(status.serverName, "test farm");
    EXPECT_EQ(server.authorization, QByteArray("Bearer secret"));
    ASSERT_TRUE(until([&] { return status.roundTrip.has_value(); })) << "pings are answered and timed";
}

TEST_F(MonitorStreamTest, ResumesWhereItWasAfterALostConnection)
{
    const auto stream = streamTo(server.url());
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; }));
    server.sendDelta(11);
    ASSERT_TRUE(until([&] { return deltas.size() == 1; }));
    server.drop();
    ASSERT_TRUE(until([&] { return snapshots.size() == 2; }));
    ASSERT_EQ(server.watches.size(), 2U);
    EXPECT_EQ(server.watches[1].resume_stream(), "s");
    EXPECT_EQ(server.watches[1].resume_after(), 11U);
    EXPECT_TRUE(snapshots[1].resumed);
    server.sendDelta(12);
    ASSERT_TRUE(until([&] { return deltas.size() == 2; }));
}

TEST_F(MonitorStreamTest, NoticesASilentServerByItself)
{
    const auto stream = streamTo(server.url());
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; }));
    server.silent = true;
    ASSERT_TRUE(until([&] { return status.phase == LinkPhase::Waiting; }));
    EXPECT_NE(status.reason.find("silent"), std::string::npos) << status.reason;
    EXPECT_TRUE(status.retryAt.has_value());
    server.silent = false;
    ASSERT_TRUE(until([&] { return status.phase == LinkPhase::Open; }));
}

TEST_F(MonitorStreamTest, ShowsAKilledServerAndFindsItAgain)
{
    const auto stream = streamTo(server.url());
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; }));
    server.stop();
    ASSERT_TRUE(until([&] { return status.phase == LinkPhase::Waiting && status.attempt >= 2; }));
    EXPECT_FALSE(status.reason.empty());
    server.comeBack();
    ASSERT_TRUE(until([&] { return status.phase == LinkPhase::Open && snapshots.size() >= 2; }));
}

TEST_F(MonitorStreamTest, AsksForASnapshotWhenADeltaIsMissing)
{
    const auto stream = streamTo(server.url());
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; }));
    server.sendDelta(13);
    ASSERT_TRUE(until([&] { return snapshots.size() == 2; }));
    EXPECT_TRUE(deltas.empty());
    EXPECT_EQ(server.watches[1].resume_stream(), "");
    EXPECT_FALSE(snapshots[1].resumed);
}

TEST_F(MonitorStreamTest, HoldsBackWhileTheReceiverIsBusy)
{
    takeAtOnce = false;
    const auto stream = streamTo(server.url());
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; }));
    for (std::uint64_t number = 11; number <= 40; ++number)
        server.sendDelta(number);
    const int before = server.pings;
    ASSERT_TRUE(until([&] { return server.pings > before + 2; })) << "time for the deltas to arrive";
    EXPECT_TRUE(deltas.empty());
    EXPECT_EQ(batches, 1);
    stream->taken();
    EXPECT_EQ(deltas.size(), 30U);
    EXPECT_EQ(batches, 2);
}

TEST_F(MonitorStreamTest, TellsARefusalFromALoss)
{
    const auto stream = streamTo(server.url());
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; }));
    monitor::FeedMessage message;
    message.mutable_goodbye()->set_code("denied");
    message.mutable_goodbye()->set_text("the token was revoked");
    server.send(message);
    ASSERT_TRUE(until([&] { return status.phase == LinkPhase::Refused; }));
    EXPECT_EQ(status.reason, "the token was revoked");
}

TEST_F(MonitorStreamTest, KnowsARefusedUpgrade)
{
    QTcpServer plain;
    ASSERT_TRUE(plain.listen(QHostAddress::LocalHost));
    QObject::connect(&plain, &QTcpServer::newConnection, &plain, [&] {
        QTcpSocket* socket = plain.nextPendingConnection();
        QObject::connect(socket, &QTcpSocket::readyRead, socket, [socket] {
            socket->write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            socket->disconnectFromHost();
        });
    });
    const auto stream = streamTo(QUrl(QStringLiteral("ws://127.0.0.1:%1/monitor").arg(plain.serverPort())));
    ASSERT_TRUE(until([&] { return status.phase == LinkPhase::Refused; })) << status.reason;
}

TEST_F(MonitorStreamTest, GivesUpOnAServerThatSendsNonsense)
{
    const auto stream = streamTo(server.url());
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; }));
    server.sendBytes(std::string("\x7F\xFF\xFF\xFF too long", 13));
    ASSERT_TRUE(
        until([&] { return std::find(phases.begin(), phases.end(), LinkPhase::Waiting) != phases.end(); }));
    ASSERT_TRUE(until([&] { return status.phase == LinkPhase::Open && snapshots.size() == 2; }));
}

TEST_F(MonitorStreamTest, ReconnectsAtOnceWhenAsked)
{
    const auto stream = streamTo(server.url());
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; }));
    stream->reconnect();
    ASSERT_TRUE(until([&] { return snapshots.size() == 2; }));
    EXPECT_EQ(server.hellos.size(), 2U);
}

TEST_F(MonitorStreamTest, AsksWhyAndHandsOnTheAnswerWithItsQuestion)
{
    const auto stream = streamTo(server.url());
    const WhyTarget target{JobId(3), StepId(7)};
    stream->explain(target); // before there is a connection: nobody to ask
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; }));
    stream->explain(target);
    ASSERT_TRUE(until([&] { return server.questions.size() == 1; }));
    EXPECT_EQ(server.questions[0].job_id(), 3U);
    EXPECT_EQ(server.questions[0].step_id(), 7U);
    EXPECT_NE(server.questions[0].request(), server.watches[0].watch()) << "a Problem must name one thing only";
    monitor::FeedMessage stray;
    stray.mutable_explanation()->set_request(server.questions[0].request() + 100);
    server.send(stray);
    monitor::FeedMessage message;
    message.mutable_explanation()->set_request(server.questions[0].request());
    message.mutable_explanation()->set_more(5);
    server.send(message);
    server.send(message);
    server.sendDelta(11);
    ASSERT_TRUE(until([&] { return deltas.size() == 1; }));
    ASSERT_EQ(explanations.size(), 1U) << "neither the stray one nor the repetition";
    EXPECT_EQ(explanations[0].asked, target);
    EXPECT_EQ(explanations[0].explanation->more, 5U);
}

TEST_F(MonitorStreamTest, HandsOnThatTheServerCannotSayWhy)
{
    const auto stream = streamTo(server.url());
    ASSERT_TRUE(until([&] { return snapshots.size() == 1; }));
    stream->explain({JobId(3)});
    ASSERT_TRUE(until([&] { return server.questions.size() == 1; }));
    monitor::FeedMessage message;
    message.mutable_problem()->set_watch(server.questions[0].request());
    message.mutable_problem()->set_message("no job 3");
    server.send(message);
    ASSERT_TRUE(until([&] { return explanations.size() == 1; }));
    EXPECT_EQ(explanations[0].refusal, "no job 3");
    EXPECT_EQ(explanations[0].explanation, nullptr);
    EXPECT_EQ(status.phase, LinkPhase::Open);
}

TEST_F(MonitorStreamTest, RunsOnAThreadOfItsOwnAndEndsCleanly)
{
    qt::QtLoop home;
    std::size_t events = 0;
    {
        StreamThread thread(
            quickSettings(),
            [url = server.url()] { return std::make_unique<WebSocketTransport>(url, QByteArray()); }, home,
            [&](const FeedBatch& batch) { events += batch.events.size(); });
        thread.start();
        ASSERT_TRUE(until([&] { return events == 1; }));
        server.sendDelta(11);
        ASSERT_TRUE(until([&] { return events == 2; }));
        server.sendDelta(12); // may be under way when the thread ends
    }
    QCoreApplication::processEvents(); // what was posted before the end must find nobody
    EXPECT_LE(events, 3U);
}

Result<FeedEvent> decode(const monitor::FeedMessage& message)
{
    return decodeFeed(bytesOf(message.SerializeAsString()));
}

TEST(FeedDecode, RefusesWhatCannotBeARecord)
{
    EXPECT_FALSE(decodeFeed(bytesOf("\xFF\xFF\xFF")));
    monitor::FeedMessage message;
    message.mutable_delta()->add_machines()->set_name("no id");
    EXPECT_FALSE(decode(message));
}

TEST(FeedDecode, TurnsNumbersThatCannotBeDrawnIntoZero)
{
    monitor::FeedMessage message;
    monitor::MachineRecord& record = *message.mutable_snapshot()->add_machines();
    record.set_id(1);
    record.set_has_psi(true);
    record.set_load1(std::numeric_limits<double>::quiet_NaN());
    record.set_psi_cpu_some(-5);
    record.set_psi_io_full(std::numeric_limits<double>::infinity());
    record.set_memory_bytes(10);
    record.set_memory_available_bytes(20);
    const auto event = decode(message);
    ASSERT_TRUE(event);
    const MachineRecord& machine = *std::get<SnapshotEvent>(event->body).machines.at(0);
    EXPECT_EQ(machine.load1, 0);
    EXPECT_EQ(machine.pressure->cpuSome, 0);
    EXPECT_EQ(machine.pressure->ioFull, 0);
    EXPECT_LE(machine.memoryAvailableBytes, machine.memoryBytes);
}

TEST(FeedDecode, CutsAnExplanationThatIsLargerThanPromised)
{
    monitor::FeedMessage message;
    monitor::Explanation& from = *message.mutable_explanation();
    for (int place = 0; place < 80; ++place)
        from.add_steps()->set_step_id(static_cast<std::uint64_t>(place) + 1);
    for (int place = 0; place < 100; ++place) {
        from.mutable_steps(0)->add_reasons()->set_code("slots-full");
        from.mutable_steps(0)->add_funnel()->set_stage("known");
        from.mutable_steps(0)->mutable_funnel(0)->add_removed()->set_machine("m");
        from.mutable_steps(0)->mutable_reasons(0)->add_names("m");
        from.mutable_steps(0)->mutable_reasons(0)->add_numbers()->set_value(1);
    }
    from.mutable_steps(0)->mutable_reasons(0)->mutable_numbers(0)->set_value(std::numeric_limits<double>::infinity());
    const auto event = decode(message);
    ASSERT_TRUE(event);
    const Explanation& explanation = *std::get<ExplanationEvent>(event->body).explanation;
    ASSERT_EQ(explanation.steps.size(), 50U);
    EXPECT_EQ(explanation.steps[0].reasons.size(), 40U);
    EXPECT_EQ(explanation.steps[0].funnel.size(), 16U);
    EXPECT_EQ(explanation.steps[0].funnel[0].removed.size(), 5U);
    EXPECT_EQ(explanation.steps[0].reasons[0].names.size(), 5U);
    EXPECT_EQ(explanation.steps[0].reasons[0].numbers.size(), 15U) << "what is no number is left out";
    from.mutable_steps(3)->set_step_id(0);
    EXPECT_FALSE(decode(message));
}

TEST(FeedDecode, ReadsRoomHealthAndShares)
{
    monitor::FeedMessage message;
    monitor::FarmSnapshot& snapshot = *message.mutable_snapshot();
    snapshot.mutable_totals()->mutable_pause()->set_who("ada");
    monitor::ShareRecord& share = *snapshot.add_shares();
    share.set_group("nixpkgs");
    share.set_used_us(std::numeric_limits<std::uint64_t>::max());
    share.set_used_percent(-1);
    monitor::MachineRecord& plain = *snapshot.add_machines();
    plain.set_id(1);
    monitor::MachineRecord& told = *snapshot.add_machines();
    told.set_id(2);
    told.mutable_room()->set_score(-7);
    told.mutable_room()->add_named()->set_name("gpu");
    told.mutable_health()->set_state(monitor::HEALTH_PROBING);
    told.set_limit_disk_free_bytes(9);
    const auto event = decode(message);
    ASSERT_TRUE(event);
    const auto& read = std::get<SnapshotEvent>(event->body);
    EXPECT_EQ(read.totals.pause->who, "ada");
    EXPECT_GT(read.shares.at(0)->used, Duration(0)) << "nonsense does not overflow";
    EXPECT_EQ(read.shares.at(0)->usedPercent, 0);
    EXPECT_FALSE(read.machines.at(0)->room) << "an older server does not tell";
    EXPECT_EQ(read.machines.at(0)->health.state, HealthState::Unknown);
    EXPECT_EQ(read.machines.at(1)->room->score, -7);
    EXPECT_EQ(read.machines.at(1)->room->named.at(0).name, "gpu");
    EXPECT_EQ(read.machines.at(1)->health.state, HealthState::Probing);
    EXPECT_EQ(read.machines.at(1)->gates.diskFree, 9U);
}

TEST(FeedDecode, LetsMessagesOfANewerServerPass)
{
    const auto event = decodeFeed(bytesOf(std::string_view("\xF2\x3F\x01x", 4))); // field 1022, text
    ASSERT_TRUE(event);
    EXPECT_TRUE(std::holds_alternative<UnknownEvent>(event->body));
}

} // namespace
} // namespace penstock::gui
