# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of derivations and databases that a Hydra may have, and what its plugins and its older actions do to them."""

import bz2
import hashlib
import os
import unittest

from hydra.evaluator import Job
from hydra.world import HydraTest


class HydraKindsTest(HydraTest):
    def statuses(self, build):
        return [step["status"] for step in self.world.steps(build)]

    def built(self, expression, *args, **more):
        """The only derivation and its finished build."""
        drvs = self.instantiate(expression)
        (name, drv), = drvs.items()
        self.start(*args, **more)
        build = self.evaluate(drvs)[name]
        self.world.wait_finished(build)
        return drv, build

    # ----------------------------------------------------------------------------------------------- derivations

    def test_what_nix_builds_by_itself_needs_no_system(self):
        source = os.path.join(self.world.dir, "source")
        with open(source, "w", encoding="ascii") as file:
            file.write(self.tag)
        digest = hashlib.sha256(self.tag.encode()).hexdigest()
        drv, build = self.built(f"""{{ fetched = derivation {{ name = "fetched-@tag@"; system = "builtin";
            builder = "builtin:fetchurl"; url = "file://{source}"; outputHashMode = "flat"; outputHashAlgo = "sha256";
            outputHash = "{digest}"; executable = false; unpack = false; }}; }}""")
        self.assert_built(build)
        step, = self.world.steps(build)
        self.assert_columns(step, status=0, drvpath=drv.path, system="builtin", machine="b1")
        self.assert_orderly()

    def test_an_output_that_is_not_what_was_promised_is_a_failure_and_not_tried_again(self):
        drv, build = self.built("""{ wrong = sh "wrong-@tag@" "echo other > $out" { outputHashMode = "flat";
            outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "@tag@"; }; }""")
        row = self.world.build(build)
        self.assertEqual((row["finished"], row["iscachedbuild"], row["size"]), (1, 0, None))
        self.assertIn(row["buildstatus"], (1, 3))
        step, = self.world.steps(build)
        self.assertEqual((step["status"], step["drvpath"]), (row["buildstatus"], drv.path))
        self.assertIn("hash mismatch", step["errormsg"])
        self.assert_orderly()

    def test_features_in_structured_attributes_are_required_too(self):
        text = """{ kvm = derivation { name = "kvm-@tag@"; system = builtins.currentSystem; builder = "/bin/sh";
            __structuredAttrs = true; requiredSystemFeatures = [ "kvm" ];
            args = [ "-c" ". ./.attrs.sh; echo x > \\${outputs[out]}" ]; }; }"""
        _, build = self.built(text, "--unsupported-after", "1s", builder_args=("--features", "big-parallel"))
        self.assert_columns(self.world.build(build), finished=1, buildstatus=9)
        step, = self.world.steps(build)
        self.assert_columns(step, status=9, machine="", propagatedfrom=None)
        self.assertIn("kvm", step["errormsg"])
        self.assert_orderly()

    def test_an_input_that_cannot_be_read_harms_what_is_above_it_only(self):
        drvs = self.instantiate("".join(f"""let low{n} = sh "low{n}-@tag@" "echo low > $out" {{ }};
            top{n} = sh "top{n}-@tag@" "cat $low > $out" {{ low = low{n}; }}; in """ for n in range(3))
                                + "{ inherit low0 low1 top0 top1 top2; }")
        os.unlink(drvs["low0"].path)
        os.chmod(drvs["low1"].path, 0o644)
        with open(drvs["low1"].path, "w", encoding="ascii") as file:
            file.write("Derive([")
        ids = self.evaluate({name: drvs[name] for name in ("top0", "top1", "top2")})
        self.start()
        self.world.wait_finished(*ids.values())
        for name in ("top0", "top1"):
            self.assert_columns(self.world.build(ids[name]), finished=1, buildstatus=3)
            self.assertEqual(self.world.steps(ids[name]), [])
        self.assert_built(ids["top2"])
        self.assert_orderly()

    def test_limits_at_the_edge_of_what_a_column_holds(self):
        """0 and less is no limit."""
        drvs = self.instantiate('builtins.listToAttrs (builtins.genList (n: { name = "j${toString n}"; value ='
                                ' sh "j${toString n}-@tag@" "sleep 1; echo x > $out" { }; }) 6)')
        limits = ((0, None), (None, 0), (-1, -1), (-(1 << 31), -(1 << 31)), (300_000_000, 300_000_000), (None, None))
        ids = self.evaluate({f"j{n}": Job(drvs[f"j{n}"], timeout=timeout, max_silent=silent)
                             for n, (timeout, silent) in enumerate(limits)})
        self.world.session.rows("UPDATE builds SET priority = CASE WHEN id % 2 = 0 THEN $1::int ELSE $2::int END,"
                                " globalpriority = CASE WHEN id % 2 = 0 THEN $2::int ELSE $1::int END",
                                (1 << 31) - 1, -(1 << 31))
        self.start(builder_args=("--max-jobs", "6"))
        self.world.wait_finished(*ids.values())
        for build in ids.values():
            self.assert_built(build)
            self.assertEqual(self.statuses(build), [0])
        self.assert_orderly()

    def test_limits_so_long_that_they_are_none(self):
        """As people write it who want none: the largest number that the column holds, 68 years."""
        drvs = self.instantiate('{ j = sh "j-@tag@" "echo x > $out" { }; }')
        build = self.evaluate({"j": Job(drvs["j"], timeout=(1 << 31) - 1, max_silent=(1 << 31) - 1)})["j"]
        self.start()
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual(self.statuses(build), [0])

    # ------------------------------------------------------------------------------------ what builds say of themselves

    def test_what_a_build_says_of_itself_harms_nobody(self):
        """Bytes that are no text, numbers that are none, lines without end."""
        _, build = self.built(r"""{ odd = sh "odd-@tag@" ''
            mkdir -p $out/nix-support; echo hello > $out/x
            { printf 'file bin %s/w\377eird\n' $out; printf 'fi\000le nul %s/x\n' $out
              printf 'file t %s/x de\377fault\n' $out; head -c 2000000 /dev/zero | tr '\000' a; echo
              echo "file good $out/x"; } > $out/nix-support/hydra-build-products
            { echo inf inf; echo nan nan; echo big 1e999; printf 'b\377d 1\n'; printf 'unit 1 \377\n'
              echo good 2 ms; echo long $(head -c 400 /dev/zero | tr '\000' 9); } > $out/nix-support/hydra-metrics
            printf 'rel\377ease' > $out/nix-support/hydra-release-name
            printf 'log \377\000\n' >&2'' { }; }""")
        self.assert_built(build)
        self.assertEqual(self.world.build(build)["releasename"], None)
        self.assertIn("good", self.world.session.column("SELECT subtype FROM buildproducts"))
        good, = self.world.session.rows("SELECT value, unit FROM buildmetrics WHERE name = 'good'")
        self.assertEqual(good, {"value": 2.0, "unit": "ms"})
        self.assertEqual(self.world.session.column("SELECT name FROM buildmetrics WHERE value IN ('inf', 'nan')"), [])
        self.assert_orderly()

    def test_the_last_words_of_a_failed_build_are_no_text(self):
        _, build = self.built(r"""{ odd = sh "odd-@tag@" "printf 'last \\377\\376 \\000 words\\n' >&2
            exit 1" { }; }""")
        self.assert_columns(self.world.build(build), finished=1, buildstatus=1)
        step, = self.world.steps(build)
        self.assertIn("words", step["errormsg"])
        event, = self.world.notify.of(build, channels=("step_finished",))
        self.assertEqual(event.log, b"last \xff\xfe \0 words\n")
        self.assert_orderly()

    def test_projects_jobsets_and_jobs_with_odd_names(self):
        jobset = self.world.evaluator.jobset("\u00fc b\tc", project="p'\"\\:x")
        drvs = self.instantiate("""{ a = sh "a-@tag@" "mkdir -p $out/nix-support
            echo 'm 1' > $out/nix-support/hydra-metrics" { }; }""")
        build, = self.evaluate({"j\u00f6b\n'\"": drvs["a"]}, jobset=jobset).values()
        self.start()
        self.world.wait_finished(build)
        self.assert_built(build)
        metric, = self.world.session.rows("SELECT project, jobset, job FROM buildmetrics")
        self.assertEqual(metric, {"project": "p'\"\\:x", "jobset": "\u00fc b\tc", "job": "j\u00f6b\n'\""})
        self.assert_orderly()

    # -------------------------------------------------------------------------------------------------- databases

    def test_a_database_of_schema_86_is_served(self):
        self.world.session.run("UPDATE schemaversion SET version = 86;"
                               " ALTER TABLE buildsteps DROP COLUMN resolveddrvpath")
        drvs = self.instantiate("""rec { low = sh "low-@tag@" "echo low > $out" floating;
            above = sh "above-@tag@" "cat $low > $out" { inherit low; };
            bad = sh "bad-@tag@" "exit 1" { }; }""")
        self.start()
        ids = self.evaluate({name: drvs[name] for name in ("above", "bad")})
        self.world.wait_finished(*ids.values())
        self.assert_built(ids["above"])
        self.assert_columns(self.world.build(ids["bad"]), finished=1, buildstatus=1)
        self.assertEqual(self.world.session.column("SELECT stepnr FROM buildsteps WHERE status = 13"), [])
        self.assert_orderly()

    def test_builds_that_somebody_keeps_and_channels_are_built_like_any(self):
        drvs = self.instantiate('{ a = sh "a-@tag@" "echo x > $out" { }; }')
        build = self.evaluate(drvs)["a"]
        self.world.session.rows("UPDATE builds SET keep = 1, ischannel = 1, iscurrent = 0, priority = -5,"
                                " globalpriority = 2000000000, buildstatus = 6, starttime = 7, stoptime = 7,"
                                " iscachedbuild = 1 WHERE id = $1", build)
        self.start()
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assert_columns(self.world.build(build), keep=1, ischannel=1, iscurrent=0, priority=-5)
        self.assert_orderly()

    # ---------------------------------------------------------------------------------------------------- actions

    def flaky(self, count=3):
        gate = self.world.gate("mended")
        return self.instantiate('builtins.listToAttrs (builtins.genList (n: { name = "f${toString n}"; value ='
                                f' sh "f${{toString n}}-@tag@" "[ -e {gate} ] || exit 1; echo x > $out" {{ }}; }})'
                                f' {count}) // {{ good = sh "good-@tag@" "echo x > $out" {{ }}; }}')

    def test_all_failed_builds_of_an_evaluation_are_restarted(self):
        ids = self.evaluate(self.flaky())
        self.start()
        self.world.wait_finished()
        good = self.world.build(ids.pop("good"))
        self.world.open_gate("mended")
        self.world.web.restart_failed(self.world.session.value("SELECT max(id) FROM jobsetevals"))
        self.world.wait_finished()
        for build in ids.values():
            self.assert_built(build)
            self.assertEqual(self.statuses(build), [1, 0])
        self.assertEqual(self.world.build(good["id"]), good)
        self.assert_orderly()

    def test_failures_that_are_forgotten_are_tried_again_by_the_next_evaluation(self):
        drvs = self.flaky()
        first = self.evaluate(drvs)
        self.start()
        self.world.wait_finished()
        self.assertEqual(len(self.world.session.column("SELECT path FROM failedpaths")), 3)
        self.world.open_gate("mended")
        self.world.web.clear_failed_cache()
        second = self.evaluate(drvs, jobset=self.world.evaluator.jobset("second"))
        self.world.wait_finished()
        for name, build in second.items():
            self.assert_built(build, cached=int(name == "good"))
            self.assertEqual(self.world.build(first[name])["buildstatus"], 0 if name == "good" else 1)
        self.assert_orderly()


class HydraCompressedTest(HydraTest):
    notify = {"compresses": True}

    def test_a_log_of_a_second_attempt_lies_beside_the_compressed_one_of_the_first(self):
        drvs = self.instantiate(f"""{{ flaky = sh "flaky-@tag@"
            "[ -e {self.world.gate('mended')} ] || {{ echo first; exit 1; }}; echo second; echo x > $out" {{ }}; }}""")
        build = self.evaluate(drvs)["flaky"]
        self.start()
        self.world.wait_finished(build)
        file = self.world.log_file(drvs["flaky"])
        self.assertFalse(os.path.exists(file))
        with open(file + ".bz2", "rb") as log:
            self.assertEqual(bz2.decompress(log.read()), b"first\n")
        self.world.open_gate("mended")
        self.world.web.restart(build)
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assertEqual([event.log for event in self.world.notify.of(build, channels=("step_finished",))],
                         [b"first\n", b"second\n"])
        with open(file + ".bz2", "rb") as log:
            self.assertEqual(bz2.decompress(log.read()), b"second\n")
        self.assert_orderly()


if __name__ == "__main__":
    unittest.main(verbosity=2)
