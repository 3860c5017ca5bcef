# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that print very much, nothing, or after their end: every byte arrives, nothing grows, nothing is left behind."""

import hashlib
import os
import threading
import unittest

from farm import Farm, until

MIB = 1 << 20
# A job's output must not be in anybody's memory as a whole: the big job prints more than this bound.
BIG = 256 * MIB
MOST_RESIDENT = 150 * MIB


def command(text, **more):
    return dict({"name": "t", "command": text, "shell": "sh"}, **more)


def resident(pid):
    """Resident memory in bytes; 0 when the process has ended."""
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def commands():
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                yield file.read()
        except OSError:
            continue


class Sampler:
    """The highest resident memory of some processes while it runs."""

    def __init__(self, pids):
        self.pids, self.peak, self.stop = pids, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.wait(0.05):
            self.peak = max(self.peak, *(resident(pid) for pid in self.pids))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class OutputTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.farm = Farm()
        cls.farm.server()
        cls.farm.builder("b1", "--max-jobs", "4")

    @classmethod
    def tearDownClass(cls):
        cls.farm.__exit__(None, None, None)

    def test_a_huge_output_arrives_byte_for_byte_in_bounded_memory_while_others_work(self):
        client = self.farm.start_client("run", "--max-log", "1GiB", "--", "head", "-c", str(BIG), "/dev/zero")
        pids = [client.pid, self.farm.server_process.pid, self.farm.builders["b1"].pid]
        digest, size, others = hashlib.sha256(), 0, 0
        with Sampler(pids) as sampler:
            while True:
                part = client.stdout.read(MIB)
                if not part:
                    break
                digest.update(part)
                size += len(part)
                if size > (others + 1) * BIG // 4:
                    others += 1
                    self.assertEqual(self.farm.client("run", "--", "true").returncode, 0, "the farm answers meanwhile")
        self.assertEqual((client.wait(), client.stderr.read(), size), (0, b"", BIG))
        client.stdout.close()
        client.stderr.close()
        expected = hashlib.sha256()
        for _ in range(BIG // MIB):
            expected.update(bytes(MIB))
        self.assertEqual(digest.digest(), expected.digest())
        self.assertEqual(others, 3)
        if "san" not in os.environ.get("PENSTOCK_BIN_DIR", ""):  # sanitizers multiply memory
            self.assertLess(sampler.peak, MOST_RESIDENT)

    def test_many_short_lines_stay_in_order_on_each_stream(self):
        script = "i=0; while [ $i -lt 10000 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done"
        out, err = ([b"%s%d" % (letter, n) for n in range(10000)] for letter in (b"o", b"e"))
        done = self.farm.client("run", "--", "sh", "-c", script, check=0)
        self.assertEqual((done.stdout.splitlines(), done.stderr.splitlines()), (out, err))
        [job] = self.farm.submit(command(script))
        self.farm.wait_job(job)
        lines = self.farm.client("logs", str(job), check=0).stdout.splitlines()
        self.assertEqual([line for line in lines if line.startswith(b"o")], out)
        self.assertEqual([line for line in lines if line.startswith(b"e")], err)

    def test_a_job_that_prints_nothing_runs_on_without_a_silent_timeout(self):
        [job] = self.farm.submit(command("sleep 3"))
        self.assertEqual((self.farm.wait_job(job)["state"], self.farm.runs(job)[0]["log_bytes"]), ("succeeded", 0))

    def test_a_job_that_closes_its_output_goes_on_and_its_exit_code_counts(self):
        [job] = self.farm.submit(command("exec >&- 2>&-; sleep 2; exit 9", silent_timeout=60))
        done = self.farm.wait_job(job)
        self.assertEqual((done["state"], done["exit_code"]), ("failed", 9))
        [quiet] = self.farm.submit(command("exec >&- 2>&-; sleep 1000", silent_timeout=1))
        self.assertEqual(self.farm.wait_job(quiet)["result"], "silent_timed_out")

    def test_processes_that_forked_away_twice_are_ended_with_the_job(self):
        mark = str(100000 + os.getpid())  # seconds of sleep that nobody else asks for
        jobs = self.farm.submit(
            command(f"(setsid sh -c '(sleep {mark} &)' &) ; sleep 0.3; echo ok"),
            command(f"(sleep {mark}; echo late) & echo parent gone"),
            command(f"trap '' TERM; sleep {mark} & sleep {mark} & wait; wait", timeout=1))
        states = [self.farm.wait_job(job)["state"] for job in jobs]
        self.assertEqual(states, ["succeeded", "succeeded", "failed"])
        until(lambda: not [1 for line in commands() if line == b"sleep\0" + mark.encode() + b"\0"],
              "no process of the jobs is left")
        self.assertEqual(self.farm.client("logs", str(jobs[1]), check=0).stdout, b"parent gone\n")

    def test_many_zombies_are_reaped(self):
        program = "import os, time\nfor i in range(50):\n  if os.fork() == 0: os._exit(0)\ntime.sleep(0.5)"
        done = self.farm.client("run", "--", "python3", "-c", program)
        self.assertEqual(done.returncode, 0, done.stderr)
        builder = self.farm.builders["b1"].pid

        def zombies():
            found = []
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{name}/stat") as file:
                        rest = file.read().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if rest[0] == "Z" and int(rest[1]) == builder:
                    found.append(name)
            return found

        until(lambda: not zombies(), "the builder has no zombies")


if __name__ == "__main__":
    unittest.main(verbosity=2)
