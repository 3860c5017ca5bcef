# SPDX-License-Identifier: GPL-3.0-or-later
"""A real farm of three builders with different systems and features on one machine: thousands of mixed jobs end right,
no system waits for another, real pressure moves work away and back, and what operators said outlives every crash."""

import collections
import os
import random
import subprocess
import sys
import time
import unittest

from farm import LIMIT, Farm, Load, PressureGroup, until

JOBS = int(os.environ.get("PENSTOCK_MIX_JOBS", "2000"))
SEED = int(os.environ.get("PENSTOCK_MIX_SEED", "11"))
SLEEP = ["sleep", "1000"]
BUILDERS = {
    "b1": ["--systems", "x86_64-linux"],
    "b2": ["--systems", "aarch64-linux", "--features", "big-parallel"],
    "b3": ["--systems", "x86_64-linux", "--features", "kvm", "--mandatory-features", "kvm"],
}
# What a job asks for, and the builders that may run it.
KINDS = (
    ({}, {"b1", "b2"}),
    ({"systems": ["x86_64-linux"]}, {"b1"}),
    ({"systems": ["aarch64-linux"]}, {"b2"}),
    ({"features": ["big-parallel"]}, {"b2"}),
    ({"features": ["kvm"]}, {"b3"}),
    ({"systems": ["x86_64-linux"], "features": ["kvm"]}, {"b3"}),
)
GROUP_LIMIT = 3

# Holds a lock while it runs, so that a second execution at the same time leaves a mark; each start and end is a line of
# one file, in the order in which they happened.
SCRIPT = """
exec 9>{marks}/lock.$PENSTOCK_JOB_ID
flock -n 9 || echo "$PENSTOCK_JOB_ID" >> {marks}/doubles
echo "s $PENSTOCK_JOB_ID $PENSTOCK_ATTEMPT $PENSTOCK_MACHINE" >> {marks}/lines
sleep 0.0{hundredths}
echo "e $PENSTOCK_JOB_ID $PENSTOCK_ATTEMPT $PENSTOCK_MACHINE" >> {marks}/lines
exit {code}
"""


class SchedFarmTest(unittest.TestCase):
    def setUp(self):
        self.farm = Farm(["--reconnect-grace", "2s"])
        self.addCleanup(self.farm.__exit__, None, None, None)
        self.marks = os.path.join(self.farm.dir, "marks")
        os.mkdir(self.marks)
        self.farm.server()

    def start(self, name, *more, slots=8, **how):
        self.farm.builder(name, *BUILDERS[name], "--max-jobs", str(slots), *more, **how)

    def mixed(self, number, rng):
        affinity, builders = KINDS[number % len(KINDS)]
        code = 3 if number % 7 == 0 else 0
        job = {"name": f"mix-{number}", "shell": "sh", "affinity": affinity, "priority": rng.randint(-9, 9),
               "namespace": f"tenant{number % 5}", "resources": {"cpus": rng.choice((1, 1, 1, 2, 4))},
               "command": SCRIPT.format(marks=self.marks, hundredths=rng.randint(1, 9), code=code)}
        if number % 11 == 0:
            job.update(namespace="tenant0", concurrency={"group": "deploy", "limit": GROUP_LIMIT})
        return job, builders, code

    def submit_mix(self, count=JOBS):
        """{id: (what was asked for, the builders that may run it, exit code)}"""
        rng = random.Random(SEED)
        asked = [self.mixed(number, rng) for number in range(count)]
        ids = []
        for begin in range(0, count, 200):
            ids += self.farm.submit(*[job for job, _, _ in asked[begin:begin + 200]])
        return dict(zip(ids, asked))

    def lines(self, name="lines"):
        path = os.path.join(self.marks, name)
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()

    def all_jobs(self):
        """Every job of the farm by id, page by page."""
        jobs, cursor = {}, ""
        while True:
            page = self.farm.get(f"/api/v1/jobs?limit=500{cursor}")
            jobs.update((job["id"], job) for job in page["jobs"])
            if not page.get("next"):
                return jobs
            cursor = f"&before={page['next']}"

    def succeeded(self, ids):
        jobs = self.all_jobs()
        return sum(jobs[job]["state"] == "succeeded" for job in ids)

    def check_results(self, asked):
        """Each job has the result that its command gives, from a builder that may run it, and ran once at a time."""
        jobs = self.all_jobs()
        self.assertLessEqual(set(asked), set(jobs), "no job is lost")
        for job, (_, _, code) in asked.items():
            self.assertEqual((jobs[job]["state"], jobs[job]["exit_code"]),
                             ("failed" if code else "succeeded", code), jobs[job])
        self.assertEqual(self.lines("doubles"), [], "none ran twice at once")
        running, most, per_job = set(), 0, collections.Counter()
        for line in self.lines():
            what, job, attempt, machine = line.split()
            job = int(job)
            if job not in asked:
                continue
            self.assertIn(machine, asked[job][1], asked[job][0])
            per_job[what, job] += 1
            if "concurrency" in asked[job][0]:
                (running.add if what == "s" else running.discard)((job, attempt))
                most = max(most, len(running))
        self.assertEqual({job for what, job in per_job if what == "e"}, set(asked), "each ran to its end")
        return per_job, most

    def code_of(self, machine):
        closed = self.farm.json("machine", machine)["closed"]
        return closed and closed["code"]

    def reasons(self, job):
        return {reason["code"]: reason for step in self.farm.json("why", str(job))["steps"]
                for reason in step["reasons"]}


