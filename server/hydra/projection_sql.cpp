// SPDX-License-Identifier: GPL-3.0-or-later
// Rows of builds that somebody else holds are never waited for, those of buildsteps for a moment only (phases are
// written there): they are left out and written later. As nothing is waited for, no order of taking them is needed.
//
// Plans are made once, often while a table is empty, and must be right when it is not. So every table is entered by
// LATERAL with OFFSET 0, which the planner cannot turn around, and a table that is written by "= ANY(ARRAY[x])", for
// which it knows neither a merge nor a walk over the whole index.
#include "server/hydra/projection_sql.h"

namespace penstock::hydra::sql {

const Statement kBegin{"hydra_begin", "BEGIN"};
const Statement kCommit{"hydra_commit", "COMMIT"};
// What may still wait: paths that others remember as failed at this moment.
const Statement kLimitWaiting{"hydra_limit_waiting", "SELECT set_config('lock_timeout', '3s', true)"};

const Statement kFillJobs{"hydra_fill_jobs", R"(
UPDATE penstock.hydra_builds h SET job = u.job, step = u.step
FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS u (build, job, step)
WHERE h.build = ANY(ARRAY[u.build]) AND h.job IS NULL)"};

// ---------------------------------------------------------------------------------------------------------- facts

// Builds that an attempt may be accounted to.
#define CANDIDATES                                                                                                     \
    "FROM unnest($1::bigint[]) AS u (id), "                                                                            \
    "LATERAL (SELECT * FROM penstock.attempts a WHERE a.id = u.id "                                                    \
    "AND (a.id > (SELECT p.attempt FROM penstock.hydra_projected p) OR EXISTS ("                                       \
    "SELECT FROM penstock.hydra_attempts x WHERE x.attempt = a.id AND x.stepnr = 0 OFFSET 0)) OFFSET 0) a "            \
    "LEFT JOIN LATERAL (SELECT * FROM penstock.hydra_builds c WHERE c.job = a.job_id UNION "                           \
    "SELECT * FROM penstock.hydra_builds c WHERE c.step = a.step_id) h ON true "

// FOR KEY SHARE: what the foreign keys of new rows would take too, so that these find it taken.
const Statement kHoldCandidates{"hydra_hold_candidates", R"(
SELECT b.id, b.finished FROM (SELECT DISTINCT h.build )" CANDIDATES R"() w,
LATERAL (SELECT b.id, b.finished FROM builds b WHERE b.id = w.build FOR KEY SHARE SKIP LOCKED) b)"};

const Statement kReadCandidates{"hydra_read_candidates", R"(
SELECT a.id, h.build, coalesce(h.job = a.job_id, false), coalesce(h.step = a.step_id, false),
    coalesce(h.started, false), EXISTS (SELECT FROM builds b WHERE b.id = h.build OFFSET 0),
    coalesce((SELECT max(s.stepnr) FROM buildsteps s WHERE s.build = h.build), 0)
)" CANDIDATES};

#undef CANDIDATES

const Statement kSetMark{"hydra_set_mark", "SAVEPOINT hydra"};
const Statement kUndoToMark{"hydra_undo_to_mark", "ROLLBACK TO SAVEPOINT hydra"};
const Statement kLimitShortly{"hydra_limit_shortly", "SELECT set_config('lock_timeout', '500ms', true)"};

#define ROWS_OF_ATTEMPTS                                                                                               \
    "FROM unnest($1::bigint[]) AS u (id), "                                                                            \
    "LATERAL (SELECT * FROM penstock.hydra_attempts h WHERE h.attempt = u.id OFFSET 0) h"

const Statement kHoldRows{"hydra_hold_rows", "SELECT h.attempt " ROWS_OF_ATTEMPTS R"(,
LATERAL (SELECT s.build FROM buildsteps s WHERE s.build = h.build AND s.stepnr = h.stepnr
         FOR NO KEY UPDATE SKIP LOCKED) s)"};
const Statement kWaitForRows{"hydra_wait_for_rows", "SELECT h.attempt " ROWS_OF_ATTEMPTS R"(,
LATERAL (SELECT s.build FROM buildsteps s WHERE s.build = h.build AND s.stepnr = h.stepnr FOR NO KEY UPDATE) s)"};

const Statement kReadRows{"hydra_read_rows", R"(
SELECT h.attempt, h.build, h.stepnr,
    coalesce((SELECT s.drvpath FROM buildsteps s WHERE s.build = h.build AND s.stepnr = h.stepnr), '')
)" ROWS_OF_ATTEMPTS};

#undef ROWS_OF_ATTEMPTS

const Statement kHoldOrigins{"hydra_hold_origins", R"(
SELECT b.id, b.finished FROM (
    SELECT h.build FROM unnest($1::bigint[]) AS u (id),
    LATERAL (SELECT FROM penstock.attempts a WHERE a.id = u.id AND a.ending NOT IN ('succeeded', 'cached') OFFSET 0) a,
    LATERAL (SELECT h.build FROM penstock.hydra_attempts h WHERE h.attempt = u.id OFFSET 0) h
    UNION
    SELECT h.accounted FROM unnest($2::bigint[]) AS u (id),
    LATERAL (SELECT h.accounted FROM penstock.hydra_builds h WHERE h.job = u.id AND h.accounted IS NOT NULL OFFSET 0) h
) w, LATERAL (SELECT b.id, b.finished FROM builds b WHERE b.id = w.build FOR KEY SHARE SKIP LOCKED) b)"};

// Not more in one transaction than can be told in a moment: each is counted on the same row, and versions of a row
// pile up while their transaction is open. Those beyond are written later, as if others held them. The names of jobset
// and project are held too, FOR KEY SHARE: foreign keys of metrics point to them. And none is ours without the count, which a
// person who cancels or deletes many builds holds for minutes.
const Statement kHoldBuilds{"hydra_hold_builds", R"(
WITH counted AS MATERIALIZED (
    SELECT n.what FROM nrbuilds n WHERE n.what = 'finished' AND EXISTS (
        SELECT FROM unnest($1::bigint[]) AS u (id),
        LATERAL (SELECT FROM penstock.hydra_builds h WHERE h.job = u.id OFFSET 0) h)
    FOR NO KEY UPDATE OF n SKIP LOCKED)
SELECT b.id FROM unnest($1::bigint[]) AS u (id),
LATERAL (SELECT h.build, h.drvpath FROM penstock.hydra_builds h WHERE h.job = u.id OFFSET 0) h,
LATERAL (SELECT b.id, b.jobset_id FROM builds b WHERE b.id = h.build AND b.finished = 0 AND b.drvpath = h.drvpath
         FOR NO KEY UPDATE SKIP LOCKED) b,
LATERAL (SELECT FROM jobsets s, projects p WHERE s.id = b.jobset_id AND p.name = s.project
         FOR KEY SHARE SKIP LOCKED) s
WHERE (SELECT count(*) FROM counted) > 0 OR NOT EXISTS (SELECT FROM nrbuilds n WHERE n.what = 'finished')
LIMIT 5000)"};

const Statement kReadBuilds{"hydra_read_builds", R"(
SELECT h.build, h.step, h.drvpath, h.started, h.accounted, j.state, j.created_us, j.error,
    coalesce(b.finished = 0 AND b.drvpath = h.drvpath, false), b.buildstatus, b.stoptime,
    coalesce((SELECT max(n.stepnr) FROM buildsteps n WHERE n.build = h.build), 0)
FROM unnest($1::bigint[]) AS u (id)
CROSS JOIN LATERAL (SELECT * FROM penstock.hydra_builds h WHERE h.job = u.id OFFSET 0) h
CROSS JOIN LATERAL (SELECT * FROM penstock.jobs j WHERE j.id = u.id OFFSET 0) j
LEFT JOIN LATERAL (SELECT * FROM builds b WHERE b.id = h.build OFFSET 0) b ON true)"};

// The steps of the attempts, the roots of the jobs, and where the failures of those began.
#define WANTED_STEPS                                                                                                   \
    "WITH roots AS MATERIALIZED (SELECT DISTINCT h.step FROM unnest($2::bigint[]) AS u (id), "                         \
    "LATERAL (SELECT h.step FROM penstock.hydra_builds h WHERE h.job = u.id OFFSET 0) h), "                            \
    "decisive AS MATERIALIZED (SELECT r.step FROM roots r UNION SELECT s.failed_dependency FROM roots r, "             \
    "LATERAL (SELECT s.failed_dependency FROM penstock.steps s WHERE s.id = r.step "                                   \
    "AND s.failed_dependency IS NOT NULL OFFSET 0) s) "

const Statement kReadSteps{"hydra_read_steps", WANTED_STEPS R"(
SELECT s.id, s.spec, s.result, s.error, s.failed_dependency,
    (SELECT max(a.id) FROM penstock.attempts a WHERE a.step_id = s.id)
FROM (SELECT d.step FROM decisive d UNION
      SELECT a.step_id FROM unnest($1::bigint[]) AS u (id),
      LATERAL (SELECT a.step_id FROM penstock.attempts a WHERE a.id = u.id OFFSET 0) a) w,
LATERAL (SELECT * FROM penstock.steps s WHERE s.id = w.step OFFSET 0) s)"};

const Statement kReadAttempts{"hydra_read_attempts", WANTED_STEPS R"(
SELECT a.id, a.step_id, coalesce(m.name, ''), a.created_us, a.state, a.ending, a.started_us, a.stopped_us, a.error,
    a.log_bytes, a.outputs, a.results, a.number
FROM (SELECT (SELECT max(n.id) FROM penstock.attempts n WHERE n.step_id = d.step) AS id FROM decisive d
      UNION SELECT u.id FROM unnest($1::bigint[]) AS u (id)) w
CROSS JOIN LATERAL (SELECT * FROM penstock.attempts a WHERE a.id = w.id OFFSET 0) a
LEFT JOIN LATERAL (SELECT m.name FROM penstock.machines m WHERE m.id = a.machine_id OFFSET 0) m ON true)"};

#undef WANTED_STEPS

const Statement kReadRevealed{"hydra_read_revealed", R"(
SELECT u.id, d.spec, d.revealed FROM unnest($1::bigint[]) AS u (id),
LATERAL (SELECT e.depends_on FROM penstock.step_dependencies e WHERE e.step_id = u.id OFFSET 0) e,
LATERAL (SELECT s.spec, s.revealed FROM penstock.steps s
         WHERE s.id = e.depends_on AND s.revealed <> ''::bytea OFFSET 0) d)"};

// ------------------------------------------------------------------------------------------------------ Hydra's rows

// A number that is taken means that another program numbers steps of our builds: its row stays.
const Statement kInsertSteps{"hydra_insert_steps", R"(
INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status, errormsg, starttime, stoptime, machine, system,
    propagatedfrom, overhead, timesbuilt, isnondeterministic)
SELECT u.build, u.stepnr, 0, u.drvpath, u.busy, u.status, u.errormsg, u.starttime, u.stoptime, u.machine, u.system,
    u.origin, u.overhead, u.rounds, u.differs
FROM unnest($1::integer[], $2::integer[], $3::text[], $4::integer[], $5::integer[], $6::text[], $7::integer[],
    $8::integer[], $9::text[], $10::text[], $11::integer[], $12::integer[], $13::integer[], $14::boolean[])
    AS u (build, stepnr, drvpath, busy, status, errormsg, starttime, stoptime, machine, system, origin, overhead,
    rounds, differs)
ON CONFLICT (build, stepnr) DO NOTHING)"};

