# SPDX-License-Identifier: GPL-3.0-or-later
"""A real farm for tests: penstock-server with its embedded database and any number of builders, on loopback, in a
temporary directory. Every process is started here and ended by its pid. Waiting is always for a condition, with a
generous limit, never for a time."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

# What a program of the farm must never print, and how it must never end (a failed check, a bad access).
REPORT = re.compile(rb"^.*(?:(?:ERROR|WARNING): (?:Address|Leak|Thread)Sanitizer|: runtime error: ).*$", re.M)
CRASHES = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP)

BIN = os.environ.get("PENSTOCK_BIN_DIR", os.path.join(os.path.dirname(__file__), "../../build/dev/bin"))
# What would make tests wait: a server has these unless the test says something of the same kind.
QUICK = ((("--retry-initial", "200ms"), ("--retry-factor", "2"), ("--retry-max", "2s")),
         (("--quarantine-initial", "1s"), ("--quarantine-max", "4s")))
LIMIT = 60 * float(os.environ.get("PENSTOCK_TEST_SLOWNESS", "1"))


def until(condition, what, limit=LIMIT):
    """Polls until the condition gives something true, and returns that."""
    end = time.monotonic() + limit
    last = None
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
        except (OSError, urllib.error.URLError, ValueError, KeyError) as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {limit} s (last error: {last})")


def program(name):
    path = os.path.join(BIN, name)
    if not os.access(path, os.X_OK):
        raise AssertionError(f"{path} is missing: build it first")
    return path


def crash(name, status, output):
    """Why the end of a program is a mistake of its own, or None. `status` is None while it runs."""
    report = REPORT.search(output)
    if report:
        return f"{name}: {report.group().decode('utf-8', 'replace')}"
    if status is not None and -status in CRASHES:
        return f"{name} was ended by {signal.Signals(-status).name}"
    return None


class Process:
    def __init__(self, name, args, log, env=None, before=()):
        self.name = name
        self.log = open(log, "ab")
        self.popen = subprocess.Popen([*before, program(name)] + args, stdin=subprocess.DEVNULL, stdout=self.log,
                                      stderr=self.log, env=env, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.alive():
            os.kill(self.popen.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self, limit=LIMIT):
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {limit} s of SIGTERM")


class Load:
    """Programs that weigh on the machine from run() to stop()."""

    def __init__(self):
        self.loads = []
        self.before = ()  # of the command line of a builder that is to feel it

    def run(self, *command, count=1, memory=None):
        self.launch(command, count)

    def launch(self, command, count):
        for _ in range(count):
            self.loads.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True))

    def stop(self):
        for load in self.loads:
            try:
                os.killpg(load.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            load.wait()
        self.loads = []

    def close(self):
        self.stop()


class PressureGroup(Load):
    """A control group, so that one builder of several on this machine has pressure (PSI) of its own, the kernel's own
    figures: what runs in the group is what weighs, whatever else this machine does."""

    ENTER = """
        echo 0 > "$0/cgroup.procs"
        for kind in cpu memory io; do mount --bind "$0/$kind.pressure" "/proc/pressure/$kind" || exit 1; done
        exec "$@" """

    def __init__(self, name):
        super().__init__()
        group = f"penstock-test-{os.getpid()}-{name}"
        self.folder = os.path.join(self.unified(), group)
        self.limit = os.path.join("/sys/fs/cgroup/memory", group)
        os.mkdir(self.folder)
        self.before = ("unshare", "--mount", "sh", "-c", self.ENTER, self.folder)

    @staticmethod
    def unified():
        return "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"

    @classmethod
    def missing(cls, memory=False):
        """Why there can be none here (that also limits memory), or None."""
        if not os.path.exists(os.path.join(cls.unified(), "cpu.pressure")):
            return "no unified control groups with PSI are mounted"
        if memory and not os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            return "no control groups of memory are mounted"
        if os.geteuid() != 0 or not os.access(cls.unified(), os.W_OK):
            return "control groups cannot be made by this user"
        if memory and not os.access("/sys/fs/cgroup/memory", os.W_OK):
            return "control groups of memory cannot be made by this user"
        if subprocess.run(("unshare", "--mount", "true"), check=False, stderr=subprocess.DEVNULL).returncode != 0:
            return "this user cannot mount what the builder is to read"
        return None

    def run(self, *command, count=1, memory=None):
        """`memory`: bytes, a limit of the load alone, so that it has to read its own files again and again."""
        folders = [self.folder]
        if memory is not None:
            os.makedirs(self.limit, exist_ok=True)
            with open(os.path.join(self.limit, "memory.limit_in_bytes"), "w", encoding="ascii") as file:
                file.write(str(memory))
            folders.append(self.limit)
        enter = "; ".join(f"echo 0 > {folder}/cgroup.procs" for folder in folders)
        self.launch(["sh", "-c", f'{enter}; exec "$@"', "load", *command], count)

    def close(self):
        """After the builder has ended. What it left running in the group is ended with it."""
        self.stop()
        for folder in (self.folder, self.limit):
            if os.path.isdir(folder):
                until(lambda folder=folder: self.remove(folder), f"{folder} is empty")

    @staticmethod
    def remove(folder):
        with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
            for pid in file.read().split():
                os.kill(int(pid), signal.SIGKILL)
        os.rmdir(folder)
        return True


class Farm:
    """with Farm() as farm: farm.server(); farm.builder("b1"); farm.client("run", "--", "true")"""

    def __init__(self, server_args=(), env=None):
        self.dir = tempfile.mkdtemp(prefix="penstock-test-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.env = dict(os.environ, **(env or {}))
        for variable in list(self.env):
            if variable.startswith("PENSTOCK_") and variable not in (env or {}):
                del self.env[variable]
        self.server_args = list(server_args)
        self.server_process = None
        self.builders = {}
        self.started = []
        self.loads = []  # closed with the farm
        self.port = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.end(kind is not None)
            crashes = self.crashes()
            if crashes and kind is None:
                self.show_logs()
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)
        if crashes:
            raise AssertionError("; ".join(crashes))

    def crashes(self):
        found = [crash(process.name, process.popen.poll(), b"") for process in self.started]
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                with open(os.path.join(self.dir, name), "rb") as log:
                    found.append(crash(name, None, log.read()))
        return list(filter(None, found))

    def end(self, failed):
        """Ends every process."""
        if failed:
            self.show_logs()
        for builder in self.builders.values():
            builder.kill()
        for load in self.loads:
            load.close()
        if self.server_process is not None and self.server_process.alive():
            try:
                self.server_process.stop()
            except AssertionError as error:
                print(error, file=sys.stderr)
        self.kill_database()

    def show_logs(self):
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                with open(os.path.join(self.dir, name), "rb") as log:
                    tail = log.read()[-6000:].decode("utf-8", "replace")
                print(f"---- {name}\n{tail}", file=sys.stderr)

    @property
    def data_dir(self):
        return os.path.join(self.dir, "data")

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    # ------------------------------------------------------------------------------------------------ server

    def server(self, *args, wait=True):
        """Starts the server; keeps its port over restarts so that builders find it again."""
        port_file = os.path.join(self.dir, "port")
        if os.path.exists(port_file):
            os.unlink(port_file)
        said = [*self.server_args, *args]
        quick = [word for kind in QUICK if not any(flag in said for flag, _ in kind) for pair in kind for word in pair]
        self.server_process = Process(
            "penstock-server",
            ["--data-dir", self.data_dir, "--listen", f"127.0.0.1:{self.port}", "--port-file", port_file, *quick,
             *said], os.path.join(self.dir, "server.log"), self.env)
        self.started.append(self.server_process)
        if wait:
            self.wait_server(port_file)
        return self.server_process

    def wait_server(self, port_file=None):
        port_file = port_file or os.path.join(self.dir, "port")

        def bound():
            if not self.server_process.alive():
                raise AssertionError(f"penstock-server ended with {self.server_process.popen.returncode}")
            if not os.path.exists(port_file):
                return 0
            with open(port_file) as file:
                return int(file.read().split()[0])

        self.port = until(bound, "the server writes its port file")

    def database_pid(self):
        for path in ("db/postmaster.pid", "postgres/postmaster.pid"):
            pid_file = os.path.join(self.data_dir, path)
            if os.path.exists(pid_file):
                with open(pid_file) as file:
                    return int(file.readline())
        for root, _, files in os.walk(self.data_dir):
            if "postmaster.pid" in files:
                with open(os.path.join(root, "postmaster.pid")) as file:
                    return int(file.readline())
        return None

    def kill_database(self):
        """SIGKILL to the postmaster of this farm, if there is one."""
        pid = self.database_pid()
        if pid is None:
            return
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"postgres" in file.read():
                    os.kill(pid, signal.SIGKILL)
        except (OSError, ProcessLookupError):
            pass

    # ---------------------------------------------------------------------------------------------- builders

    def builder(self, name, *args, wait=True, env=None, group=None):
        work = os.path.join(self.dir, "work-" + name)
        self.builders[name] = Process(
            "penstock-builder", ["--server", self.url, "--name", name, "--work-dir", work, *args],
            os.path.join(self.dir, f"builder-{name}.log"), dict(self.env, **(env or {})),
            () if group is None else group.before)
        self.started.append(self.builders[name])
        if wait:
            self.wait_machine(name)
        return self.builders[name]

    def wait_machine(self, name, state="ready"):
        def ready():
            if not self.builders[name].alive():
                raise AssertionError(f"builder {name} ended with {self.builders[name].popen.returncode}")
            return self.get(f"/api/v1/machines/{name}")["state"] == state

        until(ready, f"machine {name} is {state}")

    # ------------------------------------------------------------------------------------------------ client

    def client(self, *args, input=None, limit=LIMIT, env=None, check=None):
        done = subprocess.run([program("penstock"), "--server", self.url, *args], input=input,
                              stdin=subprocess.DEVNULL if input is None else None, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=limit, env=dict(self.env, **(env or {})))
        mistake = crash(f"penstock {' '.join(args)}", done.returncode, done.stderr)
        if mistake:
            raise AssertionError(f"{mistake}\n{done.stderr[-6000:].decode('utf-8', 'replace')}")
        if check is not None and done.returncode != check:
            raise AssertionError(f"penstock {' '.join(args)}: exit {done.returncode}, not {check}\n"
                                 f"stdout: {done.stdout[-2000:]!r}\nstderr: {done.stderr[-2000:]!r}")
        return done

    def json(self, *args, **more):
        return json.loads(self.client("--json", *args, check=0, **more).stdout)

    def start_client(self, *args, **more):
        return subprocess.Popen([program("penstock"), "--server", self.url, *args], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env,
                                start_new_session=True, **more)

    # -------------------------------------------------------------------------------------------------- HTTP

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body) whatever the status."""
        data = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, method=method,
                                         headers=dict({"Content-Type": "application/json"}, **(headers or {})))
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def get(self, path):
        status, _, body = self.request("GET", path)
        if status != 200:
            raise ValueError(f"GET {path}: {status} {body[:500]!r}")
        return json.loads(body)

    def post(self, path, body=None, expect=(200, 201)):
        status, _, answer = self.request("POST", path, {} if body is None else body)
        if status not in expect:
            raise AssertionError(f"POST {path}: {status} {answer[:500]!r}")
        return json.loads(answer)

    def submit(self, *jobs):
        return self.post("/api/v1/jobs", list(jobs))["ids"]

    def job(self, job_id):
        return self.get(f"/api/v1/jobs/{job_id}")

    def wait_job(self, job_id, state=("succeeded", "failed", "cancelled"), limit=LIMIT):
        wanted = (state,) if isinstance(state, str) else state
        return until(lambda: (lambda j: j if j["state"] in wanted else None)(self.job(job_id)),
                     f"job {job_id} is {wanted}", limit)

    def wait_no_open_jobs(self, limit=LIMIT):
        until(lambda: self.get("/api/v1/status")["jobs"]["open"] == 0, "no job is open", limit)

    def runs(self, job_id):
        return self.get(f"/api/v1/jobs/{job_id}/runs")["runs"]

    def metric(self, name, *labels):
        """The sum of the series that have these labels, each written as reason="held"."""
        _, _, text = self.request("GET", "/metrics")
        total = 0.0
        for line in text.decode().splitlines():
            match = re.match(r"^(\w+)(\{.*\})? (\S+)$", line)
            if match and match.group(1) == name and all(label in (match.group(2) or "") for label in labels):
                total += float(match.group(3))
        return total
