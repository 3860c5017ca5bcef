# SPDX-License-Identifier: GPL-3.0-or-later
"""What Hydra's web interface, its statistics script and its own test-suite ask a queue runner by HTTP, and the flags
and keys that the latter starts one with."""

import json
import os
import signal
import subprocess
import unittest

from farm import until
from hydra.world import HydraTest

# hydra-send-stats ends at the first of these that is not there.
NEEDED = ("status", "nrStepsBuilding", "nrStepsRunnable", "nrStepsUnfinished", "nrStepsDone", "nrRetries",
          "nrUnsupportedSteps", "maxNrRetries", "avgStepTimeMs", "avgStepBuildTimeMs", "queueStats", "nrBuildsRead",
          "nrBuildsUnfinished", "nrBuildsDone", "nrQueueWakeups", "machinesTotal", "machinesInUse")


class HydraRoutesTest(HydraTest):
    def two(self):
        return self.instantiate('{ a = sh "a-@tag@" "echo a > $out" { }; held = sh "held-@tag@" (gate "'
                                + self.world.gate("held") + '" + "echo x > $out") { }; }')

    def ask(self, method, path, body=None, status=200):
        code, _, answer = self.world.farm.request(method, path, body)
        self.assertEqual(code, status, (path, answer))
        return json.loads(answer)

    def test_one_build_at_a_time_as_hydras_own_tests_do_it(self):
        ids = self.evaluate(self.two())
        self.start("--disable-queue-monitor-loop")
        self.assertEqual(self.ask("GET", f"/status/build/{ids['a']}/active"), {"active": True})
        self.ask("POST", "/build_one", {"buildId": ids["a"]})
        active = f"/status/build/{ids['a']}/active"
        until(lambda: not self.ask("GET", active)["active"], "the build is no longer active")
        self.world.settle(ids["a"])
        self.assert_built(ids["a"])
        self.assert_columns(self.world.build(ids["held"]), finished=0)
        self.assertEqual(self.world.steps(ids["held"]), [])
        self.assert_orderly()

    def test_a_build_is_put_for_a_derivation(self):
        drvs = self.two()
        jobset = self.world.evaluator.jobset()
        self.start()
        self.ask("PUT", "/build", {"drv": os.path.basename(drvs["a"].path), "jobsetId": jobset})
        build = until(lambda: self.world.session.column("SELECT id FROM builds"), "the build is there")[0]
        self.world.wait_finished(build)
        row = self.assert_built(build)
        self.assert_columns(row, job="debug", nixname="debug", maxsilent=7200, timeout=36000, priority=100,
                            jobset_id=jobset, drvpath=drvs["a"].path)
        self.world.notify.sync()
        self.assertEqual(self.world.notify.lines(channels=("builds_added",)), ["builds_added ?"])

    def test_machines_are_shown_as_the_web_interface_reads_them(self):
        drvs = self.two()
        build = self.evaluate({"held": drvs["held"]})["held"]
        self.start(builder_args=("--speed-factor", "2", "--features", "kvm,big-parallel", "--mandatory-features", ""))
        step = self.world.wait_running(drvs["held"])
        machines = self.ask("GET", "/status/machines")
        self.assertEqual(machines["machinesCount"], 1)
        self.assertEqual(list(machines["machines"]), [step["machine"]], "steps are grouped by this name")
        machine = machines["machines"][step["machine"]]
        self.assertIn(drvs["held"].system, machine["systems"])
        self.assertEqual((machine["maxJobs"], machine["speedFactor"]), (2, 2))
        self.assertEqual(sorted(machine["supportedFeatures"])[:2], ["big-parallel", "kvm"])
        self.assertIsInstance(machine["mandatoryFeatures"], list)
        self.assertEqual(machine["jobs"], [os.path.basename(drvs["held"].path)])
        for name in ("hasCapacity", "hasDynamicCapacity", "hasStaticCapacity"):
            self.assertIsInstance(machine[name], bool)
        for name in ("nrStepsDone", "avgStepBuildTimeMs", "load1", "load5", "load15", "memUsage", "currentJobs"):
            self.assertIsInstance(machine["stats"][name], (int, float), name)
        self.assertEqual(machine["stats"]["currentJobs"], 1)
        self.assertIsInstance(machine["totalMem"], int)
        self.assertEqual(self.ask("GET", f"/status/build/{build}/active/"), {"active": True})
        self.world.open_gate("held")
        self.world.wait_finished(build)

    def test_the_statistics_script_finds_all_it_needs(self):
        ids = self.evaluate(self.two())
        self.start()
        self.world.wait_finished(ids["a"])
        status = self.ask("GET", "/status")
        self.assertEqual(status["queueRunner"]["status"], "up")
        missing = [name for name in NEEDED if status["queueRunner"].get(name) is None]
        self.assertEqual(missing, [])
        self.assertGreaterEqual(status["queueRunner"]["nrStepsDone"], 1)
        self.assertGreaterEqual(status["queueRunner"]["nrBuildsDone"], 1)
        self.assertEqual(status["queueRunner"]["nrBuildsUnfinished"], 1)
        self.assertEqual(status["jobsets"]["project:jobset"]["shares"], 100)
        self.assertEqual(self.ask("GET", "/status/builds")["buildCount"], 1)
        self.world.open_gate("held")
        self.world.wait_finished()

    def test_mistakes_are_told(self):
        self.start(builders=())
        self.assertIn("error", self.ask("GET", "/status/build/nonsense/active", status=404))
        code, _, _ = self.world.farm.request("POST", "/build_one", b"not json")
        self.assertIn(code, (400, 422))
        code, _, _ = self.world.farm.request("PUT", "/build", {"drv": "../../etc/passwd", "jobsetId": 1})
        self.assertIn(code, (400, 404, 422))

    def test_the_status_command_asks_the_server_that_runs(self):
        self.start()
        env = dict(self.world.farm.env, PENSTOCK_LISTEN=f"127.0.0.1:{self.world.farm.port}")
        done = subprocess.run([self.world.farm.server_process.popen.args[0], "--hydra", "--db-url", self.world.url,
                               "--hydra-data", self.world.data, "--data-dir", self.world.farm.data_dir, "--status"],
                              env=env, capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(json.loads(done.stdout)["queueRunner"]["status"], "up")

    def test_a_configuration_file_of_hydras_runner_is_enough(self):
        config = os.path.join(self.world.dir, "config.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'hydra = true\nhydraDataDir = "{self.world.data}"\ndbUrl = "{self.world.url}"\n'
                       'remoteStoreAddr = []\nuseSubstitutes = false\nmaxRetries = 5\n'
                       'machineSortFn = "SpeedFactorOnly"\n')
        self.world.farm.server("--config-path", config, "--store", "local")
        self.world.builder("b1")
        build = self.evaluate({"a": self.two()["a"]})["a"]
        self.world.wait_finished(build)
        self.assert_built(build)

    def test_stores_of_hydras_configuration_get_copies_of_what_the_local_store_has(self):
        config, cache, roots = (os.path.join(self.world.dir, name) for name in ("config.toml", "cache", "roots"))
        written = (f'hydra = true\nhydraDataDir = "{self.world.data}"\ndbUrl = "{self.world.url}"\n'
                   f'remoteStoreAddr = ["file://{cache}", "ssh://elsewhere"]\nrootsDir = "{roots}"\n')
        with open(config, "w", encoding="utf-8") as file:
            file.write(written)
        self.world.farm.server("--config-path", config)
        self.world.builder("b1")
        drv = self.two()["a"]
        build = self.evaluate({"a": drv})["a"]
        self.world.wait_finished(build)
        self.assert_built(build)
        base = os.path.basename(drv.outputs["out"])
        self.assertEqual(os.readlink(os.path.join(roots, base)), drv.outputs["out"])
        self.assertIn(roots, self.world.store.run("nix-store", "--query", "--roots", drv.outputs["out"]))
        until(lambda: os.path.exists(os.path.join(cache, base[:32] + ".narinfo")), "the cache has it, too")
        self.assert_reread(config, written)

    def assert_reread(self, config, written):
        """SIGHUP applies nothing of the file silently."""
        with open(config, "w", encoding="utf-8") as file:
            file.write(written + "maxRetries = 9\n")
        self.world.farm.server_process.signal(signal.SIGHUP)
        until(lambda: "config.needs_restart option=max-attempts" in self.said(), "the change is told")
        self.assertIn("ssh://elsewhere is left out", self.said())
        with open(config, "w", encoding="utf-8") as file:
            file.write("maxRetires = 9\n")
        self.world.farm.server_process.signal(signal.SIGHUP)
        until(lambda: "config.unusable" in self.said(), "that it cannot be read is told")
        self.assertTrue(self.world.farm.server_process.alive())

    def said(self):
        with open(os.path.join(self.world.farm.dir, "server.log"), encoding="utf-8") as log:
            return log.read()


if __name__ == "__main__":
    unittest.main(verbosity=2)
