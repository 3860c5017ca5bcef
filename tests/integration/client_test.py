# SPDX-License-Identifier: GPL-3.0-or-later
"""The command-line client against a real farm: what users and scripts rely on beyond run_test.py."""

import base64
import json
import os
import pty
import select
import re
import signal
import subprocess
import tempfile
import unittest

from farm import LIMIT, Farm, Process, program, until


def script(text, **more):
    return dict({"name": "t", "command": text, "shell": "sh"}, **more)


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.farm = Farm()
        cls.farm.server()
        cls.farm.builder("b1", "--max-jobs", "4", "--tags", "big")

    @classmethod
    def tearDownClass(cls):
        cls.farm.__exit__(None, None, None)

    def newest(self):
        jobs = self.farm.get("/api/v1/jobs?limit=1")["jobs"]
        return jobs[0]["id"] if jobs else 0

    def test_a_successful_run_says_nothing_of_its_own(self):
        done = self.farm.client("run", "--", "sh", "-c", "echo out; echo err >&2")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"out\n", b"err\n"))

    def test_every_exit_code_is_passed_on(self):
        for code in (1, 2, 124, 125, 126, 255):
            self.assertEqual(self.farm.client("run", "--", "sh", "-c", f"exit {code}").returncode, code)

    def test_a_time_limit_is_exit_124(self):
        done = self.farm.client("run", "--timeout", "500ms", "--", "sleep", "1000")
        self.assertEqual(done.returncode, 124)
        self.assertIn(b"timed out", done.stderr)

    def test_words_of_the_command_are_not_looked_at(self):
        done = self.farm.client("run", "--", "printf", "%s|", "--json", "a b", "", "--", "$HOME", "*", check=0)
        self.assertEqual(done.stdout, b"--json|a b||--|$HOME|*|")

    def test_a_shell_takes_one_word(self):
        done = self.farm.client("run", "--shell", "bash", "-e", "X=5", "--", "set -o pipefail; echo $((X * 2))",
                                check=0)
        self.assertEqual(done.stdout, b"10\n")

    def test_placement_flags_are_honoured(self):
        self.farm.client("run", "--tag", "big", "--machine", "b1", "--", "true", check=0)
        job = int(self.farm.client("run", "--detach", "--tag", "huge", "--", "true", check=0).stdout)
        self.assertIn(b"huge", self.farm.client("why", str(job), check=0).stdout)
        self.farm.client("cancel", str(job), check=0)

    def test_detach_prints_the_number_only(self):
        done = self.farm.client("run", "--detach", "--", "true", check=0)
        self.assertRegex(done.stdout, rb"^\d+\n$")
        self.farm.wait_job(int(done.stdout), "succeeded")
        self.assertIsInstance(self.farm.json("run", "--detach", "--", "true")["id"], int)

    def test_json_of_run_is_one_object_a_line(self):
        done = self.farm.client("--json", "run", "--", "sh", "-c", r"echo hi; printf '\377'; exit 3")
        self.assertEqual(done.returncode, 3)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((events[0]["event"], events[-1]["event"]), ("submitted", "finished"))
        self.assertEqual((events[-1]["exit_code"], events[-1]["state"]), (3, "failed"))
        logs = [event for event in events if event["event"] == "log"]
        data = b"".join(base64.b64decode(log["data"]) if log["base64"] else log["data"].encode() for log in logs)
        self.assertEqual(data, b"hi\n\xff")

    def test_json_lists_are_the_servers_documents(self):
        self.farm.client("run", "--", "true", check=0)
        self.assertEqual(self.farm.json("machines").keys(), self.farm.get("/api/v1/machines").keys())
        self.assertEqual(self.farm.json("job", str(self.newest()))["definition"]["command"], ["true"])
        self.assertIn("jobs", self.farm.json("jobs", "--limit", "1"))
        self.assertIn("steps", self.farm.json("steps"))
        self.assertIn("healthy", self.farm.json("status"))
        self.assertIn("runs", self.farm.json("runs", str(self.newest())))

    def test_pages_go_on_until_all_is_listed(self):
        ids = self.farm.submit(*[script("true", name="paged") for _ in range(7)])
        done = self.farm.client("jobs", "--name", "paged", "--limit", "3", check=0)
        self.assertEqual(len(done.stdout.splitlines()), 4)
        self.assertIn(b"--before", done.stderr)
        lines = self.farm.client("--json", "jobs", "--name", "paged", "--all", check=0).stdout.splitlines()
        self.assertEqual([json.loads(line)["id"] for line in lines], sorted(ids, reverse=True))

    def test_sigterm_cancels_and_sighup_detaches(self):
        for number, code, state in ((signal.SIGTERM, 143, "cancelled"), (signal.SIGHUP, 129, "running")):
            client = self.farm.start_client("run", "--", "sh", "-c", "echo ready; exec sleep 1000")
            self.assertEqual(client.stdout.readline(), b"ready\n")
            client.send_signal(number)
            client.communicate(timeout=LIMIT)
            self.assertEqual(client.returncode, code)
            job = self.newest()
            self.farm.wait_job(job, state)
            if state == "running":
                self.farm.client("cancel", str(job), check=0)

    def test_a_reader_that_goes_away_ends_the_job(self):
        client = self.farm.start_client("run", "--", "sh", "-c", "while echo line; do sleep 0.05; done")
        self.assertEqual(client.stdout.readline(), b"line\n")
        client.stdout.close()
        self.assertEqual(client.wait(LIMIT), 141)
        client.stderr.close()
        self.assertEqual(self.farm.wait_job(self.newest())["state"], "cancelled")

    def test_control_c_on_a_terminal_asks(self):
        for answer, code, state in ((b"d\n", 0, "running"), (b"c\n", 130, "cancelled"), (b"\x03", 130, "cancelled")):
            before = self.newest()
            ours, theirs = pty.openpty()
            client = subprocess.Popen([program("penstock"), "--server", self.farm.url, "run", "--", "sleep", "1000"],
                                      stdin=theirs, stdout=theirs, stderr=theirs, env=self.farm.env,
                                      preexec_fn=lambda: (os.setsid(), __import__("fcntl").ioctl(0, 0x540E, 0)))
            os.close(theirs)
            until(lambda: self.newest() > before, "the job is there")
            job = self.newest()
            self.farm.wait_job(job, "running")
            os.write(ours, b"\x03")
            shown = b""
            while b"[c]ancel" not in shown:
                self.assertTrue(select.select([ours], [], [], LIMIT)[0], shown)
                try:
                    shown += os.read(ours, 4096)
                except OSError as error: # the terminal's other end was closed
                    self.fail(f"the client ended ({client.wait(LIMIT)}) after showing {shown!r}: {error}")
            os.write(ours, answer)
            self.assertEqual(client.wait(LIMIT), code, answer)
            os.close(ours)
            self.assertEqual(self.farm.wait_job(job, state)["state"], state)
            if state == "running":
                self.farm.client("cancel", str(job), check=0)

    def test_submit_takes_toml_json_and_standard_input(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "job.toml")
            with open(path, "w") as file:
                file.write("name = 'from-toml'\ncommand = 'echo toml; exit 4'\nshell = 'sh'\n[env]\nA = 'b'\n")
            done = self.farm.client("submit", "--follow", path)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stdout.splitlines()[1:], [b"toml"])
        done = self.farm.client("submit", "-", input=json.dumps(script("true"), indent=2).encode(), check=0)
        self.farm.wait_job(int(done.stdout), "succeeded")
        done = self.farm.client("submit", "-w", "-", input=json.dumps([script("true"), script("exit 1")]).encode())
        self.assertEqual((done.returncode, len(done.stdout.split())), (1, 2))

    def test_a_large_batch_is_cut_into_requests(self):
        lines = "".join(json.dumps(script("true", name="large", env={"X": "x" * 3200})) + "\n" for _ in range(1000))
        self.assertGreater(len(lines), 3 << 20)
        done = self.farm.client("submit", "--wait", "-", input=lines.encode(), check=0, limit=180)
        self.assertEqual(len(set(done.stdout.split())), 1000)

    def test_a_mistake_in_a_batch_names_its_line(self):
        text = json.dumps(script("true")) + "\n{oops\n"
        done = self.farm.client("submit", "-", input=text.encode())
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"line 2", done.stderr)
        done = self.farm.client("submit", "-", input=b'{"command": "true", "affinity": {"oz": []}}')
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"affinity.oz", done.stderr)

    def test_logs_can_be_filtered(self):
        [job] = self.farm.submit(script("echo one; echo two >&2; echo three"))
        self.farm.wait_job(job, "succeeded")
        self.assertEqual(sorted(self.farm.client("logs", str(job), check=0).stdout.split()), [b"one", b"three", b"two"])
        self.assertEqual(self.farm.client("logs", str(job), "--grep", "^t.o", check=0).stdout, b"two\n")
        self.assertEqual(self.farm.client("logs", str(job), "--since", "2100-01-01T00:00:00Z", check=0).stdout, b"")
        self.assertEqual(len(self.farm.client("logs", str(job), "--since", "1h", check=0).stdout.split()), 3)
        self.assertEqual(self.farm.client("logs", str(job), "-f", "--grep", "one", check=0).stdout, b"one\n")
        done = self.farm.client("--json", "logs", str(job), check=0)
        self.assertEqual({json.loads(line)["stream"] for line in done.stdout.splitlines()}, {"out", "err"})
        self.assertEqual(self.farm.client("logs", str(job), "--grep", "(").returncode, 2)
        self.assertEqual(self.farm.client("logs", str(job), "--since", "soon").returncode, 2)
        self.assertEqual(self.farm.client("logs", str(job), "--attempt", "9").returncode, 1)

    def test_logs_of_one_attempt(self):
        [job] = self.farm.submit(script("echo try $PENSTOCK_ATTEMPT; exit 1", retries=1,
                                        backoff={"initial": "10ms", "factor": 1, "max": "10ms"}))
        self.farm.wait_job(job, "failed")
        first = self.farm.client("logs", str(job), "--attempt", "1", check=0).stdout
        second = self.farm.client("logs", str(job), check=0).stdout
        self.assertNotEqual(first, second)
        self.assertEqual(self.farm.client("logs", str(job), "--attempt", "2", check=0).stdout, second)

    def test_settings_come_from_flag_environment_and_file_in_this_order(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "client.toml")
            bad = {"PENSTOCK_SERVER": "ws://127.0.0.1:1"}
            self.farm.client("status", env=bad, check=0)
            with open(path, "w") as file:
                file.write(f'server = "{self.farm.url}"\n')
            run = lambda env: subprocess.run([program("penstock"), "--config", path, "machines"], capture_output=True,
                                             env=dict(self.farm.env, **env), timeout=LIMIT)
            self.assertEqual(run({}).returncode, 0)
            self.assertEqual(run(bad).returncode, 1)
            with open(path, "w") as file:
                file.write('\nsevrer = "x"\n')
            done = run({})
            self.assertEqual(done.returncode, 2)
            for part in (b"sevrer", b"server", b"2"):
                self.assertIn(part, done.stderr)

    def test_a_token_file_that_others_can_read_is_refused(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"token\n")
            file.flush()
            os.chmod(file.name, 0o644)
            done = self.farm.client("--token-file", file.name, "jobs")
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"0644", done.stderr)

    def test_no_colour_where_nobody_sees_it(self):
        self.assertNotIn(b"\x1b", self.farm.client("machines", check=0).stdout)

    def test_machines_are_listed_and_shown(self):
        self.assertIn(b"b1", self.farm.client("machines", check=0).stdout)
        self.assertIn(b"big", self.farm.client("machine", "b1", check=0).stdout)
        done = self.farm.client("machine", "nosuch")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"nosuch", done.stderr)

    def test_an_unreachable_server_is_125_for_run_and_1_otherwise(self):
        def client(*words):
            return subprocess.run([program("penstock"), "--server", "127.0.0.1:1", *words], capture_output=True,
                                  env=self.farm.env, timeout=LIMIT, stdin=subprocess.DEVNULL)

        self.assertEqual(client("run", "--", "true").returncode, 125)
        for words in (["jobs"], ["status"], ["cancel", "7"], ["logs", "-f", "7"]):
            done = client(*words)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn(b"127.0.0.1:1", done.stderr)


