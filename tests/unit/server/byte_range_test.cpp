// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/byte_range.h"

#include <gtest/gtest.h>

namespace penstock::http {
namespace {

RangeChoice part(std::uint64_t offset, std::uint64_t length)
{
    return {RangeKind::Part, offset, length};
}

const RangeChoice kWhole{RangeKind::Whole, 0, 1'000};
const RangeChoice kUnsatisfiable{RangeKind::Unsatisfiable, 0, 0};

RequestHead head(std::vector<std::pair<std::string, std::string>> headers)
{
    RequestHead made;
    made.headers = std::move(headers);
    return made;
}

TEST(ByteRange, TakesOneRangeInEachOfItsThreeForms)
{
    EXPECT_EQ(chooseRange("bytes=0-0", 1'000), part(0, 1));
    EXPECT_EQ(chooseRange("bytes=10-19", 1'000), part(10, 10));
    EXPECT_EQ(chooseRange("bytes=10-", 1'000), part(10, 990));
    EXPECT_EQ(chooseRange("bytes=-10", 1'000), part(990, 10));
    EXPECT_EQ(chooseRange("Bytes= 10-19 ", 1'000), part(10, 10));
}

TEST(ByteRange, EndsWhereTheFileEnds)
{
    EXPECT_EQ(chooseRange("bytes=990-2000", 1'000), part(990, 10));
    EXPECT_EQ(chooseRange("bytes=0-99999999999999999999999", 1'000), part(0, 1'000));
    EXPECT_EQ(chooseRange("bytes=-5000", 1'000), part(0, 1'000));
}

TEST(ByteRange, RefusesWhatBeginsAtOrPastTheEnd)
{
    EXPECT_EQ(chooseRange("bytes=999-", 1'000), part(999, 1));
    EXPECT_EQ(chooseRange("bytes=1000-", 1'000), kUnsatisfiable);
    EXPECT_EQ(chooseRange("bytes=99999999999999999999999-", 1'000), kUnsatisfiable);
    EXPECT_EQ(chooseRange("bytes=-0", 1'000), kUnsatisfiable);
    EXPECT_EQ(chooseRange("bytes=0-", 0), kUnsatisfiable);
}

TEST(ByteRange, SendsTheWholeForWhatAServerMayIgnore)
{
    for (const auto* text : {"", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5", "bytes=9-3", "lines=1-2",
                             "bytes=0-1,5-6", "bytes=+1-2", "bytes=1--2", "bytes=1-2x"})
        EXPECT_EQ(chooseRange(text, 1'000), kWhole) << text;
}

TEST(ByteRange, SendsTheWholeWhenIfRangeNamesAnotherVersion)
{
    EXPECT_EQ(chooseRange(head({{"range", "bytes=1-2"}, {"if-range", "\"a\""}}), "\"a\"", 1'000), part(1, 2));
    EXPECT_EQ(chooseRange(head({{"range", "bytes=1-2"}, {"if-range", "\"b\""}}), "\"a\"", 1'000), kWhole);
    EXPECT_EQ(chooseRange(head({{"range", "bytes=1-2"}, {"if-range", "W/\"a\""}}), "\"a\"", 1'000), kWhole);
}

TEST(ByteRange, KnowsAVersionThatThePeerHas)
{
    EXPECT_TRUE(hasAlready(head({{"if-none-match", "\"x\", W/\"a\""}}), "\"a\""));
    EXPECT_TRUE(hasAlready(head({{"if-none-match", "*"}}), "\"a\""));
    EXPECT_FALSE(hasAlready(head({{"if-none-match", "\"x\""}}), "\"a\""));
    EXPECT_FALSE(hasAlready(head({}), "\"a\""));
}

} // namespace
} // namespace penstock::http
