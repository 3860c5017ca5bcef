// SPDX-License-Identifier: GPL-3.0-or-later
// What could not be written with its own transaction and is written when the writer is idle, part by part.
#include "tests/support/hydra_farm.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

namespace penstock::test {
namespace {

using ::testing::ElementsAre;
using work::AttemptEnd;
using work::JobState;
using work::StepResult;

constexpr int kMany = 1'100; // more than one part takes

struct HydraLater : ::testing::Test {
    // Steps of one build, each with an attempt; attempt and step n are first + n.
    work::Changes manySteps(std::uint64_t first, int build)
    {
        FarmChanges changes;
        for (std::uint64_t n = 0; n < kMany; ++n)
            changes.step(first + n, fmt::format("s{}", first + n)).start(first + n, first + n, build);
        return changes.get();
    }
    std::string countOfSteps(int build)
    {
        return farm.database().value(fmt::format("SELECT count(*) FROM buildsteps WHERE build = {}", build));
    }
    void waitForSteps(int build, const std::string& count)
    {
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (countOfSteps(build) != count && std::chrono::steady_clock::now() < limit)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        EXPECT_EQ(countOfSteps(build), count);
    }

    HydraFarm farm;
    HydraSession other{farm.database().url()}; // the evaluator, a person
    int a = farm.insertBuild("a");
    int b = farm.insertBuild("b");
};

TEST_F(HydraLater, WhatFailedIsTriedAgainOnAnIdleFarm)
{
    farm.persist(FarmChanges().step(1, "a").job(a, 1).start(1, 1, a).get());
    other.run("BEGIN; UPDATE builds SET iscurrent = 0 WHERE id = 1");
    farm.persist(FarmChanges()
                     .end(1, AttemptEnd::Succeeded)
                     .finish(1, StepResult::Succeeded)
                     .over(a, JobState::Succeeded)
                     .get());
    // The first end that is written is taken back, as for a deadlock.
    farm.database().run(R"(
        CREATE SEQUENCE ends;
        CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('ends') = 1 THEN RAISE EXCEPTION 'once' USING ERRCODE = '40P01'; END IF;
            RETURN new;
        END $$;)");
    other.run("COMMIT; BEGIN; LOCK TABLE builds IN SHARE ROW EXCLUSIVE MODE;"
              "CREATE TRIGGER fail_once BEFORE UPDATE ON builds FOR EACH ROW WHEN (new.finished = 1) "
              "EXECUTE FUNCTION fail_once(); COMMIT");
    farm.waitForRest();
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150");
    EXPECT_EQ(farm.database().value("SELECT last_value FROM ends"), "2");
    EXPECT_EQ(farm.told().back(), "build_finished 1");
}

TEST_F(HydraLater, AllThatWaitedIsWrittenOnceNobodyHoldsIt)
{
    farm.persist(FarmChanges().step(1, "a").job(a, 1).get());
    other.run("BEGIN; SELECT FROM builds FOR UPDATE");
    farm.persist(manySteps(100, a));
    other.run("COMMIT");
    waitForSteps(a, std::to_string(kMany)); // nothing else is written meanwhile
    farm.waitForRest();
}

TEST_F(HydraLater, WhatIsHeldKeepsNothingElseFromItsTurn)
{
    farm.persist(FarmChanges().step(1, "a").job(a, 1).step(2, "b").job(b, 2).get());
    HydraSession another(farm.database().url());
    other.run("BEGIN; SELECT FROM builds WHERE id = 1 FOR UPDATE");
    another.run("BEGIN; SELECT FROM builds WHERE id = 2 FOR UPDATE");
    farm.persist(manySteps(100, a));
    farm.persist(FarmChanges().step(9'999, "last").start(9'999, 9'999, b).get());
    another.run("COMMIT");
    waitForSteps(b, "1");
    EXPECT_EQ(countOfSteps(a), "0");
}

TEST_F(HydraLater, NoBuildIsToldBeforeItsStepsAreThrough)
{
    const auto start = manySteps(100, a);
    farm.persist(FarmChanges().step(1, "a").job(a, 1).get());
    farm.persist(start);
    other.run("BEGIN; SELECT FROM builds FOR UPDATE; SELECT FROM buildsteps FOR UPDATE");
    FarmChanges ends;
    for (std::uint64_t n = 0; n < kMany; ++n)
        ends.end(100 + n, AttemptEnd::Succeeded);
    ends.start(5'000, 1, a).end(5'000, AttemptEnd::Succeeded).finish(1, StepResult::Succeeded);
    farm.persist(ends.over(a, JobState::Succeeded).get());
    (void)farm.told();
    other.run("COMMIT");
    farm.waitForRest();
    const std::vector<std::string> told = farm.told();
    EXPECT_EQ(told.size(), kMany + 4U); // of the last step also its start and the build's
    EXPECT_EQ(told.back(), "build_finished 1");
    EXPECT_EQ(farm.database().value("SELECT count(*) FROM buildsteps WHERE busy <> 0"), "0");
}

} // namespace
} // namespace penstock::test
