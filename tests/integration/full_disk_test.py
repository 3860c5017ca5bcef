# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is full: the job ends with a clear reason or its log waits; nothing crashes and nothing is lost. The
small disk is a tmpfs in a mount namespace of the test's own, which an ordinary user may make too."""

import ctypes
import hashlib
import os
import subprocess
import sys
import unittest

from farm import Farm, until
from transfer_test import Sender, base32, faults, nar, nar_info

SMALL, LARGE = "4m", "256m"
PRINTS = 30 << 20
MS_REMOUNT = 32


def mount(folder, size, flags=0):
    """mount(2) itself: the program mount refuses whoever is not root, whatever the namespace allows."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", folder.encode(), b"tmpfs", flags, f"size={size},mode=755".encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mounting a tmpfs on {folder}: {os.strerror(ctypes.get_errno())}")


class FullDiskTest(unittest.TestCase):
    def test_an_output_that_does_not_fit_is_refused_and_nothing_of_it_is_shown(self):
        with Farm() as farm:
            cache = os.path.join(farm.dir, "small")
            os.mkdir(cache)
            mount(cache, "1m")
            farm.server("--store", f"file://{cache}")
            archive = nar(os.urandom(3_000_000))
            digest = hashlib.sha256(archive).digest()
            folded = bytearray(20)
            for at, byte in enumerate(hashlib.sha256(f"source:sha256:{digest.hex()}:/nix/store:big".encode()).digest()):
                folded[at % 20] ^= byte
            path = f"/nix/store/{base32(bytes(folded))}-big"
            sender = Sender(farm)
            _, plans = sender.announce(nar_info(path, archive, f"fixed:r:sha256:{base32(digest)}"))
            self.assertEqual(plans["paths"][0]["state"], "wanted", plans)
            status, answer = sender.put(plans["paths"][0], archive)
            self.assertEqual(status, 507, answer)
            self.assertEqual(sender.publish(path)[0], 409)
            self.assertEqual(faults(cache), [])
            self.assertEqual([name for _, _, names in os.walk(cache) for name in names if "nar" in name], [])

    def test_a_log_waits_at_its_builder_while_the_servers_disk_is_full(self):
        with Farm() as farm:
            folder = os.path.join(farm.data_dir, "logs")
            os.makedirs(folder)
            mount(folder, SMALL)
            farm.server()
            farm.builder("b1")
            [job] = farm.submit({"name": "t", "shell": "sh", "max_log": "1GiB",
                                 "command": f"head -c {PRINTS} /dev/zero; echo end"})
            self.assertEqual(farm.wait_job(job)["state"], "succeeded", "the job itself is not held up")
            during = farm.client("run", "--", "echo", "during")
            self.assertEqual(during.returncode, 0)
            self.assertIn(b"log", during.stderr, "what is missing is said")
            mount(folder, LARGE, MS_REMOUNT)
            until(lambda: len(farm.client("logs", str(job), check=0).stdout) == PRINTS + 4, "the whole log is there")
            self.assertEqual(farm.client("logs", str(job + 1), check=0).stdout, b"during\n")
            after = farm.client("run", "--", "echo", "after")
            self.assertEqual((after.returncode, after.stdout), (0, b"after\n"))

    def test_a_builder_without_room_ends_the_job_with_the_reason_and_goes_on(self):
        with Farm() as farm:
            folder = os.path.join(farm.dir, "work-b1")
            os.makedirs(folder)
            mount(folder, SMALL)
            farm.server()
            farm.builder("b1")
            [job] = farm.submit({"name": "t", "shell": "sh", "command": "dd if=/dev/zero of=file bs=1M count=64"})
            self.assertEqual(farm.wait_job(job)["state"], "failed")
            said = farm.client("logs", str(job), check=0).stdout.decode() + (farm.runs(job)[-1]["error"] or "")
            self.assertRegex(said, "No space left|disk is full")
            after = farm.client("run", "--", "echo", "after")
            self.assertEqual((after.returncode, after.stdout), (0, b"after\n"))
            self.assertTrue(farm.builders["b1"].alive() and farm.server_process.alive())


if __name__ == "__main__":
    if "PENSTOCK_OWN_MOUNTS" not in os.environ:
        # Inside a chroot the root is no mount, so its propagation cannot be changed, and need not be.
        private = subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode == 0
        inside_chroot = os.geteuid() == 0 and not private
        words = ["unshare", "--mount"] + (["--propagation", "unchanged"] if inside_chroot else [])
        words += ([] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"])
        os.execvpe(words[0], [*words, sys.executable, "-B", *sys.argv], dict(os.environ, PENSTOCK_OWN_MOUNTS="1"))
    unittest.main(verbosity=2)
