# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 server (Ceph's gateway) for one test program: start it once, use as many buckets as needed.

    with S3Server() as s3:
        farm with s3.environment (AWS_* variables) and f"s3://bucket?{s3.parameters}"
"""
import json
import os
import re
import signal
import subprocess
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))


class S3Server:
    def __init__(self):
        # A session of its own: a Ctrl-C or a kill of the test's group must not take away what cleans up.
        self.process = subprocess.Popen([os.path.join(HERE, "run.sh")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, start_new_session=True)
        self.values = {}
        for line in self.process.stdout:
            if line == "\n":
                break
            name, _, value = line.rstrip("\n").partition("=")
            self.values[name] = value
        if "S3_PORT" not in self.values:
            self.process.stdin.close()
            raise AssertionError(f"the tests need an S3 server (./dev setup installs it): {HERE}/run.sh failed "
                                 f"with status {self.process.wait()}")
        self.directory, self.port = self.values["S3_DIR"], int(self.values["S3_PORT"])
        self.environment = {name: value for name, value in self.values.items() if name.startswith("AWS_")}
        self.parameters = urllib.parse.urlencode({"scheme": "http", "endpoint": f"127.0.0.1:{self.port}"}, safe=":")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.stdin.close()
            self.process.wait(60)

    def pid(self, name="radosgw"):
        with open(os.path.join(self.directory, f"{name}.pid"), encoding="ascii") as file:
            return int(file.read())

    def signal(self, number, name="radosgw"):
        """KILL is a crash, STOP a hang until CONT. Returns when it has happened, which is later than kill()."""
        wanted = {signal.SIGKILL: "Z", signal.SIGSTOP: "T"}.get(number)
        try:
            pid = self.pid(name)
            os.kill(pid, number)
            end = time.monotonic() + 20
            while wanted and self.state(pid) not in (wanted, ""):
                if time.monotonic() > end:
                    raise AssertionError(f"{name} is in state {self.state(pid)}, not {wanted}")
                time.sleep(0.002)
        except (ProcessLookupError, FileNotFoundError):
            pass

    @staticmethod
    def state(pid):
        """The letter of /proc; "" when it is gone."""
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                return file.read().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return ""

    def restart(self):
        """Starts what was killed; every object that was confirmed is still there."""
        subprocess.run([os.path.join(HERE, "start.sh"), self.directory, str(self.port)], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120)

    def make_bucket(self, name):
        self.put(name)

    def open_bucket(self, name):
        """Everybody may read it."""
        self.put(f"{name}?policy=", json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
             "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]}]}))

    def requests(self):
        """What was asked: (method, path, status, who), oldest first."""
        with open(os.path.join(self.directory, "log", "client.rgw.log"), encoding="utf-8", errors="replace") as file:
            found = [re.search(r'"(\w+) (\S+) HTTP/[\d.]+" (\d+) .*? "([^"]*)" ?\S* latency', line) for line in file]
        return [(match[1], match[2], int(match[3]), match[4]) for match in found if match]

    def put(self, path, body=""):
        """By curl, so that nothing of ours is needed to test ours."""
        key, secret = self.environment["AWS_ACCESS_KEY_ID"], self.environment["AWS_SECRET_ACCESS_KEY"]
        subprocess.run(["curl", "-sS", "--fail-with-body", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3",
                        "--user", f"{key}:{secret}", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                        "--data-binary", body, f"http://127.0.0.1:{self.port}/{path}"], check=True, timeout=60)
