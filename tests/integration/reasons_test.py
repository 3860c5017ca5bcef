# SPDX-License-Identifier: GPL-3.0-or-later
"""Every reason of `why` by the situation that it names, on a real farm: as JSON with its numbers and what to do, as
text, and counted in the metrics."""

import os
import signal
import unittest

from build_test import NixStore
from farm import Farm, until

SLEEP = ["sleep", "1000"]


def sleeper(**more):
    return dict({"name": "sleeper", "command": SLEEP}, **more)


def quick(**more):
    return dict({"name": "waits", "command": ["true"]}, **more)


class ReasonsTest(unittest.TestCase):
    """A farm a test: what they set would be in each other's way."""

    def setUp(self):
        self.farm = Farm()
        self.addCleanup(self.farm.__exit__, None, None, None)

    def said(self, *args, code=0):
        done = self.farm.client(*args, check=code)
        return (done.stdout + done.stderr).decode()

    def submit(self, **job):
        return self.farm.submit(quick(**job))[0]

    def run_one(self, **job):
        [job] = self.farm.submit(sleeper(**job))
        self.farm.wait_job(job, "running")
        return job

    def reasons(self, job):
        return [reason for step in self.farm.json("why", str(job))["steps"] for reason in step["reasons"]]

    def told(self, job, code, *numbers, remedy=True, counted=True, **values):
        """Waits until `why` gives the reason, checks all that belongs to one, and returns it. `numbers` are names
        that it must have, `values` what some of them must be. `counted`: steps wait by this as binding reason."""
        def found():
            told = {reason["code"]: reason for reason in self.reasons(job)}
            return told.get(code) or self.missing(job, code, list(told))
        reason = until(found, f"why {job} says {code}")
        self.assertLessEqual(set(numbers) | set(values), set(reason["numbers"]), reason)
        for name, value in values.items():
            self.assertEqual(reason["numbers"][name], value, reason)
        self.assertEqual(bool(reason["remedy"]), remedy, reason)
        self.assertTrue(reason["text"])
        if counted:
            until(lambda: self.farm.metric("penstock_steps_waiting", f'reason="{code}"') >= 1,
                  f"{code} is counted, not only {self.farm.get('/api/v1/status')['waiting']}", 5)
        shown = self.said("why", str(job))
        self.assertIn(reason["remedy"] or "", shown)
        # The numbers of a text may have moved on since: its words are compared, without what has a digit.
        for word in filter(str.isalpha, reason["text"].split()):
            self.assertIn(word, shown)
        return reason

    def missing(self, job, code, others):
        if not self.farm.get(f"/api/v1/jobs/{job}")["state"] in ("queued", "running"):
            raise AssertionError(f"job {job} is over and {code} was never told, only {others}")
        return None


class PlacementTest(ReasonsTest):
    def test_what_no_machine_of_the_farm_is_or_has(self):
        self.farm.server()
        self.farm.builder("b1", "--users", "ann", "--tags", "x", "--executors", "command", "--max-jobs", "2",
                          "--systems", "x86_64-linux")
        self.farm.builder("b2", "--features", "gpu9", "--mandatory-features", "gpu9", "--users", "ann", "--tags", "x",
                          "--executors", "command", "--max-jobs", "2", "--systems", "x86_64-linux")
        special = {"features": ["gpu9"]}
        for code, affinity, machines, more in (
                ("unsupported-system", {"systems": ["riscv64-linux"]}, 2, {}),
                ("missing-feature", {"features": ["kvm9"]}, 2, {}),
                ("missing-tag", {"tags": ["huge"]}, 1, {}),
                ("missing-tag", {"tags": ["huge"], **special}, 1, {}),
                ("wrong-os", {"os": ["windows"]}, 1, {}),
                ("machine-not-named", {"machines": ["b9"]}, 2, {}),
                ("user-not-allowed", {}, 1, {"user": "bob"}),
                ("missing-resources", {}, 1, {"resources": {"cpus": 4000}}),
                ("missing-resources", special, 1, {"resources": {"memory": "900TiB"}})):
            job = self.submit(affinity=affinity, **dict({"user": "ann"}, **more))
            with self.subTest(code=code, affinity=affinity):
                self.told(job, code, machines=machines)
            self.said("cancel", str(job))
        # Plain work has only one machine, and that is full: the other is not for it.
        blockers = [self.run_one(user="ann") for _ in range(2)]
        job = self.submit(user="ann")
        with self.subTest(code="mandatory-feature-mismatch"):
            self.told(job, "mandatory-feature-mismatch", machines=1, counted=False)
        with self.subTest(code="slots-full"):
            self.told(job, "slots-full", machines=1, used=2, slots=2)
        self.said("cancel", str(job), *map(str, blockers))
        self.farm.builders["b1"].stop()
        until(lambda: self.farm.json("machine", "b1")["state"] == "disconnected", "b1 is away")
        self.said("machine", "b1", "--remove")
        self.told(self.submit(user="ann"), "mandatory-feature-mismatch", machines=1)


