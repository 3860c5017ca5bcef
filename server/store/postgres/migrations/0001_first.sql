-- SPDX-License-Identifier: GPL-3.0-or-later
-- The farm's rows. Times are microseconds since 1970 (UTC), durations microseconds. Unsigned 64-bit values are
-- stored with the same bits. Text that PostgreSQL cannot hold (NUL, ill-formed UTF-8) is stored as U+0001 "hex:" and its
-- bytes in hex (server/store/postgres/text.h). The lists of words are those of server/work/state.h; a test compares them.
--
-- No foreign keys: a check for each row would cost more than the write itself, and only the one leader writes; updates
-- of missing rows are refused by count. Fill factors leave room on the page for the one or two updates each row sees, so
-- that these touch no index (HOT). Columns in index conditions change only when work is opened or closed.

CREATE TABLE penstock.epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    value bigint NOT NULL
) WITH (fillfactor = 20);
INSERT INTO penstock.epoch (value) VALUES (0);

CREATE TABLE penstock.id_marks (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    job bigint NOT NULL,
    step bigint NOT NULL,
    attempt bigint NOT NULL,
    machine bigint NOT NULL
) WITH (fillfactor = 20);
INSERT INTO penstock.id_marks (job, step, attempt, machine) VALUES (0, 0, 0, 0);

CREATE TABLE penstock.machines (
    id bigint PRIMARY KEY,
    identity text NOT NULL CONSTRAINT machine_identity_is_unique UNIQUE,
    credential text NOT NULL,
    name text NOT NULL,
    drained boolean NOT NULL,
    drain_note text NOT NULL,
    first_seen_us bigint NOT NULL,
    last_seen_us bigint NOT NULL
);

CREATE TABLE penstock.jobs (
    id bigint PRIMARY KEY,
    created_us bigint NOT NULL,
    priority integer NOT NULL,
    steps_total integer NOT NULL,
    started_us bigint,
    finished_us bigint,
    exit_code integer NOT NULL,
    signal integer NOT NULL,
    is_open boolean NOT NULL GENERATED ALWAYS AS (state IN ('queued', 'running')) STORED,
    state text NOT NULL CONSTRAINT job_state_is_known
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    result text CONSTRAINT job_result_is_known
        CHECK (result IN ('succeeded', 'cached', 'failed', 'dependency_failed', 'timed_out', 'silent_timed_out',
                          'log_limit', 'output_limit', 'not_deterministic', 'cancelled', 'unsupported', 'aborted')),
    error text NOT NULL,
    name text NOT NULL,
    user_name text NOT NULL,
    name_space text NOT NULL,
    share_group text NOT NULL,
    key text NOT NULL,
    definition text NOT NULL
) WITH (fillfactor = 60);
CREATE INDEX open_jobs ON penstock.jobs (id) WHERE is_open;
-- Only the front of long words: an index entry has a limit.
CREATE INDEX jobs_by_name ON penstock.jobs (left(name, 128), id);
CREATE INDEX jobs_by_user ON penstock.jobs (left(user_name, 128), id);
CREATE INDEX jobs_by_name_space ON penstock.jobs (left(name_space, 128), id);

-- Who holds an idempotency key: the newest job that was given it.
CREATE TABLE penstock.job_keys (
    digest bytea PRIMARY KEY, -- sha256(name space, NUL, key)
    name_space text NOT NULL,
    key text NOT NULL,
    job_id bigint NOT NULL
);

CREATE TABLE penstock.steps (
    id bigint PRIMARY KEY,
    created_us bigint NOT NULL,
    ready_since_us bigint,
    retry_at_us bigint,
    finished_us bigint,
    failed_dependency bigint,
    attempts integer NOT NULL,
    failures integer NOT NULL,
    infrastructure_failures integer NOT NULL,
    state text NOT NULL CONSTRAINT step_state_is_known
        CHECK (state IN ('blocked', 'ready', 'delayed', 'running', 'finished')),
    result text CONSTRAINT step_result_is_known
        CHECK (result IN ('succeeded', 'cached', 'failed', 'dependency_failed', 'timed_out', 'silent_timed_out',
                          'log_limit', 'output_limit', 'not_deterministic', 'cancelled', 'unsupported', 'aborted')),
    avoid bytea NOT NULL, -- machines, oldest first; like spec in the form of server/store/postgres/codec.h
    error text NOT NULL,
    name text NOT NULL,
    spec bytea NOT NULL, -- all of it but the derivation's text
    drv bytea            -- the derivation's text
) WITH (fillfactor = 60);

CREATE TABLE penstock.step_dependencies (
    step_id bigint NOT NULL,
    depends_on bigint NOT NULL,
    PRIMARY KEY (step_id, depends_on)
);

CREATE TABLE penstock.job_steps (
    job_id bigint NOT NULL,
    step_id bigint NOT NULL,
    root boolean NOT NULL,
    PRIMARY KEY (job_id, step_id)
);

CREATE TABLE penstock.attempts (
    id bigint PRIMARY KEY,
    step_id bigint NOT NULL,
    job_id bigint NOT NULL,
    machine_id bigint NOT NULL,
    created_us bigint NOT NULL,
    started_us bigint,
    stopped_us bigint,
    cpu_user_us bigint NOT NULL,
    cpu_system_us bigint NOT NULL,
    max_rss_bytes bigint NOT NULL,
    log_bytes bigint NOT NULL,
    number integer NOT NULL,
    exit_code integer NOT NULL,
    signal integer NOT NULL,
    core_dumped boolean NOT NULL,
    log_truncated boolean NOT NULL,
    is_open boolean NOT NULL GENERATED ALWAYS AS (state <> 'ended') STORED,
    state text NOT NULL CONSTRAINT attempt_state_is_known CHECK (state IN ('assigned', 'running', 'ended')),
    ending text CONSTRAINT attempt_end_is_known
        CHECK (ending IN ('succeeded', 'cached', 'failed', 'timed_out', 'silent_timed_out', 'log_limit',
                          'output_limit', 'not_deterministic', 'transient', 'cancelled', 'infrastructure',
                          'rejected', 'lost')),
    error text NOT NULL,
    outputs bytea NOT NULL
) WITH (fillfactor = 60);
CREATE INDEX open_attempts ON penstock.attempts (id) WHERE is_open;
CREATE INDEX attempts_of_step ON penstock.attempts (step_id, id);

CREATE TABLE penstock.tokens (
    id text PRIMARY KEY,
    hash text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    created_us bigint NOT NULL,
    expires_us bigint,
    revoked boolean NOT NULL
);
