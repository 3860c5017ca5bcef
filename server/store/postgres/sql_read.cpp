// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/sql.h"

// Columns in the order in which row_reader.cpp reads them. String literals, so that they join at compile time.
#define JOB_COLUMNS                                                                                                    \
    "j.id, j.created_us, j.priority, j.steps_total, j.started_us, j.finished_us, j.exit_code, j.signal, j.state, "     \
    "j.result, j.error, j.bumped_us, j.held, j.hold_note, j.name, j.user_name, j.name_space, j.share_group, "          \
    "j.key, j.definition, j.spec"
#define STEP_COLUMNS(drv)                                                                                              \
    "s.id, s.created_us, s.ready_since_us, s.retry_at_us, s.finished_us, s.failed_dependency, s.attempts, "            \
    "s.failures, s.infrastructure_failures, s.losses, s.state, s.result, s.avoid, s.error, s.revealed, "            \
    "s.name, s.spec, " drv
#define ATTEMPT_COLUMNS                                                                                                \
    "a.id, a.step_id, a.job_id, a.machine_id, a.number, a.created_us, a.started_us, a.stopped_us, a.cpu_user_us, "     \
    "a.cpu_system_us, a.max_rss_bytes, a.log_bytes, a.exit_code, a.signal, a.core_dumped, a.log_truncated, a.state, "  \
    "a.ending, a.error, a.outputs, a.results"

