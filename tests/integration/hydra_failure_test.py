# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds of a Hydra database that fail: what the step, every build above it and failedpaths say, and who is told."""

import os
import signal
import unittest

from farm import until
from hydra.evaluator import Job
from hydra.world import HydraTest

FAILING = """
rec { bad = sh "bad-@tag@" "echo before; echo the reason >&2; exit 3" { outputs = [ "out" "dev" ]; };
  good = sh "good-@tag@" "echo good > $out" { };
  middle = sh "middle-@tag@" "cat $bad > $out" { inherit bad good; };
  top = sh "top-@tag@" "cat $middle > $out" { inherit middle; }; }
"""
MANY = """
let bad = sh "bad-@tag@" (gate "@gate@" + "exit 1") { };
in builtins.listToAttrs (builtins.genList (n: { name = "d${toString n}";
  value = sh "d${toString n}-@tag@" "cat $bad > $out" { inherit bad; }; }) @count@) // { inherit bad; }
"""
LIMITS = """
rec { slow = sh "slow-@tag@" "echo start; sleep 300; echo x > $out" { };
  above = sh "above-@tag@" "cat $slow > $out" { inherit slow; };
  patient = sh "patient-@tag@" "sleep 5; echo x > $out" { };
  hasty = sh "hasty-@tag@" "cat $patient > $out" { inherit patient; };
  chatty = sh "chatty-@tag@" "for i in $(seq 20000); do echo line $i of a log that is long; done; echo x > $out" { };
  large = sh "large-@tag@" "head -c 3000000 /dev/zero > $out" { };
  strange = sh "strange-@tag@" "echo x > $out" { system = "m68k-minix"; };
  needs = sh "needs-@tag@" "echo x > $out" { requiredSystemFeatures = [ "time-travel" "big-parallel" ]; };
  over = sh "over-@tag@" "cat $strange > $out" { inherit strange; }; }
"""


