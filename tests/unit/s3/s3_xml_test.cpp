// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/s3_xml.h"

#include "server/cache/s3_parts.h"

#include <gtest/gtest.h>

namespace penstock::cache {
namespace {

TEST(S3Xml, ReadsElementsTextEntitiesAndSkipsAttributes)
{
    const auto root = parseXml(
        " \n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a xmlns=\"http://x/\" b='>' >\n <c>1 &amp;&lt;"
        "&gt;&quot;&apos;&#65;&#xe9;&#x1F600;</c><d/><c>2</c>\n</a>\n");
    ASSERT_TRUE(root) << root.error().message;
    EXPECT_EQ(root->name, "a");
    EXPECT_EQ(root->text, "");
    ASSERT_EQ(root->children.size(), 3U);
    EXPECT_EQ(root->textOf("c"), "1 &<>\"'A\u00e9\U0001F600");
    EXPECT_EQ(root->textOf("d"), "");
    EXPECT_NE(root->child("d"), nullptr);
    EXPECT_EQ(root->child("e"), nullptr);
}

TEST(S3Xml, RefusesWhatS3NeverSends)
{
    for (const char* text : {"",
                             "text",
                             "<a>",
                             "<a></b>",
                             "<a><b></a></b>",
                             "<a/><b/>",
                             "<a/>x",
                             "<a>&nbsp;</a>",
                             "<a>&#0;</a>",
                             "<a>&#xD800;</a>",
                             "<a>&#x110000;</a>",
                             "<a>&#;</a>",
                             "<a>&#99999999999;</a>",
                             "<a>&amp</a>",
                             "<a b></a>",
                             "<a b=c></a>",
                             "<a b=\"c></a>",
                             "<a b=\"c\"d=\"e\"/>",
                             "<!DOCTYPE a []><a/>",
                             "<a><![CDATA[x]]></a>",
                             "<a><!-- x --></a>",
                             "<a>x<b/>y</a>",
                             "<",
                             "<>",
                             "</a>",
                             "<?xml",
                             "<a",
                             "<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>"}) {
        const auto root = parseXml(text);
        ASSERT_FALSE(root) << text;
        EXPECT_EQ(root.error().code, ErrorCode::Corrupt);
    }
}

TEST(S3Xml, EscapesAndReadsBackAnything)
{
    const std::string odd = "\"a\"<b>&c;'";
    EXPECT_EQ(parseXml("<a>" + escapeXml(odd) + "</a>")->text, odd);
}

TEST(S3Parts, GrowSoThatTenThousandHoldTheLargestObject)
{
    constexpr std::uint64_t kFirst = 8U << 20U;
    EXPECT_EQ(partBytesOf(kFirst, 1), kFirst);
    EXPECT_EQ(partBytesOf(kFirst, 1000), kFirst);
    EXPECT_EQ(partBytesOf(kFirst, 1001), 2 * kFirst);
    for (const std::uint64_t first : {std::uint64_t{5U << 20U}, kFirst, std::uint64_t{5ULL << 30U}}) {
        std::uint64_t all = 0;
        for (unsigned number = 1; number <= kMaxParts; ++number) {
            EXPECT_LE(partBytesOf(first, number), 5ULL << 30U);
            all += partBytesOf(first, number);
        }
        EXPECT_GE(all, first < kFirst ? 4ULL << 40U : 5ULL << 40U);
    }
}

} // namespace
} // namespace penstock::cache
