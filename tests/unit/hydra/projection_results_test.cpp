// SPDX-License-Identifier: GPL-3.0-or-later
// Results of ours in Hydra's words.
#include "server/hydra/results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::hydra {
namespace {

using ::testing::ElementsAre;
using work::AttemptEnd;
using work::StepResult;

TEST(HydraResults, EachEndOfAnAttemptHasItsStatus)
{
    const std::vector<std::pair<AttemptEnd, int>> table{
        {AttemptEnd::Succeeded, 0},      {AttemptEnd::Cached, 0},    {AttemptEnd::Failed, 1},
        {AttemptEnd::TimedOut, 7},       {AttemptEnd::SilentTimedOut, 7}, {AttemptEnd::LogLimit, 10},
        {AttemptEnd::OutputLimit, 11},   {AttemptEnd::NotDeterministic, 12}, {AttemptEnd::Transient, 3},
        {AttemptEnd::Infrastructure, 3}, {AttemptEnd::Rejected, 3},  {AttemptEnd::Lost, 3},
        {AttemptEnd::Cancelled, 4}};
    for (const auto& [end, status] : table)
        EXPECT_EQ(static_cast<int>(statusOf(end)), status) << work::toString(end);
}

TEST(HydraResults, EachResultOfAStepHasItsStatusAndBuildsAboveHaveTheirs)
{
    struct Line {
        StepResult result;
        int step;
        int own;   // of a build whose own derivation it is
        int above; // of a build that depends on it
    };
    const std::vector<Line> table{
        {StepResult::Failed, 1, 1, 2},
        {StepResult::TimedOut, 7, 7, 7},
        {StepResult::SilentTimedOut, 7, 7, 7},
        {StepResult::LogLimit, 10, 10, 10},
        {StepResult::OutputLimit, 11, 11, 11},
        {StepResult::NotDeterministic, 12, 12, 12},
        {StepResult::Cancelled, 4, 4, 4},
        {StepResult::Unsupported, 9, 9, 9},
        {StepResult::Aborted, 3, 3, 3},
        {StepResult::DependencyFailed, 3, 3, 3}};
    for (const Line& line : table) {
        const Status status = statusOf(line.result);
        EXPECT_EQ(static_cast<int>(status), line.step) << work::toString(line.result);
        EXPECT_EQ(static_cast<int>(buildStatusOf(status, true)), line.own) << work::toString(line.result);
        EXPECT_EQ(static_cast<int>(buildStatusOf(status, false)), line.above) << work::toString(line.result);
    }
    EXPECT_EQ(buildStatusOf(Status::CachedFailure, true), Status::Failed) << "8 belongs to steps";
    EXPECT_EQ(buildStatusOf(Status::CachedFailure, false), Status::DependencyFailed);
}

TEST(HydraResults, TextsAreKeptWhereTheyAreShownAndAreNeverEmpty)
{
    for (const Status status : {Status::Failed, Status::Aborted, Status::Unsupported}) {
        EXPECT_EQ(errorTextOf(status, "why"), "why");
        EXPECT_EQ(errorTextOf(status, ""), std::nullopt);
    }
    for (const Status status : {Status::Succeeded, Status::Cancelled, Status::TimedOut, Status::LogLimit,
                                Status::OutputLimit, Status::NotDeterministic})
        EXPECT_EQ(errorTextOf(status, "why"), std::nullopt);
    EXPECT_EQ(errorTextOf(Status::Aborted, std::string("a\0b\xFF", 4)), "ab\xEF\xBF\xBD");
    EXPECT_EQ(unsupportedText("riscv64-linux", {}), "unsupported system type 'riscv64-linux'");
    EXPECT_EQ(unsupportedText("x86_64-linux", {"big", "kvm"}), "unsupported system type 'x86_64-linux:big,kvm'");
}

TEST(HydraResults, OnlyPermanentFailuresAreRemembered)
{
    for (int number = 0; number <= 13; ++number)
        EXPECT_EQ(isCacheable(static_cast<Status>(number)), number == 1 || number == 12) << number;
}

TEST(HydraResults, TimesThatNoColumnCanHoldAreNone)
{
    const auto at = [](std::int64_t seconds) { return WallTime::fromMicros(seconds * 1'000'000); };
    EXPECT_EQ(secondsOf(at(1'790'000'000)), 1'790'000'000);
    EXPECT_EQ(secondsOf(std::nullopt), std::nullopt);
    EXPECT_EQ(secondsOf(at(0)), std::nullopt) << "the columns refuse 0";
    EXPECT_EQ(secondsOf(at(-5)), std::nullopt);
    EXPECT_EQ(secondsOf(at(2'147'483'647)), 2'147'483'647);
    EXPECT_EQ(secondsOf(at(2'147'483'648)), std::nullopt);
}

TEST(HydraResults, ALogIsNamedByTheDerivation)
{
    const std::string path = logPathOf("/var/lib/hydra", "/nix/store/abcdef-hello.drv");
    EXPECT_EQ(path, "/var/lib/hydra/build-logs/ab/cdef-hello.drv");
    EXPECT_EQ(logFieldOf(path, true), path);
    EXPECT_EQ(logFieldOf(path, false), "-");
    EXPECT_EQ(logFieldOf("/a\tb", true), "-") << "a tab parts the fields";
    EXPECT_EQ(logFieldOf("relative", true), "-");
    EXPECT_EQ(logPathOf("/d", "x"), "/d/build-logs/x/");
}

TEST(HydraResults, PayloadsStayBelowTheLimitAndEachBeginsWithTheHead)
{
    EXPECT_THAT(finishedPayloads(7, {}), ElementsAre("7"));
    EXPECT_THAT(finishedPayloads(7, {5, 7}), ElementsAre("7\t5\t7"));
    std::vector<std::int32_t> many;
    for (std::int32_t build = 0; build < 5'000; ++build)
        many.push_back(2'000'000'000 + build);
    std::size_t ids = 0;
    for (const std::string& payload : finishedPayloads(2'000'000'000, many)) {
        EXPECT_LT(payload.size(), kMaxPayload);
        EXPECT_TRUE(payload.starts_with("2000000000\t"));
        ids += static_cast<std::size_t>(std::ranges::count(payload, '\t'));
    }
    EXPECT_EQ(ids, many.size());
}

TEST(HydraResults, NamesOfProductsAreFitForLinks)
{
    EXPECT_EQ(productName("a-1.0_x+y @:.iso"), "a-1.0_x+y @:.iso");
    EXPECT_EQ(productName("a/b"), "");
    EXPECT_EQ(productName("a\"b"), "");
    EXPECT_EQ(productName(""), "");
}

} // namespace
} // namespace penstock::hydra