const Statement kLiveResolved{"hydra_live_resolved", R"(
SELECT h.attempt, s.drvpath FROM penstock.hydra_attempts h
JOIN buildsteps s ON s.build = h.build AND s.stepnr = h.stepnr
WHERE NOT h.deferred AND EXISTS (SELECT FROM buildsteps r WHERE r.build = h.build AND r.status = 13
    AND right(s.drvpath, length(r.resolveddrvpath) + 1) = '/' || r.resolveddrvpath))"};

const Statement kInsertResolvedSteps{"hydra_insert_resolved_steps", R"(
INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status, starttime, stoptime, system, resolveddrvpath)
SELECT u.build, u.stepnr, 0, u.drvpath, 0, 13, u.starttime, u.stoptime, u.system, u.resolved
FROM unnest($1::integer[], $2::integer[], $3::text[], $4::integer[], $5::integer[], $6::text[], $7::text[])
    AS u (build, stepnr, drvpath, starttime, stoptime, system, resolved)
ON CONFLICT (build, stepnr) DO NOTHING)"};

const Statement kInsertStepOutputs{"hydra_insert_step_outputs", R"(
INSERT INTO buildstepoutputs (build, stepnr, name, path)
SELECT * FROM unnest($1::integer[], $2::integer[], $3::text[], $4::text[])
ON CONFLICT (build, stepnr, name) DO NOTHING)"};

