#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators and Hydra's other programs ask of a server that serves a Hydra: the routes, --status, --unlock,
sockets from systemd, and what it refuses."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import unittest
import urllib.request

from farm import LIMIT, program, until
from hydra.postgres import Session
from hydra.world import HydraTest
from tls_test import Authority

NIX = """{ slow = sh "slow-@tag@" "while ! test -e @gate@; do sleep 0.1; done; echo a > $out" { }; }"""


def stats_reader(status):
    """What hydra-send-stats reads; a KeyError is what it would die of."""
    runner = status["queueRunner"]
    read = [runner[key] for key in (
        "nrStepsBuilding", "nrStepsRunnable", "nrStepsUnfinished", "nrStepsDone", "nrRetries", "nrUnsupportedSteps",
        "maxNrRetries", "nrBuildsRead", "nrBuildsUnfinished", "nrBuildsDone", "nrQueueWakeups", "machinesTotal",
        "machinesInUse")]
    if runner["nrStepsDone"] > 0:
        read += [runner["avgStepTimeMs"], runner["avgStepBuildTimeMs"]]
    for queue in runner["queueStats"].values():
        read += [queue["totalRunnable"], queue["activeRunnable"]]
    return runner["status"] == "up" and all(isinstance(each, (int, float)) for each in read)