class MixTest(SchedFarmTest):
    def test_thousands_of_mixed_jobs_run_where_they_may_and_end_right(self):
        for name in BUILDERS:
            self.start(name)
        began = time.monotonic()
        asked = self.submit_mix()
        self.farm.wait_no_open_jobs(limit=3 * LIMIT)
        print(f"{len(asked)} jobs in {time.monotonic() - began:.1f} s", file=sys.stderr)
        per_job, most = self.check_results(asked)
        self.assertEqual(set(per_job.values()), {1}, "nothing was killed, so each ran once")
        self.assertLessEqual(most, GROUP_LIMIT)
        self.assertGreater(most, 1, "the jobs of the group ran beside each other")
        used = {line.split()[3] for line in self.lines()}
        self.assertEqual(used, set(BUILDERS))


class StarvationTest(SchedFarmTest):
    def wave(self, count=200):
        """Jobs for the other systems: all of them end while b2 can take nothing."""
        affinities = [affinity for affinity, builders in KINDS if "b2" not in builders]
        ids = self.farm.submit(*[{"command": ["true"], "priority": -9, "affinity": affinities[at % len(affinities)]}
                                 for at in range(count)])
        until(lambda: self.farm.json("status")["jobs"]["open"] == self.stuck, "the others are finished")
        # The list is the store's, which learns of an end a little later.
        until(lambda: self.succeeded(ids) == count, "all of them succeeded")
        self.assertEqual(self.succeeded(self.queued), 0, "and none of those that had to wait")

    def test_a_saturated_a_lost_and_an_unknown_system_delay_no_other(self):
        for name in BUILDERS:
            self.start(name, slots=4)
        arm = {"systems": ["aarch64-linux"]}
        full = self.farm.submit(*[{"command": SLEEP, "affinity": arm} for _ in range(4)])
        for job in full:
            self.farm.wait_job(job, "running")
        # More than the whole of what follows, of the highest priority, some bumped before everything else.
        self.queued = self.farm.submit(*[{"command": ["true"], "affinity": arm, "priority": 100} for _ in range(400)])
        never = self.farm.submit(*[{"command": ["true"], "affinity": {"systems": ["riscv64-linux"]}, "priority": 100}
                                   for _ in range(200)])
        self.farm.client("bump", *map(str, self.queued[:20] + never[:20]), check=0)
        self.stuck = len(full) + len(self.queued) + len(never)
        self.wave()
        self.assertIn("slots-full", self.reasons(self.queued[-1]))
        self.assertEqual([run["machine"] for job in full for run in self.farm.runs(job)], ["b2"] * 4)
        for job in full:
            self.assertEqual(self.farm.job(job)["state"], "running", "b2 was full all the while")
        self.farm.builders["b2"].kill()
        until(lambda: "all-lost" in self.reasons(self.queued[-1]), "b2 is lost")
        self.wave()
        self.farm.client("drain", "b1", check=0)
        [kvm] = self.farm.submit({"command": ["true"], "affinity": {"features": ["kvm"]}})
        self.farm.wait_job(kvm, "succeeded")
        self.farm.client("undrain", "b1", check=0)
        self.farm.client("cancel", *map(str, full + never), check=0)
        self.start("b2", slots=4)
        self.farm.wait_no_open_jobs(limit=2 * LIMIT)
        self.assertEqual(self.succeeded(self.queued), len(self.queued))


