// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/compress/codec.h"
#include "shared/nix/narinfo.h"
#include "tests/support/golden.h"
#include "tests/unit/compress/streams.h"
#include "tests/unit/nix/cache_vectors.h"

#include <gtest/gtest.h>

namespace penstock::compress {
namespace {

using test::compressed;
using test::decompressed;
using test::kWritten;
using test::someText;

TEST(Codec, ReadsWhatNixWroteInEveryMethod)
{
    for (const std::string word : {"none", "xz", "bzip2", "zstd", "br", "gzip"}) {
        const std::string folder = "nix/compressed/" + word;
        const std::string text = penstock::test::readGolden(nix::test::goldenFiles(folder, ".narinfo").at(0));
        const nix::NarInfo info = nix::parseNarInfo(nix::StoreDir::standard(), text).value();
        const Method method = parseMethod(info.compression).value();
        EXPECT_EQ(toString(method), word);
        EXPECT_TRUE(info.url.ends_with(".nar" + std::string(extension(method)))) << info.url;
        const std::string file = penstock::test::readGolden(folder + "/" + info.url);
        for (const std::size_t piece : {std::size_t{1}, std::size_t{100}, file.size()}) {
            const auto nar = decompressed(method, file, piece, info.narSize);
            ASSERT_TRUE(nar) << word << ": " << nar.error().message;
            EXPECT_EQ(nar->size(), info.narSize);
            EXPECT_EQ(nix::hashOf(*nar), info.narHash) << word;
        }
    }
}

TEST(Codec, NamesMethodsAsCachesDo)
{
    for (const Method method : kWritten)
        EXPECT_EQ(parseMethod(toString(method)).value(), method);
    EXPECT_EQ(parseMethod("").value(), Method::Bzip2);
    EXPECT_EQ(parseMethod("gzip").value(), Method::Gzip);
    for (const std::string_view word : {"lz4", "XZ", "zst", " xz", "brotli"}) {
        const auto method = parseMethod(word);
        ASSERT_FALSE(method) << word;
        EXPECT_NE(method.error().message.find(word), std::string::npos);
    }
    EXPECT_EQ(extension(Method::Zstd), ".zst");
    EXPECT_EQ(extension(Method::Bzip2), ".bz2");
    EXPECT_EQ(extension(Method::None), "");
}

TEST(Codec, GivesBackWhatItTookAtTheBoundsOfEveryScale)
{
    const std::string text = someText(300'000);
    const std::map<Method, std::pair<int, int>> scales{
        {Method::Xz, {0, 9}}, {Method::Bzip2, {1, 9}}, {Method::Zstd, {1, 22}}, {Method::Brotli, {0, 11}}};
    for (const auto& [method, scale] : scales) {
        for (const int level : {scale.first, scale.second}) {
            const auto packed = compressed({method, level}, text);
            ASSERT_TRUE(packed) << toString(method) << level << packed.error().message;
            EXPECT_LT(packed->size(), text.size());
            EXPECT_EQ(decompressed(method, *packed).value(), text) << toString(method) << level;
        }
        for (const int level : {scale.first - 1, scale.second + 1}) {
            const auto encoder = makeEncoder({method, level});
            ASSERT_FALSE(encoder) << toString(method) << level;
            EXPECT_EQ(encoder.error().code, ErrorCode::Invalid);
        }
    }
    EXPECT_TRUE(makeEncoder({Method::None, 3})) << "none has no scale";
}

TEST(Codec, TakesNothingAtAll)
{
    for (const Method method : kWritten) {
        const auto packed = compressed({method}, "");
        ASSERT_TRUE(packed) << packed.error().message;
        EXPECT_EQ(packed->empty(), method == Method::None);
        EXPECT_EQ(decompressed(method, *packed).value(), "") << toString(method);
    }
}

TEST(Codec, WritesTheSameContentWithAnyNumberOfThreads)
{
    const std::string text = someText(6U << 20U);
    for (const Method method : kWritten)
        for (const unsigned threads : {1U, 3U}) {
            const EncoderOptions options{method, method == Method::Brotli ? 2 : 1, threads};
            const auto packed = compressed(options, text, 70'000);
            ASSERT_TRUE(packed) << packed.error().message;
            EXPECT_EQ(decompressed(method, *packed, 50'000).value(), text) << toString(method);
        }
}

TEST(Codec, UsesFewerThreadsRatherThanMoreMemory)
{
    const auto packed = compressed({Method::Xz, 9, 1000}, "short");
    ASSERT_TRUE(packed) << packed.error().message;
    EXPECT_EQ(decompressed(Method::Xz, *packed).value(), "short");
    for (const int level : {1, 12, 19, 22}) {
        const auto zstd = compressed({Method::Zstd, level, 1000}, "short");
        ASSERT_TRUE(zstd) << zstd.error().message;
        EXPECT_EQ(decompressed(Method::Zstd, *zstd).value(), "short") << level;
    }
}

TEST(Codec, ReadsSeveralStreamsInARowAsOne)
{
    for (const Method method : {Method::Xz, Method::Bzip2, Method::Zstd})
        for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}}) {
            const std::string two =
                compressed({method}, "one ").value() + compressed({method}, "two").value();
            EXPECT_EQ(decompressed(method, two, piece).value(), "one two") << toString(method);
        }
    const std::string brotli =
        compressed({Method::Brotli}, "one ").value() + compressed({Method::Brotli}, "two").value();
    EXPECT_FALSE(decompressed(Method::Brotli, brotli)) << "that format has no such thing";
}

TEST(Codec, DoesNotWriteGzip)
{
    const auto encoder = makeEncoder({Method::Gzip});
    ASSERT_FALSE(encoder);
    EXPECT_EQ(encoder.error().code, ErrorCode::Invalid);
}

TEST(Codec, HandsOnTheErrorOfTheSinkAndStaysFailed)
{
    const std::string text = someText(1U << 20U);
    const ByteSink full = [](std::string_view) -> Result<void> {
        return fail(ErrorCode::Exhausted, "the disk is full");
    };
    const ByteSink any = [](std::string_view) -> Result<void> { return {}; };
    for (const Method method : kWritten) {
        auto encoder = makeEncoder({method, 1}).value();
        const auto pushed = encoder->push(text, full);
        const auto finished = encoder->finish(full);
        ASSERT_FALSE(finished) << toString(method);
        EXPECT_EQ((pushed ? finished : pushed).error().message, "the disk is full");
        EXPECT_FALSE(encoder->push(text, any)) << toString(method);

        auto decoder = makeDecoder(method, UINT64_MAX).value();
        const auto read = decoder->push(compressed({method, 1}, text).value(), full);
        ASSERT_FALSE(read) << toString(method);
        EXPECT_EQ(read.error().message, "the disk is full");
        EXPECT_FALSE(decoder->finish(any)) << toString(method);
    }
}

TEST(Codec, EndsOnce)
{
    const ByteSink any = [](std::string_view) -> Result<void> { return {}; };
    for (const Method method : kWritten) {
        auto encoder = makeEncoder({method}).value();
        ASSERT_TRUE(encoder->finish(any));
        EXPECT_EQ(encoder->finish(any).error().code, ErrorCode::Invalid);
        EXPECT_EQ(encoder->push("x", any).error().code, ErrorCode::Invalid);
        auto decoder = makeDecoder(method, 10).value();
        ASSERT_TRUE(decoder->push(compressed({method}, "x").value(), any));
        ASSERT_TRUE(decoder->finish(any));
        EXPECT_EQ(decoder->push("x", any).error().code, ErrorCode::Invalid);
    }
}

TEST(Codec, MindsNoEmptyPieces)
{
    std::string out;
    const ByteSink sink = [&out](std::string_view bytes) -> Result<void> {
        out.append(bytes);
        return {};
    };
    for (const Method method : kWritten) {
        out.clear();
        auto decoder = makeDecoder(method, 100).value();
        const std::string packed = compressed({method}, "content").value();
        for (int i = 0; i < 100; ++i)
            ASSERT_TRUE(decoder->push("", sink)) << toString(method);
        ASSERT_TRUE(decoder->push(packed, sink));
        for (int i = 0; i < 100; ++i)
            ASSERT_TRUE(decoder->push("", sink)) << toString(method);
        ASSERT_TRUE(decoder->finish(sink));
        EXPECT_EQ(out, "content");
    }
}

} // namespace
} // namespace penstock::compress
