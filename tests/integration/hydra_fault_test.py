# SPDX-License-Identifier: GPL-3.0-or-later
"""A Hydra in trouble: two servers, rows that others lock for long, a database that goes away, restarts, rows that a
former runner left, rows and derivations that cannot be read."""

import os
import signal
import unittest

from farm import Farm, until
from hydra.postgres import Session
from hydra.world import HydraTest


class HydraFaultTest(HydraTest):
    def held(self, *names, extra=""):
        text = "".join(f'{name} = sh "{name}-@tag@" (gate "{self.world.gate(name)}"'
                       f' + "echo {name} | tee $out") {{ }};\n' for name in names)
        return self.instantiate("rec { " + text + extra + " }")

    def quick(self, count):
        return self.instantiate("builtins.listToAttrs (builtins.genList (n: { name = \"q${toString n}\";"
                                " value = sh \"q${toString n}-@tag@\" \"echo x > $out\" { }; }) " + f"{count})")

    # ------------------------------------------------------------------------------------------------ two servers

    def second(self, *args, data=None):
        """Another server on the same database, with a data directory of its own."""
        other = Farm(env=self.world.farm.env)
        self.addCleanup(lambda: other.__exit__(None, None, None))
        other.server("--hydra", "--db-url", self.world.url, "--hydra-data", data or self.world.data, "--store", "local",
                     *args, wait=False)
        return other

    def written(self):
        """All that a server writes of a Hydra, and the epoch, which a server that leads has raised."""
        session = self.world.session
        tables = session.column("SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = 'public'"
                                " OR schemaname = 'penstock' AND (tablename LIKE 'hydra%' OR tablename = 'epoch')")
        self.assertIn("penstock.epoch", tables)
        self.assertIn("public.builds", tables)
        return {table: session.column(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables}

    def second_writes_nothing(self, data, why):
        drvs = self.held("a", "b")
        ids = self.evaluate(drvs)
        self.start(builder_args=("--max-jobs", "4"))
        for drv in drvs.values():
            self.world.wait_running(drv)
        before = self.written()
        other = self.second(data=data)
        until(lambda: not other.server_process.alive(), "the second server has ended")
        self.assertGreater(other.server_process.popen.returncode, 0)
        with open(os.path.join(other.dir, "server.log"), encoding="utf-8", errors="replace") as log:
            self.assertIn(why, log.read())
        self.assertEqual(before, self.written())
        late = self.evaluate(self.quick(5))
        for name in drvs:
            self.world.open_gate(name)
        self.world.wait_finished()
        for build in (*ids.values(), *late.values()):
            self.assert_built(build)
            self.assertEqual(len(self.world.steps(build)), 1)
            self.assertEqual(self.world.notify.lines(build).count(f"build_finished {build}"), 1)
        self.assert_orderly()

    def test_a_second_server_writes_nothing(self):
        self.second_writes_nothing(self.world.data, "is locked by another queue runner")

    def test_a_second_server_on_another_machine_writes_nothing(self):
        elsewhere = os.path.join(self.world.dir, "elsewhere")
        os.mkdir(elsewhere)
        self.second_writes_nothing(elsewhere, "leads on this database")

    # ------------------------------------------------------------------------------------------------- locked rows

    def test_rows_that_the_evaluator_locks_hold_nobody_else(self):
        drvs = self.held("a", "b", extra='above = sh "above-@tag@" "cat $a > $out" { inherit a; };')
        ids = self.evaluate(drvs)
        self.start()
        for name in ("a", "b"):
            self.world.wait_running(drvs[name])
        with self.world.evaluator.locks([ids["a"], ids["above"]]):
            self.world.open_gate("a")
            until(lambda: self.world.notify.sync().of(ids["a"], channels=("step_finished",)), "the step ends")
            self.world.open_gate("b")
            self.world.wait_finished(ids["b"])
            self.assert_columns(self.world.build(ids["a"]), finished=0)
            more = self.evaluate(self.quick(20), jobset=self.world.evaluator.jobset("other"))
            self.world.wait_finished(*more.values())
        self.world.wait_finished(*ids.values())
        for build in (*ids.values(), *more.values()):
            self.assert_built(build)
            self.assertEqual(self.world.notify.lines(build)[-1], f"build_finished {build}")
        self.assert_orderly()

    def test_a_failure_reaches_rows_that_are_locked_later(self):
        drvs = self.instantiate(f"""rec {{
            bad = sh "bad-@tag@" (gate "{self.world.gate('bad')}" + "exit 1") {{ }};
            one = sh "one-@tag@" "cat $bad > $out" {{ inherit bad; }};
            two = sh "two-@tag@" "cat $bad > $out" {{ inherit bad; }}; }}""")
        ids = self.evaluate(drvs)
        self.start()
        self.world.wait_running(drvs["bad"])
        with self.world.evaluator.locks([ids["one"]]):
            self.world.open_gate("bad")
            self.world.wait_finished(ids["bad"], ids["two"])
            self.assert_columns(self.world.build(ids["one"]), finished=0)
        self.world.wait_finished()
        self.assert_columns(self.world.build(ids["one"]), finished=1, buildstatus=2, iscachedbuild=0)
        step, = self.world.steps(ids["one"])
        self.assert_columns(step, status=1, drvpath=drvs["bad"].path)
        tails = [build for event in self.world.notify.of(channels=("build_finished",)) for build in event.ids[1:]]
        self.assertEqual(sorted(set(tails)), sorted(ids.values()))
        self.assert_orderly()

    def test_the_row_that_counts_builds_is_locked_for_a_while(self):
        drvs = self.held("a")
        build = self.evaluate(drvs)["a"]
        self.start()
        self.world.wait_running(drvs["a"])
        with Session(self.world.url) as other:
            other.run("BEGIN; UPDATE nrbuilds SET count = count")
            self.world.open_gate("a")
            until(lambda: [step["status"] for step in self.world.steps(build)] == [0], "the step ends all the same")
            self.assert_columns(self.world.build(build), finished=0)
            self.assertEqual(self.world.session.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), 0)
            other.run("COMMIT")
        self.world.wait_finished(build)
        self.assert_built(build)
        self.assert_orderly()

    # ---------------------------------------------------------------------------------------- restarts and outages

    def test_a_restart_of_the_server_adopts_what_runs(self):
        drvs = self.held("a", "b")
        ids = self.evaluate(drvs)
        self.start()
        for drv in drvs.values():
            self.world.wait_running(drv)
        for number in (signal.SIGKILL, signal.SIGTERM):
            self.world.farm.server_process.signal(number)
            self.world.farm.server_process.popen.wait()
            self.world.server()
            self.world.farm.wait_machine("b1")
        for name in drvs:
            self.world.open_gate(name)
        self.world.wait_finished()
        for build in ids.values():
            self.assert_built(build)
            self.assertEqual([step["status"] for step in self.world.steps(build)], [0], "no attempt was lost")
            self.assertEqual(self.world.notify.lines(build).count(f"build_started {build}"), 1)
            with open(self.world.log_file(drvs["a" if build == ids["a"] else "b"]), "rb") as log:
                self.assertIn(log.read(), (b"a\n", b"b\n"))
        self.assert_orderly()

    def test_a_database_that_goes_away_costs_no_build(self):
        drvs = self.held("a", "b")
        ids = self.evaluate(drvs)
        self.start()
        for drv in drvs.values():
            self.world.wait_running(drv)
        self.cluster.stop()
        self.assertEqual(self.world.farm.get("/status")["queueRunner"]["nrStepsBuilding"], 2)
        self.world.open_gate("a")
        self.cluster.start()
        self.world.reconnect()
        self.world.wait_finished(ids["a"])
        self.cluster.kill()
        self.cluster.start()
        self.world.reconnect()
        self.world.open_gate("b")
        late = self.evaluate(self.quick(3))
        self.world.wait_finished()
        for build in (*ids.values(), *late.values()):
            self.assert_columns(self.world.build(build), finished=1, buildstatus=0)
        self.assertTrue(self.world.farm.server_process.alive())
        self.assertEqual(self.world.web.running(), 0)

    def test_what_was_queued_while_the_database_was_away_is_found(self):
        self.start()
        self.cluster.stop()
        self.cluster.start()
        self.world.reconnect()
        ids = self.evaluate(self.quick(3))  # told before the server listens again, perhaps
        self.world.wait_finished(*ids.values())

    def test_rows_that_another_runner_left_busy_are_ended(self):
        drvs = self.instantiate('{ a = sh "a-@tag@" "echo a > $out" { }; }')
        build = self.evaluate(drvs)["a"]
        self.world.session.rows("INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, starttime, machine,"
                                " system) VALUES ($1, 1, 0, $2, 30, 1700000000, 'old', 'x86_64-linux')", build,
                                drvs["a"].path)
        self.start()
        self.world.wait_finished(build)
        left, own = self.world.steps(build)
        self.assert_columns(left, busy=0, status=3, starttime=1700000000, machine="old")
        self.assertTrue(left["stoptime"] is None or left["stoptime"] > 1_700_000_000)
        self.assert_columns(own, stepnr=2, status=0)
        self.assert_built(build)
        self.assert_orderly()

    def test_one_derivation_that_cannot_be_read_harms_its_build_only(self):
        drvs = self.quick(3)
        ids = self.evaluate(drvs)
        broken = drvs["q1"].path
        os.chmod(broken, 0o644)
        with open(broken, "w", encoding="utf-8") as file:
            file.write("Derive([garbage")
        self.world.session.rows("UPDATE builds SET drvpath = '/nowhere/at/all' WHERE id = $1", ids["q2"])
        self.start()
        self.world.wait_finished(*ids.values())
        self.assert_built(ids["q0"])
        for name in ("q1", "q2"):
            self.assert_columns(self.world.build(ids[name]), finished=1, buildstatus=3)
        self.assert_orderly()

    def test_an_older_schema_is_refused(self):
        self.world.session.run("UPDATE schemaversion SET version = 85")
        process = self.world.server(wait=False)
        self.assertIn(process.popen.wait(60), (1, 2))
        with open(os.path.join(self.world.farm.dir, "server.log"), encoding="utf-8") as log:
            self.assertRegex(log.read(), "(?s)85.*86|86.*85")

    def test_an_idle_server_asks_nothing(self):
        ids = self.evaluate(self.quick(3))
        self.start()
        self.world.wait_finished(*ids.values())
        counts = "SELECT coalesce(sum(xact_commit + xact_rollback), 0) FROM pg_stat_database WHERE datname = $1"
        name = self.world.session.value("SELECT current_database()")
        backends = ("SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
                    " AND application_name LIKE 'penstock%'")
        self.assertLess(self.world.session.value(backends, name), 10)
        with Session(self.cluster.url("postgres")) as other:
            quiet = []

            def stood_still():
                """Nobody asked anything in two looks, two seconds apart."""
                quiet.append(other.value(counts, name))
                other.wait(2)
                return len(quiet) > 1 and quiet[-1] == quiet[-2]

            self.world.notify.close()
            until(stood_still, "nothing is asked of the database")
            self.world.notify.connect()


if __name__ == "__main__":
    unittest.main(verbosity=2)
