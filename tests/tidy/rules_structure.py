# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about how the tree hangs together: layers, what is built, READMEs, the documented tree, message fields."""

import os
import re

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
PROTO_FIELD = re.compile(r"^\s*(?:repeated\s+|optional\s+)?(?:map\s*<[^>]*>|[\w.]+)\s+(\w+)\s*=\s*\d+\s*[;\[]")
ACCESSOR = re.compile(r"\b(?:set_allocated_|set_|add_|mutable_|has_|clear_|release_)?(\w+?)(?:_size)?\s*\(")


def read_layers(tree):
    layers = {}
    for line in tree.rules("layers.txt"):
        if ":" in line:
            module, allowed = line.split(":", 1)
            layers[module.strip()] = allowed.split()
    return layers


def module_of(path, layers):
    folder = os.path.dirname(path)
    while folder:
        if folder in layers:
            return folder
        folder = os.path.dirname(folder)
    return None


def allows(allowed, module):
    return any(module.startswith(word[:-1]) if word.endswith("*") else module == word for word in allowed)


def find_cycle(edges):
    state = {}

    def visit(module, trail):
        state[module] = "open"
        for target in sorted(edges.get(module, ())):
            if state.get(target) == "open":
                return trail[trail.index(target):] + [target]
            if target not in state:
                found = visit(target, trail + [target])
                if found:
                    return found
        state[module] = "closed"
        return None

    for module in sorted(edges):
        if module not in state:
            found = visit(module, [module])
            if found:
                return found
    return None


