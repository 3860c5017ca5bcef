# SPDX-License-Identifier: GPL-3.0-or-later
"""What people ask and tell the scheduler, by the client against a real farm: order, holds, pauses, limits, thresholds,
and the reasons of `why` as they come about."""

import json
import os
import unittest

from farm import Farm, until

SLEEP = ["sleep", "1000"]


def sleeper(**more):
    return dict({"name": "sleeper", "command": SLEEP}, **more)


def quick(name, **more):
    return dict({"name": name, "command": ["true"]}, **more)


class FarmTest(unittest.TestCase):
    """A farm a test: what they set would be in each other's way."""

    def setUp(self):
        self.farm = Farm()
        self.addCleanup(self.farm.__exit__, None, None, None)
        self.farm.server()

    def said(self, *args, code=0):
        done = self.farm.client(*args, check=code)
        return (done.stdout + done.stderr).decode()

    def run_one(self, **more):
        [job] = self.farm.submit(sleeper(**more))
        self.farm.wait_job(job, "running")
        return job

    def codes(self, job):
        """Codes of all reasons of the job's steps, the binding one of each step first."""
        return [reason["code"] for step in self.farm.json("why", str(job))["steps"] for reason in step["reasons"]]

    def wait_reason(self, job, code):
        return until(lambda: code in self.codes(job), f"why {job} says {code}, not {self.codes(job)}")

    def order(self, *jobs):
        """The jobs by when they started."""
        started = {job: self.farm.wait_job(job, "succeeded")["started"] for job in jobs}
        return sorted(jobs, key=lambda job: started[job])


class OrderTest(FarmTest):
    def test_a_bumped_job_goes_before_all_others_and_the_newest_bump_first(self):
        self.farm.builder("b1", "--max-jobs", "1")
        blocker = self.run_one()
        jobs = self.farm.submit(*[quick(f"q{at}", priority=at) for at in range(4)])
        self.assertIn(f"job {jobs[0]} bumped", self.said("bump", str(jobs[0])))
        self.said("bump", str(jobs[1]), str(jobs[2]))
        self.said("bump", "--undo", str(jobs[2]))
        self.assertIsNotNone(self.farm.job(jobs[1])["bumped_at"])
        self.assertIsNone(self.farm.job(jobs[2])["bumped_at"])
        self.said("cancel", str(blocker))
        self.assertEqual(self.order(*jobs), [jobs[1], jobs[0], jobs[3], jobs[2]])

    def test_priority_orders_the_jobs_of_a_group(self):
        self.farm.builder("b1", "--max-jobs", "1")
        blocker = self.run_one()
        low = int(self.farm.client("run", "--detach", "--priority", "-5", "--", "true", check=0).stdout)
        high = int(self.farm.client("run", "--detach", "--priority", "5", "--", "true", check=0).stdout)
        self.said("cancel", str(blocker))
        self.assertEqual(self.order(low, high), [high, low])

    def test_a_held_job_waits_and_says_so_until_it_is_released(self):
        self.farm.builder("b1")
        self.said("pause")
        [job] = self.farm.submit(quick("held"))
        self.said("hold", str(job), "--note", "wrong branch")
        self.said("resume")
        shown = self.farm.job(job)
        self.assertTrue(shown["held"])
        self.assertIn("wrong branch", shown["hold_note"])
        self.assertIn("wrong branch", self.said("job", str(job)))
        self.assertEqual(self.codes(job)[0], "held")
        [other] = self.farm.submit(quick("other"))
        self.farm.wait_job(other, "succeeded")
        self.assertEqual(self.farm.job(job)["state"], "queued")
        self.said("release", str(job))
        self.farm.wait_job(job, "succeeded")

    def test_the_pause_of_the_farm_is_shown_and_outlives_the_server(self):
        self.farm.builder("b1")
        self.said("pause", "--note", "new switch")
        [job] = self.farm.submit(quick("waits"))
        self.wait_reason(job, "dispatch-paused")
        self.assertIn("new switch", self.said("status"))
        self.farm.server_process.stop()
        self.farm.server()
        self.farm.wait_machine("b1")
        self.assertTrue(self.farm.json("status")["dispatch"]["paused"])
        self.assertEqual(self.farm.metric("penstock_dispatch_paused"), 1)
        self.assertEqual(self.farm.job(job)["state"], "queued")
        self.said("resume")
        self.farm.wait_job(job, "succeeded")
        self.assertFalse(self.farm.json("status")["dispatch"]["paused"])

    def test_unknown_and_finished_jobs_are_named(self):
        for verb in ("bump", "hold", "release", "why"):
            self.assertIn("no job 42", self.said(verb, "42", code=1))
        self.assertEqual(self.said("bump", "x", code=2).count("not a number"), 1)
        self.farm.builder("b1")
        [job] = self.farm.submit(quick("done"))
        self.farm.wait_job(job, "succeeded")
        for verb in ("bump", "hold", "release"):
            self.assertIn(f"job {job} is finished already", self.said(verb, str(job), code=1))
        self.assertIn("it is over: succeeded", self.said("why", str(job)))
        self.assertEqual(self.farm.json("why", str(job))["result"], "succeeded")


