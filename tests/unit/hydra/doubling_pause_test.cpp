// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/doubling_pause.h"

#include <gtest/gtest.h>

namespace penstock::hydra {
namespace {

using std::chrono::seconds;

TEST(DoublingPause, GrowsToTheLongestAndBeginsAnewWhenItIsReset)
{
    DoublingPause pause(seconds(1), seconds(5));
    for (const auto expected : {seconds(1), seconds(2), seconds(4), seconds(5), seconds(5)})
        EXPECT_EQ(pause.next(), expected);
    pause.reset();
    EXPECT_EQ(pause.next(), seconds(1));
}

} // namespace
} // namespace penstock::hydra
