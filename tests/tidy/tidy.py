#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the house that a machine can check.

    tidy.py [--root DIR] [--rules-from DIR] [RULE…]
                                   exit 0: nothing found; 1: findings, one a line; 2: no such rule
    tidy.py --list                   the rules and what they ask
    tidy.py --report                 what is over the soft limits; never fails
"""

import argparse
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules_structure  # noqa: E402
import rules_text  # noqa: E402
from source_tree import SourceTree  # noqa: E402

RULES = {
    "layers": rules_structure.layers,
    "built": rules_structure.built,
    "readmes": rules_structure.readmes,
    "tree": rules_structure.documented_tree,
    "links": rules_structure.links,
    "proto": rules_structure.proto_fields,
    "bans": rules_text.bans,
    "connects": rules_text.connects,
    "words": rules_text.words,
    "spdx": rules_text.spdx,
    "sizes": rules_text.sizes,
}


def main():
    parser = argparse.ArgumentParser(description="checks the rules of the house")
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    parser.add_argument("--rules-from", default=here, metavar="DIR", help="the folder of layers.txt, bans.txt, …")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("rules", nargs="*")
    options = parser.parse_args()
    if options.list:
        for name, rule in RULES.items():
            print(f"{name:10} {rule.__doc__}")
        return 0
    tree = SourceTree(os.path.abspath(options.root), options.rules_from)
    if options.report:
        for line in rules_text.size_reports(tree):
            print(line)
        return 0
    unknown = [name for name in options.rules if name not in RULES]
    if unknown:
        print(f"tidy: no rule {unknown[0]}; the rules are {', '.join(RULES)}", file=sys.stderr)
        return 2
    count = 0
    for name in options.rules or RULES:
        for finding in RULES[name](tree):
            print(f"[{name}] {finding}")
            count += 1
    print(f"tidy: {count} findings")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
