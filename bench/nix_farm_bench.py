#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Question: what does the farm cost Nix builds whose stores share nothing (builder: a chroot store, server: a cache)?

  dag       N trivial derivations, eight wide, each of three below it, through server and one builder with two slots,
            beside `nix-store -r -j2` of the same derivations in a chroot store of its own. Alternating, the median of
            the ratios counts. Budget: 1.1 times its time.
  paths     N paths of so many bytes from one chroot store into the server's cache, and from there into an empty one, by
            the code of builders; beside `nix copy` between the same two stores. The median of the turns counts, each
            turn is shown. Budget: large paths (500 of 4 MB) arrive at 1.5 times the speed of nix copy, tiny ones
            (10,000 of 100 bytes) at 1,000 a second each way.
  memory    one path of so many bytes the same way: peak memory of server and tool. Budget: 200 MB each.

Every wait is bounded. Wall times are of this machine in this hour: read ratios. CPU is that of the processes measured
and of their children."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/integration"))
from farm import BIN, Farm, until  # noqa: E402

TOOL = os.path.join(BIN, "../bench/tools/road_tool")
ACCOUNT = f"/sys/fs/cgroup/cpuacct/penstock-bench-{os.getpid()}"

LIMIT = 900
CONFIG = """experimental-features = nix-command
substituters =
builders =
build-users-group =
sandbox = true
sandbox-fallback = false
sandbox-paths = /bin /usr /lib /lib64
"""
DAG = """
let
  node = n: below: derivation {{ name = "n${{toString n}}-{tag}"; system = builtins.currentSystem;
    builder = "/bin/sh"; args = [ "-c" "echo $below > $out" ]; inherit below; }};
  wrapped = i: if i < 8 then i else i - 8;
  layer = k: if k == 0 then [ ] else let
      under = layer (k - 1);
      below = i: if under == [ ] then [ ] else map (d: builtins.elemAt under (wrapped (i + d))) [ 0 1 3 ];
    in builtins.genList (i: node (k * 8 + i) (below i)) 8;
in node 0 (layer {layers})
"""