namespace penstock::store::postgres::sql {

// ------------------------------------------------------------------------------------------------------ recovery

const Statement kLoadMarks{"load_marks", "SELECT job, step, attempt, machine FROM penstock.id_marks"};
const Statement kLoadMachines{"load_machines", R"(
SELECT id, identity, credential, name, drained, drain_note, first_seen_us, last_seen_us, threshold_cpu_psi,
    threshold_memory_psi, threshold_io_psi, threshold_load1, threshold_free_disk_bytes, threshold_free_memory_bytes,
    threshold_free_inodes, health_state, health_failures_in_row, health_quarantines, health_until_us, health_reason
FROM penstock.machines ORDER BY id)"};
// Sorted by whoever reads: names order otherwise as column text than as bytes.
const Statement kLoadShareGroups{"load_share_groups", "SELECT name, shares FROM penstock.share_groups"};
const Statement kLoadNamespaces{"load_namespaces",
                                "SELECT name, max_running_steps, max_queued_jobs, max_cpus FROM penstock.namespaces"};
const Statement kLoadUsage{"load_usage", R"(
SELECT group_name, bucket_us, used_us FROM penstock.share_usage
WHERE bucket_us > least((SELECT max(bucket_us) FROM penstock.share_usage), $2::bigint) - $1::bigint)"};
const Statement kLoadHistory{"load_history", R"(
SELECT name, runs, duration_us, memory_bytes, milli_cpus, last_run_us FROM penstock.step_history
ORDER BY last_run_us DESC, digest DESC LIMIT $1::bigint)"};
const Statement kLoadPause{"load_pause", "SELECT paused, who, note, since_us FROM penstock.dispatch_pause"};
// Of every unfinished job, and of the newest finished ones.
const Statement kLoadKeys{"load_keys", R"(
SELECT name_space, key, job_id FROM (
    SELECT k.name_space, k.key, k.job_id FROM penstock.job_keys k JOIN penstock.jobs j ON j.id = k.job_id AND j.is_open
    UNION ALL
    (SELECT k.name_space, k.key, k.job_id FROM penstock.job_keys k
     JOIN penstock.jobs j ON j.id = k.job_id AND NOT j.is_open ORDER BY k.job_id DESC LIMIT $1::bigint)) AS kept
ORDER BY name_space COLLATE "C", key COLLATE "C")"};

const Statement kOpenJobs{"open_jobs", "DECLARE recovery NO SCROLL CURSOR FOR SELECT " JOB_COLUMNS
                                       " FROM penstock.jobs j WHERE j.is_open ORDER BY j.id"};

#define GOOD "('succeeded', 'cached')"
#define NEEDED                                                                                                         \
    "SELECT js.step_id FROM penstock.jobs j JOIN penstock.job_steps js ON js.job_id = j.id WHERE j.is_open "           \
    "UNION SELECT a.step_id FROM penstock.attempts a WHERE a.is_open "                                                 \
    "UNION SELECT u.id FROM penstock.steps u WHERE u.result IS NULL "
#define NEEDED_STEPS "(" NEEDED ")"
// And those whose end or paths unfinished ones have to hear of.
#define NEEDED_STEPS_AND_ENDED                                                                                         \
    "(" NEEDED "UNION SELECT e.id FROM penstock.steps u JOIN penstock.step_dependencies d ON d.step_id = u.id "        \
    "JOIN penstock.steps e ON e.id = d.depends_on WHERE u.result IS NULL AND e.result IS NOT NULL "                    \
    "AND (e.revealed <> '' OR e.result NOT IN " GOOD "))"

const Statement kOpenSteps{"open_steps", "DECLARE recovery NO SCROLL CURSOR FOR SELECT " STEP_COLUMNS(
                                             "NULL::bytea") " FROM " NEEDED_STEPS_AND_ENDED
                                             " n JOIN penstock.steps s ON s.id = n.step_id ORDER BY s.id"};
const Statement kOpenDependencies{
    "open_dependencies", "DECLARE recovery NO SCROLL CURSOR FOR SELECT d.step_id, d.depends_on FROM " NEEDED_STEPS
                         " n JOIN penstock.step_dependencies d ON d.step_id = n.step_id ORDER BY d.step_id, "
                         "d.depends_on"};
const Statement kOpenJobSteps{"open_job_steps",
                              "DECLARE recovery NO SCROLL CURSOR FOR SELECT js.job_id, js.step_id, js.root "
                              "FROM penstock.jobs j JOIN penstock.job_steps js ON js.job_id = j.id WHERE j.is_open "
                              "ORDER BY js.job_id, js.step_id"};
const Statement kOpenAttempts{"open_attempts", "DECLARE recovery NO SCROLL CURSOR FOR SELECT " ATTEMPT_COLUMNS
                                               " FROM penstock.attempts a WHERE a.is_open ORDER BY a.id"};
const Statement kFetch{"fetch", "FETCH 10000 FROM recovery"};

// ------------------------------------------------------------------------------------------------------- finding
// Planned anew for each question, so that a condition on a parameter that is null costs nothing.

#define STEP_COUNTS                                                                                                    \
    " LEFT JOIN LATERAL (SELECT "                                                                                      \
    "count(*) FILTER (WHERE s.state = 'finished' AND s.result IN ('succeeded', 'cached')) AS done, "                   \
    "count(*) FILTER (WHERE s.state = 'running') AS running, "                                                         \
    "count(*) FILTER (WHERE s.state = 'finished' AND s.result NOT IN ('succeeded', 'cached', 'cancelled')) AS failed " \
    "FROM penstock.job_steps js JOIN penstock.steps s ON s.id = js.step_id WHERE js.job_id = j.id) c ON true "

const Statement kFindJobs{"find_jobs", "SELECT " JOB_COLUMNS ", c.done, c.running, c.failed FROM ("
                                       "SELECT * FROM penstock.jobs "
                                       "WHERE ($1::text IS NULL OR state = $1) "
                                       "AND (NOT $2::boolean OR is_open) "
                                       "AND ($3::text IS NULL OR (left(name_space, 128) = left($3, 128) "
                                       "AND name_space = $3)) "
                                       "AND ($4::text IS NULL OR (left(user_name, 128) = left($4, 128) "
                                       "AND user_name = $4)) "
                                       "AND ($5::text IS NULL OR (left(name, 128) = left($5, 128) AND name = $5)) "
                                       "AND ($6::bigint IS NULL OR id < $6) "
                                       "AND ($8::bigint IS NULL OR id = $8) "
                                       "ORDER BY id DESC LIMIT $7::bigint) j" STEP_COUNTS "ORDER BY j.id DESC"};

#define STEP_CONDITIONS                                                                                                \
    "($1::bigint IS NULL OR s.id = $1) AND ($2::text IS NULL OR s.state = $2) AND ($3::bigint IS NULL OR s.id < $3) "

// The last column: root of the job asked for.
const Statement kFindSteps{"find_steps", "SELECT " STEP_COLUMNS("NULL::bytea") ", false FROM penstock.steps s WHERE "
                                         STEP_CONDITIONS "ORDER BY s.id DESC LIMIT $4::bigint"};
// There are few that are not finished compared with all there ever were: they have an index of their own (0005).
const Statement kFindOpenSteps{"find_open_steps",
                               "SELECT " STEP_COLUMNS("NULL::bytea") ", false FROM penstock.steps s "
                               "WHERE s.result IS NULL AND " STEP_CONDITIONS "ORDER BY s.id DESC LIMIT $4::bigint"};
const Statement kFindStepsOfJob{
    "find_steps_of_job", "SELECT " STEP_COLUMNS("NULL::bytea") ", js.root FROM penstock.job_steps js "
                         "JOIN penstock.steps s ON s.id = js.step_id WHERE js.job_id = $5::bigint "
                         "AND ($3::bigint IS NULL OR js.step_id < $3) AND (NOT $6::boolean OR js.root) "
                         "AND " STEP_CONDITIONS
                         "ORDER BY js.step_id DESC LIMIT $4::bigint"};
const Statement kDependenciesOf{"dependencies_of",
                                "SELECT step_id, depends_on FROM penstock.step_dependencies "
                                "WHERE step_id = ANY($1::bigint[]) ORDER BY step_id, depends_on"};

#define MACHINE_NAME ", coalesce(m.name, '') "

const Statement kNewestAttemptsOf{
    "newest_attempts_of", "SELECT " ATTEMPT_COLUMNS MACHINE_NAME "FROM unnest($1::bigint[]) AS asked (step_id), "
                          "LATERAL (SELECT * FROM penstock.attempts WHERE step_id = asked.step_id ORDER BY id DESC "
                          "LIMIT 1) a LEFT JOIN penstock.machines m ON m.id = a.machine_id ORDER BY a.step_id"};

const Statement kFindAttempts{
    "find_attempts", "SELECT " ATTEMPT_COLUMNS MACHINE_NAME "FROM penstock.attempts a "
                     "LEFT JOIN penstock.machines m ON m.id = a.machine_id "
                     "WHERE ($1::bigint IS NULL OR a.step_id = $1) AND ($2::bigint IS NULL OR a.id = $2) "
                     "AND ($3::bigint IS NULL OR a.id > $3) ORDER BY a.id LIMIT $4::bigint"};
const Statement kFindAttemptsOfJob{
    "find_attempts_of_job", "SELECT " ATTEMPT_COLUMNS MACHINE_NAME "FROM penstock.job_steps js "
                            "JOIN penstock.attempts a ON a.step_id = js.step_id "
                            "LEFT JOIN penstock.machines m ON m.id = a.machine_id WHERE js.job_id = $5::bigint "
                            "AND ($1::bigint IS NULL OR a.step_id = $1) AND ($2::bigint IS NULL OR a.id = $2) "
                            "AND ($3::bigint IS NULL OR a.id > $3) ORDER BY a.id LIMIT $4::bigint"};

// ------------------------------------------------------------------------------------------------ a job, tokens

const Statement kLoadJob{"load_job", "SELECT " JOB_COLUMNS " FROM penstock.jobs j WHERE j.id = $1::bigint"};
// Also others whose revealed paths those that did not succeed will ask for.
const Statement kLoadStepsOfJob{"load_steps_of_job", "SELECT " STEP_COLUMNS("NULL::bytea") R"( FROM (
    SELECT js.step_id FROM penstock.job_steps js WHERE js.job_id = $1::bigint
    UNION SELECT e.id FROM penstock.job_steps js JOIN penstock.steps u ON u.id = js.step_id
        JOIN penstock.step_dependencies d ON d.step_id = u.id JOIN penstock.steps e ON e.id = d.depends_on
        WHERE js.job_id = $1::bigint AND (u.result IS NULL OR u.result NOT IN )" GOOD ") AND e.result IN " GOOD R"(
        AND e.revealed <> '') n JOIN penstock.steps s ON s.id = n.step_id ORDER BY s.id)"};
