-- SPDX-License-Identifier: GPL-3.0-or-later
-- What an operator says about jobs, machines, share groups and namespaces, and what the scheduler has learned. Every new
-- column has a constant default, so that no table is rewritten, and is in no index, so that updates stay cheap (HOT).
-- Names are keys by their digest (sha256), as job_keys are: an index entry has a limit and a name has none.

ALTER TABLE penstock.jobs
    ADD COLUMN bumped_us bigint,
    ADD COLUMN held boolean NOT NULL DEFAULT false,
    ADD COLUMN hold_note text NOT NULL DEFAULT '',
    ADD COLUMN spec bytea; -- limits, concurrency group (codec.h); null: of schema 1, the limits are in its steps' specs

ALTER TABLE penstock.steps ADD COLUMN losses integer NOT NULL DEFAULT 0;

-- Thresholds: null is the builder's own, 0 is none.
ALTER TABLE penstock.machines
    ADD COLUMN threshold_cpu_psi double precision,
    ADD COLUMN threshold_memory_psi double precision,
    ADD COLUMN threshold_io_psi double precision,
    ADD COLUMN threshold_load1 double precision,
    ADD COLUMN threshold_free_disk_bytes bigint,
    ADD COLUMN threshold_free_memory_bytes bigint,
    ADD COLUMN threshold_free_inodes bigint,
    ADD COLUMN health_state text NOT NULL DEFAULT 'healthy' CONSTRAINT machine_health_is_known
        CHECK (health_state IN ('healthy', 'quarantined', 'probing', 'parole')),
    ADD COLUMN health_failures_in_row integer NOT NULL DEFAULT 0,
    ADD COLUMN health_quarantines integer NOT NULL DEFAULT 0,
    ADD COLUMN health_until_us bigint,
    ADD COLUMN health_reason text NOT NULL DEFAULT '';

CREATE TABLE penstock.share_groups (
    digest bytea PRIMARY KEY,
    shares integer NOT NULL,
    name text NOT NULL
) WITH (fillfactor = 60);

-- Zero: no limit.
CREATE TABLE penstock.namespaces (
    digest bytea PRIMARY KEY,
    max_running_steps integer NOT NULL,
    max_queued_jobs integer NOT NULL,
    max_cpus integer NOT NULL,
    name text NOT NULL
) WITH (fillfactor = 60);

-- Machine time of a share group in one span of time. Rows older than 25 hours go.
CREATE TABLE penstock.share_usage (
    bucket_us bigint NOT NULL,
    used_us bigint NOT NULL,
    digest bytea NOT NULL, -- of the group's name
    group_name text NOT NULL,
    PRIMARY KEY (bucket_us, digest)
) WITH (fillfactor = 60);

-- What is known of steps of one name. The least recently run go when there are too many; no index on last_run_us, as it
-- changes with every update.
CREATE TABLE penstock.step_history (
    digest bytea PRIMARY KEY,
    duration_us bigint NOT NULL,
    memory_bytes bigint NOT NULL,
    last_run_us bigint NOT NULL,
    runs integer NOT NULL,
    milli_cpus integer NOT NULL,
    name text NOT NULL
) WITH (fillfactor = 60);

CREATE TABLE penstock.dispatch_pause (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    paused boolean NOT NULL,
    who text NOT NULL,
    note text NOT NULL,
    since_us bigint NOT NULL
) WITH (fillfactor = 20);
INSERT INTO penstock.dispatch_pause (paused, who, note, since_us) VALUES (false, '', '', 0);
