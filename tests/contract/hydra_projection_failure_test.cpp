// SPDX-License-Identifier: GPL-3.0-or-later
// The rows and notifications of builds that fail, are cancelled, or cannot be tried.
#include "shared/base/text.h"
#include "tests/support/hydra_farm.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::test {
namespace {

using ::testing::ElementsAre;
using ::testing::Each;
using ::testing::IsEmpty;
using work::AttemptEnd;
using work::JobState;
using work::StepResult;

constexpr const char* kLowLog = "/hydra/build-logs/lo/w00000000000000000000000000000-low.drv";

// Three builds: of "low" itself, and two above it.
struct HydraFailure : ::testing::Test {
    void queueThree()
    {
        farm.persist(FarmChanges()
                         .step(1, "low", {"out", "dev?"})
                         .step(2, "mid")
                         .step(3, "top")
                         .job(mid, 2)
                         .job(low, 1)
                         .job(top, 3)
                         .get());
    }
    // The step "low" fails after one attempt, and all with it.
    work::Changes failLow(AttemptEnd end, StepResult result, const std::string& error)
    {
        return FarmChanges()
            .end(1, end, error)
            .finish(1, result, error)
            .failBy(2, 1)
            .failBy(3, 1)
            .over(low, JobState::Failed, result)
            .over(mid, JobState::Failed, StepResult::DependencyFailed)
            .over(top, JobState::Failed, StepResult::DependencyFailed)
            .get();
    }
    std::vector<std::string> failedPaths() { return farm.database().rows("SELECT path FROM failedpaths"); }

