// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/byte_pipe.h"

#include <array>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace penstock {
namespace {

std::string readAll(BytePipe& pipe)
{
    std::string all;
    std::array<char, 7> buffer{};
    for (;;) {
        const auto count = pipe.read(buffer);
        if (!count || *count == 0)
            return count ? all : all + "!" + count.error().message;
        all.append(buffer.data(), *count);
    }
}

TEST(BytePipe, CarriesMoreThanItHolds)
{
    BytePipe pipe(16);
    std::string sent(10'000, 'x');
    for (std::size_t i = 0; i < sent.size(); ++i)
        sent[i] = static_cast<char>('a' + i % 26);
    std::thread writer([&] {
        EXPECT_TRUE(pipe.write(sent));
        pipe.finish();
    });
    EXPECT_EQ(readAll(pipe), sent);
    writer.join();
}

TEST(BytePipe, AWritersErrorReachesTheReader)
{
    BytePipe pipe(16);
    pipe.fail({ErrorCode::Corrupt, "broken"});
    EXPECT_EQ(readAll(pipe), "!broken");
}

TEST(BytePipe, AReaderThatLeavesWakesTheWriter)
{
    BytePipe pipe(4);
    Result<void> written;
    std::thread writer([&] { written = pipe.write("more than four bytes"); });
    pipe.abandon({ErrorCode::Cancelled, "enough"});
    writer.join();
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ErrorCode::Cancelled);
}

} // namespace
} // namespace penstock
