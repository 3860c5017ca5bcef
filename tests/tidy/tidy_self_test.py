#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules against small trees with planted faults: each fault is found, and its innocent twin is not."""

import os
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules_structure  # noqa: E402
import rules_text  # noqa: E402
from source_tree import SourceTree  # noqa: E402

LAYERS = "a:\nb: a\nb/inner: a b\ntests: *\n"
BANS = ("ban \\bbad\\b\nin a/** b/*.cpp\nnot a/ok.cpp -- a reason\nsay be good\n\nraw <evil>\nsay no\n\n"
        "py \\blazy\nsay work\n")
WORDS = "\\bFIXME\\b\nallow a/x.h fixme -- a name\n"


class Planted(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="penstock-tidy-")
        self.addCleanup(shutil.rmtree, self.root)
        self.rules = os.path.join(self.root, ".rules")
        self.write(".rules/layers.txt", LAYERS)
        self.write(".rules/bans.txt", BANS)
        self.write(".rules/words.txt", WORDS)
        self.write(".rules/proto_unused.txt", "")

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def found(self, rule):
        return "\n".join(rule(SourceTree(self.root, self.rules)))

    def test_layers_refuse_an_edge_that_is_not_listed(self):
        self.write("a/x.h", '#include "b/y.h"\n')
        self.write("b/y.h", '#include "a/x.h"\n')
        report = self.found(rules_structure.layers)
        self.assertIn("a/x.h:1: a may not include b", report)
        self.assertIn("in a circle: a -> b -> a", report)

    def test_layers_accept_what_is_listed(self):
        self.write("a/x.h", "#include <vector>\n")
        self.write("b/inner/y.h", '#include "a/x.h"\n')
        self.assertEqual(self.found(rules_structure.layers), "")

    def test_layers_guard_private_and_unknown_folders(self):
        self.write("a/detail/p.h", "")
        self.write("b/y.h", '#include "a/detail/p.h"\n#include "x.h"\n#include "a/gone.h"\n')
        self.write("z/new.cpp", "")
        report = self.found(rules_structure.layers)
        self.assertIn("private to a", report)
        self.assertIn("write it from the repository root", report)
        self.assertIn("a/gone.h does not exist", report)
        self.assertIn("z/new.cpp: its folder has no line", report)

    def test_unbuilt_files_are_found_and_foreach_names_understood(self):
        self.write("a/CMakeLists.txt", "x(one.cpp # two.cpp\n  f_${name}.cpp)\n")
        for name in ("one", "two", "f_three"):
            self.write(f"a/{name}.cpp", "")
        report = self.found(rules_structure.built)
        self.assertIn("a/two.cpp", report)
        self.assertNotIn("one.cpp", report)
        self.assertNotIn("three", report)

    def test_modules_need_a_short_readme(self):
        self.write("a/CMakeLists.txt", "penstock_module(NAME a)")
        self.assertIn("a/README.md is missing", self.found(rules_structure.readmes))
        self.write("a/README.md", "x\n" * 41)
        self.assertIn("41 lines", self.found(rules_structure.readmes))
        self.write("a/README.md", "x\n" * 40)
        self.assertEqual(self.found(rules_structure.readmes), "")

    def test_the_documented_tree_is_the_real_one(self):
        self.write("a/x.h", "")
        self.write("t/deep/y.h", "")
        self.write("ARCHITECTURE.md", "```tree\ngone/   not there\nt/**  tests\n```\n")
        report = self.found(rules_structure.documented_tree)
        self.assertIn("does not list a/", report)
        self.assertIn("lists gone/", report)
        self.assertNotIn("deep", report)

    def test_links_lead_somewhere(self):
        self.write("a/README.md", "[x](x.h) [y](gone.png) [z](https://example.org/z)\n")
        self.write("a/x.h", "")
        self.assertEqual(self.found(rules_structure.links), "a/README.md:1: gone.png does not exist")

    def test_message_fields_must_be_used(self):
        self.write("p.proto", "message M {\n  string name = 1;\n"
                              "  repeated uint64 many_ids = 2;\n  int32 lost = 3;\n}\n")
        self.write("a/x.cpp", "m.set_name(x); m.many_ids_size(); // lost()\n")
        report = self.found(rules_structure.proto_fields)
        self.assertIn("p.proto:4: field lost", report)
        self.assertEqual(report.count("field"), 1)
        self.write(".rules/proto_unused.txt", "p.proto lost -- kept for older peers\np.proto name -- none\n")
        report = self.found(rules_structure.proto_fields)
        self.assertNotIn("field lost", report)
        self.assertIn("p.proto name is in use or gone", report)

    def test_bans_look_at_code_and_not_at_comments_or_strings(self):
        self.write("a/x.cpp", 'int n = 1\'000; // bad\nauto s = "bad"; auto r = R"(bad\nbad)";\nint bad;\n')
        self.write("a/ok.cpp", "int bad;\n")
        self.write("b/deep/y.cpp", "int bad;\n")
        self.write("b/y.h", "#include <evil>\n")
        report = self.found(rules_text.bans)
        self.assertIn('a/x.cpp:4: "bad" is refused: be good', report)
        self.assertIn("b/y.h:1", report)
        self.assertEqual(len(report.split("\n")), 2)

    def test_bans_of_scripts_are_apart_from_those_of_sources(self):
        self.write("a/x.py", "bad()  # fine here\nlazy()\n")
        self.write("a/y.cpp", "int lazy;\n")
        self.assertEqual(self.found(rules_text.bans), 'a/x.py:2: "lazy" is refused: work')

    def test_exceptions_need_reasons(self):
        self.write(".rules/bans.txt", "ban x\nnot a/**\nsay y\n")
        self.write(".rules/words.txt", "x\nallow a/b.h x\n")
        self.assertIn("gives no reason", self.found(rules_text.bans))
        self.assertIn("gives no reason", self.found(rules_text.words))

    def test_words_of_unfinished_work(self):
        self.write("a/x.h", "// FIXME\n")
        self.write("a/y.h", "// fixme later\n")
        self.assertEqual(self.found(rules_text.words).count("y.h:1"), 1)
        self.assertNotIn("x.h", self.found(rules_text.words))

    def test_licence_lines_and_include_guards(self):
        self.write("a/x.h", "int x;\n")
        self.write("a/y.h", "// SPDX-License-Identifier: GPL-3.0-or-later\n#pragma once\n")
        report = self.found(rules_text.spdx)
        self.assertIn("a/x.h: the first line", report)
        self.assertIn("a/x.h: #pragma once", report)
        self.assertNotIn("a/y.h", report)

    def test_sizes_at_the_limit_and_beyond(self):
        self.write("a/x.cpp", "x\n" * 500)
        self.write("a/y.cpp", "x\n" * 501 + "w" * 121)
        report = self.found(rules_text.sizes)
        self.assertNotIn("a/x.cpp", report)
        self.assertIn("a/y.cpp: 502 lines", report)
        self.assertIn("a/y.cpp:502: 121 columns", report)

    def test_connect_to_a_lambda_needs_a_context(self):
        self.write("a/x.cpp", "connect(a, &A::s, [this](int x, int y) { f(x); });\n"
                              "connect(a, &A::s,\n  this, [this] {});\nconnect(a, &A::s, b, &B::t);\n")
        report = self.found(rules_text.connects)
        self.assertIn("a/x.cpp:1", report)
        self.assertEqual(len(report.split("\n")), 1)

    def test_long_functions_are_reported(self):
        self.write("a/x.cpp", "void f()\n{\n" + "    g();\n" * 61 + "}\nvoid h()\n{\n" + "    g();\n" * 60 + "}\n")
        report = self.found(rules_text.size_reports)
        self.assertEqual(report, "a/x.cpp:2: function of 61 lines (over 60)")


if __name__ == "__main__":
    unittest.main()
