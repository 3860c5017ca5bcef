// SPDX-License-Identifier: GPL-3.0-or-later
// Somebody else's rows in our transactions: what the writer promises to a projection.
#include "server/store/postgres/postgres_store.h"
#include "server/store/postgres/projection.h"
#include "shared/base/queue.h"
#include "tests/support/postgres_fixture.h"
#include "tests/support/store_rows.h"
#include "tests/support/store_world.h"
#include "tests/unit/store/beside.h"
#include "tests/unit/store/cutting_proxy.h"

#include <atomic>
#include <fmt/core.h>

namespace penstock::store {
namespace {

using postgres::Connection;
using postgres::Parameters;
using postgres::Statement;

constexpr Statement kNote{"note", R"(
INSERT INTO noted SELECT $1::bigint, count(*) FROM penstock.jobs WHERE id = $1::bigint
ON CONFLICT (job) DO UPDATE SET writes = noted.writes + 1)"};

// Notes each new job, and whether its own row was there by then.
struct Notes final : postgres::Projection {
    Result<void> begin(Connection& connection) override
    {
        ++begun;
        return connection.runScript("CREATE TABLE IF NOT EXISTS noted (job bigint PRIMARY KEY, own bigint, "
                                    "writes integer DEFAULT 1)");
    }
    Result<Rest> write(Connection& connection, const work::Changes& changes) override
    {
        ++written;
        for (const work::JobRow& job : changes.newJobs) {
            Parameters parameters;
            parameters.int64(static_cast<std::int64_t>(job.id.value()));
            PENSTOCK_TRY_VOID(connection.run(kNote, parameters));
        }
        if (const int left = failures; left > 0) {
            failures = left - 1;
            return fail(code, "the projection does not want to");
        }
        return rest.load();
    }
    Result<Rest> later(Connection& connection) override
    {
        PENSTOCK_TRY_VOID(connection.runScript("SELECT 1"));
        const bool isMore = --more > 0; // before the test hears of the question and says how many more there are
        if (!asked.push(true))
            return fail(ErrorCode::Internal, "asked too often");
        return isMore ? Rest::Waits : Rest::None;
    }

    std::atomic<int> begun{0};
    std::atomic<int> written{0};
    std::atomic<int> failures{0};
    std::atomic<int> more{0};
    std::atomic<Rest> rest{Rest::None};
    std::atomic<ErrorCode> code{ErrorCode::Unavailable};
    BoundedQueue<bool> asked{100};
};

PostgresOptions optionsOf(const std::string& connectionString, Notes& notes)
{
    PostgresOptions options;
    options.connectionString = connectionString;
    options.projection = &notes;
    return options;
}

TEST(Projection, IsWrittenAfterOurRowsAndInTheirTransaction)
{
    const std::string database = test::newDatabase();
    Notes notes;
    PostgresStore store(optionsOf(database, notes), test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    EXPECT_EQ(notes.begun, 1);
    ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{}).has_value());
    Beside beside(database);
    EXPECT_EQ(beside.number("SELECT own FROM noted"), 1);
    // Tried again until it is done, with nothing left of the tries that failed.
    notes.failures = 2;
    ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(2), work::IdMarks{}).has_value());
    EXPECT_EQ(notes.written, 4);
    EXPECT_EQ(beside.number("SELECT max(writes) FROM noted"), 1);
    EXPECT_EQ(beside.number("SELECT count(*) FROM noted"), 2);
}

TEST(Projection, TakesOurRowsWithItWhenItRefuses)
{
    const std::string database = test::newDatabase();
    Notes notes;
    PostgresStore store(optionsOf(database, notes), test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    notes.code = ErrorCode::Conflict;
    notes.failures = 1;
    const auto refused = ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Conflict);
    Beside beside(database);
    EXPECT_EQ(beside.number("SELECT count(*) FROM penstock.jobs"), 0);
    EXPECT_EQ(beside.number("SELECT count(*) FROM noted"), 0);
}

TEST(Projection, IsWrittenAgainWithWhatMayHaveBeenCommitted)
{
    const std::string database = test::newDatabase();
    test::TestCluster& shared = test::sharedCluster();
    CuttingProxy proxy(shared.directory.path() / "pg" / "socket" / ".s.PGSQL.5432");
    const std::string name = database.substr(database.rfind("dbname="));
    Notes notes;
    PostgresStore store(
        optionsOf(fmt::format("host={} port=5432 user=penstock {}", proxy.directory(), name), notes),
        test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    proxy.cutNextCommit();
    ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{}).has_value());
    EXPECT_EQ(proxy.cuts(), 1);
    EXPECT_EQ(notes.written, 2);
    EXPECT_EQ(Beside(database).number("SELECT writes FROM noted"), 2);
}

TEST(Projection, IsAskedForTheRestWhileThereIsSomeAndNotOnAnIdleFarm)
{
    const std::string database = test::newDatabase();
    Notes notes;
    PostgresStore store(optionsOf(database, notes), test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    ASSERT_TRUE(notes.asked.takeOne().has_value()); // once after the start, and then not again:
    notes.more = 3;
    notes.rest = Notes::Rest::Waits;
    ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{}).has_value());
    for (int time = 0; time < 3; ++time)
        ASSERT_TRUE(notes.asked.takeOne().has_value());
    EXPECT_EQ(notes.more, 0);
    // The pause would have been over long ago had it been asked once more.
    EXPECT_FALSE(notes.asked.takeAllUntil(std::chrono::steady_clock::now() + std::chrono::seconds(2)).has_value());
}

TEST(Projection, IsNotAskedWhenNothingWasLeft)
{
    const std::string database = test::newDatabase();
    Notes notes;
    PostgresStore store(optionsOf(database, notes), test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    ASSERT_TRUE(notes.asked.takeOne().has_value()); // after the start
    ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{}).has_value());
    EXPECT_FALSE(notes.asked.takeAllUntil(std::chrono::steady_clock::now() + std::chrono::seconds(1)).has_value());
}

// What somebody holds for minutes is asked for less and less often, whatever else is written.
TEST(Projection, WritesDoNotMakeItAskMoreOften)
{
    const std::string database = test::newDatabase();
    Notes notes;
    PostgresStore store(optionsOf(database, notes), test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    ASSERT_TRUE(notes.asked.takeOne().has_value());
    notes.more = 1'000;
    notes.rest = Notes::Rest::Waits;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(3);
    std::uint64_t job = 0;
    for (; std::chrono::steady_clock::now() < end; notes.rest = Notes::Rest::None)
        ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(++job), work::IdMarks{}).has_value());
    const int asked = 1'000 - notes.more;
    EXPECT_GE(asked, 1);
    EXPECT_LE(asked, 4) << "after 0.2, 0.6, 1.4 and 3 seconds; " << job << " writes";
}

} // namespace
} // namespace penstock::store
