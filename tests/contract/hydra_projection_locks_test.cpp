// SPDX-License-Identifier: GPL-3.0-or-later
// What others do to Hydra's rows while we write, and what is found at a start.
#include "tests/support/hydra_farm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

namespace penstock::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Rest = store::postgres::Projection::Rest;
using work::AttemptEnd;
using work::JobState;
using work::StepResult;

struct HydraLocks : ::testing::Test {
    void queue(bool isStarted = true)
    {
        FarmChanges changes;
        changes.step(1, "a").step(2, "top").job(a, 1).job(top, 2);
        if (isStarted)
            changes.start(1, 1, a);
        farm.persist(changes.get());
        (void)farm.told();
    }
    work::Changes success()
    {
        return FarmChanges()
            .end(1, AttemptEnd::Succeeded)
            .finish(1, StepResult::Succeeded)
            .over(a, JobState::Succeeded)
            .get();
    }
    work::Changes failure()
    {
        return FarmChanges()
            .end(1, AttemptEnd::Failed, "no")
            .finish(1, StepResult::Failed, "no")
            .failBy(2, 1)
            .over(a, JobState::Failed, StepResult::Failed)
            .over(top, JobState::Failed, StepResult::DependencyFailed)
            .get();
    }

    HydraFarm farm;
    HydraSession other{farm.database().url()}; // the evaluator, a person
    int a = farm.insertBuild("a");
    int top = farm.insertBuild("top");
};

TEST_F(HydraLocks, ABuildThatSomebodyHoldsIsFinishedLater)
{
    queue();
    other.run("BEGIN; UPDATE builds SET iscurrent = 0 WHERE id = 1");
    farm.persist(success());
    EXPECT_THAT(farm.steps(a), ElementsAre("a|0|0|NULL|110|150|m1|x86_64-linux|NULL")) << "steps do not wait";
    EXPECT_EQ(farm.told().size(), 1U);
    EXPECT_EQ(farm.later(), Rest::Waits);
    EXPECT_EQ(farm.build(a), "0|NULL|NULL|NULL|NULL|NULL");
    other.run("COMMIT");
    farm.waitForRest();
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150") << "not cached: it was accounted to it";
    EXPECT_THAT(farm.told(), ElementsAre("build_finished 1"));
    EXPECT_EQ(farm.later(), Rest::None);
}

TEST_F(HydraLocks, TheFailureOfAHeldBuildIsToldByItself)
{
    queue();
    other.run("BEGIN; UPDATE builds SET iscurrent = 0 WHERE id = 1");
    farm.persist(failure());
    EXPECT_EQ(farm.build(top), "1|2|110|150|0|150");
    EXPECT_THAT(farm.steps(top), ElementsAre("a|0|1|no|NULL|NULL|m1|x86_64-linux|1"));
    EXPECT_EQ(farm.told().back(), "build_finished 2 2") << "the head has to be finished";
    other.run("COMMIT");
    farm.waitForRest();
    EXPECT_EQ(farm.build(a), "1|1|110|150|0|150");
    EXPECT_EQ(farm.steps(a).size(), 1U) << "no propagated row where the step ran";
    EXPECT_THAT(farm.told(), ElementsAre("build_finished 1 1"));
}

TEST_F(HydraLocks, AHeldDependentIsToldWithTheSameHead)
{
    queue();
    other.run("BEGIN; UPDATE builds SET iscurrent = 0 WHERE id = 2");
    farm.persist(failure());
    EXPECT_EQ(farm.told().back(), "build_finished 1 1");
    other.run("COMMIT");
    farm.waitForRest();
    EXPECT_THAT(farm.steps(top), ElementsAre("a|0|1|no|NULL|NULL|m1|x86_64-linux|1"));
    EXPECT_EQ(farm.build(top), "1|2|110|150|0|150");
    EXPECT_THAT(farm.told(), ElementsAre("build_finished 1 2"));
}

TEST_F(HydraLocks, AHeldBuildThatIsGoneInTheEndIsForgotten)
{
    queue();
    other.run("BEGIN; DELETE FROM builds WHERE id = 1");
    farm.persist(success());
    EXPECT_THAT(farm.told(), IsEmpty()) << "its step's row is about to go";
    other.run("COMMIT");
    farm.waitForRest();
    EXPECT_THAT(farm.sideRows(), ElementsAre("build|2"));
    EXPECT_THAT(farm.told(), IsEmpty());
}

