# SPDX-License-Identifier: GPL-3.0-or-later
"""Hydra's tables as something that two runs can be compared by: no ids, no times, no attempts, no machines."""

import re

# Ended by infrastructure or by a restart: how often that happens is chance.
ATTEMPT = 3


class Dump:
    def __init__(self, world):
        self.session = world.session
        self.place = re.compile(re.escape(world.store_dir) + "/[0-9a-z]{32}-")
        self.names = {}
        count = {}
        for row in self.session.rows("SELECT b.id, project || ':' || name || '/' || job AS label FROM builds b"
                                     " JOIN jobsets j ON j.id = jobset_id ORDER BY b.id"):
            count[row["label"]] = number = count.get(row["label"], 0) + 1
            self.names[row["id"]] = row["label"] if number == 1 else f"{row['label']}#{number}"

    def path(self, text):
        return None if text is None else self.place.sub("", text)

    def tables(self):
        return {"builds": self.builds(), "outputs": self.outputs(), "steps": self.steps(),
                "products": self.products(), "metrics": self.metrics(),
                "failedpaths": sorted(map(self.path, self.session.column("SELECT path FROM failedpaths"))),
                "nrbuilds": self.session.column("SELECT count FROM nrbuilds")}

    def builds(self):
        return sorted((self.names[row["id"]], row["finished"], row["buildstatus"], row["size"], row["closuresize"],
                       row["releasename"] or "", row["notificationpendingsince"] is None)
                      for row in self.session.rows("SELECT * FROM builds"))

    def outputs(self):
        return sorted((self.names[row["build"]], row["name"], self.path(row["path"]) or "")
                      for row in self.session.rows("SELECT * FROM buildoutputs"))

    def steps(self):
        """What succeeded is told once, under whatever build. What failed is told once for each build that needed it,
        but not which it was that reached the build first."""
        paths = {}
        for row in self.session.rows("SELECT * FROM buildstepoutputs ORDER BY build, stepnr, name"):
            paths.setdefault((row["build"], row["stepnr"]), []).append((row["name"], self.path(row["path"])))
        told = set()
        for row in self.session.rows("SELECT * FROM buildsteps"):
            if row["status"] == ATTEMPT:
                continue
            if row["status"] == 0:
                told.add((row["type"], 0, self.path(row["drvpath"]), row["system"] or "", row["errormsg"] or "",
                          str(paths.get((row["build"], row["stepnr"])))))
            else:
                told.add((row["type"], row["status"], self.names[row["build"]], row["system"] or "",
                          "text" if row["errormsg"] else "", ""))
        return sorted(told)

    def products(self):
        return sorted((self.names[row["build"]], row["productnr"], row["type"], row["subtype"], row["filesize"] or 0,
                       row["sha256hash"] or "", self.path(row["path"]) or "", row["name"], str(row["defaultpath"]))
                      for row in self.session.rows("SELECT * FROM buildproducts"))

    def metrics(self):
        return sorted((self.names[row["build"]], row["name"], row["unit"] or "", row["value"], row["project"],
                       row["jobset"], row["job"]) for row in self.session.rows("SELECT * FROM buildmetrics"))


def dump(world):
    return Dump(world).tables()
