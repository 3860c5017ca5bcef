#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there already is not built; sources go to a server that shares no store with the client, and outputs come
back from it. Every machine has a store of its own (see nix_farm_test)."""

import os
import shutil
import subprocess
import tempfile
import unittest

from farm import LIMIT, Farm, program
from nix_farm_test import NIX, Store
from transfer_test import faults


class LoadTest(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.mkdtemp(prefix="pnl-", dir="/tmp")
        self.addCleanup(self.remove)
        self.stores = {name: Store(self.place, name) for name in ("client", "a")}
        self.client_store = self.stores["client"]
        self.farm = Farm()
        for name in list(self.farm.env):
            if name.startswith("NIX_"):
                del self.farm.env[name]
        self.addCleanup(self.end_farm)
        os.makedirs(f"{self.place}/nix/source")
        self.write("nix/source/file", "of the source\n")
        self.file = self.write("nix/farm.nix", NIX)

    def end_farm(self):
        outcome = getattr(self._outcome, "result", None)
        failed = outcome is not None and any(test is self for test, _ in outcome.failures + outcome.errors)
        self.farm.__exit__(AssertionError if failed else None, None, None)

    def remove(self):
        for store in self.stores.values():
            store.close()
        subprocess.run(["chmod", "-R", "u+w", self.place], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.place, ignore_errors=True)

    def write(self, name, text):
        path = os.path.join(self.place, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def start(self, *server):
        self.farm.server(*server)
        self.farm.builder("a", "--max-jobs", "2", "--nix-daemon-socket", self.stores["a"].socket,
                          env=self.stores["a"].env, wait=False)
        self.farm.wait_machine("a")

    def build(self, *arguments, check=0, store=None):
        done = subprocess.run([program("penstock"), "--server", self.farm.url, "build", *arguments],
                              env=(store or self.client_store).env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=LIMIT * 2, check=False)
        said = done.stderr.decode()
        self.assertEqual(done.returncode, check, said[-3000:])
        return done.stdout.decode().split(), said

    def job(self):
        return self.farm.get("/api/v1/jobs?limit=1")["jobs"][0]

    def steps(self):
        return self.farm.get(f"/api/v1/jobs/{self.job()['id']}/steps")["steps"]

    def read(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    # ------------------------------------------------------------------------------------------------- travelling

    def test_sources_go_to_the_server_and_outputs_come_back(self):
        self.start()
        link = f"{self.place}/result"
        (out,), said = self.build(self.file, "-A", "plain", "--copy-back", "-o", link)
        self.assertRegex(said, r"sources: [2-9] of [2-9] paths")
        self.assertRegex(said, r"outputs: \d+ of \d+ paths")
        self.assertIn("of the source\na text\n", self.read(self.client_store.root + out))
        self.assertEqual(os.readlink(link), out)
        self.assertEqual(faults(os.path.join(self.farm.data_dir, "cache")), [])
        # What is there does not travel again.
        said = self.build(self.file, "-A", "plain", "--copy-back")[1]
        self.assertNotIn("sources:", said)
        self.assertNotIn("outputs:", said)

    def test_outputs_that_are_copied_back_may_have_to_be_signed(self):
        self.start()
        wrong = "other-1:" + "A" * 43 + "="
        said = self.build(self.file, "-A", "plain", "--copy-back", "--trusted-public-keys", "nonsense", check=1)[1]
        self.assertIn("--trusted-public-keys nonsense", said)
        (out,), said = self.build(self.file, "-A", "plain", "--copy-back", "--trusted-public-keys", wrong, check=1)
        self.assertIn("copying the outputs back", said)
        self.assertFalse(self.client_store.has(out))
        key = self.farm.get("/api/v1/status")["signing_keys"][0]
        self.build(self.file, "-A", "plain", "--copy-back", "--trusted-public-keys", key)
        self.assertTrue(self.client_store.has(out))

    def test_a_link_to_what_is_not_here_is_refused_with_what_to_do(self):
        self.start()
        link = f"{self.place}/result"
        said = self.build(self.file, "-A", "fixed", "-o", link, check=1)[1]
        self.assertIn("--copy-back", said)
        self.assertFalse(os.path.lexists(link))

    def test_a_source_that_was_built_here_is_refused_with_what_to_do(self):
        self.start()
        own = self.client_store.nix("nix-build", "--no-out-link", self.file, "-A", "two").stdout.decode().split()[0]
        text = self.write("own.nix", f"""derivation {{ name = "own"; system = builtins.currentSystem;
            builder = "/bin/sh"; args = [ "-c" "echo $input > $out" ]; input = builtins.storePath {own}; }}""")
        said = self.build(text, check=1)[1]
        self.assertIn(own, said)
        self.assertIn("nix store sign", said)
        self.assertEqual(self.farm.get("/api/v1/jobs?limit=1")["jobs"], [], "nothing was submitted")

    # ------------------------------------------------------------------------------------------- what is there

    def test_a_second_build_runs_nothing_though_no_builder_is_there(self):
        self.start()
        first = self.build(self.file, "-A", "plain")[0]
        self.farm.builders["a"].kill()
        second, said = self.build(self.file, "-A", "plain")
        self.assertEqual(second, first)
        self.assertRegex(said, r"\d of \d derivations need no build")
        self.assertEqual(self.job()["result"], "cached")
        (step,) = self.steps()
        self.assertEqual((step["state"], step["result"], step["attempts"]), ("finished", "cached", 0))
        self.assertEqual([output["path"] for output in step["outputs"]], first)
        told = self.build(self.file, "-A", "plain", "-A", "two")[0]
        self.assertIn(first[0], told)
        self.assertEqual(len(told), 3)

    def test_only_what_is_missing_is_built(self):
        self.start()
        self.build(self.file, "-A", "two", "-A", "fixed")
        out, said = self.build(self.file, "-A", "plain")
        self.assertIn("2 of 3 derivations need no build", said)
        (step,) = self.steps()
        self.assertEqual(step["name"], "plain")
        self.assertEqual(len(out), 1)

    def test_nothing_is_looked_up_where_that_is_switched_off(self):
        self.start("--use-substitutes", "no")
        self.build(self.file, "-A", "plain")
        said = self.build(self.file, "-A", "plain")[1]
        self.assertNotIn("need no build", said)
        self.assertEqual(len(self.steps()), 3)

    def test_paths_that_only_a_build_can_tell_are_printed(self):
        self.start()
        (out,), _ = self.build(self.file, "-A", "deferred", "--copy-back")
        self.assertRegex(out, r"^/nix/store/\w{32}-deferred$")
        self.assertRegex(self.read(self.client_store.root + out),
                         r"^/nix/store/\w+-floating\n/nix/store/\w+-two\nfixed$")
        (out,), _ = self.build(self.file, "-A", "floating")
        self.assertRegex(out, r"^/nix/store/\w{32}-floating$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
