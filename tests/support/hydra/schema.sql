-- SPDX-License-Identifier: GPL-3.0-or-later
-- Hydra's tables as of its schema version 87, for tests: names, types, defaults, checks, foreign keys, triggers and
-- channels are facts of that interface. Tables that no queue runner touches have the columns that actions of the web
-- interface, of the evaluator and foreign keys need. Run once in an empty database.

CREATE TABLE schemaversion (version integer NOT NULL);
INSERT INTO schemaversion VALUES (87);

CREATE TABLE users (
    username text PRIMARY KEY,
    fullname text,
    emailaddress text NOT NULL,
    password text NOT NULL,
    emailonerror integer NOT NULL DEFAULT 0,
    type text NOT NULL DEFAULT 'hydra'
);

CREATE TABLE projects (
    name text PRIMARY KEY,
    displayname text NOT NULL,
    description text,
    enabled integer NOT NULL DEFAULT 1,
    hidden integer NOT NULL DEFAULT 0,
    owner text NOT NULL REFERENCES users (username) ON UPDATE CASCADE,
    homepage text
);

CREATE TABLE jobsets (
    name text NOT NULL,
    id serial NOT NULL UNIQUE,
    project text NOT NULL REFERENCES projects (name) ON DELETE CASCADE ON UPDATE CASCADE,
    description text,
    nixexprinput text,
    nixexprpath text,
    errormsg text,
    errortime integer,
    lastcheckedtime integer,
    triggertime integer,
    enabled integer NOT NULL DEFAULT 1,
    enableemail integer NOT NULL DEFAULT 1,
    hidden integer NOT NULL DEFAULT 0,
    emailoverride text NOT NULL,
    keepnr integer NOT NULL DEFAULT 3,
    checkinterval integer NOT NULL DEFAULT 300,
    schedulingshares integer NOT NULL DEFAULT 100,
    fetcherrormsg text,
    forceeval boolean,
    starttime integer,
    type integer NOT NULL DEFAULT 0,
    flake text,
    PRIMARY KEY (project, name),
    CHECK (schedulingshares > 0),
    CHECK (type = 0 OR type = 1)
);

CREATE TABLE builds (
    id serial PRIMARY KEY,
    finished integer NOT NULL,
    timestamp integer NOT NULL,
    jobset_id integer NOT NULL REFERENCES jobsets (id) ON DELETE CASCADE,
    job text NOT NULL,
    nixname text,
    description text,
    drvpath text NOT NULL,
    system text NOT NULL,
    license text,
    homepage text,
    maintainers text,
    maxsilent integer DEFAULT 3600,
    timeout integer DEFAULT 36000,
    ischannel integer NOT NULL DEFAULT 0,
    iscurrent integer DEFAULT 0,
    priority integer NOT NULL DEFAULT 0,
    globalpriority integer NOT NULL DEFAULT 0,
    starttime integer,
    stoptime integer,
    iscachedbuild integer,
    buildstatus integer,
    size bigint,
    closuresize bigint,
    releasename text,
    keep integer NOT NULL DEFAULT 0,
    notificationpendingsince integer,
    CHECK (finished = 0 OR (stoptime IS NOT NULL AND stoptime <> 0)),
    CHECK (finished = 0 OR (starttime IS NOT NULL AND starttime <> 0))
);

CREATE TABLE buildoutputs (
    build integer NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    name text NOT NULL,
    path text,
    PRIMARY KEY (build, name)
);

CREATE TABLE buildsteps (
    build integer NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    stepnr integer NOT NULL,
    type integer NOT NULL,
    drvpath text NOT NULL,
    busy integer NOT NULL,
    status integer,
    errormsg text,
    starttime integer,
    stoptime integer,
    machine text NOT NULL DEFAULT '',
    system text,
    propagatedfrom integer REFERENCES builds (id) ON DELETE CASCADE,
    overhead integer,
    timesbuilt integer,
    isnondeterministic boolean,
    resolveddrvpath text,
    PRIMARY KEY (build, stepnr),
    CHECK ((status = 13) = (resolveddrvpath IS NOT NULL))
);

