// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/sql.h"

namespace penstock::store::postgres::sql {

const Statement kBegin{"begin", "BEGIN"};
const Statement kCommit{"commit", "COMMIT"};
const Statement kCheckEpoch{"check_epoch", "SELECT value FROM penstock.epoch FOR SHARE"};
const Statement kRaiseMarks{"raise_marks",
                            "UPDATE penstock.id_marks SET job = greatest(job, $1::bigint), "
                            "step = greatest(step, $2::bigint), attempt = greatest(attempt, $3::bigint), "
                            "machine = greatest(machine, $4::bigint)"};

// The operator's word and the scheduler's knowledge. Names are found by digest.
#define DIGEST(name) "sha256(convert_to(" name ", 'UTF8'))"

const Statement kRemoveMachines{"remove_machines",
                                "DELETE FROM penstock.machines WHERE id = ANY($1::bigint[])"};

const Statement kWriteMachines{"write_machines", R"(
INSERT INTO penstock.machines AS m (id, identity, credential, name, drained, drain_note, first_seen_us, last_seen_us,
    threshold_cpu_psi, threshold_memory_psi, threshold_io_psi, threshold_load1, threshold_free_disk_bytes,
    threshold_free_memory_bytes, threshold_free_inodes, health_state, health_failures_in_row, health_quarantines,
    health_until_us, health_reason)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[], $7::bigint[],
    $8::bigint[], $9::float8[], $10::float8[], $11::float8[], $12::float8[], $13::bigint[], $14::bigint[],
    $15::bigint[], $16::text[], $17::integer[], $18::integer[], $19::bigint[], $20::text[])
ON CONFLICT (id) DO UPDATE SET identity = excluded.identity, credential = excluded.credential, name = excluded.name,
    drained = excluded.drained, drain_note = excluded.drain_note, first_seen_us = excluded.first_seen_us,
    last_seen_us = excluded.last_seen_us, threshold_cpu_psi = excluded.threshold_cpu_psi,
    threshold_memory_psi = excluded.threshold_memory_psi, threshold_io_psi = excluded.threshold_io_psi,
    threshold_load1 = excluded.threshold_load1, threshold_free_disk_bytes = excluded.threshold_free_disk_bytes,
    threshold_free_memory_bytes = excluded.threshold_free_memory_bytes,
    threshold_free_inodes = excluded.threshold_free_inodes, health_state = excluded.health_state,
    health_failures_in_row = excluded.health_failures_in_row, health_quarantines = excluded.health_quarantines,
    health_until_us = excluded.health_until_us, health_reason = excluded.health_reason)"};

const Statement kWriteShareGroups{
    "write_share_groups", "INSERT INTO penstock.share_groups (digest, name, shares) "
                          "SELECT " DIGEST("u.name") ", u.name, u.shares "
                          "FROM unnest($1::text[], $2::integer[]) AS u (name, shares) "
                          "ON CONFLICT (digest) DO UPDATE SET shares = excluded.shares"};

const Statement kWriteNamespaces{
    "write_namespaces", "INSERT INTO penstock.namespaces (digest, name, max_running_steps, max_queued_jobs, max_cpus) "
                        "SELECT " DIGEST("u.name") ", u.name, u.steps, u.jobs, u.cpus "
                        "FROM unnest($1::text[], $2::integer[], $3::integer[], $4::integer[]) AS u (name, steps, jobs, "
                        "cpus) ON CONFLICT (digest) DO UPDATE SET max_running_steps = excluded.max_running_steps, "
                        "max_queued_jobs = excluded.max_queued_jobs, max_cpus = excluded.max_cpus"};

const Statement kWriteUsage{
    "write_usage", "INSERT INTO penstock.share_usage (digest, group_name, bucket_us, used_us) "
                   "SELECT " DIGEST("u.name") ", u.name, u.bucket, u.used "
                   "FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS u (name, bucket, used) "
                   "ON CONFLICT (bucket_us, digest) DO UPDATE SET used_us = excluded.used_us"};