class PressureTest(SchedFarmTest):
    """The figures are the kernel's (PSI). With a control group the load is on one builder alone; where there can be
    none, it is on the whole machine, and only that builder minds."""

    def setUp(self):
        super().setUp()
        self.group = None
        if PressureGroup.missing() is None:
            self.group = PressureGroup("b1")
            self.farm.loads.append(self.group)

    def gated(self, kind, code, count, *command, memory=None):
        """A load that lasts until b1 is closed by it; jobs then go to b2, one for b1 alone says why it waits, and
        all goes back when the load has ended."""
        self.group.run(*command, count=count, memory=memory)
        until(lambda: self.code_of("b1") == code, f"b1 is closed by {code}")
        [only] = self.farm.submit({"command": ["true"], "affinity": {"machines": ["b1"]}})
        until(lambda: code in self.reasons(only), f"why {only} says {code}")
        jobs = self.farm.submit(*[{"command": ["true"]} for _ in range(20)])
        for job in jobs:
            self.farm.wait_job(job, "succeeded")
        reason = self.reasons(only)[code]
        numbers = reason["numbers"]
        self.assertGreater(numbers["value"], numbers["limit"])
        self.assertEqual((numbers["limit"], reason["names"]), (self.limits[kind], ["b1"]))
        self.assertIn(f"> {self.limits[kind]:.1f}% for ", reason["text"])
        shown = self.farm.client("why", str(only), check=0).stdout.decode()
        for part in (reason["text"].partition("(")[0], f"> {self.limits[kind]:.1f}% for ", reason["remedy"]):
            self.assertIn(part, shown)  # how much it is, and for how long, has changed between the two questions
        self.assertEqual({run["machine"] for job in jobs for run in self.farm.runs(job)}, {"b2"}, "work moved away")
        self.group.stop()
        until(lambda: self.is_back(only, code), f"{only} goes to b1, which is no more closed by {code}", 3 * LIMIT)

    def is_back(self, job, code):
        """It ran, or only the rest of this machine, busy with what is not ours, keeps its cores from b1."""
        if self.farm.job(job)["state"] == "succeeded":
            return True
        reasons = self.reasons(job)
        return code not in reasons and "expected to be busy" in reasons.get("resources-full", {}).get("text", "")

    def start_minding(self, **limits):
        self.limits = limits
        flags = [word for kind, limit in limits.items() for word in (f"--{kind}-psi", str(limit))]
        self.farm.builder("b1", "--max-jobs", "2", *flags, group=self.group)
        self.farm.builder("b2", "--max-jobs", "4")

    def mind(self, **limits):
        """Thresholds set at the server; of the others none."""
        self.limits = limits
        for kind in ("cpu", "mem", "io"):
            self.farm.client("machine", "b1", "--set", f"{kind}-psi={limits.get(kind, 0)}", check=0)

    def burn(self):
        """The kind of pressure, a limit that it crosses, and how it is made."""
        if self.group is None:
            self.group = Load()
            self.farm.loads.append(self.group)
        limit = 15 if isinstance(self.group, PressureGroup) else 60
        return "cpu", limit, (2 * (os.cpu_count() or 1), sys.executable, "-c", "while True: pass"), None

    def pressures(self):
        """All that can be made real here for one builder: at least a busy processor, and that last."""
        # Far more than it may keep in memory, read again and again. Written by the load itself: pages count where
        # they were first used.
        read = 'head -c 64M /dev/urandom > "$0"; while :; do cat "$0" > /dev/null; done'
        write = 'while :; do dd if=/dev/zero of="$0" bs=1M count=8 conv=fsync status=none; done'
        file = os.path.join(self.farm.dir, "much")
        kinds = []
        has_disk = subprocess.check_output(("stat", "-f", "-c", "%T", self.farm.dir)) not in (b"tmpfs\n", b"ramfs\n")
        if has_disk and PressureGroup.missing(memory=True) is None:
            kinds.append(("mem", 4, (1, "sh", "-c", read, file), 12 << 20))
        if has_disk and self.group is not None:
            kinds.append(("io", 4, (1, "sh", "-c", write, file), None))
        return kinds + [self.burn()]

    def test_a_loaded_processor_moves_work_away_and_back(self):
        kind, limit, load, _ = self.burn()
        self.start_minding(cpu=limit)
        self.gated(kind, "gated-cpu", *load)

    def test_the_builders_thresholds_and_then_those_set_at_the_server_close_it(self):
        """Thrashing memory and waiting disks where one builder can have such pressure of its own; a busy processor
        everywhere."""
        pressures = self.pressures()
        print("pressures that can be made here:", *[kind for kind, *_ in pressures], file=sys.stderr)
        kind, limit, load, memory = pressures[0]
        self.start_minding(**{kind: limit})
        self.gated(kind, f"gated-{kind}", *load, memory=memory)
        for kind, limit, load, memory in pressures[1:] or pressures:
            self.mind(**{kind: limit + 1})
            self.gated(kind, f"gated-{kind}", *load, memory=memory)


