# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemons as a service manager and an administrator see them: sd_notify, signals, drain, settings, databases."""

import glob
import os
import pwd
import signal
import socket
import subprocess
import unittest

from farm import Farm, program, until


class Notified:
    """The service manager's end of sd_notify."""

    def __init__(self, path):
        self.path, self.lines = path, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        os.chmod(path, 0o777)

    def has(self, word):
        try:
            while True:
                self.lines += self.socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            pass
        return any(line.startswith(word) for line in self.lines)

    def wait(self, word):
        until(lambda: self.has(word), f"the service manager hears {word}")
        self.lines.clear()


class DaemonTest(unittest.TestCase):
    def test_the_service_manager_is_told(self):
        with Farm() as farm:
            server, builder = Notified(farm.dir + "/server.notify"), Notified(farm.dir + "/builder.notify")
            farm.env["NOTIFY_SOCKET"] = server.path
            farm.server()
            server.wait("READY=1")
            farm.builder("b1", env={"NOTIFY_SOCKET": builder.path})
            builder.wait("READY=1")
            for told, process in ((server, farm.server_process), (builder, farm.builders["b1"])):
                process.signal(signal.SIGHUP)
                told.wait("RELOADING=1")
                until(lambda: process.alive(), "it goes on")
                told.wait("WATCHDOG=1")
            self.assertEqual(farm.builders["b1"].stop(), 0)
            builder.wait("STOPPING=1")
            self.assertEqual(farm.server_process.stop(), 0)
            server.wait("STOPPING=1")

    def test_a_stopped_builder_finishes_its_job_and_takes_no_other(self):
        with Farm() as farm:
            farm.server()
            builder = farm.builder("b1", "--max-jobs", "2")
            go = os.path.join(farm.dir, "go")
            client = farm.start_client("run", "--", "sh", "-c",
                                       f"echo started; while ! test -e {go}; do sleep 0.05; done; echo done; exit 5")
            self.assertEqual(client.stdout.readline(), b"started\n")
            builder.signal(signal.SIGTERM)
            until(lambda: farm.get("/api/v1/machines/b1")["state"] == "draining", "it drains")
            [other] = farm.submit({"name": "t", "command": "true", "shell": "sh"})
            self.assertIn(b"drain", farm.client("why", str(other), check=0).stdout)
            open(go, "w").close()
            self.assertEqual((client.communicate(timeout=60)[0], client.returncode), (b"done\n", 5))
            self.assertEqual(builder.popen.wait(60), 0)
            self.assertEqual(farm.job(other)["state"], "queued")
            farm.builder("b1")
            self.assertEqual(farm.wait_job(other)["state"], "succeeded")

    def test_a_second_sigterm_stops_the_builder_and_its_job_now(self):
        with Farm() as farm:
            farm.server()
            builder = farm.builder("b1")
            pid_file = os.path.join(farm.dir, "pid")
            client = farm.start_client("run", "--", "sh", "-c",
                                       f"trap '' TERM; echo $$ > {pid_file}; echo up; sleep 1000")
            self.assertEqual(client.stdout.readline(), b"up\n")
            builder.signal(signal.SIGTERM)
            until(lambda: farm.get("/api/v1/machines/b1")["state"] == "draining", "it drains")
            builder.signal(signal.SIGTERM)
            builder.popen.wait(60)
            with open(pid_file) as file:
                pid = int(file.read())
            until(lambda: not os.path.exists(f"/proc/{pid}"), "the job's processes are gone")
            client.terminate()
            client.communicate(timeout=60)

    def test_settings_come_from_flag_environment_and_file_in_this_order(self):
        with Farm() as farm:
            config = os.path.join(farm.dir, "server.toml")
            with open(config, "w") as file:
                file.write('server-name = "from-file"\n')
            for flags, environment, name in (([], {}, "from-file"),
                                             ([], {"PENSTOCK_SERVER_NAME": "from-variable"}, "from-variable"),
                                             (["--server-name", "from-flag"],
                                              {"PENSTOCK_SERVER_NAME": "from-variable"}, "from-flag")):
                farm.env.pop("PENSTOCK_SERVER_NAME", None)
                farm.env.update(environment)
                farm.server("--config", config, *flags)
                self.assertIn(name, farm.client("status", env=farm.env, check=0).stdout.decode())
                farm.server_process.stop()

    def test_a_builder_refuses_unknown_keys_with_line_and_nearest(self):
        with Farm() as farm:
            config = os.path.join(farm.dir, "builder.toml")
            with open(config, "w") as file:
                file.write('name = "x"\nmax-job = 3\n')
            done = subprocess.run([program("penstock-builder"), "--config", config], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, env=farm.env)
            self.assertEqual(done.returncode, 2)
            for word in (b"max-job", b"2", b"max-jobs"):
                self.assertIn(word, done.stderr)


class DatabaseTest(unittest.TestCase):
    def test_a_directory_of_another_major_version_is_refused_with_the_way_out(self):
        with Farm() as farm:
            farm.server()
            farm.server_process.stop()
            [version] = glob.glob(farm.data_dir + "/**/data/PG_VERSION", recursive=True)
            with open(version, "w") as file:
                file.write("13\n")
            done = subprocess.run([program("penstock-server"), "--data-dir", farm.data_dir, "--listen", "127.0.0.1:0"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            for word in (b"13", b"pg_upgrade", b"postgresql-13"):
                self.assertIn(word, done.stderr)

    def test_a_database_of_ones_own_is_used(self):
        with Farm() as farm:
            programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
            folder, sockets = os.path.join(farm.dir, "own"), os.path.join(farm.dir, "sockets")
            user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
            for path in (folder, sockets):
                os.mkdir(path, 0o700)
                os.chown(path, user.pw_uid, user.pw_gid)
            os.chmod(sockets, 0o755)
            as_user = dict(user=user.pw_uid, group=user.pw_gid, cwd=farm.dir, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            subprocess.run([programs + "/initdb", "-D", folder, "-U", "farm", "-A", "trust", "-N"], check=True,
                           **as_user)
            database = subprocess.Popen([programs + "/postgres", "-D", folder, "-k", sockets, "-c",
                                         "listen_addresses=", "-c", "fsync=off"], **as_user)
            try:
                until(lambda: subprocess.run([programs + "/pg_isready", "-h", sockets],
                                             stdout=subprocess.DEVNULL).returncode == 0, "the database is up")
                url = f"postgresql:///postgres?host={sockets}&user=farm"
                for start in range(2):
                    farm.server("--db-url", url)
                    if start == 0:
                        farm.builder("b1")
                    self.assertEqual(farm.client("run", "--", "echo", "kept").stdout, b"kept\n")
                    self.assertEqual(len(farm.get("/api/v1/jobs")["jobs"]), start + 1, "the first job is kept")
                    farm.server_process.stop()
                self.assertFalse(os.path.exists(farm.data_dir + "/db"), "no embedded database is made")
            finally:
                database.send_signal(signal.SIGINT)
                database.wait(60)

    def test_a_database_that_is_not_there_is_told_plainly(self):
        with Farm() as farm:
            done = subprocess.run([program("penstock-server"), "--data-dir", farm.data_dir, "--listen", "127.0.0.1:0",
                                   "--db-url", "postgresql://127.0.0.1:1/none"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"cannot connect to the database", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
