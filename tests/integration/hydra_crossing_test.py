# SPDX-License-Identifier: GPL-3.0-or-later
"""A step of a Hydra ends while others have its builds' rows open in transactions, or while it waits to be tried again:
what they write stays, and every build has its end once."""

import contextlib
import os
import signal
import time
import types
import unittest

from farm import until
from hydra.evaluator import Evaluator
from hydra.postgres import Session
from hydra.web import WebUi
from hydra.world import HydraTest


def open_text(path):
    with open(path, encoding="utf-8", errors="replace") as text:
        return text.read()


class HydraCrossingTest(HydraTest):
    def gated(self, name, then="echo x > $out"):
        return f'sh "{name}-@tag@" (gate "{self.world.gate(name)}" + "{then}") {{ }}'

    def statuses(self, build):
        return [step["status"] for step in self.world.steps(build)]

    def ends(self, build):
        return self.world.notify.lines(build, channels=("build_finished",))

    @contextlib.contextmanager
    def open_web(self):
        """The web interface in a transaction that is committed at the end."""
        with Session(self.world.url) as session:
            session.run("BEGIN")
            yield WebUi(types.SimpleNamespace(session=session))
            session.run("COMMIT")

    def wait_step_ended(self, build):
        until(lambda: self.world.notify.sync().of(build, channels=("step_finished",)), "the step has ended")

    def running(self, expression):
        drvs = self.instantiate(expression)
        ids = self.evaluate(drvs)
        self.start()
        return drvs, ids

    def test_a_build_is_being_cancelled_when_it_ends(self):
        drvs, ids = self.running("{ a = " + self.gated("a") + "; }")
        build = ids["a"]
        self.world.wait_running(drvs["a"])
        with self.open_web() as web:
            web.cancel(build)
            self.world.open_gate("a")
            until(lambda: self.world.session.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
                  or self.statuses(build) == [0], "the build's end comes to the row")
        self.world.settle(build)
        self.assert_columns(self.world.build(build), finished=1, buildstatus=4, iscachedbuild=0, size=None,
                            notificationpendingsince=None)
        self.assertEqual((self.statuses(build), self.ends(build)), ([0], []))
        self.assert_orderly()

    def test_the_row_that_counts_builds_is_held_for_longer_than_the_server_waits(self):
        drvs, ids = self.running("{ a = " + self.gated("a") + "; b = " + self.gated("b") + "; }")
        for drv in drvs.values():
            self.world.wait_running(drv)
        with self.open_web() as web:
            web.cancel(ids["a"])
            self.world.open_gate("b")
            end = time.monotonic() + 5  # whatever it waits for, it does for three seconds at most
            until(lambda: time.monotonic() > end, "five seconds have gone")
        self.world.wait_finished()
        self.assert_columns(self.world.build(ids["a"]), finished=1, buildstatus=4)
        self.assert_built(ids["b"])
        self.assertEqual((self.statuses(ids["a"]), self.statuses(ids["b"])), ([4], [0]))
        self.assertEqual((self.ends(ids["a"]), self.ends(ids["b"])), ([], [f"build_finished {ids['b']}"]))
        self.assert_orderly()

    def test_a_build_is_being_bumped_when_it_ends(self):
        drvs, ids = self.running("{ a = " + self.gated("a") + "; }")
        build = ids["a"]
        self.world.wait_running(drvs["a"])
        with self.open_web() as web:
            web.bump(build)
            self.world.open_gate("a")
            self.wait_step_ended(build)
            self.assert_columns(self.world.build(build), finished=0)
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual((self.statuses(build), self.ends(build)), ([0], [f"build_finished {build}"]))
        self.assert_orderly()

    def test_a_build_is_being_repointed_when_it_ends(self):
        """Both derivations have the same fixed output: what counts is the row's derivation."""
        fixed = ('{ outputHashMode = "flat"; outputHashAlgo = "sha256";'
                 ' outputHash = builtins.hashString "sha256" "fixed-@tag@"; }')
        drvs = self.instantiate(f"""{{
            old = sh "fixed-@tag@" (gate "{self.world.gate('a')}" + "echo old; printf fixed-@tag@ > $out") {fixed};
            new = sh "fixed-@tag@" "echo new; printf fixed-@tag@ > $out" {fixed}; }}""")
        build = self.evaluate({"job": drvs["old"]})["job"]
        self.start("--rescan", "1s")
        self.world.wait_running(drvs["old"])
        with Session(self.world.url) as session:
            session.run("BEGIN")
            Evaluator(types.SimpleNamespace(session=session)).repoint({build: drvs["new"].path})
            self.world.open_gate("a")
            self.wait_step_ended(build)
            session.run("COMMIT")
        self.world.wait_finished(build)
        row = self.world.build(build)
        self.assert_columns(row, finished=1, buildstatus=0, drvpath=drvs["new"].path)
        self.assertEqual(self.ends(build), [f"build_finished {build}"])
        self.assertEqual(self.world.session.column("SELECT path FROM buildoutputs"), [drvs["new"].outputs["out"]])
        self.assert_orderly()

    # ------------------------------------------------------------------------------------------- more than one end

    def test_a_second_failure_is_not_told_of_builds_that_have_failed(self):
        drvs, ids = self.running("rec { one = " + self.gated("one", "exit 1") + "; two = " + self.gated("two", "exit 1")
                                 + """; top = sh "top-@tag@" "cat $one $two > $out" { inherit one two; }; }""")
        for name in ("one", "two"):
            self.world.wait_running(drvs[name])
        self.world.open_gate("one")
        self.world.wait_finished(ids["one"], ids["top"])
        top = self.world.build(ids["top"])
        self.world.open_gate("two")
        self.world.wait_finished()
        self.assertEqual(self.world.build(ids["top"]), top)
        step, = self.world.steps(ids["top"])
        self.assert_columns(step, drvpath=drvs["one"].path, status=1, propagatedfrom=ids["one"])
        self.assert_columns(self.world.build(ids["two"]), finished=1, buildstatus=1)
        told = [event.ids for event in self.world.notify.of(channels=("build_finished",))]
        self.assertEqual([(each[0], sorted(each[1:])) for each in told],
                         [(ids["one"], sorted([ids["one"], ids["top"]])), (ids["two"], [ids["two"]])])
        self.assert_orderly()

    def test_what_only_a_failed_build_wanted_is_stopped(self):
        drvs = self.instantiate("rec { one = " + self.gated("one", "exit 1") + "; two = " + self.gated("two")
                                + """; top = sh "top-@tag@" "cat $one $two > $out" { inherit one two; }; }""")
        build = self.evaluate({"top": drvs["top"]})["top"]
        self.start()
        for name in ("one", "two"):
            self.world.wait_running(drvs[name])
        self.world.open_gate("one")
        self.world.wait_finished(build)
        self.assert_columns(self.world.build(build), finished=1, buildstatus=2)
        self.assertEqual({step["drvpath"]: step["status"] for step in self.world.steps(build)},
                         {drvs["one"].path: 1, drvs["two"].path: 4})
        self.assert_orderly()

    def test_a_restart_above_a_failure_builds_what_had_failed(self):
        """The web interface forgets the failed path, as the build above has a step row that names it."""
        drvs, ids = self.running(f"""rec {{
            low = sh "low-@tag@" "[ -e {self.world.gate('mended')} ] || exit 1; echo low > $out" {{ }};
            above = sh "above-@tag@" "cat $low > $out" {{ inherit low; }}; }}""")
        self.world.wait_finished(*ids.values())
        self.assert_columns(self.world.build(ids["above"]), finished=1, buildstatus=2)
        low = self.world.build(ids["low"])
        self.world.open_gate("mended")
        self.world.web.restart(ids["above"])
        self.world.wait_finished(ids["above"])
        self.assert_built(ids["above"])
        self.assertEqual([(step["drvpath"], step["status"]) for step in self.world.steps(ids["above"])],
                         [(drvs["low"].path, 1), (drvs["low"].path, 0), (drvs["above"].path, 0)])
        self.assertEqual(self.world.build(ids["low"]), low, "it was not asked for")
        self.assertEqual(self.world.session.column("SELECT path FROM failedpaths"), [])
        self.assert_orderly()

    # ---------------------------------------------------------------------------------------- between two attempts

    def waiting_for_a_retry(self):
        """A build whose daemon was lost, so that it is to be tried again in ten minutes."""
        pids = f"{self.world.dir}/pids"
        drvs = self.instantiate('{ a = sh "a-@tag@" ("echo $PPID $$ >> ' + pids + '\\n" + gate "'
                                + self.world.gate("a") + '" + "echo x > $out") { }; }')
        build = self.evaluate(drvs)["a"]
        self.start("--retry-initial", "600s", "--retry-max", "600s", "--quarantine-after", "0")
        self.world.wait_running(drvs["a"])
        until(lambda: os.path.exists(pids) and open_text(pids).endswith("\n"), "the builder's process runs")
        for pid in open_text(pids).split():
            os.kill(int(pid), signal.SIGKILL)
        until(lambda: self.statuses(build) == [3], "the attempt is lost")
        return drvs, build

    def test_a_build_that_waits_for_a_retry_is_cancelled(self):
        _, build = self.waiting_for_a_retry()
        self.world.web.cancel(build)
        self.world.settle(build)
        until(lambda: self.world.farm.get("/api/v1/status")["jobs"]["open"] == 0, "no job is open")
        self.assertEqual((self.statuses(build), self.ends(build)), ([3], []))
        self.assert_columns(self.world.build(build), finished=1, buildstatus=4)
        self.assert_orderly()

    def test_a_build_that_waits_for_a_retry_is_deleted(self):
        drvs, build = self.waiting_for_a_retry()
        self.assert_columns(self.world.build(build), finished=0)
        self.world.web.delete(build)
        until(lambda: self.world.farm.get("/api/v1/status")["jobs"]["open"] == 0, "no job is open")
        self.world.open_gate("a")
        again = self.evaluate(drvs)["a"]
        self.world.wait_finished(again)
        self.assert_built(again)
        self.assertEqual(self.statuses(again), [0])
        self.assert_orderly()

    def test_a_build_that_waits_for_a_retry_is_tried_at_once_when_it_is_restarted(self):
        """Cancelled and restarted: what a person asks for does not wait for what the farm had in mind."""
        _, build = self.waiting_for_a_retry()
        self.world.web.cancel(build)
        self.world.settle(build)
        self.world.open_gate("a")
        self.world.web.restart(build)
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual(self.statuses(build), [3, 0])
        self.assert_orderly()

    # ------------------------------------------------------------------------------------------------ many at once

    def test_a_whole_queue_is_cancelled_and_restarted(self):
        count = 600
        drvs = self.instantiate("let low = " + self.gated("low") + """; in builtins.listToAttrs (builtins.genList (n: {
            name = "d${toString n}";
            value = sh "d${toString n}-@tag@" "cat $low > $out" { inherit low; }; }) """ + f"{count})")
        ids = list(self.evaluate(drvs).values())
        self.start()
        until(lambda: self.world.session.column("SELECT build FROM buildsteps WHERE busy >= 30"), "low runs")
        self.world.web.cancel(*ids)
        self.world.settle()
        self.assertEqual(self.world.session.rows("SELECT DISTINCT finished, buildstatus FROM builds"),
                         [{"finished": 1, "buildstatus": 4}])
        self.assertEqual(self.world.session.column("SELECT status FROM buildsteps"), [4])
        self.world.web.restart(*ids)
        self.world.open_gate("low")
        self.world.wait_finished(limit=120)
        self.assertEqual(self.world.session.rows("SELECT DISTINCT finished, buildstatus, iscachedbuild FROM builds"),
                         [{"finished": 1, "buildstatus": 0, "iscachedbuild": 0}])
        self.assertEqual(sorted(self.world.session.column("SELECT status FROM buildsteps")), [0] * (count + 1) + [4])
        told = [event.ids for event in self.world.notify.of(channels=("build_finished",))]
        self.assertEqual(sorted(told), [[build] for build in sorted(ids)])
        self.assert_orderly()

    # ------------------------------------------------------------------------------- another runner for some time

    def test_another_runner_had_the_builds_for_a_while(self):
        """There and back: what it finished stays as it is, what it left is gone on with."""
        drvs = self.instantiate("rec { " + "".join(f"{name} = {self.gated(name)}; " for name in ("a", "b", "c", "d"))
                                + 'above = sh "above-@tag@" "cat $a > $out" { inherit a; }; }')
        ids = self.evaluate(drvs)
        self.start("--reconnect-grace", "1s")  # two of them run, the others wait
        busy = until(lambda: (lambda rows: rows if len(rows) == 2 else None)(self.world.session.rows(
            "SELECT build, drvpath FROM buildsteps WHERE busy >= 30")), "two builds run")
        self.world.farm.server_process.stop()
        self.world.farm.builders["b1"].kill()
        self.world.session.run("UPDATE buildsteps SET busy = 0, status = 3, stoptime = starttime + 1 WHERE busy <> 0")
        done, ended = (row["build"] for row in busy)
        self.other_runner_builds(done, next(drv for drv in drvs.values() if drv.path == busy[0]["drvpath"]))
        self.world.web.cancel(ended)
        before = [(self.world.build(build), self.statuses(build)) for build in (done, ended)]
        for name in ("a", "b", "c", "d"):
            self.world.open_gate(name)
        self.world.server("--reconnect-grace", "1s")
        self.world.builder("b2")
        self.world.wait_finished()
        self.assertEqual([(self.world.build(build), self.statuses(build)) for build in (done, ended)], before)
        self.assertEqual([self.ends(done), self.ends(ended)], [[], []])
        for build in set(ids.values()) - {done, ended}:
            self.assert_built(build)
            self.assertEqual(self.ends(build), [f"build_finished {build}"])
        self.assert_orderly()

    def other_runner_builds(self, build, drv):
        self.world.open_gate(drv.name.split("-")[0])
        self.world.store.run("nix-store", "--realise", drv.path)
        session = self.world.session
        session.rows("INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status, starttime, stoptime, machine,"
                     " system) SELECT $1, max(stepnr) + 1, 0, $2, 0, 0, 1800000000, 1800000005, 'old', 'x86_64-linux'"
                     " FROM buildsteps WHERE build = $1", build, drv.path)
        session.rows("UPDATE builds SET finished = 1, buildstatus = 0, iscachedbuild = 0, starttime = 1800000000,"
                     " stoptime = 1800000005, size = 1, closuresize = 1 WHERE id = $1", build)


if __name__ == "__main__":
    unittest.main(verbosity=2)
