// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/session.h"

#include <gtest/gtest.h>

namespace penstock::protocol {
namespace {

using namespace std::chrono_literals;

Now at(std::chrono::milliseconds since)
{
    return {Instant{1h + Duration(since)}, WallTime::fromMicros(1'700'000'000'000'000) + since};
}

Hello helloOf(std::uint32_t low, std::uint32_t high, std::vector<std::string> features = {})
{
    Hello hello;
    hello.protocolMin = low;
    hello.protocolMax = high;
    hello.features = std::move(features);
    return hello;
}

Welcome welcomeOf(std::chrono::milliseconds heartbeat, std::chrono::milliseconds deadline)
{
    Welcome welcome;
    welcome.heartbeat = heartbeat;
    welcome.deadline = deadline;
    return welcome;
}

Session openServer()
{
    Session session = Session::forServer(ownDialect(), {2s, 6s}, at(0ms));
    EXPECT_TRUE(session.onHello(helloOf(1, 1), at(100ms)));
    session.opened(at(200ms));
    return session;
}

TEST(Agreement, TakesTheLargestProtocolAndTheCommonFeatures)
{
    const auto agreed = agree({1, 3, {"b", "a", "x"}}, {2, 5, {"a", "y", "b", "a"}});
    ASSERT_TRUE(agreed);
    EXPECT_EQ(agreed->protocol, 3U);
    EXPECT_EQ(agreed->features, (std::vector<std::string>{"a", "b"}));
}

TEST(Agreement, SaysWhichSideIsToBeUpgradedWhenThereIsNone)
{
    const auto oldBuilder = agree({3, 4, {}}, {1, 2, {}});
    ASSERT_FALSE(oldBuilder);
    EXPECT_EQ(oldBuilder.error().code, ErrorCode::Conflict);
    EXPECT_NE(oldBuilder.error().message.find("upgrade the builder"), std::string::npos);
    const auto oldServer = agree({1, 1, {}}, {2, 2, {}});
    ASSERT_FALSE(oldServer);
    EXPECT_NE(oldServer.error().message.find("upgrade the server"), std::string::npos);
}

TEST(ServerSession, RefusesEverythingBeforeHelloAndASecondHello)
{
    Session session = Session::forServer(ownDialect(), {2s, 6s}, at(0ms));
    EXPECT_FALSE(session.onTraffic(at(1ms)));
    EXPECT_TRUE(session.onHello(helloOf(1, 7), at(2ms)));
    EXPECT_FALSE(session.onHello(helloOf(1, 1), at(3ms)));
    EXPECT_FALSE(session.onTraffic(at(3ms)));
    session.opened(at(4ms));
    EXPECT_TRUE(session.onTraffic(at(5ms)));
    EXPECT_FALSE(session.onHello(helloOf(1, 1), at(6ms)));
}

TEST(ServerSession, EndsAHandshakeThatDripsBytes)
{
    Session session = Session::forServer(ownDialect(), {2s, 6s}, at(0ms));
    for (auto time = 0ms; time <= kHandshakeTime; time += 1000ms) {
        session.onBytes(at(time));
        EXPECT_EQ(session.due(at(time)), SessionDue::Nothing);
    }
    EXPECT_EQ(session.due(at(kHandshakeTime + 1ms)), SessionDue::Dead);
}

TEST(ServerSession, IsDeadOnlyAfterSilenceBeyondTheDeadline)
{
    Session session = openServer();
    EXPECT_TRUE(session.onTraffic(at(1000ms)));
    session.heartbeatSent(at(6999ms));
    EXPECT_EQ(session.due(at(7000ms)), SessionDue::Nothing);
    EXPECT_EQ(session.due(at(7001ms)), SessionDue::Dead);
    session.onBytes(at(7000ms));
    EXPECT_NE(session.due(at(7001ms)), SessionDue::Dead);
}

TEST(BuilderSession, SendsItsFirstReportAtOnceAndThenEveryHeartbeat)
{
    Session session = Session::forBuilder(ownDialect(), at(0ms));
    EXPECT_FALSE(session.onTraffic(at(1ms)));
    ASSERT_TRUE(session.onWelcome(welcomeOf(2s, 6s), at(10ms)));
    EXPECT_EQ(session.due(at(10ms)), SessionDue::SendHeartbeat);
    EXPECT_EQ(session.heartbeatSent(at(10ms)), 1U);
    EXPECT_EQ(session.due(at(2009ms)), SessionDue::Nothing);
    EXPECT_EQ(session.due(at(2010ms)), SessionDue::SendHeartbeat);
    EXPECT_EQ(session.heartbeatSent(at(2010ms)), 2U);
    EXPECT_EQ(session.due(session.nextDue().sinceStart < at(4010ms).mono.sinceStart ? at(2011ms) : at(4010ms)),
              SessionDue::SendHeartbeat);
}

TEST(BuilderSession, RefusesSenselessTimesAndForeignProtocols)
{
    const auto refused = [](Welcome welcome) {
        Session session = Session::forBuilder(ownDialect(), at(0ms));
        return !session.onWelcome(welcome, at(1ms));
    };
    EXPECT_TRUE(refused(welcomeOf(kMinHeartbeat - 1ms, 6s)));
    EXPECT_FALSE(refused(welcomeOf(kMinHeartbeat, 6s)));
    EXPECT_FALSE(refused(welcomeOf(kMaxHeartbeat, kMaxDeadline)));
    EXPECT_TRUE(refused(welcomeOf(kMaxHeartbeat + 1ms, kMaxDeadline)));
    EXPECT_TRUE(refused(welcomeOf(2s, 2s)));
    EXPECT_FALSE(refused(welcomeOf(2s, 2001ms)));
    EXPECT_TRUE(refused(welcomeOf(2s, kMaxDeadline + 1ms)));
    Welcome newer = welcomeOf(2s, 6s);
    newer.protocol = kProtocolMax + 1;
    EXPECT_TRUE(refused(newer));
}

TEST(BuilderSession, IsDeadWhenNoWelcomeComes)
{
    const Session session = Session::forBuilder(ownDialect(), at(0ms));
    EXPECT_EQ(session.due(at(kHandshakeTime)), SessionDue::Nothing);
    EXPECT_EQ(session.due(Now{session.nextDue(), {}}), SessionDue::Dead);
}

TEST(Session, ClosedTakesNothingAndIsNeverDue)
{
    Session session = openServer();
    session.close();
    EXPECT_FALSE(session.onTraffic(at(300ms)));
    EXPECT_EQ(session.due(at(999'999ms)), SessionDue::Nothing);
}

} // namespace
} // namespace penstock::protocol
