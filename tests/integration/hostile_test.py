# SPDX-License-Identifier: GPL-3.0-or-later
"""What bad peers get: a text that says why, a counter, and a server that goes on."""

import base64
import json
import os
import socket
import stat
import struct
import subprocess
import unittest

from farm import Farm, Process, program, until


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    """One protobuf field: bytes/str length-delimited, int as varint."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(data):
    """The fields of a protobuf message as (number, value)."""
    at, out = 0, []

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = read()
        if tag & 7 == 0:
            out.append((tag >> 3, read()))
        elif tag & 7 == 2:
            size = read()
            out.append((tag >> 3, data[at:at + size]))
            at += size
        elif tag & 7 == 1:
            out.append((tag >> 3, data[at:at + 8]))
            at += 8
        else:
            raise ValueError(tag)
    return out


def frame(payload):
    return struct.pack(">I", len(payload)) + payload


def hello(identity="a" * 32, instance="b" * 32, low=1, high=1, name="hostile"):
    facts = field(1, name) + field(7, "command") + field(8, 1)
    return frame(field(1, field(1, low) + field(2, high) + field(4, identity) + field(5, instance) +
                       field(6, "test") + field(7, facts)))


class WebSocket:
    def __init__(self, port, path="/link", headers=()):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(),
                 *headers]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.socket.recv(1)
            if not part:
                break
            head += part
        self.status = int(head.split()[1]) if head else 0
        self.head = head

    def send(self, data, opcode=2):
        mask = os.urandom(4)
        size = len(data)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        self.socket.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def message(self):
        """(opcode, payload) of the next WebSocket message."""
        first, second = self.exactly(2)
        size = second & 127
        if size == 126:
            size = struct.unpack(">H", self.exactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.exactly(8))[0]
        return first & 15, self.exactly(size)

    def goodbye(self):
        """Reads on until a Goodbye; gives (reason, text)."""
        while True:
            opcode, payload = self.message()
            if opcode == 8:
                return None, payload[2:].decode("utf-8", "replace")
            while payload:
                size = struct.unpack(">I", payload[:4])[0]
                inner, payload = payload[4:4 + size], payload[4 + size:]
                for number, value in fields(inner):
                    if number == 6:
                        parts = dict(fields(value))
                        return parts.get(1, 0), parts.get(2, b"").decode()

    def close(self):
        self.socket.close()


class LinkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.farm = Farm()
        cls.farm.server()
        cls.farm.builder("good")

    @classmethod
    def tearDownClass(cls):
        cls.farm.__exit__(None, None, None)

    def tearDown(self):
        done = self.farm.client("run", "--", "echo", "alive")
        self.assertEqual((done.returncode, done.stdout), (0, b"alive\n"), "the server goes on")

    def refused(self, send, reason, word):
        link = WebSocket(self.farm.port)
        self.assertEqual(link.status, 101)
        send(link)
        got, text = link.goodbye()
        self.assertEqual(got, reason, text)
        self.assertIn(word, text)
        link.close()

    def test_an_oversize_frame_is_refused_by_its_header(self):
        before = self.farm.metric("penstock_link_malformed_total")
        self.refused(lambda link: link.send(struct.pack(">I", 64 << 20)), 3, "4194304")
        self.assertEqual(self.farm.metric("penstock_link_malformed_total"), before + 1)

    def test_garbage_is_a_protocol_error(self):
        self.refused(lambda link: link.send(frame(b"\xff" * 40)), 3, "")

    def test_an_empty_frame_is_refused(self):
        self.refused(lambda link: link.send(frame(b"")), 3, "empty")

    def test_text_messages_are_refused(self):
        self.refused(lambda link: link.send(b"hello", opcode=1), 3, "binary")

    def test_anything_before_the_handshake_is_refused(self):
        self.refused(lambda link: link.send(frame(field(2, b""))), 3, "")

    def test_a_version_we_do_not_share_is_told_both_ranges(self):
        self.refused(lambda link: link.send(hello(low=90, high=99)), 4, "90")

    def test_a_bad_identity_is_named(self):
        self.refused(lambda link: link.send(hello(identity="not hex")), 3, "identity")

    def test_unknown_messages_are_skipped_and_counted(self):
        link = WebSocket(self.farm.port)
        link.send(hello(identity="c" * 32, name="newer"))
        self.assertEqual(link.message()[0], 2, "welcome")
        before = self.farm.metric("penstock_link_unknown_messages_total")
        link.send(frame(field(99, b"from the future")))
        until(lambda: self.farm.metric("penstock_link_unknown_messages_total") == before + 1, "it is counted")
        link.close()

    def test_a_second_builder_with_the_same_identity_is_refused(self):
        first = WebSocket(self.farm.port)
        first.send(hello(identity="d" * 32, instance="1" * 32, name="twin"))
        self.assertEqual(first.message()[0], 2)
        self.refused(lambda link: link.send(hello(identity="d" * 32, instance="2" * 32, name="twin")), 6, "identity")
        first.close()

    def test_a_result_for_somebody_elses_attempt_changes_nothing(self):
        [job] = self.farm.submit({"command": "sleep 1; exit 4", "shell": "sh"})
        self.farm.wait_job(job, "running")
        attempt = self.farm.runs(job)[-1]["id"]
        link = WebSocket(self.farm.port)
        link.send(hello(identity="e" * 32, name="liar"))
        self.assertEqual(link.message()[0], 2)
        link.send(frame(field(2, field(1, 1))) + frame(field(4, field(1, attempt) + field(2, 1))))
        self.assertEqual(self.farm.wait_job(job)["exit_code"], 4)
        link.close()

    def test_log_bytes_for_somebody_elses_attempt_are_not_stored(self):
        [job] = self.farm.submit({"command": "echo mine", "shell": "sh"})
        self.farm.wait_job(job)
        attempt = self.farm.runs(job)[-1]["id"]
        link = WebSocket(self.farm.port)
        link.send(hello(identity="f" * 32, name="forger"))
        self.assertEqual(link.message()[0], 2)
        record = field(1, 1) + field(2, 1) + field(3, b"forged\n")
        link.send(frame(field(5, field(1, attempt) + field(2, 5) + field(3, record))))
        until(lambda: self.farm.metric("penstock_link_foreign_logs_total") >= 1, "it is counted")
        self.assertEqual(self.farm.client("logs", str(job), check=0).stdout, b"mine\n")
        link.close()


class HttpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.farm = Farm()
        cls.farm.server()

    @classmethod
    def tearDownClass(cls):
        cls.farm.__exit__(None, None, None)

    def raw(self, data, limit=30):
        with socket.create_connection(("127.0.0.1", self.farm.port), timeout=limit) as connection:
            connection.sendall(data)
            answer = b""
            try:
                while part := connection.recv(65536):
                    answer += part
                    if b"\r\n\r\n" in answer:
                        break
            except (ConnectionResetError, TimeoutError):
                pass
            return answer

    def test_a_large_body_is_refused_before_it_is_read(self):
        answer = self.raw(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          b"Content-Length: 1048577\r\n\r\n")
        self.assertIn(b" 413 ", answer.split(b"\r\n")[0])

    def test_errors_are_problem_documents(self):
        for method, path, expected in (("GET", "/nowhere", 404), ("DELETE", "/api/v1/jobs", 405),
                                       ("GET", "/api/v1/jobs/99999", 404), ("POST", "/api/v1/jobs", 422)):
            status, headers, body = self.farm.request(method, path, {} if method == "POST" else None)
            self.assertEqual(status, expected, path)
            self.assertIn("application/problem+json", headers.get("Content-Type", ""))
            self.assertEqual(json.loads(body)["status"], expected)

    def test_json_that_is_none_is_400(self):
        self.assertEqual(self.farm.request("POST", "/api/v1/jobs", b"{not json")[0], 400)

    def test_another_content_type_is_415(self):
        self.assertEqual(self.farm.request("POST", "/api/v1/jobs", b"x=1",
                                           {"Content-Type": "application/x-www-form-urlencoded"})[0], 415)

    def test_a_browser_of_another_site_is_refused(self):
        status, _, _ = self.farm.request("POST", "/api/v1/jobs", {"command": "true"},
                                         {"Origin": "http://evil.example"})
        self.assertEqual(status, 403)

    def test_malformed_heads_get_400(self):
        self.assertIn(b" 400 ", self.raw(b"\x16\x03\x01garbage\r\n\r\n").split(b"\r\n")[0] + b" ")

    def test_health_and_metrics_answer(self):
        self.assertEqual(self.farm.request("GET", "/healthz")[0], 200)
        self.assertEqual(self.farm.request("GET", "/readyz")[0], 200)
        self.assertIn(b"penstock_", self.farm.request("GET", "/metrics")[2])


class AuthTest(unittest.TestCase):
    def start(self, *args):
        return subprocess.run([program("penstock-server"), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)

    def test_listening_beyond_loopback_without_tls_is_refused(self):
        with Farm() as farm:
            done = self.start("--data-dir", farm.data_dir, "--listen", "0.0.0.0:0")
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"--insecure", done.stderr)

    def test_tokens_are_asked_for_and_checked(self):
        with Farm() as farm:
            farm.server()
            builder = farm.json("token", "create", "--kind", "builder", "--name", "b1")["token"]
            client = farm.json("token", "create", "--kind", "client", "--name", "me")["token"]
            farm.server_process.stop()
            farm.server("--auth", "tokens")
            self.assertEqual(farm.request("GET", "/api/v1/jobs")[0], 401)
            self.assertEqual(farm.request("GET", "/api/v1/jobs", None, {"Authorization": "Bearer wrong"})[0], 401)
            self.assertEqual(farm.request("GET", "/api/v1/jobs", None, {"Authorization": f"Bearer {client}"})[0], 200)
            self.assertEqual(WebSocket(farm.port).status, 401)
            self.assertEqual(WebSocket(farm.port, headers=[f"Authorization: Bearer {client}"]).status, 403)
            token_file = os.path.join(farm.dir, "token")
            with open(token_file, "w") as file:
                file.write(builder + "\n")
            os.chmod(token_file, 0o644)
            loose = Process("penstock-builder", ["--server", farm.url, "--name", "b1", "--token-file", token_file,
                                                 "--work-dir", os.path.join(farm.dir, "w")],
                            os.path.join(farm.dir, "builder.log"), farm.env)
            self.assertEqual(loose.popen.wait(60), 2, "a token file others can read is refused")
            os.chmod(token_file, stat.S_IRUSR)
            farm.builders["b1"] = Process(
                "penstock-builder", ["--server", farm.url, "--name", "b1", "--token-file", token_file, "--work-dir",
                                     os.path.join(farm.dir, "w")], os.path.join(farm.dir, "builder.log"), farm.env)
            client_file = os.path.join(farm.dir, "client-token")
            with open(client_file, "w") as file:
                file.write(client)
            os.chmod(client_file, 0o600)
            until(lambda: farm.client("--token-file", client_file, "run", "--", "true").returncode == 0,
                  "a job runs with tokens on both sides")
            self.assertNotEqual(farm.client("run", "--", "true").returncode, 0)


class StartTest(unittest.TestCase):
    def test_a_second_server_on_one_data_directory_is_refused(self):
        with Farm() as farm:
            farm.server()
            done = subprocess.run([program("penstock-server"), "--data-dir", farm.data_dir, "--listen", "127.0.0.1:0"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(str(farm.server_process.pid).encode(), done.stderr)

    def test_unknown_configuration_keys_name_line_and_nearest_key(self):
        with Farm() as farm:
            config = os.path.join(farm.dir, "server.toml")
            with open(config, "w") as file:
                file.write('data-dir = "/x"\nlistn = ["127.0.0.1:0"]\n')
            done = subprocess.run([program("penstock-server"), "--config", config], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(done.returncode, 2)
            for word in (b"listn", b"2", b"listen"):
                self.assertIn(word, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