MACHINES = """# of a Hydra
ssh://hydra@big x86_64-linux,i686-linux /etc/nix/key 8 2.5 kvm

hydra@big x86_64-linux - 1 2.5 - big-parallel
big-2 aarch64-linux - 4   # called so by its owner
ssh-ng://big?remote-store=/mnt x86_64-linux
mini -
"""
NOBODY = "  user hydra: nobody logs in; the builder runs on the machine and connects to the server"
COMMENTS = (
    "{file}:2: on big", NOBODY,
    "  ssh key /etc/nix/key: not used; the builder has a token (penstock token create --kind builder)",
    "{file}:4: on big", NOBODY,
    "{file}:5: on big-2",
    "{file}:6: on big", "  parameters ?remote-store=/mnt: not used; the builder has its own store",
    "{file}:7: on mini")
BUILDERS = (
    "--name big --systems x86_64-linux,i686-linux --max-jobs 8 --speed-factor 2.5 --features kvm",
    "--name big-3 --work-dir /var/lib/penstock-builder-3 --systems x86_64-linux --max-jobs 1 --speed-factor 2.5"
    " --features big-parallel --mandatory-features big-parallel",
    "--name big-2 --systems aarch64-linux --max-jobs 4 --speed-factor 1",
    "--name big-4 --work-dir /var/lib/penstock-builder-4 --systems x86_64-linux --max-jobs 1 --speed-factor 1",
    "--name mini --max-jobs 1 --speed-factor 1")


class MachinesFileTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = os.path.join(folder.name, "machines")
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(MACHINES)

    def printed(self, *flags, files=(), env=None):
        env = {name: value for name, value in dict(os.environ, **(env or {})).items() if name != "PENSTOCK_SERVER"}
        done = subprocess.run([program("penstock"), *flags, "machines-file", *files], capture_output=True, env=env,
                              text=True, timeout=LIMIT, stdin=subprocess.DEVNULL, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_every_line_is_a_builder_of_its_own(self):
        lines = self.printed("--server", "farm.example", files=[self.file]).splitlines()
        self.assertEqual([line for line in lines if not line.startswith("#")],
                         [f"penstock-builder --server ws://farm.example:7780 {each}" for each in BUILDERS])
        self.assertEqual([line for line in lines if line.startswith("#")],
                         ["# " + each.format(file=self.file) for each in COMMENTS])

    def test_names_are_not_used_again_in_a_second_file(self):
        listed = self.printed(env={"NIX_REMOTE_SYSTEMS": f"{self.file}:/nowhere/at/all:{self.file}"})
        names = re.findall(r"--name (\S+)", listed)
        self.assertEqual(names[:5], ["big", "big-3", "big-2", "big-4", "mini"])
        self.assertEqual(len(set(names)), 10, names)

    def test_the_address_is_one_that_builders_take(self):
        for said, url in (("http://farm.example", "ws://farm.example:80"),
                          ("https://farm.example", "wss://farm.example:443"),
                          ("[::1]:7000", "'ws://[::1]:7000'"), ("wss://farm.example", "wss://farm.example:7780"),
                          ("https://farm.example/nix/", "wss://farm.example:443/nix/link")):
            printed = self.printed("--server", said, files=[self.file])
            self.assertEqual(set(re.findall(r"--server (\S+)", printed)), {url})
        self.assertIn("--server wss://SERVER:7780 --name mini", self.printed(files=[self.file]))

    def test_the_builders_join(self):
        with Farm() as farm:
            farm.server()
            url = f"http://127.0.0.1:{farm.port}"
            for machine in json.loads(self.printed("--json", "--server", url, files=[self.file]))["machines"]:
                words = machine["command"][1:]
                name = words[words.index("--name") + 1]
                self.assertEqual(machine["name"], name)
                if "--work-dir" not in words:
                    words += ["--work-dir", "/work"]
                words[words.index("--work-dir") + 1] = os.path.join(farm.dir, f"work-{name}")
                farm.builders[name] = Process("penstock-builder", words, os.path.join(farm.dir, f"builder-{name}.log"),
                                              farm.env)
                farm.started.append(farm.builders[name])
                farm.wait_machine(name)
            joined = {each["name"]: each for each in farm.get("/api/v1/machines")["machines"]}
            self.assertEqual(joined["big"]["systems"], ["x86_64-linux", "i686-linux"])
            self.assertEqual(joined["big-3"]["mandatory_features"], ["big-parallel"])
            self.assertNotEqual(joined["mini"]["systems"], [])


class RestartTest(unittest.TestCase):
    def test_a_followed_job_survives_the_server(self):
        with Farm() as farm:
            farm.server()
            farm.builder("b1")
            go = os.path.join(farm.dir, "go")
            client = farm.start_client("run", "--", "sh", "-c",
                                       f"seq 1 5000; while ! test -e {go}; do sleep 0.05; done; seq 5001 10000; exit 6")
            self.assertEqual(client.stdout.readline(), b"1\n")
            farm.server_process.kill()
            farm.server()
            farm.wait_machine("b1")
            open(go, "w").close()
            out, err = client.stdout.read(), client.stderr.read() # what readline() has read ahead is in there
            client.wait(LIMIT)
            self.assertEqual(b"1\n" + out, b"".join(b"%d\n" % n for n in range(1, 10001)))
            self.assertEqual(client.returncode, 6)
            self.assertRegex(err.decode(), re.compile("lost the server.*the server is back", re.S))

    def test_a_server_that_stays_away_is_125_after_the_time_given(self):
        with Farm() as farm:
            farm.server()
            farm.builder("b1")
            client = farm.start_client("--reconnect-timeout", "300ms", "run", "--", "sh", "-c", "echo 1; sleep 1000")
            self.assertEqual(client.stdout.readline(), b"1\n")
            farm.server_process.kill()
            _, err = client.communicate(timeout=LIMIT)
            self.assertEqual(client.returncode, 125)
            self.assertIn(b"may go on", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
