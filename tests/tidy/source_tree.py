# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the checkout, read once, with their comments and strings blanked for the rules that look at code."""

import fnmatch
import functools
import os
import re

SOURCE_ENDINGS = (".cpp", ".h")
SCRIPT_ENDINGS = (".py", ".sh", ".cmake", ".proto", ".sql", "CMakeLists.txt")
SCRIPT_NAMES = ("dev", ".ci/run")
SKIPPED = {"build", ".git", "__pycache__", ".cache"}

# Raw strings, comments, strings, characters; a quote between digits is C++'s digit separator.
TOKENS = re.compile(
    r'R"(?P<d>[^()\s\\]{0,16})\((?:.|\n)*?\)(?P=d)"'
    r"|//[^\n]*|/\*(?:.|\n)*?\*/"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'"
)


def blank(match):
    text = match.group(0)
    lines = "\n" * text.count("\n")
    return '""' + lines if text[0] in "\"R" else " " + lines


class SourceFile:
    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            self.text = file.read()
        self.lines = self.text.split("\n")

    @property
    def folder(self):
        return os.path.dirname(self.path)

    @functools.cached_property
    def code(self):
        """The text without comments and string contents; line numbers stay."""
        return TOKENS.sub(blank, self.text)

    @functools.cached_property
    def code_lines(self):
        return self.code.split("\n")


class SourceTree:
    def __init__(self, root, rules_folder):
        self.root = root
        self.rules_folder = rules_folder
        self.paths = sorted(self._walk())
        self._files = {}

    def _walk(self):
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in SKIPPED and not (f.startswith(".") and f != ".ci")
                          and not f.startswith("cmake-build")]
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), self.root)

    def file(self, path):
        if path not in self._files:
            self._files[path] = SourceFile(self.root, path)
        return self._files[path]

    def has(self, path):
        return os.path.exists(os.path.join(self.root, path))

    def sources(self):
        """Our C++ files."""
        return [self.file(p) for p in self.paths if p.endswith(SOURCE_ENDINGS)]

    def scripts(self):
        return [self.file(p) for p in self.paths if p.endswith(SCRIPT_ENDINGS) or p in SCRIPT_NAMES]

    def ending(self, ending):
        return [self.file(p) for p in self.paths if p.endswith(ending)]

    def rules(self, name):
        """The lines of a rule file without its comments."""
        with open(os.path.join(self.rules_folder, name), encoding="utf-8") as file:
            return [line for line in file.read().split("\n") if not line.startswith("#")]


@functools.lru_cache(maxsize=None)
def pattern_to_regex(pattern):
    return re.compile(re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*") + r"\Z")


def matches(path, patterns):
    return any(pattern_to_regex(pattern).match(path) for pattern in patterns)
