// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/nar_guard.h"

#include "shared/nixdaemon/frame_writer.h"
#include "shared/nixdaemon/wire.h"
#include "tests/support/nar_samples.h"

#include <gtest/gtest.h>

namespace penstock::nixdaemon {
namespace {

Result<void> watch(const nix::NarInfo& info, std::string_view bytes, std::size_t piece)
{
    NarGuard guard(info.narHash, info.narSize);
    for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
        PENSTOCK_TRY_VOID(guard.push(bytes.substr(0, piece)));
    return guard.finish();
}

TEST(NarGuard, PassesTheAnnouncedArchiveInPiecesOfAnySize)
{
    const test::NarSample sample = test::sampleOf("x", "some content");
    for (std::size_t piece = 1; piece <= sample.nar.size(); ++piece)
        EXPECT_TRUE(watch(sample.info, sample.nar, piece)) << piece;
    nix::NarInfo unknownSize = sample.info;
    unknownSize.narSize = 0;
    EXPECT_TRUE(watch(unknownSize, sample.nar, 7));
}

TEST(NarGuard, RefusesEveryOtherOne)
{
    const test::NarSample sample = test::sampleOf("x", "some content");
    const auto codeOf = [&](const nix::NarInfo& info, const std::string& bytes) {
        const auto result = watch(info, bytes, 16);
        return result ? ErrorCode::Internal : result.error().code;
    };
    for (std::size_t i = 0; i < sample.nar.size(); ++i) {
        std::string damaged = sample.nar;
        damaged[i] = static_cast<char>(damaged[i] ^ 1);
        EXPECT_EQ(codeOf(sample.info, damaged), ErrorCode::Corrupt) << "byte " << i;
        EXPECT_EQ(codeOf(sample.info, sample.nar.substr(0, i)), ErrorCode::Corrupt) << "cut at " << i;
    }
    EXPECT_EQ(codeOf(sample.info, sample.nar + "x"), ErrorCode::Corrupt);
    nix::NarInfo wrong = sample.info;
    wrong.narSize += 8;
    EXPECT_EQ(codeOf(wrong, sample.nar), ErrorCode::Corrupt);
    wrong.narSize -= 16;
    EXPECT_EQ(codeOf(wrong, sample.nar), ErrorCode::Corrupt);
}

TEST(NarGuard, LeavesTheHashAloneWhereTheDaemonLooksAtItAndNothingElse)
{
    const test::NarSample sample = test::sampleOf("x", "some content");
    const auto passes = [&](const std::string& bytes) {
        NarGuard guard(sample.info.narHash, sample.info.narSize, HashedBy::Daemon);
        return guard.push(bytes) && guard.finish();
    };
    std::string damaged = sample.nar;
    damaged[damaged.find("content", damaged.find("some"))] = 'C'; // of the file
    EXPECT_TRUE(passes(sample.nar));
    EXPECT_TRUE(passes(damaged));
    EXPECT_FALSE(passes(sample.nar + "x"));
    EXPECT_FALSE(passes(sample.nar.substr(0, sample.nar.size() - 8)));
    damaged[0] = static_cast<char>(damaged[0] ^ 1);
    EXPECT_FALSE(passes(damaged));
}

TEST(FrameWriter, MakesWholeFramesAndEndsOnce)
{
    std::string sent;
    const auto sink = test::sinkInto(sent);
    FrameWriter frames(sink);
    ASSERT_TRUE(frames.finish(sink));
    EXPECT_EQ(sent, std::string(8, '\0'));

    sent.clear();
    FrameWriter more(sink);
    const std::string payload(kFrameSize + 100, 'p');
    ASSERT_TRUE(more.write(payload));
    EXPECT_EQ(sent.size(), 8 + kFrameSize) << "a full frame goes at once";
    ASSERT_TRUE(more.finish(sink));
    WireWriter expected;
    expected.framed(payload);
    EXPECT_EQ(sent, expected.bytes());
}

} // namespace
} // namespace penstock::nixdaemon
