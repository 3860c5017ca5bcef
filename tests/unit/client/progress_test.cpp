// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/output/progress.h"

#include <gtest/gtest.h>

namespace penstock::client {
namespace {

constexpr WallTime at(std::int64_t seconds)
{
    return WallTime::fromMicros(seconds * 1'000'000);
}

StepProgress running(std::string name, std::int64_t since)
{
    return {std::move(name), StepPhase::Running, "b1", "buildPhase", at(since)};
}

TEST(Progress, ShowsASummaryAndTheLongestRunningFirst)
{
    const StepProgressMap steps{{1, running("young", 90)},
                                {2, running("old", 10)},
                                {3, {"done", StepPhase::Succeeded, "", "", {}}},
                                {4, {"later", StepPhase::Waiting, "", "", {}}}};
    const auto lines = renderProgress(steps, {60, 10, at(100)}, {});
    ASSERT_EQ(lines.size(), 3U);
    EXPECT_EQ(lines[0], "[1/4] 2 running, 1 waiting, 1 built");
    EXPECT_EQ(lines[1], "  > old on b1 (buildPhase) 90s");
    EXPECT_EQ(lines[2], "  > young on b1 (buildPhase) 10s");
}

TEST(Progress, NeverGetsWiderOrHigherThanTheScreen)
{
    StepProgressMap steps;
    for (std::uint64_t id = 1; id <= 50; ++id)
        steps[id] = running("a-derivation-with-a-long-name-" + std::to_string(id), 0);
    for (const std::size_t width : {10U, 20U, 40U, 80U}) {
        const auto lines = renderProgress(steps, {width, 6, at(5)}, {});
        EXPECT_EQ(lines.size(), 6U);
        EXPECT_NE(lines.back().find(width >= 40 ? "and 46 more running" : "  a"), std::string::npos);
        for (const auto& line : lines)
            EXPECT_LE(displayWidth(line), width) << line;
    }
}

TEST(Progress, TellsChangesInPlainLines)
{
    EXPECT_EQ(describeChange(running("x", 0), {}), "building x on b1");
    EXPECT_EQ(describeChange({"x", StepPhase::Failed, "", "exit code 1", {}}, {}), "failed x: exit code 1");
    EXPECT_EQ(describeChange({"x", StepPhase::Waiting, "", "machine lost", {}}, {}),
              "trying x again soon: machine lost");
    EXPECT_EQ(describeChange({"x", StepPhase::Cached, "", "", {}}, {}), "");
}

TEST(Progress, SummarizesWhatHappened)
{
    EXPECT_EQ(summarize({}), "no steps");
    EXPECT_EQ(summarize({{1, {"a", StepPhase::Cached, "", "", {}}},
                         {2, {"b", StepPhase::Failed, "", "", {}}},
                         {3, {"c", StepPhase::NotBuilt, "", "", {}}}}),
              "1 already there, 1 failed, 1 not built");
}

} // namespace
} // namespace penstock::client
