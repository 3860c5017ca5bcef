# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills server, builders and database at random moments of running and queued jobs, and asks afterwards: is every job
finished with its result, did none run twice at once, was nothing restarted that need not be."""

import os
import random
import signal
import socket
import threading
import time
import unittest

from farm import Farm, until

SEED = int(os.environ.get("PENSTOCK_CHAOS_SEED", "7"))
ROUNDS = int(os.environ.get("PENSTOCK_CHAOS_ROUNDS", "20"))
JOBS = int(os.environ.get("PENSTOCK_CHAOS_JOBS", "500"))

# Holds a lock while it runs: a second execution of the same job at the same time leaves a mark. Each start is counted.
SCRIPT = """
exec 9>{dir}/lock.$PENSTOCK_JOB_ID
flock -n 9 || echo "$PENSTOCK_JOB_ID" >> {dir}/doubles
echo "$PENSTOCK_JOB_ID $PENSTOCK_ATTEMPT" >> {dir}/starts
echo "begin $PENSTOCK_JOB_ID"
sleep 0.{tenths}
echo "end $PENSTOCK_JOB_ID"
exit {code}
"""


class ChaosTest(unittest.TestCase):
    def job(self, farm, random_numbers, number):
        return {"name": f"chaos-{number}", "shell": "sh",
                "command": SCRIPT.format(dir=farm.marks, tenths=random_numbers.randint(1, 5), code=number % 3)}

    def read(self, farm, name):
        path = os.path.join(farm.marks, name)
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return file.read().splitlines()

    def check_results(self, farm, ids, numbers):
        farm.wait_no_open_jobs(limit=180)
        self.assertEqual(self.read(farm, "doubles"), [], "no job ran twice at once")
        for job_id, number in zip(ids, numbers):
            job = farm.job(job_id)
            self.assertEqual((job["state"], job["exit_code"]), ("failed" if number % 3 else "succeeded", number % 3),
                             f"job {job_id}: {job}")
        for job_id in ids[::25]:
            run = farm.runs(job_id)[-1]
            log = farm.request("GET", f"/api/v1/runs/{run['id']}/log?format=text")[2]
            self.assertEqual(log, f"begin {job_id}\nend {job_id}\n".encode(), "the log is whole")

    def test_everything_is_killed_in_any_order(self):
        rng = random.Random(SEED)
        with Farm(["--reconnect-grace", "3s"]) as farm:
            farm.marks = os.path.join(farm.dir, "marks")
            os.mkdir(farm.marks)
            farm.server()
            for name in ("b1", "b2", "b3"):
                farm.builder(name, "--max-jobs", "8")
            numbers = list(range(JOBS))
            ids = []
            for start in range(0, JOBS, 100):
                ids += farm.submit(*[self.job(farm, rng, n) for n in numbers[start:start + 100]])
            for round_number in range(ROUNDS):
                time.sleep(rng.uniform(0.05, 0.6))
                victim = rng.choice(["server", "builder", "database", "server and database"])
                print(f"round {round_number}: {victim}", flush=True)
                if "database" in victim:
                    farm.kill_database()
                if "server" in victim:
                    farm.server_process.kill()
                    farm.server()
                if victim == "builder":
                    name = rng.choice(sorted(farm.builders))
                    farm.builders[name].kill()
                    farm.builder(name, "--max-jobs", "8", wait=False)
            self.check_results(farm, ids, numbers)

    def test_a_killed_server_adopts_what_runs_and_restarts_nothing(self):
        with Farm() as farm:
            farm.marks = os.path.join(farm.dir, "marks")
            os.mkdir(farm.marks)
            farm.server()
            farm.builder("b1", "--max-jobs", "20")
            rng = random.Random(SEED)
            numbers = list(range(100))
            ids = farm.submit(*[self.job(farm, rng, n) for n in numbers])
            for _ in range(5):
                time.sleep(rng.uniform(0.1, 0.4))
                farm.server_process.kill()
                farm.server()
            self.check_results(farm, ids, numbers)
            starts = [line.split()[0] for line in self.read(farm, "starts")]
            self.assertEqual(len(starts), len(set(starts)), "no job was started a second time")

    def test_a_lost_database_holds_new_work_back_and_all_goes_on_by_itself(self):
        with Farm() as farm:
            farm.marks = os.path.join(farm.dir, "marks")
            os.mkdir(farm.marks)
            farm.server()
            farm.builder("b1", "--max-jobs", "4")
            [running] = farm.submit({"command": f"touch {farm.marks}/up; sleep 1; echo done", "shell": "sh"})
            until(lambda: os.path.exists(f"{farm.marks}/up"), "the job runs")
            pid = farm.database_pid()
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(0.2)
            finally:
                os.kill(pid, signal.SIGCONT)
                farm.kill_database()
            [later] = until(lambda: farm.submit({"command": "echo later", "shell": "sh"}), "work is taken again")
            self.assertEqual(farm.wait_job(running)["state"], "succeeded")
            self.assertEqual(farm.wait_job(later)["state"], "succeeded")
            self.assertEqual(len(farm.runs(running)), 1, "the running attempt went on")
            until(lambda: farm.request("GET", "/readyz")[0] == 200, "the server is ready again")

    def test_a_builder_that_loses_its_server_finishes_and_delivers_later(self):
        with Farm() as farm:
            farm.server()
            farm.builder("b1")
            marker = os.path.join(farm.dir, "finished")
            [job] = farm.submit({"command": f"sleep 1; echo result; touch {marker}; exit 5", "shell": "sh"})
            farm.wait_job(job, "running")
            farm.server_process.kill()
            until(lambda: os.path.exists(marker), "the job goes on without a server")
            farm.server()
            self.assertEqual(farm.wait_job(job)["exit_code"], 5)
            self.assertEqual(len(farm.runs(job)), 1)
            self.assertEqual(farm.client("logs", str(job), check=0).stdout, b"result\n")

    def test_a_stopped_builder_is_taken_out_and_its_late_result_is_fenced(self):
        with Farm(["--heartbeat", "200ms", "--heartbeat-deadline", "600ms", "--reconnect-grace", "500ms"]) as farm:
            farm.server()
            farm.builder("b1")
            marks = os.path.join(farm.dir, "who")
            [job] = farm.submit({"command": f"echo $PENSTOCK_MACHINE >> {marks}; sleep 2; echo $PENSTOCK_MACHINE",
                                 "shell": "sh"})
            until(lambda: os.path.exists(marks), "it runs on b1")
            farm.builders["b1"].signal(signal.SIGSTOP)
            farm.builder("b2")
            done = farm.wait_job(job)
            self.assertEqual(done["state"], "succeeded")
            run = farm.runs(job)[-1]
            self.assertEqual(run["machine"], "b2")
            farm.builders["b1"].signal(signal.SIGCONT)
            farm.wait_machine("b1")
            until(lambda: farm.metric("penstock_fenced_messages_total") >= 1 or
                  not farm.get("/api/v1/machines/b1")["running"], "the late result is fenced")
            self.assertEqual(farm.runs(job)[-1]["id"], run["id"], "the accepted result stays")

    def test_a_half_open_link_is_noticed_within_three_heartbeats(self):
        with Farm(["--heartbeat", "500ms", "--heartbeat-deadline", "1500ms", "--reconnect-grace", "300ms"]) as farm:
            farm.server()
            relay = Relay(farm.port)
            farm.builders["b1"] = None
            from farm import Process
            farm.builders["b1"] = Process(
                "penstock-builder", ["--server", f"ws://127.0.0.1:{relay.port}", "--name", "b1", "--work-dir",
                                     os.path.join(farm.dir, "work-b1")], os.path.join(farm.dir, "builder-b1.log"),
                farm.env)
            farm.wait_machine("b1")
            relay.freeze()
            began = time.monotonic()
            farm.wait_machine("b1", "disconnected")
            self.assertLess(time.monotonic() - began, 4 * 1.5, "about three heartbeats")
            relay.thaw()
            farm.wait_machine("b1")
            relay.close()


class Relay:
    """Passes bytes between builder and server; frozen, it keeps both connections open and passes nothing."""

    def __init__(self, port):
        self.target = port
        self.frozen = threading.Event()
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            self.sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while True:
                data = source.recv(65536)
                while self.frozen.is_set() and data:
                    time.sleep(0.05)
                    if not self.frozen.is_set():
                        return source.close()  # what was held while frozen is lost, as dropped packets are
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
        except OSError:
            pass

    def freeze(self):
        self.frozen.set()

    def thaw(self):
        for connection in self.sockets:
            try:
                connection.close()
            except OSError:
                pass
        self.sockets = []
        self.frozen.clear()

    def close(self):
        self.thaw()
        self.listener.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
