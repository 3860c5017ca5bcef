# SPDX-License-Identifier: GPL-3.0-or-later
"""What the outputs of a build say of themselves in nix-support, through a whole farm: from NARs that are sent, from a
store that has them already, and from the server's cache."""

import hashlib
import json
import os
import re
import subprocess
import unittest

from build_test import NixStore
from farm import Farm

NIX = r"""
let
  sh = name: text: more: derivation ({
    inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" ("PATH=/bin:/usr/bin\n" + text) ];
  } // more);
  dep = sh "dep" "head -c 100000 /dev/zero > $out" { };
in {
  all = sh "all" ''
    mkdir -p $out/nix-support $out/share/doc $dev/nix-support $dev/include
    echo manual > $out/share/doc/index.html
    echo image > "$out/an image.iso"
    ln -s /etc/passwd $out/escape
    ln -s /etc $out/elsewhere
    echo $dep > $out/dep
    echo $dep > $dev/dep
    cat > $out/nix-support/hydra-build-products <<EOF
    doc manual $out/share/doc index.html
    file iso "$out/an image.iso"
    file link $out/escape
    file through $out/elsewhere/passwd
    file upward $out/../../../../../etc/passwd
    file plain /etc/passwd
    file missing $out/nothing
    file other $dep
    no product
    include c $dev/include
    EOF
    printf 'time 1.5 s\nnonsense\nbroken x\ncoverage 88 %%\ntime -2.5 ms\n' > $out/nix-support/hydra-metrics
    echo ' all-1.0 ' > $out/nix-support/hydra-release-name
    head -c 20971520 /dev/zero > $dev/nix-support/hydra-metrics
    : > $dev/nix-support/failed
  '' { outputs = [ "out" "dev" ]; inherit dep; };
  after = sh "after" "cat $all/dep > $out" { all = (import ./results.nix).all; };
  plain = sh "plain" "mkdir $out $dev; echo > $doc" { outputs = [ "out" "dev" "doc" ]; };
  odd = sh "odd" ''
    mkdir -p $out/nix-support $dev/nix-support/failed $lib
    ln -s /etc/passwd $out/nix-support/hydra-build-products
    head -c 100000 /dev/urandom > $out/nix-support/hydra-metrics
    printf 'two words' > $dev/nix-support/hydra-release-name
    ln -s $out/nix-support $lib/nix-support
  '' { outputs = [ "out" "dev" "lib" ]; };
}
"""
# sha256 and size of "image\n".
IMAGE = (hashlib.sha256(b"image\n").hexdigest(), 6)


class ResultsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nix = NixStore()
        cls.farm = Farm(env=cls.nix.env)
        # Else what was built before would be taken as it is, without a run that could say anything.
        cls.farm.server("--use-substitutes", "no")
        cls.farm.builder("b1", "--max-jobs", "2")
        cls.file = os.path.join(cls.farm.dir, "results.nix")
        with open(cls.file, "w", encoding="utf-8") as file:
            file.write(NIX)

    @classmethod
    def tearDownClass(cls):
        cls.farm.__exit__(None, None, None)
        cls.nix.close()

    def build(self, name):
        """The job and the run of its root."""
        self.farm.client("build", self.file, "-A", name, check=0)
        job = self.farm.get("/api/v1/jobs?limit=1")["jobs"][0]["id"]
        root = next(step for step in self.farm.get(f"/api/v1/jobs/{job}/steps")["steps"] if step["root"])
        return job, self.farm.get(f"/api/v1/runs/{root['attempt']}")

    def system_lines(self, run):
        log = self.farm.get(f"/api/v1/runs/{run['id']}/log?format=json")
        return "".join(piece["data"] for piece in log["records"] if piece["stream"] == "system")

    def nix_store(self, *words):
        return subprocess.run(["nix-store", *words], env=self.nix.env, capture_output=True, text=True, check=True,
                              timeout=60).stdout.split()

    def closure_bytes(self, *paths):
        closure = sorted(set(self.nix_store("-qR", *paths)))
        told = subprocess.run(["nix", "path-info", "--json", *closure], env=self.nix.env, capture_output=True,
                              check=True, timeout=60).stdout
        return sum(each["narSize"] for each in json.loads(told))

    def check_all(self, run):
        path = {output["name"]: output["path"] for output in run["outputs"]}
        products = {(each["type"], each["subtype"]): each for each in run["products"]}
        self.assertEqual([(each["type"], each["subtype"]) for each in run["products"]],
                         [("doc", "manual"), ("file", "iso"), ("file", "link"), ("include", "c")], "in their order")
        manual = products["doc", "manual"]
        self.assertEqual((manual["path"], manual["default_path"], manual["kind"], manual["name"], manual["output"]),
                         (path["out"] + "/share/doc", "index.html", "directory", "doc", "out"))
        image = products["file", "iso"]
        self.assertEqual((image["sha256"], image["size_bytes"]), IMAGE)
        self.assertEqual((image["kind"], image["path"]), ("file", path["out"] + "/an image.iso"))
        link = products["file", "link"]
        self.assertEqual((link["kind"], link["size_bytes"], link["sha256"]), ("symlink", None, None), "not followed")
        self.assertEqual(products["include", "c"]["path"], path["dev"] + "/include")
        self.assertEqual(run["metrics"], [{"name": "coverage", "value": 88.0, "unit": "%"},
                                          {"name": "time", "value": -2.5, "unit": "ms"}])
        self.assertEqual((run["release_name"], run["failed"]), ("all-1.0", True))
        self.assertEqual(run["size_bytes"], sum(each["nar_size_bytes"] for each in run["outputs"]))
        self.assertGreater(run["size_bytes"], 20971520)
        log = self.system_lines(run)
        for words in ("all/elsewhere/passwd' is not in", "without '..'", "'/etc/passwd'", "all/nothing' is not in",
                      "-dep' is no output", "20971520 bytes", "build-products: line 9:", "metrics: line 2:",
                      "line 3: 'x'"):
            self.assertIn(words, log)
        return path

    def test_1_all_four_files_of_several_outputs_are_told_and_what_escapes_is_not(self):
        job, run = self.build("all")
        path = self.check_all(run)
        self.assertEqual((run["state"], run["end"]), ("ended", "succeeded"))
        self.assertEqual(run["closure_size_bytes"], self.closure_bytes(*path.values()), "what both need counts once")
        shown = self.farm.get(f"/api/v1/jobs/{job}")
        self.assertEqual(shown["state"], "succeeded")
        [result] = shown["results"]
        self.assertEqual((result["run"], result["products"], result["failed"]), (run["id"], run["products"], True))
        text = self.farm.client("job", str(job), check=0).stdout.decode()
        for words in ("failed with output", "all-1.0", "time -2.5 ms", "an image.iso", "with all it needs"):
            self.assertIn(words, text)
        text = self.farm.client("runs", str(job), check=0).stdout.decode()
        self.assertIn("failed with output", text)
        self.assertIn("an image.iso", text)
        told = self.farm.json("runs", str(job))["runs"]
        self.assertIn(run["products"], [each["products"] for each in told])
        self.assertEqual(self.farm.json("job", str(job))["results"][0]["release_name"], "all-1.0")

    def test_2_a_build_that_was_there_already_says_the_same(self):
        _, run = self.build("all")
        self.assertEqual(run["end"], "cached")
        path = self.check_all(run)
        self.assertEqual(run["closure_size_bytes"], self.closure_bytes(*path.values()))

    def test_3_so_does_one_that_only_the_server_has(self):
        _, before = self.build("all")
        paths = [output["path"] for output in before["outputs"]]
        self.nix_store("--delete", *paths)
        _, run = self.build("all")
        self.assertEqual(run["end"], "cached")
        self.check_all(run)
        self.assertEqual([run[key] for key in ("products", "closure_size_bytes")],
                         [before[key] for key in ("products", "closure_size_bytes")])
        self.assertFalse([path for path in paths if os.path.exists(path)], "nothing was built or fetched for it")

    def test_4_dependents_of_a_failed_output_are_built(self):
        job, run = self.build("after")
        self.assertEqual((run["end"], run["failed"]), ("succeeded", False))
        steps = self.farm.get(f"/api/v1/jobs/{job}/steps")["steps"]
        steps = {step["name"].removesuffix(".drv"): step for step in steps}
        self.assertEqual({name: step["failed_with_output"] for name, step in steps.items()},
                         {"all": True, "after": False, "dep": False})
        text = self.farm.client("steps", "--job", str(job), check=0).stdout.decode()
        self.assertEqual(text.count("failed with output"), 1)

    def test_outputs_that_say_nothing_are_products_where_they_are_directories(self):
        _, run = self.build("plain")
        self.assertEqual([(each["type"], each["subtype"], each["name"], each["kind"], each["output"])
                          for each in run["products"]],
                         [("nix-build", "dev", "plain-dev", "directory", "dev"),
                          ("nix-build", "", "plain", "directory", "out")])
        self.assertEqual((run["metrics"], run["release_name"], run["failed"]), ([], None, False))
        self.assertEqual(self.system_lines(run), "")

    def test_nonsense_never_fails_a_build(self):
        _, run = self.build("odd")
        self.assertEqual((run["end"], run["failed"]), ("succeeded", True), "a folder named failed is a failure too")
        self.assertEqual((run["release_name"], run["metrics"]), (None, []))
        self.assertNotIn("passwd", json.dumps(run["products"]))
        log = self.system_lines(run)
        self.assertIsNone(re.search(r"[\x00-\x09\x0b-\x1f\x7f]", log), "nothing that moves a terminal's cursor")
        for words in ("hydra-build-products is a link", "two words", "nix-support is a link", "more"):
            self.assertIn(words, log)

    def test_a_command_has_none(self):
        [job] = self.farm.submit({"name": "t", "command": ["true"]})
        self.farm.wait_job(job)
        [run] = self.farm.runs(job)
        self.assertEqual((run["products"], run["metrics"], run["size_bytes"], run["closure_size_bytes"]),
                         ([], [], None, None))
        self.assertEqual(self.farm.job(job)["results"], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
