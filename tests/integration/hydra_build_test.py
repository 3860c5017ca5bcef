# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds of a Hydra database that succeed: every row, every notification and their order, results, logs, roots."""

import hashlib
import os
import unittest

from farm import until
from hydra.world import HydraTest

CHAIN = """
rec { a = sh "a-@tag@" "echo building a; echo a > $out" { };
  b = sh "b-@tag@" "echo building b; cat $a > $out" { inherit a; };
  c = sh "c-@tag@" "echo building c; cat $b > $out" { inherit b; }; }
"""
DIAMOND = """
rec { base = sh "base-@tag@" "echo base; echo base > $out" { };
  left = sh "left-@tag@" "echo left; cat $base > $out" { inherit base; };
  right = sh "right-@tag@" "echo right; cat $base > $out" { inherit base; };
  top = sh "top-@tag@" "echo top; cat $left $right > $out" { inherit left right; }; }
"""
RESULTS = r"""
{ full = sh "full-@tag@" ''
    mkdir -p $out/nix-support $out/doc $out/sub
    echo hello > $out/readme.txt; echo spaced > "$out/with space.txt"; echo index > $out/doc/index.html
    ln -s $out/readme.txt $out/link
    cat > $out/nix-support/hydra-build-products <<END
    file readme $out/readme.txt
    doc manual $out/doc index.html
    report spaced "$out/with space.txt"
    this line is none of it $out/readme.txt
    file away /etc/passwd
    file missing $out/missing
    file sub $out/sub
    END
    sed -i 's/^ *//' $out/nix-support/hydra-build-products
    printf 'time 1.5 s\ncount 3\nbroken\nnot-a-number x\ncount 4 %%\n' > $out/nix-support/hydra-metrics
    echo size.of.it 1e3 KiB >> $out/nix-support/hydra-metrics
    echo "  release-1.0  " > $out/nix-support/hydra-release-name
  '' { };
  failed = sh "failed-@tag@" "mkdir -p $out/nix-support; touch $out/nix-support/failed" { };
  folders = sh "folders-@tag@" "mkdir $out $doc; echo file > $man" { outputs = [ "out" "doc" "man" ]; }; }
"""


