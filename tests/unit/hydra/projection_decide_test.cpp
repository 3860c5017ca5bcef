// SPDX-License-Identifier: GPL-3.0-or-later
// The projection's decisions, from facts alone; the rows they become are the contract test's.
#include "server/hydra/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace penstock::hydra {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using work::AttemptEnd;
using work::StepResult;

constexpr std::int64_t kNow = 1'790'000'000;

WallTime at(std::int64_t seconds)
{
    return WallTime::fromMicros(seconds * 1'000'000);
}

StepFacts stepOf(const std::string& name, std::optional<StepResult> result, std::optional<std::uint64_t> newest)
{
    StepFacts step;
    step.drvPath = "/nix/store/" + name + ".drv";
    step.system = "x86_64-linux";
    step.outputs = {{"out", "/nix/store/" + name}};
    step.result = result;
    if (newest)
        step.newest = AttemptId(*newest);
    return step;
}

AttemptFacts attemptOf(std::uint64_t step, std::optional<AttemptEnd> end)
{
    AttemptFacts attempt;
    attempt.step = StepId(step);
    attempt.machine = "m";
    attempt.created = at(kNow - 100);
    attempt.progress.started = attempt.created;
    attempt.progress.end = end;
    attempt.progress.state = end ? work::AttemptState::Ended : work::AttemptState::Assigned;
    attempt.progress.logBytes = 1;
    return attempt;
}

BuildFacts buildOf(BuildId id, std::uint64_t root, work::JobState state)
{
    BuildFacts build;
    build.build = id;
    build.root = StepId(root);
    build.state = state;
    build.jobCreated = at(kNow - 200);
    return build;
}

std::vector<std::string> told(const Rows& rows)
{
    std::vector<std::string> all;
    for (const Notification& one : rows.notifications)
        all.push_back(std::string(one.channel) + " " + one.payload);
    return all;
}

struct Decide : ::testing::Test {
    Decide() { facts.now = at(kNow); }
    Rows rows() { return decide(facts, {"/hydra", true}); }
    Facts facts;
};

TEST_F(Decide, TheBuildOfTheJobComesBeforeOneWhoseDerivationItIs)
{
    facts.steps.emplace(StepId(1), stepOf("a", {}, 1));
    facts.attempts.emplace(AttemptId(1), attemptOf(1, {}));
    facts.starts = {{AttemptId(1), {{.build = 3, .isOwn = true}, {.build = 5, .isOfJob = true}}}};
    EXPECT_EQ(rows().steps.at(0).build, 5);
    facts.starts[0].candidates.pop_back();
    EXPECT_EQ(rows().steps.at(0).build, 3);
    facts.starts[0].candidates[0].isOwn = false;
    EXPECT_THAT(rows().steps, IsEmpty());
    EXPECT_EQ(rows().newest, AttemptId(1)) << "seen all the same";
}

TEST_F(Decide, StepsOfOneBuildAreNumberedInTheOrderOfAttempts)
{
    for (const std::uint64_t id : {1U, 2U, 3U}) {
        facts.steps.emplace(StepId(id), stepOf("a", {}, id));
        facts.attempts.emplace(AttemptId(id), attemptOf(id, {}));
        facts.starts.push_back({AttemptId(id), {{.build = 9, .isOfJob = true, .lastStep = 4}}});
    }
    const Rows decided = rows();
    ASSERT_EQ(decided.steps.size(), 3U);
    EXPECT_EQ(decided.steps[0].stepnr, 5);
    EXPECT_EQ(decided.steps[2].stepnr, 7);
    EXPECT_THAT(told(decided), ElementsAre("step_started 9\t5", "step_started 9\t6", "step_started 9\t7"));
}

TEST_F(Decide, WhatEndsIsToldBeforeWhatStartsAndANewStepsEndAfterItsStart)
{
    for (const std::uint64_t id : {1U, 2U}) {
        facts.steps.emplace(StepId(id), stepOf("a", StepResult::Succeeded, id));
        facts.attempts.emplace(AttemptId(id), attemptOf(id, AttemptEnd::Succeeded));
    }
    facts.starts = {{AttemptId(2), {{.build = 9, .isOfJob = true, .lastStep = 1}}}};
    facts.ended = {{AttemptId(1), 9, 1}};
    EXPECT_THAT(told(rows()), ElementsAre("step_finished 9\t1\t/hydra/build-logs/a./drv", "step_started 9\t2",
                                          "step_finished 9\t2\t/hydra/build-logs/a./drv"));
}

