// SPDX-License-Identifier: GPL-3.0-or-later
// What only the real store has: lost sessions, a killed database, unknown outcomes, a lost lead, schemas of other
// times.
#include "server/store/postgres/postgres_store.h"
#include "server/store/postgres/schema.h"
#include "server/work/health.h"
#include "shared/base/queue.h"
#include "tests/support/store_rows.h"
#include "tests/support/store_world.h"
#include "tests/support/postgres_fixture.h"
#include "tests/unit/store/beside.h"
#include "tests/unit/store/cutting_proxy.h"

#include <atomic>
#include <csignal>
#include <fmt/core.h>

namespace penstock::store {
namespace {

using postgres::Connection;
using postgres::StopSignal;

constexpr const char* kEndWriter = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                                   "WHERE application_name LIKE 'penstock-writer-%' AND datname = current_database()";

struct Outcomes {
    std::atomic<int> good{0};
    std::atomic<int> bad{0};
};

// Batch `number` raises the attempts of step 1 to its number and adds a job.
work::Changes numbered(std::uint32_t number)
{
    work::Changes changes = oneJob(1'000 + number);
    work::StepProgress progress;
    progress.attempts = number;
    changes.steps = {{StepId(1), progress}};
    return changes;
}

void persistNumbered(Store& store, std::uint32_t number, const std::shared_ptr<Outcomes>& outcomes)
{
    store.persist(numbered(number), {},
                  [outcomes](const Result<void>& done) { ++(done ? outcomes->good : outcomes->bad); });
}

void expectAllStored(const std::string& connectionString, std::uint32_t count)
{
    PostgresStore store({connectionString}, test::testLogger());
    const auto recovery = store.loadOpen();
    ASSERT_TRUE(recovery.has_value()) << recovery.error().message;
    ASSERT_EQ(recovery->jobs.size(), count + 1U);
    EXPECT_EQ(recovery->steps.front().progress.attempts, count);
}

TEST(PostgresStore, LosesNothingWhenItsSessionIsEndedAgainAndAgain)
{
    const std::string database = test::newDatabase();
    constexpr std::uint32_t kBatches = 400;
    auto outcomes = std::make_shared<Outcomes>();
    {
        PostgresStore store({database}, test::testLogger());
        ASSERT_TRUE(store.loadOpen().has_value());
        ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{}).has_value());
        Beside beside(database);
        std::int64_t ended = 0;
        for (std::uint32_t number = 1; number <= kBatches; ++number) {
            persistNumbered(store, number, outcomes);
            if (number % 20 == 0)
                ended += beside.number(kEndWriter);
        }
        ASSERT_TRUE(ask<void>(store, &Store::persist, work::Changes{}, work::IdMarks{}).has_value());
        EXPECT_GT(ended, 0);
        EXPECT_EQ(outcomes->good, static_cast<int>(kBatches));
        EXPECT_EQ(outcomes->bad, 0);
    }
    expectAllStored(database, kBatches);
}

TEST(PostgresStore, WritesAgainWhatMayHaveBeenCommitted)
{
    const std::string database = test::newDatabase();
    test::TestCluster& shared = test::sharedCluster();
    CuttingProxy proxy(shared.directory.path() / "pg" / "socket" / ".s.PGSQL.5432");
    const std::string name = database.substr(database.rfind("dbname="));
    {
        PostgresStore store({fmt::format("host={} port=5432 user=penstock {}", proxy.directory(), name)},
                            test::testLogger());
        ASSERT_TRUE(store.loadOpen().has_value());
        ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{1, 1, 0, 0}).has_value());
        for (std::uint32_t number = 1; number <= 5; ++number) {
            proxy.cutNextCommit();
            work::Changes changes = numbered(number);
            changes.newJobs[0].spec.key = fmt::format("key {}", number);
            changes.jobs = {{changes.newJobs[0].id, finishedJob(work::JobState::Succeeded)}};
            changes.jobs.push_back({JobId(1), {}});
            changes.machines = {machineRow(number)};
            const auto done = ask<void>(store, &Store::persist, changes, work::IdMarks{number, 0, 0, number});
            ASSERT_TRUE(done.has_value()) << done.error().message;
        }
        EXPECT_EQ(proxy.cuts(), 5);
    }
    PostgresStore store({database}, test::testLogger());
    const auto recovery = store.loadOpen();
    ASSERT_TRUE(recovery.has_value());
    EXPECT_EQ(recovery->jobs.size(), 1U);
    EXPECT_EQ(recovery->keys.size(), 5U);
    EXPECT_EQ(recovery->machines.size(), 5U);
    EXPECT_EQ(recovery->steps.front().progress.attempts, 5U);
    EXPECT_EQ(Beside(database).number("SELECT count(*) FROM penstock.jobs"), 6);
}