    HydraFarm farm;
    int mid = farm.insertBuild("mid");
    int low = farm.insertBuild("low", {"out", "dev?"});
    int top = farm.insertBuild("top");
};

TEST_F(HydraFailure, AFailureIsToldToAllThatNeedTheStep)
{
    queueThree();
    farm.persist(FarmChanges().start(1, 1, low).get());
    (void)farm.told();
    farm.persist(failLow(AttemptEnd::Failed, StepResult::Failed, "exit code 2"));
    EXPECT_THAT(farm.steps(low), ElementsAre("low|0|1|exit code 2|110|150|m1|x86_64-linux|NULL"));
    EXPECT_THAT(farm.steps(mid), ElementsAre("low|0|1|exit code 2|NULL|NULL|m1|x86_64-linux|2"));
    EXPECT_THAT(farm.steps(top), ElementsAre("low|0|1|exit code 2|NULL|NULL|m1|x86_64-linux|2"));
    EXPECT_THAT(farm.database().stepOutputRows(top), ElementsAre("1|dev|NULL", "1|out|" + outPath("low")));
    EXPECT_EQ(farm.build(low), "1|1|110|150|0|150");
    EXPECT_EQ(farm.build(mid), "1|2|110|150|0|150");
    EXPECT_EQ(farm.build(top), "1|2|110|150|0|150");
    EXPECT_THAT(farm.told(), ElementsAre(std::string("step_finished 2 1 ") + kLowLog, "build_finished 2 1 2 3"));
    EXPECT_THAT(failedPaths(), ElementsAre(outPath("low")));
    EXPECT_THAT(farm.sideRows(), IsEmpty());
}

TEST_F(HydraFailure, OtherFailuresKeepTheirNumberAboveAndAreNotRemembered)
{
    queueThree();
    farm.persist(FarmChanges().start(1, 1, low).get());
    farm.persist(failLow(AttemptEnd::TimedOut, StepResult::TimedOut, "it took too long"));
    EXPECT_THAT(farm.steps(low), ElementsAre("low|0|7|NULL|110|150|m1|x86_64-linux|NULL"));
    EXPECT_THAT(farm.steps(mid), ElementsAre("low|0|7|NULL|NULL|NULL|m1|x86_64-linux|2"));
    EXPECT_EQ(farm.build(low), "1|7|110|150|0|150");
    EXPECT_EQ(farm.build(mid), "1|7|110|150|0|150");
    EXPECT_THAT(failedPaths(), IsEmpty());
}

TEST_F(HydraFailure, ADerivationThatIsNotDeterministicIsRemembered)
{
    queueThree();
    farm.persist(FarmChanges().start(1, 1, low).get());
    farm.persist(failLow(AttemptEnd::NotDeterministic, StepResult::NotDeterministic, "outputs differ"));
    EXPECT_EQ(farm.build(top), "1|12|110|150|0|150");
    EXPECT_THAT(failedPaths(), ElementsAre(outPath("low")));
    EXPECT_THAT(farm.steps(low), ElementsAre("low|0|12|NULL|110|150|m1|x86_64-linux|NULL")) << "it speaks for itself";
    EXPECT_THAT(farm.database().rows("SELECT build, timesbuilt, isnondeterministic FROM buildsteps ORDER BY build"),
                ElementsAre("1|NULL|NULL", "2|2|t", "3|NULL|NULL"));
}

TEST_F(HydraFailure, EveryTryHasItsRowAndTheLastIsAnAbort)
{
    queueThree();
    farm.persist(FarmChanges().start(1, 1, mid).get());
    farm.persist(FarmChanges().end(1, AttemptEnd::Infrastructure, "disk full").get());
    farm.persist(FarmChanges().start(2, 1, low).get());
    work::Changes last = failLow(AttemptEnd::Transient, StepResult::Aborted, "again");
    last.attempts[0].id = AttemptId(2);
    farm.persist(last);
    EXPECT_THAT(farm.steps(mid), ElementsAre("low|0|3|disk full|110|150|m1|x86_64-linux|NULL",
                                             "low|0|3|again|NULL|NULL|m1|x86_64-linux|2"));
    EXPECT_THAT(farm.steps(low), ElementsAre("low|0|3|again|110|150|m1|x86_64-linux|NULL"));
    EXPECT_EQ(farm.build(mid), "1|3|110|150|0|150");
    EXPECT_THAT(failedPaths(), IsEmpty());
}

TEST_F(HydraFailure, WhatNoMachineCanRunIsUnsupported)
{
    queueThree();
    work::Changes failed = failLow(AttemptEnd::Failed, StepResult::Unsupported, "no machine has x86_64-linux");
    failed.attempts.clear();
    farm.persist(failed);
    const std::string row = "low|0|9|unsupported system type 'x86_64-linux'|NULL|NULL||x86_64-linux|";
    EXPECT_THAT(farm.steps(low), ElementsAre(row + "NULL"));
    EXPECT_THAT(farm.steps(mid), ElementsAre(row + "2"));
    EXPECT_THAT(farm.steps(top), ElementsAre(row + "2"));
    EXPECT_EQ(farm.build(low), "1|9|200|200|0|200");
    EXPECT_EQ(farm.build(top), "1|9|200|200|0|200");
    EXPECT_THAT(farm.told(), ElementsAre("build_finished 2 1 2 3"));
    EXPECT_THAT(failedPaths(), IsEmpty());
}

TEST_F(HydraFailure, ABuildThatReallyBuiltSomethingHasStartedBeforeItsEnd)
{
    queueThree();
    farm.persist(FarmChanges().start(1, 1, top).get());
    EXPECT_THAT(farm.told(), ElementsAre("step_started 3 1"));
    farm.persist(failLow(AttemptEnd::Failed, StepResult::Failed, "no"));
    EXPECT_THAT(farm.told(),
                ElementsAre(std::string("step_finished 3 1 ") + kLowLog, "build_started 3", "build_finished 3 1 2 3"));
}

TEST_F(HydraFailure, FailedPathsAreTheOperatorsChoice)
{
    HydraFarm other(false);
    const int build = other.insertBuild("low");
    other.persist(FarmChanges().step(1, "low").job(build, 1).start(1, 1, build).get());
    other.persist(FarmChanges()
                      .end(1, AttemptEnd::Failed, "no")
                      .finish(1, StepResult::Failed, "no")
                      .over(build, JobState::Failed, StepResult::Failed)
                      .get());
    EXPECT_EQ(other.build(build), "1|1|110|150|0|150");
    EXPECT_EQ(other.database().value("SELECT count(*) FROM failedpaths"), "0");
}

TEST_F(HydraFailure, AMemberThatWasRememberedAlreadyIsNoObstacle)
{
    farm.database().run("INSERT INTO failedpaths VALUES ('" + outPath("low") + "')");
    queueThree();
    farm.persist(FarmChanges().start(1, 1, low).get());
    farm.persist(failLow(AttemptEnd::Failed, StepResult::Failed, "no"));
    EXPECT_THAT(failedPaths(), ElementsAre(outPath("low")));
}

TEST_F(HydraFailure, ThousandsOfDependentsAreToldInPiecesThatFit)
{
    constexpr int kBuilds = 7'500; // more than one transaction takes
    FarmChanges changes;
    changes.step(1, "low").step(2, "top").job(low, 1);
    farm.database().run(fmt::format(
        "INSERT INTO builds (id, finished, timestamp, jobset_id, job, drvpath, system) "
        "SELECT 1000000 + n, 0, 1, 1, 'j', '{0}', 's' FROM generate_series(1, {1}) n;"
        "INSERT INTO penstock.hydra_builds (build, drvpath, globalpriority) SELECT 1000000 + n, '{0}', 0 "
        "FROM generate_series(1, {1}) n",
        drvPath("top"), kBuilds));
    for (int build = 1; build <= kBuilds; ++build)
        changes.job(1'000'000 + build, 2);
    farm.persist(changes.get());
    farm.persist(FarmChanges().start(1, 1, low).get());
    (void)farm.told();
    FarmChanges failed;
    failed.end(1, AttemptEnd::Failed).finish(1, StepResult::Failed).failBy(2, 1).over(low, JobState::Failed);
    for (int build = 1; build <= kBuilds; ++build)
        failed.over(1'000'000 + build, JobState::Failed, StepResult::DependencyFailed);
    farm.persist(failed.get());
    const std::string atOnce = farm.database().value("SELECT count(*) FROM builds WHERE buildstatus = 2");
    EXPECT_GE(parseUnsigned(atOnce).value_or(0), 4'999U);
    farm.waitForRest();
    EXPECT_EQ(farm.database().value("SELECT count(*) FROM builds WHERE buildstatus = 2"), std::to_string(kBuilds));
    EXPECT_EQ(farm.database().value("SELECT count FROM nrbuilds"), std::to_string(kBuilds + 1));
    EXPECT_EQ(farm.database().value("SELECT count(*) FROM buildsteps WHERE propagatedfrom = 2"),
              std::to_string(kBuilds));
    std::vector<std::string> told = farm.told();
    ASSERT_EQ(told.front(), std::string("step_finished 2 1 ") + kLowLog);
    told.erase(told.begin());
    std::size_t ids = 0;
    for (const std::string& line : told) {
        EXPECT_TRUE(line.starts_with("build_finished 2 ")) << line.substr(0, 40);
        EXPECT_LT(line.size(), 7'000U + 15U);
        ids += static_cast<std::size_t>(std::count(line.begin(), line.end(), ' ')) - 1;
    }
    EXPECT_EQ(ids, static_cast<std::size_t>(kBuilds) + 1U);
    EXPECT_GT(told.size(), 5U);
}

// ------------------------------------------------------------------------------------------------------- cancelling

TEST_F(HydraFailure, ABuildCancelledInHydraKeepsItsRowAndTheRunningStepEnds)
{
    farm.persist(FarmChanges().step(1, "low").job(low, 1).start(1, 1, low).get());
    farm.database().cancel(low);
    const std::string row = farm.build(low);
    (void)farm.told();
    farm.persist(FarmChanges()
                     .end(1, AttemptEnd::Cancelled, "cancelled in Hydra")
                     .finish(1, StepResult::Cancelled)
                     .over(low, JobState::Cancelled, StepResult::Cancelled)
                     .get());
    EXPECT_EQ(farm.build(low), row);
    EXPECT_THAT(farm.steps(low), ElementsAre("low|0|4|NULL|110|150|m1|x86_64-linux|NULL"));
    EXPECT_THAT(farm.told(), ElementsAre(std::string("step_finished 2 1 ") + kLowLog));
}

TEST_F(HydraFailure, ABuildThatWasQueuedAgainWhileItsJobEndedStaysQueued)
{
    farm.persist(FarmChanges().step(1, "low").job(low, 1).start(1, 1, low).get());
    farm.database().cancel(low);
    farm.database().restart(low);
    farm.persist(FarmChanges()
                     .end(1, AttemptEnd::Cancelled)
                     .finish(1, StepResult::Cancelled)
                     .over(low, JobState::Cancelled, StepResult::Cancelled)
                     .get());
    EXPECT_TRUE(farm.build(low).starts_with("0|4|")) << farm.build(low);
    EXPECT_EQ(farm.database().value("SELECT count(*) FROM penstock.hydra_builds WHERE build = 2"), "0");
}

TEST_F(HydraFailure, ABuildCancelledByAClientOfOursIsCancelledInHydra)
{
    farm.persist(FarmChanges().step(1, "low").job(low, 1).get());
    farm.persist(FarmChanges()
                     .finish(1, StepResult::Cancelled)
                     .over(low, JobState::Cancelled, StepResult::Cancelled)
                     .get());
    EXPECT_EQ(farm.build(low), "1|4|200|200|0|NULL");
    EXPECT_THAT(farm.told(), IsEmpty());
}

TEST_F(HydraFailure, ARepointedBuildIsLeftAlone)
{
    farm.persist(FarmChanges().step(1, "low").job(low, 1).start(1, 1, low).get());
    farm.database().run("UPDATE builds SET drvpath = '/nix/store/other.drv' WHERE id = 2");
    farm.persist(FarmChanges()
                     .end(1, AttemptEnd::Succeeded)
                     .finish(1, StepResult::Succeeded)
                     .over(low, JobState::Succeeded)
                     .get());
    EXPECT_TRUE(farm.build(low).starts_with("0|NULL"));
    EXPECT_EQ(farm.database().value("SELECT count(*) FROM penstock.hydra_builds WHERE build = 2"), "0");
}

} // namespace
} // namespace penstock::test