def layers(tree):
    """Every include follows tests/tidy/layers.txt; no cycles; nobody looks into another module's detail/."""
    table = read_layers(tree)
    edges = {}
    for file in tree.sources():
        module = module_of(file.path, table)
        if module is None:
            yield f"{file.path}: its folder has no line in tests/tidy/layers.txt; add one"
            continue
        for number, line in enumerate(file.lines, 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            target_path = found.group(1)
            where = f"{file.path}:{number}"
            if "/" not in target_path or target_path.startswith("."):
                if not target_path.endswith(".moc"):
                    yield f'{where}: #include "{target_path}": write it from the repository root'
                continue
            target = module_of(target_path, table)
            if target is None:
                yield f"{where}: {target_path} is in no module of tests/tidy/layers.txt"
                continue
            if target == module:
                continue
            if not target_path.endswith(".pb.h") and not tree.has(target_path):
                yield f"{where}: {target_path} does not exist"
            edges.setdefault(module, set()).add(target)
            if not allows(table[module], target):
                yield f"{where}: {module} may not include {target} (tests/tidy/layers.txt); pass values in, or move it"
            if "/detail/" in target_path and not module.startswith("tests"):
                yield f"{where}: {target_path} is private to {target}"
    cycle = find_cycle({m: t for m, t in edges.items() if not m.startswith(("tests", "bench"))})
    if cycle:
        yield "modules include each other in a circle: " + " -> ".join(cycle)


def cmake_tokens(tree):
    tokens = {}
    for path in tree.paths:
        if os.path.basename(path) == "CMakeLists.txt":
            text = re.sub(r"#[^\n]*", "", tree.file(path).text)
            tokens[os.path.dirname(path)] = set(re.split(r'[\s()"]+', text))
    return tokens


def is_named(relative, tokens):
    if relative in tokens or "${CMAKE_CURRENT_SOURCE_DIR}/" + relative in tokens:
        return True
    for token in tokens:
        if "${" in token and token.endswith(".cpp"):  # written once in a foreach
            pattern = re.escape(re.sub(r"\$\{[^}]*\}", "\0", token)).replace("\0", ".*").replace("\\\0", ".*")
            if re.fullmatch(pattern, relative):
                return True
    return False


def built(tree):
    """Every .cpp is named by a CMakeLists.txt of its folder or one above."""
    tokens = cmake_tokens(tree)
    for file in tree.sources():
        if not file.path.endswith(".cpp"):
            continue
        folder = file.folder
        while True:
            relative = os.path.relpath(file.path, folder or ".")
            if folder in tokens and is_named(relative, tokens[folder]):
                break
            if not folder:
                yield f"{file.path}: no CMakeLists.txt builds it; add it to its module or remove it"
                break
            folder = os.path.dirname(folder)


def is_described_above(tree, folder):
    """A program may describe its modules in one README: a table row a folder ("| replica | ...")."""
    parent, _, name = folder.rpartition("/")
    readme = os.path.join(parent, "README.md")
    return bool(parent) and tree.has(readme) and f"\n| {name} |" in tree.file(readme).text


def readmes(tree):
    """Every module folder has a README.md of at most 40 lines, or a row in that of its program."""
    for path in tree.paths:
        if os.path.basename(path) != "CMakeLists.txt" or path.startswith("tests/"):
            continue
        if "penstock_module(" not in tree.file(path).text:
            continue
        folder = os.path.dirname(path)
        readme = os.path.join(folder, "README.md")
        if not tree.has(readme) and not is_described_above(tree, folder):
            yield f"{readme} is missing: purpose, invariants, what is deliberately absent, thread, how it is tested"
    for path in tree.paths:
        if os.path.basename(path) == "README.md" and "/" in path and not path.startswith("docs/"):
            count = len(tree.file(path).text.splitlines())
            if count > 40:
                yield f"{path} has {count} lines, the limit is 40"


def links(tree):
    """Every relative link in a Markdown file leads to a file."""
    for file in tree.ending(".md"):
        for number, line in enumerate(file.lines, 1):
            for target in re.findall(r"\]\(([^)#\s]+)\)", line):
                if "://" not in target and not tree.has(os.path.join(file.folder, target)):
                    yield f"{file.path}:{number}: {target} does not exist"


def documented_folders(text):
    block = re.search(r"^```tree\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    if not block:
        return None
    return [line.split()[0] for line in block.group(1).splitlines() if line.strip() and line.split()[0].endswith("/")
            or line.strip() and line.split()[0].endswith("/**")]


def documented_tree(tree):
    """The folders of ARCHITECTURE.md's ```tree block are those with sources ("a/**": all below a; no detail/)."""
    if not tree.has("ARCHITECTURE.md"):
        yield "ARCHITECTURE.md is missing"
        return
    listed = documented_folders(tree.file("ARCHITECTURE.md").text)
    if listed is None:
        yield "ARCHITECTURE.md has no ```tree block that lists the folders"
        return
    exact = {entry.rstrip("/") for entry in listed if not entry.endswith("/**")}
    below = tuple(entry[:-2] for entry in listed if entry.endswith("/**"))
    real = {os.path.dirname(p) for p in tree.paths
            if p.endswith((".cpp", ".h", ".proto", ".cmake", ".py"))}
    real = {folder for folder in real if folder and not folder.endswith("detail")}
    for folder in sorted(real):
        if folder not in exact and not (folder + "/").startswith(below or ("\0",)):
            yield f"ARCHITECTURE.md's tree does not list {folder}/"
    for entry in sorted(listed):
        if not os.path.isdir(os.path.join(tree.root, entry.rstrip("*").rstrip("/"))):
            yield f"ARCHITECTURE.md's tree lists {entry}, which does not exist"


def proto_fields(tree):
    """Every message field is used by name in C++ code, or excused in tests/tidy/proto_unused.txt."""
    used = set()
    for file in tree.sources():
        used.update(ACCESSOR.findall(file.code))
    excused = {}
    for line in tree.rules("proto_unused.txt"):
        if line.strip():
            name, _, reason = line.partition(" -- ")
            if not reason.strip():
                yield f"tests/tidy/proto_unused.txt: \"{line}\" gives no reason after \" -- \""
            excused[tuple(name.split())] = False
    for file in tree.ending(".proto"):
        for number, line in enumerate(file.lines, 1):
            found = PROTO_FIELD.match(line.split("//")[0])
            if not found or line.strip().startswith(("reserved", "option", "syntax")):
                continue
            field = found.group(1)
            if field[0].isupper() or field in used or field + "_" in used:  # "namespace" is namespace_() in C++
                continue  # an enumerator, or in use
            key = (os.path.basename(file.path), field)
            if key in excused:
                excused[key] = True
            else:
                yield (f"{file.path}:{number}: field {field} is used nowhere; "
                       "use it, reserve its number, or excuse it")
    for key, seen in excused.items():
        if not seen:
            yield f"tests/tidy/proto_unused.txt: {' '.join(key)} is in use or gone; remove the line"
