# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the text of files: bans, words, sizes, licence lines, connects without a context."""

import re

from source_tree import matches

MAX_LINES = 500
SOFT_LINES = 400
MAX_COLUMNS = 120
SOFT_FUNCTION = 60


class Ban:
    def __init__(self):
        self.regex = None
        self.raw = False
        self.python = False
        self.inside = []
        self.exceptions = []
        self.say = ""


def read_bans(tree):
    bans, current, mistakes = [], None, []
    for line in tree.rules("bans.txt") + [""]:
        if not line.strip():
            if current is not None:
                bans.append(current)
            current = None
            continue
        key, _, value = line.partition(" ")
        value = value.strip()
        current = current or Ban()
        if key in ("ban", "raw", "py"):
            current.regex = re.compile(value)
            current.raw = key != "ban"
            current.python = key == "py"
        elif key == "in":
            current.inside = value.split()
        elif key == "not":
            pattern, _, reason = value.partition(" -- ")
            if not reason.strip():
                mistakes.append(f"tests/tidy/bans.txt: exception {pattern} gives no reason after \" -- \"")
            current.exceptions.append(pattern.strip())
        elif key == "say":
            current.say = value
        else:
            mistakes.append(f"tests/tidy/bans.txt: unknown key {key}")
    return bans, mistakes


def bans(tree):
    """Nothing of tests/tidy/bans.txt."""
    table, mistakes = read_bans(tree)
    yield from mistakes
    for file in tree.sources() + tree.ending(".py"):
        active = [b for b in table if b.python == file.path.endswith(".py")
                  and (not b.inside or matches(file.path, b.inside)) and not matches(file.path, b.exceptions)]
        for ban in active:
            text = file.text if ban.raw else file.code
            if not ban.regex.search(text) and not ban.regex.pattern.startswith("^"):
                continue
            for number, line in enumerate(file.lines if ban.raw else file.code_lines, 1):
                found = ban.regex.search(line)
                if found:
                    yield f"{file.path}:{number}: \"{found.group(0).strip()}\" is refused: {ban.say}"


def words(tree):
    """No words that mark unfinished work."""
    allowed, patterns = {}, []
    for line in tree.rules("words.txt"):
        if line.startswith("allow "):
            excuse, _, reason = line.removeprefix("allow ").partition(" -- ")
            path, _, word = excuse.partition(" ")
            allowed.setdefault(path, []).append(word.strip().lower())
            if not reason.strip():
                yield f"tests/tidy/words.txt: \"{line}\" gives no reason after \" -- \""
        elif line.strip():
            patterns.append(f"(?:{line})")
    any_word = re.compile("|".join(patterns), re.IGNORECASE)
    for file in tree.sources() + tree.scripts():
        if not patterns or file.path.startswith("tests/tidy/") or not any_word.search(file.text):
            continue
        for number, line in enumerate(file.lines, 1):
            found = any_word.search(line)
            if found and not any(word in found.group(0).lower() for word in allowed.get(file.path, [])):
                yield f"{file.path}:{number}: \"{found.group(0)}\": finish it, or say in the README what is absent"


def spdx(tree):
    """Every source and script names its licence in the first two lines."""
    for file in tree.sources() + tree.scripts():
        if not any("SPDX-License-Identifier: GPL-3.0-or-later" in line for line in file.lines[:2]):
            yield f"{file.path}: the first line should be // SPDX-License-Identifier: GPL-3.0-or-later"
    for file in tree.sources():
        if file.path.endswith(".h") and file.folder != "shared/cmake" and "#pragma once" not in file.text:
            yield f"{file.path}: #pragma once is missing"


def sizes(tree):
    """No file over 500 lines, no line over 120 columns."""
    for file in tree.sources() + tree.ending(".py"):
        count = len(file.text.splitlines())
        if count > MAX_LINES:
            yield f"{file.path}: {count} lines, the limit is {MAX_LINES}; does it hold more than one thing?"
        for number, line in enumerate(file.lines, 1):
            if len(line) > MAX_COLUMNS and "NOLINT" not in line:  # which must stand on the line it excuses
                yield f"{file.path}:{number}: {len(line)} columns, the limit is {MAX_COLUMNS}"


def size_reports(tree):
    """Not failures: files over 400 lines and functions over 60, to look at."""
    for file in tree.sources():
        count = len(file.text.splitlines())
        if SOFT_LINES < count <= MAX_LINES:
            yield f"{file.path}: {count} lines (over {SOFT_LINES})"
        start = None
        for number, line in enumerate(file.code_lines, 1):
            # House style: only a function has its brace on a line of its own.
            if line.rstrip() in ("{", "    {") and start is None:
                start, closing = number, line.rstrip().replace("{", "}")
            elif start is not None and line.rstrip() == closing:
                if number - start - 1 > SOFT_FUNCTION:
                    yield f"{file.path}:{start}: function of {number - start - 1} lines (over {SOFT_FUNCTION})"
                start = None


def arguments_after(text, opening):
    """The top-level arguments of the call whose parenthesis opens at this offset."""
    parts, depth, start = [], 0, opening + 1
    for offset in range(opening, min(len(text), opening + 4000)):
        letter = text[offset]
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
            if depth == 0:
                return parts + [text[start:offset].strip()]
        elif letter == "," and depth == 1:
            parts.append(text[start:offset].strip())
            start = offset + 1
    return parts


def connects(tree):
    """A connect to a lambda names the context object whose life and thread bound it."""
    call = re.compile(r"\bconnect\s*\(")
    for file in tree.sources():
        for found in call.finditer(file.code):
            parts = arguments_after(file.code, found.end() - 1)
            if len(parts) >= 3 and parts[2].startswith("["):
                number = file.code.count("\n", 0, found.start()) + 1
                yield f"{file.path}:{number}: connect without a context: sender, signal, context, lambda"