const Statement kEndSteps{"hydra_end_steps", R"(
UPDATE buildsteps s SET busy = 0, status = u.status, errormsg = u.errormsg,
    starttime = coalesce(u.starttime, s.starttime), stoptime = u.stoptime,
    overhead = u.overhead, timesbuilt = u.rounds, isnondeterministic = u.differs
FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::text[], $5::integer[], $6::integer[], $7::integer[],
    $8::integer[], $9::boolean[])
    AS u (build, stepnr, status, errormsg, starttime, stoptime, overhead, rounds, differs)
WHERE s.build = ANY(ARRAY[u.build]) AND s.stepnr = ANY(ARRAY[u.stepnr]))"};

const Statement kSetStepPaths{"hydra_set_step_paths", R"(
UPDATE buildstepoutputs o SET path = u.path
FROM unnest($1::integer[], $2::integer[], $3::text[], $4::text[]) AS u (build, stepnr, name, path)
WHERE o.build = ANY(ARRAY[u.build]) AND o.stepnr = ANY(ARRAY[u.stepnr]) AND o.name = ANY(ARRAY[u.name]))"};

// busy + 0: or the index of busy rows would serve, which keeps every row that was busy since it was last vacuumed.
const Statement kSetConnecting{"hydra_set_connecting", R"(
UPDATE buildsteps s SET busy = 10
FROM unnest($1::bigint[]) AS u (id),
LATERAL (SELECT h.build, h.stepnr FROM penstock.hydra_attempts h WHERE h.attempt = u.id OFFSET 0) h,
LATERAL (SELECT f.build, f.stepnr FROM buildsteps f WHERE f.build = h.build AND f.stepnr = h.stepnr
         AND f.busy + 0 = 1 AND f.status IS NULL FOR NO KEY UPDATE SKIP LOCKED) f
WHERE s.build = ANY(ARRAY[f.build]) AND s.stepnr = ANY(ARRAY[f.stepnr]))"};

