# SPDX-License-Identifier: GPL-3.0-or-later
"""The server, a builder or the database is killed at random while a Hydra's builds run. In the end all rows are as
after an undisturbed run, attempts aside, hydra-notify was told of every build, and nothing is left of ours.

1,000 builds and 20 kills; a quarter of them where programs are slow (sanitizers). PENSTOCK_CHAOS_SEED repeats a run,
PENSTOCK_CHAOS_BUILDS and PENSTOCK_CHAOS_KILLS make it another size."""

import os
import random
import time
import unittest

from farm import until
from hydra.postgres import DatabaseError
from hydra.world import HydraTest, HydraWorld

IS_SLOW = float(os.environ.get("PENSTOCK_TEST_SLOWNESS", "1")) > 1
BUILDS = int(os.environ.get("PENSTOCK_CHAOS_BUILDS", "240" if IS_SLOW else "1000"))
KILLS = int(os.environ.get("PENSTOCK_CHAOS_KILLS", "8" if IS_SLOW else "20"))
PATIENT = ("--reconnect-grace", "2s", "--max-attempts", "100", "--quarantine-after", "0", "--rescan", "2s")

# Layers over a common base; every seventeenth of the first layer fails, so that a part of all builds fails with it.
GRAPH = """
let
  width = @width@; layers = 6;
  at = layer: n: "l${toString layer}n${toString n}";
  mod = a: b: a - b * (a / b);
  base = sh "base-@run@" "echo base > $out" { };
  make = layer: n: below: sh "${at layer n}-@run@" (
      if layer == 1 && mod n 17 == 3 then "echo failing; exit 1" else
      ''echo building ${at layer n}; sleep 0.0${toString (mod n 7)}
        mkdir -p $out/nix-support; cat $base > $out/text
        for each in $inputs; do cat $each/text >> $out/text; done
        echo "size $(wc -c < $out/text) bytes" > $out/nix-support/hydra-metrics
        echo "file text $out/text" > $out/nix-support/hydra-build-products'')
    { inherit base; inputs = below; };
  row = layer: below: builtins.genList (n: make layer n
    (if layer == 1 then [ ] else map (k: builtins.elemAt below (mod (n + k * k) width)) [ 0 1 3 ])) width;
  rows = builtins.foldl' (all: layer: all ++ [ (row layer (if layer == 1 then [ ] else
    builtins.elemAt all (layer - 2))) ]) [ ] (builtins.genList (n: n + 1) layers);
in builtins.listToAttrs (builtins.concatLists (builtins.genList (layer: builtins.genList (n: {
  name = at (layer + 1) n; value = builtins.elemAt (builtins.elemAt rows layer) n; }) width) layers))
"""


class HydraChaosTest(HydraTest):
    def run_through(self, run, disturb=None):
        """All builds of the graph in a world of its own; answers the dump at the end."""
        world = HydraWorld(self.cluster, self.store)
        failed = True
        try:
            drvs = world.evaluator.instantiate(
                GRAPH.replace("@run@", run).replace("@width@", str(max(-(-BUILDS // 6), 18))))
            world.server(*PATIENT)
            for name in ("b1", "b2"):
                world.builder(name)
            world.evaluator.evaluate(drvs)
            if disturb:
                disturb(world)
            self.wait_all(world)
            self.check(world, drvs)
            failed = False
            return self.without_run(world.dump(), run)
        finally:
            world.close(failed)

    @staticmethod
    def without_run(tables, run):
        """The names of derivations differ by the run, so that the second finds nothing built."""
        def same(value):
            if isinstance(value, tuple):
                return tuple(map(same, value))
            return value.replace(f"-{run}", "-run") if isinstance(value, str) else value

        return {name: [same(row) for row in rows] for name, rows in tables.items()}

    @staticmethod
    def wait_all(world):
        limit = 600

        def over():
            try:
                return world.session.value("SELECT count(*) FROM builds WHERE finished = 0") == 0
            except DatabaseError:
                world.reconnect()
                return False

        until(over, "all builds are finished", limit)
        world.settle(limit=limit)

        def acknowledged():
            return world.session.value("SELECT count(*) FROM builds WHERE notificationpendingsince IS NOT NULL") == 0

        until(acknowledged, "hydra-notify was told of every build")

    def check(self, world, drvs):
        session = world.session
        self.assertEqual(session.value("SELECT count(*) FROM builds"), len(drvs))
        self.assertEqual(world.web.running(), 0)
        self.assertEqual(world.notify.violations, [])
        for table in ("hydra_builds", "hydra_attempts"):
            self.assertEqual(session.value(f"SELECT count(*) FROM penstock.{table}"), 0, table)
        self.assertEqual(session.rows("SELECT build FROM buildsteps GROUP BY build HAVING max(stepnr) <> count(*)"), [],
                         "numbers without gaps")
        self.assertEqual(session.rows("SELECT drvpath FROM buildsteps WHERE status = 0 GROUP BY drvpath"
                                      " HAVING count(*) > 1"), [], "what succeeded is not built again")
        self.assertEqual(session.rows("SELECT * FROM buildsteps WHERE status = 3 AND (stoptime IS NULL"
                                      " OR stoptime < starttime OR stoptime < 1600000000)"), [])

    def test_kills_at_random_change_no_row(self):
        seed = int(os.environ.get("PENSTOCK_CHAOS_SEED", random.randrange(1 << 30)))
        print(f"PENSTOCK_CHAOS_SEED={seed}")
        chance = random.Random(seed)
        calm = self.run_through("aaa")
        self.assertEqual({row[2] for row in calm["builds"]}, {0, 1, 2}, "some succeed, some fail")
        wild = self.run_through("bbb", lambda world: self.disturb(world, chance))
        for table in calm:
            odd = set(calm[table]) ^ set(wild[table])
            self.assertEqual((len(calm[table]), sorted(map(str, odd))[:20]), (len(wild[table]), []), table)

    def disturb(self, world, chance):
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.2, 2.0))
            victim = chance.choice(("server", "server", "database", "b1", "b2"))
            print(f"  kill {victim}")
            if victim == "server":
                world.farm.server_process.kill()
                time.sleep(chance.uniform(0, 0.5))
                world.server(*PATIENT)
            elif victim == "database":
                self.cluster.kill()
                time.sleep(chance.uniform(0, 0.5))
                self.cluster.start()
                world.reconnect()
            else:
                world.farm.builders[victim].kill()
                world.builder(victim, wait=False)


if __name__ == "__main__":
    unittest.main(verbosity=2)
