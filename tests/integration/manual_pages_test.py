#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual pages say what --help says: the same options, no more and no less; and man can read them."""

import os
import re
import subprocess
import unittest

BIN = os.environ["PENSTOCK_BIN_DIR"]
PAGES = os.path.join(os.environ["PENSTOCK_SOURCE_DIR"], "packaging", "man")


def options_of(text):
    return set(re.findall(r"(?<![\w-])--([a-z0-9][a-z0-9-]*)", text)) - {"help", "version"}


class ManualPages(unittest.TestCase):
    def compare(self, program, page, options=("--help",)):
        run = subprocess.run([os.path.join(BIN, program), *options], capture_output=True, text=True, timeout=60,
                             env=dict(os.environ, QT_QPA_PLATFORM="offscreen"))
        self.assertEqual(run.returncode, 0, run.stderr)
        # The explanation at the end of --help mentions options as examples.
        said = options_of(run.stdout.split("\nEach option can also be")[0])
        with open(os.path.join(PAGES, page), encoding="utf-8") as file:
            written = options_of("\n".join(line for line in file.read().replace("\\-", "-").split("\n")
                                           if line.startswith((".BI ", ".BR ", ".B "))))
        self.assertEqual(said - written, set(), f"{page} lacks these options of {program}")
        self.assertEqual(written - said, set(), f"{page} has options that {program} lacks")

    def test_the_server(self):
        self.compare("penstock-server", "penstock-server.8")

    def test_the_builder(self):
        self.compare("penstock-builder", "penstock-builder.8")

    def test_the_monitor(self):
        self.compare("penstock-monitor", "penstock-monitor.1")


if __name__ == "__main__":
    unittest.main()