CREATE TABLE buildstepoutputs (
    build integer NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    stepnr integer NOT NULL,
    name text NOT NULL,
    path text,
    PRIMARY KEY (build, stepnr, name),
    FOREIGN KEY (build, stepnr) REFERENCES buildsteps (build, stepnr) ON DELETE CASCADE
);

CREATE TABLE buildproducts (
    build integer NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    productnr integer NOT NULL,
    type text NOT NULL,
    subtype text NOT NULL,
    filesize bigint,
    sha256hash text,
    path text,
    name text NOT NULL,
    defaultpath text,
    PRIMARY KEY (build, productnr)
);

CREATE TABLE buildmetrics (
    build integer NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    name text NOT NULL,
    unit text,
    value double precision NOT NULL,
    project text NOT NULL REFERENCES projects (name) ON DELETE CASCADE ON UPDATE CASCADE,
    jobset text NOT NULL,
    job text NOT NULL,
    timestamp integer NOT NULL,
    PRIMARY KEY (build, name),
    FOREIGN KEY (project, jobset) REFERENCES jobsets (project, name) ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE failedpaths (path text PRIMARY KEY NOT NULL);
CREATE RULE failedpaths_idempotent_insert AS ON INSERT TO failedpaths
    WHERE EXISTS (SELECT 1 FROM failedpaths WHERE path = new.path)
    DO INSTEAD NOTHING;

CREATE TABLE systemstatus (what text PRIMARY KEY NOT NULL, status json NOT NULL);

CREATE TABLE nrbuilds (what text PRIMARY KEY NOT NULL, count integer NOT NULL);
INSERT INTO nrbuilds VALUES ('finished', 0);

CREATE TABLE jobsetevals (
    id serial PRIMARY KEY,
    jobset_id integer NOT NULL REFERENCES jobsets (id) ON DELETE CASCADE,
    evaluationerror_id integer,
    timestamp integer NOT NULL,
    checkouttime integer NOT NULL,
    evaltime integer NOT NULL,
    hasnewbuilds integer NOT NULL,
    hash text NOT NULL,
    nrbuilds integer,
    nrsucceeded integer,
    flake text,
    nixexprinput text,
    nixexprpath text
);

CREATE TABLE evaluationerrors (id serial PRIMARY KEY, errormsg text, errortime integer, has_error boolean);
ALTER TABLE jobsetevals ADD FOREIGN KEY (evaluationerror_id) REFERENCES evaluationerrors (id) ON DELETE SET NULL;

CREATE TABLE jobsetevalinputs (
    eval integer NOT NULL REFERENCES jobsetevals (id) ON DELETE CASCADE,
    name text NOT NULL,
    altnr integer NOT NULL,
    type text NOT NULL,
    uri text,
    revision text,
    shortrevlength integer,
    value text,
    dependency integer,
    path text,
    sha256hash text,
    PRIMARY KEY (eval, name, altnr)
);

CREATE TABLE jobsetevalmembers (
    eval integer NOT NULL REFERENCES jobsetevals (id) ON DELETE CASCADE,
    build integer NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    isnew integer NOT NULL,
    PRIMARY KEY (eval, build)
);

CREATE TABLE aggregateconstituents (
    aggregate integer NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    constituent integer NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    PRIMARY KEY (aggregate, constituent)
);

CREATE TABLE taskretries (
    id serial PRIMARY KEY,
    channel text NOT NULL,
    pluginname text NOT NULL,
    payload text NOT NULL,
    attempts integer NOT NULL,
    retry_at integer NOT NULL
);

CREATE TABLE runcommandlogs (
    id serial PRIMARY KEY,
    job_matcher text NOT NULL,
    build_id integer NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    command text NOT NULL,
    start_time integer,
    end_time integer,
    error_number integer,
    exit_code integer,
    signal integer,
    core_dumped boolean
);

-- ------------------------------------------------------------------------------------------------------ indexes

CREATE INDEX builds_unfinished ON builds (finished) WHERE finished = 0;
CREATE INDEX builds_of_jobset ON builds (jobset_id, finished, id);
CREATE INDEX builds_of_job ON builds (jobset_id, job, id DESC);
CREATE INDEX builds_by_derivation ON builds (drvpath);
CREATE INDEX builds_by_stop ON builds (stoptime DESC, id DESC) WHERE finished = 1;
CREATE INDEX builds_to_notify ON builds (notificationpendingsince) WHERE notificationpendingsince IS NOT NULL;
CREATE INDEX outputs_by_path ON buildoutputs USING hash (path);
CREATE INDEX steps_busy ON buildsteps (busy) WHERE busy <> 0;
CREATE INDEX steps_by_derivation ON buildsteps (drvpath);
CREATE INDEX steps_by_origin ON buildsteps (propagatedfrom) WHERE propagatedfrom IS NOT NULL;
CREATE INDEX steps_by_stop ON buildsteps (stoptime DESC) WHERE starttime IS NOT NULL AND stoptime IS NOT NULL;
CREATE INDEX step_outputs_by_path ON buildstepoutputs USING hash (path);
CREATE INDEX metrics_of_job ON buildmetrics (project, jobset, job, timestamp DESC);
CREATE INDEX evals_of_jobset ON jobsetevals (jobset_id, id DESC) WHERE hasnewbuilds = 1;
CREATE INDEX members_by_build ON jobsetevalmembers (build);
CREATE INDEX members_by_eval ON jobsetevalmembers (eval);
CREATE INDEX aggregates_by_constituent ON aggregateconstituents (constituent);

-- ----------------------------------------------------------------------------------------------------- triggers

-- One function for all channels: its argument is the channel; the payload is empty.
CREATE FUNCTION tell_channel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_ARGV[0], '');
    RETURN NULL;