class HydraFailureTest(HydraTest):
    def assert_failed(self, build, status, cached=0):
        row = self.world.build(build)
        self.assert_columns(row, finished=1, buildstatus=status, iscachedbuild=cached, size=None, closuresize=None,
                            releasename=None, notificationpendingsince=None)
        self.assertGreater(row["starttime"], 1_600_000_000)
        self.assertGreaterEqual(row["stoptime"], row["starttime"])
        return row

    def assert_propagated(self, row, drv, status, origin, **more):
        self.assert_columns(row, type=0, drvpath=drv.path, busy=0, status=status, starttime=None, stoptime=None,
                            propagatedfrom=origin, **more)
        names = self.world.session.column("SELECT name FROM buildstepoutputs WHERE build = $1 AND stepnr = $2",
                                          row["build"], row["stepnr"])
        self.assertEqual(sorted(names), sorted(drv.outputs))

    def failed_paths(self):
        return sorted(self.world.session.column("SELECT path FROM failedpaths"))

    def test_a_failure_reaches_every_build_above_it(self):
        drvs = self.instantiate(FAILING)
        ids = self.evaluate({name: drvs[name] for name in ("bad", "middle", "top", "good")})
        self.start()
        self.world.wait_finished(*ids.values())
        bad = self.assert_failed(ids["bad"], 1)
        step, = self.world.steps(ids["bad"])
        self.assert_columns(step, type=0, drvpath=drvs["bad"].path, busy=0, status=1, machine="b1", propagatedfrom=None,
                            starttime=bad["starttime"], stoptime=bad["stoptime"])
        self.assertTrue(step["errormsg"])
        for name in ("middle", "top"):
            self.assert_columns(self.assert_failed(ids[name], 2), starttime=bad["starttime"], stoptime=bad["stoptime"])
            row = self.world.steps(ids[name])[-1]
            self.assert_propagated(row, drvs["bad"], 1, ids["bad"], machine="b1", system=drvs["bad"].system,
                                   errormsg=step["errormsg"])
        self.assertEqual(self.world.build(ids["good"])["buildstatus"], 0)
        self.assertEqual(self.failed_paths(), sorted(drvs["bad"].outputs.values()))
        told = [event.ids for event in self.world.notify.of(channels=("build_finished",))]
        self.assertIn([ids["bad"], ids["bad"], ids["middle"], ids["top"]],
                      [each[:1] + sorted(each[1:]) for each in told])
        self.assertEqual(sum(ids["middle"] in each for each in told), 1)
        self.assertEqual(self.world.notify.lines(ids["bad"])[-2:],
                         [f"step_finished {ids['bad']} 1 log", self.world.notify.lines(ids["bad"])[-1]])
        self.assertEqual(sorted(self.world.notify.of(ids["bad"], channels=("step_finished",))[0].log.splitlines()),
                         [b"before", b"the reason"])
        self.assert_orderly()

    def test_a_failure_below_is_accounted_to_one_build(self):
        drvs = self.instantiate(FAILING)
        ids = self.evaluate({name: drvs[name] for name in ("middle", "top")})
        self.start()
        self.world.wait_finished(*ids.values())
        ran = [step for build in ids.values() for step in self.world.steps(build)
               if step["drvpath"] == drvs["bad"].path and step["starttime"]]
        self.assertEqual(len(ran), 1)
        origin = ran[0]["build"]
        other, = set(ids.values()) - {origin}
        self.assert_failed(origin, 2)
        self.assert_failed(other, 2)
        self.assert_propagated(self.world.steps(other)[-1], drvs["bad"], 1, origin)
        told, = self.world.notify.of(channels=("build_finished",))
        self.assertEqual((told.ids[0], sorted(told.ids[1:])), (origin, sorted(ids.values())))
        self.assertEqual(self.world.notify.lines(channels=("build_started",)), [f"build_started {origin}"],
                         "something was built for it")
        self.assert_orderly()

    def many(self, count):
        drvs = self.instantiate(MANY.replace("@count@", str(count)).replace("@gate@", self.world.gate("bad")))
        ids = self.evaluate(drvs)
        self.start()
        loaded = "SELECT count(*) FROM penstock.hydra_builds WHERE job IS NOT NULL"
        until(lambda: self.world.session.value(loaded) == count + 1, "all builds are jobs", 300)
        self.world.open_gate("bad")
        self.world.wait_finished(limit=300)
        self.assertEqual(self.world.session.rows("SELECT buildstatus, count(*) FROM builds GROUP BY 1 ORDER BY 1"),
                         [{"buildstatus": 1, "count": 1}, {"buildstatus": 2, "count": count}])
        self.assertEqual(self.world.session.value(
            "SELECT count(*) FROM buildsteps WHERE propagatedfrom = $1 AND stepnr = 1 AND status = 1"
            " AND starttime IS NULL", ids["bad"]), count)
        events = self.world.notify.of(channels=("build_finished",))
        self.assertEqual({event.ids[0] for event in events}, {ids["bad"]}, "the head is in every piece")
        tails = [build for event in events for build in event.ids[1:]]
        self.assertEqual(sorted(tails), sorted(ids.values()), "each once, the head too")
        self.assertLess(max(event.size for event in events), 8000)
        self.assert_orderly()
        return events

    def test_a_failure_with_300_dependents(self):
        self.assertEqual(len(self.many(300)), 1)

    def test_a_failure_with_5000_dependents_is_told_in_pieces(self):
        self.assertGreater(len(self.many(5000)), 2)

    def test_a_failure_is_not_built_again(self):
        drvs = self.instantiate(FAILING)
        first = self.evaluate({"bad": drvs["bad"]})["bad"]
        self.start()
        self.world.wait_finished(first)
        jobset = self.world.evaluator.jobset("later")
        ids = self.evaluate({"again": drvs["bad"], "top": drvs["top"]}, jobset=jobset)
        self.world.wait_finished(*ids.values())
        for name, status in (("again", 1), ("top", 2)):
            row = self.assert_failed(ids[name], status, cached=1)
            self.assertEqual(row["starttime"], row["stoptime"])
            step, = self.world.steps(ids[name])
            self.assert_propagated(step, drvs["bad"], 8, first, machine="")
            self.assertEqual(self.world.notify.lines(ids[name]), [f"build_finished {ids[name]}"])
        self.assert_orderly()

    def test_a_cached_failure_of_unknown_origin_has_none(self):
        drvs = self.instantiate(FAILING)
        self.world.session.rows("INSERT INTO failedpaths VALUES ($1)", drvs["bad"].outputs["dev"])
        build = self.evaluate({"top": drvs["top"]})["top"]
        self.start()
        self.world.wait_finished(build)
        self.assert_failed(build, 2, cached=1)
        self.assert_propagated(self.world.steps(build)[-1], drvs["bad"], 8, None)
        self.assert_orderly()

    def test_failures_are_not_remembered_when_that_is_turned_off(self):
        drvs = self.instantiate(FAILING)
        self.start("--cache-failures", "no")
        build = self.evaluate({"bad": drvs["bad"]})["bad"]
        self.world.wait_finished(build)
        self.assert_failed(build, 1)
        self.assertEqual(self.failed_paths(), [])

    def limited(self, name, status, job=None, server=(), above=None, **columns):
        drvs = self.instantiate(LIMITS)
        jobs = {name: Job(drvs[name], **(job or {}))}
        if above:
            jobs[above] = Job(drvs[above], **(job or {}))
        ids = self.evaluate(jobs)
        self.start(*server)
        self.world.wait_finished(*ids.values())
        for build in ids.values():
            self.assert_failed(build, status)
        step = self.world.steps(ids[name])[-1]
        self.assert_columns(step, status=status, drvpath=drvs[name].path, busy=0, **columns)
        if above:
            self.assert_propagated(self.world.steps(ids[above])[-1], drvs[name], status, ids[name])
        self.assertEqual(self.failed_paths(), [])
        self.assert_orderly()
        return drvs[name], ids[name], step

    def test_a_build_that_takes_too_long(self):
        drv, build, _ = self.limited("slow", 7, {"timeout": 2}, above="above", errormsg=None, machine="b1")
        event, = self.world.notify.of(build, channels=("step_finished",))
        self.assertEqual(event.log.splitlines()[0], b"start")
        self.assertEqual(event.fields[2], self.world.log_file(drv))

    def test_a_build_that_is_silent_for_too_long(self):
        self.limited("slow", 7, {"max_silent": 2}, above="above", errormsg=None, machine="b1")

    def test_a_dependency_may_take_longer_than_the_only_build_above_it(self):
        drvs = self.instantiate(LIMITS)
        build = self.evaluate({"hasty": Job(drvs["hasty"], timeout=3, max_silent=3)})["hasty"]
        self.start()
        self.world.wait_finished(build)
        self.assert_columns(self.world.build(build), buildstatus=0)
        self.assertEqual([(row["drvpath"], row["status"]) for row in self.world.steps(build)],
                         [(drvs["patient"].path, 0), (drvs["hasty"].path, 0)])

    def test_the_limits_of_builds_that_state_none(self):
        self.limited("slow", 7, server=("--build-timeout", "2s"), errormsg=None)

    def test_a_log_that_is_too_long(self):
        drv, build, _ = self.limited("chatty", 10, server=("--max-log-size", "20000"), errormsg=None, machine="b1")
        event, = self.world.notify.of(build, channels=("step_finished",))
        self.assertEqual(event.log.splitlines()[0], b"line 1 of a log that is long")
        self.assertLess(os.path.getsize(self.world.log_file(drv)), 100_000)

    def test_an_output_that_is_too_large(self):
        drv, _, _ = self.limited("large", 11, server=("--max-output-size", "1MiB"), errormsg=None, machine="b1")
        self.assertTrue(drv.outputs["out"])

    def test_a_system_that_nobody_has(self):
        _, build, step = self.limited("strange", 9, server=("--unsupported-after", "1s"), above="over", machine="",
                                      propagatedfrom=None, errormsg="unsupported system type 'm68k-minix'")
        self.assertIsNone(step["starttime"])
        self.assertEqual(self.world.notify.of(channels=("step_started", "build_started", "step_finished")), [])
        event, = self.world.notify.of(channels=("build_finished",))
        self.assertEqual(event.ids[0], build)

    def test_features_that_nobody_has(self):
        _, _, step = self.limited("needs", 9, server=("--unsupported-after", "1s"), machine="")
        self.assertRegex(step["errormsg"], r"^unsupported system type '[a-z0-9_]+-linux.*:.*time-travel")

    def test_a_derivation_that_is_gone_aborts_its_build_only(self):
        drvs = self.instantiate(FAILING)
        ids = self.evaluate({name: drvs[name] for name in ("top", "good")})
        self.store.delete(drvs["top"].path)
        self.start()
        self.world.wait_finished(*ids.values())
        row = self.world.build(ids["top"])
        self.assert_columns(row, finished=1, buildstatus=3, notificationpendingsince=None)
        self.assertEqual(row["starttime"], row["stoptime"])
        self.assertEqual(self.world.steps(ids["top"]), [])
        self.assertEqual(self.world.notify.lines(ids["top"]), [])
        self.assertEqual(self.world.build(ids["good"])["buildstatus"], 0)
        self.assert_orderly()

    def daemon_lost(self, attempts, limit):
        """A build whose daemon is killed so often; answers the build and its derivation."""
        pids = f"{self.world.dir}/pids"
        drv = self.instantiate(f'{{ held = sh "held-@tag@" ("echo $PPID $$ >> {pids}\\n" + gate '
                               f'"{self.world.gate("retry")}" + "echo x > $out") {{ }}; }}')["held"]
        build = self.evaluate({"held": drv})["held"]
        self.start("--max-attempts", str(limit), "--quarantine-after", "0")
        for number in range(1, attempts + 1):
            def running(number=number):
                with open(pids, encoding="ascii") as file:
                    lines = file.read().splitlines()
                return lines[number - 1].split() if len(lines) >= number else None

            for pid in until(running, f"attempt {number} runs"):
                os.kill(int(pid), signal.SIGKILL)
        return build, drv

    def test_a_lost_daemon_is_an_attempt_and_the_next_one_succeeds(self):
        build, drv = self.daemon_lost(2, 5)
        self.world.open_gate("retry")
        self.world.wait_finished(build)
        steps = self.world.steps(build)
        self.assertEqual([(step["stepnr"], step["status"]) for step in steps], [(1, 3), (2, 3), (3, 0)])
        for step in steps[:2]:
            self.assert_columns(step, type=0, busy=0, drvpath=drv.path, machine="b1", propagatedfrom=None)
            self.assertTrue(step["errormsg"])
            self.assertGreaterEqual(step["stoptime"], step["starttime"])
        self.assertIsNone(steps[2]["errormsg"])
        self.assert_columns(self.world.build(build), finished=1, buildstatus=0, iscachedbuild=0)
        told = self.world.notify.lines(build)
        self.assertEqual(told.count(f"build_started {build}"), 1)
        self.assertEqual(sum(line.startswith(f"step_finished {build}") for line in told), 3)
        self.assertEqual(self.failed_paths(), [])
        self.assert_orderly()

    def test_after_the_last_attempt_the_build_is_aborted(self):
        build, drv = self.daemon_lost(3, 3)
        self.world.wait_finished(build)
        self.assert_failed(build, 3)
        steps = self.world.steps(build)
        self.assertEqual([(step["stepnr"], step["status"], step["drvpath"]) for step in steps],
                         [(number, 3, drv.path) for number in (1, 2, 3)])
        self.assertEqual(self.failed_paths(), [])
        event, = self.world.notify.of(channels=("build_finished",))
        self.assertEqual(event.ids, [build, build])
        self.assert_orderly()

    def test_a_lost_machine_is_an_attempt_too(self):
        drv = self.instantiate('{ held = sh "held-@tag@" (gate "' + self.world.gate("lost")
                               + '" + "echo x > $out") { }; }')["held"]
        build = self.evaluate({"held": drv})["held"]
        self.start("--reconnect-grace", "1s")
        self.world.wait_running(drv)
        self.world.farm.builders["b1"].kill()
        until(lambda: self.world.steps(build)[0]["status"] == 3, "the attempt is over")
        self.world.open_gate("lost")
        self.world.builder("b2")
        self.world.wait_finished(build)
        self.assertEqual([(step["status"], step["machine"]) for step in self.world.steps(build)],
                         [(3, "b1"), (0, "b2")])
        self.assert_orderly()


if __name__ == "__main__":
    unittest.main(verbosity=2)
