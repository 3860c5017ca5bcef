# SPDX-License-Identifier: GPL-3.0-or-later
"""Hydra's evaluator: derivations are instantiated by Nix itself, builds are inserted in one transaction with their
outputs, members and notifications, builds of unchanged jobs are used again, and repointed in transactions of their
own."""

import ast
import contextlib
import os
import subprocess
import time
from dataclasses import dataclass, field

# What every expression of a test may use: sh NAME SCRIPT MORE is a derivation that needs nothing but /bin/sh; gate FILE
# waits until that file exists (there is no sandbox).
PRELUDE = """
let
  sh = name: script: more: derivation ({
    inherit name; system = builtins.currentSystem; builder = "/bin/sh";
    args = [ "-c" ("PATH=/bin:/usr/bin\\n" + script) ];
  } // more);
  gate = file: "while ! [ -e ${file} ]; do sleep 0.05; done\\n";
  floating = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
in
"""


@dataclass(frozen=True)
class Derivation:
    path: str
    outputs: dict  # name to path; None where only the build can tell
    inputs: dict   # path of an input derivation to the names of its outputs
    system: str
    environment: dict

    @property
    def name(self):
        """Of the file, without its hash."""
        return os.path.basename(self.path)[33:]

    @staticmethod
    def read(path, file=None):
        with open(file or path, encoding="utf-8") as text:
            told = text.read()
        assert told.startswith("Derive("), path
        outputs, inputs, _, system, _, _, environment = ast.literal_eval(told.removeprefix("Derive"))
        return Derivation(path, {name: where or None for name, where, _, _ in outputs}, dict(inputs), system,
                          dict(environment))


@dataclass
class Job:
    """A job as an evaluation has it, with what its meta attributes say."""
    drv: Derivation
    timeout: int | None = None
    max_silent: int | None = None
    priority: int = 100
    constituents: list = field(default_factory=list)  # names of jobs of the same evaluation