class LimitsTest(FarmTest):
    def test_a_concurrency_group_runs_at_most_its_limit(self):
        self.farm.builder("b1", "--max-jobs", "4")
        group = {"group": "deploy", "limit": 2}
        first, second, third = self.farm.submit(*[sleeper(concurrency=group) for _ in range(3)])
        self.farm.wait_job(first, "running")
        self.farm.wait_job(second, "running")
        self.wait_reason(third, "concurrency-limit")
        self.assertEqual(self.farm.job(third)["concurrency"], group)
        [free] = self.farm.submit(quick("free"))
        self.farm.wait_job(free, "succeeded")
        self.said("cancel", str(first))
        self.farm.wait_job(third, "running")

    def test_a_named_resource_is_reserved(self):
        self.farm.builder("b1", "--max-jobs", "4", "--resource", "gpu=1")
        first = int(self.farm.client("run", "--detach", "--resource", "gpu=1", "--", *SLEEP, check=0).stdout)
        self.farm.wait_job(first, "running")
        second = int(self.farm.client("run", "--detach", "--resource", "gpu=1", "--", "true", check=0).stdout)
        self.wait_reason(second, "resources-full")
        machine = self.farm.json("machine", "b1")
        self.assertEqual((machine["capacity"]["named"], machine["reserved"]["named"]), ({"gpu": 1}, {"gpu": 1}))
        self.assertIn("gpu 1 of 1", self.said("machine", "b1"))
        self.said("cancel", str(first))
        self.farm.wait_job(second, "succeeded")
        too_many = int(self.farm.client("run", "--detach", "--resource", "gpu=2", "--", "true", check=0).stdout)
        self.wait_reason(too_many, "missing-resources")

    def test_a_namespace_keeps_its_limits_over_a_restart(self):
        self.farm.builder("b1", "--max-jobs", "4")
        self.said("namespace", "set", "small", "--max-running-steps", "1", "--max-queued-jobs", "2", "--shares", "7")
        self.farm.server_process.stop()
        self.farm.server()
        self.farm.wait_machine("b1")
        first = self.run_one(namespace="small")
        [second] = self.farm.submit(quick("second", namespace="small"))
        self.wait_reason(second, "namespace-limit")
        status, _, body = self.farm.request("POST", "/api/v1/jobs", quick("third", namespace="small"))
        self.assertEqual(status, 429, body)
        shown = self.farm.json("namespace", "show", "small")
        self.assertEqual([shown[key] for key in ("max_running_steps", "max_queued_jobs", "max_cpus", "open_jobs",
                                                 "running_steps")], [1, 2, 0, 2, 1])
        self.assertEqual(shown["share"]["shares"], 7)
        listed = self.said("namespace", "list")
        self.assertIn("2 of 2", listed)
        self.assertIn("1 of 1", listed)
        self.said("namespace", "set", "small", "--max-running-steps", "0")
        self.farm.wait_job(second, "succeeded")
        self.said("cancel", str(first))

    def test_namespaces_are_named_and_checked(self):
        self.assertIn("no namespace nope", self.said("namespace", "show", "nope", code=1))
        self.said("namespace", "set", "x", code=2)
        self.said("namespace", "drop", "x", code=2)
        self.said("namespace", "show", code=2)
        self.said("namespace", "set", "x", "--shares", "0", code=2)
        self.assertIn("letters", self.said("namespace", "set", "a b", "--shares", "1", code=1))