TEST_F(HydraLocks, AStepThatIsHeldForAMomentIsToldBeforeItsBuild)
{
    queue();
    other.run("BEGIN; UPDATE buildsteps SET busy = 50"); // as phases are written
    std::thread releasing([this] { other.run("SELECT pg_sleep(0.2); COMMIT"); });
    farm.persist(success());
    releasing.join();
    EXPECT_THAT(farm.steps(a), ElementsAre("a|0|0|NULL|110|150|m1|x86_64-linux|NULL"));
    EXPECT_THAT(farm.told(), ElementsAre("step_finished 1 1 /hydra/build-logs/a0/000000000000000000000000000000-a.drv",
                                         "build_finished 1"));
}

// A person who cancels or restarts many builds takes their rows in some order, and the count with each.
TEST_F(HydraLocks, NobodyWhoChangesManyBuildsIsCaughtBetweenUs)
{
    queue();
    other.run("BEGIN; UPDATE builds SET finished = 1, buildstatus = 4, starttime = 1, stoptime = 1 WHERE id = 2");
    std::thread cancelling([this] {
        other.run("SELECT pg_sleep(0.5);"
                  "UPDATE builds SET finished = 1, buildstatus = 4, starttime = 1, stoptime = 1 WHERE id = 1; COMMIT");
    });
    farm.persist(success());
    cancelling.join(); // a deadlock would have failed one of us
    farm.waitForRest();
    EXPECT_EQ(farm.build(a), "1|4|-1789999999|-1789999999|NULL|NULL");
    EXPECT_THAT(farm.sideRows(), ElementsAre("build|2"));
}

TEST_F(HydraLocks, WhoDeletesABuildHoldsUpNoStepThatBeginsToRun)
{
    queue();
    const int third = farm.insertBuild("third");
    farm.persist(FarmChanges().step(3, "third").job(third, 3).start(3, 3, third).get());
    other.run("BEGIN; DELETE FROM builds WHERE id = 1");
    farm.persist(FarmChanges().accept(1).accept(3).get()); // or it waits for as long as the other does
    EXPECT_THAT(farm.steps(third), ElementsAre("third|10|NULL|NULL|100|NULL|m1|x86_64-linux|NULL"));
    other.run("ROLLBACK");
    EXPECT_THAT(farm.steps(a), ElementsAre("a|1|NULL|NULL|100|NULL|m1|x86_64-linux|NULL")) << "phases move it on";
}

TEST_F(HydraLocks, ADeletionThatIsTakenBackLosesNothing)
{
    queue();
    other.run("BEGIN; DELETE FROM builds WHERE id = 1");
    farm.persist(success());
    other.run("ROLLBACK");
    farm.waitForRest();
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150");
    EXPECT_THAT(farm.told(), ElementsAre("step_finished 1 1 /hydra/build-logs/a0/000000000000000000000000000000-a.drv",
                                         "build_finished 1"));
}

// SELECT FOR UPDATE, as the evaluator takes the builds of a jobset: not even a row that refers to one can be made.
TEST_F(HydraLocks, StepsOfABuildThatIsHeldWholeGetTheirRowsLater)
{
    queue(false);
    other.run("BEGIN; SELECT FROM builds FOR UPDATE");
    farm.persist(FarmChanges().start(1, 1, a).get());
    farm.persist(FarmChanges().accept(1).get());
    EXPECT_EQ(farm.later(), Rest::Waits);
    EXPECT_THAT(farm.steps(a), IsEmpty());
    other.run("COMMIT");
    farm.waitForRest();
    EXPECT_THAT(farm.steps(a), ElementsAre("a|10|NULL|NULL|105|NULL|m1|x86_64-linux|NULL"));
    EXPECT_THAT(farm.told(), ElementsAre("step_started 1 1", "build_started 1"));
    farm.persist(success());
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150");
}

