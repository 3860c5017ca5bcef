#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A farm whose outputs are kept in a bucket: machines that share nothing, the server, and a real S3 server (Ceph's
gateway) that is killed, full, out of reach or refuses the server's keys."""

import base64
import hashlib
import hmac
import os
import re
import signal
import subprocess
import unittest

import nix_farm_test
from farm import BIN, LIMIT, until
from s3_server import S3Server
from transfer_test import SLOW, Sender, nar, nar_info

CHECK = os.path.join(BIN, "../tests/check_cache")


class Gate(nix_farm_test.Relay):
    """A road to the S3 server on which builders are told apart by what they call themselves."""

    def __init__(self, port, rewrite):
        super().__init__(port, rate=1e12)
        self.rewrite = rewrite  # of a request's first bytes; empty: the road ends

    def carry(self, source, sink):
        if any(source is near for near, _ in self.pairs):
            sink = Rewriting(sink, self.rewrite)
        super().carry(source, sink)


class Rewriting:
    def __init__(self, sink, rewrite):
        self.sink, self.rewrite = sink, rewrite

    def sendall(self, data):
        data = self.rewrite(data)
        if not data:
            raise OSError("this road is closed")
        self.sink.sendall(data)

    def shutdown(self, how):
        self.sink.shutdown(how)


def grant_of(farm, attempt):
    with open(f"{farm.data_dir}/signing-key", encoding="ascii") as key:
        seed = base64.b64decode(key.read().split(":")[1])[:32]
    text = f"attempt-{attempt}"
    key = hashlib.blake2b(b"penstock transfer grant", digest_size=32, key=seed).digest()
    return f"{text}-{hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}"


def no_builders(data):
    return b"" if b"User-Agent: penstock-builder" in data else data


