#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A farm of machines that share nothing: a client, two builders and a reader, each with a store of its own (chroot
stores with the usual /nix/store inside), and the server's cache between them. Faults in the middle of transfers."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from farm import LIMIT, Farm, program, until
from transfer_test import Sender, base32, faults

CONFIG = ("experimental-features = nix-command ca-derivations\nsubstituters =\nbuilders =\nbuild-users-group =\n"
          "sandbox-paths = /bin /usr /lib /lib64\nsystem-features =\n")

# Sources, a fixed output, two outputs, a content-addressed one, and two that wait for its path.
NIX = """
let
  sh = name: text: more: derivation ({
    inherit name; system = builtins.currentSystem; builder = "/bin/sh";
    args = [ "-c" ("PATH=/bin:/usr/bin\\n" + text) ];
  } // more);
in rec {
  text = builtins.toFile "text" "a text\\n";
  fixed = sh "fixed" "printf fixed > $out" { outputHashMode = "flat"; outputHashAlgo = "sha256";
    outputHash = builtins.hashString "sha256" "fixed"; };
  two = sh "two" "cat $src/file $text > $out; mkdir $dev; ln -s $out $dev/lib" {
    outputs = [ "out" "dev" ]; src = ./source; inherit text; };
  floating = sh "floating" "mkdir $out; echo $two > $out/two; cat $fixed >> $out/two" {
    __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; inherit two fixed; };
  deferred = sh "deferred" "echo $floating > $out; cat $floating/two >> $out" { inherit floating; };
  plain = sh "plain" "echo $dev $fixed > $out; cat $two >> $out" { inherit two fixed; dev = two.dev; };
  big = sh "big" "head -c 67108864 /dev/urandom > $out" { inherit text; };
  reader = sh "reader" "wc -c < $big > $out" { inherit big; };
  hundred = sh "hundred" "cat $parts > $out" { parts = builtins.genList
    (n: sh "part${toString n}" "echo ${toString n} > $out" { inherit text; }) 99; };
}
"""


# A machine whose /nix is the store's: clients read .drv files there. The rest is this machine's.
INSIDE = """
    root=$1; store=$2; shift 2
    mkdir -p "$root/nix"
    for each in /*; do
        case $each in /nix|/lost+found|/sys) continue;; esac
        if [ -L "$each" ]; then cp -P "$each" "$root/"
        elif [ -d "$each" ]; then mkdir -p "$root$each" && mount --rbind "$each" "$root$each"; fi
    done
    mount --bind "$store/nix" "$root/nix" && exec chroot "$root" "$@"
"""


class Store:
    """A chroot store and its daemon."""

    def __init__(self, place, name):
        self.root = os.path.join(place, name)
        self.socket = self.root + ".sock"
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("NIX_")}
        self.env.update(HOME=f"{self.root}-home", XDG_CACHE_HOME=f"{self.root}-home", NIX_CONF_DIR=f"{self.root}-home",
                        NIX_CONFIG=CONFIG, NIX_DAEMON_SOCKET_PATH=self.socket)
        os.mkdir(f"{self.root}-home")
        self.daemon = subprocess.Popen(["nix-daemon"], env=dict(self.env, NIX_REMOTE=self.root),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
                                       stderr=subprocess.DEVNULL)
        self.env["NIX_REMOTE"] = f"unix://{self.socket}?root={self.root}"
        until(lambda: self.nix("nix", "store", "ping", check=False).returncode == 0, f"the daemon of {name} answers")

    def nix(self, *command, check=True):
        done = subprocess.run(command, env=self.env, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stderr[-3000:].decode()}")
        return done

    def has(self, path):
        return os.path.lexists(self.root + path)

    def close(self):
        if self.daemon.poll() is None:
            os.killpg(self.daemon.pid, signal.SIGKILL)
            self.daemon.wait()


class Relay:
    """A road to the server that can be cut: everything that goes over it ends at once."""

    def __init__(self, port, rate):
        self.target = port
        self.rate = rate  # bytes a second, each way, so that a test can come in between
        self.pairs = []
        self.bytes = 0
        self.is_open = True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if not self.is_open:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self.pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source, sink):
        try:
            while data := source.recv(65536):
                self.bytes += len(data)
                sink.sendall(data)
                time.sleep(len(data) / self.rate)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        source.close()  # what is still sent to it is answered with a reset, as by a machine that is gone

    def cut(self):
        self.is_open = False
        for pair in self.pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs = []

    def mend(self):
        self.is_open = True

    def close(self):
        self.listener.close()
        self.cut()


