#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server as a binary cache and as the place where outputs are brought: Nix's own clients and curl against it."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from build_test import NixStore
from farm import Farm, until

DIGITS = "0123456789abcdfghijklmnpqrsvwxyz"
SLOW = """derivation { name = "slow"; system = builtins.currentSystem; builder = "/bin/sh";
  args = [ "-c" "/bin/sleep 600; echo done > $out" ]; }"""

QUICK = """derivation { name = "NAME"; system = builtins.currentSystem; builder = "/bin/sh";
  args = [ "-c" "echo the log of NAME; END" ]; }"""


def base32(digest):
    out = ""
    for at in range((len(digest) * 8 - 1) // 5, -1, -1):
        bit = at * 5
        value = digest[bit // 8] >> (bit % 8)
        if bit // 8 + 1 < len(digest):
            value |= digest[bit // 8 + 1] << (8 - bit % 8)
        out += DIGITS[value & 31]
    return out


def nar(content):
    def word(text):
        return len(text).to_bytes(8, "little") + text + b"\0" * (-len(text) % 8)

    return b"".join(map(word, (b"nix-archive-1", b"(", b"type", b"regular", b"contents", content, b")")))


def nar_info(path, archive, address=None, references=()):
    text = (f"StorePath: {path}\nNarHash: sha256:{base32(hashlib.sha256(archive).digest())}\nNarSize: {len(archive)}\n"
            f"References: {' '.join(os.path.basename(each) for each in references)}\n")
    return (text + (f"CA: {address}\n" if address else "")).encode()


def faults(cache):
    """What of a cache a client would stumble over."""
    found = []
    for name in os.listdir(cache):
        if not name.endswith(".narinfo"):
            continue
        with open(os.path.join(cache, name), encoding="utf-8") as file:
            fields = dict(line.rstrip("\n").split(": ", 1) for line in file if ": " in line)
        if not os.path.exists(os.path.join(cache, fields["URL"])):
            found.append(f"{name}: no {fields['URL']}")
        for reference in fields.get("References", "").split():
            if not os.path.exists(os.path.join(cache, reference[:32] + ".narinfo")):
                found.append(f"{name}: no {reference}")
        if "Sig" not in fields:
            found.append(f"{name}: no signature")
    return found


class Sender:
    """Announces, brings and publishes, as a builder with a grant or as a client without."""

    def __init__(self, farm, attempt=None, grant=None):
        self.farm = farm
        self.query = f"?attempt={attempt}" if attempt else ""
        self.headers = {"Authorization": f"Bearer {grant}"} if grant else {}

    def announce(self, *infos):
        status, _, body = self.farm.request("POST", f"/transfer/uploads{self.query}", b"\n".join(infos),
                                            dict(self.headers, **{"Content-Type": "text/x-nix-narinfo"}))
        return status, json.loads(body)

    def put(self, plan, body):
        status, _, answer = self.farm.request("PUT", plan["put"]["url"].replace("=zstd", "=none"), body, self.headers)
        return status, json.loads(answer)

    def publish(self, *paths):
        status, _, body = self.farm.request("POST", f"/transfer/publish{self.query}", {"paths": paths}, self.headers)
        return status, json.loads(body)


class CacheTest(unittest.TestCase):
    """Chroot stores with nothing in common, all with /nix/store inside."""

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="penstock-transfer-", dir="/tmp")
        env = {name: value for name, value in os.environ.items() if not name.startswith("NIX_")}
        env.update(HOME=f"{cls.dir}/home", XDG_CACHE_HOME=f"{cls.dir}/xdg", NIX_CONF_DIR=f"{cls.dir}/conf",
                   NIX_CONFIG="experimental-features = nix-command\nsubstituters =\nbuild-users-group =\n"
                              "sandbox = false\n")
        for folder in ("home", "xdg", "conf"):
            os.mkdir(f"{cls.dir}/{folder}")
        cls.env = env
        cls.farm = Farm(env={name: env[name] for name in ("HOME", "XDG_CACHE_HOME", "NIX_CONF_DIR", "NIX_CONFIG")})
        cls.farm.env = {name: value for name, value in cls.farm.env.items()
                        if name not in ("NIX_STORE_DIR", "NIX_REMOTE", "NIX_STATE_DIR")}
        cls.second = f"{cls.dir}/second"
        cls.farm.server("--store", f"file://{cls.farm.data_dir}/cache", "--store", f"file://{cls.second}")
        cls.key = cls.farm.get("/api/v1/status")["signing_keys"][0]
        cls.url = f"http://127.0.0.1:{cls.farm.port}"
        cls.fill()

    @classmethod
    def tearDownClass(cls):
        cls.farm.__exit__(None, None, None)
        subprocess.run(["chmod", "-R", "u+w", cls.dir], stderr=subprocess.DEVNULL)
        shutil.rmtree(cls.dir, ignore_errors=True)

    @classmethod
    def run_nix(cls, *command, check=True):
        done = subprocess.run(command, env=cls.env, capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stderr[-3000:]}")
        return done

    @classmethod
    def fill(cls):
        """A source of 5 MB, brought by hand as a client would."""
        source = f"{cls.dir}/source"
        cls.content = bytes(range(256)) * 20_000
        with open(source, "wb") as file:
            file.write(cls.content)
        cls.path = cls.run_nix("nix", "--store", f"{cls.dir}/a", "store", "add-file", source).stdout.strip()
        cls.archive = nar(cls.content)
        address = f"fixed:sha256:{base32(hashlib.sha256(cls.content).digest())}"
        told = json.loads(cls.run_nix("nix", "--store", f"{cls.dir}/a", "path-info", "--json", cls.path).stdout)[0]
        sender = Sender(cls.farm)
        status, plans = sender.announce(nar_info(cls.path, cls.archive, told.get("ca", address)))
        assert status == 200 and plans["paths"][0]["state"] == "wanted", plans
        status, answer = sender.put(plans["paths"][0], cls.archive)
        assert status == 201, answer
        status, answer = sender.publish(cls.path)
        assert status == 200, answer

    def curl(self, *arguments):
        return subprocess.run(["curl", "-s", "-S", "--max-time", "60", *arguments], capture_output=True, timeout=90,
                              check=True).stdout

    def nar_url(self):
        digest = os.path.basename(self.path)[:32]
        text = until(lambda: (lambda got: got[2].decode() if got[0] == 200 else None)(
            self.farm.request("GET", f"/{digest}.narinfo")), "the narinfo is shown")
        return f"{self.url}/{dict(line.split(': ', 1) for line in text.splitlines())['URL']}"

    def test_ranges_make_the_whole(self):
        url = self.nar_url()
        whole = self.curl(url)
        half = len(whole) // 2
        first = self.curl("-r", f"0-{half - 1}", url)
        self.assertEqual(len(first), half)
        self.assertEqual(first + self.curl("-r", f"{half}-", url), whole)
        self.assertEqual(self.curl("-r", "-10", url), whole[-10:])
        with open(f"{self.dir}/part", "wb") as part:
            part.write(whole[:1000])
        self.curl("-C", "-", "-o", f"{self.dir}/part", url)
        with open(f"{self.dir}/part", "rb") as part:
            self.assertEqual(part.read(), whole)

    def test_nix_copies_into_an_empty_store_and_checks_signatures(self):
        for name, keys, good in (("copied", self.key, True), ("distrusting", "other-1:" + "A" * 43 + "=", None)):
            done = self.run_nix("nix", "--store", f"{self.dir}/{name}", "--option", "trusted-public-keys", keys, "copy",
                                "--from", self.url, self.path, check=False)
            # A path that its content makes is good without a signature.
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(f"{self.dir}/{name}{self.path}", "rb") as file:
                self.assertEqual(file.read(), self.content)
            if good:
                self.run_nix("nix", "--store", f"{self.dir}/{name}", "--option", "trusted-public-keys", keys, "store",
                             "verify", self.path)

    def test_nix_store_realises_by_substitution(self):
        self.run_nix("nix-store", "--store", f"{self.dir}/realised", "-r", self.path, "--option", "substituters",
                     self.url, "--option", "trusted-public-keys", self.key)
        with open(f"{self.dir}/realised{self.path}", "rb") as file:
            self.assertEqual(file.read(), self.content)

    def test_a_client_brings_only_what_proves_itself(self):
        path = "/nix/store/" + "0" * 32 + "-anything"
        status, answer = Sender(self.farm).announce(nar_info(path, nar(b"x")))
        self.assertEqual((status, answer["paths"][0]["state"]), (200, "refused"))
        self.assertIn(path, answer["paths"][0]["reason"])

    def test_a_closure_leaves_out_what_is_not_there(self):
        other = "/nix/store/" + "0" * 32 + "-anything"
        status, headers, body = self.farm.request("POST", "/transfer/closure", {"paths": [other, self.path]})
        self.assertEqual((status, headers["Content-Type"]), (200, "text/x-nix-narinfo"))
        self.assertEqual(body.count(b"StorePath: "), 1)
        self.assertIn(self.path.encode(), body)

    def test_what_is_published_reaches_the_second_store(self):
        name = f"{self.second}/{os.path.basename(self.path)[:32]}.narinfo"
        until(lambda: os.path.exists(name), "the copy is made")
        self.assertEqual(faults(self.second), [])
        until(lambda: self.farm.get("/status/uploads") == {"paths": [], "pathCount": 0}, "nothing waits any more")

    def test_status_names_stores_and_keys(self):
        shown = self.farm.client("status", check=0).stdout.decode()
        self.assertIn(self.key, shown)
        self.assertIn(f"file://{self.farm.data_dir}/cache", shown)
        self.assertEqual(os.stat(f"{self.farm.data_dir}/signing-key").st_mode & 0o777, 0o600)
        self.assertEqual(faults(f"{self.farm.data_dir}/cache"), [])


class GrantTest(unittest.TestCase):
    """A running attempt and what is brought in its name."""

    @classmethod
    def setUpClass(cls):
        cls.nix = NixStore()
        cls.farm = Farm(env=cls.nix.env)
        cls.farm.server()
        cls.farm.builder("b1", "--max-jobs", "2")
        file = os.path.join(cls.farm.dir, "slow.nix")
        with open(file, "w", encoding="utf-8") as out:
            out.write(SLOW)
        cls.client = cls.farm.start_client("build", file)
        step = until(lambda: (cls.farm.get("/api/v1/steps?state=running")["steps"] or [None])[0], "the build runs")
        cls.attempt = step["attempt"]
        drv = subprocess.run(["nix-instantiate", file], env=cls.nix.env, capture_output=True, text=True,
                             check=True).stdout.strip()
        cls.output = subprocess.run(["nix-store", "-q", "--outputs", drv], env=cls.nix.env, capture_output=True,
                                    text=True, check=True).stdout.strip()
        with open(f"{cls.farm.data_dir}/signing-key", encoding="ascii") as key:
            seed = base64.b64decode(key.read().split(":")[1])[:32]
        cls.grant_key = hashlib.blake2b(b"penstock transfer grant", digest_size=32, key=seed).digest()

    @classmethod
    def tearDownClass(cls):
        cls.client.kill()
        cls.client.communicate()
        cls.farm.__exit__(None, None, None)
        cls.nix.close()

    def grant(self, attempt):
        text = f"attempt-{attempt}"
        return f"{text}-{hmac.new(self.grant_key, text.encode(), hashlib.sha256).hexdigest()}"

    def sender(self, grant=None):
        return Sender(self.farm, self.attempt, grant or self.grant(self.attempt))

    def tearDown(self):
        self.assertEqual(faults(f"{self.farm.data_dir}/cache"), [])

    def refused(self, grant, status, words):
        got, answer = self.sender(grant).announce(nar_info(self.output, nar(b"x")))
        self.assertEqual(got, status, answer)
        self.assertIn(words, answer["detail"])

    def test_a_forged_grant_is_refused(self):
        self.refused(f"attempt-{self.attempt}-{'0' * 64}", 401, "not one of this server")

    def test_a_grant_of_an_attempt_that_is_over_is_refused(self):
        self.refused(self.grant(self.attempt + 1000), 401, "is over")

    def test_a_path_that_is_no_output_is_refused(self):
        foreign = f"{os.path.dirname(self.output)}/{'0' * 32}-foreign"
        status, answer = self.sender().announce(nar_info(foreign, nar(b"x")))
        self.assertEqual((status, answer["paths"][0]["state"]), (200, "refused"), answer)
        self.assertIn(self.output, answer["paths"][0]["reason"])
        self.assertGreater(self.farm.metric("penstock_cache_refused_total", 'reason="not_an_output"'), 0)

    def test_another_nar_than_announced_is_refused(self):
        sender = self.sender()
        _, plans = sender.announce(nar_info(self.output, nar(b"one thing")))
        status, answer = sender.put(plans["paths"][0], nar(b"something"))
        self.assertEqual(status, 422, answer)
        self.assertIn(os.path.basename(self.output), answer["detail"])
        status, answer = sender.publish(self.output)
        self.assertEqual(status, 409, answer)

    def test_the_output_is_taken_signed_and_shown(self):
        sender = self.sender()
        archive = nar(b"built elsewhere")
        _, plans = sender.announce(nar_info(self.output, archive))
        self.assertEqual(sender.put(plans["paths"][0], archive)[0], 201)
        self.assertEqual(self.farm.get("/status/uploads"), {"paths": [self.output], "pathCount": 1})
        self.assertEqual(sender.publish(self.output), (200, {"published": [self.output]}))
        digest = os.path.basename(self.output)[:32]
        text = until(lambda: (lambda got: got[2].decode() if got[0] == 200 else None)(
            self.farm.request("GET", f"/{digest}.narinfo")), "the narinfo is shown")
        self.assertIn("\nSig: penstock-", text)
        self.assertEqual(sender.announce(nar_info(self.output, archive))[1]["paths"][0]["state"], "present")

    def test_logs_are_kept_of_builds_that_went_well_and_of_others(self):
        for name, end, exit_code in (("good", "echo 1 > $out", 0), ("bad", "exit 3", 1)):
            file = os.path.join(self.farm.dir, f"{name}.nix")
            with open(file, "w", encoding="utf-8") as out:
                out.write(QUICK.replace("NAME", name).replace("END", end))
            self.farm.client("build", file, check=exit_code)
            drv = subprocess.run(["nix-instantiate", file], env=self.nix.env, capture_output=True, text=True,
                                 check=True).stdout.strip()
            got = until(lambda drv=drv: (lambda answer: answer[2] if answer[0] == 200 else None)(
                self.farm.request("GET", f"/log/{os.path.basename(drv)}")), "the log is kept")
            self.assertIn(f"the log of {name}".encode(), got)

    def test_a_truncated_body_is_nothing(self):
        sender = self.sender()
        archive = nar(b"y" * 100_000)
        _, plans = sender.announce(nar_info(self.output, archive))
        failures = self.farm.metric("penstock_cache_receive_failures_total")
        link = http.client.HTTPConnection("127.0.0.1", self.farm.port)
        link.putrequest("PUT", plans["paths"][0]["put"]["url"].replace("=zstd", "=none"))
        for name, value in dict(sender.headers, **{"Content-Length": str(len(archive))}).items():
            link.putheader(name, value)
        link.endheaders()
        link.send(archive[:50_000])
        link.close()
        until(lambda: self.farm.metric("penstock_cache_receive_failures_total") > failures, "the server saw the end")
        self.assertEqual(sender.publish(self.output)[0], 409)


if __name__ == "__main__":
    unittest.main()
