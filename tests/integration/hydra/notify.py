# SPDX-License-Identifier: GPL-3.0-or-later
"""hydra-notify as strict as it is, and a recorder: every notification in its order with the rows and the log as they
were when it came. What hydra-notify would die of is kept as a violation; builds it was told of have their
notificationpendingsince set back, and logs may be compressed in place, as its plugins do."""

import bz2
import hashlib
import os
import threading
import time
from dataclasses import dataclass, field

from farm import LIMIT, until
from hydra.postgres import DatabaseError, Session

TOLD = ("step_started", "build_started", "step_finished", "build_finished")
HEARD = ("builds_added", "builds_restarted", "builds_cancelled", "builds_deleted", "builds_bumped",
         "jobset_shares_changed")
MARK = "test_mark"


@dataclass
class Event:
    channel: str
    fields: list
    at: float
    rows: list = field(default_factory=list)  # of buildsteps, or of builds, when it came
    log: bytes | None = None                  # of a step_finished that names a file
    size: int = 0                             # bytes of the payload

    @property
    def ids(self):
        return [int(each) for each in self.fields if each.isdigit()]

    def __str__(self):
        return " ".join([self.channel, *self.fields])


def split(payload):
    """As Perl's split does: empty fields at the end are dropped."""
    fields = payload.split("\t")
    while fields and fields[-1] == "":
        fields.pop()
    return fields


class HydraNotify:
    def __init__(self, url, compresses=False, acknowledges=True):
        self.url = url
        self.compresses = compresses
        self.acknowledges = acknowledges  # sets notificationpendingsince back
        self.events = []
        self.violations = []
        self.outages = 0
        self.marks = set()
        self.handled = set()  # builds whose end was told, or seen at a start
        self.logs = {}  # file to the digest of what it held at its step_finished
        self.is_ended = False
        self.listener = self.session = None
        self.connect()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def close(self):
        self.is_ended = True
        self.thread.join(LIMIT)
        for session in (self.listener, self.session):
            session.close()

    # ------------------------------------------------------------------------------------------------- questions

    def sync(self):
        """Returns when everything that was committed before is recorded."""
        token = os.urandom(8).hex()

        def marked():
            with Session(self.url) as session:
                session.rows(f"SELECT pg_notify('{MARK}', $1)", token)
            end = time.monotonic() + 0.5  # then it is told again: the recorder may just have been connecting
            while token not in self.marks and time.monotonic() < end:
                time.sleep(0.01)
            return token in self.marks

        until(marked, "the recorder has heard all that was committed")
        return self

    def of(self, *builds, channels=TOLD):
        """Events whose first field is one of these builds, in order; all builds when none is named."""
        return [event for event in list(self.events) if event.channel in channels
                and (not builds or event.ids[:1] and event.ids[0] in builds)]

    def lines(self, *builds, channels=TOLD):
        """Like of(), as words: log files as "log"."""
        return [" ".join([event.channel, *("log" if each.startswith("/") else each for each in event.fields)])
                for event in self.of(*builds, channels=channels)]

    def late_writes(self):
        """Log files that are no longer what they were when step_finished named them (not those of a later attempt)."""
        changed = []
        for file, digest in self.logs.items():
            if os.path.exists(file):
                with open(file, "rb") as log:
                    if hashlib.sha256(log.read()).digest() != digest:
                        changed.append(file)
        return changed

    # ------------------------------------------------------------------------------------------------ the thread

    def connect(self):
        self.listener = Session(self.url)
        self.session = Session(self.url)
        for channel in (*TOLD, *HEARD, MARK):
            self.listener.run(f"LISTEN {channel}")
        for build in self.session.column("SELECT id FROM builds WHERE notificationpendingsince IS NOT NULL"):
            self.build_finished(Event("build_finished", [str(build)], time.monotonic()))

    def serve(self):
        while not self.is_ended:
            try:
                self.listener.wait(0.2)
                for channel, payload in self.listener.notifications():
                    if channel == MARK:
                        self.marks.add(payload)
                    else:
                        self.take(channel, payload)
            except DatabaseError:
                self.outages += 1
                self.reconnect()

    def reconnect(self):
        while not self.is_ended:
            try:
                self.connect()
                return
            except DatabaseError:
                time.sleep(0.1)

    def take(self, channel, payload):
        event = Event(channel, split(payload), time.monotonic(), size=len(payload.encode()))
        if channel in TOLD:
            for why in getattr(self, channel)(event):
                self.violations.append(f"{event.channel} {payload[:200]!r}: {why}")
        self.events.append(event)

    def step_started(self, event):
        if len(event.fields) != 2 or not all(each.isdigit() for each in event.fields):
            return ["not a build and a step number"]
        event.rows = self.step(event)
        return []  # it may be deleted or over when this comes

    def build_started(self, event):
        if len(event.fields) != 1 or not event.fields[0].isdigit():
            return ["not exactly one number"]
        event.rows = self.builds(event)
        return []

    def step_finished(self, event):
        if len(event.fields) != 3 or not all(each.isdigit() for each in event.fields[:2]):
            return ["not a build, a step number and a log file"]
        event.rows = self.step(event)
        found = [] if not event.rows or event.rows[0]["busy"] == 0 else ["the row is still busy"]
        if event.rows and event.rows[0]["status"] is None:
            found.append("the row has no status")
        return found + self.read_log(event)

    def read_log(self, event):
        file = event.fields[2]
        if file == "-":
            return []
        if not file.startswith("/"):
            return ["the log file is neither absolute nor -"]
        try:
            with open(file, "rb") as log:
                event.log = log.read()
        except OSError as error:
            return [f"the log file cannot be read: {error.strerror}"]
        self.logs[file] = hashlib.sha256(event.log).digest()
        if self.compresses:
            with open(file + ".bz2", "wb") as out:
                out.write(bz2.compress(event.log))
            os.unlink(file)
        return []

    def build_finished(self, event):
        if not event.fields or not all(each.isdigit() for each in event.fields):
            return ["not all numbers"]
        event.rows = self.builds(event)
        known = {row["id"]: row for row in event.rows}
        found = [f"there is no build {each}" for each in sorted(set(event.ids) - set(known))]
        head = known.get(event.ids[0])
        if head and head["finished"] != 1:
            found.append("its head is not finished")
        found += [f"build {each} is finished and not pending" for each, row in known.items()
                  if event.channel == "build_finished" and row["finished"] == 1 and self.acknowledges
                  and row["notificationpendingsince"] is None and row["buildstatus"] != 4 and not self.was_told(each)]
        if self.acknowledges:
            self.handled.update(event.ids)
            self.session.rows("UPDATE builds SET notificationpendingsince = NULL WHERE finished = 1 AND id IN"
                              " (SELECT id FROM builds WHERE id = ANY ($1::int[]) ORDER BY id FOR UPDATE)", event.ids)
        return found

    def was_told(self, build):
        """Then its being pending was set back already, perhaps at a start."""
        return build in self.handled

    def step(self, event):
        return self.session.rows("SELECT * FROM buildsteps WHERE build = $1 AND stepnr = $2", *event.fields[:2])

    def builds(self, event):
        return self.session.rows("SELECT * FROM builds WHERE id = ANY ($1::int[]) ORDER BY id", event.ids)
