# SPDX-License-Identifier: GPL-3.0-or-later
"""The Hydra that stands around the server in tests, without one: its evaluator, its web interface, hydra-notify."""

import os
import unittest

from hydra.postgres import DatabaseError, Session
from hydra.world import HydraTest

NIX = """
{ a = sh "a-@tag@" "echo a > $out" { };
  b = sh "b-@tag@" "echo b > $out; echo dev > $dev" { outputs = [ "out" "dev" ]; };
  c = sh "c-@tag@" "echo c > $out" floating; }
"""


class HydraWorldTest(HydraTest):
    def test_an_evaluation_is_one_transaction(self):
        drvs = self.instantiate(NIX)
        with Session(self.world.url) as other:
            seen = []
            ids = self.evaluate(drvs, between=lambda: seen.append(other.value("SELECT count(*) FROM builds")))
        self.assertEqual(seen, [0])
        self.world.notify.sync()
        self.assertEqual(self.world.notify.lines(channels=("builds_added",)), [f"builds_added {min(ids.values())}"])
        self.assertEqual(self.world.session.column("SELECT name FROM buildoutputs ORDER BY build, name"),
                         ["out", "dev", "out", "out"])
        row = self.world.build(ids["a"])
        self.assert_columns(row, finished=0, buildstatus=None, maxsilent=None, timeout=None, iscurrent=1, priority=100)
        self.assertTrue(os.path.exists(row["drvpath"]))
        self.assertIsNone(drvs["c"].outputs["out"])

    def test_an_unchanged_job_keeps_its_build_and_another_derivation_repoints_it(self):
        drvs = self.instantiate(NIX)
        first = self.evaluate(drvs)
        again = self.evaluate({"a": drvs["a"]})
        self.assertEqual(again["a"], first["a"])
        self.assertEqual(self.world.session.column("SELECT id FROM builds WHERE iscurrent = 1"), [first["a"]])
        self.world.evaluator.repoint({first["a"]: drvs["b"].path})
        self.assertEqual(self.world.build(first["a"])["drvpath"], drvs["b"].path)
        self.world.notify.sync()
        self.assertEqual(len(self.world.notify.of(channels=("builds_added", "builds_restarted"))), 1)

    def test_the_strict_listener_tells_what_hydra_notify_would_die_of(self):
        build = self.evaluate(self.instantiate(NIX))["a"]
        told = [("build_started", f"{build}\t{build}"), ("build_started", "x"), ("step_finished", f"{build}\t1\t"),
                ("step_finished", f"{build}\t1\tlog"), ("step_finished", f"{build}\t1\t/nowhere/log"),
                ("build_finished", ""), ("build_finished", f"{build}\t77777"), ("step_started", f"{build}")]
        for channel, payload in told:
            self.world.session.rows("SELECT pg_notify($1, $2)", channel, payload)
        self.world.notify.sync()
        self.assertEqual(len(self.world.notify.events), len(told) + 1)
        self.assertEqual(len(self.world.notify.violations), len(told) + 1, "the last but one is wrong twice")

    def test_what_is_notified_is_no_longer_pending(self):
        build = self.evaluate(self.instantiate(NIX))["a"]
        self.world.session.rows("UPDATE builds SET finished = 1, buildstatus = 0, starttime = 1, stoptime = 2,"
                                " notificationpendingsince = 2 WHERE id = $1", build)
        self.world.session.rows("SELECT pg_notify('build_finished', $1)", build)
        self.world.notify.sync()
        self.assertEqual(self.world.notify.events[-1].rows[0]["notificationpendingsince"], 2)
        self.assertIsNone(self.world.build(build)["notificationpendingsince"])
        self.assertEqual(self.world.notify.violations, [])

    def test_a_database_that_was_killed_keeps_what_was_committed(self):
        build = self.evaluate(self.instantiate(NIX))["a"]
        self.cluster.kill()
        self.cluster.start()
        with self.assertRaises(DatabaseError):
            self.world.build(build)
        self.world.reconnect()
        self.assertEqual(self.world.build(build)["finished"], 0)
        self.world.notify.sync()  # it listens again
        self.assertGreaterEqual(self.world.notify.outages, 1)
        self.world.web.cancel(build)
        self.world.notify.sync()
        self.assertIn("builds_cancelled", self.world.notify.lines(channels=("builds_cancelled",)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
