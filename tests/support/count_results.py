#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts test cases for ./dev test: prints "PASSED FAILED".

    count_results.py DIR

DIR holds ctest.junit (what ctest ran) and GoogleTest's XML files, one a program. A ctest entry with an XML file
counts as its test cases; one without (a script, or a program that died before it could write) counts as one. An
entry that ctest calls failed although all its cases passed (a crash at exit, a sanitizer's report) adds a failure.
"""

import glob
import os
import sys
import xml.etree.ElementTree as ElementTree


def cases(path):
    """(passed, failed) of one GoogleTest XML file."""
    failed = passed = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.get("status") == "notrun":
            continue
        if case.find("failure") is not None:
            failed += 1
        else:
            passed += 1
    return passed, failed


def main():
    folder = sys.argv[1]
    passed = failed = 0
    for entry in ElementTree.parse(os.path.join(folder, "ctest.junit")).getroot().iter("testcase"):
        good = entry.get("status") == "run"
        counted = counted_failed = 0
        for path in glob.glob(os.path.join(folder, f"test_{entry.get('name')}.xml")):
            try:
                case_passed, case_failed = cases(path)
            except ElementTree.ParseError:  # cut short by a crash: ctest's verdict stands alone
                continue
            counted += case_passed + case_failed
            counted_failed += case_failed
        if counted == 0:
            counted, counted_failed = 1, 0 if good else 1
        elif not good and counted_failed == 0:
            counted, counted_failed = counted + 1, 1
        passed += counted - counted_failed
        failed += counted_failed
    print(passed, failed)


if __name__ == "__main__":
    main()