class Evaluator:
    def __init__(self, world):
        self.world = world
        self.count = 0

    # -------------------------------------------------------------------------------------------- instantiation

    def instantiate(self, expression, prelude=PRELUDE):
        """The attributes of a set, each with its derivation."""
        self.count += 1
        file = os.path.join(self.world.dir, f"expression{self.count}.nix")
        with open(file, "w", encoding="utf-8") as out:
            out.write(prelude + expression)
        # One evaluation both names and writes them: by itself --eval would not write.
        told = self.world.store.run(
            "nix-instantiate", "--eval", "--strict", "--json", "--read-write-mode", "--expr",
            f"builtins.mapAttrs (name: drv: builtins.unsafeDiscardStringContext drv.drvPath) (import {file})")
        names = ast.literal_eval(told)
        return {name: self.world.store.derivation(path) for name, path in names.items()}

    # ---------------------------------------------------------------------------------------------- evaluations

    def jobset(self, name="jobset", project="project", shares=100, **columns):
        """Its id; it is made when there is none."""
        session = self.world.session
        session.rows("INSERT INTO users (username, emailaddress, password) VALUES ('owner', '', '!')"
                     " ON CONFLICT DO NOTHING")
        session.rows("INSERT INTO projects (name, displayname, owner) VALUES ($1, $1, 'owner') ON CONFLICT DO NOTHING",
                     project)
        session.rows("INSERT INTO jobsets (project, name, emailoverride, schedulingshares) VALUES ($1, $2, '', $3)"
                     " ON CONFLICT DO NOTHING", project, name, shares)
        for column, value in columns.items():
            session.rows(f"UPDATE jobsets SET {column} = $3 WHERE project = $1 AND name = $2", project, name, value)
        return session.value("SELECT id FROM jobsets WHERE project = $1 AND name = $2", project, name)

    def evaluate(self, jobs, jobset=None, between=None):
        """One evaluation: job names to Job or Derivation. Answers the names to build ids. `between` is called in the
        transaction, before it is committed."""
        jobset = jobset or self.jobset()
        jobs = {name: job if isinstance(job, Job) else Job(job) for name, job in jobs.items()}
        session = self.world.session
        now = int(time.time())
        ids, new = {}, {}
        session.run("BEGIN")
        try:
            evaluation = session.value(
                "INSERT INTO jobsetevals (jobset_id, timestamp, checkouttime, evaltime, hasnewbuilds, hash, nrbuilds)"
                " VALUES ($1, $2, 0, 1, 1, $3, $4) RETURNING id", jobset, now, f"{now}-{self.count}", len(jobs))
            for name, job in jobs.items():
                ids[name] = self.former(session, jobset, name, job)
                if ids[name] is None:
                    ids[name] = new[name] = self.insert(session, jobset, name, job, now)
            self.insert_outputs(session, new, jobs)
            session.rows("INSERT INTO jobsetevalmembers (eval, build, isnew) SELECT DISTINCT $1::int, b.id, b.fresh"
                         " FROM unnest($2::int[], $3::int[]) AS b (id, fresh)", evaluation, list(ids.values()),
                         [int(name in new) for name in ids])
            for name in new:
                for part in jobs[name].constituents:
                    session.rows("INSERT INTO aggregateconstituents VALUES ($1, $2)", ids[name], ids[part])
            if new:
                session.rows("SELECT pg_notify('builds_added', $1)", min(new.values()))
            if between:
                between()
            session.run("COMMIT")
        except BaseException:
            if session.is_usable:
                session.run("ROLLBACK")
            raise
        self.repoint({ids[name]: jobs[name].drv.path for name in ids if name not in new})
        self.mark_current(jobset, ids.values())
        return ids

    @staticmethod
    def former(session, jobset, name, job):
        """The build of an earlier evaluation that is the same by job and first output."""
        first = next(iter(sorted(job.drv.outputs.items())))
        for output, path in job.drv.outputs.items():
            if output == "out":
                first = (output, path)
        if first[1] is None:
            sql = "SELECT max(id) FROM builds WHERE jobset_id = $1 AND job = $2 AND drvpath = $3"
            return session.value(sql, jobset, name, job.drv.path)
        return session.value("SELECT max(b.id) FROM builds b JOIN buildoutputs o ON o.build = b.id AND o.name = $3"
                             " WHERE b.jobset_id = $1 AND b.job = $2 AND o.path = $4", jobset, name, *first)

    @staticmethod
    def insert(session, jobset, name, job, now):
        build = session.value(
            "INSERT INTO builds (finished, timestamp, jobset_id, job, nixname, drvpath, system, maxsilent, timeout,"
            " ischannel, iscurrent, priority) VALUES (0, $1, $2, $3, $4, $5, $6, $7, $8, 0, 1, $9) RETURNING id", now,
            jobset, name, job.drv.name.removesuffix(".drv"), job.drv.path, job.drv.system, job.max_silent, job.timeout,
            job.priority)
        session.rows("SELECT pg_notify('build_queued', $1)", build)
        return build

    @staticmethod
    def insert_outputs(session, new, jobs):
        outputs = [(build, output, path) for name, build in new.items()
                   for output, path in jobs[name].drv.outputs.items()]
        session.rows("INSERT INTO buildoutputs (build, name, path)"
                     " SELECT * FROM unnest($1::int[], $2::text[], $3::text[])",
                     *([each[column] for each in outputs] for column in range(3)))

    def repoint(self, derivations):
        """Build ids to derivations: what differs is queued anew, each in a transaction of its own. When the build was
        still queued nothing at all is notified."""
        for build, path in derivations.items():
            self.world.session.rows("UPDATE builds SET drvpath = $2, finished = 0, buildstatus = NULL"
                                    " WHERE id = $1 AND drvpath <> $2", build, path)

    def mark_current(self, jobset, builds):
        self.world.session.rows(
            "UPDATE builds SET iscurrent = (id = ANY ($2::int[]))::int WHERE id IN (SELECT id FROM builds"
            " WHERE jobset_id = $1 AND iscurrent <> (id = ANY ($2::int[]))::int ORDER BY id FOR UPDATE)", jobset,
            list(builds))

    @contextlib.contextmanager
    def locks(self, builds):
        """Holds the rows of these builds, as the evaluator does for minutes."""
        from hydra.postgres import Session  # a connection of its own

        with Session(self.world.url) as session:
            session.run("BEGIN")
            session.rows("UPDATE builds SET iscurrent = 1 WHERE id IN (SELECT id FROM builds WHERE id = ANY ($1::int[])"
                         " ORDER BY id FOR UPDATE)", list(builds))
            yield
            session.run("COMMIT")


class NixPrograms:
    """Nix's own programs over a store of tests: what a store must have to be evaluated into."""

    def __init__(self, environment, root=""):
        self.env = environment
        self.root = root  # of a chroot store

    def run(self, *command):
        done = subprocess.run(command, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=600,
                              check=False)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)[:300]}: {done.stderr[-3000:].decode()}")
        return done.stdout.decode()

    def derivation(self, path):
        return Derivation.read(path, self.root + path)
