# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole Hydra for tests: PostgreSQL with Hydra's tables, an evaluator, the web interface, hydra-notify, a Nix store,
and in the place of the queue runner a Penstock server with its builders."""

import os
import shutil
import subprocess
import tempfile
import unittest

from build_test import NixStore
from farm import LIMIT, Farm, until
from hydra.evaluator import Evaluator, NixPrograms
from hydra.notify import HydraNotify
from hydra.postgres import Cluster, Session
from hydra.rows import dump
from hydra.web import WebUi

SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../support/hydra/schema.sql")


class HydraStore(NixStore, NixPrograms):
    """The store that evaluator, server and builders share."""

    def __init__(self):
        self.root = ""
        super().__init__()

    def start(self):
        if "ca-derivations" not in self.env["NIX_CONFIG"]:
            self.env["NIX_CONFIG"] = self.env["NIX_CONFIG"].replace("nix-command", "nix-command ca-derivations")
        super().start()

    @property
    def path(self):
        return self.env["NIX_STORE_DIR"]

    def delete(self, path):
        """Makes it invalid; nothing may refer to it."""
        self.run("nix-store", "--delete", path)

    def collect(self, path):
        """Deletes an output that was built: its root first, as hydra-update-gc-roots does. Connections may still hold
        it for a while, which is not waited for."""
        root = os.path.join(self.env["NIX_STATE_DIR"], "gcroots/per-user/hydra-queue-runner/hydra-roots",
                            os.path.basename(path))
        if os.path.lexists(root):
            os.unlink(root)
        NixPrograms(dict(self.env, NIX_REMOTE="local")).run("nix-store", "--delete", "--ignore-liveness", path)


class HydraWorld:
    count = 0
    notify_class = HydraNotify

    def __init__(self, cluster, store, **notify):
        HydraWorld.count += 1
        self.cluster, self.store = cluster, store
        self.dir = tempfile.mkdtemp(prefix="penstock-hydra-world-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.data = os.path.join(self.dir, "hydra")
        os.mkdir(self.data)
        self.url = cluster.make(f"hydra{HydraWorld.count}")
        self.session = Session(self.url)
        with open(SCHEMA, encoding="utf-8") as schema:
            self.session.run(schema.read())
        self.notify = self.notify_class(self.url, **notify)
        self.evaluator = Evaluator(self)
        self.web = WebUi(self)
        self.farm = Farm(env=dict(store.env, LOGNAME="hydra-queue-runner"))

    @property
    def store_dir(self):
        return self.store.path

    def close(self, failed=False):
        try:
            if failed:
                self.show()
            self.farm.__exit__(AssertionError if failed else None, None, None)
        finally:
            self.notify.close()
            self.session.close()
            shutil.rmtree(self.dir, ignore_errors=True)

    def show(self):
        for table in ("builds", "buildsteps"):
            try:
                for row in self.session.rows(f"SELECT * FROM {table} ORDER BY 1, 2 LIMIT 60"):
                    print(table, {name: value for name, value in row.items() if value not in (None, "")})
            except OSError as error:
                print(table, error)
        for event in self.notify.events[-80:]:
            print(str(event)[:200])

    # --------------------------------------------------------------------------------------------------- programs

    def server(self, *args, wait=True):
        said = ["--hydra", "--db-url", self.url, "--hydra-data", self.data]
        if "--store" not in args:
            said += ["--store", "local"]
        return self.farm.server(*said, *args, wait=wait)

    def builder(self, name, *args, **more):
        return self.farm.builder(name, "--nix-daemon-socket", f"{self.store.dir}/socket", "--store-dir",
                                 self.store_dir, *([] if "--max-jobs" in args else ["--max-jobs", "2"]), *args, **more)

    def reconnect(self):
        """After the database was away."""
        until(lambda: self.session.open() or True, "the database accepts connections")

    # ---------------------------------------------------------------------------------------------------- waiting

    def build(self, build):
        return self.session.row("SELECT * FROM builds WHERE id = $1", build)

    def steps(self, build):
        return self.session.rows("SELECT * FROM buildsteps WHERE build = $1 ORDER BY stepnr", build)

    def wait_finished(self, *builds, limit=LIMIT):
        """Until these, or all, are finished and nothing of them is on its way."""
        where = "finished = 0" + (" AND id = ANY ($1::int[])" if builds else "")

        def over():
            return self.session.value(f"SELECT count(*) FROM builds WHERE {where}", *([builds] if builds else [])) == 0

        until(over, f"builds {builds or ''} are finished", limit)
        self.settle(*builds, limit=limit)

    def settle(self, *builds, limit=LIMIT):
        """Until no step of these is busy, we hold nothing of them, and all notifications are recorded."""
        of = ("build = ANY ($1::int[])", [builds]) if builds else ("true", [])
        until(lambda: self.session.value(f"SELECT (SELECT count(*) FROM buildsteps WHERE busy <> 0 AND {of[0]})"
                                         f" + (SELECT count(*) FROM penstock.hydra_builds WHERE {of[0]})", *of[1]) == 0,
              f"nothing of {builds or 'all builds'} is on its way", limit)
        self.notify.sync()

    def wait_running(self, drv, count=1):
        """Until a step for this derivation is busy; answers its row."""
        def running():
            rows = self.session.rows("SELECT * FROM buildsteps WHERE busy >= 30 AND drvpath = $1", drv.path)
            return rows if len(rows) >= count else None

        return until(running, f"{drv.name} is being built")[0]

    # -------------------------------------------------------------------------------------------------------- logs

    def log_file(self, drv):
        base = os.path.basename(drv.path)
        return os.path.join(self.data, "build-logs", base[:2], base[2:])

    def gate(self, name):
        """A file that builds wait for; open_gate() lets them go on."""
        return os.path.join(self.dir, f"gate-{name}")

    def open_gate(self, name):
        with open(self.gate(name), "w", encoding="utf-8"):
            pass

    def dump(self):
        return dump(self)


class HydraTest(unittest.TestCase):
    """One cluster and one store for a class, one world for a test."""

    notify = {}

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.close)
        cls.store = HydraStore()
        cls.addClassCleanup(cls.store.close)

    def setUp(self):
        self.world = HydraWorld(self.cluster, self.store, **self.notify)
        self.addCleanup(self.end)

    def end(self):
        outcome = getattr(self._outcome, "result", None)
        failed = outcome is not None and any(test is self for test, _ in outcome.failures + outcome.errors)
        self.world.close(failed)

    def start(self, *args, builders=("b1",), builder_args=()):
        self.world.server(*args)
        for name in builders:
            self.world.builder(name, *builder_args)

    def instantiate(self, expression):
        """With a tag of its own, so that no test finds what another built."""
        return self.world.evaluator.instantiate(expression.replace("@tag@", self.tag))

    @property
    def tag(self):
        return f"{self.id().rsplit('.', 1)[1].removeprefix('test_')}"[:60]

    def evaluate(self, jobs, **more):
        return self.world.evaluator.evaluate(jobs, **more)

    # ------------------------------------------------------------------------------------------------- assertions

    def assert_orderly(self):
        """What holds after every test: nothing hydra-notify dies of, no row left busy, no log written late."""
        self.world.notify.sync()
        self.assertEqual(self.world.notify.violations, [])
        self.assertEqual(self.world.web.running(), 0)
        self.assertEqual(self.world.notify.late_writes(), [])

    def assert_columns(self, row, **expected):
        self.assertEqual({name: row[name] for name in expected}, expected)

    def assert_built(self, build, status=0, cached=0):
        row = self.world.build(build)
        self.assert_columns(row, finished=1, buildstatus=status, iscachedbuild=cached, notificationpendingsince=None)
        self.assertGreaterEqual(row["stoptime"], row["starttime"])
        self.assertGreater(row["starttime"], 1_600_000_000)
        return row

    def nar_size(self, path):
        return len(subprocess.run(["nix-store", "--dump", path], env=self.store.env, capture_output=True,
                                  check=True).stdout)

    def closure_size(self, *paths):
        closure = set(self.store.run("nix-store", "--query", "--requisites", *paths).split())
        return sum(map(self.nar_size, closure))
