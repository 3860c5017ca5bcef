# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a derivation is read when its attempt is sent: what happens when the server dies in between, when the
database has no text, when the file is not there either. The database is a cluster of the test's own."""

import os
import signal
import unittest

from build_test import NIX, NixStore
from farm import LIMIT, Farm, until
from hydra.postgres import Cluster, Session


class TextsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.close)
        cls.nix = NixStore()
        cls.addClassCleanup(cls.nix.close)

    def setUp(self):
        database = self.id().rsplit(".", 1)[1][:60]
        url = self.cluster.make(database)
        self.farm = Farm(server_args=("--db-url", url), env=self.nix.env)
        self.addCleanup(self.end)
        self.farm.server()
        self.farm.builder("b1", "--max-jobs", "2", "--nix-daemon-socket", f"{self.nix.dir}/socket", "--store-dir",
                          f"{self.nix.dir}/store")
        self.session = Session(url)
        self.addCleanup(self.session.close)
        file = os.path.join(self.farm.dir, "diamond.nix")
        with open(file, "w", encoding="ascii") as out:
            out.write(NIX)
        self.file = os.path.join(self.farm.dir, "call.nix")
        with open(self.file, "w", encoding="ascii") as out:
            out.write(f'import {file} {{ tag = "{database}"; }}\n')

    def end(self):
        outcome = getattr(self._outcome, "result", None)
        failed = outcome is not None and any(test is self for test, _ in outcome.failures + outcome.errors)
        self.farm.__exit__(AssertionError if failed else None, None, None)

    def pause_and_submit(self, attribute):
        """The client, its job's steps in the database and none of them started."""
        self.farm.post("/api/v1/dispatch/pause", {"note": "test"})
        client = self.farm.start_client("build", self.file, "-A", attribute)
        self.addCleanup(client.communicate)
        self.addCleanup(client.kill)
        until(lambda: self.session.value("SELECT count(*) FROM penstock.steps") > 0, "the steps are stored")
        return client

    def resume(self):
        self.farm.post("/api/v1/dispatch/resume")

    def finish(self, client, code):
        out, said = client.communicate(timeout=LIMIT)
        self.assertEqual(client.returncode, code, said.decode()[-3000:])
        return out.decode().split(), said.decode()

    def test_a_server_killed_between_assignment_and_text_builds_it_when_it_is_back(self):
        self.farm.client("build", self.file, "-A", "two", check=0)  # the session that reads texts is there
        reader = self.session.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'penstock-texts'")
        os.kill(reader, signal.SIGSTOP)
        try:
            client = self.farm.start_client("build", self.file, "-A", "side")
            self.addCleanup(client.communicate)
            self.addCleanup(client.kill)
            until(lambda: self.farm.metric("penstock_derivation_texts_waiting") == 1, "the text is waited for")
            [attempt] = self.session.column("SELECT id FROM penstock.attempts WHERE is_open")
            self.farm.server_process.kill()
        finally:
            os.kill(reader, signal.SIGCONT)
        self.farm.server()
        (path,), _ = self.finish(client, 0)
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "headers\n")
        # Nobody holds it and the new server cannot know whether this builder ever did: that costs the step nothing.
        row = self.session.row("SELECT a.ending, s.failures, s.infrastructure_failures FROM penstock.attempts a "
                               "JOIN penstock.steps s ON s.id = a.step_id WHERE a.id = $1", attempt)
        self.assertEqual(row, {"ending": "lost", "failures": 0, "infrastructure_failures": 0})

    def test_where_the_database_has_no_text_the_file_is_read(self):
        client = self.pause_and_submit("top")
        self.session.run("UPDATE penstock.steps SET drv = NULL")
        self.resume()
        (path,), _ = self.finish(client, 0)
        with open(path, encoding="ascii") as file:
            self.assertIn("headers", file.read())
        self.assertEqual(self.farm.metric("penstock_derivation_texts_from_rows_total"), 0)
        self.assertEqual(self.farm.metric("penstock_derivation_texts_from_files_total"), 20)

    def test_a_text_that_is_nowhere_fails_its_step_and_not_the_machine(self):
        client = self.pause_and_submit("two")
        self.session.run("UPDATE penstock.steps SET drv = NULL")
        [step] = self.farm.get(f"/api/v1/jobs/{self.farm.get('/api/v1/jobs?limit=1')['jobs'][0]['id']}/steps")["steps"]
        os.chmod(os.path.dirname(step["drv"]), 0o755)
        os.remove(step["drv"])
        self.resume()
        self.finish(client, 1)
        job = self.farm.get("/api/v1/jobs?limit=1")["jobs"][0]
        [step] = self.farm.get(f"/api/v1/jobs/{job['id']}/steps")["steps"]
        self.assertIn(step["drv"], step["error"])
        self.assertIn("No such file", step["error"])
        self.assertGreater(step["attempts"], 1, "it was tried again")
        self.assertEqual(self.farm.get("/api/v1/machines/b1")["state"], "ready", "no quarantine")
        self.assertEqual(self.farm.client("run", "--", "echo", "fine").stdout, b"fine\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
