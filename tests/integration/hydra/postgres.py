# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL for tests without any module beside Python's own: libpq by ctypes, and a private cluster that can be
killed and started again. A Session belongs to one thread at a time."""

import ctypes
import ctypes.util
import glob
import os
import pwd
import select
import shutil
import signal
import subprocess
import tempfile
import time

from farm import until


class DatabaseError(OSError):
    """What libpq said; `state` is the SQLSTATE, or "" when the connection is lost."""

    def __init__(self, state, message):
        super().__init__(f"{state}: {message}" if state else message)
        self.state = state


class _Notify(ctypes.Structure):
    _fields_ = [("channel", ctypes.c_char_p), ("pid", ctypes.c_int), ("payload", ctypes.c_char_p)]


def _library():
    pq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
            ("PQconnectdb", pointer, [text]), ("PQstatus", number, [pointer]), ("PQfinish", None, [pointer]),
            ("PQerrorMessage", text, [pointer]), ("PQexec", pointer, [pointer, text]),
            ("PQexecParams", pointer, [pointer, text, number, pointer, ctypes.POINTER(text), pointer, pointer, number]),
            ("PQresultStatus", number, [pointer]), ("PQresultErrorMessage", text, [pointer]),
            ("PQresultErrorField", text, [pointer, number]), ("PQclear", None, [pointer]),
            ("PQntuples", number, [pointer]), ("PQnfields", number, [pointer]), ("PQfname", text, [pointer, number]),
            ("PQftype", ctypes.c_uint, [pointer, number]), ("PQgetisnull", number, [pointer, number, number]),
            ("PQgetvalue", text, [pointer, number, number]), ("PQcmdTuples", text, [pointer]),
            ("PQsocket", number, [pointer]), ("PQconsumeInput", number, [pointer]),
            ("PQnotifies", ctypes.POINTER(_Notify), [pointer]), ("PQfreemem", None, [pointer]),
            ("PQsetNoticeProcessor", pointer, [pointer, pointer, pointer])):
        function = getattr(pq, name)
        function.restype, function.argtypes = result, arguments
    return pq


PQ = _library()
_SILENT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(lambda *_: None)
_OK, _TUPLES, _SQLSTATE = 1, 2, ord("C")
# Type oids that are not text to a test.
_READERS = {16: lambda text: text == "t", 20: int, 21: int, 23: int, 700: float, 701: float}


class Session:
    """session.rows("SELECT … WHERE id = $1", 5): a list of dictionaries. A script without parameters: run()."""

    def __init__(self, url):
        self.url = url
        self.handle = None
        self.open()

    def open(self):
        self.close()
        self.handle = PQ.PQconnectdb(self.url.encode())
        if PQ.PQstatus(self.handle) != 0:
            message = PQ.PQerrorMessage(self.handle).decode("utf-8", "replace").strip()
            self.close()
            raise DatabaseError("", message)
        PQ.PQsetNoticeProcessor(self.handle, ctypes.cast(_SILENT, ctypes.c_void_p), None)

    def close(self):
        if self.handle:
            PQ.PQfinish(self.handle)
        self.handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def is_usable(self):
        return self.handle is not None and PQ.PQstatus(self.handle) == 0

    def run(self, script):
        self._take(PQ.PQexec(self.handle, script.encode()))

    def rows(self, sql, *values):
        texts = (ctypes.c_char_p * max(len(values), 1))(*[self._text(value) for value in values])
        return self._take(PQ.PQexecParams(self.handle, sql.encode(), len(values), None, texts, None, None, 0))

    def row(self, sql, *values):
        found = self.rows(sql, *values)
        if len(found) != 1:
            raise AssertionError(f"{sql} {values}: {len(found)} rows, not one")
        return found[0]

    def value(self, sql, *values):
        return next(iter(self.row(sql, *values).values()))

    def column(self, sql, *values):
        return [next(iter(row.values())) for row in self.rows(sql, *values)]

    def notifications(self):
        """Those that have come, as (channel, payload), without waiting."""
        if not self.is_usable or PQ.PQconsumeInput(self.handle) != 1 or not self.is_usable:
            raise DatabaseError("", "the connection is lost")
        found = []
        while True:
            told = PQ.PQnotifies(self.handle)
            if not told:
                return found
            found.append((told.contents.channel.decode(), told.contents.payload.decode("utf-8", "replace")))
            PQ.PQfreemem(told)

    def wait(self, seconds):
        """Until something comes from the server, or the time is over."""
        if self.is_usable:
            select.select([PQ.PQsocket(self.handle)], [], [], seconds)

    @staticmethod
    def _text(value):
        if value is None:
            return None
        if isinstance(value, bool):
            return b"t" if value else b"f"
        if isinstance(value, (list, tuple)):
            words = ("NULL" if each is None else '"' + str(each).replace("\\", "\\\\").replace('"', '\\"') + '"'
                     for each in value)
            return ("{" + ",".join(words) + "}").encode()
        return str(value).encode()

    @staticmethod
    def _take(result):
        try:
            status = PQ.PQresultStatus(result)
            if status not in (_OK, _TUPLES):
                state = (PQ.PQresultErrorField(result, _SQLSTATE) or b"").decode()
                raise DatabaseError(state, PQ.PQresultErrorMessage(result).decode("utf-8", "replace").strip())
            names = [PQ.PQfname(result, column).decode() for column in range(PQ.PQnfields(result))]
            readers = [_READERS.get(PQ.PQftype(result, column), str) for column in range(len(names))]
            return [{name: None if PQ.PQgetisnull(result, row, column) else
                     readers[column](PQ.PQgetvalue(result, row, column).decode())
                     for column, name in enumerate(names)} for row in range(PQ.PQntuples(result))]
        finally:
            PQ.PQclear(result)


def programs():
    """The folder of the newest PostgreSQL of this machine."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[4]))
    if not folders:
        raise AssertionError("no PostgreSQL server is installed below /usr/lib/postgresql")
    return folders[-1]


