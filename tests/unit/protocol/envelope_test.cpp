// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/envelope.h"

#include "tests/unit/protocol/envelope_samples.h"

#include "proto/link.pb.h"

#include <gtest/gtest.h>

namespace penstock::protocol {
namespace {

TEST(Envelope, BringsEveryBuilderMessageThroughUnchanged)
{
    for (const BuilderMessage& message : builderSamples()) {
        const auto back = throughWire(message);
        ASSERT_TRUE(back) << back.error().message;
        ASSERT_TRUE(*back);
        EXPECT_EQ(**back, message) << "kind " << message.index();
    }
}

TEST(Envelope, BringsEveryServerMessageThroughUnchanged)
{
    for (const ServerMessage& message : serverSamples()) {
        const auto back = throughWire(message);
        ASSERT_TRUE(back) << back.error().message;
        ASSERT_TRUE(*back);
        EXPECT_EQ(**back, message) << "kind " << message.index();
    }
}

TEST(Envelope, BringsEveryEnumeratorThrough)
{
    for (int value = 0; value <= static_cast<int>(Outcome::Transient); ++value) {
        AttemptResult result = sampleResult();
        result.outcome = static_cast<Outcome>(value);
        EXPECT_EQ(**throughWire(BuilderMessage(result)), BuilderMessage(result)) << toString(result.outcome);
    }
    for (int value = 0; value <= static_cast<int>(RejectReason::Stale); ++value) {
        const AttemptAnswer answer{AttemptId(1), false, static_cast<RejectReason>(value), ""};
        EXPECT_EQ(**throughWire(BuilderMessage(answer)), BuilderMessage(answer)) << toString(answer.reason);
    }
    for (int value = 0; value <= static_cast<int>(GoodbyeReason::NotLeader); ++value) {
        const Goodbye goodbye{static_cast<GoodbyeReason>(value), "", {}};
        EXPECT_EQ(**throughWire(ServerMessage(goodbye)), ServerMessage(goodbye)) << toString(goodbye.reason);
    }
}

TEST(Envelope, GivesNoValueForAKindFromANewerPeer)
{
    const std::string unknownKind("\xA2\x06\x02\x08\x01", 5); // field 100, a message
    const auto builder = decodeBuilderMessage(bytesOf(unknownKind));
    ASSERT_TRUE(builder);
    EXPECT_FALSE(*builder);
    const auto server = decodeServerMessage(bytesOf(unknownKind));
    ASSERT_TRUE(server);
    EXPECT_FALSE(*server);
}

TEST(Envelope, SkipsFieldsFromANewerPeer)
{
    std::string payload = payloadOf(BuilderMessage(Drain{true, "x"}));
    payload += std::string("\x98\x06\x2A", 3); // field 99, a number, beside the known kind
    const auto back = decodeBuilderMessage(bytesOf(payload));
    ASSERT_TRUE(back && *back);
    EXPECT_EQ(**back, BuilderMessage(Drain{true, "x"}));
}

TEST(Envelope, RefusesBytesThatAreNoMessage)
{
    for (const std::string& bytes :
         {std::string("\xFF\xFF\xFF", 3), std::string(3, '\0'), std::string("\x0A\x7F", 2)}) {
        const auto back = decodeBuilderMessage(bytesOf(bytes));
        ASSERT_FALSE(back);
        EXPECT_EQ(back.error().code, ErrorCode::Invalid);
    }
}

TEST(Envelope, RefusesTextsThatAreNotUtf8)
{
    link::BuilderMessage wire;
    wire.mutable_drain()->set_note("x");
    std::string bytes = wire.SerializeAsString();
    bytes.back() = '\xFF';
    const auto back = decodeBuilderMessage(bytesOf(bytes));
    ASSERT_FALSE(back);
    EXPECT_EQ(back.error().code, ErrorCode::Invalid);
}

TEST(Envelope, SendsErrorTextsOfAnyBytesAsUtf8)
{
    AttemptResult result = sampleResult();
    result.error = "bad \xFF byte";
    const auto back = throughWire(BuilderMessage(result));
    ASSERT_TRUE(back && *back);
    EXPECT_EQ(std::get<AttemptResult>(**back).error, "bad \xEF\xBF\xBD byte");
}

TEST(Envelope, RefusesToSendMoreThanAFrameAndAppendsNothing)
{
    Desired desired;
    Assignment big = sampleAssignment();
    big.work = NixWork{"/nix/store/a.drv", std::string(kMaxDrvBytes, 'd'), {}, {}};
    desired.assign = {big, big};
    std::string out = "before";
    const auto appended = appendMessage(out, ServerMessage(desired));
    ASSERT_FALSE(appended);
    EXPECT_EQ(appended.error().code, ErrorCode::Exhausted);
    EXPECT_EQ(out, "before");
}

} // namespace
} // namespace penstock::protocol