const Statement kWriteHistory{
    "write_history", "INSERT INTO penstock.step_history (digest, name, runs, duration_us, memory_bytes, milli_cpus, "
                     "last_run_us) SELECT " DIGEST("u.name") ", u.* FROM unnest($1::text[], $2::integer[], "
                     "$3::bigint[], $4::bigint[], $5::integer[], $6::bigint[]) AS u (name, runs, duration, memory, "
                     "cpus, last_run) ON CONFLICT (digest) DO UPDATE SET runs = excluded.runs, "
                     "duration_us = excluded.duration_us, memory_bytes = excluded.memory_bytes, "
                     "milli_cpus = excluded.milli_cpus, last_run_us = excluded.last_run_us"};

const Statement kWritePause{"write_pause", "UPDATE penstock.dispatch_pause SET paused = $1::boolean, who = $2::text, "
                                           "note = $3::text, since_us = $4::bigint"};

// By the newest span that is stored or by now, whichever is earlier: one wrong clock alone deletes nothing.
const Statement kPruneUsage{"prune_usage", R"(
DELETE FROM penstock.share_usage
WHERE bucket_us < least((SELECT max(bucket_us) FROM penstock.share_usage), $2::bigint) - $1::bigint)"};
const Statement kPruneHistory{"prune_history", R"(
DELETE FROM penstock.step_history WHERE (last_run_us, digest) < (
    SELECT last_run_us, digest FROM penstock.step_history ORDER BY last_run_us DESC, digest DESC
    OFFSET $1::bigint - 1 LIMIT 1))"};

const Statement kInsertJobs{"insert_jobs", R"(
INSERT INTO penstock.jobs (id, created_us, priority, steps_total, started_us, finished_us, exit_code, signal, state,
    result, error, bumped_us, held, hold_note, name, user_name, name_space, share_group, key, definition, spec)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[], $5::bigint[], $6::bigint[],
    $7::integer[], $8::integer[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::boolean[], $14::text[],
    $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::bytea[])
ON CONFLICT (id) DO NOTHING)"};

const Statement kInsertSteps{"insert_steps", R"(
INSERT INTO penstock.steps (id, created_us, ready_since_us, retry_at_us, finished_us, failed_dependency, attempts,
    failures, infrastructure_failures, losses, state, result, avoid, error, revealed, name, spec, drv)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::integer[], $8::integer[], $9::integer[], $10::integer[], $11::text[], $12::text[], $13::bytea[], $14::text[],
    $15::bytea[], $16::text[], $17::bytea[], $18::bytea[])
ON CONFLICT (id) DO NOTHING)"};

const Statement kInsertDependencies{"insert_dependencies", R"(
INSERT INTO penstock.step_dependencies (step_id, depends_on) SELECT * FROM unnest($1::bigint[], $2::bigint[])
ON CONFLICT DO NOTHING)"};

const Statement kInsertJobSteps{"insert_job_steps", R"(
INSERT INTO penstock.job_steps (job_id, step_id, root) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::boolean[])
ON CONFLICT DO NOTHING)"};

const Statement kInsertAttempts{"insert_attempts", R"(
INSERT INTO penstock.attempts (id, step_id, job_id, machine_id, number, created_us, started_us, stopped_us,
    cpu_user_us, cpu_system_us, max_rss_bytes, log_bytes, exit_code, signal, core_dumped, log_truncated, state, ending,
    error, outputs, results)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::integer[],
    $14::integer[], $15::boolean[], $16::boolean[], $17::text[], $18::text[], $19::text[], $20::bytea[],
    $21::bytea[])
ON CONFLICT (id) DO NOTHING)"};

const Statement kUpdateJobs{"update_jobs", R"(
UPDATE penstock.jobs j SET started_us = u.started_us, finished_us = u.finished_us, exit_code = u.exit_code,
    signal = u.signal, state = u.state, result = u.result, error = u.error, bumped_us = u.bumped_us, held = u.held,
    hold_note = u.hold_note
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::text[], $7::text[],
    $8::text[], $9::bigint[], $10::boolean[], $11::text[]) AS u (id, started_us, finished_us, exit_code, signal, state,
    result, error, bumped_us, held, hold_note)
