# SPDX-License-Identifier: GPL-3.0-or-later
"""What the web interface does to a Hydra database: each action is one transaction, with the columns that it writes and
no others."""

import time


class WebUi:
    def __init__(self, world):
        self.world = world

    @property
    def session(self):
        return self.world.session

    def cancel(self, *builds):
        now = int(time.time())
        self.session.rows("UPDATE builds SET finished = 1, iscachedbuild = 0, buildstatus = 4, starttime = $2,"
                          " stoptime = $2 WHERE id IN (SELECT id FROM builds WHERE id = ANY ($1::int[])"
                          " AND finished = 0 ORDER BY id FOR UPDATE)", builds, now)

    def clear_queue(self):
        """Cancels what is queued and in no current evaluation."""
        self.cancel(*self.session.column("SELECT id FROM builds WHERE finished = 0 AND iscurrent = 0"))

    def restart(self, *builds):
        self.session.run("BEGIN")
        self.session.rows("UPDATE jobsetevals SET nrsucceeded = NULL WHERE id IN (SELECT eval FROM jobsetevalmembers"
                          " WHERE build = ANY ($1::int[]))", builds)
        self.session.rows("DELETE FROM failedpaths WHERE path IN (SELECT path FROM buildoutputs"
                          " WHERE build = ANY ($1::int[]) UNION SELECT path FROM buildstepoutputs"
                          " WHERE build = ANY ($1::int[]))", builds)
        self.session.rows("UPDATE builds SET finished = 0, iscachedbuild = 0 WHERE id = ANY ($1::int[])"
                          " AND finished = 1", builds)
        self.session.run("COMMIT")

    def restart_failed(self, evaluation):
        self.restart(*self.session.column("SELECT id FROM builds JOIN jobsetevalmembers ON build = id WHERE eval = $1"
                                          " AND finished = 1 AND buildstatus <> 0", evaluation))

    def restart_aborted(self, evaluation):
        self.restart(*self.session.column("SELECT id FROM builds JOIN jobsetevalmembers ON build = id WHERE eval = $1"
                                          " AND finished = 1 AND buildstatus IN (3, 4, 9)", evaluation))

    def bump(self, *builds, at=None):
        self.session.rows("UPDATE builds SET globalpriority = $2 WHERE id = ANY ($1::int[])", builds,
                          int(time.time()) if at is None else at)

    def delete(self, *builds):
        self.session.rows("DELETE FROM builds WHERE id = ANY ($1::int[])", builds)

    def delete_jobset(self, name, project="project"):
        self.session.rows("DELETE FROM jobsets WHERE project = $1 AND name = $2", project, name)

    def share(self, name, shares, project="project"):
        self.session.rows("UPDATE jobsets SET schedulingshares = $3 WHERE project = $1 AND name = $2", project, name,
                          shares)

    def running(self):
        """The number on every page."""
        return self.session.value("SELECT count(DISTINCT build) FROM buildsteps WHERE busy <> 0")

    def clear_failed_cache(self):
        self.session.run("DELETE FROM failedpaths")