class HydraOperatorTest(HydraTest):
    def run_server(self, *args, env=None):
        return subprocess.run([program("penstock-server"), *args], capture_output=True, text=True, timeout=LIMIT,
                              env=dict(os.environ, **(env or {})), check=False)

    def errand(self, flag, *more, data=None):
        return self.run_server("--hydra", flag, "--db-url", self.world.url, "--hydra-data", data or self.world.data,
                               "--data-dir", self.world.farm.data_dir, *more)

    def busy(self, drv_path):
        build = self.world.session.value("SELECT id FROM builds LIMIT 1")
        self.world.session.rows("INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, starttime, machine)"
                                " VALUES ($1, 77, 0, $2, 30, 1700000000, 'gone')", build, drv_path)
        return build

    def one_build(self):
        expression = NIX.replace("@gate@", self.world.gate("slow"))
        drv = self.instantiate(expression)["slow"]
        return drv, self.evaluate({"slow": drv})["slow"]

    def test_the_status_of_a_running_step_is_what_the_web_interface_reads(self):
        drv, build = self.one_build()
        self.start()
        step = self.world.wait_running(drv)
        base = os.path.basename(drv.path)
        machines = self.world.farm.get("/status/machines")
        self.assertEqual(machines["machinesCount"], 1)
        machine = machines["machines"][step["machine"]]
        self.assertEqual(machine["jobs"], [base])
        self.assertEqual(machine["stats"]["currentJobs"], 1)
        status = self.world.farm.get("/status/")
        self.assertTrue(stats_reader(status))
        self.assertEqual(status["queueRunner"]["nrStepsBuilding"], 1)
        self.assertEqual(status["queueRunner"]["nrBuildsUnfinished"], 1)
        self.assertEqual(status["queueRunner"]["queueStats"][step["system"]]["activeRunnable"], 1)
        until(lambda: self.world.farm.get("/status/jobsets")["jobsets"]["project:jobset"]["id"] == 1,
              "the jobset's id is known")
        self.assertEqual(self.world.farm.get(f"/status/build/{build}/active"), {"active": True})
        builds = self.world.farm.get("/status/builds")
        self.assertEqual([each["id"] for each in builds["builds"]], [build])
        scheduled = self.world.farm.get("/status/queues/scheduled")["steps"]
        self.assertEqual([(each["drvPath"], each["lowestBuildId"]) for each in scheduled], [(drv.path, build)])
        self.world.open_gate("slow")
        self.world.wait_finished(build)
        self.assertEqual(self.world.farm.get(f"/status/build/{build}/active"), {"active": False})
        self.assertTrue(stats_reader(self.world.farm.get("/status")))
        self.assertEqual(self.world.farm.get("/status")["queueRunner"]["nrBuildsDone"], 1)
        self.assertEqual(self.world.farm.metric("hydraqueuerunner_builds_succeeded"), 1)
        self.assert_counters()

    def assert_counters(self):
        metric = self.world.farm.metric
        opened = self.world.session.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND application_name LIKE 'penstock%'")
        self.assertEqual(metric("penstock_hydra_connections"), 8)
        self.assertLessEqual(opened, 8)
        self.assertGreater(opened, 4)
        runner = self.world.farm.get("/status")["queueRunner"]
        self.assertGreater(runner["queueMonitorTimeSpentWaiting"], 0)
        self.assertGreater(metric("hydraqueuerunner_monitor_time_spent_waiting_total"), 0)
        self.assertGreater(metric("penstock_hydra_last_diff_seconds"), 0)
        self.assertEqual(metric("hydraqueuerunner_queue_build_loads_total"), 1)
        self.assertEqual(metric("hydraqueuerunner_builds_unfinished"), 0)

    def test_only_the_build_that_is_asked_for_is_loaded(self):
        drv, build = self.one_build()
        self.world.open_gate("slow")
        self.start("--disable-queue-monitor-loop")
        code, _, answer = self.world.farm.request("POST", "/build_one", {"buildId": build + 1000})
        self.assertEqual(code, 404, answer)
        self.assertIn("error", json.loads(answer))
        self.assertEqual(self.world.farm.get("/status")["queueRunner"]["nrStepsUnfinished"], 0)
        self.world.farm.post("/build_one", {"buildId": build})
        self.world.wait_finished(build)
        self.assertEqual(self.world.build(build)["buildstatus"], 0)
        self.assertEqual(len(self.world.steps(build)), 1)
        self.assertEqual(drv.path, self.world.steps(build)[0]["drvpath"])

    def test_a_build_can_be_made_of_a_derivation(self):
        drv, first = self.one_build()
        self.start()
        self.world.wait_running(drv)
        base = os.path.basename(drv.path)
        code, _, answer = self.world.farm.request("PUT", "/build", {"jobset_id": 1, "drv": base})
        self.assertEqual(code, 200, answer)
        self.world.open_gate("slow")
        self.world.wait_finished()
        made = self.world.session.row("SELECT * FROM builds WHERE id <> $1", first)
        self.assert_columns(made, job="debug", nixname="debug", buildstatus=0, priority=100, finished=1)
        for body, status in (({"jobsetId": 77, "drv": base}, 404), ({"jobsetId": 1, "drv": "x.drv"}, 422),
                             ({"drv": base}, 422)):
            code, _, answer = self.world.farm.request("PUT", "/build", body)
            self.assertEqual(code, status, answer)
            self.assertIn("error", json.loads(answer))

    def test_status_and_unlock_from_the_command_line(self):
        drv, _ = self.one_build()
        none = self.errand("--status")
        self.assertEqual(none.returncode, 1, none.stdout)
        self.assertIn("no penstock-server runs", none.stderr)
        self.start()
        self.world.wait_running(drv)
        shown = self.errand("--status")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertTrue(stats_reader(json.loads(shown.stdout)))
        refused = self.errand("--unlock")
        self.assertEqual(refused.returncode, 1, refused.stdout)
        self.assertIn("lock", refused.stderr)
        self.assertEqual(self.world.session.value("SELECT count(*) FROM buildsteps WHERE busy <> 0"), 1)

    def test_unlock_ends_what_nobody_runs_any_more(self):
        drv, _ = self.one_build()
        build = self.busy(drv.path)
        ended = self.errand("--unlock")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn("1 step shown as running was ended", ended.stdout)
        row = self.world.session.row("SELECT * FROM buildsteps WHERE build = $1 AND stepnr = 77", build)
        self.assert_columns(row, busy=0, status=3, starttime=1700000000)
        self.assertGreater(row["stoptime"], 1700000000)
        self.assertIn("nothing was changed", self.errand("--unlock").stdout)

    def test_unlock_leaves_the_rows_of_another_runner_alone(self):
        drv, _ = self.one_build()
        self.busy(drv.path)
        os.makedirs(f"{self.world.data}/queue-runner")
        with open(f"{self.world.data}/queue-runner/lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            refused = self.errand("--unlock")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("queue-runner/lock", refused.stderr)
        self.assertEqual(self.world.session.value("SELECT count(*) FROM buildsteps WHERE busy <> 0"), 1)

    def test_unlock_on_another_machine_leaves_a_server_that_runs_alone(self):
        """The lock file is not the same there; the database knows."""
        drv, build = self.one_build()
        self.start()
        before = self.world.wait_running(drv)
        elsewhere = os.path.join(self.world.dir, "elsewhere")
        os.mkdir(elsewhere)
        refused = self.errand("--unlock", data=elsewhere)
        self.assertEqual(refused.returncode, 1, refused.stdout)
        self.assertIn("leads this database", refused.stderr)
        self.assertEqual(self.world.steps(build), [before])
        self.world.open_gate("slow")
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual(len(self.world.steps(build)), 1)
        self.assert_orderly()

    def test_unlock_waits_for_nothing_that_hydra_does(self):
        """The evaluator has rows of builds locked, and the row that counts them."""
        drv, _ = self.one_build()
        build = self.busy(drv.path)
        with self.world.evaluator.locks([build]), Session(self.world.url) as other:
            other.run("BEGIN; UPDATE nrbuilds SET count = count; UPDATE jobsets SET triggertime = 1")
            ended = self.errand("--unlock")
            other.run("COMMIT")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(self.world.web.running(), 0)
        self.world.open_gate("slow")
        self.start()
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual([(step["stepnr"], step["status"]) for step in self.world.steps(build)], [(77, 3), (78, 0)])
        self.assert_orderly()

    def test_unlock_between_two_servers_costs_no_build(self):
        """What its machine goes on building has an end all the same."""
        drv, build = self.one_build()
        self.start()
        self.world.wait_running(drv)
        self.world.farm.server_process.stop()
        self.assertEqual(self.errand("--unlock").returncode, 0)
        self.assertEqual(self.world.web.running(), 0)
        self.world.server()
        self.world.farm.wait_machine("b1")
        self.world.open_gate("slow")
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual([step["busy"] for step in self.world.steps(build) if step["busy"]], [])
        self.assertEqual(self.world.steps(build)[-1]["drvpath"], drv.path)
        self.assertEqual(self.world.notify.lines(build)[-1], f"build_finished {build}")
        self.assert_orderly()

    def secured(self, names, *more):
        """A server with TLS, and what the command line has to say of it."""
        certificate, key = Authority(self.world.dir, "authority").sign("server", names)
        tls = ("--tls-cert", certificate, "--tls-key", key)
        self.world.server(*tls, *more)
        return tls

    def test_status_over_tls(self):
        tls = self.secured("IP:127.0.0.1")
        shown = self.errand("--status", *tls)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertTrue(stats_reader(json.loads(shown.stdout)))

    def test_status_says_where_a_token_is_wanted(self):
        tls = self.secured("IP:127.0.0.1", "--auth", "tokens")
        refused = self.errand("--status", *tls)
        self.assertEqual(refused.returncode, 1, refused.stdout)
        self.assertIn("--token-file", refused.stderr)

    def test_a_server_without_a_database_says_so(self):
        for args in (["--hydra"], ["--hydra", "--unlock"]):
            done = self.run_server(*args, env={"HYDRA_DATABASE_URL": "", "HYDRA_DBI": ""})
            self.assertEqual(done.returncode, 2)
            self.assertIn("HYDRA_DATABASE_URL", done.stderr)

    def test_sockets_come_from_systemd(self):
        """As Hydra's own tests start a runner: two sockets, rest and grpc, LISTEN_PID not set."""
        with socket.create_server(("127.0.0.1", 0)) as rest, socket.create_server(("127.0.0.1", 0)) as grpc:
            config = os.path.join(self.world.dir, "config.toml")
            with open(config, "w", encoding="utf-8") as file:
                file.write(f'dbUrl = "{self.world.url}"\nhydraDataDir = "{self.world.data}"\n'
                           f'remoteStoreAddr = []\nuseSubstitutes = false\n')
            pass_on = ("import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
                       " os.execv(sys.argv[3], sys.argv[3:])")
            high = [os.dup(each.fileno()) for each in (rest, grpc)]
            high = [fcntl.fcntl(each, fcntl.F_DUPFD, 20) for each in high]
            env = dict(self.world.store.env, LISTEN_FDS="2", LISTEN_FDNAMES="rest:grpc", LOGNAME="hydra")
            server = subprocess.Popen(
                [sys.executable, "-c", pass_on, *map(str, high), program("penstock-server"), "--hydra", "--config-path",
                 config, "--rest-bind", "-", "--grpc-bind", "-", "--disable-queue-monitor-loop", "--data-dir",
                 os.path.join(self.world.dir, "socket-data")], pass_fds=high, env=env,
                stderr=subprocess.PIPE, text=True)
            try:
                for port in (rest.getsockname()[1], grpc.getsockname()[1]):
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=LIMIT) as answer:
                        self.assertTrue(stats_reader(json.load(answer)))
            finally:
                server.terminate()
                self.assertEqual(server.wait(LIMIT), 0, server.stderr.read())
                server.stderr.close()
                for each in high:
                    os.close(each)


if __name__ == "__main__":
    unittest.main()