const Statement kInsertFailedPaths{"hydra_insert_failed_paths", R"(
INSERT INTO failedpaths (path) SELECT DISTINCT u.path FROM unnest($1::text[]) AS u (path) ON CONFLICT DO NOTHING)"};

const Statement kSetOutputPaths{"hydra_set_output_paths", R"(
UPDATE buildoutputs o SET path = u.path
FROM unnest($1::integer[], $2::text[], $3::text[]) AS u (build, name, path)
WHERE o.build = ANY(ARRAY[u.build]) AND o.name = ANY(ARRAY[u.name]) AND o.path IS DISTINCT FROM u.path)"};

const Statement kDropProducts{"hydra_drop_products", "DELETE FROM buildproducts WHERE build = ANY($1::integer[])"};
const Statement kInsertProducts{"hydra_insert_products", R"(
INSERT INTO buildproducts (build, productnr, type, subtype, filesize, sha256hash, path, name, defaultpath)
SELECT * FROM unnest($1::integer[], $2::integer[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
    $8::text[], $9::text[]))"};

const Statement kDropMetrics{"hydra_drop_metrics", "DELETE FROM buildmetrics WHERE build = ANY($1::integer[])"};
const Statement kInsertMetrics{"hydra_insert_metrics", R"(
INSERT INTO buildmetrics (build, name, unit, value, project, jobset, job, timestamp)
SELECT u.build, u.name, u.unit, u.value, s.project, s.name, b.job, b.timestamp
FROM unnest($1::integer[], $2::text[], $3::text[], $4::float8[]) AS u (build, name, unit, value),
LATERAL (SELECT * FROM builds b WHERE b.id = u.build OFFSET 0) b,
LATERAL (SELECT * FROM jobsets s WHERE s.id = b.jobset_id OFFSET 0) s)"};

// Products and so on stay as they are where a build has not ended well. Rows that kHoldBuilds has given us.
const Statement kEndBuilds{"hydra_end_builds", R"(
UPDATE builds b SET finished = 1, buildstatus = u.status, starttime = u.starttime, stoptime = u.stoptime,
    iscachedbuild = u.cached::integer,
    size = CASE WHEN u.status IN (0, 6) THEN u.size ELSE b.size END,
    closuresize = CASE WHEN u.status IN (0, 6) THEN u.closuresize ELSE b.closuresize END,
    releasename = CASE WHEN u.status IN (0, 6) THEN u.releasename ELSE b.releasename END,
    notificationpendingsince = CASE WHEN u.pending THEN u.stoptime ELSE b.notificationpendingsince END
FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::integer[], $5::boolean[], $6::boolean[], $7::bigint[],
    $8::bigint[], $9::text[])
    AS u (build, status, starttime, stoptime, cached, pending, size, closuresize, releasename)
WHERE b.id = ANY(ARRAY[u.build]) AND b.finished = 0)"};

