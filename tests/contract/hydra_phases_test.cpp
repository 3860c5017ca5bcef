// SPDX-License-Identifier: GPL-3.0-or-later
// What Phases does with Hydra's rows, on a real PostgreSQL.
#include "server/hydra/phases.h"

#include "server/hydra/side_tables.h"
#include "tests/support/hydra_database.h"
#include "tests/support/postgres_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <thread>

namespace penstock::hydra {
namespace {

TEST(Busy, IsWhatHydraCallsThePhase)
{
    EXPECT_EQ(busyOf("connecting"), 0);
    EXPECT_EQ(busyOf("preparing"), 0);
    EXPECT_EQ(busyOf(""), 0);
    EXPECT_EQ(busyOf("sending-inputs"), 20);
    EXPECT_EQ(busyOf("building"), 30);
    EXPECT_EQ(busyOf("checkPhase"), 30);
    EXPECT_EQ(busyOf("uploading"), 40);
    EXPECT_EQ(busyOf("finishing"), 50);
}

class HydraPhases : public ::testing::Test {
protected:
    HydraPhases()
    {
        m_database.run("CREATE SCHEMA IF NOT EXISTS penstock");
        auto connection = store::postgres::Connection::open(m_database.url(), "test", m_stop);
        EXPECT_TRUE(connection) << connection.error().message;
        EXPECT_TRUE(makeSideTables(*connection));
        m_build = m_database.insertBuild({.drvPath = "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-a.drv"});
        make(m_database.url());
    }
    void make(const std::string& url)
    {
        PhaseOptions options;
        options.connectionString = url;
        options.pause = std::chrono::milliseconds(5);
        options.firstWait = std::chrono::milliseconds(5);
        options.longestWait = std::chrono::milliseconds(20);
        options.maxWaiting = 50;
        m_phases = std::make_unique<Phases>(std::move(options), m_clock, test::testLogger());
    }
    void addStep(int stepnr, int busy = 1, const std::string& status = "NULL")
    {
        m_database.run(fmt::format("INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status) VALUES "
                                   "({}, {}, 0, '/nix/store/x.drv', {}, {})",
                                   m_build, stepnr, busy, status));
        m_database.run(fmt::format("INSERT INTO penstock.hydra_attempts (attempt, step, build, stepnr) VALUES "
                                   "({}, 1, {}, {})",
                                   attempt(stepnr).value(), m_build, stepnr));
    }
    static AttemptId attempt(int stepnr) { return AttemptId{static_cast<std::uint64_t>(1'000 + stepnr)}; }
    std::string busy(int stepnr)
    {
        return m_database.value(
            fmt::format("SELECT busy FROM buildsteps WHERE build = {} AND stepnr = {}", m_build, stepnr));
    }
    // True as soon as it is so, within a time that is long for a database on a busy machine.
    bool becomes(int stepnr, const std::string& wanted)
    {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (busy(stepnr) != wanted) {
            if (std::chrono::steady_clock::now() > end)
                return false;
            std::this_thread::yield();
        }
        return true;
    }
    bool tries(std::uint64_t count)
    {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (m_phases->statements() < count) {
            if (std::chrono::steady_clock::now() > end)
                return false;
            std::this_thread::yield();
        }
        return true;
    }
    // What was told before has been written, or will not be.
    void settle()
    {
        static int next = 900;
        const int marker = next++;
        addStep(marker);
        m_phases->tell(attempt(marker), 50);
        EXPECT_TRUE(becomes(marker, "50"));
    }

    test::HydraDatabase m_database;
    store::postgres::StopSignal m_stop;
    SystemClock m_clock;
    int m_build = 0;
    std::unique_ptr<Phases> m_phases;
};

TEST_F(HydraPhases, MoveRowsOn)
{
    addStep(1);
    addStep(2, 10);
    m_phases->tell(attempt(1), 20);
    m_phases->tell(attempt(2), 30);
    EXPECT_TRUE(becomes(1, "20"));
    EXPECT_TRUE(becomes(2, "30"));
    m_phases->tell(attempt(1), 40);
    EXPECT_TRUE(becomes(1, "40"));
}

TEST_F(HydraPhases, NeverMoveARowBack)
{
    addStep(1, 40);
    m_phases->tell(attempt(1), 30);
    settle();
    EXPECT_EQ(busy(1), "40");
}

TEST_F(HydraPhases, NeverTouchARowThatHasEnded)
{
    addStep(1, 0, "0");
    addStep(2, 1, "3"); // as a runner may leave it that was killed
    m_phases->tell(attempt(1), 30);
    m_phases->tell(attempt(2), 30);
    settle();
    EXPECT_EQ(busy(1), "0");
    EXPECT_EQ(busy(2), "1");
}

TEST_F(HydraPhases, WhatIsNoRowIsForgotten)
{
    m_phases->tell(AttemptId{77}, 30);
    addStep(1);
    m_database.run(fmt::format("DELETE FROM buildsteps WHERE build = {}", m_build));
    m_phases->tell(attempt(1), 30);
    settle();
}

TEST_F(HydraPhases, WaitForARowThatIsLockedAndForNothingElse)
{
    addStep(1);
    addStep(2);
    test::HydraSession writer(m_database.url());
    writer.run(fmt::format("BEGIN; SELECT FROM buildsteps WHERE build = {} AND stepnr = 1 FOR UPDATE", m_build));
    m_phases->tell(attempt(1), 30);
    m_phases->tell(attempt(2), 30);
    EXPECT_TRUE(becomes(2, "30"));
    EXPECT_EQ(busy(1), "1");
    writer.run("COMMIT");
    EXPECT_TRUE(becomes(1, "30"));
}

TEST_F(HydraPhases, ComeTogetherInOneStatement)
{
    constexpr int kSteps = 40;
    for (int step = 1; step <= kSteps; ++step)
        addStep(step);
    for (int step = 1; step <= kSteps; ++step) {
        m_phases->tell(attempt(step), 20);
        m_phases->tell(attempt(step), 30);
    }
    EXPECT_TRUE(becomes(kSteps, "30"));
    for (int step = 1; step <= kSteps; ++step)
        EXPECT_EQ(busy(step), "30");
    EXPECT_LT(m_phases->statements(), 10U);
}

TEST_F(HydraPhases, AskNothingWhenNothingIsTold)
{
    settle();
    const auto before = m_phases->statements();
    m_phases->tell(attempt(1), 0);
    EXPECT_EQ(m_phases->statements(), before);
}

TEST_F(HydraPhases, GoOnWhenTheConnectionWasLost)
{
    settle();
    m_database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                   "WHERE datname = current_database() AND application_name = 'penstock-server phases'");
    addStep(1);
    m_phases->tell(attempt(1), 30);
    EXPECT_TRUE(becomes(1, "30"));
}

TEST_F(HydraPhases, TheNewestWaitWhileTheDatabaseIsAwayAndNotTooMany)
{
    for (int step = 1; step <= 60; ++step)
        addStep(step);
    const std::string name = m_database.value("SELECT current_database()");
    test::HydraSession elsewhere(test::newDatabase());
    elsewhere.run(fmt::format("ALTER DATABASE {} ALLOW_CONNECTIONS false", name));
    const auto before = m_phases->statements();
    for (int step = 1; step <= 60; ++step)
        m_phases->tell(attempt(step), 20);
    m_phases->tell(attempt(1), 30);
    EXPECT_TRUE(tries(before + 3)); // again and again
    elsewhere.run(fmt::format("ALTER DATABASE {} ALLOW_CONNECTIONS true", name));
    EXPECT_TRUE(becomes(1, "30"));
    EXPECT_TRUE(becomes(2, "20"));
    settle();
    EXPECT_EQ(m_database.value("SELECT count(*) FROM buildsteps WHERE busy = 1"), "10");
}

TEST_F(HydraPhases, EndSoonWhenTheDatabaseDoesNotAnswer)
{
    addStep(1);
    test::HydraSession writer(m_database.url());
    writer.run("BEGIN; LOCK TABLE buildsteps IN ACCESS EXCLUSIVE MODE");
    const auto before = m_phases->statements();
    m_phases->tell(attempt(1), 30);
    EXPECT_TRUE(tries(before + 1));
    const auto start = std::chrono::steady_clock::now();
    m_phases.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15)) << "less than a statement may take";
    writer.run("ROLLBACK");
}

} // namespace
} // namespace penstock::hydra
