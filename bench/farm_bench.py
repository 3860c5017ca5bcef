#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Question: how far is the whole farm (client batch, server, PostgreSQL, builder) from the limits of the machine?

  spawn     N shell-less `true` jobs in one batch through one real builder, every result durable, beside a bare loop of
            posix_spawn + wait before and after, in the same run. Budget: at least half of the bare rate.
  steps     N jobs through protocol-speaking builders that answer at once: durable completed steps/s. Budget: 20,000/s
            on two cores. Sizes 1,000 to 100,000 show the growth law (it is flat when nothing is O(queue)).
  latency   submit to the first output byte on an idle farm, at the client: p50 and p99, beside the start of a process.
            Budget: p50 under 5 ms above process start.
  memory    resident bytes of the server for 100,000 queued jobs. Budget: 500 bytes a step in the core (bench/core has
            the exact figure; this one has what the allocator keeps on top).
  recovery  kill -9 of the server with 100,000 queued and 50 running, to the next dispatch. Budget: 2 s.
  idle      CPU of server, database and one real builder that have nothing to do, alone and with 1,000 idle builder
            connections. No growth is wanted but the heartbeats'. Budget: 2 % of a core alone, 20 % with the 1,000.
  leak      200,000 jobs in portions of 20,000: the server's memory after the third portion, and its growth from there
            to the last. Budget: 10 %.

