// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/retry.h"

#include <gtest/gtest.h>

namespace penstock::work {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

TEST(BackOff, GrowsByItsFactorUpToItsMaximum)
{
    const RetryPolicy policy{.retries = 9, .initial = seconds(60), .factor = 3, .max = hours(1), .jitterPercent = 0};
    EXPECT_EQ(backOff(policy, StepId(1), 1), seconds(60));
    EXPECT_EQ(backOff(policy, StepId(1), 2), seconds(180));
    EXPECT_EQ(backOff(policy, StepId(1), 3), seconds(540));
    EXPECT_EQ(backOff(policy, StepId(1), 5), hours(1));
    EXPECT_EQ(backOff(policy, StepId(1), UINT32_MAX), hours(1));
}

TEST(BackOff, OfTheFarmTakesFractions)
{
    FarmBackOff policy{.initial = seconds(60), .factorThousandths = 1'500, .max = hours(1), .jitterPercent = 0};
    EXPECT_EQ(backOff(policy, StepId(1), 1), seconds(60));
    EXPECT_EQ(backOff(policy, StepId(1), 2), seconds(90));
    EXPECT_EQ(backOff(policy, StepId(1), 3), seconds(135));
    EXPECT_EQ(backOff(policy, StepId(1), UINT32_MAX), hours(1));
    policy.factorThousandths = 500;
    EXPECT_EQ(backOff(policy, StepId(1), 3), seconds(15));
    EXPECT_EQ(backOff(policy, StepId(1), UINT32_MAX), seconds(0));
    policy.factorThousandths = 0;
    EXPECT_EQ(backOff(policy, StepId(1), 2), seconds(0));
    policy.factorThousandths = 1'000;
    EXPECT_EQ(backOff(policy, StepId(1), UINT32_MAX), seconds(60));
    policy.factorThousandths = 3'000; // as a whole factor does
    EXPECT_EQ(backOff(policy, StepId(1), 3), seconds(540));
    const FarmBackOff huge{.initial = Duration::max(), .factorThousandths = UINT32_MAX, .max = Duration::max(),
                           .jitterPercent = 1000};
    EXPECT_GE(backOff(huge, StepId(1), 50), Duration(0));
}

TEST(BackOff, IsUpToItsJitterLongerAndReproducible)
{
    const RetryPolicy policy{.retries = 9, .initial = seconds(100), .factor = 1, .max = hours(1), .jitterPercent = 10};
    bool isSpread = false;
    for (std::uint64_t step = 1; step < 200; ++step) {
        const Duration delay = backOff(policy, StepId(step), 1);
        EXPECT_GE(delay, seconds(100));
        EXPECT_LE(delay, seconds(110));
        EXPECT_EQ(delay, backOff(policy, StepId(step), 1));
        isSpread = isSpread || delay != backOff(policy, StepId(step + 1), 1);
    }
    EXPECT_TRUE(isSpread);
}

TEST(BackOff, SurvivesAbsurdPolicies)
{
    const RetryPolicy huge{.retries = 1, .initial = Duration::max(), .factor = UINT32_MAX, .max = Duration::max(),
                           .jitterPercent = 1000};
    EXPECT_GE(backOff(huge, StepId(1), 50), Duration(0));
    const RetryPolicy negative{.retries = 1, .initial = seconds(-5), .factor = 0, .max = seconds(-1),
                               .jitterPercent = 10};
    EXPECT_EQ(backOff(negative, StepId(1), 3), Duration(0));
}

} // namespace
} // namespace penstock::work