const Statement kLoadDerivations{"load_derivations", "SELECT s.id, s.spec, s.drv FROM penstock.steps s "
                                                     "WHERE s.id = ANY($1::bigint[]) ORDER BY s.id"};
const Statement kLoadDependenciesOfJob{
    "load_dependencies_of_job", R"(
SELECT d.step_id, d.depends_on FROM penstock.job_steps js JOIN penstock.step_dependencies d ON d.step_id = js.step_id
    JOIN penstock.steps e ON e.id = d.depends_on
WHERE js.job_id = $1::bigint AND (e.result IS NULL OR e.result NOT IN )" GOOD R"( OR e.revealed <> '' OR EXISTS (
    SELECT FROM penstock.job_steps own WHERE own.job_id = $1::bigint AND own.step_id = d.depends_on))
ORDER BY d.step_id, d.depends_on)"};
const Statement kLoadJobSteps{"load_job_steps", "SELECT job_id, step_id, root FROM penstock.job_steps "
                                                "WHERE job_id = $1::bigint ORDER BY step_id"};

#define TOKEN_COLUMNS "id, hash, kind, name, created_us, expires_us, revoked"

const Statement kFindToken{"find_token", "SELECT " TOKEN_COLUMNS " FROM penstock.tokens WHERE id = $1::text"};
const Statement kListTokens{"list_tokens", "SELECT " TOKEN_COLUMNS
                                           " FROM penstock.tokens ORDER BY created_us, id COLLATE \"C\""};

} // namespace penstock::store::postgres::sql