class MachinesTest(FarmTest):
    def test_a_threshold_closes_a_machine_and_its_removal_opens_it(self):
        self.farm.builder("b1", "--load1", "1000")
        changed = self.farm.json("machine", "b1", "--set", "min-free-disk=1000TiB", "--set", "load1=0")
        self.assertEqual(changed["overrides"], {"load1": 0, "min_free_disk_bytes": 1000 << 40})
        closed = until(lambda: self.farm.json("machine", "b1")["closed"], "the machine is closed")
        self.assertEqual(closed["code"], "disk-low")
        [job] = self.farm.submit(quick("waits"))
        self.wait_reason(job, "disk-low")
        why = self.said("why", str(job))
        self.assertIn("within their thresholds", why)
        self.assertIn("b1", why)
        self.assertIn("min-free-disk 1000.0 TiB (set here)", self.said("machine", "b1"))
        opened = self.farm.json("machine", "b1", "--unset", "min-free-disk", "--unset", "load1")
        self.assertEqual(opened["overrides"], {})
        self.farm.wait_job(job, "succeeded")

    def test_overrides_outlive_the_server(self):
        self.farm.builder("b1", "--cpu-psi", "90")
        self.said("machine", "b1", "--set", "cpu-psi=70")
        self.farm.server_process.stop()
        self.farm.server()
        self.farm.wait_machine("b1")
        machine = self.farm.json("machine", "b1")
        self.assertEqual((machine["overrides"], machine["thresholds"]["cpu_psi"]), ({"cpu_psi": 70}, 70))
        self.said("machine", "b1", "--unset", "cpu-psi")
        self.assertEqual(self.farm.json("machine", "b1")["thresholds"]["cpu_psi"], 90)

    def test_a_machine_that_is_away_can_be_forgotten_and_no_other(self):
        self.farm.builder("b1")
        self.said("machine", "b1", "--remove", code=1)
        self.farm.builders["b1"].stop()
        until(lambda: self.farm.json("machine", "b1")["state"] == "disconnected", "the machine is away")
        self.assertIn("machine b1 removed", self.said("machine", "b1", "--remove"))
        self.assertIn("no machine b1", self.said("machine", "b1", code=1))
        self.assertIn("no machine b1", self.said("machine", "b1", "--remove", code=1))

    def test_wrong_thresholds_are_named(self):
        self.farm.builder("b1")
        for words, code, text in ((["--set", "cpu=7"], 2, "cpu-psi"), (["--set", "cpu-psi"], 2, "NAME=VALUE"),
                                  (["--set", "cpu-psi=much"], 2, "not a number"),
                                  (["--set", "cpu-psi=101"], 1, "from 0 to 100"),
                                  (["--set", "min-free-disk=much"], 1, "min_free_disk_bytes"),
                                  (["--remove", "--trust"], 2, "--remove")):
            self.assertIn(text, self.said("machine", "b1", *words, code=code))
        self.assertIn("no machine b9", self.said("machine", "b9", "--set", "cpu-psi=7", code=1))
        self.assertIn("no machine b9", self.said("machine", "b9", "--trust", code=1))


class QuarantineTest(FarmTest):
    def spoil(self, name):
        """Nothing can be started there: where the folders of attempts belong is a file."""
        self.folder = os.path.join(self.farm.dir, "work-" + name, "attempts")
        os.rename(self.folder, self.folder + ".away")
        with open(self.folder, "w", encoding="utf-8"):
            pass
        [job] = self.farm.submit(quick("takes the folder that was made beforehand"))
        self.farm.wait_job(job)

    def mend(self):
        os.unlink(self.folder)
        os.rename(self.folder + ".away", self.folder)

    def spoilt_farm(self, *flags):
        self.farm.server_process.stop()
        self.farm.server(*flags)
        self.farm.builder("b1")
        [job] = self.farm.submit(quick("first"))
        self.farm.wait_job(job, "succeeded")
        self.spoil("b1")
        jobs = self.farm.submit(*[quick(f"q{at}") for at in range(3)])
        until(lambda: self.farm.json("machine", "b1")["state"] == "quarantined", "b1 is quarantined")
        return jobs

    def test_a_machine_that_fails_by_itself_is_quarantined_until_it_is_trusted(self):
        jobs = self.spoilt_farm("--quarantine-initial", "1h")
        machine = self.farm.json("machine", "b1")
        self.assertEqual((machine["closed"]["code"], machine["health"]["state"]), ("quarantined", "quarantined"))
        self.assertTrue(machine["health"]["reason"])
        self.assertIsNotNone(machine["health"]["until"])
        self.assertIn("Health:", self.said("machine", "b1"))
        self.assertIn("1 quarantined", self.said("status"))
        for metric in ("penstock_quarantines_total", "penstock_machines_quarantined"):
            self.assertEqual(self.farm.metric(metric), 1)
        for job in jobs:
            self.wait_reason(job, "all-quarantined")
        self.mend()
        self.said("machine", "b1", "--trust")
        for job in jobs:
            self.farm.wait_job(job, "succeeded")
        self.assertEqual(self.farm.json("machine", "b1")["health"]["state"], "healthy")

    def test_a_quarantine_ends_with_a_probe(self):
        jobs = self.spoilt_farm("--max-attempts", "50")
        self.mend()
        for job in jobs:
            self.farm.wait_job(job, "succeeded")
        self.assertGreaterEqual(self.farm.metric("penstock_probes_total"), 1)
        until(lambda: self.farm.json("machine", "b1")["health"]["state"] == "healthy", "b1 is trusted again")

    def test_the_last_attempt_is_final(self):
        self.farm.server_process.stop()
        self.farm.server("--max-attempts", "2", "--quarantine-after", "0")
        self.farm.builder("b1")
        [job] = self.farm.submit(quick("first"))
        self.farm.wait_job(job, "succeeded")
        self.spoil("b1")
        [job] = self.farm.submit(quick("fails"))
        self.assertEqual(self.farm.wait_job(job)["state"], "failed")
        self.assertEqual(len(self.farm.runs(job)), 2)


