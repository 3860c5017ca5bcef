# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and the evaluator do to a Hydra in the very moment when something else happens to the same builds."""

import time
import types
import unittest

from farm import until
from hydra.evaluator import Evaluator
from hydra.postgres import Session
from hydra.world import HydraTest

OPEN_SECONDS = 10  # of a transaction; the evaluator's take minutes


class HydraMeetingTest(HydraTest):
    def held(self, *names, extra="", script="echo {name} | tee $out"):
        text = "".join(f'{name} = sh "{name}-@tag@" (gate "{self.world.gate(name)}" + \'\'{script}\'\') {{ }};\n'
                       .replace("{name}", name) for name in names)
        return self.instantiate("rec { " + text + extra + " }")

    def quick(self, count, prefix):
        return self.instantiate(f'builtins.listToAttrs (builtins.genList (n: {{ name = "{prefix}${{toString n}}";'
                                f' value = sh "{prefix}${{toString n}}-@tag@" "echo x > $out" {{ }}; }}) {count})')

    def jobset(self, name):
        return self.world.evaluator.jobset(name)

    def wait_known(self, *builds):
        until(lambda: set(builds) <= set(self.world.session.column(
            "SELECT build FROM penstock.hydra_builds WHERE job IS NOT NULL")), f"builds {builds} are jobs")

    def wait_forgotten(self, build):
        until(lambda: build not in self.world.session.column("SELECT build FROM penstock.hydra_builds"),
              f"build {build} is forgotten")

    def statuses(self, build):
        return [step["status"] for step in self.world.steps(build)]

    def ends(self, build):
        """Words of its build_finished notifications."""
        return self.world.notify.lines(build, channels=("build_finished",))

    # -------------------------------------------------------------------------------------- restarted while it runs

    def test_a_build_that_is_cancelled_and_restarted_at_once_is_built(self):
        drvs = self.held("a")
        build = self.evaluate(drvs)["a"]
        self.start()
        self.world.wait_running(drvs["a"])
        self.world.web.cancel(build)
        self.world.web.restart(build)
        self.world.open_gate("a")
        self.world.wait_finished(build)
        self.assert_built(build)
        statuses = self.statuses(build)
        self.assertEqual((set(statuses[:-1]) <= {4}, statuses[-1]), (True, 0), statuses)
        self.assertEqual(self.ends(build), [f"build_finished {build}"])
        self.assert_orderly()

    def test_a_build_that_is_restarted_while_its_attempt_is_being_stopped_is_built(self):
        drvs = self.held("a")
        build = self.evaluate(drvs)["a"]
        self.start()
        self.world.wait_running(drvs["a"])
        self.world.web.cancel(build)
        self.wait_forgotten(build)
        self.world.web.restart(build)
        self.world.open_gate("a")
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual(self.statuses(build)[-1], 0)
        self.assertEqual(self.ends(build), [f"build_finished {build}"])
        self.assert_orderly()

    def test_a_build_is_restarted_while_another_has_its_step(self):
        drvs = self.held("a")
        ids = [self.evaluate(drvs, jobset=self.jobset(name))["a"] for name in ("one", "two")]
        self.start()
        owner = self.world.wait_running(drvs["a"])["build"]
        other, = set(ids) - {owner}
        for build in (other, owner):
            self.world.web.cancel(build)
            self.wait_forgotten(build)
            self.world.web.restart(build)
            self.wait_known(build)
        self.world.open_gate("a")
        self.world.wait_finished(*ids)
        for build in ids:
            self.assert_columns(self.world.build(build), finished=1, buildstatus=0)
            self.assertEqual(self.ends(build), [f"build_finished {build}"])
        self.assertEqual(sorted(self.statuses(owner) + self.statuses(other)), [0], "it ran on for one of them")
        self.assert_orderly()

    def test_a_build_whose_output_was_collected_is_built_again_when_restarted(self):
        drvs = self.instantiate("""{ a = sh "a-@tag@" ''
            mkdir -p $out/nix-support; echo hello > $out/text
            echo "file text $out/text" > $out/nix-support/hydra-build-products
            echo "count 3" > $out/nix-support/hydra-metrics'' { }; }""")
        build = self.evaluate(drvs)["a"]
        self.start()
        self.world.wait_finished(build)
        self.world.session.run("UPDATE buildmetrics SET value = 7; UPDATE buildproducts SET name = 'old'")
        self.world.store.collect(drvs["a"].outputs["out"])
        self.world.web.restart(build)
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual(self.statuses(build), [0, 0])
        self.assertEqual(self.world.session.column("SELECT value FROM buildmetrics"), [3])
        self.assertEqual(self.world.session.column("SELECT name FROM buildproducts"), ["text"])
        self.assert_orderly()

    # ----------------------------------------------------------------------------------------------- the evaluator

    def test_an_evaluation_that_is_open_for_long_holds_nobody(self):
        """Its ids are lower than those of builds that come and go meanwhile, and it shares derivations with them."""
        late = self.quick(20, "late") | self.quick(5, "wave0x")
        jobset, other = self.jobset("slow"), self.jobset("other")
        waves = []
        self.start()
        with Session(self.world.url) as session:
            slow = Evaluator(types.SimpleNamespace(session=session, dir=self.world.dir, store=self.world.store))

            def meanwhile():
                end = time.monotonic() + OPEN_SECONDS
                while len(waves) < 3 or time.monotonic() < end:
                    drvs = self.quick(5, f"wave{len(waves)}x")
                    waves.append(self.evaluate(drvs, jobset=other))
                    self.world.wait_finished(*waves[-1].values())

            ids = slow.evaluate(late, jobset=jobset, between=meanwhile)
        self.assertLess(max(ids.values()), min(min(wave.values()) for wave in waves))
        self.world.wait_finished(*ids.values())
        for name, build in ids.items():
            self.assert_built(build, cached=int(name.startswith("wave")))
            self.assertEqual(self.ends(build), [f"build_finished {build}"])
        for wave in waves:
            for build in wave.values():
                self.assert_built(build)
        self.assert_orderly()

    def test_builds_come_to_a_step_that_runs(self):
        """One of the same derivation and one above it: the first has its end, the second goes on from there."""
        drvs = self.held("a", extra='above = sh "above-@tag@" "cat $a > $out" { inherit a; };')
        first = self.evaluate({"a": drvs["a"]})["a"]
        self.start()
        self.world.wait_running(drvs["a"])
        ids = self.evaluate(drvs, jobset=self.jobset("later"))
        self.wait_known(*ids.values())
        self.world.open_gate("a")
        self.world.wait_finished()
        self.assert_built(first)
        self.assert_built(ids["a"], cached=1)
        self.assert_built(ids["above"])
        self.assertEqual([self.statuses(build) for build in (first, ids["a"], ids["above"])], [[0], [], [0]])
        self.assert_orderly()

    def test_builds_come_to_a_step_that_is_going_to_fail(self):
        drvs = self.held("bad", script="exit 1",
                         extra='above = sh "above-@tag@" "cat $bad > $out" { inherit bad; };')
        first = self.evaluate({"bad": drvs["bad"]})["bad"]
        self.start()
        self.world.wait_running(drvs["bad"])
        ids = self.evaluate(drvs, jobset=self.jobset("later"))
        self.wait_known(*ids.values())
        self.world.open_gate("bad")
        self.world.wait_finished()
        for build, status in ((first, 1), (ids["bad"], 1), (ids["above"], 2)):
            self.assert_columns(self.world.build(build), finished=1, buildstatus=status, iscachedbuild=0)
        for build in ids.values():
            step, = self.world.steps(build)
            self.assert_columns(step, status=1, busy=0, drvpath=drvs["bad"].path, propagatedfrom=first, starttime=None)
        self.assertEqual(sorted(self.world.notify.of(first, channels=("build_finished",))[0].ids[1:]),
                         sorted([first, *ids.values()]))
        self.assert_orderly()

    # ------------------------------------------------------------------------------------------------- renamed

    METRICS = "mkdir -p $out/nix-support; echo 'count 3 s' > $out/nix-support/hydra-metrics"
    RENAME = "UPDATE jobsets SET name = 'renamed' WHERE name = 'jobset'"

    def assert_renamed(self, build):
        self.world.wait_finished(build)
        self.assert_built(build)
        metric = self.world.session.row("SELECT * FROM buildmetrics WHERE build = $1", build)
        self.assert_columns(metric, project="project", jobset="renamed", job="a", name="count", unit="s", value=3)
        self.assertEqual(self.ends(build), [f"build_finished {build}"])
        self.assert_orderly()

    def test_a_jobset_is_renamed_while_a_build_with_metrics_runs(self):
        drvs = self.held("a", script=self.METRICS)
        build = self.evaluate(drvs)["a"]
        self.start()
        self.world.wait_running(drvs["a"])
        self.world.session.run(self.RENAME)
        self.world.open_gate("a")
        self.assert_renamed(build)

    def test_a_jobset_is_being_deleted_when_a_build_with_metrics_ends(self):
        drvs = self.held("a", script=self.METRICS)
        gone = self.evaluate(drvs, jobset=self.jobset("gone"))["a"]
        self.start()
        self.world.wait_running(drvs["a"])
        kept = self.evaluate(self.quick(3, "kept"))
        with Session(self.world.url) as other:
            other.run("BEGIN; DELETE FROM jobsets WHERE name = 'gone'")
            self.world.open_gate("a")
            until(lambda: self.world.session.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
                  or self.world.session.value("SELECT count(*) FROM buildsteps WHERE busy <> 0") == 0,
                  "the build's end comes to the jobset")
            other.run("COMMIT")
        self.world.wait_finished()
        self.assertEqual(self.world.session.column("SELECT id FROM builds WHERE id = $1", gone), [])
        for build in kept.values():
            self.assert_built(build)
        self.assertTrue(self.world.farm.server_process.alive())
        self.assert_orderly()

    def test_a_cached_success_in_a_jobset_that_is_renamed_has_metrics_under_the_new_name(self):
        drvs = self.held("a", script=self.METRICS)
        self.world.open_gate("a")
        first = self.evaluate(drvs)["a"]
        self.start()
        self.world.wait_finished(first)
        self.world.session.run(self.RENAME)
        second = self.evaluate(drvs, jobset=self.jobset("second"))["a"]
        self.world.wait_finished(second)
        self.assertEqual(self.world.session.rows("SELECT build, jobset FROM buildmetrics ORDER BY build"),
                         [{"build": first, "jobset": "renamed"}, {"build": second, "jobset": "second"}])
        self.assert_orderly()

    # ----------------------------------------------------------------------------- cancelled or deleted by somebody

    def one_of_two(self, cancels_owner):
        drvs = self.held("a")
        ids = [self.evaluate(drvs, jobset=self.jobset(name))["a"] for name in ("one", "two")]
        self.start()
        owner = self.world.wait_running(drvs["a"])["build"]
        other, = set(ids) - {owner}
        cancelled, kept = (owner, other) if cancels_owner else (other, owner)
        self.world.web.cancel(cancelled)
        self.wait_forgotten(cancelled)
        self.assertEqual(self.statuses(owner), [None], "it goes on")
        self.world.open_gate("a")
        self.world.wait_finished(kept)
        self.world.settle()
        self.assert_columns(self.world.build(cancelled), finished=1, buildstatus=4, iscachedbuild=0, size=None)
        self.assert_built(kept, cached=int(cancels_owner))
        self.assertEqual((self.statuses(owner), self.statuses(other)), ([0], []))
        self.assertEqual((self.ends(cancelled), self.ends(kept)), ([], [f"build_finished {kept}"]))
        told = self.world.notify.lines(owner, channels=("step_started", "step_finished"))
        self.assertEqual(told, [f"step_started {owner} 1", f"step_finished {owner} 1 log"])
        self.assert_orderly()

    def test_of_two_builds_the_one_that_owns_the_step_is_cancelled(self):
        self.one_of_two(cancels_owner=True)

    def test_of_two_builds_the_one_that_only_waits_is_cancelled(self):
        self.one_of_two(cancels_owner=False)

    def many(self):
        """40 builds above one derivation that is no build itself; the one that owns its step comes first."""
        drvs = self.instantiate(f"""let bad = sh "bad-@tag@" (gate "{self.world.gate('bad')}" + "exit 1") {{ }};
            in builtins.listToAttrs (builtins.genList (n: {{ name = "d${{toString n}}";
              value = sh "d${{toString n}}-@tag@" "cat $bad > $out" {{ inherit bad; }}; }}) 40)""")
        ids = sorted(self.evaluate(drvs).values())
        self.start()
        self.wait_known(*ids)
        owner = until(lambda: self.world.session.column("SELECT build FROM buildsteps WHERE busy >= 30"),
                      "the shared dependency runs")[0]
        return [owner] + [build for build in ids if build != owner]

    def assert_rest_failed(self, deleted, left):
        self.world.wait_finished()
        self.assertEqual(sorted(self.world.session.column("SELECT id FROM builds")), sorted(left))
        for build in left:
            self.assert_columns(self.world.build(build), finished=1, buildstatus=2, iscachedbuild=0,
                                notificationpendingsince=None)
            self.assertEqual(self.statuses(build), [1])
        self.assertEqual(self.world.session.column("SELECT build FROM buildsteps WHERE build = ANY ($1::int[])",
                                                   deleted), [])
        tails = [build for event in self.world.notify.of(channels=("build_finished",)) for build in event.ids[1:]]
        self.assertEqual(sorted(build for build in tails if build in left), sorted(left), "each is told of once")
        self.assertEqual(self.world.session.value("SELECT count FROM nrbuilds WHERE what = 'finished'"), len(left))
        self.assertTrue(self.world.farm.server_process.alive())
        self.assert_orderly()

    def test_a_failure_with_40_dependents_of_which_5_were_just_deleted(self):
        owner, *others = self.many()
        deleted = [owner, *others[:4]]
        self.world.web.delete(*deleted)
        self.world.open_gate("bad")
        self.assert_rest_failed(deleted, others[4:])

    def test_a_failure_with_40_dependents_of_which_5_are_being_deleted(self):
        owner, *others = self.many()
        deleted, left = others[-5:], [owner, *others[:-5]]
        with Session(self.world.url) as other:
            other.run("BEGIN")
            other.rows("DELETE FROM builds WHERE id = ANY ($1::int[])", deleted)
            self.world.open_gate("bad")
            self.world.wait_finished(*left)
            other.run("COMMIT")
        self.assert_rest_failed(deleted, left)

    def test_a_failure_with_40_dependents_while_its_owner_is_being_deleted(self):
        owner, *others = self.many()
        with Session(self.world.url) as other:
            other.run("BEGIN")
            other.rows("DELETE FROM builds WHERE id = $1", owner)
            self.world.open_gate("bad")
            until(lambda: self.world.session.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
                  or self.world.session.value("SELECT count(*) FROM builds WHERE finished = 1") == len(others),
                  "the end of the step comes to the row that goes")
            other.run("COMMIT")
        self.assert_rest_failed([owner], others)

    # --------------------------------------------------------------------------------------------- several outputs

    def test_only_one_of_two_outputs_is_wanted(self):
        text = """rec { lib = sh "lib-@tag@" "echo lib > $out; echo header > $dev" { outputs = [ "out" "dev" ]; };
            one = sh "one-@tag@" "cat $dev > $out" { inherit (lib) dev; };
            two = sh "two-@tag@" "cat $dev $dev > $out" { inherit (lib) dev; }; }"""
        drvs = self.instantiate(text)
        self.assertEqual(list(drvs["one"].inputs.values()), [["dev"]])
        one = self.evaluate({"one": drvs["one"]})["one"]
        self.start()
        self.world.wait_finished(one)
        self.assert_built(one)
        lib, own = self.world.steps(one)
        self.assert_columns(lib, status=0, drvpath=drvs["lib"].path)
        self.assert_columns(own, status=0, drvpath=drvs["one"].path)
        rows = self.world.session.rows("SELECT name, path FROM buildstepoutputs WHERE build = $1 AND stepnr = 1", one)
        self.assertEqual({row["name"]: row["path"] for row in rows}, drvs["lib"].outputs)
        self.world.store.run("nix-store", "--check-validity", *drvs["lib"].outputs.values())
        # What is not wanted may be gone.
        self.world.store.collect(drvs["lib"].outputs["out"])
        two = self.evaluate({"two": drvs["two"]})["two"]
        self.world.wait_finished(two)
        self.assert_built(two)
        with open(drvs["two"].outputs["out"], encoding="ascii") as out:
            self.assertEqual(out.read(), "header\nheader\n")
        self.assert_orderly()


if __name__ == "__main__":
    unittest.main(verbosity=2)
