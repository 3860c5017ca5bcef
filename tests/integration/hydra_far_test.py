# SPDX-License-Identifier: GPL-3.0-or-later
"""A Hydra whose builders share nothing with it: outputs go to a cache, and what the evaluator left in the machine's own
store, sources and derivations, must reach builders with stores of their own."""

import os
import shutil
import subprocess
import tempfile
import unittest

from farm import until
from hydra.world import HydraTest
from nix_farm_test import CONFIG, Store

NIX = """
rec { lib = sh "lib-@tag@" "echo a library; cat $src/file > $out" { src = @source@; };
  plain = sh "plain-@tag@" "echo $src > $out; cat $lib $text >> $out" {
    src = @source@; inherit lib; text = builtins.toFile "text-@tag@" "of a text\\n"; };
  ready = sh "ready-@tag@" "echo ready > $out" { };
  after = sh "after-@tag@" "cat $ready > $out" { inherit ready; }; }
"""


class FarStore(Store):
    """Another machine's: the paths are named like the evaluator's, and lie elsewhere."""

    def __init__(self, place, store_dir):
        self.root = os.path.join(place, "far")
        self.socket = self.root + ".sock"
        home = f"{self.root}-home"
        os.mkdir(home)
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("NIX_")}
        self.env.update(HOME=home, XDG_CACHE_HOME=home, NIX_CONF_DIR=home, NIX_CONFIG=CONFIG, NIX_STORE_DIR=store_dir,
                        NIX_DAEMON_SOCKET_PATH=self.socket)
        self.daemon = subprocess.Popen(["nix-daemon"], env=dict(self.env, NIX_REMOTE=self.root),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
                                       stderr=subprocess.DEVNULL)
        self.env["NIX_REMOTE"] = f"unix://{self.socket}?root={self.root}"
        until(lambda: self.nix("nix", "store", "ping", check=False).returncode == 0, "the far daemon answers")


class HydraFarTest(HydraTest):
    def setUp(self):
        super().setUp()
        self.place = tempfile.mkdtemp(prefix="phf-", dir="/tmp")
        self.addCleanup(self.remove)
        self.far = FarStore(self.place, self.store.path)
        self.cache = os.path.join(self.world.dir, "cache")
        self.world.server("--store", f"file://{self.cache}")
        self.world.farm.builder("far", "--nix-daemon-socket", self.far.socket, "--store-dir", self.store.path,
                                "--max-jobs", "2", env={"NIX_REMOTE": self.far.env["NIX_REMOTE"]})

    def remove(self):
        self.far.close()
        subprocess.run(["chmod", "-R", "u+w", self.place], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.place, ignore_errors=True)

    def make(self):
        source = os.path.join(self.world.dir, f"source-{self.tag}")
        os.makedirs(source, exist_ok=True)
        with open(os.path.join(source, "file"), "w", encoding="utf-8") as file:
            file.write(f"of the source, for {self.tag}\n")
        return self.instantiate(NIX.replace("@source@", source))

    def cached(self, path):
        return os.path.exists(os.path.join(self.cache, f"{os.path.basename(path)[:32]}.narinfo"))

    def test_sources_reach_builders_and_follow_what_refers_to_them_into_the_cache(self):
        drvs = self.make()
        build = self.evaluate({"plain": drvs["plain"]})["plain"]
        self.world.wait_finished()
        self.assert_built(build)
        self.assertGreater(min(step["overhead"] for step in self.world.steps(build)), 0, "inputs and outputs travelled")
        out = drvs["plain"].outputs["out"]
        self.assertFalse(os.path.exists(out), "the server's own store has no output")
        with open(os.path.join(self.far.root, "nix/store", os.path.basename(out)), encoding="utf-8") as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[1:], [f"of the source, for {self.tag}", "of a text"])
        self.assertTrue(self.cached(out))
        self.assertTrue(self.cached(lines[0]), "the output refers to its source")
        log = os.path.join(self.cache, "log", os.path.basename(drvs["lib"].path))
        until(lambda: os.path.exists(log), "the log of what was only needed is kept, too")
        with open(log, encoding="utf-8") as file:
            self.assertIn("a library\n", file.read())
        self.assert_orderly()

    def test_an_output_that_only_the_machine_has_is_an_input_and_no_output(self):
        drvs = self.make()
        self.store.run("nix-store", "--realise", drvs["ready"].path)
        builds = self.evaluate({"after": drvs["after"], "ready": drvs["ready"]})
        self.world.wait_finished()
        for build in builds.values():
            self.assert_built(build)
        self.assertTrue(self.cached(drvs["ready"].outputs["out"]), "it was built, or brought there")
        self.assertTrue(self.cached(drvs["after"].outputs["out"]))
        self.assert_orderly()


if __name__ == "__main__":
    unittest.main(verbosity=2)
