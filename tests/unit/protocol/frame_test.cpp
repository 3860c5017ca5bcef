// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/frame.h"

#include <gtest/gtest.h>
#include <vector>

namespace penstock::protocol {
namespace {

struct Collector final : FrameSink {
    void onFrame(ByteView payload) override { frames.emplace_back(textOf(payload)); }
    std::vector<std::string> frames;
};

std::string framed(std::initializer_list<std::string> payloads)
{
    std::string out;
    for (const std::string& payload : payloads)
        appendFrame(out, payload);
    return out;
}

TEST(FrameDecoder, GivesTheSameFramesForEveryChunking)
{
    const std::vector<std::string> expected{"a", std::string(300, 'b'), "last"};
    const std::string bytes = framed({"a", std::string(300, 'b'), "last"});
    for (std::size_t chunk = 1; chunk <= bytes.size(); ++chunk) {
        FrameDecoder decoder;
        Collector collector;
        for (std::size_t at = 0; at < bytes.size(); at += chunk)
            decoder.push(bytesOf(bytes).subspan(at, std::min(chunk, bytes.size() - at)), collector);
        ASSERT_TRUE(decoder.status()) << chunk;
        ASSERT_EQ(collector.frames, expected) << chunk;
        ASSERT_TRUE(decoder.atBoundary()) << chunk;
    }
}

TEST(FrameDecoder, KnowsWhenItStandsInsideAFrame)
{
    FrameDecoder decoder;
    Collector collector;
    const std::string bytes = framed({"abc"});
    decoder.push(bytesOf(bytes).first(2), collector);
    EXPECT_FALSE(decoder.atBoundary());
    decoder.push(bytesOf(bytes).subspan(2, 3), collector);
    EXPECT_FALSE(decoder.atBoundary());
    decoder.push(bytesOf(bytes).subspan(5), collector);
    EXPECT_TRUE(decoder.atBoundary());
}

TEST(FrameDecoder, TakesAFrameOfTheLimitAndRefusesOneByteMoreOnItsHeader)
{
    Collector collector;
    FrameDecoder atLimit(10);
    atLimit.push(bytesOf(framed({std::string(10, 'x')})), collector);
    EXPECT_TRUE(atLimit.status());
    EXPECT_EQ(collector.frames.size(), 1U);

    FrameDecoder above(10);
    std::string header;
    appendBigEndian32(header, 11);
    above.push(bytesOf(header), collector);
    ASSERT_FALSE(above.status());
    EXPECT_EQ(above.status().error().code, ErrorCode::Exhausted);
    EXPECT_NE(above.status().error().message.find("11 bytes"), std::string::npos);
    EXPECT_NE(above.status().error().message.find("limit is 10"), std::string::npos);
}

TEST(FrameDecoder, RefusesAnEmptyFrameAndDropsWhatFollows)
{
    FrameDecoder decoder;
    Collector collector;
    decoder.push(bytesOf(framed({"good"}) + std::string(4, '\0') + framed({"late"})), collector);
    ASSERT_FALSE(decoder.status());
    EXPECT_EQ(decoder.status().error().code, ErrorCode::Invalid);
    EXPECT_EQ(collector.frames, std::vector<std::string>{"good"});
    decoder.push(bytesOf(framed({"later"})), collector);
    EXPECT_EQ(collector.frames.size(), 1U);
}

} // namespace
} // namespace penstock::protocol