Every wait is bounded, and so is every test. Wall times are reported, never gated: a machine that others use gives other
figures, so read ratios within one run. Result: a table; with --json one line a test as well."""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/integration"))
from farm import BIN, Farm, until  # noqa: E402

TOOLS = os.path.join(BIN, "../bench/tools")
TEST_LIMIT = 600  # seconds for one test
FULL_TURNS = os.sysconf("SC_CLK_TCK")
RESULTS = []


def number(value):
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def report(test, budget, met, **figures):
    """met: None where the figure is for reading only."""
    verdict = "" if met is None else "met" if met else "MISSED"
    RESULTS.append(dict({"test": test}, **figures, budget=budget, met=met, load=os.getloadavg()[0]))
    print(f"{test:9} {verdict:7} " + "  ".join(f"{key}={number(value)}" for key, value in figures.items()), flush=True)


def print_table():
    print(f"\n{'test':9} {'result':7} {'load':>5}  {'budget':40} figures")
    for row in RESULTS:
        figures = {key: value for key, value in row.items() if key not in ("test", "budget", "met", "load")}
        verdict = "-" if row["met"] is None else "met" if row["met"] else "MISSED"
        print(f"{row['test']:9} {verdict:7} {row['load']:5.1f}  {row['budget']:40} "
              + ", ".join(f"{key} {number(value)}" for key, value in figures.items()))


def jobs(count, **more):
    return "".join(json.dumps(dict({"name": f"n{i}", "command": ["/bin/true"]}, **more)) + "\n" for i in range(count))


def submit(farm, lines):
    """One batch through the client; gives the seconds until all ids are acknowledged."""
    began = time.monotonic()
    farm.client("submit", "--quiet", "-", input=lines.encode(), check=0, limit=TEST_LIMIT)
    return time.monotonic() - began


def drained(farm):
    """Asks ten times a second only: asking costs the machine that is measured."""
    def over():
        time.sleep(0.08)
        return farm.get("/api/v1/status")["jobs"]["open"] == 0

    until(over, "all jobs are finished", TEST_LIMIT)


def rss(pid):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pids):
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / FULL_TURNS
    return total


def children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], stdout=subprocess.PIPE, check=False).stdout.split()
    return [int(word) for word in found]


def bare_rate():
    done = subprocess.run([os.path.join(TOOLS, "spawn_floor"), "3000", "2"], check=True, stdout=subprocess.PIPE,
                          timeout=TEST_LIMIT)
    return json.loads(done.stdout)["per_second"]


@contextlib.contextmanager
def fakes(farm, name, slots, processes=1, connections=1):
    """Builders without work to do: they answer every assignment at once."""
    started = [subprocess.Popen([os.path.join(TOOLS, "fake_builder"), farm.url, f"{name}{i}", str(slots),
                                 str(connections)], stdin=subprocess.DEVNULL) for i in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def connected(farm):
    return farm.get("/api/v1/status")["machines"]["connected"]


def bench_spawn(scale):
    count = int(6000 * scale)
    before = bare_rate()
    with Farm() as farm:
        farm.server()
        # More slots than cores: while one attempt's result is made durable, others run.
        farm.builder("b1", "--max-jobs", "16")
        began = time.monotonic()
        submit(farm, jobs(count))
        drained(farm)
        rate = count / (time.monotonic() - began)
    floor = (before + bare_rate()) / 2
    report("spawn", "half of the bare rate", rate >= floor / 2, jobs=count, jobs_per_second=rate,
           bare_per_second=floor, share=rate / floor)


def bench_steps(scale):
    for count in (int(size * scale) for size in (1000, 10000, 100000)):
        with Farm() as farm:
            farm.server()
            acknowledged = submit(farm, jobs(count))
            began = time.monotonic()
            with fakes(farm, "fake", 256, processes=2):
                drained(farm)
                took = time.monotonic() - began
        rate = count / took
        report("steps", "20,000 steps/s on 2 cores", rate >= 20000 if count >= 10000 else None, jobs=count,
               submitted_per_second=count / acknowledged, steps_per_second=rate)


def bench_latency(scale):
    samples = max(20, int(200 * scale))
    with Farm() as farm:
        farm.server()
        farm.builder("b1", "--max-jobs", "2")
        times, bare = [], []
        for _ in range(samples):
            for words, into in ((["run", "--", "/bin/echo", "x"], times), (["--version"], bare)):
                began = time.monotonic()
                with subprocess.Popen([os.path.join(BIN, "penstock"), "--server", farm.url, *words], env=farm.env,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as client:
                    client.stdout.read(1)
                    into.append((time.monotonic() - began) * 1000)
                    client.stdout.read()
    times.sort()
    middle, start = statistics.median(times), statistics.median(bare)
    report("latency", "p50 5 ms above process start", middle - start < 5, samples=samples, p50_ms=middle,
           p99_ms=times[int(samples * 0.99) - 1], process_start_p50_ms=start, above_start_ms=middle - start)


def bench_memory(scale):
    count = int(100000 * scale)
    with Farm() as farm:
        farm.server()
        submit(farm, jobs(100, affinity={"tags": ["none"]}))
        before = rss(farm.server_process.pid)
        submit(farm, jobs(count, affinity={"tags": ["none"]}))
        whole = rss(farm.server_process.pid)
        report("memory", "500 bytes/step in the core", None, queued=count, bytes_per_step=(whole - before) / count,
               server_rss_mib=whole / 2**20)


def bench_recovery(scale):
    count = int(100000 * scale)
    with Farm() as farm:
        farm.server()
        submit(farm, jobs(count, affinity={"tags": ["none"]}))
        farm.builder("b1", "--max-jobs", "50")
        ids = farm.submit(*[{"command": "sleep 600", "shell": "sh"} for _ in range(50)])
        farm.wait_job(ids[-1], "running")
        farm.submit({"name": "next", "command": ["/bin/true"], "priority": 5})
        farm.server_process.kill()
        began = time.monotonic()
        farm.server()
        serving = time.monotonic() - began
        farm.client("cancel", str(ids[0]), check=0)
        until(lambda: any(j["state"] == "succeeded" for j in farm.get("/api/v1/jobs?name=next")["jobs"]),
              "dispatching again")
        took = time.monotonic() - began
    report("recovery", "2 s to dispatching again", took < 2, queued=count, running=50, serving_seconds=serving,
           dispatching_seconds=took)


def bench_idle(scale):
    seconds = max(2, 10 * scale)
    with Farm() as farm:
        farm.server()
        builder = farm.builder("b1")
        server = farm.server_process.pid
        postmaster = farm.database_pid()

        def shares():
            groups = ([server], [postmaster, *children(postmaster)], [builder.pid])
            before = [cpu_seconds(group) for group in groups]
            time.sleep(seconds)
            return [100 * (cpu_seconds(group) - was) / seconds for group, was in zip(groups, before)]

        time.sleep(1)  # what starting left to do
        alone = shares()
        report("idle", "2 % of a core", sum(alone) < 2, connections=1, server_percent=alone[0],
               database_percent=alone[1], builder_percent=alone[2], server_rss_mib=rss(server) / 2**20,
               builder_rss_mib=rss(builder.pid) / 2**20)
        many = int(1000 * min(scale, 1))
        with fakes(farm, "idle", 1, connections=many):
            until(lambda: connected(farm) > many, f"{many} builders are connected", TEST_LIMIT)
            time.sleep(1)
            crowd = shares()
            report("idle", "20 % of a core", sum(crowd) < 20, connections=many + 1, server_percent=crowd[0],
                   database_percent=crowd[1], builder_percent=crowd[2], server_rss_mib=rss(server) / 2**20)


def bench_leak(scale):
    portion, portions = int(20000 * scale), 10
    with Farm() as farm:
        farm.server()
        sizes = []
        with fakes(farm, "fake", 256, processes=2):
            for _ in range(portions):
                submit(farm, jobs(portion))
                drained(farm)
                sizes.append(rss(farm.server_process.pid))
    growth = 100 * (sizes[-1] - sizes[2]) / sizes[2]
    report("leak", "10 % growth", growth < 10, jobs=portion * portions, first_rss_mib=sizes[0] / 2**20,
           third_rss_mib=sizes[2] / 2**20, last_rss_mib=sizes[-1] / 2**20, growth_percent=growth)


TESTS = {"spawn": bench_spawn, "steps": bench_steps, "latency": bench_latency, "memory": bench_memory,
         "recovery": bench_recovery, "idle": bench_idle, "leak": bench_leak}


def too_long(number_of_signal, frame):
    raise TimeoutError(f"not done within {TEST_LIMIT} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", help=f"which, default all: {' '.join(TESTS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="0.01 for a quick look")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for test in arguments.tests:
        if test not in TESTS:
            parser.error(f"no test {test}; there are {' '.join(TESTS)}")
    signal.signal(signal.SIGALRM, too_long)
    failed = []
    for test in arguments.tests or TESTS:
        signal.alarm(TEST_LIMIT)
        try:
            TESTS[test](arguments.scale)
        except (AssertionError, OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
            failed.append(test)
            print(f"{test:9} FAILED  {error}", flush=True)
        finally:
            signal.alarm(0)
    print_table()
    if arguments.json:
        for result in RESULTS:
            print(json.dumps(result))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
