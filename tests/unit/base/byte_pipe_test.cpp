// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/byte_pipe.h"

#include <gtest/gtest.h>
#include <string>
#include <thread>

namespace penstock {
namespace {

std::string someBytes(std::size_t count)
{
    std::string bytes;
    for (std::size_t i = 0; i < count; ++i)
        bytes.push_back(static_cast<char>((i * 2654435761U) >> 11U));
    return bytes;
}

Result<std::string> readAll(BytePipe& pipe, std::size_t piece)
{
    std::string all;
    std::string into(piece, '\0');
    for (;;) {
        PENSTOCK_TRY(const std::size_t count, pipe.read(into));
        if (count == 0)
            return all;
        all.append(into, 0, count);
    }
}

TEST(BytePipe, KeepsTheBytesInOrderWhateverTheSizesOfPieces)
{
    const std::string sent = someBytes(20'000);
    for (const std::size_t limit : {std::size_t{1}, std::size_t{7}, std::size_t{64}, std::size_t{30'000}})
        for (const std::size_t out : {std::size_t{1}, std::size_t{5}, std::size_t{64}, std::size_t{4096}}) {
            BytePipe pipe(limit);
            std::thread writer([&] {
                for (std::size_t at = 0, size = 1; at < sent.size(); at += size, size = size % 97 + 3)
                    EXPECT_TRUE(pipe.write(std::string_view(sent).substr(at, size)));
                pipe.finish();
            });
            EXPECT_EQ(readAll(pipe, out).value(), sent) << limit << ", " << out;
            writer.join();
        }
}

TEST(BytePipe, TheReaderGetsTheWritersError)
{
    BytePipe pipe(8);
    ASSERT_TRUE(pipe.write("abc"));
    pipe.fail({ErrorCode::Corrupt, "broken"});
    std::string into(8, '\0');
    EXPECT_EQ(pipe.read(into).error().code, ErrorCode::Corrupt);
}

TEST(BytePipe, AWriterThatWaitsIsToldThatNobodyReadsAnyMore)
{
    BytePipe pipe(4);
    std::thread reader([&] {
        std::string into(1, '\0');
        EXPECT_EQ(pipe.read(into).value(), 1U);
        pipe.abandon({ErrorCode::Cancelled, "enough"});
    });
    EXPECT_EQ(pipe.write("more than there is room for").error().code, ErrorCode::Cancelled);
    reader.join();
}

TEST(BytePipe, AnEndWithoutBytesIsAnEnd)
{
    BytePipe pipe(4);
    pipe.finish();
    std::string into(1, '\0');
    EXPECT_EQ(pipe.read(into).value(), 0U);
}

} // namespace
} // namespace penstock
