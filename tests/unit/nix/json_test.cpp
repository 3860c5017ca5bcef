// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/json.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

using test::must;

TEST(Json, ReadsEveryKindOfValue)
{
    const auto value = parseJson(R"( {"a":[1,-2.5e+3,true,false,null],"b":{"c":"d"},"a2":""} )");
    ASSERT_TRUE(value) << value.error().message;
    const JsonValue::Array& items = must(must(value->member("a")).asArray());
    EXPECT_EQ(must(items.at(0).asNumber()).text, "1");
    EXPECT_EQ(must(items.at(1).asNumber()).text, "-2.5e+3");
    EXPECT_TRUE(must(items.at(2).asBool()));
    EXPECT_FALSE(must(items.at(3).asBool()));
    EXPECT_EQ(must(must(must(value->member("b")).member("c")).asString()), "d");
    EXPECT_EQ(value->member("missing"), nullptr);
}

TEST(Json, ReadsEscapes)
{
    EXPECT_EQ(must(parseJson(R"("\"\\\/\b\f\n\r\t\u0041\u00e9\u96ea\ud83d\ude00")").value().asString()),
              "\"\\/\b\f\n\r\tAé雪😀");
}

TEST(Json, RefusesWhatIsNotJson)
{
    for (const char* text : {"",    "{",  "[1,]", "{\"a\"}", "{\"a\":1,}", "[1 2]",       "tru",
                             "1 2", "\"", "\"\\", "\"\\x\"", "\"\\u12\"",  "\"\\ud800\"", "\"\\udc00\"",
                             "01",  "-",  "1.",   "1e",      "{a:1}",      "nul"}) {
        const auto value = parseJson(text);
        ASSERT_FALSE(value) << text;
        EXPECT_EQ(value.error().code, ErrorCode::Corrupt);
    }
}

TEST(Json, LimitsNesting)
{
    const auto nested = [](unsigned depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    EXPECT_TRUE(parseJson(nested(kMaxJsonNesting + 1)));
    const auto deeper = parseJson(nested(kMaxJsonNesting + 2));
    ASSERT_FALSE(deeper);
    EXPECT_EQ(deeper.error().code, ErrorCode::Exhausted);
}

} // namespace
} // namespace penstock::nix
