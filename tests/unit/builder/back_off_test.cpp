// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/link/back_off.h"

#include "builder/link/server_link.h"

#include <gtest/gtest.h>

namespace penstock::builder {
namespace {

using namespace std::chrono_literals;

TEST(BackOff, DoublesFromAQuarterSecondToFifteen)
{
    const std::vector<std::chrono::milliseconds> expected{250ms, 500ms, 1s, 2s, 4s, 8s, 15s, 15s};
    for (std::uint32_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(waitBeforeRetry(i + 1, std::nullopt, 1.0), expected[i]) << i;
    EXPECT_EQ(waitBeforeRetry(1'000'000, std::nullopt, 1.0), 15s);
}

TEST(BackOff, SpreadsOverHalfOfTheWait)
{
    EXPECT_EQ(waitBeforeRetry(3, std::nullopt, 0.0), 500ms);
    EXPECT_EQ(waitBeforeRetry(3, std::nullopt, 0.5), 750ms);
}

TEST(BackOff, WaitsLongerWhenAPersonMustActAndAsLongAsAsked)
{
    using protocol::Goodbye;
    using protocol::GoodbyeReason;
    EXPECT_EQ(waitBeforeRetry(1, Goodbye{GoodbyeReason::Denied, "", {}}, 1.0), kRefusedWait);
    EXPECT_EQ(waitBeforeRetry(1, Goodbye{GoodbyeReason::Version, "", {}}, 1.0), kRefusedWait);
    EXPECT_EQ(waitBeforeRetry(1, Goodbye{GoodbyeReason::Restarting, "", {}}, 1.0), 250ms);
    EXPECT_EQ(waitBeforeRetry(1, Goodbye{GoodbyeReason::Overloaded, "", 5s}, 1.0), 5s);
    EXPECT_EQ(waitBeforeRetry(1, Goodbye{GoodbyeReason::Overloaded, "", 24h}, 1.0), kMaxAskedWait);
}

TEST(LinkUrl, AddsThePathAndRefusesOtherSchemes)
{
    EXPECT_EQ(linkUrl("ws://h:7780").value_or(""), "ws://h:7780/link");
    EXPECT_EQ(linkUrl("wss://h/").value_or(""), "wss://h/link");
    EXPECT_EQ(linkUrl("wss://h/farm/link").value_or(""), "wss://h/farm/link");
    for (const char* text : {"", "h:7780", "http://h", "ws://", "ws:///link"})
        EXPECT_FALSE(linkUrl(text)) << text;
}

} // namespace
} // namespace penstock::builder
