// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/compress/codec.h"
#include "tests/support/golden.h"
#include "tests/unit/compress/streams.h"
#include "tests/unit/nix/cache_vectors.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace penstock::compress {
namespace {

using test::compressed;
using test::decompressed;
using test::someText;

constexpr std::array<Method, 5> kDecoders{Method::Xz, Method::Bzip2, Method::Zstd, Method::Brotli,
                                          Method::Gzip};

std::string gzipped(std::string_view text)
{
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string out(deflateBound(&stream, text.size()) + 64, '\0');
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

std::string packed(Method method, std::string_view text)
{
    return method == Method::Gzip ? gzipped(text) : compressed({method}, text).value();
}

TEST(Decoder, ReadsGzipMembersInARow)
{
    const std::string text = someText(400'000);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}, std::size_t{1'000'000}})
        EXPECT_EQ(decompressed(Method::Gzip, gzipped(text) + gzipped("more"), piece).value(), text + "more");
}

TEST(Decoder, NoticesEveryCut)
{
    const std::string text = someText(3000);
    for (const Method method : kDecoders) {
        const std::string whole = packed(method, text);
        ASSERT_EQ(decompressed(method, whole).value(), text);
        for (std::size_t size = 0; size < whole.size(); ++size) {
            const auto cut = decompressed(method, whole.substr(0, size));
            ASSERT_FALSE(cut) << toString(method) << " cut to " << size << " of " << whole.size();
            EXPECT_EQ(cut.error().code, ErrorCode::Corrupt) << cut.error().message;
        }
    }
}

TEST(Decoder, NoticesWhatFollowsTheEnd)
{
    for (const Method method : kDecoders)
        for (const std::size_t piece : {std::size_t{1}, std::size_t{10'000}})
            for (const std::string_view more : {"x", "0123456789abcdef0123456789abcdef"}) {
                const auto read = decompressed(method, packed(method, "text") + std::string(more), piece);
                ASSERT_FALSE(read) << toString(method) << " and " << more;
                EXPECT_EQ(read.error().code, ErrorCode::Corrupt) << read.error().message;
            }
}

TEST(Decoder, NeverTakesDamageForTheContent)
{
    const std::string text = someText(3000);
    for (const Method method : kDecoders) {
        const std::string whole = packed(method, text);
        std::size_t wrong = 0;
        for (std::size_t at = 0; at < whole.size(); ++at) {
            std::string damaged = whole;
            damaged[at] = static_cast<char>(static_cast<unsigned char>(damaged[at]) ^ (1U << (at % 8)));
            const auto read = decompressed(method, damaged, 1000, 1U << 20U);
            if (!read)
                EXPECT_TRUE(read.error().code == ErrorCode::Corrupt ||
                            read.error().code == ErrorCode::Exhausted)
                    << read.error().message;
            else if (*read != text)
                ++wrong;
        }
        if (method == Method::Brotli)
            EXPECT_GT(wrong, 0U) << "brotli has a checksum now; say so in the README";
        else
            EXPECT_EQ(wrong, 0U) << toString(method) << ": a checksum that is not looked at";
    }
}

TEST(Decoder, StopsABombAtItsLimit)
{
    constexpr std::size_t kBig = 40U << 20U;
    constexpr std::uint64_t kLimit = 1'000'000;
    const std::string zeros(kBig, '\0');
    for (const Method method : kDecoders) {
        const std::string bomb =
            method == Method::Gzip ? gzipped(zeros) : compressed({method, 1}, zeros).value();
        EXPECT_LT(bomb.size(), kBig / 100);
        std::uint64_t given = 0;
        const ByteSink sink = [&given](std::string_view bytes) -> Result<void> {
            given += bytes.size();
            return {};
        };
        auto decoder = makeDecoder(method, kLimit).value();
        const auto pushed = decoder->push(bomb, sink);
        ASSERT_FALSE(pushed) << toString(method);
        EXPECT_EQ(pushed.error().code, ErrorCode::Exhausted) << pushed.error().message;
        EXPECT_LE(given, kLimit) << toString(method);
        EXPECT_EQ(decoder->finish(sink).error().code, ErrorCode::Exhausted) << "it stays failed";
    }
}

TEST(Decoder, GivesExactlyUpToItsLimit)
{
    // Around the size of the pieces that it gives.
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{131'071}, std::size_t{131'072},
                                   std::size_t{131'073}, std::size_t{262'144}}) {
        const std::string text = someText(size);
        for (const Method method : kDecoders) {
            const std::string whole = packed(method, text);
            const auto fits = decompressed(method, whole, 7777, size);
            ASSERT_TRUE(fits) << toString(method) << size << fits.error().message;
            EXPECT_EQ(*fits, text);
            if (size > 0) {
                EXPECT_EQ(decompressed(method, whole, 7777, size - 1).error().code, ErrorCode::Exhausted)
                    << toString(method) << size;
            }
        }
        EXPECT_EQ(decompressed(Method::None, text, 7777, size).value(), text);
        if (size > 0) {
            EXPECT_FALSE(decompressed(Method::None, text, 7777, size - 1));
        }
    }
}

TEST(Decoder, RefusesStreamsThatNeedTooMuchMemory)
{
    // A frame header of zstd that asks for a window of 2 GiB (RFC 8878, 3.1.1.1): magic, no flags,
    // exponent 21.
    const std::string header("\x28\xB5\x2F\xFD\x00\xA8\x01\x00\x00", 9);
    const auto read = decompressed(Method::Zstd, header);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::Exhausted) << read.error().message;
    // The header of an xz block whose dictionary has 4 GiB - 1 (".xz File Format", 5.3.1: property 40).
    std::string xz = compressed({Method::Xz, 0}, "text").value();
    const std::size_t block = 12;
    ASSERT_EQ(xz.substr(block + 2, 2), std::string("\x21\x01", 2));
    xz[block + 4] = 40;
    const auto* head = reinterpret_cast<const Bytef*>(xz.data()) + block;
    const auto checksum = static_cast<std::uint32_t>(crc32(0, head, 8));
    for (unsigned i = 0; i < 4; ++i)
        xz[block + 8 + i] = static_cast<char>(checksum >> (8 * i));
    const auto huge = decompressed(Method::Xz, xz);
    ASSERT_FALSE(huge);
    EXPECT_EQ(huge.error().code, ErrorCode::Exhausted) << huge.error().message;
}

TEST(Decoder, RefusesWhatIsOfAnotherMethod)
{
    const std::string text = someText(5000);
    for (const Method real : kDecoders)
        for (const Method said : kDecoders) {
            if (real == said)
                continue;
            const auto read = decompressed(said, packed(real, text));
            EXPECT_TRUE(!read || *read != text) << toString(real) << " read as " << toString(said);
            if (said != Method::Brotli) {
                ASSERT_FALSE(read);
                EXPECT_EQ(read.error().code, ErrorCode::Corrupt);
            }
        }
}

} // namespace
} // namespace penstock::compress
