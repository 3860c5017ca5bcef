# SPDX-License-Identifier: GPL-3.0-or-later
"""penstock-builder beside a scripted server: what it says of its machine and its load, when it says it, and how it
keeps limits. The server here is a few lines of Python, so that orders can be given that a real one would never give."""

import base64
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from farm import Process, program, until
from hostile_test import field, fields, frame

NO_SLOT, RESOURCES = 1, 5
SUCCEEDED, FAILED, LOG_LIMIT, OUTPUT_LIMIT = 1, 2, 5, 9


def double(data):
    return struct.unpack("<d", data)[0]


class ScriptedServer:
    """Welcomes one builder, answers its heartbeats and stores its results; all it said is kept with the time."""

    def __init__(self, heartbeat_ms=60000):
        self.heartbeat_ms = heartbeat_ms
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.said = []
        self.revision = 0
        self.sending = threading.Lock()
        self.peer = None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def close(self):
        for one in (self.peer, self.listener):
            if one is not None:
                one.close()

    def exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.peer.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def serve(self):
        try:
            self.peer, _ = self.listener.accept()
            head = b""
            while b"\r\n\r\n" not in head:
                head += self.exactly(1)
            key = [line.split(": ", 1)[1] for line in head.decode().split("\r\n")
                   if line.lower().startswith("sec-websocket-key")][0]
            proof = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
            self.peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n")
            while True:
                self.read_message()
        except (EOFError, OSError):
            pass

    def read_message(self):
        first, second = self.exactly(2)
        size = second & 127
        if size == 126:
            size = struct.unpack(">H", self.exactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.exactly(8))[0]
        mask = self.exactly(4)
        payload = self.exactly(size)
        payload = bytes(b ^ m for b, m in zip(payload, mask * (size // 4 + 1)))
        while first & 15 == 2 and payload:
            size = struct.unpack(">I", payload[:4])[0]
            for kind, value in fields(payload[4:4 + size]):
                self.heard(kind, fields(value))
            payload = payload[4 + size:]

    def heard(self, kind, message):
        self.said.append((time.monotonic(), kind, message))
        if kind == 1:
            self.send(1, field(1, 1) + field(3, 1) + field(4, self.heartbeat_ms) + field(5, 3 * self.heartbeat_ms))
            self.desire(complete=True)
        elif kind == 2:
            self.send(5, field(1, dict(message).get(5, 0)))
        elif kind == 4:
            self.send(3, field(1, dict(message)[1]))

    def send(self, kind, message):
        data = frame(field(kind, message))
        head = bytes([0x82, len(data)]) if len(data) < 126 else bytes([0x82, 126]) + struct.pack(">H", len(data))
        with self.sending:
            self.peer.sendall(head + data)

    def desire(self, *assignments, complete=False):
        self.revision += 1
        self.send(2, field(1, self.revision) + field(2, int(complete)) + b"".join(field(4, a) for a in assignments))

    def all(self, kind):
        return [message for _, k, message in list(self.said) if k == kind]

    def reports(self):
        return [(at, dict(message)) for at, kind, message in list(self.said) if kind == 2]

    def answer(self, attempt):
        found = until(lambda: [dict(a) for a in self.all(3) if dict(a)[1] == attempt], f"an answer for {attempt}")
        return found[0].get(2, 0), found[0].get(3, 0), found[0].get(4, b"").decode()

    def result(self, attempt):
        found = until(lambda: [dict(a) for a in self.all(4) if dict(a)[1] == attempt], f"the result of {attempt}")
        return found[0].get(2, 0), found[0].get(5, b"").decode(), found[0]

    def output(self, attempt):
        return b"".join(dict(fields(record)).get(3, b"") for message in self.all(5) if dict(message)[1] == attempt
                        for number, record in message if number == 3 and dict(fields(record)).get(2) == 1)


def order(attempt, script, cpus=0, memory=0, resources=None, limits=b"", beyond=False):
    command = b"".join(field(1, a) for a in ("/bin/sh", "-c", script))
    named = b"".join(field(11, field(1, name) + field(2, amount)) for name, amount in (resources or {}).items())
    return (field(1, attempt) + field(2, attempt) + field(3, 1) + field(4, 1) + field(5, "test") + field(6, command) +
            field(8, limits) + field(9, cpus) + field(10, memory) + named + field(12, int(beyond)))


class BuilderTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="penstock-test-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def start(self, *args, heartbeat_ms=60000, env=None):
        self.server = ScriptedServer(heartbeat_ms)
        self.addCleanup(self.server.close)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
        self.builder = Process("penstock-builder",
                               ["--server", f"ws://127.0.0.1:{self.server.port}", "--name", "b", "--executors",
                                "command", "--work-dir", self.dir + "/work", *args], self.dir + "/builder.log",
                               dict(clean, **(env or {})))
        self.addCleanup(self.builder.log.close)
        self.addCleanup(self.builder.kill)
        until(lambda: self.server.reports(), "the first report")
        return self.server

    def facts(self):
        return fields(dict(self.server.all(1)[0])[7])

    def test_every_threshold_and_resource_reaches_the_server(self):
        config = os.path.join(self.dir, "builder.toml")
        with open(config, "w") as file:
            file.write('min-free-inodes = 7\nio-psi = 33.5\n')
        self.start("--config", config, "--cpu-psi", "75.5", "--mem-psi", "20", "--min-free-disk", "1KiB",
                   "--resource", "gpu=2", "--resource", "big-parallel=1",
                   env={"PENSTOCK_MIN_FREE_MEMORY": "2MiB", "PENSTOCK_LOAD1": "1000"})
        facts = self.facts()
        thresholds = dict(fields(dict(facts)[16]))
        self.assertEqual([double(thresholds[n]) for n in (1, 2, 3, 4)], [75.5, 20, 33.5, 1000])
        self.assertEqual([thresholds[n] for n in (5, 6, 7)], [1024, 2 << 20, 7])
        named = {dict(fields(v))[1]: dict(fields(v)).get(2, 0) for n, v in facts if n == 17}
        self.assertEqual(named, {b"gpu": 2, b"big-parallel": 1})

    def test_bad_values_are_refused_with_the_flag_and_the_value(self):
        for flag, value in (("--resource", "gpu"), ("--resource", "=1"), ("--resource", "gpu=-1"),
                            ("--resource", "gpu=9223372036854775808"), ("--resource", "g\tpu=1"),
                            ("--min-free-inodes", "-1"), ("--min-free-memory", "much"), ("--cpu-psi", "-5"),
                            ("--tags", "a\tb")):
            done = subprocess.run([program("penstock-builder"), flag, value, "--work-dir", self.dir], timeout=60,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 2, (flag, value))
            self.assertIn(flag.encode(), done.stderr, (flag, value))
        done = subprocess.run([program("penstock-builder"), "--resource", "a=1", "--resource", "a=2", "--work-dir",
                               self.dir], timeout=60, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual((done.returncode, b'"a" twice' in done.stderr), (2, True), done.stderr)

    def test_what_the_machine_does_not_have_is_refused_with_numbers(self):
        server = self.start("--resource", "gpu=2")
        cores = dict(self.facts())[9]
        server.desire(order(1, "true", cpus=cores + 1), order(2, "true", memory=1 << 60),
                      order(3, "true", resources={"gpu": 3}), order(4, "true", resources={"fpga": 1}),
                      order(5, "env", cpus=cores, memory=1 << 20, resources={"gpu": 2}))
        self.assertEqual(server.answer(1), (0, RESOURCES, f"{cores + 1} cpus are asked for, this machine has {cores}"))
        self.assertEqual(server.answer(2)[:2], (0, RESOURCES))
        self.assertEqual(server.answer(3), (0, RESOURCES,
                                            "3 of the resource gpu are asked for, this machine has 2"))
        self.assertEqual(server.answer(4)[:2], (0, RESOURCES))
        self.assertEqual(server.answer(5)[0], 1)
        self.assertEqual(server.result(5)[0], SUCCEEDED)
        for line in (f"PENSTOCK_CPUS={cores}", "PENSTOCK_MEMORY_BYTES=1048576", "PENSTOCK_RESOURCE_GPU=2"):
            until(lambda: line.encode() in server.output(5).split(b"\n"), line)

    def test_slots_bind_unless_the_server_goes_beyond_them(self):
        server = self.start("--max-jobs", "1")
        server.desire(order(1, "exec sleep 600"), order(2, "true"), order(3, "true", beyond=True))
        self.assertEqual(server.answer(1)[0], 1)
        self.assertEqual(server.answer(2)[:2], (0, NO_SLOT))
        self.assertEqual(server.answer(3)[0], 1)
        self.assertEqual(server.result(3)[0], SUCCEEDED)

    def test_log_and_output_limits_end_an_attempt_with_both_numbers(self):
        server = self.start("--max-jobs", "4")
        server.desire(order(1, "yes", limits=field(3, 1000)),
                      order(2, "head -c 5000 /dev/zero > a", limits=field(5, 1000)),
                      order(3, "head -c 6000 /dev/zero > a; exec sleep 600", limits=field(5, 1000)),
                      order(4, "head -c 1000 /dev/zero > a; head -c 1000 /dev/zero",
                            limits=field(3, 1000) + field(5, 1000)))
        outcome, error, result = server.result(1)
        self.assertEqual((outcome, error), (LOG_LIMIT, "the log limit of 1000 bytes is reached; the rest is dropped"))
        self.assertEqual(result[12], 1, "truncated")
        self.assertEqual(server.result(2)[:2],
                         (OUTPUT_LIMIT, "the files in the job's directory have 5000 bytes, the output limit is 1000"))
        self.assertEqual(server.result(3)[:2],
                         (OUTPUT_LIMIT, "the files in the job's directory have 6000 bytes, the output limit is 1000"))
        self.assertEqual(server.result(4)[0], SUCCEEDED)

    def test_an_end_is_followed_by_a_report_long_before_the_heartbeat(self):
        server = self.start(heartbeat_ms=600000)
        before = len(server.reports())
        server.desire(order(1, "true"))
        self.assertEqual(server.result(1)[0], SUCCEEDED)
        until(lambda: len(server.reports()) > before, "a report ahead of the heartbeat", limit=10)

    def test_reports_of_a_busy_builder_are_a_second_apart(self):
        server = self.start("--max-jobs", "1", heartbeat_ms=600000)
        for attempt in range(1, 40):
            server.desire(order(attempt, "sleep 0.05"))
            self.assertEqual(server.result(attempt)[0], SUCCEEDED)
        until(lambda: len(server.reports()) > 2, "reports ahead of the heartbeat", limit=10)
        at = [at for at, _ in server.reports()]
        # Times of arrival: those of departure are a second apart.
        self.assertTrue(all(b - a > 0.7 for a, b in zip(at, at[1:])), at)

    def test_a_shortage_is_told_and_refused_at_once_and_so_is_its_end(self):
        info = os.statvfs(self.dir)
        free = info.f_bavail * info.f_frsize
        step = min(free // 4, 4 << 30)  # large, so that what others write meanwhile does not matter
        threshold = free - step // 2
        server = self.start("--max-jobs", "8", "--min-free-disk", str(threshold), heartbeat_ms=600000)
        is_short = lambda report: dict(fields(report[3]))[5] < threshold
        self.assertFalse(is_short(server.reports()[0][1]))
        server.desire(order(1, "exec sleep 600"))  # while something runs it looks every second
        self.assertEqual(server.answer(1)[0], 1)
        with open(self.dir + "/large", "wb") as large:
            os.posix_fallocate(large.fileno(), 0, step)
        began = time.monotonic()
        at = until(lambda: [at for at, report in server.reports() if is_short(report)], "a report of the shortage")[0]
        self.assertLess(at - began, 10, "long before the heartbeat")
        server.desire(order(2, "true"))
        accepted, reason, text = server.answer(2)
        self.assertEqual((accepted, reason), (0, RESOURCES))
        self.assertIn(f"min-free-disk is {threshold}", text)
        os.unlink(self.dir + "/large")
        until(lambda: not is_short(server.reports()[-1][1]), "a report of its end")
        server.desire(order(3, "true"))
        self.assertEqual(server.result(3)[0], SUCCEEDED)

    def test_a_phase_that_lasts_is_told(self):
        server = self.start()
        server.desire(order(1, "exec sleep 600"))
        progress = dict(until(lambda: server.all(6), "a phase")[0])
        self.assertEqual((progress[1], progress[2]), (1, b"building"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