class MachinesTest(ReasonsTest):
    def test_machines_that_are_closed_drain_or_are_lost(self):
        self.farm.server("--reconnect-grace", "1s")
        self.farm.builder("b1")
        for setting, code in (("min-free-memory=1000TiB", "memory-low"), ("load1=0.0001", "gated-load"),
                              ("min-free-disk=1000TiB", "disk-low")):
            self.said("machine", "b1", "--set", setting)
            job = self.submit()
            with self.subTest(code=code):
                self.told(job, code, "value", "limit", "seconds", machines=1)
            self.said("machine", "b1", "--unset", setting.split("=", maxsplit=1)[0])
            self.farm.wait_job(job, "succeeded")
        self.said("drain", "b1", "--note", "new disk")
        job = self.submit()
        with self.subTest(code="all-draining"):
            self.assertIn("new disk", self.told(job, "all-draining", machines=1)["text"])
        self.said("undrain", "b1")
        self.farm.wait_job(job, "succeeded")
        self.farm.builders["b1"].kill()
        with self.subTest(code="all-lost"):
            self.told(self.submit(), "all-lost", machines=1)

    def test_flags_of_the_builder_close_it_from_the_start(self):
        self.farm.server()
        self.farm.builder("b1", "--min-free-disk", "1000TiB")
        self.farm.builder("b2", "--min-free-memory", "1000TiB")
        job = self.submit()
        for code in ("disk-low", "memory-low"):
            reason = self.told(job, code, "seconds", counted=False, limit=1000 << 40, machines=1)
            self.assertLess(reason["numbers"]["value"], 1000 << 40)

    def test_a_machine_that_breaks_everything_is_quarantined_and_avoided(self):
        self.farm.server("--quarantine-initial", "1h", "--retry-initial", "5s", "--retry-max", "5s")
        self.farm.builder("b1")
        self.farm.wait_job(self.submit(), "succeeded")
        folder = os.path.join(self.farm.dir, "work-b1", "attempts")
        os.rename(folder, folder + ".away")
        with open(folder, "w", encoding="utf-8"):
            pass
        # The first finds a folder that was made beforehand.
        self.farm.wait_job(self.submit())
        job = self.submit()
        with self.subTest(code="retry-backoff"):
            self.told(job, "retry-backoff", "seconds", infrastructure_failures=1)
        self.farm.builder("b2", "--max-jobs", "1")
        blocker = self.run_one(affinity={"machines": ["b2"]})
        with self.subTest(code="machine-avoided"):
            self.assertEqual(self.told(job, "machine-avoided", counted=False, machines=1)["names"], ["b1"])
        self.said("cancel", str(blocker))
        self.farm.wait_job(job, "succeeded")
        self.assertEqual(self.farm.runs(job)[-1]["machine"], "b2", "a retry avoids the machine that failed")
        jobs = [self.submit(affinity={"machines": ["b1"]}) for _ in range(3)]
        for job in jobs:
            with self.subTest(code="all-quarantined"):
                self.told(job, "all-quarantined", machines=1)

    def test_one_machine_is_kept_free_and_one_has_no_room(self):
        self.farm.server("--reserve-after", "300ms")
        self.farm.builder("b1", "--max-jobs", "4")
        blocker = self.run_one(resources={"cpus": 2})
        big = self.submit(resources={"cpus": 4})
        with self.subTest(code="resources-full"):
            self.told(big, "resources-full", machines=1)
        small = []

        def reserved():
            small.append(self.submit())
            return "machine-reserved" in [reason["code"] for reason in self.reasons(small[-1])]
        until(reserved, "the machine is kept free for the big one")
        with self.subTest(code="machine-reserved"):
            self.told(small[-1], "machine-reserved", machines=1)
        self.said("cancel", str(blocker))
        self.farm.wait_no_open_jobs()


