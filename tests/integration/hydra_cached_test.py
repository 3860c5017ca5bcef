# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds of a Hydra database that need no building: outputs that are there, earlier results, content-addressed outputs
that turn out the same."""

import contextlib
import functools
import glob
import http.server
import os
import threading
import unittest

from farm import until
from hydra.world import HydraTest

RESULT = r"""
{ full = sh "full-@tag@" ''
    mkdir -p $out/nix-support
    echo "file text $out/nix-support/hydra-metrics" > $out/nix-support/hydra-build-products
    echo "time 1.5 s" > $out/nix-support/hydra-metrics
    echo release-2 > $out/nix-support/hydra-release-name
  '' { };
  failed = sh "failed-@tag@" "mkdir -p $out/nix-support; touch $out/nix-support/failed" { }; }
"""


class StuckCache:
    """A binary cache that tells what it has and never sends it."""

    def __init__(self, directory):
        self.asked, self.released = threading.Event(), threading.Event()
        cache = self

        class Files(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                if "/nar/" in self.path:
                    cache.asked.set()
                    cache.released.wait()
                else:
                    super().do_GET()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=directory))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


class HydraCachedTest(HydraTest):
    def results(self, build):
        row = self.world.build(build)
        return ({name: row[name] for name in ("buildstatus", "size", "closuresize", "releasename")},
                self.world.session.rows("SELECT productnr, type, subtype, name, path, filesize, sha256hash, defaultpath"
                                        " FROM buildproducts WHERE build = $1 ORDER BY 1", build),
                self.world.session.rows("SELECT name, unit, value, project, job FROM buildmetrics WHERE build = $1"
                                        " ORDER BY 1", build),
                self.world.session.rows("SELECT name, path FROM buildoutputs WHERE build = $1 ORDER BY 1", build))

    def assert_cached(self, build, status=0):
        row = self.assert_built(build, status, cached=1)
        self.assertEqual(row["starttime"], row["stoptime"])
        self.assertEqual([step for step in self.world.steps(build) if step["type"] == 0], [])
        self.assertEqual(self.world.notify.lines(build), [f"build_finished {build}"])
        event, = self.world.notify.of(build, channels=("build_finished",))
        self.assert_columns(event.rows[0], finished=1, notificationpendingsince=row["stoptime"])

    def twice(self, name, status):
        drv = self.instantiate(RESULT)[name]
        first = self.evaluate({name: drv})[name]
        self.start()
        self.world.wait_finished(first)
        self.assert_built(first, status)
        second = self.evaluate({name: drv}, jobset=self.world.evaluator.jobset("second"))[name]
        self.assertNotEqual(first, second)
        self.world.wait_finished(second)
        self.assert_cached(second, status)
        self.assertEqual(self.results(first), self.results(second))
        self.assert_orderly()
        return second

    def test_results_are_those_of_the_earlier_build(self):
        second = self.twice("full", 0)
        self.assertEqual(self.world.session.value("SELECT jobset FROM buildmetrics WHERE build = $1", second), "second")

    def test_an_earlier_build_that_failed_with_output_did_so_again(self):
        self.twice("failed", 6)

    def test_results_come_from_the_store_when_no_build_is_known(self):
        drvs = self.instantiate(RESULT)
        self.store.run("nix-store", "--realise", *(drv.path for drv in drvs.values()))
        ids = self.evaluate(drvs)
        self.start()
        self.world.wait_finished(*ids.values())
        self.assert_cached(ids["full"])
        self.assert_cached(ids["failed"], 6)
        out = drvs["full"].outputs["out"]
        row, products, metrics, outputs = self.results(ids["full"])
        self.assertEqual(row, {"buildstatus": 0, "size": self.nar_size(out), "closuresize": self.closure_size(out),
                               "releasename": "release-2"})
        self.assertEqual([(each["type"], each["subtype"], each["name"], each["filesize"]) for each in products],
                         [("file", "text", "hydra-metrics", 11)])
        self.assertEqual([(each["name"], each["value"], each["unit"]) for each in metrics], [("time", 1.5, "s")])
        self.assertEqual(outputs, [{"name": "out", "path": out}])
        self.assert_orderly()

    def elsewhere(self, *drvs):
        """Their outputs are in a cache and no longer in the store; answers its directory."""
        cache = f"{self.store.dir}/elsewhere-{self.tag}"
        self.store.run("nix-store", "--realise", *(drv.path for drv in drvs))
        outputs = [drv.outputs["out"] for drv in drvs]
        self.store.run("nix", "copy", "--to", f"file://{cache}", *outputs)
        for path in outputs:
            self.store.delete(path)
        return cache

    @contextlib.contextmanager
    def substituter(self, url):
        self.store.stop()
        before = self.store.env["NIX_CONFIG"]
        self.store.env["NIX_CONFIG"] = (before.replace("substituters =", f"substituters = {url}") +
                                        "require-sigs = false\n")
        try:
            self.store.start()
            yield
        finally:
            self.store.stop()
            self.store.env["NIX_CONFIG"] = before
            self.store.start()

    def test_what_a_substituter_has_is_fetched_and_not_built(self):
        drvs = self.instantiate("""rec { low = sh "low-@tag@" "echo low > $out" { };
            high = sh "high-@tag@" "cat $low > $out" { inherit low; };
            here = sh "here-@tag@" "cat $low > $out" { inherit low; }; }""")
        with self.substituter(f"file://{self.elsewhere(drvs['high'], drvs['low'])}"):
            ids = self.evaluate({name: drvs[name] for name in ("high", "here")})
            self.start("--hydra-substitutes")
            self.world.wait_finished(*ids.values())
        self.assert_cached(ids["high"])
        self.assert_built(ids["here"])
        fetched = self.world.session.rows("SELECT drvpath, status, busy, machine, system FROM buildsteps"
                                          " WHERE type = 1 ORDER BY drvpath")
        self.assertEqual({row["drvpath"] for row in fetched}, {drvs["high"].path, drvs["low"].path}, fetched)
        self.assertEqual({(row["status"], row["busy"], row["machine"], row["system"]) for row in fetched},
                         {(0, 0, "", None)})
        self.assertEqual([step["drvpath"] for step in self.world.steps(ids["here"]) if step["type"] == 0],
                         [drvs["here"].path])
        self.assert_orderly()

    def test_the_server_stops_while_something_is_being_fetched(self):
        far = self.instantiate("""{ far = sh "far-@tag@" "echo far > $out" { }; }""")["far"]
        cache = StuckCache(self.elsewhere(far))
        self.addCleanup(cache.close)
        with self.substituter(cache.url):
            build = self.evaluate({"far": far})["far"]
            self.world.server("--hydra-substitutes")
            until(cache.asked.is_set, "the output is being fetched")
            self.world.farm.server_process.stop(limit=20)
            cache.released.set()
        self.assertEqual(self.world.build(build)["finished"], 0)
        self.assertEqual(self.world.session.value("SELECT count(*) FROM penstock.hydra_builds WHERE job IS NOT NULL"),
                         0)

    def test_only_what_is_missing_is_built(self):
        drvs = self.instantiate("""rec { low = sh "low-@tag@" "echo low > $out" { };
            high = sh "high-@tag@" "cat $low > $out" { inherit low; }; }""")
        self.store.run("nix-store", "--realise", drvs["low"].path)
        build = self.evaluate({"high": drvs["high"]})["high"]
        self.start()
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual([step["drvpath"] for step in self.world.steps(build) if step["type"] == 0],
                         [drvs["high"].path])
        self.assert_orderly()

    def test_many_builds_that_are_there_finish_together(self):
        drvs = self.instantiate("""builtins.listToAttrs (builtins.genList (n: { name = "n${toString n}";
            value = sh "n${toString n}-@tag@" "echo x > $out" { }; }) 200)""")
        self.store.run("nix-store", "--realise", *(drv.path for drv in drvs.values()))
        ids = self.evaluate(drvs)
        self.start(builders=())
        self.world.wait_finished(*ids.values())
        for build in ids.values():
            self.assert_cached(build)
        self.assertEqual(self.world.session.value("SELECT count FROM nrbuilds"), 200)
        self.assert_orderly()

    # ------------------------------------------------------------------------------------------ content addressing

    def cut_off(self):
        """Two roads to one content, and what is built on each; what runs says so in a file."""
        runs = os.path.join(self.world.dir, "runs")
        return runs, self.instantiate(f"""
          let low = n: sh "low-@tag@" "echo low >> {runs}; : ${{n}}; echo same > $out" floating;
              high = n: sh "high-@tag@" "echo high >> {runs}; cat $low > $out" (floating // {{ low = low n; }});
              plain = n: sh "plain-@tag@" "echo plain it is; echo plain >> {runs}; cat $low > $out" {{ low = low n; }};
          in {{ low1 = low "1"; high1 = high "1"; high2 = high "2"; plain1 = plain "1"; }}""")

    def test_a_content_addressed_output_is_known_after_its_build(self):
        _, drvs = self.cut_off()
        build = self.evaluate({"low": drvs["low1"]})["low"]
        self.assertIsNone(self.world.session.value("SELECT path FROM buildoutputs"))
        self.start()
        self.world.wait_finished(build)
        row = self.assert_built(build)
        path = self.world.session.value("SELECT path FROM buildoutputs")
        self.assertTrue(os.path.exists(path))
        self.assertEqual(self.world.session.value("SELECT path FROM buildstepoutputs"), path)
        self.assert_columns(row, size=self.nar_size(path), closuresize=self.closure_size(path))
        self.assert_orderly()

    def test_an_input_that_came_out_the_same_is_cut_off_early(self):
        runs, drvs = self.cut_off()
        self.start()
        first = self.evaluate({"high": drvs["high1"]})["high"]
        self.world.wait_finished(first)
        self.assert_built(first)
        resolved = [step for step in self.world.steps(first) if step["status"] == 13]
        self.assertEqual([step["drvpath"] for step in resolved], [drvs["high1"].path])
        self.assert_columns(resolved[0], type=0, busy=0, propagatedfrom=None)
        self.assertEqual(resolved[0]["starttime"], resolved[0]["stoptime"])
        base = resolved[0]["resolveddrvpath"]
        self.assertNotIn("/", base)
        self.assertTrue(base.endswith("-high-" + self.tag + ".drv"))
        ran = [step for step in self.world.steps(first) if step["drvpath"].endswith("/" + base)]
        self.assertEqual([step["status"] for step in ran], [0], "the resolved derivation is a step of the same build")
        second = self.evaluate({"high": drvs["high2"]})["high"]
        self.assertNotEqual(first, second)
        self.world.wait_finished(second)
        self.assert_columns(self.world.build(second), finished=1, buildstatus=0)
        with open(runs, encoding="utf-8") as file:
            self.assertEqual(file.read().split().count("high"), 1, "the second need not be built")
        self.assertEqual(self.world.session.column("SELECT DISTINCT path FROM buildoutputs"),
                         [self.world.session.value("SELECT path FROM buildoutputs WHERE build = $1", first)])
        self.assert_orderly()

    def test_what_was_built_before_is_known_by_its_derivation(self):
        runs, drvs = self.cut_off()
        self.start()
        jobs = {name: drvs[name] for name in ("low1", "high1", "plain1")}  # floating, resolved, and deferred
        first = self.evaluate(jobs)
        self.world.wait_finished(*first.values())
        again = self.evaluate(jobs, jobset=self.world.evaluator.jobset("second"))
        self.assertFalse(set(first.values()) & set(again.values()))
        self.world.wait_finished(*again.values())
        for name in jobs:
            self.assert_cached(again[name])
            self.assertEqual(self.results(first[name]), self.results(again[name]))
            self.assertIsNotNone(self.results(again[name])[3][0]["path"])
        with open(runs, encoding="utf-8") as file:
            self.assertEqual(sorted(file.read().split()), ["high", "low", "plain"])
        self.assert_orderly()

    def test_a_plain_derivation_over_a_content_addressed_one(self):
        _, drvs = self.cut_off()
        self.start()
        build = self.evaluate({"plain": drvs["plain1"]})["plain"]
        self.world.wait_finished(build)
        self.assert_built(build)
        statuses = [step["status"] for step in self.world.steps(build)]
        self.assertEqual(statuses, [0, 13, 0])
        resolved = self.world.steps(build)[2]["drvpath"]
        told, = [event.fields for event in self.world.notify.of(build, channels=("step_finished",))
                 if event.fields[1] == "3"]
        base = os.path.basename(resolved)
        log = os.path.join(self.world.data, "build-logs", base[:2], base[2:])
        self.assertEqual(told[2], log, "the log is where the web page of that derivation looks")
        with open(log, encoding="utf-8") as text:
            self.assertEqual(text.read(), "plain it is\n")
        kept = os.path.join(self.world.farm.data_dir, "local", "log", base)
        until(lambda: glob.glob(f"{kept}*"), "the log is kept under the same name")
        path = self.world.session.value("SELECT path FROM buildoutputs WHERE build = $1", build)
        self.assertTrue(os.path.exists(path))
        self.assert_orderly()


if __name__ == "__main__":
    unittest.main(verbosity=2)