const Statement kNotify{"hydra_notify", R"(
SELECT pg_notify(u.channel, u.payload)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (channel, payload, place) ORDER BY u.place)"};

// ------------------------------------------------------------------------------------------------------- side tables

const Statement kRaiseNewest{"hydra_raise_newest",
                             "UPDATE penstock.hydra_projected SET attempt = greatest(attempt, $1::bigint)"};
const Statement kInsertPlaces{"hydra_insert_places", R"(
INSERT INTO penstock.hydra_attempts (attempt, step, build, stepnr, deferred)
SELECT u.attempt, u.step, u.build, u.stepnr, u.stepnr = 0
FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[]) AS u (attempt, step, build, stepnr)
ON CONFLICT (attempt) DO UPDATE
SET build = excluded.build, stepnr = excluded.stepnr, deferred = excluded.deferred)"};
const Statement kDropPlaces{"hydra_drop_places",
                            "DELETE FROM penstock.hydra_attempts WHERE attempt = ANY($1::bigint[])"};
const Statement kDeferPlaces{
    "hydra_defer_places",
    "UPDATE penstock.hydra_attempts SET deferred = true WHERE attempt = ANY($1::bigint[]) AND NOT deferred"};
const Statement kSetStarted{"hydra_set_started",
                            "UPDATE penstock.hydra_builds SET started = true WHERE build = ANY($1::integer[])"};
const Statement kDropBuilds{"hydra_drop_builds", "DELETE FROM penstock.hydra_builds WHERE build = ANY($1::integer[])"};
const Statement kDeferBuilds{"hydra_defer_builds", R"(
UPDATE penstock.hydra_builds h SET deferred = true, accounted = u.accounted
FROM unnest($1::integer[], $2::integer[]) AS u (build, accounted)
WHERE h.build = ANY(ARRAY[u.build]) AND (NOT h.deferred OR h.accounted IS DISTINCT FROM u.accounted))"};

const Statement kDeferredAttempts{"hydra_deferred_attempts", R"(
SELECT attempt FROM penstock.hydra_attempts WHERE deferred AND attempt > $1::bigint
ORDER BY attempt LIMIT $2::bigint)"};
const Statement kDeferredBuilds{"hydra_deferred_builds", R"(
SELECT build, job FROM penstock.hydra_builds WHERE deferred AND job IS NOT NULL AND build > $1::bigint
ORDER BY build LIMIT $2::bigint)"};

const Statement kEndUnclaimed{"hydra_end_unclaimed", R"(
UPDATE buildsteps s SET busy = 0, status = 3, stoptime = $1::bigint::integer, errormsg = $2::text
WHERE s.busy <> 0 AND NOT EXISTS (
    SELECT FROM penstock.hydra_attempts h WHERE h.build = s.build AND h.stepnr = s.stepnr))"};

const char* const kHeal = R"(
DELETE FROM penstock.hydra_builds h
    WHERE h.job IS NULL OR NOT EXISTS (SELECT FROM penstock.jobs j WHERE j.id = h.job);
UPDATE penstock.hydra_builds h SET deferred = true
    FROM penstock.jobs j WHERE j.id = h.job AND NOT j.is_open AND NOT h.deferred;
DELETE FROM penstock.hydra_attempts h WHERE NOT EXISTS (SELECT FROM penstock.attempts a WHERE a.id = h.attempt);
UPDATE penstock.hydra_attempts h SET deferred = true
    FROM penstock.attempts a WHERE a.id = h.attempt AND NOT a.is_open AND NOT h.deferred;
)";

} // namespace penstock::hydra::sql
