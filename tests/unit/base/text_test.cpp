// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/text.h"

#include <array>
#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Text, SplitKeepsEmptyParts)
{
    EXPECT_EQ(split("a,,b", ','), (std::vector<std::string_view>{"a", "", "b"}));
    EXPECT_TRUE(split("", ',').empty());
}

TEST(Text, ParseUnsignedRefusesEverythingButOneNumber)
{
    EXPECT_EQ(parseUnsigned("18446744073709551615").value(), 18446744073709551615ULL);
    for (const char* bad : {"", "-1", "+1", "1 ", "0x1", "18446744073709551616", "1.0"})
        EXPECT_FALSE(parseUnsigned(bad)) << bad;
}

TEST(Text, ByteSizesTellBinaryFromDecimal)
{
    EXPECT_EQ(parseByteSize("512MiB").value(), 512ULL << 20U);
    EXPECT_EQ(parseByteSize("2GB").value(), 2'000'000'000ULL);
    EXPECT_EQ(parseByteSize("7").value(), 7U);
    for (const char* bad : {"", "i", "5X", "5iB", "-5", "5 MiB", "99999999999T"})
        EXPECT_FALSE(parseByteSize(bad)) << bad;
}

TEST(Text, DurationsDefaultToSeconds)
{
    EXPECT_EQ(parseDuration("90").value(), std::chrono::seconds(90));
    EXPECT_EQ(parseDuration("250ms").value(), std::chrono::milliseconds(250));
    EXPECT_EQ(parseDuration("2d").value(), std::chrono::hours(48));
    EXPECT_FALSE(parseDuration("1w"));
    EXPECT_EQ(parseDuration("99999999999999d").error().code, ErrorCode::Exhausted);
}

TEST(Text, TimesAreRfc3339InUtc)
{
    EXPECT_EQ(formatRfc3339(WallTime::fromMicros(0)), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(formatRfc3339(WallTime::fromMicros(1'795'241'836'250'000)), "2026-11-21T06:17:16.250Z");
}

TEST(Text, IllFormedUtf8IsReplacedByteByByte)
{
    EXPECT_TRUE(isUtf8("gr\xC3\xBC\xC3\x9F"));
    EXPECT_FALSE(isUtf8("\xC0\xAF"));
    EXPECT_FALSE(isUtf8("\xED\xA0\x80"));
    EXPECT_EQ(toValidUtf8("a\xFF\xC3"), "a\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Text, NearestWordIsWithinTwoEdits)
{
    constexpr std::array<std::string_view, 2> kWords{"listen", "log-level"};
    EXPECT_EQ(nearestWord("lsten", kWords), "listen");
    EXPECT_EQ(nearestWord("completely", kWords), "");
}

} // namespace
} // namespace penstock