class OrderTest(ReasonsTest):
    def test_who_is_ahead_and_what_forbids_a_start(self):
        self.farm.server()
        self.farm.builder("b1", "--max-jobs", "2")
        group = {"group": "deploy", "limit": 1}
        running = [self.run_one(namespace="greedy", concurrency=group)]
        with self.subTest(code="running"):
            self.told(running[0], "running", "seconds", remedy=False, counted=False, attempt=1)
        with self.subTest(code="concurrency-limit"):
            limited = self.submit(namespace="greedy", concurrency=group)
            self.told(limited, "concurrency-limit", limit=1, running=1)
        self.said("cancel", str(limited))  # its place in the queue is told only when a slot is free: not counted below
        self.said("namespace", "set", "greedy", "--max-running-steps", "1")
        with self.subTest(code="namespace-limit"):
            self.told(self.submit(namespace="greedy"), "namespace-limit", limit=1, running=1)
        self.said("namespace", "set", "greedy", "--max-running-steps", "0")
        until(lambda: self.farm.get("/api/v1/status")["jobs"]["open"] == 1, "what only the limit kept has ended")
        running.append(self.run_one(namespace="greedy"))
        greedy = [self.submit(namespace="greedy") for _ in range(2)]
        poor = self.submit(namespace="poor")
        with self.subTest(code="behind-in-queue"):
            self.told(greedy[1], "behind-in-queue", ahead=1, counted=False)
        with self.subTest(code="jobset-share"):
            self.assertEqual(self.told(greedy[0], "jobset-share", ahead=1, counted=False)["names"], ["poor"])
        self.said("bump", str(greedy[1]))
        with self.subTest(code="behind-higher-priority"):
            self.told(poor, "behind-higher-priority", ahead=1, counted=False)
        self.said("hold", str(poor), "--note", "wrong branch")
        with self.subTest(code="held"):
            self.assertIn("wrong branch", self.told(poor, "held")["text"])
        self.said("pause", "--note", "new switch")
        with self.subTest(code="dispatch-paused"):
            self.assertIn("new switch", self.told(greedy[0], "dispatch-paused")["text"])
        self.said("resume")
        self.said("release", str(poor))
        self.said("cancel", *map(str, running))
        self.farm.wait_no_open_jobs()
        self.assertIn("it is over: succeeded", self.said("why", str(poor)))

    def test_the_database_is_away(self):
        self.farm.server()
        self.farm.builder("b1", "--max-jobs", "1")
        running = self.run_one()
        job = self.submit()
        database = next(path for path in map(lambda name: os.path.join(self.farm.data_dir, name), ("db", "postgres"))
                        if os.path.isdir(path))
        os.rename(database, database + ".away")
        self.farm.kill_database()
        try:
            with self.subTest(code="database-away"):
                self.told(job, "database-away")
        finally:
            os.rename(database + ".away", database)
        self.assertEqual(self.farm.request("GET", f"/api/v1/jobs/{job}/explain")[0], 200)
        until(lambda: self.farm.request("GET", "/readyz")[0] == 200, "the server is ready again")
        self.said("cancel", str(running))
        self.farm.wait_job(job, "succeeded")