class HydraBuildTest(HydraTest):
    def assert_step(self, row, drv, status=0, **more):
        """A step that ran, with its outputs."""
        self.assert_columns(row, type=0, drvpath=drv.path, busy=0, status=status, errormsg=None, machine="b1",
                            system=drv.system, propagatedfrom=None, resolveddrvpath=None, **more)
        self.assertGreaterEqual(row["stoptime"], row["starttime"])
        self.assertGreater(row["starttime"], 1_600_000_000)
        outputs = self.world.session.rows("SELECT name, path FROM buildstepoutputs WHERE build = $1 AND stepnr = $2",
                                          row["build"], row["stepnr"])
        if None not in drv.outputs.values():
            self.assertEqual({each["name"]: each["path"] for each in outputs}, drv.outputs)

    def outputs(self, build):
        return {row["name"]: row["path"] for row in
                self.world.session.rows("SELECT name, path FROM buildoutputs WHERE build = $1", build)}

    def test_a_chain_is_one_build_with_three_steps(self):
        drvs = self.instantiate(CHAIN)
        self.start()
        build = self.evaluate({"c": drvs["c"]})["c"]
        self.world.wait_finished(build)
        row = self.assert_built(build)
        out = drvs["c"].outputs["out"]
        self.assert_columns(row, size=self.nar_size(out), closuresize=self.closure_size(out), releasename=None)
        steps = self.world.steps(build)
        self.assertEqual([step["stepnr"] for step in steps], [1, 2, 3])
        for step, name in zip(steps, "abc"):
            self.assert_step(step, drvs[name])
        self.assert_columns(row, starttime=steps[2]["starttime"], stoptime=steps[2]["stoptime"])
        self.assertEqual(self.outputs(build), drvs["c"].outputs)
        self.assertEqual(self.world.session.column("SELECT type FROM buildproducts"), [], "the output is a file")
        told = self.world.notify.lines(build)
        self.assertEqual(told[:4], [f"step_started {build} 1", f"step_finished {build} 1 log",
                                    f"step_started {build} 2", f"step_finished {build} 2 log"])
        self.assertEqual(sorted(told[4:6]), [f"build_started {build}", f"step_started {build} 3"])
        self.assertEqual(told[6:], [f"step_finished {build} 3 log", f"build_finished {build}"])
        self.assert_orderly()

    def test_the_rows_are_as_they_should_be_when_they_are_told_of(self):
        drvs = self.instantiate(CHAIN)
        self.start()
        build = self.evaluate({"a": drvs["a"]})["a"]
        self.world.wait_finished(build)
        events = {event.channel: event for event in self.world.notify.of(build)}
        finished = events["step_finished"]
        self.assert_columns(finished.rows[0], busy=0, status=0)
        self.assertEqual(finished.fields[2], self.world.log_file(drvs["a"]))
        self.assertEqual(finished.log, b"building a\n")
        row = events["build_finished"].rows[0]
        self.assert_columns(row, finished=1, buildstatus=0, notificationpendingsince=row["stoptime"])
        self.assertEqual([event.channel for event in self.world.notify.of(build) if event.channel != "step_started"],
                         ["build_started", "step_finished", "build_finished"])
        self.assert_orderly()

    def test_a_diamond_builds_its_base_once(self):
        drvs = self.instantiate(DIAMOND)
        self.start()
        build = self.evaluate({"top": drvs["top"]})["top"]
        self.world.wait_finished(build)
        self.assert_built(build)
        steps = self.world.steps(build)
        self.assertEqual([step["stepnr"] for step in steps], [1, 2, 3, 4])
        by_drv = {step["drvpath"]: step for step in steps}
        for drv in drvs.values():
            self.assert_step(by_drv[drv.path], drv)
        self.assertEqual((by_drv[drvs["base"].path]["stepnr"], by_drv[drvs["top"].path]["stepnr"]), (1, 4))
        self.assertEqual(self.world.notify.lines(build).count(f"build_started {build}"), 1)
        self.assert_orderly()

    def test_a_step_that_is_a_build_of_its_own_is_accounted_to_that(self):
        drvs = self.instantiate(DIAMOND)
        self.start()
        ids = self.evaluate({name: drvs[name] for name in ("top", "left", "base")})
        self.world.wait_finished(*ids.values())
        for name in ids:
            self.assert_built(ids[name])
            self.assertEqual(self.world.notify.lines(ids[name]).count(f"build_started {ids[name]}"), 1)
            self.assertEqual(self.world.notify.lines(ids[name])[-1], f"build_finished {ids[name]}")
        owned = {name: [step["drvpath"] for step in self.world.steps(ids[name])] for name in ids}
        self.assertEqual(owned["base"], [drvs["base"].path])
        self.assertEqual(owned["left"], [drvs["left"].path])
        self.assertEqual(owned["top"], [drvs["right"].path, drvs["top"].path])
        self.assert_orderly()

    def test_two_builds_of_one_derivation_have_one_step(self):
        drvs = self.instantiate(CHAIN)
        jobsets = [self.world.evaluator.jobset(name) for name in ("one", "two")]
        ids = [self.evaluate({"c": drvs["c"]}, jobset=jobset)["c"] for jobset in jobsets]
        self.start()
        self.world.wait_finished(*ids)
        rows = [self.world.build(build) for build in ids]
        self.assertEqual(sorted(row["iscachedbuild"] for row in rows), [0, 1])
        owner = next(row["id"] for row in rows if row["iscachedbuild"] == 0)
        for row in rows:
            self.assert_columns(row, finished=1, buildstatus=0, size=rows[0]["size"], starttime=rows[0]["starttime"],
                                stoptime=rows[0]["stoptime"], closuresize=rows[0]["closuresize"])
            self.assertEqual(self.outputs(row["id"]), drvs["c"].outputs)
            self.assertEqual(self.world.notify.lines(row["id"]).count(f"build_finished {row['id']}"), 1)
        steps = self.world.session.rows("SELECT * FROM buildsteps")
        self.assertEqual(sorted(step["drvpath"] for step in steps), sorted(drv.path for drv in drvs.values()))
        self.assertEqual(next(step["build"] for step in steps if step["drvpath"] == drvs["c"].path), owner)
        self.assert_orderly()

    def test_a_dependency_of_two_builds_is_built_once(self):
        drvs = self.instantiate(DIAMOND)
        ids = self.evaluate({name: drvs[name] for name in ("left", "right")})
        self.start()
        self.world.wait_finished(*ids.values())
        base = self.world.session.rows("SELECT * FROM buildsteps WHERE drvpath = $1", drvs["base"].path)
        self.assertEqual(len(base), 1)
        self.assertIn(base[0]["build"], ids.values())
        for name, build in ids.items():
            row = self.assert_built(build)
            own = next(step for step in self.world.steps(build) if step["drvpath"] == drvs[name].path)
            self.assert_columns(row, starttime=own["starttime"], stoptime=own["stoptime"])
        self.assert_orderly()

    def test_a_jobset_may_have_its_builds_repeated_to_see_whether_they_differ(self):
        drvs = self.instantiate("""{ same = sh "same-@tag@" "echo x > $out" { };
            other = sh "other-@tag@" "read x < /proc/sys/kernel/random/uuid; echo $x > $out" { };
            held = sh "held-@tag@" "read x < /proc/sys/kernel/random/uuid; echo $x > $out" { isDeterministic = "1"; };
            once = sh "once-@tag@" "echo y > $out" { }; }""")
        self.start("--hydra-repeats", "project:jobset:2")
        ids = self.evaluate({name: drvs[name] for name in ("same", "other", "held")})
        ids.update(self.evaluate({"once": drvs["once"]}, jobset=self.world.evaluator.jobset("another")))
        self.world.wait_finished(*ids.values())
        for name, expected in {"same": (0, 3, False), "other": (0, 3, True), "held": (12, 2, True),
                               "once": (0, None, None)}.items():
            self.assert_built(ids[name], expected[0])
            step, = self.world.steps(ids[name])
            self.assertEqual((step["status"], step["timesbuilt"], step["isnondeterministic"]), expected, name)
        self.assert_orderly()

    def test_products_metrics_and_the_release_name_are_read_from_the_output(self):
        drv = self.instantiate(RESULTS)["full"]
        self.start()
        build = self.evaluate({"full": drv})["full"]
        self.world.wait_finished(build)
        out = drv.outputs["out"]
        self.assert_columns(self.assert_built(build), releasename="release-1.0")
        products = self.world.session.rows("SELECT * FROM buildproducts WHERE build = $1 ORDER BY productnr", build)
        self.assertEqual([each["productnr"] for each in products], list(range(1, len(products) + 1)))

        def words(product):
            return (product["type"], product["subtype"], product["name"], product["path"], product["defaultpath"],
                    product["filesize"], product["sha256hash"])

        def digest(text):
            return (len(text), hashlib.sha256(text).hexdigest())

        self.assertEqual([words(each) for each in products], [
            ("file", "readme", "readme.txt", f"{out}/readme.txt", "", *digest(b"hello\n")),
            ("doc", "manual", "doc", f"{out}/doc", "index.html", None, None),
            ("report", "spaced", "with space.txt", f"{out}/with space.txt", "", *digest(b"spaced\n")),
            ("file", "sub", "sub", f"{out}/sub", "", None, None)])
        metrics = self.world.session.rows("SELECT * FROM buildmetrics WHERE build = $1 ORDER BY name", build)
        self.assertEqual([(each["name"], each["value"], each["unit"]) for each in metrics],
                         [("count", 4.0, "%"), ("size.of.it", 1000.0, "KiB"), ("time", 1.5, "s")])
        queued = self.world.build(build)["timestamp"]
        for each in metrics:
            self.assert_columns(each, project="project", jobset="jobset", job="full", timestamp=queued)
        self.assert_orderly()

    def test_an_output_that_says_failed_makes_the_build_fail_with_output(self):
        drv = self.instantiate(RESULTS)["failed"]
        self.start()
        build = self.evaluate({"failed": drv})["failed"]
        self.world.wait_finished(build)
        self.assert_built(build, status=6)
        self.assertEqual([step["status"] for step in self.world.steps(build)], [0])
        self.assertEqual(self.world.session.column("SELECT path FROM failedpaths"), [])
        self.assert_orderly()

    def test_folders_of_an_output_without_products_are_products(self):
        drv = self.instantiate(RESULTS)["folders"]
        self.start()
        build = self.evaluate({"folders": drv})["folders"]
        self.world.wait_finished(build)
        row = self.assert_built(build)
        paths = drv.outputs.values()
        self.assert_columns(row, size=sum(map(self.nar_size, paths)), closuresize=self.closure_size(*paths))
        self.assertEqual(self.outputs(build), drv.outputs)
        products = {row["subtype"]: row for row in self.world.session.rows("SELECT * FROM buildproducts")}
        self.assertEqual(sorted(products), ["", "doc"])
        for name, subtype in (("out", ""), ("doc", "doc")):
            self.assert_columns(products[subtype], type="nix-build", path=drv.outputs[name], filesize=None,
                                sha256hash=None, defaultpath="")
            self.assertIn(products[subtype]["name"], (os.path.basename(drv.outputs[name])[33:],
                                                      os.path.basename(drv.outputs[name])))
        self.assert_orderly()

    def test_the_log_is_there_while_the_step_runs(self):
        drv = self.instantiate('{ slow = sh "slow-@tag@" ("echo first line; echo second >&2\\n" + gate "'
                               + self.world.gate("log") + '" + "echo last line; echo x > $out") { }; }')["slow"]
        self.start()
        build = self.evaluate({"slow": drv})["slow"]
        step = self.world.wait_running(drv)
        self.assert_columns(step, build=build, stepnr=1, type=0, status=None, stoptime=None, machine="b1",
                            propagatedfrom=None, drvpath=drv.path)
        self.assertIn(step["busy"], (30,))
        self.assertIsNotNone(step["starttime"])
        file = self.world.log_file(drv)
        self.assertTrue(os.path.exists(file), "from busy 30 on the page links to it")

        def read():
            with open(file, "rb") as log:
                return log.read()

        until(lambda: sorted(read().splitlines()) == [b"first line", b"second"], "the log grows while it runs")
        self.assertEqual(self.world.web.running(), 1)
        self.world.open_gate("log")
        self.world.wait_finished(build)
        finished = self.world.notify.of(build, channels=("step_finished",))[0]
        self.assertEqual(finished.log, read())
        self.assertEqual(read().splitlines()[-1], b"last line")
        self.assertEqual(os.stat(file).st_mode & 0o111, 0)
        self.assert_orderly()

    def test_outputs_in_the_local_store_have_roots(self):
        drvs = self.instantiate(CHAIN)
        self.start()
        build = self.evaluate({"c": drvs["c"]})["c"]
        self.world.wait_finished(build)
        roots = os.path.join(self.store.env["NIX_STATE_DIR"], "gcroots/per-user/hydra-queue-runner/hydra-roots")
        out = drvs["c"].outputs["out"]
        link = os.path.join(roots, os.path.basename(out))
        self.assertTrue(os.path.islink(link))
        self.assertEqual(os.readlink(link), out)
        self.assertIn(out, self.store.run("nix-store", "--gc", "--print-live"))

    def test_an_aggregate_is_an_ordinary_build(self):
        drvs = self.instantiate(DIAMOND)
        from hydra.evaluator import Job

        ids = self.evaluate({"left": drvs["left"], "right": drvs["right"],
                             "all": Job(drvs["top"], constituents=["left", "right"])})
        self.start(builders=("b1", "b2"))
        self.world.wait_finished(*ids.values())
        for build in ids.values():
            self.assert_built(build)
        self.assert_orderly()


if __name__ == "__main__":
    unittest.main(verbosity=2)
