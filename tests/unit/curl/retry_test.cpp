// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/curl/retry.h"

#include <gtest/gtest.h>

namespace penstock::curl {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kLargest = 0xFFFF'FFFF;

TEST(BackOff, GrowsByTheFactorUpToTheCap)
{
    const BackOff backOff{.initial = milliseconds(100), .factor = 3, .cap = seconds(2)};
    const auto nearly = [&](unsigned retry) {
        return std::chrono::round<milliseconds>(delayBefore(backOff, retry, kLargest));
    };
    EXPECT_EQ(nearly(1), milliseconds(100));
    EXPECT_EQ(nearly(2), milliseconds(300));
    EXPECT_EQ(nearly(3), milliseconds(900));
    EXPECT_EQ(nearly(4), milliseconds(2000));
    EXPECT_EQ(nearly(4'000'000'000), milliseconds(2000));
}

TEST(BackOff, SpreadsBetweenHalfAndWhole)
{
    const BackOff backOff{.initial = seconds(4), .cap = seconds(60)};
    EXPECT_EQ(delayBefore(backOff, 1, 0), seconds(2));
    EXPECT_EQ(delayBefore(backOff, 1, 1U << 31U), seconds(3));
    EXPECT_LE(delayBefore(backOff, 1, kLargest), seconds(4));
    EXPECT_EQ(delayBefore({.initial = hours(100), .cap = hours(100)}, 9, 0), hours(50));
    EXPECT_GT(delayBefore({.initial = hours(100), .cap = hours(100)}, 9, kLargest), hours(99));
}

TEST(BackOff, WaitsAsLongAsTheServerAsksButNotAboveTheCap)
{
    const BackOff backOff{.initial = seconds(1), .cap = seconds(10)};
    EXPECT_EQ(delayBefore(backOff, 1, 0, seconds(7)), seconds(7));
    EXPECT_EQ(delayBefore(backOff, 1, 0, hours(7)), seconds(10));
    EXPECT_EQ(delayBefore(backOff, 1, 0, seconds(0)), milliseconds(500));
}

TEST(Retry, IsWorthItForPassingTroubleOnly)
{
    for (const unsigned status : {408U, 425U, 429U, 500U, 502U, 503U, 504U})
        EXPECT_TRUE(isWorthRetrying(status)) << status;
    for (const unsigned status : {0U, 200U, 301U, 400U, 401U, 403U, 404U, 409U, 412U, 422U, 501U, 505U, 507U})
        EXPECT_FALSE(isWorthRetrying(status)) << status;
    EXPECT_TRUE(isWorthRetrying(ErrorCode::Unavailable));
    EXPECT_TRUE(isWorthRetrying(ErrorCode::Timeout));
    for (const ErrorCode code :
         {ErrorCode::Invalid, ErrorCode::Denied, ErrorCode::Cancelled, ErrorCode::Conflict,
          ErrorCode::Corrupt, ErrorCode::Exhausted, ErrorCode::NotFound, ErrorCode::Internal})
        EXPECT_FALSE(isWorthRetrying(code)) << toString(code);
}

TEST(RetryAfter, IsSecondsOrADate)
{
    const WallTime now = WallTime::fromMicros(1'369'353'600'000'000); // 2013-05-24T00:00:00Z
    EXPECT_EQ(parseRetryAfter(" 120 ", now), seconds(120));
    EXPECT_EQ(parseRetryAfter("Fri, 24 May 2013 00:01:05 GMT", now), seconds(65));
    EXPECT_EQ(parseRetryAfter("Thu, 23 May 2013 00:01:05 GMT", now), seconds(0));
    EXPECT_EQ(parseRetryAfter("18446744073709551615", now), hours(366 * 24));
    for (const char* text :
         {"", "soon", "-1", "1.5", "Fri, 24 Mai 2013 00:01:05 GMT", "Fri, 31 Feb 2013 00:01:05 GMT",
          "Friday, 24-May-13 00:01:05 GMT", "Fri, 24 May 2013 00:01:05 CET"})
        EXPECT_EQ(parseRetryAfter(text, now), std::nullopt) << text;
}

} // namespace
} // namespace penstock::curl
