// SPDX-License-Identifier: GPL-3.0-or-later
// The workloads and bounds that the scheduler is judged by must themselves be right.
#include "tests/support/workload_requests.h"
#include "tests/support/workloads.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace penstock::test {
namespace {

constexpr Duration kMinute = std::chrono::minutes(1);

Evaluation chainOf(std::size_t steps, Duration arrival)
{
    Evaluation evaluation{"chain", "group", arrival, {}};
    for (std::uint32_t i = 0; i < steps; ++i) {
        TrueStep step{"step", {}, kMinute};
        if (i > 0)
            step.dependsOn.push_back(i - 1);
        evaluation.steps.push_back(std::move(step));
    }
    return evaluation;
}

Evaluation looseOf(std::size_t steps, Duration arrival)
{
    Evaluation evaluation{"loose", "group", arrival, {}};
    for (std::size_t i = 0; i < steps; ++i)
        evaluation.steps.push_back({"step", {}, kMinute});
    return evaluation;
}

std::vector<Evaluation> someMix(std::uint64_t run)
{
    static const PackageSet kPackages(2'000, 7);
    return mixedEvaluations(kPackages, {3, 500, 2'000, std::chrono::hours(1), 5, run});
}

TEST(Workloads, EqualSeedsGiveEqualEvaluations)
{
    const auto a = someMix(0);
    const auto b = someMix(0);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t e = 0; e < a.size(); ++e) {
        ASSERT_EQ(a[e].steps.size(), b[e].steps.size());
        EXPECT_EQ(a[e].arrival, b[e].arrival);
        for (std::size_t i = 0; i < a[e].steps.size(); ++i) {
            EXPECT_EQ(a[e].steps[i].duration, b[e].steps[i].duration);
            EXPECT_EQ(a[e].steps[i].dependsOn, b[e].steps[i].dependsOn);
        }
    }
}

TEST(Workloads, AnotherRunHasTheSamePackagesAndOtherDurations)
{
    const auto a = someMix(0);
    const auto b = someMix(1);
    EXPECT_EQ(a[0].steps.size(), b[0].steps.size()); // of everything
    EXPECT_EQ(a[0].steps[100].name, b[0].steps[100].name);
    EXPECT_NE(a[0].steps[100].duration, b[0].steps[100].duration);
}

TEST(Workloads, DependenciesComeBeforeTheirStepsAndRootsAreWhatNothingNeeds)
{
    for (const Evaluation& evaluation : someMix(0)) {
        std::vector<bool> isNeeded(evaluation.steps.size());
        for (std::uint32_t i = 0; i < evaluation.steps.size(); ++i) {
            const TrueStep& step = evaluation.steps[i];
            EXPECT_GT(step.duration, Duration(0));
            for (const std::uint32_t need : step.dependsOn) {
                ASSERT_LT(need, i);
                isNeeded[need] = true;
            }
        }
        for (std::size_t i = 0; i < isNeeded.size(); ++i)
            EXPECT_NE(evaluation.steps[i].root, isNeeded[i]);
    }
}

TEST(Workloads, ALargeEvaluationHasOneHubThatAllOthersNeed)
{
    const Evaluation evaluation = largeEvaluation(5'000, 3);
    ASSERT_EQ(evaluation.steps.size(), 5'000U);
    for (std::uint32_t i = 1; i < evaluation.steps.size(); ++i) {
        ASSERT_EQ(evaluation.steps[i].dependsOn.front(), 0U);
        ASSERT_LT(evaluation.steps[i].dependsOn.back(), i);
    }
}

TEST(Workloads, AChainBoundsFromItsArrival)
{
    const LowerBound bound = lowerBound({chainOf(10, kMinute * 5)}, {4, 4.0, 1.0});
    EXPECT_EQ(bound.criticalPath, kMinute * 15);
    EXPECT_EQ(bound.combined, kMinute * 15);
}

TEST(Workloads, WorkOnAllSlotsBoundsLooseSteps)
{
    const LowerBound bound = lowerBound({looseOf(40, Duration(0))}, {4, 4.0, 1.0});
    EXPECT_EQ(bound.criticalPath, kMinute);
    EXPECT_EQ(bound.work, kMinute * 10);
    EXPECT_EQ(bound.combined, kMinute * 10);
}

TEST(Workloads, TheCombinedBoundSeesSlotsThatMustStandIdle)
{
    // Ten minutes of one chain, then forty steps on four slots.
    Evaluation evaluation = chainOf(10, Duration(0));
    for (int i = 0; i < 40; ++i)
        evaluation.steps.push_back({"step", {9}, kMinute});
    const LowerBound bound = lowerBound({evaluation}, {4, 4.0, 1.0});
    EXPECT_EQ(bound.criticalPath, kMinute * 11);
    EXPECT_EQ(bound.combined, kMinute * 20);
    EXPECT_EQ(listSchedule({evaluation}, {1, 1, 1, 1}, ListOrder::Chain), kMinute * 20);
}

TEST(Workloads, FasterMachinesLowerTheBound)
{
    const LowerBound bound = lowerBound({chainOf(10, Duration(0))}, {2, 3.0, 2.0});
    EXPECT_EQ(bound.combined, kMinute * 5);
}

TEST(Workloads, NoScheduleBeatsTheBound)
{
    const auto evaluations = someMix(0);
    for (const std::size_t slots : {std::size_t{4}, std::size_t{16}, std::size_t{64}}) {
        const std::vector<double> speeds(slots, 1.0);
        const LowerBound bound =
            lowerBound(evaluations, {static_cast<std::uint32_t>(slots), static_cast<double>(slots), 1.0});
        EXPECT_GE(bound.combined, bound.work);
        EXPECT_GE(bound.combined, bound.criticalPath);
        for (const auto order :
             {ListOrder::Chain, ListOrder::Depth, ListOrder::ShareThenChain, ListOrder::ShareThenDepth,
              ListOrder::RecentShareThenChain, ListOrder::FadingShareThenChain, ListOrder::RunningThenChain})
            EXPECT_GE(listSchedule(evaluations, speeds, order), bound.combined);
    }
}

TEST(Workloads, SharesByAllUseStopAnOlderChainThatSharesByWhatRunsKeepGoing)
{
    Evaluation older = chainOf(60, Duration(0));
    for (const TrueStep& step : looseOf(10, Duration(0)).steps)
        older.steps.push_back(step);
    const std::vector<Evaluation> two{older, looseOf(40, kMinute * 10)};
    EXPECT_EQ(listSchedule(two, {1, 1}, ListOrder::RunningThenChain), kMinute * 60);
    EXPECT_GE(listSchedule(two, {1, 1}, ListOrder::ShareThenChain), kMinute * 68);
}

TEST(Workloads, AStepIsFoundByItsDerivation)
{
    const StepPlace place{7, 123'456};
    EXPECT_EQ(placeOf(derivationPath(place, "hello-2.12")), place);
    const Evaluation evaluation = chainOf(3, Duration(0));
    const core::JobRequest job = jobOf(evaluation, 7);
    ASSERT_EQ(job.steps.size(), 3U);
    EXPECT_EQ(placeOf(std::get<work::NixWork>(*job.steps[2].spec.work).drvPath), (StepPlace{7, 2}));
    EXPECT_EQ(job.steps[2].dependsOn, std::vector<std::uint32_t>{1});
}

TEST(Workloads, AStreamGivesTheSameStepForTheSameNumber)
{
    const auto kinds = stepKinds(40, 1);
    EXPECT_EQ(durationOf(kinds[3], 1, 17), durationOf(kinds[3], 1, 17));
    EXPECT_NE(durationOf(kinds[3], 1, 17), durationOf(kinds[3], 1, 18));
    EXPECT_TRUE(std::any_of(kinds.begin(), kinds.end(),
                            [](const StepKind& kind) { return kind.milliThreads == 8'000; }));
}

} // namespace
} // namespace penstock::test
