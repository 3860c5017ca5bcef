# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes on beside Hydra's rows while steps run: log files where Hydra reads them, links for outputs, the lock that
keeps other queue runners out."""

import fcntl
import os
import stat
import subprocess
import unittest

from farm import LIMIT, until
from hydra.world import HydraTest

NIX = """
{ slow = sh "slow-@tag@" ("echo begins; echo oops >&2\\n" + gate "@gate@" + "echo ends; echo x > $out") { };
  bad = sh "bad-@tag@" "echo the reason; exit 1" { };
  two = sh "two-@tag@" "echo x > $out; echo y > $dev" { outputs = [ "out" "dev" ]; };
  chatty = sh "chatty-@tag@" "i=0; while [ $i -lt 30000 ]; do echo line $i of many; i=$((i+1)); done
    echo x > $out" { };
  silent = sh "silent-@tag@" "echo x > $out" { }; }
"""


class HydraStepsTest(HydraTest):
    def make(self):
        return self.instantiate(NIX.replace("@gate@", self.world.gate("slow")))

    def build(self, drv, check=0):
        return self.world.farm.client("build", drv.path, check=check)

    def text(self, drv):
        try:
            with open(self.world.log_file(drv), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def test_a_log_grows_while_the_step_runs_and_is_the_builders_output_only(self):
        self.start()
        drv = self.make()["slow"]
        client = self.world.farm.start_client("build", drv.path)
        until(lambda: self.text(drv) == "begins\noops\n", "the log is there while it runs")
        self.world.open_gate("slow")
        self.assertEqual(client.wait(LIMIT), 0)
        client.communicate()
        self.assertEqual(self.text(drv), "begins\noops\nends\n")
        mode = os.stat(self.world.log_file(drv)).st_mode
        umask = os.umask(0)
        os.umask(umask)
        self.assertEqual(stat.S_IMODE(mode), 0o666 & ~umask)

    def test_a_row_says_that_it_is_built_when_its_log_can_be_read(self):
        self.start()
        drv = self.make()["slow"]
        build = self.evaluate({"slow": drv})["slow"]
        self.assertEqual(self.world.wait_running(drv)["busy"], 30)
        self.assertIsNotNone(self.text(drv))
        self.world.open_gate("slow")
        self.world.wait_finished(build)
        self.assert_built(build)
        told = self.world.notify.of(channels=("step_finished",))
        self.assertEqual([list(event.fields) for event in told], [[str(build), "1", self.world.log_file(drv)]])
        self.assertEqual(self.text(drv), "begins\noops\nends\n")
        self.assert_orderly()

    def test_a_log_is_whole_when_the_end_is_told(self):
        self.start()
        drv = self.make()["chatty"]
        self.build(drv)
        lines = self.text(drv).splitlines()
        self.assertEqual(len(lines), 30000)
        self.assertEqual(lines[-1], "line 29999 of many")
        self.assertEqual(self.world.farm.metric("penstock_hydra_logs_cut_total"), 0)

    def test_a_failed_step_has_a_log_and_a_silent_one_no_text(self):
        self.start()
        drvs = self.make()
        self.build(drvs["bad"], check=1)
        self.assertEqual(self.text(drvs["bad"]), "the reason\n")
        self.build(drvs["silent"])
        self.assertIn(self.text(drvs["silent"]), (None, ""))

    def test_only_the_last_attempt_is_kept(self):
        self.start()
        drv = self.make()["bad"]
        os.makedirs(os.path.dirname(self.world.log_file(drv)))
        with open(self.world.log_file(drv), "w", encoding="utf-8") as file:
            file.write("what another runner left, and longer than what comes now\n" * 10)
        self.build(drv, check=1)
        self.assertEqual(self.text(drv), "the reason\n")

    def test_what_was_built_before_leaves_its_log_alone(self):
        self.start()
        drv = self.make()["two"]
        self.store.run("nix-store", "--realise", drv.path)
        os.makedirs(os.path.dirname(self.world.log_file(drv)))
        with open(self.world.log_file(drv), "w", encoding="utf-8") as file:
            file.write("of another runner")
        self.build(drv)
        self.assertEqual(self.text(drv), "of another runner")

    def test_the_log_of_an_attempt_that_outlives_the_server_goes_on(self):
        self.start()
        drv = self.make()["slow"]
        client = self.world.farm.start_client("build", drv.path)
        until(lambda: self.text(drv) == "begins\noops\n", "the log is there while it runs")
        self.world.farm.server_process.kill()
        os.unlink(self.world.log_file(drv))
        self.world.open_gate("slow")
        self.world.server()
        until(lambda: (self.text(drv) or "").endswith("ends\n"), "the log is whole")
        client.wait(LIMIT)
        client.communicate()
        self.assertEqual(self.text(drv), "begins\noops\nends\n")

    def test_a_failed_steps_log_is_in_the_cache_too(self):
        cache = os.path.join(self.world.dir, "cache")
        self.start("--store", f"file://{cache}")
        drv = self.make()["bad"]
        self.build(drv, check=1)
        kept = os.path.join(cache, "log", os.path.basename(drv.path))
        until(lambda: os.path.exists(kept), "the log is in the cache")
        with open(kept, "rb") as file:
            self.assertIn(b"the reason\n", file.read())

    def test_outputs_have_links_before_they_count(self):
        self.start()
        drv = self.make()["two"]
        self.build(drv)
        roots = os.path.join(self.store.env["NIX_STATE_DIR"], "gcroots/per-user/hydra-queue-runner/hydra-roots")
        for path in drv.outputs.values():
            self.assertEqual(os.readlink(os.path.join(roots, os.path.basename(path))), path)
            kept = self.store.run("nix-store", "--query", "--roots", path)
            self.assertIn("hydra-roots", kept)

    def test_what_only_the_machine_has_can_be_read_as_an_input_and_is_no_output(self):
        cache = os.path.join(self.world.dir, "cache")
        self.start("--store", f"file://{cache}", builders=())
        source = os.path.join(self.world.dir, "source")
        with open(source, "w", encoding="utf-8") as file:
            file.write(f"of {self.tag}")
        path = self.store.run("nix-store", "--add", source).strip()
        farm = self.world.farm
        status, _, text = farm.request("POST", "/transfer/closure", {"paths": [path]})
        self.assertEqual(status, 200)
        info = dict(line.split(": ", 1) for line in text.decode().splitlines())
        self.assertEqual(info["StorePath"], path)
        key = farm.get("/api/v1/status")["signing_keys"][0]
        self.assertTrue(info["Sig"].startswith(key.split(":")[0]), info)
        status, _, nar = farm.request("GET", "/" + info["URL"])
        self.assertEqual((status, len(nar)), (200, int(info["NarSize"])))
        self.assertIn(f"of {self.tag}".encode(), nar)
        digest = os.path.basename(path)[:32]
        self.assertEqual(farm.request("GET", f"/{digest}.narinfo")[0], 404)

    def second(self):
        """How a server ends that is started beside."""
        done = subprocess.run(
            [os.path.join(os.environ.get("PENSTOCK_BIN_DIR", "build/dev/bin"), "penstock-server"), "--hydra",
             "--db-url", self.world.url, "--hydra-data", self.world.data, "--store", "local", "--listen",
             "127.0.0.1:0", "--data-dir", os.path.join(self.world.dir, "second")], env=self.world.farm.env,
            capture_output=True, timeout=LIMIT, check=False)
        return done.returncode, done.stderr.decode()

    def test_a_second_server_writes_nothing(self):
        self.start(builders=())
        status, text = self.second()
        self.assertNotEqual(status, 0)
        self.assertIn(f"{self.world.data}/queue-runner/lock", text)
        self.assertIn(str(self.world.farm.server_process.pid), text)
        self.assertFalse(os.path.exists(os.path.join(self.world.dir, "second")))

    def test_hydras_own_runners_keep_the_server_out(self):
        lock = os.path.join(self.world.data, "queue-runner/lock")
        os.makedirs(os.path.dirname(lock))
        for take in (fcntl.flock, fcntl.lockf):
            with open(lock, "w", encoding="utf-8") as file:
                take(file, fcntl.LOCK_EX)
                status, text = self.second()
                self.assertNotEqual(status, 0)
                self.assertIn("stop hydra-queue-runner", text)
        self.start(builders=())


if __name__ == "__main__":
    unittest.main(verbosity=2)
