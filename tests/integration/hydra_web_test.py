# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do to a Hydra while the server runs: cancel, restart, bump, repoint, delete, shares."""

import os
import unittest

from farm import until
from hydra.world import HydraTest


class HydraWebTest(HydraTest):
    def held(self, *names, extra=""):
        """Derivations that wait for gates of their names, and say their pid in a file."""
        text = "".join(f'{name} = sh "{name}-@tag@" ("echo $$ > {self.world.dir}/pid-{name}\\n" + gate '
                       f'"{self.world.gate(name)}" + "echo {name} | tee $out") {{ }};\n' for name in names)
        return self.instantiate("rec { " + text + extra + " }")

    def wait_loaded(self, *builds):
        until(lambda: set(builds) <= set(self.world.session.column(
            "SELECT build FROM penstock.hydra_builds WHERE job IS NOT NULL")), f"builds {builds} are jobs")

    def runs(self, name):
        """Whether the builder's process of this derivation still runs."""
        with open(f"{self.world.dir}/pid-{name}", encoding="ascii") as file:
            return os.path.exists(f"/proc/{int(file.read())}")

    def assert_cancelled(self, build):
        self.assert_columns(self.world.build(build), finished=1, buildstatus=4, iscachedbuild=0, size=None,
                            notificationpendingsince=None)
        self.assertEqual(self.world.notify.of(build, channels=("build_finished",)), [])

    # ----------------------------------------------------------------------------------------------------- cancel

    def test_a_queued_build_that_is_cancelled_never_runs(self):
        drvs = self.held("a", "b")
        ids = self.evaluate(drvs)
        self.start(builders=())
        self.wait_loaded(*ids.values())
        self.world.web.cancel(ids["a"])
        self.world.settle(ids["a"])
        for name in drvs:
            self.world.open_gate(name)
        self.world.builder("b1")
        self.world.wait_finished(ids["b"])
        self.assert_cancelled(ids["a"])
        self.assertEqual(self.world.steps(ids["a"]), [])
        self.assert_built(ids["b"])
        self.assert_orderly()

    def test_a_running_build_that_is_cancelled_is_stopped(self):
        drvs = self.held("a")
        build = self.evaluate(drvs)["a"]
        self.start()
        self.world.wait_running(drvs["a"])
        until(lambda: self.runs("a"), "the builder's process runs")
        self.world.web.cancel(build)
        self.world.settle(build)
        until(lambda: not self.runs("a"), "the builder's process is gone")
        step, = self.world.steps(build)
        self.assert_columns(step, busy=0, status=4, errormsg=None, machine="b1", propagatedfrom=None)
        self.assertGreaterEqual(step["stoptime"], step["starttime"])
        self.assert_cancelled(build)
        self.assertEqual(len(self.world.notify.of(build, channels=("step_finished",))), 1)
        self.assertEqual(self.world.session.column("SELECT path FROM failedpaths"), [])
        self.assert_orderly()

    def test_a_step_that_another_build_needs_goes_on(self):
        extra = """one = sh "one-@tag@" "cat $a > $out" { inherit a; };
                   two = sh "two-@tag@" "cat $a > $out" { inherit a; };"""
        drvs = self.held("a", extra=extra)
        ids = self.evaluate({name: drvs[name] for name in ("one", "two")})
        self.start()
        owner = self.world.wait_running(drvs["a"])["build"]
        other, = set(ids.values()) - {owner}
        self.world.web.cancel(owner)
        until(lambda: owner not in self.world.session.column("SELECT build FROM penstock.hydra_builds"),
              "the cancelled build is forgotten")
        self.world.open_gate("a")
        self.world.wait_finished(other)
        self.world.settle()
        self.assert_cancelled(owner)
        self.assert_built(other)
        step, = self.world.steps(owner)
        self.assert_columns(step, busy=0, status=0, drvpath=drvs["a"].path)
        self.assertEqual([row["drvpath"] for row in self.world.steps(other)],
                         [drvs["one" if other == ids["one"] else "two"].path])
        self.assert_orderly()

    def test_what_no_evaluation_has_any_more_is_cleared(self):
        drvs = self.held("a", "b")
        ids = self.evaluate(drvs)
        self.evaluate({"a": drvs["a"]})
        self.start(builders=())
        self.wait_loaded(*ids.values())
        self.world.web.clear_queue()
        self.world.settle(ids["b"])
        self.assert_cancelled(ids["b"])
        self.assert_columns(self.world.build(ids["a"]), finished=0)

    # ---------------------------------------------------------------------------------------------------- restart

    def flaky(self):
        script = f"echo try; [ -e {self.world.gate('mended')} ] || exit 1; mkdir $out"
        return self.instantiate(f'{{ flaky = sh "flaky-@tag@" "{script}" {{ }}; }}')

    def test_a_failed_build_is_restarted_and_succeeds(self):
        drvs = self.flaky()
        build = self.evaluate(drvs)["flaky"]
        self.start()
        self.world.wait_finished(build)
        self.assert_columns(self.world.build(build), finished=1, buildstatus=1)
        self.world.open_gate("mended")
        self.world.web.restart(build)
        self.world.wait_finished(build)
        row = self.assert_built(build)
        steps = self.world.steps(build)
        self.assertEqual([(step["stepnr"], step["status"]) for step in steps], [(1, 1), (2, 0)])
        self.assert_columns(row, starttime=steps[1]["starttime"], stoptime=steps[1]["stoptime"])
        self.assertEqual(self.world.session.column("SELECT path FROM failedpaths"), [])
        told = self.world.notify.lines(build, channels=("build_started", "build_finished"))
        self.assertEqual(told, [f"build_started {build}", f"build_finished {build} {build}",
                                f"build_started {build}", f"build_finished {build}"])
        self.assertEqual(self.world.session.column("SELECT productnr FROM buildproducts"), [1])
        self.assert_orderly()

    def test_a_cancelled_build_is_restarted(self):
        drvs = self.held("a")
        build = self.evaluate(drvs)["a"]
        self.start()
        self.world.wait_running(drvs["a"])
        self.world.web.cancel(build)
        self.world.settle(build)
        self.world.open_gate("a")
        self.world.web.restart(build)
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual([(step["stepnr"], step["status"]) for step in self.world.steps(build)], [(1, 4), (2, 0)])
        self.assert_orderly()

    def test_a_build_that_succeeded_and_is_restarted_is_cached(self):
        drvs = self.flaky()
        build = self.evaluate(drvs)["flaky"]
        self.world.open_gate("mended")
        self.start()
        self.world.wait_finished(build)
        before = self.assert_built(build)
        self.world.web.restart(build)
        self.world.wait_finished(build)
        row = self.assert_built(build, cached=1)
        self.assert_columns(row, size=before["size"], closuresize=before["closuresize"])
        self.assertEqual(len([step for step in self.world.steps(build) if step["type"] == 0]), 1)
        self.assertEqual(self.world.session.column("SELECT productnr FROM buildproducts"), [1], "not twice")
        self.assertEqual(self.world.notify.lines(build)[-1], f"build_finished {build}")
        self.assert_orderly()

    # ------------------------------------------------------------------------------------- order: bumps and shares

    def priorities(self, **expected):
        until(lambda: all(self.world.session.column("SELECT globalpriority FROM penstock.hydra_builds WHERE build = $1",
                                                    int(build[1:])) == [at] for build, at in expected.items()),
              f"the server knows the priorities {expected}")

    def test_a_bump_goes_first_and_can_be_taken_back(self):
        names = ("first", "p1", "p2", "p3")
        drvs = self.held(*names)
        ids = self.evaluate(drvs)
        self.start(builders=())
        self.wait_loaded(*ids.values())
        self.world.web.bump(ids["first"], at=1_900_000_000)
        self.priorities(**{f"b{ids['first']}": 1_900_000_000})
        self.world.builder("b1", "--max-jobs", "1")
        self.world.wait_running(drvs["first"])
        self.world.web.bump(ids["p3"], at=1_800_000_002)
        self.world.web.bump(ids["p2"], at=1_800_000_001)
        self.priorities(**{f"b{ids['p3']}": 1_800_000_002, f"b{ids['p2']}": 1_800_000_001})
        self.world.web.bump(ids["p3"], at=0)
        self.priorities(**{f"b{ids['p3']}": 0})
        for name in names:
            self.world.open_gate(name)
        self.world.wait_finished(*ids.values())
        order = [event.ids[0] for event in self.world.notify.of(channels=("step_started",))]
        self.assertEqual(order[:2], [ids["first"], ids["p2"]])
        self.assert_orderly()

    def test_a_bump_reaches_what_the_build_is_waiting_for(self):
        extra = 'above = sh "above-@tag@" "cat $low > $out" { inherit low; };'
        drvs = self.held("first", "p1", "p2", "low", extra=extra)
        ids = self.evaluate({name: drvs[name] for name in ("first", "p1", "p2", "above")})
        self.start(builders=())
        self.wait_loaded(*ids.values())
        self.world.web.bump(ids["first"], at=1_900_000_000)
        self.world.web.bump(ids["above"], at=1_800_000_000)
        self.priorities(**{f"b{ids['first']}": 1_900_000_000, f"b{ids['above']}": 1_800_000_000})
        for name in ("first", "p1", "p2", "low"):
            self.world.open_gate(name)
        self.world.builder("b1", "--max-jobs", "1")
        self.world.wait_finished(*ids.values())
        order = [event.rows[0]["drvpath"] for event in self.world.notify.of(channels=("step_started",))]
        self.assertEqual(order[:3], [drvs["first"].path, drvs["low"].path, drvs["above"].path])

    def test_shares_that_change_count_at_once(self):
        count = 16
        text = "".join(f'{group}{n} = sh "{group}{n}-@tag@" "sleep 0.1; echo x > $out" {{ }};'
                       for group in ("big", "small") for n in range(count))
        drvs = self.held("first", extra=text)
        jobsets = {group: self.world.evaluator.jobset(group) for group in ("big", "small")}
        first = self.evaluate({"first": drvs["first"]})["first"]
        ids = {group: set(self.evaluate({name: drv for name, drv in drvs.items() if name.startswith(group)},
                                        jobset=jobset).values()) for group, jobset in jobsets.items()}
        self.start(builders=())
        self.wait_loaded(first, *ids["big"], *ids["small"])
        self.world.web.bump(first, at=1_900_000_000)
        self.priorities(**{f"b{first}": 1_900_000_000})
        self.world.builder("b1", "--max-jobs", "1")
        self.world.wait_running(drvs["first"])
        self.world.web.share("big", 100_000)
        self.world.web.share("small", 1)
        self.evaluate_marker()
        self.world.open_gate("first")
        self.world.wait_finished()
        order = [event.ids[0] for event in self.world.notify.of(channels=("step_started",))][1:count + 1]
        self.assertGreaterEqual(sum(build in ids["big"] for build in order), count - 3)

    def evaluate_marker(self):
        """A build that comes after everything before it: when it is loaded, what was notified before is known."""
        drvs = self.instantiate('{ marker = sh "marker-@tag@" "echo x > $out" { }; }')
        self.wait_loaded(self.evaluate(drvs, jobset=self.world.evaluator.jobset("marker"))["marker"])

    # --------------------------------------------------------------------------------------------- repoint, delete

    def two_roads(self):
        """Two derivations with the same fixed output, the first waits for a gate."""
        fixed = ('{ outputHashMode = "flat"; outputHashAlgo = "sha256";'
                 ' outputHash = builtins.hashString "sha256" "fixed-@tag@"; }')
        return self.instantiate(f"""{{
          old = sh "fixed-@tag@" (gate "{self.world.gate('old')}" + "echo old; printf fixed-@tag@ > $out") {fixed};
          new = sh "fixed-@tag@" "echo new; printf fixed-@tag@ > $out" {fixed}; }}""")

    def repointed(self, builders, wait):
        drvs = self.two_roads()
        self.assertEqual(drvs["old"].outputs, drvs["new"].outputs)
        build = self.evaluate({"job": drvs["old"]})["job"]
        self.start("--rescan", "1s", builders=builders)
        wait(drvs["old"], build)
        self.assertEqual(self.evaluate({"job": drvs["new"]})["job"], build, "the same build, another derivation")
        return drvs, build

    def test_a_queued_build_that_is_repointed_without_a_word_is_noticed(self):
        drvs, build = self.repointed((), lambda _, build: self.wait_loaded(build))
        until(lambda: self.world.session.column("SELECT drvpath FROM penstock.hydra_builds") == [drvs["new"].path],
              "the new derivation is loaded")
        self.world.builder("b1")
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual([step["drvpath"] for step in self.world.steps(build)], [drvs["new"].path])
        self.assert_orderly()

    def test_a_running_build_that_is_repointed_is_built_anew(self):
        drvs, build = self.repointed(("b1",), lambda drv, _: self.world.wait_running(drv))
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual([(step["drvpath"], step["status"]) for step in self.world.steps(build)],
                         [(drvs["old"].path, 4), (drvs["new"].path, 0)])
        self.assert_orderly()

    def test_a_finished_build_that_is_repointed_is_restarted(self):
        drvs = self.two_roads()
        self.world.open_gate("old")
        build = self.evaluate({"job": drvs["old"]})["job"]
        self.start()
        self.world.wait_finished(build)
        self.evaluate({"job": drvs["new"]})
        self.world.wait_finished(build)
        self.assert_built(build, cached=1)
        self.assertEqual(len(self.world.notify.of(channels=("builds_restarted",))), 1)
        self.assert_orderly()

    def test_a_build_that_is_deleted_while_it_runs(self):
        drvs = self.held("a", "b")
        ids = self.evaluate(drvs)
        self.start()
        for drv in drvs.values():
            self.world.wait_running(drv)
        self.world.web.delete(ids["a"])
        self.world.open_gate("b")
        self.world.wait_finished(ids["b"])
        until(lambda: not self.runs("a"), "what nobody wants is stopped")
        self.world.settle()
        self.assert_built(ids["b"])
        self.assertEqual(self.world.session.column("SELECT DISTINCT build FROM buildsteps"), [ids["b"]])
        self.assertTrue(self.world.farm.server_process.alive())
        self.assert_orderly()

    def test_a_jobset_that_is_deleted_takes_its_builds_along(self):
        extra = 'c = sh "c-@tag@" "cat $a > $out" { inherit a; };'
        drvs = self.held("a", extra=extra)
        gone = self.world.evaluator.jobset("gone")
        self.evaluate({"a": drvs["a"], "c": drvs["c"]}, jobset=gone)
        kept = self.evaluate({"c": drvs["c"]})["c"]
        self.start()
        self.world.wait_running(drvs["a"])
        self.world.web.delete_jobset("gone")
        self.world.open_gate("a")
        self.world.wait_finished(kept)
        self.assert_columns(self.world.build(kept), finished=1, buildstatus=0)
        self.world.settle()
        self.assert_orderly()


if __name__ == "__main__":
    unittest.main(verbosity=2)