class Store:
    """A chroot store with a daemon; its paths have the names of the given store directory."""

    def __init__(self, directory, name, env):
        self.root = f"{directory}/{name}"
        self.socket = f"{directory}/{name}.sock"
        self.env = dict(env, NIX_REMOTE=f"unix://{self.socket}")
        with open(f"{directory}/{name}.log", "ab") as log:
            self.daemon = subprocess.Popen(["nix-daemon"], env=dict(env, NIX_REMOTE=self.root,
                                                                    NIX_DAEMON_SOCKET_PATH=self.socket),
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        until(lambda: subprocess.run(["nix", "store", "ping"], env=self.env, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL).returncode == 0, f"the nix-daemon of {name} answers")

    def close(self):
        if self.daemon.poll() is None:
            os.killpg(self.daemon.pid, signal.SIGKILL)
            self.daemon.wait()


class Stores:
    """One store directory for all, so that derivations have the same names; nothing in common else."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="penstock-bench-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        env = {name: value for name, value in os.environ.items() if not name.startswith("NIX_")}
        env.update(HOME=f"{self.dir}/home", XDG_CACHE_HOME=f"{self.dir}/xdg", NIX_CONF_DIR=f"{self.dir}/conf",
                   NIX_CONFIG=CONFIG, NIX_STORE_DIR=f"{self.dir}/store")
        for folder in ("home", "xdg", "conf"):
            os.mkdir(f"{self.dir}/{folder}")
        self.env = env
        self.opened = []
        self.local = dict(env, NIX_STATE_DIR=f"{self.dir}/state", NIX_LOG_DIR=f"{self.dir}/log", NIX_REMOTE="local")

    def open(self, name):
        store = Store(self.dir, name, self.env)
        self.opened.append(store)
        return store

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for store in self.opened:
            store.close()
        subprocess.run(["chmod", "-R", "u+w", self.dir], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


def run(*command, env, quiet=True):
    return subprocess.run(command, env=env, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if quiet else None).stdout


def timed(work):
    """Wall seconds."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


@contextlib.contextmanager
def accounted():
    """Gives a function that tells the CPU seconds of this program and all it started; None where nobody counts."""
    try:
        os.mkdir(ACCOUNT)
        with open(f"{ACCOUNT}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    except OSError:
        yield lambda: None
        return

    def used():
        with open(f"{ACCOUNT}/cpuacct.usage", encoding="ascii") as file:
            return int(file.read()) / 1e9

    try:
        yield used
    finally:
        with open("/sys/fs/cgroup/cpuacct/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
        with contextlib.suppress(OSError):
            os.rmdir(ACCOUNT)


def tool(*words, paths=None):
    done = subprocess.run([TOOL, *map(str, words)], input=paths, check=True, timeout=LIMIT, text=True,
                          stdout=subprocess.PIPE)
    return done.stdout


def peak_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def median_met(question, figures, budget, what):
    """Whether the middle one is at least the budget; what the turns were is said beside it."""
    middle = statistics.median(figures)
    met = middle >= budget
    print(f"{question}: median {middle:.4g} {what} ({min(figures):.4g} to {max(figures):.4g} in {len(figures)} turns),"
          f" budget {budget}: {'met' if met else 'MISSED'}")
    return met


def bench_paths(options):
    """A fresh farm each turn; what travels is in a source store that is filled once."""
    ratios, rates = [], []
    with accounted() as cpu, Stores() as stores:
        directory = stores.env["NIX_STORE_DIR"]
        source = stores.open("source")
        paths = tool("fill", source.socket, directory, options.size, options.bytes)
        total = options.size * options.bytes / 1e6

        def measured(what, work):
            before = cpu()
            taken = timed(work)
            after = cpu()
            spent = "" if before is None else f", {after - before:.2f} s of CPU"
            print(f"paths: {what}: {taken:.2f} s{spent} ({total / taken:.0f} MB/s, {options.size / taken:.0f} paths/s)",
                  flush=True)
            return taken, after

        for turn in range(options.runs):
            with Farm(env=stores.local) as farm:
                server = farm.server()
                road = (directory, farm.url, options.streams)
                there, _ = measured("to the server", lambda: tool("send", source.socket, *road, paths=paths))
                target, other = stores.open(f"target{turn}"), stores.open(f"other{turn}")
                fetched, _ = measured("from the server", lambda: tool("fetch", target.socket, *road, paths=paths))
                names = f"{stores.dir}/names"
                with open(names, "w", encoding="ascii") as file:
                    file.write(paths)
                between = f"--from unix://{source.socket}?root={source.root} --to unix://{other.socket}"
                copied, _ = measured("nix copy", lambda: run(
                    "sh", "-c", f"xargs -n 20000 nix copy --no-check-sigs {between} < {names}", env=stores.env))
                print(f"paths: from the server {copied / fetched:.2f} times as fast as nix copy; peak memory of the"
                      f" server {peak_of(server.pid):.0f} MB", flush=True)
                ratios.append(copied / fetched)
                rates.append(options.size / max(there, fetched))
                target.close()
                other.close()
    if options.bytes > 100_000:
        return median_met("paths", ratios, 1.5, "times as fast as nix copy")
    return median_met("paths", rates, 1000, "paths/s on the slower of both ways")


def bench_memory(options):
    with Stores() as stores, Farm(env=stores.local) as farm:
        directory = stores.env["NIX_STORE_DIR"]
        source, target = stores.open("source"), stores.open("target")
        file = f"{stores.dir}/large"
        with open(file, "wb") as out:
            out.truncate(options.bytes)
        path = run("nix", "store", "add-file", file, env=source.env)
        os.unlink(file)
        server = farm.server()
        road = (directory, farm.url, options.streams)
        peaks = []
        for words in (("send", source.socket), ("fetch", target.socket)):
            peaks.append(json.loads(tool(*words, *road, paths=path))["peak_mb"])
        peaks.append(peak_of(server.pid))
        print(f"memory: {options.bytes / 1e9:.1f} GB in one path: sender {peaks[0]:.0f} MB, fetcher {peaks[1]:.0f} MB,"
              f" server {peaks[2]:.0f} MB, budget 200")
    return max(peaks) <= 200


def bench_dag(options):
    layers = max(1, options.size // 8)
    with Stores() as stores, Farm(env=stores.local) as farm:
        bare, built = stores.open("bare"), stores.open("built")
        farm.server()
        farm.builder("b1", "--max-jobs", "2", "--nix-daemon-socket", built.socket, "--store-dir",
                     stores.env["NIX_STORE_DIR"], "--executors", "nix")
        ratios = []
        for turn in range(options.runs + 1):  # the first warms up, with a small one
            file = f"{stores.dir}/dag.nix"
            with open(file, "w", encoding="utf-8") as out:
                out.write(DAG.format(tag=f"t{turn}", layers=layers if turn else 1))
            top = run("nix-instantiate", file, env=stores.local).strip()
            closure = run("nix-store", "-qR", top, env=stores.local).split()
            exported = subprocess.run(["nix-store", "--export", *closure], env=stores.local, check=True,
                                      stdout=subprocess.PIPE, timeout=LIMIT).stdout
            subprocess.run(["nix-store", "--import"], env=bare.env, input=exported, check=True, timeout=LIMIT,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            theirs = timed(lambda: run("nix-store", "-r", "-j2", "--cores", "1", top, env=bare.env))
            ours = timed(lambda: farm.client("build", top, "--quiet", check=0, limit=LIMIT))
            if turn:
                ratios.append(ours / theirs)
                print(f"dag: {len(closure)} derivations: nix-store -r {theirs:.2f} s, farm {ours:.2f} s, "
                      f"{ours / theirs:.2f} times; {(ours - theirs) / len(closure) * 1000:.1f} ms a step", flush=True)
    middle = statistics.median(ratios)
    print(f"dag: median {middle:.2f} times nix-store -r, budget 1.1: {'met' if middle <= 1.1 else 'MISSED'}")
    return middle <= 1.1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=["dag", "paths", "memory"])
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--bytes", type=int, default=4_000_000)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    return 0 if {"dag": bench_dag, "paths": bench_paths, "memory": bench_memory}[options.question](options) else 1


if __name__ == "__main__":
    sys.exit(main())