class BusyTest(ReasonsTest):
    def test_a_start_and_a_stop_that_are_not_answered(self):
        self.farm.server("--heartbeat-deadline", "30s")
        self.farm.builder("b1")
        ready = os.path.join(self.farm.dir, "ready")
        [stubborn] = self.farm.submit({"command": f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done",
                                       "shell": "sh"})
        until(lambda: os.path.exists(ready), "it ignores SIGTERM")
        self.said("cancel", str(stubborn))
        with self.subTest(code="cancelled-pending"):
            self.told(stubborn, "cancelled-pending", "seconds", counted=False, attempt=1)
        self.farm.builders["b1"].signal(signal.SIGSTOP)
        job = self.submit()
        try:
            with self.subTest(code="connecting"):
                self.told(job, "connecting", "seconds", counted=False, attempt=1)
        finally:
            self.farm.builders["b1"].signal(signal.SIGCONT)
        self.farm.wait_job(job, "succeeded")
        with self.subTest(code="finished"):
            self.assertIn("it is over: succeeded", self.said("why", str(job)))
            self.assertEqual(self.farm.json("why", str(job))["result"], "succeeded")


NIX = """
let step = name: text: more: derivation ({ inherit name; system = builtins.currentSystem; builder = "/bin/sh";
      args = [ "-c" ("PATH=/bin:/usr/bin\\n" + text) ]; } // more);
    bad = step "bad" "exit 3" {};
    slow = step "slow" "while ! test -e @go@; do sleep 0.1; done; echo > $out" {};
in step "top" "echo > $out" { inherit bad; other = step "middle" "echo > $out" { inherit slow; }; }
"""


class BuildTest(ReasonsTest):
    def setUp(self):
        self.nix = NixStore()
        self.addCleanup(self.nix.close)
        self.farm = Farm(env=self.nix.env)
        self.addCleanup(self.farm.__exit__, None, None, None)

    def test_inputs_that_are_not_built_failed_or_on_their_way(self):
        self.farm.server()
        flags = ("--nix-daemon-socket", f"{self.nix.dir}/socket", "--store-dir", f"{self.nix.dir}/store")
        self.farm.builder("b1", "--executors", "command")
        go = os.path.join(self.farm.dir, "go")
        file = os.path.join(self.farm.dir, "top.nix")
        with open(file, "w", encoding="utf-8") as out:
            out.write(NIX.replace("@go@", go))
        client = self.farm.start_client("build", file)
        self.addCleanup(client.communicate)
        self.addCleanup(client.kill)
        job = until(lambda: self.farm.get("/api/v1/jobs?limit=1")["jobs"], "the job is there")[0]["id"]
        with self.subTest(code="missing-executor"):
            self.told(job, "missing-executor", machines=1)
        with self.subTest(code="inputs-not-built"):
            self.told(job, "inputs-not-built", open=2)
        # A daemon that does not answer holds what the builder does beforehand.
        self.said("hold", str(job))
        self.farm.builder("b2", *flags, "--executors", "nix")
        os.killpg(self.nix.daemon.pid, signal.SIGSTOP)
        self.said("release", str(job))
        try:
            with self.subTest(code="sending-inputs"):
                self.told(job, "sending-inputs", "seconds", remedy=False, counted=False)
        finally:
            os.killpg(self.nix.daemon.pid, signal.SIGCONT)
        with self.subTest(code="failed-input"):
            self.assertEqual(len(self.told(job, "failed-input", counted=False)["names"]), 1)
        with open(go, "w", encoding="utf-8"):
            pass
        self.assertEqual(self.farm.wait_job(job)["state"], "failed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
