// SPDX-License-Identifier: GPL-3.0-or-later
// The database that stands for Hydra's does what Hydra's does, so that other tests may rely on it.
#include "tests/support/hydra_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Sends one statement and answers the SQLSTATE it failed with; empty when it did not.
std::string stateOf(HydraDatabase& database, const std::string& sql)
{
    PGresult* result = ::PQexec(database.session().handle(), sql.c_str());
    const char* state = ::PQresultErrorField(result, PG_DIAG_SQLSTATE);
    std::string told = state == nullptr ? "" : state;
    ::PQclear(result);
    return told;
}

struct HydraDatabaseTest : ::testing::Test {
    HydraDatabase database;
    NotificationRecorder recorder{database.url()};
    int build = database.insertBuild({.drvPath = "/nix/store/a.drv", .outputs = {{"out", "/nix/store/a"}, {"dev"}}});
};

TEST_F(HydraDatabaseTest, ABuildIsQueuedWithItsOutputsAndNothingIsTold)
{
    EXPECT_EQ(database.value("SELECT version FROM schemaversion"), "87");
    EXPECT_EQ(database.buildRow(build), "0|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL");
    EXPECT_THAT(database.outputRows(build), ElementsAre("dev|NULL", "out|/nix/store/a"));
    EXPECT_THAT(recorder.take(), IsEmpty());
}

TEST_F(HydraDatabaseTest, TriggersTellWhatTheWebInterfaceDoes)
{
    database.bump(build, 5);
    database.bump(build, 5); // no change
    database.cancel(build);
    database.restart(build);
    database.run("UPDATE jobsets SET schedulingshares = 7");
    database.remove(build);
    EXPECT_THAT(recorder.take(), ElementsAre("builds_bumped", "builds_cancelled", "builds_restarted",
                                             "jobset_shares_changed", "builds_deleted"));
    database.run("DELETE FROM projects");
    EXPECT_THAT(recorder.take(), ElementsAre("builds_deleted")) << "by cascade, though there is no build";
}

TEST_F(HydraDatabaseTest, NotificationsComeInTheOrderOfTheirCommits)
{
    HydraSession other(database.url());
    other.run("BEGIN; SELECT pg_notify('build_finished', E'1\\t2')");
    database.run("SELECT pg_notify('step_started', E'1\\t1')");
    other.run("COMMIT");
    EXPECT_THAT(recorder.take(), ElementsAre("step_started 1 1", "build_finished 1 2"));
    EXPECT_EQ(stateOf(database, "SELECT pg_notify('build_finished', repeat('1', 7999))"), "");
    EXPECT_EQ(stateOf(database, "SELECT pg_notify('build_finished', repeat('1', 8000))"), "22023");
}

TEST_F(HydraDatabaseTest, FinishingNeedsBothTimesAndIsCounted)
{
    EXPECT_EQ(stateOf(database, "UPDATE builds SET finished = 1, starttime = 1"), "23514");
    EXPECT_EQ(stateOf(database, "UPDATE builds SET finished = 1, starttime = 0, stoptime = 1"), "23514");
    database.run("UPDATE builds SET finished = 1, starttime = 1, stoptime = 1");
    EXPECT_EQ(database.value("SELECT count FROM nrbuilds"), "1");
    database.restart(build);
    EXPECT_EQ(database.value("SELECT count FROM nrbuilds"), "0");
    database.insertFinishedBuild({.drvPath = "/nix/store/b.drv"}, 0);
    EXPECT_EQ(database.value("SELECT count FROM nrbuilds"), "1");
    database.run("DELETE FROM builds");
    EXPECT_EQ(database.value("SELECT count FROM nrbuilds"), "0");
}

TEST_F(HydraDatabaseTest, StepsAreCheckedAndGoWithTheirBuild)
{
    const std::string insert = "INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status, propagatedfrom,"
                               " resolveddrvpath) VALUES (1, ";
    EXPECT_EQ(stateOf(database, insert + "1, 0, 'd', 1, NULL, NULL, NULL)"), "");
    EXPECT_EQ(stateOf(database, insert + "2, 0, 'd', 0, 13, NULL, NULL)"), "23514");
    EXPECT_EQ(stateOf(database, insert + "3, 0, 'd', 0, 0, NULL, 'r')"), "23514");
    EXPECT_EQ(stateOf(database, insert + "4, 0, 'd', 0, 1, 0, NULL)"), "23503") << "0 is no build";
    EXPECT_EQ(stateOf(database, insert + "1, 0, 'd', 0, 0, NULL, NULL)"), "23505");
    EXPECT_EQ(stateOf(database, "UPDATE buildsteps SET machine = NULL"), "23502");
    database.remove(build);
    EXPECT_EQ(database.value("SELECT count(*) FROM buildsteps"), "0");
    EXPECT_EQ(stateOf(database, insert + "1, 0, 'd', 1, NULL, NULL, NULL)"), "23503") << "the build is gone";
}

TEST_F(HydraDatabaseTest, AFailedPathIsInsertedOnce)
{
    database.run("INSERT INTO failedpaths VALUES ('/nix/store/a')");
    database.run("INSERT INTO failedpaths VALUES ('/nix/store/a')");
    EXPECT_EQ(stateOf(database, "INSERT INTO failedpaths VALUES ('/nix/store/b') RETURNING path"), "0A000");
    EXPECT_EQ(stateOf(database, "INSERT INTO failedpaths VALUES ('/nix/store/b'), ('/nix/store/b')"), "23505");
    database.run("INSERT INTO failedpaths SELECT DISTINCT unnest(ARRAY['/nix/store/a', '/nix/store/c',"
                 " '/nix/store/c']) ON CONFLICT DO NOTHING");
    EXPECT_THAT(database.rows("SELECT path FROM failedpaths ORDER BY 1"),
                ElementsAre("/nix/store/a", "/nix/store/c"));
    database.insertFinishedBuild({.drvPath = "/nix/store/c.drv", .outputs = {{"out", "/nix/store/c"}}}, 1);
    database.restart(build + 1);
    EXPECT_THAT(database.rows("SELECT path FROM failedpaths"), ElementsAre("/nix/store/a"));
}

} // namespace
} // namespace penstock::test