class WhyTest(FarmTest):
    def test_every_machine_falls_away_by_name(self):
        self.farm.builder("b1", "--max-jobs", "1", "--tags", "small")
        self.farm.builder("b2", "--max-jobs", "1", "--tags", "big")
        first = self.run_one(affinity={"tags": ["big"]})
        [job] = self.farm.submit(quick("waits", affinity={"tags": ["big"]}))
        self.wait_reason(job, "slots-full")
        explained = self.farm.json("why", str(job))
        self.assertEqual((explained["job"], explained["state"], explained["more"]), (job, "queued", 0))
        [step] = explained["steps"]
        stages = [stage["stage"] for stage in step["funnel"]]
        self.assertEqual(stages[0], "known")
        left = [stage["left"] for stage in step["funnel"]]
        self.assertEqual(left, sorted(left, reverse=True))
        self.assertEqual((left[0], left[-1]), (2, 0))
        removed = {entry["machine"] for stage in step["funnel"] for entry in stage["removed"]}
        self.assertEqual(removed, {"b1", "b2"})
        for reason in step["reasons"]:
            self.assertEqual(set(reason), {"code", "text", "numbers", "remedy", "names"})
        shown = self.said("why", str(job))
        for word in ("known to the farm", "b1", "b2", step["reasons"][0]["text"]):
            self.assertIn(word, shown)
        self.said("cancel", str(first))
        self.farm.wait_job(job, "succeeded")

    def test_reasons_of_placement_are_told_at_once(self):
        self.farm.builder("b1", "--users", "ann", "--tags", "x")
        mine = {"user": "ann"}
        for affinity, code in (({"systems": ["riscv64-linux"]}, "unsupported-system"),
                               ({"features": ["kvm9"]}, "missing-feature"), ({"tags": ["huge"]}, "missing-tag"),
                               ({"os": ["windows"]}, "wrong-os"), ({"machines": ["b9"]}, "machine-not-named")):
            [job] = self.farm.submit(quick("waits", affinity=affinity, **mine))
            self.assertIn(code, self.codes(job))
        [job] = self.farm.submit(quick("waits", user="bob"))
        self.assertIn("user-not-allowed", self.codes(job))
        self.assertEqual(self.farm.json("status")["waiting"]["missing-feature"], 1)
        self.assertEqual(self.farm.metric("penstock_steps_waiting"), 6)

    def test_a_machine_for_special_work_takes_no_other(self):
        self.farm.builder("b1", "--features", "gpu9", "--mandatory-features", "gpu9")
        [plain, special] = self.farm.submit(quick("plain"), quick("special", affinity={"features": ["gpu9"]}))
        self.farm.wait_job(special, "succeeded")
        self.wait_reason(plain, "mandatory-feature-mismatch")

    def test_every_gate_has_its_own_reason(self):
        self.farm.builder("b1")
        for setting, code in (("min-free-memory=1000TiB", "memory-low"), ("load1=0.0001", "gated-load"),
                              ("min-free-inodes=1000000000000000", "disk-low")):
            self.said("machine", "b1", "--set", setting)
            [job] = self.farm.submit(quick("waits"))
            self.wait_reason(job, code)
            self.assertEqual(self.farm.json("machine", "b1")["closed"]["code"], code)
            self.said("machine", "b1", "--unset", setting.split("=")[0])
            self.farm.wait_job(job, "succeeded")

    def test_who_is_ahead_is_told(self):
        self.farm.builder("b1", "--max-jobs", "1")
        first = self.run_one(shares_group="greedy")
        self.assertIn("running", self.codes(first))
        greedy = self.farm.submit(*[quick("waits", shares_group="greedy") for _ in range(2)])
        [poor] = self.farm.submit(quick("waits", shares_group="poor"))
        self.wait_reason(greedy[1], "behind-in-queue")
        self.wait_reason(greedy[0], "jobset-share")
        self.said("bump", str(greedy[1]))
        self.wait_reason(poor, "behind-higher-priority")
        self.said("cancel", str(first))

    def test_drained_and_lost_machines_are_told_apart(self):
        self.farm.builder("b1")
        self.said("drain", "b1")
        [job] = self.farm.submit(quick("waits"))
        self.wait_reason(job, "all-draining")
        self.farm.builders["b1"].kill()
        self.said("undrain", "b1")
        self.wait_reason(job, "all-lost")

    def test_a_retry_says_when_and_after_what(self):
        self.farm.builder("b1")
        [job] = self.farm.submit({"name": "fails", "command": ["false"], "retries": 1,
                                  "backoff": {"initial": "10m", "factor": 1, "max": "10m", "jitter": 0}})
        self.wait_reason(job, "retry-backoff")
        [step] = self.farm.json("why", str(job))["steps"]
        self.assertIsNotNone(step["earliest"])
        self.assertIn("expected to start in", self.said("why", str(job)))

    def test_a_step_that_nothing_can_run_fails_when_asked_to(self):
        self.farm.server_process.stop()
        self.farm.server("--unsupported-after", "300ms")
        self.farm.builder("b1")
        [job] = self.farm.submit(quick("waits", affinity={"systems": ["riscv64-linux"]}))
        self.assertEqual(self.farm.wait_job(job, "failed")["result"], "unsupported")


