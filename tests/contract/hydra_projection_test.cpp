// SPDX-License-Identifier: GPL-3.0-or-later
// The rows and notifications of builds that run, against a real database with Hydra's tables.
#include "tests/support/hydra_farm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using work::AttemptEnd;
using work::JobState;
using work::StepResult;

constexpr const char* kLogOfA = "/hydra/build-logs/a0/000000000000000000000000000000-a.drv";

struct HydraProjection : ::testing::Test {
    void queue(int build, std::uint64_t root, const std::string& name, std::vector<std::string> outputs = {"out"})
    {
        farm.persist(FarmChanges().step(root, name, outputs).job(build, root).get());
    }
    HydraFarm farm;
};

TEST_F(HydraProjection, ABuildOfOneStepIsToldFromItsStartToItsEnd)
{
    const int a = farm.insertBuild("a", {"out", "dev?"});
    queue(a, 1, "a", {"out", "dev?"});
    EXPECT_THAT(farm.told(), IsEmpty());
    EXPECT_EQ(farm.database().value("SELECT job = build AND step = 1 FROM penstock.hydra_builds"), "t");

    farm.persist(FarmChanges().start(1, 1, a).get());
    EXPECT_THAT(farm.steps(a), ElementsAre("a|1|NULL|NULL|100|NULL|m1|x86_64-linux|NULL"));
    EXPECT_THAT(farm.database().stepOutputRows(a), ElementsAre("1|dev|NULL", "1|out|" + outPath("a")));
    EXPECT_THAT(farm.told(), ElementsAre("step_started 1 1", "build_started 1"));
    EXPECT_EQ(farm.build(a), "0|NULL|NULL|NULL|NULL|NULL");

    farm.persist(FarmChanges().accept(1).get());
    EXPECT_THAT(farm.steps(a), ElementsAre("a|10|NULL|NULL|100|NULL|m1|x86_64-linux|NULL"));
    farm.database().run("UPDATE buildsteps SET busy = 30");
    farm.persist(FarmChanges().accept(1).get());
    EXPECT_THAT(farm.steps(a), ElementsAre("a|30|NULL|NULL|100|NULL|m1|x86_64-linux|NULL")) << "only forward";

    work::BuildResults results;
    results.closureSize = 5'000;
    results.releaseName = "a-1.0";
    results.effort = {std::chrono::milliseconds(1'500), 2, false};
    results.products.push_back({"file", "iso", "out", "disk.iso", "", "disk.iso", work::ProductKind::File, 77,
                                std::string(64, 'b')});
    results.products.push_back({"doc", "manual", "out", "share/doc", "index.html", "do\"c",
                                work::ProductKind::Directory, 0, ""});
    // Of an output as such, which names no file of its own: as the store calls it.
    results.products.push_back({"nix-build", "", "out", "", "", "a=1?", work::ProductKind::Directory, 0, ""});
    results.metrics = {{"size", 1.5, "MiB"}, {"runs", 3, ""}, {"size", 2.5, "MiB"}};
    const std::vector<work::OutputFact> outputs{{"out", outPath("a"), "", 1'000},
                                                {"dev", "/nix/store/dev-of-a", "", 500}};
    farm.persist(FarmChanges()
                     .end(1, endOf(AttemptEnd::Succeeded, outputs, results))
                     .finish(1, StepResult::Succeeded)
                     .over(a, JobState::Succeeded)
                     .get());
    EXPECT_THAT(farm.steps(a), ElementsAre("a|0|0|NULL|110|150|m1|x86_64-linux|NULL"));
    EXPECT_THAT(farm.database().rows("SELECT overhead, timesbuilt, isnondeterministic FROM buildsteps"),
                ElementsAre("1500|2|f"));
    EXPECT_THAT(farm.database().stepOutputRows(a), ElementsAre("1|dev|/nix/store/dev-of-a", "1|out|" + outPath("a")));
    EXPECT_THAT(farm.database().outputRows(a), ElementsAre("dev|/nix/store/dev-of-a", "out|" + outPath("a")));
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150");
    EXPECT_EQ(farm.database().value("SELECT size || ' ' || closuresize || ' ' || releasename FROM builds"),
              "1500 5000 a-1.0");
    EXPECT_THAT(farm.database().rows("SELECT productnr, type, subtype, filesize, sha256hash, path, name, defaultpath "
                                     "FROM buildproducts ORDER BY productnr"),
                ElementsAre("1|file|iso|77|" + std::string(64, 'b') + "|" + outPath("a") + "/disk.iso|disk.iso|",
                            "2|doc|manual|NULL|NULL|" + outPath("a") + "/share/doc||index.html",
                            "3|nix-build||NULL|NULL|" + outPath("a") + "|a=1?|"));
    EXPECT_THAT(farm.database().rows("SELECT name, value, unit, project, jobset, job, timestamp FROM buildmetrics "
                                     "ORDER BY name"),
                ElementsAre("runs|3|NULL|project|jobset|a|1700000000", "size|2.5|MiB|project|jobset|a|1700000000"));
    EXPECT_THAT(farm.told(), ElementsAre(std::string("step_finished 1 1 ") + kLogOfA, "build_finished 1"));
    EXPECT_EQ(farm.database().value("SELECT count FROM nrbuilds"), "1");
    EXPECT_THAT(farm.sideRows(), IsEmpty());
}

TEST_F(HydraProjection, TellsAllInOrderWhenOneTransactionHasAllOfIt)
{
    const int a = farm.insertBuild("a");
    work::Changes all = FarmChanges()
                            .step(1, "a")
                            .job(a, 1)
                            .start(1, 1, a)
                            .end(1, AttemptEnd::Succeeded)
                            .finish(1, StepResult::Succeeded)
                            .over(a, JobState::Succeeded)
                            .get();
    farm.persist(all);
    EXPECT_THAT(farm.steps(a), ElementsAre("a|0|0|NULL|110|150|m1|x86_64-linux|NULL"));
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150");
    EXPECT_THAT(farm.told(), ElementsAre("step_started 1 1", "build_started 1",
                                         std::string("step_finished 1 1 ") + kLogOfA, "build_finished 1"));
    // The commit's answer was lost: once more.
    farm.persist(all);
    EXPECT_EQ(farm.steps(a).size(), 1U);
    EXPECT_THAT(farm.told(), IsEmpty());
    EXPECT_EQ(farm.database().value("SELECT count FROM nrbuilds"), "1");
}

TEST_F(HydraProjection, EveryPartMayBeWrittenTwice)
{
    const int a = farm.insertBuild("a");
    const std::vector<work::Changes> parts{
        FarmChanges().step(1, "a").job(a, 1).get(), FarmChanges().start(1, 1, a).get(), FarmChanges().accept(1).get(),
        FarmChanges().end(1, AttemptEnd::Transient, "no line").get(), FarmChanges().start(2, 1, a).get(),
        FarmChanges()
            .end(2, AttemptEnd::Failed, "exit code 1")
            .finish(1, StepResult::Failed, "exit code 1")
            .over(a, JobState::Failed, StepResult::Failed)
            .get()};
    for (const work::Changes& part : parts) {
        farm.persist(part);
        const auto steps = farm.steps(a);
        (void)farm.told();
        farm.persist(part);
        EXPECT_EQ(farm.steps(a), steps);
        EXPECT_THAT(farm.told(), IsEmpty());
    }
    EXPECT_THAT(farm.steps(a), ElementsAre("a|0|3|no line|110|150|m1|x86_64-linux|NULL",
                                           "a|0|1|exit code 1|110|150|m1|x86_64-linux|NULL"));
    EXPECT_EQ(farm.build(a), "1|1|110|150|0|150");
}

TEST_F(HydraProjection, OneOfTwoBuildsOfADerivationIsCached)
{
    const int a = farm.insertBuild("a");
    const int again = farm.insertBuild("a");
    farm.persist(FarmChanges().step(1, "a").job(a, 1).job(again, 1).get());
    farm.persist(FarmChanges().start(1, 1, again).get());
    work::BuildResults results;
    results.failed = true;
    farm.persist(FarmChanges()
                     .end(1, endOf(AttemptEnd::Succeeded, {{"out", outPath("a"), "", 10}}, results))
                     .finish(1, StepResult::Succeeded)
                     .over(a, JobState::Succeeded)
                     .over(again, JobState::Succeeded)
                     .get());
    EXPECT_THAT(farm.steps(a), IsEmpty());
    EXPECT_EQ(farm.steps(again).size(), 1U);
    EXPECT_EQ(farm.build(a), "1|6|110|150|1|150");
    EXPECT_EQ(farm.build(again), "1|6|110|150|0|150");
    EXPECT_THAT(farm.told(),
                ElementsAre("step_started 2 1", "build_started 2", std::string("step_finished 2 1 ") + kLogOfA,
                            "build_finished 1", "build_finished 2"));
}

TEST_F(HydraProjection, StepsBelowAreOfTheBuildTheyWereMadeForAndItStartsWithItsOwn)
{
    const int top = farm.insertBuild("top");
    farm.persist(FarmChanges().step(1, "low").step(2, "top").job(top, 2).get());
    farm.persist(FarmChanges().start(1, 1, top).get());
    EXPECT_THAT(farm.told(), ElementsAre("step_started 1 1"));
    farm.persist(FarmChanges().end(1, AttemptEnd::Succeeded).finish(1, StepResult::Succeeded).start(2, 2, top).get());
    EXPECT_THAT(farm.told(),
                ElementsAre("step_finished 1 1 /hydra/build-logs/lo/w00000000000000000000000000000-low.drv",
                            "step_started 1 2", "build_started 1"));
    // The second try of its own derivation is no new start.
    farm.persist(FarmChanges().end(2, AttemptEnd::Lost, "gone").start(3, 2, top).get());
    EXPECT_EQ(farm.told().back(), "step_started 1 3");
    EXPECT_EQ(farm.database().value("SELECT count(*) FROM buildsteps WHERE busy <> 0"), "1");
}

TEST_F(HydraProjection, WhatWasThereOnAMachineIsACachedBuild)
{
    const int a = farm.insertBuild("a");
    queue(a, 1, "a");
    farm.persist(FarmChanges().start(1, 1, a).get());
    (void)farm.told();
    farm.persist(FarmChanges()
                     .end(1, AttemptEnd::Cached)
                     .finish(1, StepResult::Cached)
                     .over(a, JobState::Succeeded, StepResult::Cached)
                     .get());
    EXPECT_EQ(farm.build(a), "1|0|110|150|1|150");
    EXPECT_THAT(farm.told(), ElementsAre("step_finished 1 1 -", "build_finished 1"));
}

TEST_F(HydraProjection, WhatWasRefusedHasNoLog)
{
    const int a = farm.insertBuild("a");
    queue(a, 1, "a");
    farm.persist(FarmChanges().start(1, 1, a).get());
    (void)farm.told();
    work::AttemptProgress silent = endOf(AttemptEnd::Rejected);
    silent.logBytes = 0;
    silent.started.reset();
    silent.error = "no room";
    farm.persist(FarmChanges().end(1, silent).get());
    EXPECT_THAT(farm.told(), ElementsAre("step_finished 1 1 -"));
    EXPECT_THAT(farm.steps(a), ElementsAre("a|0|3|no room|100|150|m1|x86_64-linux|NULL"));
}

TEST_F(HydraProjection, ARestartedBuildLosesItsFormerResults)
{
    const int a = farm.insertBuild("a");
    farm.database().run("INSERT INTO buildproducts VALUES (1, 1, 'file', 'x', 1, '', '/old', 'old', '');"
                        "INSERT INTO buildmetrics VALUES (1, 'old', NULL, 1, 'project', 'jobset', 'a', 1);"
                        "INSERT INTO buildsteps VALUES (1, 7, 0, '/old.drv', 0, 1, NULL, 1, 2, 'm0', 'sys')");
    queue(a, 1, "a");
    farm.persist(FarmChanges().start(1, 1, a).get());
    EXPECT_EQ(farm.told().front(), "step_started 1 8");
    farm.persist(FarmChanges()
                     .end(1, AttemptEnd::Succeeded)
                     .finish(1, StepResult::Succeeded)
                     .over(a, JobState::Succeeded)
                     .get());
    EXPECT_EQ(farm.database().value("SELECT count(*) FROM buildproducts"), "0");
    EXPECT_EQ(farm.database().value("SELECT count(*) FROM buildmetrics"), "0");
    EXPECT_EQ(farm.database().value("SELECT coalesce(size, -1) || coalesce(releasename, '-') FROM builds"), "-1-");
}

} // namespace
} // namespace penstock::test