TEST_F(HydraLocks, ABuildThatIsHeldWholeFromStartToEndIsToldInOrder)
{
    queue(false);
    other.run("BEGIN; SELECT FROM builds FOR UPDATE");
    farm.persist(FarmChanges().start(1, 1, a).get());
    farm.persist(failure());
    EXPECT_THAT(farm.told(), IsEmpty());
    other.run("COMMIT");
    farm.waitForRest();
    EXPECT_THAT(farm.steps(a), ElementsAre("a|0|1|no|110|150|m1|x86_64-linux|NULL"));
    EXPECT_THAT(farm.steps(top), ElementsAre("a|0|1|no|NULL|NULL|m1|x86_64-linux|1"));
    EXPECT_THAT(farm.told(),
                ElementsAre("step_started 1 1", "build_started 1",
                            "step_finished 1 1 /hydra/build-logs/a0/000000000000000000000000000000-a.drv",
                            "build_finished 1 1 2"));
    EXPECT_THAT(farm.sideRows(), IsEmpty());
}

TEST_F(HydraLocks, AnEndFindsTheRowThatCouldNotBeMadeAtTheStart)
{
    queue(false);
    other.run("BEGIN; SELECT FROM builds FOR UPDATE");
    farm.persist(FarmChanges().start(1, 1, a).get());
    other.run("COMMIT");
    farm.persist(success()); // before or after the writer was idle
    farm.waitForRest();
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150");
    EXPECT_THAT(farm.told(),
                ElementsAre("step_started 1 1", "build_started 1",
                            "step_finished 1 1 /hydra/build-logs/a0/000000000000000000000000000000-a.drv",
                            "build_finished 1"));
}

TEST_F(HydraLocks, ABuildDeletedWhileItRunsIsSurvived)
{
    queue();
    farm.database().remove(a);
    farm.persist(FarmChanges().accept(1).get());
    farm.persist(failure());
    EXPECT_EQ(farm.build(a), "gone");
    EXPECT_THAT(farm.steps(top), ElementsAre("a|0|1|no|NULL|NULL|m1|x86_64-linux|NULL"));
    EXPECT_EQ(farm.build(top), "1|2|110|150|0|150");
    EXPECT_THAT(farm.told(), ElementsAre("build_finished 2 2"));
    EXPECT_THAT(farm.sideRows(), IsEmpty());
}

TEST_F(HydraLocks, AnAttemptForADeletedBuildIsAccountedToAnotherOfItsDerivation)
{
    const int again = farm.insertBuild("a");
    farm.persist(FarmChanges().step(1, "a").job(a, 1).job(again, 1).get());
    farm.database().remove(a);
    farm.persist(FarmChanges().start(1, 1, a).get());
    EXPECT_EQ(farm.steps(again).size(), 1U);
    EXPECT_THAT(farm.told(), ElementsAre("step_started 3 1", "build_started 3"));
}

TEST_F(HydraLocks, AnAttemptForADeletedBuildHasNoRow)
{
    queue(false);
    farm.database().remove(a);
    farm.database().remove(top);
    farm.persist(FarmChanges().start(1, 1, a).get());
    farm.persist(failure());
    EXPECT_EQ(farm.database().value("SELECT count(*) FROM buildsteps"), "0");
    EXPECT_THAT(farm.told(), IsEmpty());
}

// A person who cancels or deletes many builds keeps it for minutes.
TEST_F(HydraLocks, WhoHoldsTheCountOfFinishedBuildsHoldsUpNothingElse)
{
    queue();
    other.run("BEGIN; UPDATE nrbuilds SET count = count + 1");
    farm.persist(success());
    EXPECT_EQ(farm.build(a), "0|NULL|NULL|NULL|NULL|NULL");
    EXPECT_THAT(farm.steps(a), ElementsAre("a|0|0|NULL|110|150|m1|x86_64-linux|NULL"));
    farm.persist(FarmChanges().start(2, 2, top).get());
    EXPECT_EQ(farm.steps(top).size(), 1U);
    EXPECT_EQ(farm.later(), Rest::Waits);
    (void)farm.told();
    other.run("ROLLBACK");
    farm.waitForRest();
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150") << "not cached: it was accounted to it";
    EXPECT_THAT(farm.told(), ElementsAre("build_finished 1"));
    EXPECT_EQ(farm.database().value("SELECT count FROM nrbuilds"), "1");
}