class Cluster:
    """A server of its own on a Unix socket. It may be killed: what was committed is there after start()."""

    def __init__(self):
        memory = "/dev/shm"
        is_roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
        self.dir = tempfile.mkdtemp(prefix="penstock-hydra-", dir=memory if is_roomy else "/tmp")
        self.user = None
        if os.geteuid() == 0:
            self.user = "postgres" if any(each.pw_name == "postgres" for each in pwd.getpwall()) else "nobody"
            shutil.chown(self.dir, self.user)
        os.chmod(self.dir, 0o755)
        self.log = os.path.join(self.dir, "postgres.log")
        self.process = None
        self.command("initdb", "--pgdata", f"{self.dir}/data", "--auth", "trust", "--username", "hydra", "--encoding",
                     "UTF8", "--locale", "C", "--no-sync")
        self.start()

    def command(self, name, *args):
        done = subprocess.run([os.path.join(programs(), name), *args], stdin=subprocess.DEVNULL, capture_output=True,
                              user=self.user, cwd=self.dir, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{name}: {done.stderr.decode('utf-8', 'replace')}")

    def url(self, database):
        return f"postgresql://hydra@/{database}?host={self.dir}"

    def start(self, limit=60):
        """Also while what a killed one left is still ending: then it is tried again."""
        def accepts():
            if self.process is None or self.process.poll() is not None:
                with open(self.log, "ab") as log:
                    self.process = subprocess.Popen(
                        [os.path.join(programs(), "postgres"), "-D", f"{self.dir}/data", "-k", self.dir, "-c",
                         "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50", "-c",
                         "log_line_prefix=%m [%p] %a "],
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=self.user, cwd=self.dir,
                        start_new_session=True)
            try:
                Session(self.url("postgres")).close()
            except DatabaseError:
                time.sleep(0.1)
                return False
            return True

        until(accepts, "the database accepts connections", limit)

    def kill(self):
        """SIGKILL to the postmaster: its sessions notice and end."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self):
        """Sessions are ended, everything is written."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGINT)
            self.process.wait(60)

    def restart(self):
        self.stop()
        self.start()

    def make(self, database):
        with Session(self.url("postgres")) as session:
            session.run(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGQUIT)
            self.process.wait(60)
        shutil.rmtree(self.dir, ignore_errors=True)
