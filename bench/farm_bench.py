#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Question: how far is the whole farm (client batch, server, PostgreSQL, builder) from the limits of the machine?

  spawn     N shell-less `true` jobs in one batch through one real builder, every result durable, beside a bare loop of
            posix_spawn + wait in the same run. Budget: at least half of the bare rate.
  steps     N jobs through protocol-speaking builders that answer at once: durable completed steps/s. Budget: 20,000/s
            on two cores. Sizes 1,000 to 100,000 show the growth law (it is flat when nothing is O(queue)).
  latency   submit to the first output byte on an idle farm, at the client: p50 and p99, beside the start of a process.
            Budget: p50 under 5 ms above process start.
  memory    resident bytes of the server for 100,000 queued jobs. Budget: 500 bytes a step in the core.
  recovery  kill -9 of the server with 100,000 queued and 50 running, to the next dispatch. Budget: 2 s.

Wall times are reported, never gated. Result: a table, and one JSON line a test with --json."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/integration"))
from farm import BIN, Farm, until  # noqa: E402

BENCH = os.path.join(BIN, "../bench/tools")
RESULTS = []


def report(test, **figures):
    RESULTS.append(dict({"test": test}, **figures))
    print(f"{test:10}" + "  ".join(f"{key}={value:,.2f}" if isinstance(value, float) else f"{key}={value:,}"
                                   if isinstance(value, int) else f"{key}={value}" for key, value in figures.items()),
          flush=True)


def jobs(count, **more):
    return "".join(json.dumps(dict({"name": f"n{i}", "command": ["/bin/true"]}, **more)) + "\n" for i in range(count))


def submit(farm, lines):
    """One batch through the client; gives the seconds until all ids are acknowledged."""
    began = time.monotonic()
    farm.client("submit", "--quiet", "-", input=lines.encode(), check=0, limit=600)
    return time.monotonic() - began


def drained(farm, limit=600):
    until(lambda: farm.get("/api/v1/status")["jobs"]["open"] == 0, "all jobs are finished", limit)


def rss(pid):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
    return 0


def bench_spawn(count):
    floor = json.loads(subprocess.run([os.path.join(BENCH, "spawn_floor"), "3000", "2"], check=True,
                                      stdout=subprocess.PIPE).stdout)["per_second"]
    with Farm() as farm:
        farm.server()
        farm.builder("b1", "--max-jobs", "4")
        began = time.monotonic()
        submit(farm, jobs(count))
        drained(farm)
        rate = count / (time.monotonic() - began)
        again = json.loads(subprocess.run([os.path.join(BENCH, "spawn_floor"), "3000", "2"], check=True,
                                          stdout=subprocess.PIPE).stdout)["per_second"]
    floor = (floor + again) / 2
    report("spawn", jobs=count, jobs_per_second=rate, bare_per_second=floor, share=rate / floor)


def fake(farm, name, slots):
    return subprocess.Popen([os.path.join(BENCH, "fake_builder"), farm.url, name, str(slots)], stdin=subprocess.DEVNULL)


def bench_steps(count):
    with Farm() as farm:
        farm.server()
        hold = jobs(count)
        acknowledged = submit(farm, hold)
        builders = [fake(farm, f"fake{i}", 256) for i in range(2)]
        began = time.monotonic()
        try:
            drained(farm)
            took = time.monotonic() - began
        finally:
            for builder in builders:
                builder.kill()
                builder.wait()
        report("steps", jobs=count, submitted_per_second=count / acknowledged, steps_per_second=count / took)


def bench_latency(samples):
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
        report("latency", samples=samples, p50_ms=statistics.median(times), p99_ms=times[int(samples * 0.99) - 1],
               client_start_p50_ms=statistics.median(bare))


def bench_memory(count):
    with Farm() as farm:
        farm.server()
        submit(farm, jobs(100, affinity={"tags": ["none"]}))
        before = rss(farm.server_process.pid)
        submit(farm, jobs(count, affinity={"tags": ["none"]}))
        grown = rss(farm.server_process.pid) - before
        report("memory", queued=count, bytes_per_step=grown / count, server_rss=rss(farm.server_process.pid))
        bench_recovery(farm)


def bench_recovery(farm):
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
    report("recovery", queued=100000, serving_seconds=serving, dispatching_seconds=time.monotonic() - began)


TESTS = {
    "spawn": lambda scale: bench_spawn(int(6000 * scale)),
    "steps": lambda scale: [bench_steps(int(n * scale)) for n in (1000, 10000, 100000)],
    "latency": lambda scale: bench_latency(max(20, int(200 * scale))),
    "memory": lambda scale: bench_memory(int(100000 * scale)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", choices=[*TESTS, []], help="which; default all")
    parser.add_argument("--scale", type=float, default=1.0, help="0.01 for a quick look")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for test in arguments.tests or TESTS:
        TESTS[test](arguments.scale)
    if arguments.json:
        for result in RESULTS:
            print(json.dumps(result))


if __name__ == "__main__":
    main()
