# SPDX-License-Identifier: GPL-3.0-or-later
"""Nix builds through the farm: a private store with its own daemon, real derivations, the real client."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from farm import LIMIT, Farm, until

# A diamond: top needs 6 in the middle, each needs 2 of 4 at the base, plus one with two outputs that both sides use.
# broken=true makes one of the middle fail.
NIX = """
{ broken ? false, tag ? "t" }:
let
  sh = name: text: more: derivation ({
    name = "${name}-${tag}"; system = builtins.currentSystem; builder = "/bin/sh";
    args = [ "-c" ("PATH=/bin:/usr/bin\\n" + text) ];
  } // more);
  base = map (n: sh "base${toString n}" "echo base ${toString n} building; echo ${toString n} > $out" { })
    [ 1 2 3 4 5 6 7 8 9 10 ];
  two = sh "two" "echo lib > $out; echo headers > $dev" { outputs = [ "out" "dev" ]; };
  at = n: builtins.elemAt base n;
  middle = builtins.genList (n: sh "middle${toString n}"
    (if broken && n == 3 then "echo before the failure; echo the reason it failed >&2; exit 3"
     else "cat $a $b $lib > $out") { a = at n; b = at (n + 3); lib = two; })
    7;
  side = sh "side" "cat $lib > $out" { lib = two.dev; };
  top = sh "top" "cat $parts $side > $out" { parts = middle; inherit side; };
in { inherit top side two; }
"""


class NixStore:
    """A store of its own with a running nix-daemon (offline, no build users, no sandbox)."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="penstock-nix-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("NIX_")}
        self.env.update(NIX_STORE_DIR=f"{self.dir}/store", NIX_STATE_DIR=f"{self.dir}/state",
                        NIX_LOG_DIR=f"{self.dir}/log", NIX_CONF_DIR=f"{self.dir}/conf", HOME=f"{self.dir}/home",
                        XDG_CACHE_HOME=f"{self.dir}/cache", NIX_DAEMON_SOCKET_PATH=f"{self.dir}/socket",
                        NIX_CONFIG="experimental-features = nix-command\nsubstituters =\nbuilders =\n"
                                   "build-users-group =\nsandbox = false\n")
        for folder in ("conf", "home"):
            os.mkdir(f"{self.dir}/{folder}")
        self.log = open(f"{self.dir}/daemon.log", "ab")
        self.daemon = None
        self.start()
        self.env["NIX_REMOTE"] = f"unix://{self.dir}/socket"

    def start(self):
        # Without NIX_REMOTE=local the daemon could take itself for its own client.
        self.daemon = subprocess.Popen(["nix-daemon"], env=dict(self.env, NIX_REMOTE="local"), stdin=subprocess.DEVNULL,
                                       stdout=self.log, stderr=self.log, start_new_session=True)
        until(lambda: subprocess.run(["nix", "store", "ping", "--store", f"unix://{self.dir}/socket"], env=self.env,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0,
              "the nix-daemon answers")

    def stop(self):
        if self.daemon.poll() is None:
            os.killpg(self.daemon.pid, signal.SIGKILL)
            self.daemon.wait()

    def close(self):
        self.stop()
        subprocess.run(["chmod", "-R", "u+w", self.dir], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir, ignore_errors=True)


class BuildTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nix = NixStore()
        cls.farm = Farm(env=cls.nix.env)
        cls.farm.server()
        for name in ("b1", "b2"):
            cls.farm.builder(name, "--max-jobs", "2", "--nix-daemon-socket", f"{cls.nix.dir}/socket", "--store-dir",
                             f"{cls.nix.dir}/store")
        cls.file = os.path.join(cls.farm.dir, "diamond.nix")
        with open(cls.file, "w") as file:
            file.write(NIX)

    @classmethod
    def tearDownClass(cls):
        cls.farm.__exit__(None, None, None)
        cls.nix.close()

    def expression(self, **arguments):
        """A .nix file that calls the diamond with these arguments."""
        path = os.path.join(self.farm.dir, f"call-{'-'.join(map(str, arguments.values()))}.nix")
        words = " ".join(f"{name} = {value};" for name, value in arguments.items())
        with open(path, "w") as file:
            file.write(f"import {self.file} {{ {words} }}\n")
        return path

    def newest_job(self):
        return self.farm.get("/api/v1/jobs?limit=1")["jobs"][0]

    def steps(self, job):
        return self.farm.get(f"/api/v1/jobs/{job}/steps")["steps"]

    def test_a_diamond_is_built_once_each_and_its_path_printed(self):
        done = self.farm.client("build", self.expression(tag='"good"'), "-A", "top", check=0)
        path = done.stdout.decode().strip()
        self.assertTrue(path.startswith(self.nix.dir + "/store/") and path.endswith("-top-good"), done)
        with open(path) as file:
            text = file.read()
        self.assertIn("lib", text)
        self.assertIn("headers", text)
        steps = self.steps(self.newest_job()["id"])
        self.assertEqual(len(steps), 20, "ten base, two, seven middle, side, top")
        self.assertEqual(len(steps), len({step["drv"] for step in steps}))
        self.assertEqual({step["result"] for step in steps}, {"succeeded"})

    def test_a_second_run_builds_nothing_that_is_valid(self):
        expression = self.expression(tag='"again"')
        first = self.farm.client("build", expression, "-A", "side", check=0)
        again = self.farm.client("build", expression, "-A", "side", check=0)
        self.assertEqual(first.stdout, again.stdout)
        self.assertLessEqual({step["result"] for step in self.steps(self.newest_job()["id"])}, {"cached"})

    def test_a_failing_branch_is_told_with_its_log_and_who_waited_for_it(self):
        done = self.farm.client("build", self.expression(broken="true", tag='"bad"'), "-A", "top")
        self.assertEqual(done.returncode, 1)
        text = done.stderr.decode()
        self.assertIn("the reason it failed", text)
        self.assertIn("middle3-bad", text)
        steps = {re.sub("-bad$", "", step["name"].removesuffix(".drv")): step
                 for step in self.steps(self.newest_job()["id"])}
        self.assertEqual(steps["middle3"]["result"], "failed")
        self.assertEqual(steps["top"]["result"], "dependency_failed")
        self.assertEqual(steps["top"]["failed_dependency"], steps["middle3"]["id"])
        self.assertEqual({steps[f"middle{n}"]["result"] for n in (0, 1, 2, 4, 5, 6)}, {"succeeded"},
                         "the other branches are built all the same")

    def test_two_jobs_that_need_the_same_share_its_step(self):
        expression = self.expression(tag='"shared"')
        clients = [self.farm.start_client("build", expression, "-A", "top") for _ in range(2)]
        outputs = {client.communicate(timeout=LIMIT)[0] for client in clients}
        self.assertEqual(len(outputs), 1)
        jobs = self.farm.get("/api/v1/jobs?limit=2")["jobs"]
        steps = [{step["id"] for step in self.steps(job["id"])} for job in jobs]
        if jobs[1]["finished"] > jobs[0]["created"]:
            self.assertTrue(steps[0] & steps[1], "open at the same time, they share steps")

    def test_both_outputs_are_printed_when_asked_for(self):
        done = self.farm.client("build", self.expression(tag='"both"'), "-A", "two", check=0)
        self.assertEqual({line.rsplit("/", 1)[1][33:] for line in done.stdout.decode().split()},
                         {"two-both", "two-both-dev"})

    def test_an_expression_that_does_not_evaluate_is_the_users_error(self):
        path = os.path.join(self.farm.dir, "wrong.nix")
        with open(path, "w") as file:
            file.write("{ a = ; }")
        done = self.farm.client("build", path)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"syntax error", done.stderr)

    def test_the_log_of_a_step_can_be_read_later(self):
        self.farm.client("build", self.expression(tag='"logged"'), "-A", "top", check=0)
        job = self.newest_job()["id"]
        run = next(step["attempt"] for step in self.steps(job) if step["name"].startswith("base1-"))
        log = self.farm.request("GET", f"/api/v1/runs/{run}/log?format=text")[2]
        self.assertIn(b"base 1 building\n", log)


if __name__ == "__main__":
    unittest.main(verbosity=2)