TEST_F(Decide, TimesOfABuilderWhoseClockIsWrongAreNotBelieved)
{
    facts.steps.emplace(StepId(1), stepOf("a", {}, 1));
    AttemptFacts attempt = attemptOf(1, AttemptEnd::Succeeded);
    attempt.progress.started = at(5'000'000'000);
    attempt.progress.stopped = at(-3);
    facts.attempts.emplace(AttemptId(1), attempt);
    facts.ended = {{AttemptId(1), 9, 1}};
    EXPECT_EQ(rows().stepEnds.at(0).start, std::nullopt) << "it stays as it was";
    EXPECT_EQ(rows().stepEnds.at(0).stop, kNow);
    attempt.progress.started = at(kNow - 5);
    attempt.progress.stopped = at(kNow - 9);
    facts.attempts.at(AttemptId(1)) = attempt;
    EXPECT_EQ(rows().stepEnds.at(0).start, kNow - 9) << "nothing ends before it began";
}

TEST_F(Decide, WhatAStepTookIsToldWhereThereIsSomethingToTell)
{
    facts.steps.emplace(StepId(1), stepOf("a", {}, 1));
    facts.ended = {{AttemptId(1), 9, 1}};
    const auto effort = [this](AttemptEnd end, const work::BuildEffort& told) {
        AttemptFacts attempt = attemptOf(1, end);
        work::BuildResults results;
        results.effort = told;
        attempt.progress.results = results;
        facts.attempts.insert_or_assign(AttemptId(1), attempt);
        return rows().stepEnds.at(0).effort;
    };
    using std::chrono::microseconds;
    EXPECT_EQ(effort(AttemptEnd::Succeeded, {}), StepEffort{});
    EXPECT_EQ(effort(AttemptEnd::Succeeded, {microseconds(999), 1, false}), StepEffort{});
    EXPECT_EQ(effort(AttemptEnd::Failed, {microseconds(2'500), 0, false}), (StepEffort{2, {}, {}}));
    EXPECT_EQ(effort(AttemptEnd::Succeeded, {microseconds(0), 2, false}), (StepEffort{{}, 2, false}));
    EXPECT_EQ(effort(AttemptEnd::Succeeded, {microseconds(0), 3, true}), (StepEffort{{}, 3, true}));
    EXPECT_EQ(effort(AttemptEnd::NotDeterministic, {}), (StepEffort{{}, 2, true})) << "of an older builder";
    EXPECT_EQ(effort(AttemptEnd::Succeeded, {std::chrono::hours(1'000), 0, false}).overhead,
              std::numeric_limits<std::int32_t>::max());
}

// build_logs makes the file of every attempt that begins to run.
TEST_F(Decide, TheLogOfWhatRanIsToldThoughNothingWasPrinted)
{
    facts.steps.emplace(StepId(1), stepOf("a", {}, 1));
    facts.ended = {{AttemptId(1), 9, 1}};
    const auto log = [this](std::optional<WallTime> started, AttemptEnd end) {
        AttemptFacts attempt = attemptOf(1, end);
        attempt.progress.started = started;
        attempt.progress.logBytes = 0;
        facts.attempts.insert_or_assign(AttemptId(1), attempt);
        return told(rows()).at(0).substr(std::string("step_finished 9\t1\t").size());
    };
    for (const AttemptEnd end : {AttemptEnd::Succeeded, AttemptEnd::Failed, AttemptEnd::Lost, AttemptEnd::Cancelled})
        EXPECT_EQ(log(at(kNow - 5), end), "/hydra/build-logs/a./drv");
    EXPECT_EQ(log(at(kNow - 5), AttemptEnd::Cached), "-");
    EXPECT_EQ(log(at(kNow - 5), AttemptEnd::Rejected), "-");
    EXPECT_EQ(log({}, AttemptEnd::Lost), "-") << "it never ran";
}

TEST_F(Decide, ARowThatOthersHoldWaitsAndOneThatIsGoneIsForgotten)
{
    facts.steps.emplace(StepId(1), stepOf("a", {}, 1));
    facts.attempts.emplace(AttemptId(1), attemptOf(1, AttemptEnd::Failed));
    facts.ended = {{AttemptId(1), 9, 1, OpenRow::Hold::Others}};
    EXPECT_THAT(rows().deferredAttempts, ElementsAre(AttemptId(1)));
    EXPECT_THAT(rows().notifications, IsEmpty());
    facts.ended[0].hold = OpenRow::Hold::Gone;
    EXPECT_THAT(rows().overAttempts, ElementsAre(AttemptId(1)));
    EXPECT_THAT(rows().stepEnds, IsEmpty());
}

TEST_F(Decide, ABuildWithoutAnAttemptIsCachedAndHasThePathsThatAreKnown)
{
    facts.steps.emplace(StepId(1), stepOf("a", StepResult::Cached, {}));
    facts.builds = {buildOf(9, 1, work::JobState::Succeeded)};
    const Rows decided = rows();
    EXPECT_TRUE(decided.buildEnds.at(0).isCached);
    EXPECT_EQ(decided.buildEnds.at(0).start, kNow);
    EXPECT_THAT(decided.outputPaths, ElementsAre(OutputPathRow{9, "out", "/nix/store/a"}));
    EXPECT_THAT(told(decided), ElementsAre("build_finished 9"));
}

TEST_F(Decide, AStepThatNobodyKnowsAnyMoreIsAnAbortWithTheJobsText)
{
    facts.builds = {buildOf(9, 1, work::JobState::Failed)};
    facts.builds[0].jobError = "why";
    const Rows decided = rows();
    EXPECT_EQ(decided.buildEnds.at(0).status, Status::Aborted);
    EXPECT_THAT(decided.steps, IsEmpty());
    EXPECT_THAT(told(decided), ElementsAre("build_finished 9\t9"));
}

TEST_F(Decide, EveryFailureOfABatchIsToldByItself)
{
    for (const std::uint64_t id : {1U, 2U}) {
        facts.steps.emplace(StepId(id), stepOf("a", StepResult::Failed, id));
        facts.attempts.emplace(AttemptId(id), attemptOf(id, AttemptEnd::Failed));
        StepFacts above = stepOf("b", StepResult::DependencyFailed, {});
        above.failedDependency = StepId(id);
        facts.steps.emplace(StepId(10 + id), above);
    }
    facts.ended = {{AttemptId(1), 8, 1}, {AttemptId(2), 7, 1}};
    facts.builds = {buildOf(6, 12, work::JobState::Failed), buildOf(7, 2, work::JobState::Failed),
                    buildOf(8, 11, work::JobState::Failed)};
    const std::vector<std::string> all = told(rows());
    ASSERT_EQ(all.size(), 6U);
    EXPECT_EQ(all[2], "build_started 8");
    EXPECT_EQ(all[3], "build_finished 8\t8");
    EXPECT_EQ(all[4], "build_started 7");
    EXPECT_EQ(all[5], "build_finished 7\t6\t7");
}

TEST_F(Decide, NoRowRefersToABuildThatIsGone)
{
    facts.steps.emplace(StepId(1), stepOf("a", StepResult::Failed, 1));
    facts.attempts.emplace(AttemptId(1), attemptOf(1, AttemptEnd::Failed));
    facts.ended = {{AttemptId(1), 8, 1, OpenRow::Hold::Others}};
    facts.builds = {buildOf(9, 1, work::JobState::Failed)};
    EXPECT_EQ(rows().steps.at(0).propagatedFrom, std::nullopt);
    facts.origins = {{8, false}};
    EXPECT_EQ(rows().steps.at(0).propagatedFrom, 8);
    EXPECT_EQ(told(rows()).at(0), "build_finished 9\t9") << "the head has to be finished";
    facts.origins = {{8, true}};
    EXPECT_EQ(told(rows()).at(0), "build_finished 8\t9");
}

TEST_F(Decide, AResolvedDerivationHasARowBeforeTheOneThatRuns)
{
    facts.steps.emplace(StepId(1), stepOf("a", {}, 1));
    facts.attempts.emplace(AttemptId(1), attemptOf(1, {}));
    facts.starts = {{AttemptId(1), {{.build = 9, .isOfJob = true, .isOwn = true}}}};
    facts.resolutions.emplace(AttemptId(1), Resolution{"/nix/store/resolved.drv"});
    const Rows decided = rows();
    ASSERT_EQ(decided.steps.size(), 2U);
    EXPECT_EQ(decided.steps[0].status, Status::Resolved);
    EXPECT_EQ(decided.steps[0].resolved, "resolved.drv");
    EXPECT_EQ(decided.steps[0].drvPath, "/nix/store/a.drv");
    EXPECT_EQ(decided.steps[1].drvPath, "/nix/store/resolved.drv");
    EXPECT_EQ(decided.places.at(0).stepnr, 2);
    EXPECT_THAT(told(decided), ElementsAre("step_started 9\t2", "build_started 9"));
}

} // namespace
} // namespace penstock::hydra
