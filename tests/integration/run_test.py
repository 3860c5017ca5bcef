# SPDX-License-Identifier: GPL-3.0-or-later
"""Command jobs end to end: the real client, server, builder and database."""

import json
import os
import signal
import subprocess
import time
import unittest

from farm import Farm, until


def command(text, **more):
    return dict({"name": "t", "command": text, "shell": "sh"}, **more)


class RunTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.farm = Farm()
        cls.farm.server()
        cls.farm.builder("b1", "--max-jobs", "4")

    @classmethod
    def tearDownClass(cls):
        cls.farm.__exit__(None, None, None)

    def test_streams_and_exit_code_are_the_jobs_own(self):
        done = self.farm.client("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((done.returncode, done.stdout), (7, b"out\n"))
        self.assertIn(b"err\n", done.stderr)
        self.assertNotIn(b"out\n", done.stderr)

    def test_a_signal_is_told_as_128_plus_its_number(self):
        self.assertEqual(self.farm.client("run", "--", "sh", "-c", "kill -SEGV $$").returncode, 128 + 11)

    def test_binary_output_comes_through_unchanged(self):
        done = self.farm.client("run", "--", "sh", "-c", r"printf '\000\377\001\n\r\033[1m'")
        self.assertEqual(done.stdout, b"\x00\xff\x01\n\r\x1b[1m")

    def test_a_command_that_does_not_exist_is_the_jobs_failure(self):
        done = self.farm.client("run", "--", "/no/such/program")
        self.assertEqual(done.returncode, 127)

    def test_the_environment_is_clean_and_tells_the_job_who_it_is(self):
        done = self.farm.client("run", "--env", "MINE=1", "--", "env", check=0)
        names = {line.split(b"=")[0] for line in done.stdout.splitlines()}
        self.assertLessEqual({b"MINE", b"PENSTOCK_JOB_ID", b"PENSTOCK_ATTEMPT", b"PENSTOCK_MACHINE",
                              b"PENSTOCK_CPUS"}, names)
        self.assertNotIn(b"PENSTOCK_TEST_SECRET", names)

    def test_the_working_directory_is_fresh_and_goes_away(self):
        first = self.farm.client("run", "--", "sh", "-c", "pwd; ls -A; echo x > file", check=0).stdout.splitlines()
        self.assertEqual(len(first), 1, "the directory is empty at the start")
        until(lambda: not os.path.exists(first[0]), "the working directory is removed")

    def test_a_timeout_ends_the_job(self):
        [job] = self.farm.submit(command("sleep 100", timeout=1))
        self.assertEqual(self.farm.wait_job(job)["result"], "timed_out")

    def test_a_silent_job_is_ended_by_its_silent_timeout_only(self):
        quiet, chatty = self.farm.submit(command("sleep 100", silent_timeout=1),
                                         command("for i in 1 2 3 4 5 6; do echo $i; sleep 0.4; done", silent_timeout=1))
        self.assertEqual(self.farm.wait_job(quiet)["result"], "silent_timed_out")
        self.assertEqual(self.farm.wait_job(chatty)["state"], "succeeded")

    def test_a_job_that_ignores_sigterm_is_killed(self):
        [job] = self.farm.submit(command("trap '' TERM; echo up; while :; do sleep 1; done", timeout=1))
        self.assertEqual(self.farm.wait_job(job)["result"], "timed_out")

    def test_a_daemon_left_behind_is_ended_and_holds_nothing_up(self):
        marker = os.path.join(self.farm.dir, "daemon.pid")
        [job] = self.farm.submit(command(f"setsid sh -c 'echo $$ > {marker}; exec sleep 1000' & "
                                         f"while ! test -s {marker}; do sleep 0.05; done; echo done"))
        self.assertEqual(self.farm.wait_job(job)["state"], "succeeded")
        with open(marker) as file:
            pid = int(file.read())
        until(lambda: not os.path.exists(f"/proc/{pid}") or "Z" in open(f"/proc/{pid}/stat").read().split()[2],
              "the daemon is gone")

    def test_cancel_ends_a_running_and_a_queued_job(self):
        [job] = self.farm.submit(command("echo started; sleep 1000"))
        self.farm.wait_job(job, "running")
        self.farm.client("cancel", str(job), check=0)
        self.assertEqual(self.farm.wait_job(job)["state"], "cancelled")
        [queued] = self.farm.submit(command("true", affinity={"tags": ["no-such-tag"]}))
        self.farm.client("cancel", str(queued), check=0)
        self.assertEqual(self.farm.wait_job(queued)["state"], "cancelled")

    def test_interrupting_run_cancels_the_job(self):
        client = self.farm.start_client("run", "--", "sh", "-c", "echo ready; sleep 1000")
        self.assertEqual(client.stdout.readline(), b"ready\n")
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=60)
        self.assertEqual(client.returncode, 130)
        newest = self.farm.get("/api/v1/jobs?limit=1")["jobs"][0]
        self.assertEqual(self.farm.wait_job(newest["id"])["state"], "cancelled")

    def test_much_output_arrives_whole_and_in_order(self):
        done = self.farm.client("run", "--", "sh", "-c", "seq 1 300000", check=0)
        self.assertEqual(done.stdout, b"".join(b"%d\n" % n for n in range(1, 300001)))

    def test_the_log_limit_ends_the_job_and_is_marked(self):
        [job] = self.farm.submit(command("yes", max_log="1MiB"))
        self.assertEqual(self.farm.wait_job(job)["result"], "log_limit")
        run = self.farm.runs(job)[-1]
        self.assertTrue(run["log_truncated"])
        self.assertLessEqual(run["log_bytes"], (1 << 20) + 4096)
        log = self.farm.client("logs", str(job), check=0)
        self.assertIn(b"limit", log.stdout[-400:] + log.stderr[-400:])

    def test_an_unknown_id_is_said_plainly(self):
        for words in (["job", "424242"], ["why", "424242"], ["logs", "424242"], ["cancel", "424242"],
                      ["runs", "424242"]):
            done = self.farm.client(*words)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn(b"no job 424242", done.stderr)

    def test_usage_errors_exit_2(self):
        for words in (["nonsense"], ["run"], ["job"], ["jobs", "--limit", "x"]):
            self.assertEqual(self.farm.client(*words).returncode, 2, words)

    def test_retry_runs_a_failed_job_again(self):
        flag = os.path.join(self.farm.dir, "flag")
        [job] = self.farm.submit(command(f"test -e {flag}"))
        self.assertEqual(self.farm.wait_job(job)["state"], "failed")
        open(flag, "w").close()
        self.farm.client("retry", str(job), check=0)
        self.assertEqual(self.farm.wait_job(job, ("succeeded",))["state"], "succeeded")
        self.assertEqual(len(self.farm.runs(job)), 2)

    def test_retries_follow_the_jobs_own_policy(self):
        [job] = self.farm.submit(command("exit 3", retries=2, backoff={"initial": "10ms", "factor": 1, "max": "10ms"}))
        done = self.farm.wait_job(job)
        self.assertEqual((done["result"], done["exit_code"], len(self.farm.runs(job))), ("failed", 3, 3))

    def test_a_key_makes_submission_idempotent(self):
        first = self.farm.submit(command("true", key="k1"))
        self.assertEqual(self.farm.submit(command("true", key="k1")), first)

    def test_why_says_what_would_have_to_change(self):
        [job] = self.farm.submit(command("true", affinity={"features": ["quantum"]}))
        done = self.farm.client("why", str(job), check=0)
        self.assertIn(b"quantum", done.stdout)
        self.farm.client("cancel", str(job), check=0)

    def test_drain_keeps_new_work_away_and_undrain_lets_it_in(self):
        self.farm.client("drain", "b1", "--note", "cleaning", check=0)
        self.assertEqual(self.farm.get("/api/v1/machines/b1")["state"], "draining")
        [job] = self.farm.submit(command("true"))
        self.assertIn(b"drain", self.farm.client("why", str(job), check=0).stdout)
        self.assertEqual(self.farm.job(job)["state"], "queued")
        self.farm.client("undrain", "b1", check=0)
        self.assertEqual(self.farm.wait_job(job)["state"], "succeeded")

    def test_the_guardian_outlives_the_jobs(self):
        lock = os.path.join(self.farm.dir, "work-b1", "guardian.lock")

        def guardians():
            found = []
            for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
                try:
                    with open(f"/proc/{pid}/comm") as file:
                        if file.read().strip() != "penstock-guard":
                            continue
                    open_files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
                except OSError:
                    continue
                if lock in open_files:
                    found.append(pid)
            return found

        before = guardians()
        self.assertEqual(len(before), 1)
        with open(f"/proc/{before[0]}/stat") as file:
            parent = int(file.read().rsplit(")", 1)[1].split()[1])
        self.assertNotEqual(parent, self.farm.builders["b1"].pid)  # or it were an orphan of a job
        self.farm.client("run", "--", "true", check=0)
        self.assertEqual(guardians(), before)

    def test_a_batch_of_json_lines_is_taken_whole(self):
        lines = "".join(json.dumps(command("true", name=f"batch-{i}")) + "\n" for i in range(300))
        done = self.farm.client("submit", "--wait", "-", input=lines.encode(), check=0)
        ids = [int(word) for word in done.stdout.split() if word.isdigit()]
        self.assertEqual(len(ids), 300)
        self.assertEqual({self.farm.job(i)["state"] for i in ids[::37]}, {"succeeded"})

    def test_bad_jobs_are_refused_with_the_path_of_the_key(self):
        status, _, body = self.farm.request("POST", "/api/v1/jobs", {"command": "true", "affinity": {"oz": []}})
        self.assertEqual(status, 422)
        self.assertIn("affinity.oz", json.loads(body)["detail"])
        status, _, body = self.farm.request("POST", "/api/v1/jobs", [command("true"), {"name": "empty"}])
        self.assertEqual(status, 422, "all or none")

    def test_the_plain_job_routes_answer_as_their_clients_expect(self):
        status, _, body = self.farm.request("POST", "/jobs/", {
            "name": "plain", "user": "rich", "affinity": {"os": ["linux"], "tags": [], "allowed_users": []},
            "command": "echo plain"})
        self.assertEqual(status, 200)
        stored = json.loads(body)
        self.assertEqual((stored["name"], stored["shell"], stored["retries"]), ("plain", "bash", 0))
        job = stored["_id"]
        runs = until(lambda: [r for r in self.farm.get(f"/jobs/{job}/runs") if r["status"] == "success"], "it ran")
        self.assertEqual((runs[0]["returncode"], runs[0]["stdout"]), (0, "plain\n"))
        self.assertEqual(self.farm.get("/health")["status"], "ok")
        self.assertEqual(self.farm.get("/workers/")[0]["worker_id"], "b1")
        self.assertEqual(self.farm.request("GET", "/jobs/nope")[0], 404)


class LogTest(unittest.TestCase):
    def test_many_followers_see_the_same_and_a_stopped_one_slows_nobody(self):
        with Farm() as farm:
            farm.server()
            farm.builder("b1")
            go = os.path.join(farm.dir, "go")
            [job] = farm.submit(command(f"echo first; while ! test -e {go}; do sleep 0.05; done; seq 1 200000"))
            farm.wait_job(job, "running")
            followers = [farm.start_client("logs", str(job), "-f") for _ in range(4)]
            for follower in followers:
                self.assertEqual(follower.stdout.readline(), b"first\n")
            followers[0].send_signal(signal.SIGSTOP)
            open(go, "w").close()
            expected = b"".join(b"%d\n" % n for n in range(1, 200001))
            for follower in followers[1:]:
                self.assertEqual(follower.communicate(timeout=60)[0], expected)
            self.assertEqual(farm.wait_job(job)["state"], "succeeded")
            followers[0].send_signal(signal.SIGCONT)
            self.assertEqual(followers[0].communicate(timeout=60)[0], expected, "it catches up, nothing is lost")


if __name__ == "__main__":
    unittest.main(verbosity=2)