class NixFarm(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.mkdtemp(prefix="pnf-", dir="/tmp")
        self.addCleanup(self.remove)
        self.stores = {name: Store(self.place, name) for name in ("client", "a", "b")}
        self.client_store = self.stores["client"]
        self.farm = Farm()
        for name in list(self.farm.env):
            if name.startswith("NIX_"):
                del self.farm.env[name]
        self.addCleanup(self.end_farm)
        os.mkdir(f"{self.place}/nix")
        os.mkdir(f"{self.place}/nix/source")
        with open(f"{self.place}/nix/source/file", "w", encoding="utf-8") as file:
            file.write("of the source\n")
        self.file = f"{self.place}/nix/farm.nix"
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(NIX)

    def end_farm(self):
        outcome = getattr(self._outcome, "result", None)
        failed = outcome is not None and any(test is self for test, _ in outcome.failures + outcome.errors)
        self.farm.__exit__(AssertionError if failed else None, None, None)

    def remove(self):
        for store in self.stores.values():
            store.close()
        subprocess.run(["chmod", "-R", "u+w", self.place], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.place, ignore_errors=True)

    @property
    def cache(self):
        return os.path.join(self.farm.data_dir, "cache")

    def start(self, builders=("a", "b"), server=(), port=None):
        self.farm.server(*server)
        self.key = self.farm.get("/api/v1/status")["signing_keys"][0]
        for name in builders:
            self.start_builder(name, port)

    def start_builder(self, name, port=None, *more):
        store = self.stores[name]
        own_port, self.farm.port = self.farm.port, port or self.farm.port
        self.farm.builder(name, "--max-jobs", "2", "--nix-daemon-socket", store.socket, *more, env=store.env,
                          wait=False)
        self.farm.port = own_port
        self.farm.wait_machine(name)

    def bring_sources(self):
        """What the derivations need and no derivation makes, as a client brings it."""
        paths = sorted({source for drv in self.drvs(self.instantiate()) for source in drv["inputSrcs"]})
        sender = Sender(self.farm)
        infos, nars = [], {}
        for info in json.loads(self.client_store.nix("nix", "path-info", "--json", *paths).stdout):
            references = " ".join(os.path.basename(each) for each in info["references"])
            infos.append((f"StorePath: {info['path']}\nNarHash: {self.base32(info['narHash'])}\n"
                          f"NarSize: {info['narSize']}\nReferences: {references}\nCA: {info['ca']}\n").encode())
            file = self.client_store.root + info["path"]
            nars[info["path"]] = self.client_store.nix("nix-store", "--dump", file).stdout
        status, plans = sender.announce(*infos)
        self.assertEqual(status, 200, plans)
        for plan in plans["paths"]:
            if plan["state"] == "present":
                continue
            self.assertEqual(plan["state"], "wanted", plan)
            status, answer = sender.put(plan, nars[plan["path"]])
            self.assertEqual(status, 201, answer)
        status, answer = sender.publish(*paths)
        self.assertEqual(status, 200, answer)

    @staticmethod
    def base32(sri):
        return "sha256:" + base32(base64.b64decode(sri.removeprefix("sha256-")))

    def instantiate(self):
        out = self.client_store.nix("nix-instantiate", self.file).stdout.decode().split()
        return [path for path in out if path.endswith(".drv")]

    def drvs(self, roots):
        told = self.client_store.nix("nix", "show-derivation", "--recursive", *roots).stdout
        return list(json.loads(told).values())

    def start_build(self, attribute):
        store = self.client_store
        env = dict(store.env, NIX_REMOTE=f"unix://{store.socket}")
        root = tempfile.mkdtemp(prefix="inside-", dir=self.place)
        return subprocess.Popen(["unshare", "--mount", "sh", "-ec", INSIDE, "inside", root, store.root,
                                 os.path.abspath(program("penstock")), "--server", self.farm.url, "build", self.file,
                                 "-A", attribute], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, start_new_session=True)

    def finish(self, client, check=0):
        try:
            out, said = client.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(client.pid, signal.SIGKILL)
            job = self.farm.get("/api/v1/jobs?limit=1")["jobs"][0]["id"]
            runs = [{key: run.get(key) for key in ("step", "state", "result", "phase", "error")}
                    for run in self.farm.runs(job)][-10:]
            told = (runs, self.farm.get(f"/api/v1/jobs/{job}/explain"))
            raise AssertionError(f"the build did not end: {told}; {client.communicate()[1][-2000:].decode()}") from None
        if check is not None:
            self.assertEqual(client.returncode, check, said[-3000:].decode())
        return out.decode(), said.decode()

    def build(self, attribute, check=0):
        return self.finish(self.start_build(attribute), check)

    def steps(self):
        job = self.farm.get("/api/v1/jobs?limit=1")["jobs"][0]["id"]
        return self.farm.get(f"/api/v1/jobs/{job}/steps")["steps"]

    def await_phase(self, *phases):
        """Waits until some running step is in one of the phases."""
        until(lambda: any(step.get("phase") in phases for step in self.steps()), f"a step is in {phases}")

    def check_cache(self):
        self.assertEqual(faults(self.cache), [])

    def outputs_of(self, attribute):
        return self.build(attribute)[0].split()

    def substitute(self, url, path, name):
        """Into an empty store, signatures checked."""
        root = os.path.join(self.place, name)
        env = dict(self.client_store.env, NIX_REMOTE=root,
                   NIX_CONFIG=CONFIG + f"substituters = {url}\ntrusted-public-keys = {self.key}\nrequire-sigs = true\n")
        done = subprocess.run(["nix-store", "-r", path], env=env, capture_output=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return root + path

    def read(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def relay(self):
        relay = Relay(self.farm.port, rate=12e6)
        self.addCleanup(relay.close)
        return relay

    def errors(self):
        jobs = self.farm.get("/api/v1/jobs?limit=1")["jobs"]
        return [run["error"] for job in jobs for run in self.farm.runs(job["id"]) if run.get("error")]


class NixFarmTest(NixFarm):
    # ---------------------------------------------------------------------------------------------------- good

    def test_machines_that_share_nothing_build_together(self):
        self.start()
        self.bring_sources()
        plain = self.outputs_of("plain")[0]
        self.assertFalse(self.client_store.has(plain), "nothing comes back unasked")
        self.check_cache()
        for number, url in enumerate((f"http://127.0.0.1:{self.farm.port}", f"file://{self.cache}")):
            text = self.read(self.substitute(url, plain, f"reader{number}"))
            self.assertIn("of the source\na text\n", text)

    def test_content_addressed_outputs_and_who_waits_for_them(self):
        self.start()
        self.bring_sources()
        deferred = self.outputs_of("deferred")[0]
        text = self.read(self.substitute(f"http://127.0.0.1:{self.farm.port}", deferred, "reader"))
        self.assertRegex(text, r"^/nix/store/\w+-floating\n/nix/store/\w+-two\nfixed$")
        self.check_cache()

    def test_what_the_server_has_is_neither_built_nor_fetched(self):
        self.start(builders=("a",))
        self.bring_sources()
        self.build("plain")
        self.farm.builders["a"].kill()
        self.start_builder("b")
        self.build("plain")
        self.assertEqual({step["result"] for step in self.steps()} - {"cached"}, set())
        self.assertEqual([name for name in os.listdir(self.stores["b"].root + "/nix/store")
                          if not name.startswith(".") and "trust-probe" not in name], [])

    # -------------------------------------------------------------------------------------------------- faults

    def build_through(self, relay, disturb, attribute="big", name="a"):
        """Builds, and disturbs when 8 MiB of the big path have gone over the relay; the build must end well."""
        self.start_builder(name, relay.port)
        client = self.start_build(attribute)
        until(lambda: relay.bytes > 8 << 20, "the big path is on its way")
        disturb()
        self.finish(client)
        self.check_cache()
        path = self.outputs_of(attribute)[0]
        self.substitute(f"file://{self.cache}", path, f"after-{attribute}")

    def kill_builder(self, name, relay):
        self.farm.builders[name].kill()
        self.start_builder(name, relay.port)

    def restart_server(self):
        self.farm.server_process.kill()
        self.farm.server()

    @staticmethod
    def flap(relay):
        relay.cut()
        time.sleep(0.5)  # the length of the cut
        relay.mend()

    def test_a_builder_killed_while_it_uploads(self):
        self.start(builders=())
        self.bring_sources()
        relay = self.relay()
        self.build_through(relay, lambda: self.kill_builder("a", relay))

    def test_a_server_killed_while_a_builder_uploads(self):
        self.start(builders=())
        self.bring_sources()
        self.build_through(self.relay(), self.restart_server)

    def test_a_road_cut_while_a_builder_uploads(self):
        self.start(builders=())
        self.bring_sources()
        relay = self.relay()
        self.build_through(relay, lambda: self.flap(relay))
        self.assertEqual(self.errors(), [], "the upload is tried again by the same attempt")

    def fetching(self, disturb):
        self.start(builders=("b",))
        self.bring_sources()
        self.build("big")
        self.farm.builders["b"].kill()
        relay = self.relay()
        self.build_through(relay, lambda: disturb(relay), attribute="reader")

    def test_a_builder_killed_while_it_fetches(self):
        self.fetching(lambda relay: self.kill_builder("a", relay))

    def test_a_server_killed_while_a_builder_fetches(self):
        self.fetching(lambda relay: self.restart_server())

    def test_a_road_cut_while_a_builder_fetches(self):
        self.fetching(self.flap)
        self.assertEqual(self.errors(), [], "the download goes on where it was")

    def test_a_damaged_file_in_the_cache_is_never_taken(self):
        self.start(builders=("b",))
        self.bring_sources()
        big = self.outputs_of("big")[0]
        self.farm.builders["b"].kill()
        with open(f"{self.cache}/{os.path.basename(big)[:32]}.narinfo", encoding="utf-8") as file:
            nar = re.search(r"^URL: (.*)$", file.read(), re.M).group(1)
        with open(f"{self.cache}/{nar}", "r+b") as file:
            file.seek(30 << 20)
            old = file.read(1)
            file.seek(30 << 20)
            file.write(bytes([old[0] ^ 1]))
        self.start_builder("a")
        client = self.start_build("reader")
        errors = until(self.errors, "the fetch is refused")
        self.assertIn(os.path.basename(big), errors[0])
        valid = self.stores["a"].nix("nix-store", "--check-validity", big, check=False)
        self.assertNotEqual(valid.returncode, 0, "what is left of it is not valid")
        with open(f"{self.cache}/{nar}", "r+b") as file:
            file.seek(30 << 20)
            file.write(old)
        self.finish(client)

    def test_a_cache_that_is_full_or_read_only_costs_no_build(self):
        os.makedirs(self.cache)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", self.cache], check=True)
        self.addCleanup(lambda: subprocess.run(["umount", "-l", self.cache], check=False))
        self.start(builders=("a",))
        self.bring_sources()
        client = self.start_build("big")
        errors = until(self.errors, "the server has no room")
        self.assertIn("507", errors[0])
        self.check_cache()
        subprocess.run(["mount", "-o", "remount,ro,size=256m", self.cache], check=True)
        until(lambda: any("ead-only" in error for error in self.errors()), "the cache is read-only")
        subprocess.run(["mount", "-o", "remount,rw", self.cache], check=True)
        self.finish(client)
        self.check_cache()

    def test_a_hundred_small_builds_beside_nix_itself(self):
        self.start(builders=("a",))
        self.bring_sources()
        began = time.monotonic()
        self.build("hundred")
        ours = time.monotonic() - began
        drv = self.stores["b"].nix("nix-instantiate", self.file, "-A", "hundred").stdout.decode().strip()
        began = time.monotonic()
        self.stores["b"].nix("nix-store", "-r", drv)
        theirs = time.monotonic() - began
        print(f"100 builds: {ours:.1f} s here, {theirs:.1f} s by nix-store -r: {ours / theirs:.2f}")
        self.check_cache()


if __name__ == "__main__":
    unittest.main(verbosity=2)
