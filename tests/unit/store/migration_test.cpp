// SPDX-License-Identifier: GPL-3.0-or-later
// A database of an earlier schema, with rows, is brought up to date and keeps them. Its rows are text written down when
// that schema was the newest, so that nothing of today's code can bend them.
#include "server/store/postgres/postgres_store.h"
#include "server/store/postgres/schema.h"
#include "tests/support/postgres_fixture.h"
#include "tests/support/store_rows.h"
#include "tests/support/store_world.h"
#include "tests/unit/store/beside.h"

#include <limits>

namespace penstock::store {
namespace {

using namespace std::string_literals;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// Step specs of version 1: every field set with limits of 1 min, the longest, the most bytes; a derivation with limits
// of 2 h, 30 s, 1,000 bytes; a command without limits.
#define FULL_SPEC                                                                                                      \
    "'\\x010c7838365f36342d6c696e757802036b766d01ff010367707501056c696e757802026d31026d3207636f6d6d616e6403626f62808e" \
    "ce1cffffffffffffffff7fffffffffffffffffff010305070b0d04ffffffffffffffffff010003027368022d6304610062ff01014102c3"  \
    "28'"
#define NIX_SPEC                                                                                                       \
    "'\\x010000000000036e69780080909de91a8087a70ee80700808ece1c0380c8ceb40d0a010001102f6e69782f73746f72652f782e647276" \
    "010e2f6e69782f73746f72652f73726302036f75740e2f6e69782f73746f72652f6f75740364657600'"
#define PLAIN_SPEC "'\\x01000000000007636f6d6d616e640000000000808ece1c0380c8ceb40d0a01000001047472756500'"

constexpr const char* kFirstRows = R"(
UPDATE penstock.epoch SET value = 41;
UPDATE penstock.id_marks SET job = 30, step = 50, attempt = 70, machine = 9;
INSERT INTO penstock.machines (id, identity, credential, name, drained, drain_note, first_seen_us, last_seen_us)
VALUES (9, '00000000000000000000000000000009', 'local', 'alpha', true, 'new disk', 1700000000000000, 1700000000000001);
INSERT INTO penstock.jobs (id, created_us, priority, steps_total, started_us, exit_code, signal, state, error, name,
    user_name, name_space, share_group, key, definition)
VALUES (10, 1700000000000000, -7, 2, 1700000000000005, 0, 0, 'running', '', 'full', 'ada', 'lab', 'group',
        'nightly', '{"name":"full"}'),
       (11, 1700000000000001, 0, 1, NULL, 0, 0, 'queued', '', 'plain', 'bob', 'default', 'default', '', '{}'),
       (12, 1700000000000002, 0, 1, NULL, 0, 0, 'queued', '', 'nix only', 'bob', 'default', 'default', '', '{}');
INSERT INTO penstock.jobs (id, created_us, priority, steps_total, started_us, finished_us, exit_code, signal, state,
    result, error, name, user_name, name_space, share_group, key, definition)
VALUES (13, 1700000000000003, 0, 1, 1, 2, 1, 0, 'failed', 'failed', E'why \u0001', 'done', 'bob', 'default', 'default',
        '', '{}');
INSERT INTO penstock.job_keys (digest, name_space, key, job_id)
VALUES (sha256('lab'::bytea || '\x00'::bytea || 'nightly'::bytea), 'lab', 'nightly', 10);
INSERT INTO penstock.steps (id, created_us, ready_since_us, attempts, failures, infrastructure_failures, state, result,
    avoid, error, name, spec, drv)
VALUES (20, 1700000000000000, 1700000000000006, 3, 2, 1, 'running', NULL, '\x010109', '', 'full', )" FULL_SPEC R"(,
        NULL),
       (21, 1700000000000000, NULL, 0, 0, 0, 'blocked', NULL, '', '', 'nix', )" NIX_SPEC R"(, 'Derive([])'),
       (22, 1700000000000000, NULL, 0, 0, 0, 'ready', NULL, '', '', 'plain', )" PLAIN_SPEC R"(, NULL),
       (23, 1700000000000000, NULL, 1, 1, 0, 'finished', 'failed', '', '', 'done', )" NIX_SPEC R"(, 'Derive([])');
INSERT INTO penstock.step_dependencies (step_id, depends_on) VALUES (20, 21);
INSERT INTO penstock.job_steps (job_id, step_id, root)
VALUES (10, 20, true), (10, 21, false), (11, 22, true), (12, 21, true), (13, 23, true);
INSERT INTO penstock.attempts (id, step_id, job_id, machine_id, created_us, cpu_user_us, cpu_system_us, max_rss_bytes,
    log_bytes, number, exit_code, signal, core_dumped, log_truncated, state, error, outputs)
VALUES (60, 20, 10, 9, 1700000000000007, 1, 2, 3, 4, 3, 0, 0, false, false, 'running', '', '');
INSERT INTO penstock.tokens (id, hash, kind, name, created_us, revoked) VALUES ('t1', 'h', 'builder', 'n', 5, false);
)";

// As the program of the first schema left it.
std::string databaseOfTheFirstSchema()
{
    const std::string database = test::newDatabase();
    Beside beside(database);
    beside.run("CREATE SCHEMA penstock; CREATE TABLE penstock.migrations (number integer PRIMARY KEY, "
               "name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())");
    beside.run(postgres::migrations().front().sql);
    beside.run("INSERT INTO penstock.migrations (number, name) VALUES (1, '0001_first')");
    beside.run(kFirstRows);
    return database;
}

template <class Rows, class Id> const auto& rowOf(const Rows& rows, Id id)
{
    for (const auto& row : rows)
        if (row.id == id)
            return row;
    ADD_FAILURE() << "no row " << id.value();
    return rows.front();
}

TEST(Migration, KeepsTheRowsOfTheFirstSchema)
{
    const std::string database = databaseOfTheFirstSchema();
    PostgresStore store({database}, test::testLogger());
    const auto recovery = store.loadOpen();
    ASSERT_TRUE(recovery.has_value()) << recovery.error().message;
    EXPECT_EQ(recovery->marks, (work::IdMarks{30, 50, 70, 9}));
    ASSERT_EQ(recovery->machines.size(), 1U);
    const work::MachineRow& machine = recovery->machines[0];
    EXPECT_EQ(machine.name, "alpha");
    EXPECT_EQ(machine.drainNote, "new disk");
    EXPECT_EQ(machine.lastSeen.micros(), 1'700'000'000'000'001);
    EXPECT_EQ(machine.overrides, work::ThresholdOverrides{});
    EXPECT_EQ(machine.health, work::MachineHealth{});
    ASSERT_EQ(recovery->jobs.size(), 3U);
    const work::JobRow& job = recovery->jobs[0];
    EXPECT_EQ(job.spec.name, "full");
    EXPECT_EQ(job.spec.priority, -7);
    EXPECT_EQ(job.spec.concurrencyGroup, "");
    EXPECT_EQ(job.progress.state, work::JobState::Running);
    EXPECT_FALSE(job.progress.bumped.has_value());
    EXPECT_FALSE(job.progress.held);
    ASSERT_EQ(recovery->steps.size(), 3U);
    const work::StepRow& step = rowOf(recovery->steps, StepId(20));
    EXPECT_EQ(step.progress.attempts, 3U);
    EXPECT_EQ(step.progress.losses, 0U);
    EXPECT_EQ(step.progress.avoid, std::vector{MachineId(9)});
    EXPECT_EQ(step.spec.placement, (work::Placement{"x86_64-linux", {"kvm", "\xFF"}, {"gpu"}, {"linux"}, {"m1", "m2"},
                                                    "command", "bob"}));
    EXPECT_EQ(step.spec.retry, (work::RetryPolicy{3, Duration{5}, 7, Duration{11}, 13}));
    EXPECT_EQ(step.spec.resources, (work::Resources{4, std::numeric_limits<std::uint64_t>::max(), {}}));
    EXPECT_EQ(std::get<work::CommandWork>(*step.spec.work),
              (work::CommandWork{{"sh", "-c", "a\0b\xFF"s}, {{"A", "\xC3("}}}));
    const auto& nix = std::get<work::NixWork>(*rowOf(recovery->steps, StepId(21)).spec.work);
    EXPECT_EQ(nix.drv, "");
    const auto texts = ask<std::vector<StoredDerivation>>(store, &Store::loadDerivations, std::vector{StepId(21)});
    ASSERT_TRUE(texts.has_value()) << texts.error().message;
    ASSERT_EQ(texts->size(), 1U);
    EXPECT_EQ(texts->front().drv, "Derive([])");
    EXPECT_EQ(texts->front().inputPaths, std::vector<std::string>{"/nix/store/src"});
    EXPECT_EQ(nix.outputs.size(), 2U);
    EXPECT_EQ(recovery->dependencies.size(), 1U);
    EXPECT_EQ(recovery->jobSteps.size(), 4U);
    ASSERT_EQ(recovery->attempts.size(), 1U);
    EXPECT_EQ(recovery->attempts[0].progress.maxRssBytes, 3U);
    ASSERT_EQ(recovery->keys.size(), 1U);
    EXPECT_EQ(recovery->pause, work::DispatchPause{});
    EXPECT_TRUE(recovery->shareGroups.empty() && recovery->namespaces.empty() && recovery->usage.empty() &&
                recovery->history.empty());
    EXPECT_TRUE(ask<TokenRow>(store, &Store::findToken, "t1").has_value());
    const auto done = ask<JobView>(store, &Store::findJob, JobId(13));
    ASSERT_TRUE(done.has_value()) << done.error().message;
    EXPECT_EQ(done->row.progress.error, "why \x01");
}

TEST(Migration, GivesAJobOfTheFirstSchemaTheLimitsOfItsSteps)
{
    const std::string database = databaseOfTheFirstSchema();
    PostgresStore store({database}, test::testLogger());
    const auto recovery = store.loadOpen();
    ASSERT_TRUE(recovery.has_value()) << recovery.error().message;
    const work::Limits ofNix{hours(2), seconds(30), 1'000, 0};
    EXPECT_EQ(rowOf(recovery->jobs, JobId(10)).spec.limits, // the more generous of two steps
              (work::Limits{hours(2), Duration{std::numeric_limits<std::int64_t>::max()},
                            std::numeric_limits<std::uint64_t>::max(), 0}));
    EXPECT_EQ(rowOf(recovery->jobs, JobId(11)).spec.limits, work::Limits{});
    EXPECT_EQ(rowOf(recovery->jobs, JobId(12)).spec.limits, ofNix);
    const auto finished = ask<work::StoredJob>(store, &Store::loadJob, JobId(13)); // as when it is opened again
    ASSERT_TRUE(finished.has_value()) << finished.error().message;
    EXPECT_EQ(finished->job.spec.limits, ofNix);
    // A new job that needs an old step has its own limits, none too.
    work::Changes changes;
    changes.newJobs = {jobRow(31)};
    changes.jobSteps = {{JobId(31), StepId(21), true}};
    ASSERT_TRUE(ask<void>(store, &Store::persist, changes, work::IdMarks{31, 0, 0, 0}).has_value());
    const auto later = store.loadOpen();
    ASSERT_TRUE(later.has_value()) << later.error().message;
    EXPECT_EQ(rowOf(later->jobs, JobId(31)).spec.limits, work::Limits{});
    EXPECT_EQ(rowOf(later->jobs, JobId(12)).spec.limits, ofNix);
}

TEST(Migration, GoesOnWithTheRowsOfTheFirstSchema)
{
    const std::string database = databaseOfTheFirstSchema();
    work::Changes changes;
    {
        PostgresStore store({database}, test::testLogger());
        ASSERT_TRUE(store.loadOpen().has_value());
        changes.machines = {fullMachine(9)};
        changes.jobs = {{JobId(10), fullJob(10).progress}};
        changes.steps = {{StepId(20), fullStep(20).progress}};
        changes.attempts = {{AttemptId(60), fullAttempt(60, 20, 10).progress}};
        changes.shareGroups = {{"group", 300}};
        changes.pause = fullPause();
        const auto done = ask<void>(store, &Store::persist, changes, work::IdMarks{});
        ASSERT_TRUE(done.has_value()) << done.error().message;
    }
    PostgresStore store({database}, test::testLogger());
    const auto recovery = store.loadOpen();
    ASSERT_TRUE(recovery.has_value()) << recovery.error().message;
    EXPECT_EQ(show(recovery->machines[0]), show(changes.machines[0]));
    EXPECT_EQ(rowOf(recovery->jobs, JobId(10)).progress, changes.jobs[0].progress);
    EXPECT_EQ(rowOf(recovery->steps, StepId(20)).progress, changes.steps[0].progress);
    EXPECT_EQ(recovery->attempts[0].progress, changes.attempts[0].progress);
    EXPECT_EQ(recovery->pause, fullPause());
    EXPECT_EQ(Beside(database).number("SELECT value FROM penstock.epoch"), 43);
}

TEST(Migration, RewritesNoTableOfTheFirstSchema)
{
    const std::string database = databaseOfTheFirstSchema();
    Beside beside(database);
    const char* files = "SELECT string_agg(relname || ' ' || relfilenode, ',' ORDER BY relname) FROM pg_class "
                        "WHERE relnamespace = 'penstock'::regnamespace AND relkind = 'r' AND relname IN ('jobs', "
                        "'steps', 'attempts', 'job_steps', 'step_dependencies')";
    const auto before = beside.texts(files);
    ASSERT_TRUE(PostgresStore({database}, test::testLogger()).loadOpen().has_value());
    EXPECT_EQ(beside.texts(files), before);
}

TEST(Schema, HasNoIndexOnWhatChanges)
{
    const std::string database = test::newDatabase();
    ASSERT_TRUE(PostgresStore({database}, test::testLogger()).loadOpen().has_value());
    Beside beside(database);
    // Keys alone, but for the front of names; conditions are on is_open, which changes when work ends.
    EXPECT_EQ(beside.texts("SELECT c.relname || ' ' || string_agg(DISTINCT a.attname, ' ' ORDER BY a.attname) "
                           "FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
                           "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) "
                           "WHERE c.relnamespace = 'penstock'::regnamespace GROUP BY c.relname ORDER BY c.relname"),
              (std::vector<std::string>{"attempts id step_id", "dispatch_pause only_row", "epoch only_row",
                                        "id_marks only_row", "job_keys digest", "job_steps job_id step_id", "jobs id",
                                        "machines id identity", "migrations number", "namespaces digest",
                                        "share_groups digest", "share_usage bucket_us digest",
                                        "step_dependencies depends_on step_id", "step_history digest", "steps id",
                                        "tokens id"}));
}

// ------------------------------------------------------------------------------------------- forgetting by itself

work::UsageRow usageAt(WallTime bucket)
{
    return {"g", bucket, minutes(1)};
}

TEST(Pruning, ForgetsOldUsageAndTheLeastRecentHistoryAtLoading)
{
    const std::string database = test::newDatabase();
    ASSERT_TRUE(PostgresStore({database}, test::testLogger()).loadOpen().has_value());
    Beside beside(database);
    beside.run("INSERT INTO penstock.step_history (digest, name, runs, duration_us, memory_bytes, milli_cpus, "
               "last_run_us) SELECT sha256(convert_to('n' || n, 'UTF8')), 'n' || n, 1, 1, 1, 1, n "
               "FROM generate_series(1, 100500) AS n");
    beside.run("INSERT INTO penstock.share_usage (digest, group_name, bucket_us, used_us) "
               "SELECT sha256('g'), 'g', 1600000000000000 + 300000000::bigint * n, 1 "
               "FROM generate_series(0, 400) AS n");
    PostgresStore store({database}, test::testLogger());
    const auto recovery = store.loadOpen();
    ASSERT_TRUE(recovery.has_value()) << recovery.error().message;
    EXPECT_EQ(recovery->history.size(), work::kHistoryKept);
    EXPECT_EQ(recovery->history.front().name, "n501");
    EXPECT_EQ(beside.number("SELECT count(*) FROM penstock.step_history"),
              static_cast<std::int64_t>(work::kHistoryKept));
    EXPECT_EQ(recovery->usage.size(), 24U * 12);
    EXPECT_EQ(beside.number("SELECT count(*) FROM penstock.share_usage"), 25 * 12 + 1);
}

TEST(Pruning, OneWrongClockForgetsNothing)
{
    const std::string database = test::newDatabase();
    const WallTime now = SystemClock{}.now().wall;
    {
        PostgresStore store({database}, test::testLogger());
        ASSERT_TRUE(store.loadOpen().has_value());
        work::Changes changes;
        changes.usage = {usageAt(now), usageAt(now + hours(24 * 365 * 50))}; // written while the clock was wrong
        ASSERT_TRUE(ask<void>(store, &Store::persist, changes, work::IdMarks{}).has_value());
    }
    PostgresStore store({database}, test::testLogger());
    const auto recovery = store.loadOpen();
    ASSERT_TRUE(recovery.has_value()) << recovery.error().message;
    EXPECT_EQ(recovery->usage.size(), 2U);
}

TEST(Pruning, ForgetsNowAndThenWithABatch)
{
    const std::string database = test::newDatabase();
    PostgresOptions options;
    options.connectionString = database;
    options.pruneInterval = Duration{0};
    PostgresStore store(options, test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    Beside beside(database);
    const WallTime start = WallTime::fromMicros(1'600'000'200'000'000);
    work::Changes changes;
    changes.usage = {usageAt(start), usageAt(start + hours(26))};
    ASSERT_TRUE(ask<void>(store, &Store::persist, changes, work::IdMarks{}).has_value());
    ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{}).has_value()); // after the pruning
    EXPECT_EQ(beside.number("SELECT count(*) FROM penstock.share_usage"), 1);
}

TEST(Pruning, ForgetsWhenMuchWasLearnedWithinTheInterval)
{
    const std::string database = test::newDatabase();
    PostgresStore store({database}, test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    Beside beside(database);
    for (std::size_t batch = 0; batch < 4; ++batch) {
        work::Changes changes;
        for (std::size_t number = 0; number < work::kHistoryKept / 2; ++number) {
            const std::size_t at = batch * work::kHistoryKept + number;
            changes.history.push_back(fullHistory("n" + std::to_string(at)));
            changes.history.back().lastRun = WallTime::fromMicros(static_cast<std::int64_t>(at));
        }
        ASSERT_TRUE(ask<void>(store, &Store::persist, changes, work::IdMarks{}).has_value());
    }
    ASSERT_TRUE(ask<void>(store, &Store::persist, oneJob(1), work::IdMarks{}).has_value());
    EXPECT_EQ(beside.number("SELECT count(*) FROM penstock.step_history"),
              static_cast<std::int64_t>(work::kHistoryKept));
}

TEST(Pruning, SurvivesALostSession)
{
    const std::string database = test::newDatabase();
    PostgresOptions options;
    options.connectionString = database;
    options.pruneInterval = Duration{0};
    PostgresStore store(options, test::testLogger());
    ASSERT_TRUE(store.loadOpen().has_value());
    Beside beside(database);
    beside.run("ALTER TABLE penstock.step_history RENAME TO gone"); // so that pruning fails
    for (std::uint64_t id = 1; id <= 3; ++id) {
        work::Changes changes = oneJob(id);
        changes.usage = {usageAt(SystemClock{}.now().wall)};
        const auto done = ask<void>(store, &Store::persist, changes, work::IdMarks{});
        ASSERT_TRUE(done.has_value()) << done.error().message;
        beside.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE "
                   "'penstock-writer-%' AND datname = current_database()");
    }
    EXPECT_EQ(beside.number("SELECT count(*) FROM penstock.jobs"), 3);
}

} // namespace
} // namespace penstock::store