TEST(PostgresStore, ResumesByItselfWhenTheDatabaseWasKilled)
{
    test::TestCluster own; // not the shared one: others must not notice
    BoundedQueue<bool> health(100); // of the cluster: ready, lost, ready …
    postgres_cluster::ClusterOptions options;
    options.directory = own.directory.path() / "pg";
    options.onHealth = [&health](const Result<void>& now) { EXPECT_TRUE(health.push(now.has_value())); };
    auto cluster = postgres_cluster::Cluster::start(options, test::testLogger());
    ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
    auto outcomes = std::make_shared<Outcomes>();
    auto away = std::make_shared<std::atomic<int>>(0);
    constexpr std::uint32_t kBatches = 300;
    {
        PostgresOptions storeOptions;
        storeOptions.connectionString = (*cluster)->connectionString();
        storeOptions.onHealth = [away](const Result<void>& now) { *away += now ? 0 : 1; };
        PostgresStore store(storeOptions, test::testLogger());
        EXPECT_FALSE(store.health().has_value());
        ASSERT_TRUE(store.loadOpen().has_value());
        ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{}).has_value());
        for (std::uint32_t number = 1; number <= kBatches; ++number) {
            persistNumbered(store, number, outcomes);
            if (number == 100 || number == 200) {
                ASSERT_TRUE(health.takeOne().value_or(false)) << "not ready";
                ASSERT_EQ(::kill(own.postmaster(), SIGKILL), 0);
                ASSERT_FALSE(health.takeOne().value_or(true)) << "not lost";
            }
            if (number % 10 == 0) { // so that both kills find work under way
                const auto done = ask<void>(store, &Store::persist, work::Changes{}, work::IdMarks{number, 0, 0, 0});
                ASSERT_TRUE(done.has_value()) << done.error().message;
            }
        }
        ASSERT_TRUE(ask<void>(store, &Store::persist, work::Changes{}, work::IdMarks{}).has_value());
        EXPECT_TRUE(store.health().has_value());
        EXPECT_GE(*away, 1);
        EXPECT_EQ(outcomes->good, static_cast<int>(kBatches));
    }
    ASSERT_TRUE(health.takeOne().value_or(false)) << "not ready";
    expectAllStored((*cluster)->connectionString(), kBatches);
}

TEST(PostgresStore, EndsWhenAnotherServerLedMeanwhile)
{
    const std::string database = test::newDatabase();
    PostgresStore store({database}, test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{}).has_value());
    Beside beside(database);
    beside.run("UPDATE penstock.epoch SET value = value + 1");
    const auto refused = ask<void>(store, &Store::persist, oneJob(2), work::IdMarks{});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Conflict);
    EXPECT_FALSE(store.health().has_value());
    EXPECT_EQ(beside.number("SELECT count(*) FROM penstock.jobs"), 1);
    EXPECT_FALSE(ask<void>(store, &Store::persist, oneJob(3), work::IdMarks{}).has_value());
}

TEST(PostgresStore, DoesNotTakeTheLeadBackFromAnotherServer)
{
    const std::string database = test::newDatabase();
    PostgresStore first({database}, test::testLogger());
    ASSERT_TRUE(first.loadOpen().has_value());
    Beside beside(database);
    EXPECT_EQ(beside.number(kEndWriter), 1);
    PostgresStore second({database}, test::testLogger());
    ASSERT_TRUE(second.loadOpen().has_value()); // before the first one noticed
    const auto refused = ask<void>(first, &Store::persist, oneJob(1), work::IdMarks{});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Conflict);
    EXPECT_NE(refused.error().message.find("penstock-writer"), std::string::npos) << refused.error().message;
    EXPECT_TRUE(ask<void>(second, &Store::persist, oneJob(1), work::IdMarks{}).has_value());
}

TEST(PostgresStore, AnswersEverythingWithoutADatabase)
{
    const test::TemporaryDirectory nowhere;
    const std::string connection = "host=" + nowhere.path().string() + " user=penstock dbname=postgres";
    PostgresStore store({connection}, test::testLogger());
    const auto loaded = store.loadOpen();
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().code, ErrorCode::Unavailable);
    EXPECT_FALSE(store.health().has_value());
    const auto asked = ask<JobView>(store, &Store::findJob, JobId(1));
    ASSERT_FALSE(asked.has_value());
    EXPECT_EQ(asked.error().code, ErrorCode::Unavailable);
    const auto written = ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{});
    ASSERT_FALSE(written.has_value()); // it never led
    EXPECT_EQ(written.error().code, ErrorCode::Conflict);
}

