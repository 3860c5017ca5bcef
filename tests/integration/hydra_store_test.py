# SPDX-License-Identifier: GPL-3.0-or-later
"""A Hydra whose builders share nothing with it: outputs go to a binary cache, sources come from its own store."""

import os
import shutil
import subprocess
import tempfile
import unittest

from farm import until
from hydra.evaluator import NixPrograms
from hydra.postgres import Cluster
from hydra.world import HydraTest, HydraWorld
from nix_farm_test import Store

NIX = """
rec { low = sh "low-@tag@" "cat $source $text > $out; echo building low" {
    source = @source@; text = builtins.toFile "text-@tag@" "of a file\\n"; };
  high = sh "high-@tag@" "mkdir -p $out/nix-support; cat $low > $out/text; ln -s $low $out/low
      echo \\"file text $out/text\\" > $out/nix-support/hydra-build-products" { inherit low; };
  bad = sh "bad-@tag@" "cat $low; echo the reason; exit 1" { inherit low; }; }
"""


class ApartStore(Store, NixPrograms):
    """A chroot store with its own daemon, to evaluate into or to build in."""

    def __init__(self, place, name):
        Store.__init__(self, place, name)
        self.dir = place
        self.path = "/nix/store"


class HydraStoreTest(HydraTest):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.close)

    def setUp(self):
        self.place = tempfile.mkdtemp(prefix="phs-", dir="/tmp")
        self.addCleanup(self.remove)
        self.stores = {name: ApartStore(self.place, name) for name in ("hydra", "a", "b")}
        self.store = self.stores["hydra"]
        self.world = HydraWorld(self.cluster, self.store)
        self.addCleanup(self.end)
        self.cache = os.path.join(self.place, "cache")

    def remove(self):
        for store in self.stores.values():
            store.close()
        subprocess.run(["chmod", "-R", "u+w", self.place], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.place, ignore_errors=True)

    def start_apart(self, *args):
        self.world.server("--store", f"file://{self.cache}", *args)
        for name in ("a", "b"):
            store = self.stores[name]
            self.world.farm.builder(name, "--max-jobs", "1", "--nix-daemon-socket", store.socket, env=store.env)

    def evaluate_all(self):
        source = os.path.join(self.place, "source")
        with open(source, "w", encoding="utf-8") as file:
            file.write("of the source\n")
        drvs = self.instantiate(NIX.replace("@source@", source))
        return drvs, self.evaluate(drvs)

    def test_sources_come_from_the_evaluators_store_and_outputs_go_to_the_cache(self):
        drvs, ids = self.evaluate_all()
        self.start_apart()
        self.world.wait_finished(*ids.values())
        for name in ("low", "high"):
            self.assert_built(ids[name])
            base = os.path.basename(drvs[name].outputs["out"])[:32]
            self.assertTrue(os.path.exists(os.path.join(self.cache, base + ".narinfo")))
        self.assert_columns(self.world.build(ids["bad"]), finished=1, buildstatus=1)
        self.assertEqual(self.world.session.column("SELECT name FROM buildproducts"), ["text"])
        self.assertFalse(self.store.has(drvs["high"].outputs["out"]), "nothing is copied to the evaluator's store")
        self.assert_orderly()

    def test_logs_are_in_the_cache_those_of_failures_too(self):
        drvs, ids = self.evaluate_all()
        self.start_apart()
        self.world.wait_finished(*ids.values())
        for name in ("low", "bad"):
            log = os.path.join(self.cache, "log", os.path.basename(drvs[name].path))
            until(lambda log=log: any(map(os.path.exists, (log, log + ".bz2", log + ".zst"))), f"{log} is there")
            self.assertTrue(os.path.exists(self.world.log_file(drvs[name])))

    def test_what_the_cache_has_is_a_cached_success(self):
        drvs, ids = self.evaluate_all()
        self.start_apart()
        self.world.wait_finished(*ids.values())
        first = self.world.build(ids["high"])
        self.world.session.rows("DELETE FROM builds")  # so that no earlier build tells
        again = self.evaluate({"high": drvs["high"]})["high"]
        self.world.wait_finished(again)
        row = self.assert_built(again, cached=1)
        self.assert_columns(row, size=first["size"], closuresize=first["closuresize"])
        self.assertEqual(self.world.session.column("SELECT name FROM buildproducts"), ["text"])
        self.assertEqual(self.world.notify.lines(again), [f"build_finished {again}"])
        self.assert_orderly()


if __name__ == "__main__":
    unittest.main(verbosity=2)