class S3Farm(nix_farm_test.NixFarm):
    MIB = "2048"

    @classmethod
    def setUpClass(cls):
        os.environ["S3_MIB"] = cls.MIB
        cls.s3 = S3Server()

    @classmethod
    def tearDownClass(cls):
        cls.s3.close()

    def setUp(self):
        super().setUp()
        self.bucket = re.sub("[^a-z0-9]", "-", self._testMethodName[-40:].strip("_"))
        self.s3.make_bucket(self.bucket)
        self.uri = f"s3://{self.bucket}?{self.s3.parameters}&compression=zstd"

    def run_server(self, *stores, **environment):
        own = self.farm.env
        self.farm.env = {**own, **self.s3.environment, **environment}
        self.farm.env.pop("AWS_ENDPOINT_URL")
        self.farm.server(*(word for store in stores or (self.uri,) for word in ("--store", store)))
        self.farm.env = own
        self.key = self.farm.get("/api/v1/status")["signing_keys"][0]

    def through(self, gate):
        return self.uri.replace(f":{self.s3.port}", f":{gate.port}")

    def check(self, uri=None, code=0):
        done = subprocess.run([CHECK, uri or self.uri, self.key], env=dict(os.environ, **self.s3.environment),
                              capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return int(re.search(r"^(\d+) paths", done.stdout, re.M)[1])

    def orphans(self):
        done = subprocess.run([CHECK, self.uri], env=dict(os.environ, **self.s3.environment), capture_output=True,
                              text=True, timeout=120, check=True)
        return int(re.search(r"(\d+) orphans$", done.stdout, re.M)[1])

    def asked(self, method, who, what="nar/"):
        return [request for request in self.s3.requests()
                if request[0] == method and request[1].startswith(f"/{self.bucket}/{what}") and who in request[3]]

    def runs(self):
        jobs = self.farm.get("/api/v1/jobs?limit=1")["jobs"]
        return self.farm.runs(jobs[0]["id"]) if jobs else []

    def said(self):
        return " ".join(run.get("error") or "" for run in self.runs())


class BucketTest(S3Farm):
    def test_outputs_go_past_the_server_and_are_read_by_nix(self):
        self.run_server()
        for name in ("a", "b"):
            self.start_builder(name)
        plain = self.outputs_of("plain")[0]
        self.assertGreaterEqual(self.check(), 5)
        brought = [request for request in self.asked("PUT", "penstock-builder") if request[2] == 200]
        self.assertEqual(len(brought), 4, "fixed, two, its dev, plain")
        self.assertEqual([status for _, _, status, _ in self.asked("PUT", "", "") if status not in (200, 412)], [])
        self.s3.open_bucket(self.bucket)
        for number, url in enumerate((self.farm.url.replace("ws:", "http:"),
                                      f"http://127.0.0.1:{self.s3.port}/{self.bucket}")):
            self.assertIn("of the source\na text\n", self.read(self.substitute(url, plain, f"reader{number}")))

    def test_a_large_output_goes_in_parts(self):
        self.run_server()
        self.start_builder("a")
        path = self.outputs_of("reader")[0]
        self.check()
        parts = [request for request in self.asked("PUT", "penstock-builder") if "partNumber=" in request[1]]
        self.assertGreaterEqual(len(parts), 8)
        self.assertEqual(self.read(self.substitute(self.farm.url.replace("ws:", "http:"), path, "empty")), "67108864\n")

    def test_builders_that_cannot_reach_the_bucket_send_to_the_server(self):
        gate = Gate(self.s3.port, no_builders)
        self.addCleanup(gate.close)
        self.run_server(self.through(gate))
        self.start_builder("a")
        plain = self.outputs_of("plain")[0]
        self.check()
        self.assertEqual(self.asked("PUT", "penstock-builder"), [])
        self.substitute(self.farm.url.replace("ws:", "http:"), plain, "empty")

    def test_an_address_that_has_expired_is_asked_for_again(self):
        aged = []

        def age(data):
            if aged or not (data.startswith(b"PUT ") and b"User-Agent: penstock-builder" in data):
                return data
            aged.append(data)
            return re.sub(rb"X-Amz-Date=(\d{4})", lambda match: b"X-Amz-Date=%04d" % (int(match[1]) - 1), data)

        gate = Gate(self.s3.port, age)
        self.addCleanup(gate.close)
        self.run_server(self.through(gate) + "&presigned-url-expiry=60")
        self.start_builder("a")
        self.build("fixed")
        self.check()
        self.assertIn(b"X-Amz-Expires=60&", aged[0])
        self.assertEqual([status for _, _, status, _ in self.asked("PUT", "penstock-builder")], [403, 200])
        self.assertEqual(self.said().strip(), "", "one attempt was enough")

    def test_what_an_attempt_leaves_in_the_bucket_is_removed(self):
        with open(self.file, "w", encoding="utf-8") as file:
            file.write("{ slow = " + SLOW + "; }")
        self.run_server()
        self.start_builder("a")
        client = self.start_build("slow")
        step = until(lambda: (self.farm.get("/api/v1/steps?state=running")["steps"] or [None])[0], "the build runs")
        output = self.client_store.nix("nix-store", "-q", "--outputs", *self.instantiate()).stdout.decode().strip()
        sender = Sender(self.farm, step["attempt"], grant_of(self.farm, step["attempt"]))
        archive = nar(b"built elsewhere")
        status, plans = sender.announce(nar_info(output, archive))
        self.assertEqual((status, plans["paths"][0]["state"]), (200, "wanted"), plans)
        put = plans["paths"][0]["put"]
        packed = subprocess.run(["zstd", "-c"], input=archive, capture_output=True, check=True).stdout
        headers = [word for name, value in put["headers"].items() for word in ("-H", f"{name}: {value}")]
        self.assertIn("If-None-Match: *", headers, "a file is never replaced")
        for expected in ("200", "412"):
            done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", put["method"],
                                   *headers, "--data-binary", "@-", put["url"]], input=packed, capture_output=True,
                                  check=True)
            self.assertEqual(done.stdout.decode(), expected)
        self.assertEqual(self.orphans(), 1)
        self.farm.client("cancel", "1", check=0)
        until(lambda: self.orphans() == 0, "nothing is left")
        self.assertEqual(self.farm.metric("penstock_cache_discarded_total"), 1)
        client.wait(LIMIT)
        client.communicate()

    def test_keys_that_are_refused_cost_no_build(self):
        self.run_server()
        self.start_builder("a")
        self.farm.server_process.stop()
        self.run_server(AWS_SECRET_ACCESS_KEY="wrong")
        self.farm.wait_machine("a")
        client = self.start_build("fixed")
        until(lambda: "SignatureDoesNotMatch" in self.said(), "the attempt says why")
        self.assertIn("check the credentials", self.said())
        self.assertEqual(self.asked("PUT", "penstock-builder"), [])
        self.farm.server_process.stop()
        self.run_server()
        self.finish(client)
        self.check()

    def farm_log(self):
        with open(os.path.join(self.farm.dir, "server.log"), encoding="utf-8", errors="replace") as file:
            return file.readlines()

    def test_a_bucket_that_is_not_there_is_told_at_the_start(self):
        self.farm.env.update(self.s3.environment)
        server = self.farm.server("--store", self.uri.replace(self.bucket, "no-such-bucket"), wait=False)
        self.assertEqual(server.popen.wait(LIMIT), 2, "as with any other flag that cannot be used")
        told = "".join(self.farm_log())
        self.assertIn("no-such-bucket", told)
        self.assertIn("create the bucket, or mend its name", told)

    def test_a_gateway_that_never_answers_delays_the_start_for_a_while_only(self):
        self.s3.signal(signal.SIGSTOP)
        self.addCleanup(self.s3.signal, signal.SIGCONT)
        self.run_server()
        self.assertTrue(any("cache.away" in line for line in self.farm_log()), "it had not answered")
        self.s3.signal(signal.SIGCONT)
        self.start_builder("a")
        self.build("fixed")
        self.check()

    def test_a_gateway_that_is_away_at_the_start_stops_nobody(self):
        self.s3.signal(signal.SIGKILL)
        self.addCleanup(self.s3.restart)
        self.run_server()
        self.start_builder("a")
        client = self.start_build("floating")
        until(lambda: any("cache.away" in line for line in self.farm_log()), "the server says so")
        self.s3.restart()
        client.wait(LIMIT)
        client.communicate()
        if client.returncode != 0:  # its sources were not taken while the store was away
            self.build("floating")
        self.check()

    def test_a_gateway_killed_while_a_builder_uploads(self):
        self.addCleanup(self.s3.restart)
        self.run_server()
        self.start_builder("a")
        client = self.start_build("reader")
        until(lambda: self.asked("PUT", "penstock-builder", "nar/"), "the first bytes are there")
        self.s3.signal(signal.SIGKILL)
        self.s3.restart()
        self.check()
        self.finish(client)
        self.check()

    def test_two_stores_and_the_second_killed_meanwhile(self):
        self.addCleanup(self.s3.restart)
        first = f"file://{self.cache}"
        self.run_server(first, self.uri)
        self.start_builder("a")
        self.build("fixed")
        until(lambda: self.farm.get("/status/uploads")["pathCount"] == 0, "the second has all")
        self.assertEqual(self.check(), self.check(first))
        self.s3.signal(signal.SIGKILL)
        self.build("plain")
        self.assertGreater(self.farm.get("/status/uploads")["pathCount"], 0)
        self.s3.restart()
        self.check()
        until(lambda: self.farm.get("/status/uploads")["pathCount"] == 0, "the second has all again")
        self.assertEqual(self.check(), self.check(first))


class SmallBucketTest(S3Farm):
    MIB = "20"

    def test_a_quota_that_is_used_up_is_told(self):
        self.run_server()
        self.start_builder("a")
        before = self.check()
        client = self.start_build("big")
        until(lambda: "QuotaExceeded" in self.said(), "the attempt says why")
        self.assertIn("raise the quota", self.said())
        job = str(self.farm.get("/api/v1/jobs?limit=1")["jobs"][0]["id"])
        self.assertIn("QuotaExceeded", self.farm.client("job", job, check=0).stdout.decode())
        self.assertEqual(self.check(), before + 1, "its source is shown alone")
        self.assertEqual({run["end"] for run in self.runs() if run["state"] == "ended"}, {"infrastructure"})
        self.farm.client("cancel", job, check=0)
        client.wait(LIMIT)
        client.communicate()


if __name__ == "__main__":
    unittest.main(verbosity=2)
