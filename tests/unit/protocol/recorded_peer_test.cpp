// SPDX-License-Identifier: GPL-3.0-or-later
// Recorded peers: what an older (and a newer) builder or server really sent, byte for byte. The recordings are never
// made anew; when this test fails, the change under test breaks peers that are in use.
#include "tests/unit/protocol/envelope_samples.h"

#include "shared/protocol/session.h"

#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

namespace penstock::protocol {
namespace {

std::vector<std::string> framesOf(const std::string& name)
{
    const char* const source = std::getenv("PENSTOCK_SOURCE_DIR");
    EXPECT_NE(source, nullptr);
    std::ifstream file(std::string(source == nullptr ? "." : source) + "/tests/golden/protocol/" + name,
                       std::ios::binary);
    EXPECT_TRUE(file.is_open()) << name;
    std::ostringstream text;
    text << file.rdbuf();
    const std::string bytes = text.str();
    FrameDecoder decoder;
    FrameCollector collector;
    decoder.push(bytesOf(bytes), collector);
    EXPECT_TRUE(decoder.status());
    EXPECT_TRUE(decoder.atBoundary());
    return collector.frames;
}

TEST(RecordedPeer, AnOldBuilderIsUnderstood)
{
    const auto frames = framesOf("old_builder.bin");
    ASSERT_EQ(frames.size(), 5U);
    const auto hello = decodeBuilderMessage(bytesOf(frames[0]));
    ASSERT_TRUE(hello && *hello);
    const auto& said = std::get<Hello>(**hello);
    EXPECT_EQ(said.facts.name, "old-wheel");
    EXPECT_EQ(said.facts.speedFactor, 1.0); // not said
    Session session = Session::forServer(ownDialect(), {}, Now{});
    EXPECT_TRUE(session.onHello(said, Now{}));

    const auto report = decodeBuilderMessage(bytesOf(frames[1]));
    ASSERT_TRUE(report && *report);
    EXPECT_EQ(std::get<Report>(**report).held, (std::vector<HeldAttempt>{{AttemptId(41), false}}));
    EXPECT_FALSE(std::get<Report>(**report).load.pressure);
    EXPECT_EQ(std::get<Report>(**report).load.diskTotalInodes, 0U); // does not count them: no reason to keep work off
    EXPECT_EQ(said.facts.thresholds, Thresholds{});
    const auto answer = decodeBuilderMessage(bytesOf(frames[2]));
    ASSERT_TRUE(answer && *answer);
    EXPECT_EQ(**answer, BuilderMessage(AttemptAnswer{AttemptId(42), true, RejectReason::Unspecified, ""}));
    const auto log = decodeBuilderMessage(bytesOf(frames[3]));
    ASSERT_TRUE(log && *log);
    EXPECT_EQ(std::get<LogChunk>(**log).records.at(0).data, "hello\n");
    const auto finished = decodeBuilderMessage(bytesOf(frames[4]));
    ASSERT_TRUE(finished && *finished);
    EXPECT_EQ(std::get<AttemptResult>(**finished).outcome, Outcome::Succeeded);
    EXPECT_EQ(std::get<AttemptResult>(**finished).results, NixResults{}); // tells none
    EXPECT_EQ(std::get<AttemptResult>(**finished).logBytes, 6U);
}

TEST(RecordedPeer, AnOldServerIsUnderstood)
{
    const auto frames = framesOf("old_server.bin");
    ASSERT_EQ(frames.size(), 3U);
    const auto welcome = decodeServerMessage(bytesOf(frames[0]));
    ASSERT_TRUE(welcome && *welcome);
    Session session = Session::forBuilder(ownDialect(), Now{});
    EXPECT_TRUE(session.onWelcome(std::get<Welcome>(**welcome), Now{}));
    const auto desired = decodeServerMessage(bytesOf(frames[1]));
    ASSERT_TRUE(desired && *desired);
    ASSERT_EQ(std::get<Desired>(**desired).assign.size(), 1U);
    EXPECT_EQ(std::get<Desired>(**desired).assign[0].attemptNumber, 1U); // not said
    EXPECT_TRUE(std::get<Desired>(**desired).assign[0].resources.empty());
    EXPECT_FALSE(std::get<Desired>(**desired).assign[0].beyondSlots);
    EXPECT_EQ(std::get<Desired>(**desired).assign[0].limits.maxOutputBytes, 0U);
    const auto stored = decodeServerMessage(bytesOf(frames[2]));
    ASSERT_TRUE(stored && *stored);
    EXPECT_EQ(**stored, ServerMessage(ResultStored{{AttemptId(42)}}));
}

TEST(RecordedPeer, ANewerBuilderIsUnderstoodAsFarAsItIsKnown)
{
    const auto frames = framesOf("newer_builder.bin");
    ASSERT_EQ(frames.size(), 3U);
    const auto hello = decodeBuilderMessage(bytesOf(frames[0]));
    ASSERT_TRUE(hello && *hello);
    Session session = Session::forServer(ownDialect(), {}, Now{});
    const auto agreed = session.onHello(std::get<Hello>(**hello), Now{}); // it speaks 1 to 9 and many features
    ASSERT_TRUE(agreed);
    EXPECT_EQ(agreed->protocol, kProtocolMax);
    EXPECT_TRUE(agreed->features.empty());
    const auto unknown = decodeBuilderMessage(bytesOf(frames[1]));
    ASSERT_TRUE(unknown);
    EXPECT_FALSE(*unknown);
    const auto drain = decodeBuilderMessage(bytesOf(frames[2]));
    ASSERT_TRUE(drain && *drain);
    EXPECT_EQ(**drain, BuilderMessage(Drain{true, "upgrade"}));
}

} // namespace
} // namespace penstock::protocol
