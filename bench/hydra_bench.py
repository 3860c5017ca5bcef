#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Question: does the server keep up with a big Hydra? A made-up one of 150,000 unfinished builds over 290,000
derivations (hydra_world; kept in /tmp between runs) with 300,000 finished builds beside, in a PostgreSQL of its own.

  load      from the start of the server: to the first dispatch, until all builds are in the farm, and the server's peak
            of memory. Budgets: 5 s, 60 s, 300 MB.
  bump      a jobset of 80,000 builds over 160,000 derivations is bumped, and let go again: from the commit until jobs
            drawn from all of it have it. Budget: 1 s.
  steps     builders that answer at once: steps ended a second with all rows that Hydra has of them. Budget: 3,000/s.
  queued    statements a minute while all is queued and nothing happens; for reading only.
  idle      statements in 40 s of a server whose queue is empty. Budget: none.

load, bump, steps and queued are of one server, so later ones need the first. Every wait is bounded. Times are of this
machine in this hour."""

import argparse
import contextlib
import glob
import json
import os
import pwd
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/integration"))
from farm import BIN, Farm, until  # noqa: E402
from farm_bench import print_table, report  # noqa: E402
import farm_bench  # noqa: E402

TOOLS = os.path.join(BIN, "../bench/tools")
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PROGRAMS = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
SYSTEMS = "x86_64-linux,aarch64-linux,aarch64-darwin"
LIMIT = 600
HISTORY = """
insert into builds (id, finished, timestamp, jobset_id, job, drvpath, system, starttime, stoptime, iscachedbuild,
                    buildstatus, iscurrent)
  select n, 1, 1790000000 + n, 1 + n % 3, 'job' || n % 50000, '/nix/store/' || md5(n::text) || '-old.drv',
         'x86_64-linux', 1790000000 + n, 1790000060 + n, 0, case when n % 10 = 0 then 1 else 0 end, 0
    from generate_series(1000001, 1000000 + {count}) n;
insert into buildoutputs (build, name, path)
  select id, 'out', '/nix/store/' || md5('o' || id) || '-old' from builds where finished = 1;
insert into buildsteps (build, stepnr, type, drvpath, busy, status, starttime, stoptime, machine, system)
  select id, 1, 0, drvpath, 0, buildstatus, starttime, stoptime, 'old', system from builds where finished = 1;
insert into buildstepoutputs (build, stepnr, name, path)
  select build, 1, 'out', path from buildoutputs join builds on id = build where finished = 1;