// Metrics name the project and the jobset, by foreign keys.
TEST_F(HydraLocks, AJobsetThatGetsAnotherNameMeanwhileIsSurvived)
{
    queue();
    work::BuildResults results;
    results.metrics = {{"size", 1.5, "MiB"}};
    other.run("BEGIN; UPDATE jobsets SET name = 'renamed'");
    farm.persist(FarmChanges()
                     .end(1, endOf(AttemptEnd::Succeeded, {{"out", outPath("a"), "", 10}}, results))
                     .finish(1, StepResult::Succeeded)
                     .over(a, JobState::Succeeded)
                     .get());
    EXPECT_EQ(farm.build(a), "0|NULL|NULL|NULL|NULL|NULL");
    EXPECT_THAT(farm.steps(a), ElementsAre("a|0|0|NULL|110|150|m1|x86_64-linux|NULL")) << "they do not wait";
    other.run("COMMIT");
    farm.waitForRest();
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150");
    EXPECT_THAT(farm.database().rows("SELECT project, jobset, job, timestamp FROM buildmetrics"),
                ElementsAre("project|renamed|a|1700000000"));
    // Of the whole project, while the build ends.
    const int third = farm.insertBuild("third");
    farm.persist(FarmChanges().step(3, "third").job(third, 3).start(2, 3, third).get());
    other.run("BEGIN; UPDATE projects SET name = 'another'");
    std::thread renaming([this] { other.run("SELECT pg_sleep(0.5); COMMIT"); });
    farm.persist(FarmChanges()
                     .end(2, endOf(AttemptEnd::Succeeded, {}, results))
                     .finish(3, StepResult::Succeeded)
                     .over(third, JobState::Succeeded)
                     .get());
    renaming.join();
    farm.waitForRest();
    EXPECT_THAT(farm.database().rows("SELECT project, jobset FROM buildmetrics WHERE build = 3"),
                ElementsAre("another|renamed"));
}

// --------------------------------------------------------------------------------------------------------- starting

TEST_F(HydraLocks, RunningStepsAreTakenOverAndThoseOfNobodyEnd)
{
    queue();
    farm.database().run("INSERT INTO buildsteps VALUES (2, 1, 0, '/nix/store/x-x.drv', 30, NULL, NULL, 5, NULL, 'm0')");
    farm.setClock(300);
    farm.restart();
    EXPECT_THAT(farm.steps(a), ElementsAre("a|1|NULL|NULL|100|NULL|m1|x86_64-linux|NULL"));
    EXPECT_EQ(farm.database().value("SELECT busy || ' ' || status || ' ' || stoptime - 1790000000 || ' ' || errormsg "
                                    "FROM buildsteps WHERE build = 2"),
              "0 3 300 the queue runner was restarted while this step ran");
    farm.persist(success());
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150");
}

TEST_F(HydraLocks, BuildsThatWereNeverHandedOverAreForgottenAtAStart)
{
    farm.restart();
    EXPECT_THAT(farm.sideRows(), IsEmpty());
}

TEST_F(HydraLocks, WhatEndedWithoutUsIsWrittenAtAStart)
{
    queue();
    // As when the server ran without --hydra for a while.
    farm.database().run("UPDATE penstock.attempts SET state = 'ended', ending = 'succeeded', "
                        "started_us = 1790000110000000, stopped_us = 1790000150000000;"
                        "UPDATE penstock.steps SET state = 'finished', result = 'succeeded' WHERE id = 1;"
                        "UPDATE penstock.jobs SET state = 'succeeded', result = 'succeeded' WHERE id = 1");
    farm.restart();
    farm.waitForRest();
    EXPECT_EQ(farm.build(a), "1|0|110|150|0|150");
    EXPECT_THAT(farm.steps(a), ElementsAre("a|0|0|NULL|110|150|m1|x86_64-linux|NULL"));
    EXPECT_THAT(farm.told(), ElementsAre("step_finished 1 1 /hydra/build-logs/a0/000000000000000000000000000000-a.drv",
                                         "build_finished 1"));
}

TEST(HydraSchema, OlderAndOtherDatabasesAreRefused)
{
    HydraFarm farm;
    store::postgres::StopSignal stop;
    auto connection = store::postgres::Connection::open(farm.database().url(), "test", stop);
    ASSERT_TRUE(connection.has_value());
    farm.database().run("UPDATE schemaversion SET version = 85");
    const auto refused = farm.projection().begin(*connection);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Invalid);
    EXPECT_NE(refused.error().message.find("version 85"), std::string::npos) << refused.error().message;
    farm.database().run("DROP TABLE schemaversion");
    EXPECT_EQ(farm.projection().begin(*connection).error().code, ErrorCode::Invalid);
}

} // namespace
} // namespace penstock::test
