#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""`./dev demo hydra`: a database as Hydra has it, one small evaluation, a Penstock server in the place of the queue
runner with two builders; rows and notifications are printed as they come. Everything is in temporary directories and
ends here."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/integration"))

from hydra.notify import HydraNotify, TOLD  # noqa: E402
from hydra.postgres import Cluster  # noqa: E402
from hydra.world import HydraStore, HydraWorld  # noqa: E402

STATUS = {None: "-", 0: "succeeded", 1: "failed", 2: "dependency failed", 3: "aborted", 4: "cancelled",
          6: "failed with output", 7: "timed out", 8: "cached failure", 9: "unsupported", 10: "log limit",
          11: "output limit"}


def say(text):
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


class PrintedNotify(HydraNotify):
    """hydra-notify that says what it is told, with the row as it was at that moment."""

    def take(self, channel, payload):
        super().take(channel, payload)
        event = self.events[-1] if self.events and channel != "test_mark" else None
        if event is not None:
            print(f"  NOTIFY {channel:16} {self.words(event)}", flush=True)

    def words(self, event):
        numbers = " ".join(each if not each.startswith("/") else "LOG" for each in event.fields)
        if event.channel not in TOLD or not event.rows:
            return numbers
        return f"{numbers:14} " + "; ".join(map(self.row, event.rows[:3]))

    @staticmethod
    def row(row):
        if "stepnr" in row:
            name = os.path.basename(row["drvpath"])[33:].removesuffix(".drv")
            return (f"step {name}: busy {row['busy']}, status {STATUS[row['status']]}"
                    f"{', on ' + row['machine'] if row['machine'] else ''}")
        return (f"build {row['id']} ({row['job']}): finished {row['finished']}, status {STATUS[row['buildstatus']]},"
                f" cached {row['iscachedbuild']}")


class DemoWorld(HydraWorld):
    notify_class = PrintedNotify


def table(rows, *columns):
    lines = [columns, *(tuple("" if row[name] is None else str(row[name]) for name in columns) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    for line in lines:
        print("  " + "  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip())


def show_rows(world):
    say("builds")
    rows = world.session.rows("SELECT id, job, finished, buildstatus AS status, iscachedbuild AS cached,"
                              " stoptime - starttime AS seconds, size, closuresize, releasename AS release FROM builds"
                              " ORDER BY id")
    for row in rows:
        row["status"] = STATUS[row["status"]]
    table(rows, "id", "job", "finished", "status", "cached", "seconds", "size", "closuresize", "release")
    say("buildsteps")
    rows = world.session.rows("SELECT build, stepnr AS nr, regexp_replace(drvpath, '.*/[^-]*-(.*).drv$', '\\1')"
                              " AS step, status, machine, propagatedfrom AS origin FROM buildsteps ORDER BY 1, 2")
    for row in rows:
        row["status"] = STATUS[row["status"]]
    table(rows, "build", "nr", "step", "status", "machine", "origin")
    say("buildproducts and buildmetrics")
    table(world.session.rows("SELECT build, type, subtype, name, filesize FROM buildproducts ORDER BY 1, productnr"),
          "build", "type", "subtype", "name", "filesize")
    table(world.session.rows("SELECT build, name, value, unit FROM buildmetrics"), "build", "name", "value", "unit")


def demo(world):
    with open(os.path.join(HERE, "hydra.nix"), encoding="utf-8") as file:
        expression = file.read()
    say("a server and two builders take the place of hydra-queue-runner")
    print(f"  penstock-server --hydra --db-url {world.url} --hydra-data {world.data} --store local")
    world.server()
    for name in ("demo1", "demo2"):
        world.builder(name)
    say("an evaluation with four jobs is inserted; from here on what hydra-notify is told")
    drvs = world.evaluator.instantiate(f"({expression}) {{ }}", prelude="")
    jobset = world.evaluator.jobset("mill", project="demo")
    world.evaluator.evaluate(drvs, jobset=jobset)
    world.wait_finished()
    say("the same jobs in another jobset: nothing is built twice, not even the failure")
    world.evaluator.evaluate(drvs, jobset=world.evaluator.jobset("staging", project="demo"))
    world.wait_finished()
    show_rows(world)
    if world.notify.violations:
        raise AssertionError("hydra-notify would have refused: " + "; ".join(world.notify.violations))


def main():
    cluster = Cluster()
    try:
        store = HydraStore()
        try:
            world = DemoWorld(cluster, store)
            failed = True
            try:
                demo(world)
                failed = False
            finally:
                world.close(failed)
        finally:
            store.close()
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