class CrashTest(SchedFarmTest):
    """Server, builders and database are killed while the mix runs under quotas and orders of operators."""

    def quarantine(self, name):
        """A machine on which nothing can be started: where the folders of attempts belong is a file."""
        self.farm.builder(name, "--tags", "broken", "--features", "odd", "--mandatory-features", "odd")
        odd = {"machines": [name], "features": ["odd"]}
        [first] = self.farm.submit({"command": ["true"], "affinity": odd})
        self.farm.wait_job(first, "succeeded")
        folder = os.path.join(self.farm.dir, f"work-{name}", "attempts")
        os.rename(folder, folder + ".away")
        with open(folder, "w", encoding="utf-8"):
            pass
        self.broken = self.farm.submit(*[{"command": ["true"], "affinity": odd} for _ in range(5)])
        until(lambda: self.farm.json("machine", name)["state"] == "quarantined", f"{name} is quarantined")
        os.unlink(folder)
        os.rename(folder + ".away", folder)

    def orders_stand(self):
        """What operators said, after any crash."""
        shown = self.farm.json("namespace", "show", "tenant1")
        self.assertEqual((shown["max_running_steps"], shown["max_cpus"], shown["share"]["shares"]), (2, 5, 300))
        held, bumped = self.farm.job(self.held), self.farm.job(self.bumped)
        self.assertEqual((held["held"], held["hold_note"], held["state"]), (True, "local: not yet", "queued"))
        self.assertEqual(bumped["bumped_at"], self.bumped_at)
        machine = self.farm.json("machine", "b4")
        self.assertEqual((machine["health"]["state"], machine["health"]["until"]), ("quarantined", self.until))

    def crash_server(self):
        self.farm.server_process.kill()
        self.farm.server("--quarantine-initial", "1h", "--quarantine-max", "2h")

    def crash_builder(self, name):
        self.farm.builders[name].kill()
        self.start(name, wait=False)

    def watch_quota(self):
        running = self.farm.json("namespace", "show", "tenant1")["running_steps"]
        self.assertLessEqual(running, 2)
        return running

    def test_nothing_is_lost_or_doubled_and_orders_outlive_every_crash(self):
        self.farm.server_process.stop()
        self.farm.server("--quarantine-initial", "1h", "--quarantine-max", "2h")
        self.quarantine("b4")
        self.until = self.farm.json("machine", "b4")["health"]["until"]
        for name in BUILDERS:
            self.start(name)
        self.farm.client("namespace", "set", "tenant1", "--max-running-steps", "2", "--max-cpus", "5", "--shares",
                         "300", check=0)
        self.farm.client("pause", "--note", "loading", check=0)
        asked = self.submit_mix()
        ids = sorted(asked)
        self.held, self.bumped = ids[3], ids[-1]
        self.farm.client("hold", str(self.held), "--note", "not yet", check=0)
        self.farm.client("bump", str(self.bumped), check=0)
        self.bumped_at = self.farm.job(self.bumped)["bumped_at"]
        self.crash_server()
        self.orders_stand()
        self.assertTrue(self.farm.json("status")["dispatch"]["paused"])
        self.assertEqual(self.lines(), [], "nothing has started on a paused farm")
        self.farm.client("resume", check=0)
        self.farm.wait_job(self.bumped, ("succeeded", "failed"))
        crashes = [self.crash_server, lambda: self.crash_builder("b1"), self.farm.kill_database, self.crash_server,
                   lambda: self.crash_builder("b3"), self.farm.kill_database, self.crash_server]
        total = len(asked) - 1
        for at, crash in enumerate(crashes):
            # Spread over the run by what is finished, so that the speed of the machine does not count.
            until(lambda at=at: sum(line[0] == "e" for line in self.lines()) > total * (at + 1) / 10,
                  "more of the mix ends")
            crash()
            until(lambda: self.watch_quota() >= 0, "the farm answers")
        until(self.rest_is_over, "the rest ends", 3 * LIMIT)
        self.orders_stand()
        self.farm.client("release", str(self.held), check=0)
        self.farm.client("machine", "b4", "--trust", check=0)
        self.farm.wait_no_open_jobs()
        self.assertIn("succeeded", {self.farm.job(job)["state"] for job in self.broken}, "b4 works again")
        per_job, _ = self.check_results(asked)
        self.check_executions(asked, per_job)

    def rest_is_over(self):
        """All but the held job and those for the broken machine. A builder that was killed under several attempts may
        be quarantined for each of those; here an operator knows better."""
        for name in ("b1", "b3"):
            if self.farm.json("machine", name)["health"]["state"] == "quarantined":
                self.farm.client("machine", name, "--trust", check=0)
        waiting = [job for job in self.broken if self.farm.job(job)["state"] not in ("succeeded", "failed")]
        return self.farm.get("/api/v1/status")["jobs"]["open"] == 1 + len(waiting)

    def check_executions(self, asked, per_job):
        """More than one execution only where a builder was killed under it, and one accepted result each."""
        again = [job for job in asked if per_job["s", job] > 1]
        self.assertLessEqual(len(again), 2 * 2 * 8, "at most what ran on the builders that were killed")
        for job in again:
            runs = self.farm.runs(job)
            self.assertGreater(len(runs), 1)
            self.assertEqual([run["exit_code"] for run in runs].count(asked[job][2]), 1, runs)


if __name__ == "__main__":
    unittest.main(verbosity=2)
