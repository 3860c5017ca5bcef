#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A builder that takes grants, written down as bytes: its word on a build counts only when the outputs are there."""

import os
import subprocess
import unittest

from build_test import NixStore
from farm import Farm, until
from hostile_test import field, fields
from older_builder_test import OlderBuilder, accepted
from transfer_test import QUICK, Sender, nar, nar_info

REPORT = bytes.fromhex("12022801")  # BuilderMessage.report: sequence 1


class GrantedBuilder(OlderBuilder):
    """Has the feature "grants" and builds nothing: it only says so."""

    def __init__(self, farm, store_dir):
        self.farm = farm
        facts = (field(1, "granted") + field(2, "x86_64-linux") + field(7, "nix") + field(8, 1) + field(9, 2) +
                 field(13, store_dir))
        self.hello = field(1, field(1, 1) + field(2, 1) + field(3, "grants") + field(4, "c" * 32) + field(5, "d" * 32) +
                           field(6, "test") + field(7, facts))
        super().__init__(farm.port)

    def send(self, payload):
        # The first word of the base class is an older builder's.
        super().send(self.hello if payload[:1] == b"\x0a" else payload)

    def work(self, number):
        """The assignment that came as so many, and what Nix is to do for it."""
        assignment = dict(until(lambda: self.assignments()[number:], f"assignment {number}")[0])
        self.send(accepted(assignment[1]))
        return assignment[1], dict(fields(assignment[7]))

    def succeeded(self, attempt, path):
        self.send(field(4, field(1, attempt) + field(2, 1) + field(6, 1) + field(7, 2) +
                        field(OUTPUTS, field(1, "out") + field(2, path))))


OUTPUTS = 13


class OutputsCheckTest(unittest.TestCase):
    def setUp(self):
        self.nix = NixStore()
        self.addCleanup(self.nix.close)
        # A heartbeat that this builder need not keep.
        self.farm = Farm(server_args=("--heartbeat", "20s", "--heartbeat-deadline", "60s"), env=self.nix.env)
        self.addCleanup(self.farm.__exit__, None, None, None)
        self.farm.server()
        self.builder = GrantedBuilder(self.farm, f"{self.nix.dir}/store")
        self.addCleanup(self.builder.link.close)
        until(lambda: self.builder.all(1), "the welcome")
        self.builder.send(REPORT)
        until(lambda: self.farm.get("/api/v1/machines/granted")["state"] == "ready", "the machine is ready")
        file = os.path.join(self.farm.dir, "quick.nix")
        with open(file, "w", encoding="utf-8") as out:
            out.write(QUICK.replace("NAME", "quick").replace("END", "echo 1 > $out"))
        drv = subprocess.run(["nix-instantiate", file], env=self.nix.env, capture_output=True, text=True,
                             check=True).stdout.strip()
        self.output = subprocess.run(["nix-store", "-q", "--outputs", drv], env=self.nix.env, capture_output=True,
                                     text=True, check=True).stdout.strip()
        self.client = self.farm.start_client("build", file)
        self.addCleanup(self.client.communicate)
        self.addCleanup(self.client.kill)

    def bring(self, attempt, grant):
        sender = Sender(self.farm, attempt, grant)
        archive = nar(b"1\n")
        _, plans = sender.announce(nar_info(self.output, archive))
        self.assertEqual(sender.put(plans["paths"][0], archive)[0], 201)
        self.assertEqual(sender.publish(self.output)[0], 200)

    def test_success_counts_when_the_outputs_are_there_and_not_before(self):
        first, work = self.builder.work(0)
        self.assertTrue(work[5].decode().startswith(f"attempt-{first}-"), work[5])
        self.builder.succeeded(first, self.output)
        runs = until(lambda: [run for run in self.farm.runs(1) if run["state"] == "ended"], "the first try is over")
        self.assertEqual(runs[0]["end"], "infrastructure")
        self.assertIn(f"its output {self.output} is not in", runs[0]["error"])
        second, work = self.builder.work(1)
        self.assertNotEqual(first, second)
        self.bring(second, work[5].decode())
        self.builder.succeeded(second, self.output)
        self.assertEqual(self.farm.wait_job(1)["state"], "succeeded")
        self.assertEqual(self.farm.metric("penstock_cache_outputs_missing_total"), 1)
        # The grant ended with its attempt.
        status, answer = Sender(self.farm, second, work[5].decode()).announce(nar_info(self.output, nar(b"2")))
        self.assertEqual(status, 401, answer)

    def test_an_output_under_another_name_is_no_success(self):
        attempt, work = self.builder.work(0)
        self.bring(attempt, work[5].decode())
        self.builder.succeeded(attempt, self.output[:-1] + "x")
        runs = until(lambda: [run for run in self.farm.runs(1) if run["state"] == "ended"], "the first try is over")
        self.assertEqual(runs[0]["end"], "infrastructure")
        self.assertIn(f"names no output out as {self.output}", runs[0]["error"])


if __name__ == "__main__":
    unittest.main()