update nrbuilds set count = {count};
select setval('builds_id_seq', 2000000);
select setval('jobsets_id_seq', 100);
"""


class Database:
    """A PostgreSQL with the defaults of its distribution, but for what counts statements."""

    def __init__(self, directory):
        self.sockets = os.path.join(directory, "sockets")
        data = os.path.join(directory, "postgres")
        user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        for path in (data, self.sockets):
            os.mkdir(path, 0o700)
            os.chown(path, user.pw_uid, user.pw_gid)
        os.chmod(self.sockets, 0o755)
        as_user = dict(user=user.pw_uid, group=user.pw_gid, cwd=directory, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)
        with open(os.path.join(directory, "postgres.log"), "ab") as log:
            subprocess.run([f"{PROGRAMS}/initdb", "-D", data, "-U", "hydra", "-A", "trust", "-N", "-E", "UTF8",
                            "--locale=C"], check=True, stderr=log, **as_user)
            self.process = subprocess.Popen(
                [f"{PROGRAMS}/postgres", "-D", data, "-k", self.sockets, "-c", "listen_addresses=", "-c",
                 "shared_preload_libraries=pg_stat_statements"], stderr=log, **as_user)
        until(lambda: subprocess.run([f"{PROGRAMS}/pg_isready", "-q", "-h", self.sockets, "-U", "hydra"],
                                     check=False).returncode == 0, "the database is up")
        self.run("postgres", "create extension pg_stat_statements")

    def run(self, database, sql, *more):
        done = subprocess.run([f"{PROGRAMS}/psql", "-h", self.sockets, "-U", "hydra", "-d", database, "-XqAt", "-v",
                               "ON_ERROR_STOP=1", *more], input=sql.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=LIMIT, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{sql[:200]}: {done.stderr.decode()[-1000:]}")
        return done.stdout.decode().strip()

    def url(self, database):
        return f"postgresql:///{database}?host={self.sockets}&user=hydra"

    def fill(self, world, finished):
        """Databases to make others of: `world`, and `empty` with jobsets only."""
        self.run("postgres", "create database empty")
        with open(f"{ROOT}/tests/support/hydra/schema.sql", encoding="utf-8") as schema:
            self.run("empty", schema.read())
        with open(f"{world}/rows/first.sql", encoding="utf-8") as first:
            self.run("empty", first.read())
        self.run("postgres", "create database world template empty")
        columns = {"builds": "(id, finished, timestamp, jobset_id, job, nixname, drvpath, system, maxsilent, timeout, "
                             "iscurrent, priority)", "buildoutputs": "", "jobsetevalmembers": ""}
        copies = "".join(f"\\copy {table} {names} from '{world}/rows/{table}.tsv'\n"
                         for table, names in columns.items())
        # Neither triggers nor foreign keys: the rows are what they should be.
        self.run("world", "set session_replication_role = replica;\n" + copies
                 + (HISTORY.format(count=finished) if finished else ""))
        self.run("world", "vacuum analyze")

    def statements(self, database):
        return int(self.run("postgres", "select coalesce(sum(calls), 0) from pg_stat_statements s join pg_database d "
                                        f"on d.oid = s.dbid where datname = '{database}'"))

    def busiest(self, database):
        return self.run("postgres", "select calls || ' ' || round(total_exec_time) || ' ms: ' || "
                                    "regexp_replace(left(query, 100), '\\s+', ' ', 'g') from pg_stat_statements s "
                                    f"join pg_database d on d.oid = s.dbid where datname = '{database}' "
                                    "order by total_exec_time desc limit 15")

    def forget(self):
        self.run("postgres", "select pg_stat_statements_reset()")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def peak(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return 0


class Bench:
    """A database, and a server over a copy of one of its databases."""

    def __init__(self, world, finished):
        self.world = world
        with open(f"{world}/world.json", encoding="ascii") as file:
            self.numbers = json.load(file)
        self.dir = tempfile.mkdtemp(prefix="penstock-bench-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.cache = tempfile.mkdtemp(prefix="penstock-bench-", dir="/dev/shm")
        self.database = Database(self.dir)
        began = time.monotonic()
        self.database.fill(world, finished)
        print(f"database filled in {time.monotonic() - began:.1f} s", flush=True)
        self.farm = None
        self.fakes = []

    def close(self):
        self.end_server()
        self.database.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.cache, ignore_errors=True)

    def start_server(self, database):
        """Gives the moment at which it was started."""
        self.end_server()
        self.database.run("postgres", f"create database run template {database}")
        data = os.path.join(self.dir, "hydra")
        os.makedirs(data, exist_ok=True)
        self.farm = Farm(env={"NIX_STORE_DIR": f"{self.world}/store", "HYDRA_DATA": data})
        began = time.time()
        self.farm.server("--hydra", "--db-url", self.database.url("run"), "--store", f"file://{self.cache}",
                         "--reconnect-grace", "1s")
        return began

    def end_server(self):
        self.end_fakes()
        if self.farm is None:
            return
        self.farm.__exit__(None, None, None)
        self.farm = None
        self.database.run("postgres", "drop database if exists run with (force)")

    def fake(self, name, slots, *more):
        """Gives the file that it prints to."""
        path = os.path.join(self.dir, f"{name}.out")
        with open(path, "wb") as out:
            self.fakes.append(subprocess.Popen([f"{TOOLS}/fake_builder", self.farm.url, name, str(slots), "--systems",
                                                SYSTEMS, *more], stdin=subprocess.DEVNULL, stdout=out))
        return path

    def end_fakes(self):
        for process in self.fakes:
            process.kill()
            process.wait()
        self.fakes = []

    def open_jobs(self):
        return self.farm.get("/api/v1/status")["jobs"]["open"]

    def ended_steps(self):
        return int(self.database.run("run", "select count(*) from buildsteps where status = 0 "
                                            "and machine like 'fast%'"))

    # ------------------------------------------------------------------------------------------------- questions

    def load(self):
        began = self.start_server("world")
        held = self.fake("held", 8, "--hold")

        def first():
            with open(held, encoding="utf-8") as file:
                return file.readline().endswith("\n") and os.path.getsize(held)

        until(first, "the first step is dispatched", LIMIT)
        with open(held, encoding="utf-8") as file:
            dispatched = int(file.readline().split()[0]) / 1e6 - began
        wanted = self.numbers["builds"]
        shown = 0

        def loaded():
            nonlocal shown
            time.sleep(0.3)
            count = self.open_jobs()
            if time.time() - began > shown + 10:
                shown = time.time() - began
                print(f"  {shown:.0f} s: {count} builds, {farm_bench.rss(self.farm.server_process.pid) >> 20} MB",
                      flush=True)
            return count >= wanted

        until(loaded, "all builds are loaded", LIMIT)
        took = time.time() - began
        pid = self.farm.server_process.pid
        most = peak(pid)
        report("load", "5 s, 60 s, 300 MB", dispatched < 5 and took < 60 and most < 300e6, builds=wanted,
               derivations=self.numbers["derivations"], dispatch_seconds=dispatched, loaded_seconds=took,
               peak_mb=most / 1e6, rss_mb=farm_bench.rss(pid) / 1e6,
               cpu_seconds=farm_bench.cpu_seconds([pid]))

    def bump(self):
        jobs = self.database.run("run", "select h.job from penstock.hydra_builds h join builds b on id = build "
                                        "where jobset_id = 1 and h.job is not null").split()
        drawn = random.Random(1).sample(jobs, min(50, len(jobs)))
        pids = [self.farm.server_process.pid]
        cpu = farm_bench.cpu_seconds(pids)

        def change(value, has):
            self.database.run("run", f"update builds set globalpriority = {value} where jobset_id = 1 "
                                     "and finished = 0")
            began = time.monotonic()
            left = list(drawn)

            def all_have():
                while left and has(self.farm.get(f"/api/v1/jobs/{left[-1]}")):
                    left.pop()
                return not left

            until(all_have, "the bump has come", LIMIT)
            return time.monotonic() - began

        up = change("extract(epoch from now())::integer", lambda job: job.get("bumped_at"))
        down = change("0", lambda job: not job.get("bumped_at"))
        report("bump", "1 s", up < 1 and down < 1, builds=len(jobs), bumped_seconds=up, let_go_seconds=down,
               server_cpu_seconds=farm_bench.cpu_seconds(pids) - cpu)

    def queued(self):
        time.sleep(5)
        self.database.forget()
        time.sleep(60)
        report("queued", "", None, statements=self.database.statements("run"))

    def steps(self):
        self.end_fakes()
        self.database.forget()
        pids = [self.farm.server_process.pid]
        postmaster = self.database.process.pid
        for at in range(2):
            self.fake(f"fast{at}", 1024, "--cache", self.cache)
        # The base is deep and narrow: it shows how long one step after the other takes.
        until(lambda: self.ended_steps() >= self.numbers["derivations"] // 100, "the base is built", LIMIT)
        groups = (pids, [postmaster, *farm_bench.children(postmaster)])
        cpu = [farm_bench.cpu_seconds(group) for group in groups]
        before, began = self.ended_steps(), time.monotonic()
        for _ in range(10):
            time.sleep(3)
            ended, took = self.ended_steps() - before, time.monotonic() - began
            if self.open_jobs() == 0:
                break
        shares = [(farm_bench.cpu_seconds(group) - was) / took for group, was in zip(groups, cpu)]
        finished = int(self.database.run("run", "select count(*) from builds where finished = 1 and id < 1000000"))
        print(self.database.busiest("run"))
        report("steps", "3,000/s", ended / took >= 3000, steps=ended, steps_per_second=ended / took,
               builds_finished=finished, server_cpu=shares[0], database_cpu=shares[1],
               peak_mb=peak(pids[0]) / 1e6)

    def idle(self):
        self.start_server("empty")
        self.fake("held", 1)
        time.sleep(5)
        self.database.forget()
        time.sleep(40)
        calls = self.database.statements("run")
        if calls:
            print(self.database.busiest("run"))
        connections = int(self.database.run("postgres", "select count(*) from pg_stat_activity where datname = 'run'"))
        report("idle", "no statement, 10 connections", calls == 0 and connections < 10, statements=calls,
               connections=connections)


TESTS = ("load", "bump", "queued", "steps", "idle")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", help=f"which, default all: {' '.join(TESTS)}")
    parser.add_argument("--world", help="where the world is kept [in /tmp]")
    parser.add_argument("--derivations", type=int, default=290000)
    parser.add_argument("--builds", type=int, default=150000)
    parser.add_argument("--finished", type=int, default=300000, help="builds that were finished before")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for test in arguments.tests:
        if test not in TESTS:
            parser.error(f"no test {test}; there are {' '.join(TESTS)}")
    world = arguments.world or f"/tmp/penstock-bench-hydra-{arguments.derivations}-{arguments.builds}"
    subprocess.run([f"{TOOLS}/hydra_world", world, str(arguments.derivations), str(arguments.builds)], check=True,
                   timeout=LIMIT)
    failed = 0
    with contextlib.closing(Bench(world, arguments.finished)) as bench:
        for test in TESTS:
            if arguments.tests and test not in arguments.tests:
                continue
            try:
                getattr(bench, test)()
            except (AssertionError, OSError, subprocess.SubprocessError, ValueError, KeyError, AttributeError) as error:
                failed += 1
                print(f"{test:9} FAILED  {error}", flush=True)
    print_table()
    if arguments.json:
        for result in farm_bench.RESULTS:
            print(json.dumps(result))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
