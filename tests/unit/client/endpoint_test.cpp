// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/api/endpoint.h"

#include <gtest/gtest.h>

namespace penstock::client {
namespace {

TEST(Endpoint, TakesSchemesAndBareAddresses)
{
    EXPECT_EQ(*parseEndpoint("ws://127.0.0.1:7780"), (Endpoint{false, "127.0.0.1", 7780, ""}));
    EXPECT_EQ(*parseEndpoint("farm.example"), (Endpoint{false, "farm.example", 7780, ""}));
    EXPECT_EQ(*parseEndpoint("farm:99"), (Endpoint{false, "farm", 99, ""}));
    EXPECT_EQ(*parseEndpoint("WSS://farm"), (Endpoint{true, "farm", 7780, ""}));
    EXPECT_EQ(*parseEndpoint("https://farm/"), (Endpoint{true, "farm", 443, ""}));
    EXPECT_EQ(*parseEndpoint(" http://farm/a/b/ "), (Endpoint{false, "farm", 80, "/a/b"}));
    EXPECT_EQ(*parseEndpoint("[::1]:8000"), (Endpoint{false, "::1", 8000, ""}));
    EXPECT_EQ(parseEndpoint("ws://[::1]")->authority(), "[::1]:7780");
}

TEST(Endpoint, RefusesWhatIsNoServerAndSaysWhy)
{
    for (const char* text : {"", "ws://", "ftp://farm", "farm:0", "farm:65536", "farm:x", "a b", "user@farm",
                             "[::1", "ws://h/a?b", "[::1]x"}) {
        const auto result = parseEndpoint(text);
        ASSERT_FALSE(result) << text;
        EXPECT_NE(result.error().message.find("write it like"), std::string::npos) << text;
    }
}

TEST(Endpoint, TextCanBeReadAgain)
{
    for (const char* text : {"ws://farm:1/x", "wss://[fe80::1]:443", "https://a.b/c"}) {
        const auto endpoint = parseEndpoint(text);
        ASSERT_TRUE(endpoint);
        EXPECT_EQ(*parseEndpoint(endpoint->text()), *endpoint);
    }
}

} // namespace
} // namespace penstock::client
