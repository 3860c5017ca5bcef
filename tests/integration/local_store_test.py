#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A farm whose outputs go to the server's own Nix store, with a daemon and without, beside builders that share nothing
with it: what is there, what holds it, and Nix's own clients reading it through the server."""

import os
import subprocess
import unittest

import nix_farm_test
from nix_farm_test import CONFIG, Store


class LocalStoreTest(nix_farm_test.NixFarm):
    def setUp(self):
        super().setUp()
        self.stores["server"] = self.own = Store(self.place, "server")

    def serve(self, uri, **environment):
        own = self.farm.env
        self.farm.env = {**own, **{name: self.own.env[name] for name in ("HOME", "NIX_CONF_DIR", "NIX_CONFIG")},
                         **environment}
        self.farm.server("--store", uri)
        self.farm.env = own
        self.key = self.farm.get("/api/v1/status")["signing_keys"][0]
        self.start_builder("a")

    def read_by_nix(self, path, name):
        url = self.farm.url.replace("ws:", "http:")
        self.assertIn("of the source\na text\n", self.read(self.substitute(url, path, name)))
        copied = os.path.join(self.place, name + "-copied")
        env = dict(self.client_store.env, NIX_REMOTE=copied, NIX_CONFIG=CONFIG + f"trusted-public-keys = {self.key}\n")
        subprocess.run(["nix", "copy", "--from", url, path], env=env, check=True, timeout=120,
                       capture_output=True)
        self.assertIn("of the source\na text\n", self.read(copied + path))

    def is_held(self, path, unheld):
        """What nothing holds goes, and what was published stays."""
        env = dict(self.own.env, NIX_REMOTE=self.own.root)
        self.assertIn(path, self.own.nix("nix-store", "--query", "--requisites", path).stdout.decode())
        subprocess.run(["nix-store", "--gc"], env=env, check=True, timeout=120, capture_output=True)
        self.assertFalse(self.own.has(unheld))
        self.assertTrue(self.own.has(path))
        self.own.nix("nix-store", "--verify-path", path)

    def unheld(self):
        file = os.path.join(self.place, "unheld")
        with open(file, "w", encoding="utf-8") as out:
            out.write("held by nothing")
        return self.own.nix("nix-store", "--add", file).stdout.decode().strip()

    def keeps_outputs(self, uri, described, **environment):
        self.serve(uri, **environment)
        plain = self.outputs_of("plain")[0]
        self.assertTrue(self.own.has(plain))
        info = self.own.nix("nix", "path-info", "--sigs", plain).stdout.decode()
        self.assertIn(self.key.split(":")[0] + ":", info)
        self.assertIn(described, self.farm.client("status", check=0).stdout.decode())
        roots = os.listdir(os.path.join(self.farm.data_dir, "gcroots"))
        self.assertIn(os.path.basename(plain), roots)
        self.is_held(plain, self.unheld())
        self.read_by_nix(plain, "reader")
        status, _, _ = self.farm.request("GET", "/nar/" + "0" * 32 + "-" + "0" * 52 + ".nar")
        self.assertEqual(status, 404)
        self.assertEqual(os.listdir(os.path.join(self.farm.data_dir, "local", "staged")), [])

    def test_outputs_go_to_the_store_of_a_daemon(self):
        self.keeps_outputs("local", self.own.socket, NIX_DAEMON_SOCKET_PATH=self.own.socket)

    def test_outputs_go_to_a_store_without_a_daemon(self):
        self.keeps_outputs(f"local?root={self.own.root}", self.own.root)

    def test_a_daemon_that_is_away_at_the_start_stops_nobody(self):
        self.own.close()
        self.serve("local", NIX_DAEMON_SOCKET_PATH=self.own.socket)
        status, _, body = self.farm.request("GET", "/" + "0" * 32 + ".narinfo")
        self.assertEqual(status, 503, body)
        self.assertIn(self.own.socket, body.decode())


if __name__ == "__main__":
    unittest.main(verbosity=2)