class QueueTest(FarmTest):
    def test_queues_and_shares_are_listed(self):
        self.farm.builder("b1", "--max-jobs", "1")
        first = self.run_one(shares_group="big")
        self.farm.submit(*[quick("waits", shares_group=group) for group in ("big", "big", "small")])
        answer = until(lambda: (lambda a: a if a["queues"] and a["queues"][0]["queued"] == 3 else None)(
            self.farm.json("queue")), "three are queued")
        [queue] = answer["queues"]
        self.assertEqual((queue["running"], queue["eligible_machines"], queue["free_slots"]), (1, 1, 0))
        self.assertEqual(queue["groups"], [{"group": "big", "queued": 2}, {"group": "small", "queued": 1}])
        shares = {share["group"]: share for share in answer["shares"]}
        self.assertEqual((shares["big"]["running"], shares["big"]["queued"], shares["small"]["queued"]), (1, 2, 1))
        self.assertAlmostEqual(shares["big"]["target_percent"], 50)
        self.said("namespace", "set", "big", "--shares", "300")
        shares = {share["group"]: share for share in self.farm.json("queue")["shares"]}
        self.assertAlmostEqual(shares["big"]["target_percent"], 75)
        shown = self.said("queue")
        for word in ("QUEUED BY GROUP", "big 2, small 1", "SHARE GROUP"):
            self.assertIn(word, shown)
        self.said("cancel", str(first))

    def test_hydras_names_in_the_file_are_logged_once_each(self):
        self.farm.server_process.stop()
        config = os.path.join(self.farm.dir, "server.toml")
        with open(config, "w") as file:
            file.write('[hydra]\nstepSortFn = "WithRdeps"\nmachineFreeFn = "Static"\n')
        self.farm.server("--config", config, "--log-format", "json")
        with open(os.path.join(self.farm.dir, "server.log"), encoding="utf-8") as log:
            keys = [json.loads(line)["key"] for line in log if '"config.synonym"' in line]
        self.assertEqual(keys, ["hydra.stepSortFn", "hydra.machineFreeFn"])

    def test_the_description_of_the_interface_holds(self):
        self.farm.builder("b1")
        document = self.farm.get("/openapi.json")
        self.assertEqual(document["openapi"], "3.1.0")
        for path, operations in document["paths"].items():
            if "get" in operations and "{" not in path:
                status, _, body = self.farm.request("GET", path)
                self.assertEqual(status, 200, (path, body))


if __name__ == "__main__":
    unittest.main(verbosity=2)