TEST(PostgresStore, GivesUpWaitingWritesWhenItIsStoppedWhileTheDatabaseIsAway)
{
    test::TestCluster own;
    postgres_cluster::ClusterOptions options;
    options.directory = own.directory.path() / "pg";
    auto cluster = postgres_cluster::Cluster::start(options, test::testLogger());
    ASSERT_TRUE(cluster.has_value()) << cluster.error().message;
    auto outcomes = std::make_shared<Outcomes>();
    {
        PostgresStore store({(*cluster)->connectionString()}, test::testLogger());
        ASSERT_TRUE(store.loadOpen().has_value());
        (*cluster)->stop();
        for (std::uint32_t number = 1; number <= 10; ++number)
            persistNumbered(store, number, outcomes);
    }
    EXPECT_EQ(outcomes->bad, 10);
}

TEST(PostgresStore, ReadsAgainAfterItsSessionWasEnded)
{
    const std::string database = test::newDatabase();
    PostgresStore store({database}, test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{}).has_value());
    Beside beside(database);
    for (int turn = 0; turn < 5; ++turn) {
        ASSERT_TRUE(ask<JobView>(store, &Store::findJob, JobId(1)).has_value());
        beside.number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                      "WHERE application_name = 'penstock-reader' AND datname = current_database()");
    }
}

TEST(PostgresStore, SaysWhatToDoAboutANewerSchema)
{
    const std::string database = test::newDatabase();
    ASSERT_TRUE(PostgresStore({database}, test::testLogger()).loadOpen().has_value());
    Beside beside(database);
    beside.run("INSERT INTO penstock.migrations (number, name) VALUES (9999, '9999_future')");
    const auto refused = PostgresStore({database}, test::testLogger()).loadOpen();
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Invalid);
    EXPECT_NE(refused.error().message.find("9999"), std::string::npos) << refused.error().message;
}

TEST(PostgresStore, MigratesOnceWhenSeveralServersStartTogether)
{
    const std::string database = test::newDatabase();
    std::vector<std::future<std::string>> started;
    for (int number = 0; number < 4; ++number)
        started.push_back(std::async(std::launch::async, [&database] {
            StopSignal stop;
            auto connection = Connection::open(database, "test", stop);
            const Result<void> done = connection ? postgres::migrate(*connection) : fail(connection.error());
            return done ? std::string() : done.error().message;
        }));
    for (std::future<std::string>& one : started)
        EXPECT_EQ(one.get(), "");
    EXPECT_EQ(Beside(database).number("SELECT count(*) FROM penstock.migrations"),
              static_cast<std::int64_t>(postgres::migrations().size()));
}

// The words of a CHECK constraint's list, in its order.
std::vector<std::string> wordsOf(Beside& beside, const std::string& constraint)
{
    const std::string sql = "SELECT m[1] FROM pg_constraint, regexp_matches(pg_get_constraintdef(oid), "
                            "'''([a-z_]+)''', 'g') WITH ORDINALITY AS found (m, place) WHERE conname = '" +
                            constraint + "' ORDER BY place";
    return beside.texts(sql.c_str());
}

template <class Enum> void expectSameWords(const std::vector<std::string>& stored, Enum last)
{
    std::vector<std::string> known;
    for (int value = 0; value <= static_cast<int>(last); ++value)
        known.emplace_back(toString(static_cast<Enum>(value)));
    EXPECT_EQ(stored, known);
}

TEST(PostgresStore, KnowsTheWordsOfTheStateMachinesAndNoOthers)
{
    const std::string database = test::newDatabase();
    ASSERT_TRUE(PostgresStore({database}, test::testLogger()).loadOpen().has_value());
    Beside beside(database);
    expectSameWords(wordsOf(beside, "job_state_is_known"), work::JobState::Cancelled);
    expectSameWords(wordsOf(beside, "job_result_is_known"), work::StepResult::Aborted);
    expectSameWords(wordsOf(beside, "step_state_is_known"), work::StepState::Finished);
    expectSameWords(wordsOf(beside, "step_result_is_known"), work::StepResult::Aborted);
    expectSameWords(wordsOf(beside, "attempt_state_is_known"), work::AttemptState::Ended);
    expectSameWords(wordsOf(beside, "attempt_end_is_known"), work::AttemptEnd::Lost);
    expectSameWords(wordsOf(beside, "machine_health_is_known"), work::HealthState::Parole);
    EXPECT_EQ(beside.number("SELECT count(*) FROM pg_constraint WHERE conname LIKE '%_is_known'"), 7);
}

} // namespace
} // namespace penstock::store
