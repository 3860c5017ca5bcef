# SPDX-License-Identifier: GPL-3.0-or-later
"""A builder of protocol 1, as its bytes went over the wire: the server must go on welcoming it. The bytes are written
down here, not made from link.proto, so that a change of the protocol that breaks old builders breaks this test."""

import struct
import threading
import unittest

from farm import Farm, until
from hostile_test import WebSocket, field, fields, frame

IDENTITY, INSTANCE = "0123456789abcdef" * 2, "fedcba9876543210" * 2

# Hello of protocol 1 to 1: version 0.1.0, no features, machine "old-one": x86_64-linux, command, one slot, two cores.
HELLO = bytes.fromhex(
    "0a75"                                     # BuilderMessage.hello, 117 bytes
    "0801" "1001"                              # protocol_min, protocol_max
    "2220" + IDENTITY.encode().hex() +         # identity
    "2a20" + INSTANCE.encode().hex() +         # instance
    "3205" + b"0.1.0".hex() +                  # version
    "3a24"                                     # facts, 36 bytes
    "0a07" + b"old-one".hex() +                # name
    "120c" + b"x86_64-linux".hex() +           # systems
    "3a07" + b"command".hex() +                # executors
    "4001" "4802")                             # max_jobs, cores

REPORT = bytes.fromhex("12022801")             # BuilderMessage.report: sequence 1
GOODBYE = bytes.fromhex("42080801" "1204" + b"bye!".hex())


def accepted(attempt):
    return field(3, field(1, attempt) + field(2, 1))


def finished(attempt, log_bytes):
    """exit code 0 with the times that a builder gives."""
    return field(4, field(1, attempt) + field(2, 1) + field(6, 1) + field(7, 2) + field(11, log_bytes))


def log_chunk(attempt, data):
    return field(5, field(1, attempt) + field(2, 0) + field(3, field(1, 1) + field(2, 1) + field(3, data)))


class OlderBuilder:
    """Reads frames on a thread of its own; what came is kept by its kind's number."""

    def __init__(self, port):
        self.link = WebSocket(port)
        self.came = []
        self.sending = threading.Lock()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        self.send(HELLO)

    def send(self, payload):
        with self.sending:
            self.link.send(frame(payload))

    def read(self):
        try:
            while True:
                opcode, data = self.link.message()
                if opcode == 9:
                    with self.sending:
                        self.link.send(data, 10)
                while opcode == 2 and data:
                    size = struct.unpack(">I", data[:4])[0]
                    self.came.extend(fields(data[4:4 + size]))
                    data = data[4 + size:]
        except (EOFError, OSError):
            pass

    def all(self, kind):
        return [fields(value) for number, value in list(self.came) if number == kind]

    def assignments(self):
        return [fields(value) for desired in self.all(2) for number, value in desired if number == 4]


class OlderBuilderTest(unittest.TestCase):
    def test_it_is_welcomed_given_work_and_its_result_is_stored(self):
        with Farm(server_args=("--heartbeat", "20s", "--heartbeat-deadline", "60s")) as farm:
            farm.server()
            old = OlderBuilder(farm.port)
            welcome = dict(until(lambda: old.all(1), "the welcome")[0])
            self.assertEqual(welcome[1], 1, "protocol 1 is chosen")
            old.send(REPORT)
            until(lambda: farm.get("/api/v1/machines/old-one")["state"] == "ready", "the machine is ready")
            [job] = farm.submit({"name": "for-the-old", "command": "echo hi", "shell": "sh", "env": {"A": "b"}})
            assignment = dict(until(old.assignments, "the assignment")[0])
            attempt = assignment[1]
            command = [value for number, value in fields(assignment[6]) if number == 1]
            self.assertEqual(command[-1], b"echo hi")
            old.send(accepted(attempt))
            farm.wait_job(job, "running")
            old.send(log_chunk(attempt, b"hi\n"))
            old.send(finished(attempt, 3))
            done = farm.wait_job(job)
            self.assertEqual((done["state"], done["exit_code"]), ("succeeded", 0))
            until(lambda: any(value == attempt or value == bytes([attempt]) for stored in old.all(3)
                              for number, value in stored), "the result's receipt")
            receipt = until(lambda: [dict(stored) for stored in old.all(4)], "the log's receipt")[-1]
            self.assertEqual((receipt[1], receipt[2]), (attempt, 3))
            self.assertEqual(farm.client("logs", str(job), check=0).stdout, b"hi\n")
            old.send(GOODBYE)
            old.link.close()
            until(lambda: farm.get("/api/v1/machines/old-one")["state"] != "ready", "the machine is gone")


if __name__ == "__main__":
    unittest.main(verbosity=2)