END $$;

CREATE TRIGGER builds_deleted AFTER DELETE ON builds
    FOR EACH STATEMENT EXECUTE FUNCTION tell_channel('builds_deleted');
CREATE TRIGGER builds_restarted AFTER UPDATE ON builds
    FOR EACH ROW WHEN (old.finished = 1 AND new.finished = 0) EXECUTE FUNCTION tell_channel('builds_restarted');
CREATE TRIGGER builds_cancelled AFTER UPDATE ON builds
    FOR EACH ROW WHEN (old.finished = 0 AND new.finished = 1 AND new.buildstatus = 4)
    EXECUTE FUNCTION tell_channel('builds_cancelled');
CREATE TRIGGER builds_bumped AFTER UPDATE ON builds
    FOR EACH ROW WHEN (old.globalpriority <> new.globalpriority) EXECUTE FUNCTION tell_channel('builds_bumped');
CREATE TRIGGER jobset_shares_changed AFTER UPDATE ON jobsets
    FOR EACH ROW WHEN (old.schedulingshares <> new.schedulingshares)
    EXECUTE FUNCTION tell_channel('jobset_shares_changed');
CREATE TRIGGER jobsets_added AFTER INSERT ON jobsets
    FOR EACH STATEMENT EXECUTE FUNCTION tell_channel('jobsets_added');
CREATE TRIGGER jobsets_deleted AFTER DELETE ON jobsets
    FOR EACH STATEMENT EXECUTE FUNCTION tell_channel('jobsets_deleted');
CREATE TRIGGER jobset_scheduling_changed AFTER UPDATE ON jobsets
    FOR EACH ROW WHEN (old.triggertime IS DISTINCT FROM new.triggertime AND new.triggertime IS NOT NULL
                       OR old.checkinterval <> new.checkinterval OR old.enabled <> new.enabled)
    EXECUTE FUNCTION tell_channel('jobset_scheduling_changed');

-- Every change of a finished flag locks this one row until its transaction ends.
CREATE FUNCTION count_finished_builds() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change integer := 0;
BEGIN
    IF TG_OP <> 'INSERT' AND old.finished = 1 THEN
        change := change - 1;
    END IF;
    IF TG_OP <> 'DELETE' AND new.finished = 1 THEN
        change := change + 1;
    END IF;
    IF change <> 0 THEN
        UPDATE nrbuilds SET count = count + change WHERE what = 'finished';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER nrbuilds_finished AFTER INSERT OR UPDATE OR DELETE ON builds
    FOR EACH ROW EXECUTE FUNCTION count_finished_builds();