WHERE j.id = u.id)"};

const Statement kUpdateSteps{"update_steps", R"(
UPDATE penstock.steps s SET ready_since_us = u.ready_since_us, retry_at_us = u.retry_at_us,
    finished_us = u.finished_us, failed_dependency = u.failed_dependency, attempts = u.attempts, failures = u.failures,
    infrastructure_failures = u.infrastructure_failures, losses = u.losses, state = u.state, result = u.result,
    avoid = u.avoid, error = u.error, revealed = u.revealed
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::integer[],
    $8::integer[], $9::integer[], $10::text[], $11::text[], $12::bytea[], $13::text[], $14::bytea[]) AS u (id,
    ready_since_us, retry_at_us, finished_us, failed_dependency, attempts, failures, infrastructure_failures, losses,
    state, result, avoid, error, revealed)
WHERE s.id = u.id)"};

const Statement kUpdateAttempts{"update_attempts", R"(
UPDATE penstock.attempts a SET started_us = u.started_us, stopped_us = u.stopped_us, cpu_user_us = u.cpu_user_us,
    cpu_system_us = u.cpu_system_us, max_rss_bytes = u.max_rss_bytes, log_bytes = u.log_bytes,
    exit_code = u.exit_code, signal = u.signal, core_dumped = u.core_dumped, log_truncated = u.log_truncated,
    state = u.state, ending = u.ending, error = u.error, outputs = u.outputs, results = u.results
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::integer[], $9::integer[], $10::boolean[], $11::boolean[], $12::text[], $13::text[], $14::text[],
    $15::bytea[], $16::bytea[]) AS u (id, started_us, stopped_us, cpu_user_us, cpu_system_us, max_rss_bytes, log_bytes,
    exit_code, signal, core_dumped, log_truncated, state, ending, error, outputs, results)
WHERE a.id = u.id)"};

// Taken over only from a finished job, or kept: fewer rows than keys means that an unfinished job holds one.
const Statement kWriteKeys{"write_keys", R"(
INSERT INTO penstock.job_keys AS k (digest, name_space, key, job_id)
SELECT sha256(convert_to(u.name_space, 'UTF8') || '\x00'::bytea || convert_to(u.key, 'UTF8')), u.name_space, u.key, u.id
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS u (id, name_space, key)
ON CONFLICT (digest) DO UPDATE SET job_id = excluded.job_id
WHERE k.job_id = excluded.job_id
   OR NOT EXISTS (SELECT FROM penstock.jobs j WHERE j.id = k.job_id AND j.is_open))"};

// The session's advisory lock is the lead: it ends with the session and with nothing else.
const Statement kTryLead{"try_lead", "SELECT pg_try_advisory_lock(5788143690190746)"};
const Statement kWhoLeads{"who_leads", R"(
SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.client_addr::text, 'this machine')
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND (l.classid::bigint << 32 | l.objid::bigint) = 5788143690190746
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))"};
// A session of ours that the server still believes to be alive; by its name too, as process ids are used again.
const Statement kEndBackend{"end_backend", R"(
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1::bigint AND application_name = $2::text)"};
const Statement kReadEpoch{"read_epoch", "SELECT value FROM penstock.epoch"};
const Statement kRaiseEpoch{"raise_epoch", "UPDATE penstock.epoch SET value = value + 1 RETURNING value"};

const Statement kAddToken{"add_token", R"(
INSERT INTO penstock.tokens (id, hash, kind, name, created_us, expires_us, revoked)
VALUES ($1::text, $2::text, $3::text, $4::text, $5::bigint, $6::bigint, $7::boolean) ON CONFLICT (id) DO NOTHING)"};
const Statement kRevokeToken{"revoke_token", "UPDATE penstock.tokens SET revoked = true WHERE id = $1::text"};

} // namespace penstock::store::postgres::sql
