# SPDX-License-Identifier: GPL-3.0-or-later
"""A farm beyond one machine: TLS with an authority of its own, tokens, and what is refused."""

import os
import signal
import ssl
import subprocess
import unittest

from farm import Farm, Process, program, until


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)


class Authority:
    """A certificate authority in a folder, and certificates that it signed."""

    def __init__(self, folder, name):
        self.folder = folder
        self.certificate = self.path(name + ".crt")
        self.key = self.path(name + ".key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate)

    def path(self, name):
        return os.path.join(self.folder, name)

    def sign(self, name, names="IP:127.0.0.1,DNS:localhost"):
        request, key, certificate, extensions = (self.path(name + end) for end in (".csr", ".key", ".crt", ".ext"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                "-keyout", key, "-out", request)
        with open(extensions, "w") as file:
            file.write(f"subjectAltName={names}\n")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", "2", "-extfile", extensions, "-out", certificate)
        os.chmod(key, 0o600)
        return certificate, key


class TlsFarm(Farm):
    """Farm's own HTTP calls speak plain text, so everything here goes through the real client."""

    @property
    def url(self):
        return f"wss://127.0.0.1:{self.port}"

    def token(self, kind, name):
        path = os.path.join(self.dir, f"{name}.token")
        with open(path, "w") as file:
            file.write(self.json("token", "create", "--kind", kind, "--name", name)["token"])
        os.chmod(path, 0o600)
        return path

    def secured(self, *more):
        """Tokens are made while the server is local, then it comes back with TLS and asks for them."""
        self.authority = Authority(self.dir, "authority")
        certificate, key = self.authority.sign("server")
        self.server()
        plain, self.__class__.url = TlsFarm.url, Farm.url
        try:
            self.client_token, self.builder_token = self.token("client", "me"), self.token("builder", "b1")
        finally:
            self.__class__.url = plain
        self.server_process.stop()
        self.server("--listen", "0.0.0.0:0", "--auth", "tokens", "--tls-cert", certificate, "--tls-key", key, *more)


class TlsTest(unittest.TestCase):
    def test_builder_and_client_work_over_tls_with_an_authority_of_their_own(self):
        with TlsFarm() as farm:
            farm.secured()
            trust = ["--tls-ca", farm.authority.certificate]
            farm.builder("b1", *trust, "--token-file", farm.builder_token, wait=False)
            mine = [*trust, "--token-file", farm.client_token]
            until(lambda: b'"ready"' in farm.client(*mine, "--json", "machines").stdout, "the builder joins over TLS")
            done = farm.client(*mine, "run", "--", "sh", "-c", "echo secret; echo err >&2; exit 3")
            self.assertEqual((done.returncode, done.stdout), (3, b"secret\n"))
            by_http = subprocess.run([program("penstock"), "--server", farm.url.replace("wss", "https"), *mine,
                                      "run", "--", "echo", "https"], env=farm.env, stdout=subprocess.PIPE, timeout=60)
            self.assertEqual((by_http.returncode, by_http.stdout), (0, b"https\n"))
            by_variable = farm.client("--token-file", farm.client_token, "jobs",
                                      env={"PENSTOCK_TLS_CA": farm.authority.certificate})
            self.assertEqual(by_variable.returncode, 0, by_variable.stderr)

    def test_a_server_of_an_unknown_authority_is_not_trusted(self):
        with TlsFarm() as farm:
            farm.secured()
            stranger = Authority(farm.dir, "stranger")
            for trust in ([], ["--tls-ca", stranger.certificate]):
                done = farm.client(*trust, "--token-file", farm.client_token, "jobs")
                self.assertEqual(done.returncode, 1)
                self.assertIn(b"certificate", done.stderr)
            farm.builder("b1", "--tls-ca", stranger.certificate, "--token-file", farm.builder_token, wait=False)

            def refused():
                with open(os.path.join(farm.dir, "builder-b1.log")) as log:
                    return "certificate" in log.read()

            until(refused, "the builder says that the certificate is not trusted")

    def test_a_name_that_the_certificate_does_not_have_is_refused(self):
        with TlsFarm() as farm:
            farm.secured()
            farm.server_process.stop()
            certificate, key = farm.authority.sign("other", "DNS:farm.example.org")
            farm.server("--auth", "tokens", "--tls-cert", certificate, "--tls-key", key)
            done = farm.client("--tls-ca", farm.authority.certificate, "--token-file", farm.client_token, "jobs")
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"host name", done.stderr)

    def test_a_server_that_asks_for_certificates_takes_only_those_of_its_authority(self):
        with TlsFarm() as farm:
            authority = Authority(farm.dir, "people")
            farm.secured("--tls-client-ca", authority.certificate)
            certificate, key = authority.sign("me")
            trust = ["--tls-ca", farm.authority.certificate, "--token-file", farm.client_token]
            self.assertEqual(farm.client(*trust, "jobs").returncode, 1)
            done = farm.client(*trust, "--tls-cert", certificate, "--tls-key", key, "jobs")
            self.assertEqual(done.returncode, 0, done.stderr)
            farm.builder("b1", "--tls-ca", farm.authority.certificate, "--token-file", farm.builder_token,
                         "--tls-cert", certificate, "--tls-key", key, wait=False)
            done = farm.client(*trust, "--tls-cert", certificate, "--tls-key", key, "run", "--", "echo", "mutual")
            self.assertEqual((done.returncode, done.stdout), (0, b"mutual\n"))

    def test_a_renewed_certificate_is_taken_up_on_sighup(self):
        with TlsFarm() as farm:
            farm.secured()
            authority = farm.authority

            def served():
                return ssl.get_server_certificate(("127.0.0.1", farm.port))

            first = served()
            authority.sign("server")  # in place, as a renewal does
            self.assertEqual(served(), first, "not before it is told")
            farm.server_process.signal(signal.SIGHUP)
            until(lambda: served() != first, "the renewed certificate is served")
            with open(authority.path("server.key"), "w") as file:
                file.write("not a key")
            second = served()
            farm.server_process.signal(signal.SIGHUP)
            until(lambda: b"server.reload_failed" in open(os.path.join(farm.dir, "server.log"), "rb").read(),
                  "the refusal is logged")
            self.assertEqual(served(), second, "what cannot be read changes nothing")

    def test_plain_text_to_a_tls_port_gets_no_answer_and_harms_nothing(self):
        with TlsFarm() as farm:
            farm.secured()
            done = subprocess.run([program("penstock"), "--server", f"ws://127.0.0.1:{farm.port}", "status"],
                                  env=farm.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90)
            self.assertEqual(done.returncode, 1)
            done = farm.client("--tls-ca", farm.authority.certificate, "--token-file", farm.client_token, "status")
            self.assertEqual(done.returncode, 0, done.stderr)


class RefusalTest(unittest.TestCase):
    def start(self, *args):
        return subprocess.run([program("penstock-server"), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)

    def refused(self, farm, args, *words):
        done = self.start("--data-dir", farm.data_dir, *args)
        self.assertEqual(done.returncode, 2, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse(os.path.exists(os.path.join(farm.data_dir, "db")), "refused before anything is made")

    def test_half_a_security_is_refused_with_what_is_missing(self):
        with Farm() as farm:
            authority = Authority(farm.dir, "authority")
            certificate, key = authority.sign("server")
            pair = ("--tls-cert", certificate, "--tls-key", key)
            self.refused(farm, ("--listen", "0.0.0.0:0"), b"--auth tokens", b"--tls-cert")
            self.refused(farm, ("--listen", "0.0.0.0:0", *pair), b"--auth tokens")
            self.refused(farm, ("--listen", "[::]:0", "--auth", "tokens"), b"--tls-cert")
            self.refused(farm, ("--tls-cert", certificate), b"--tls-key")
            self.refused(farm, ("--tls-cert", "/no/such", "--tls-key", key), b"--tls-cert", b"/no/such")
            self.refused(farm, ("--tls-cert", certificate, "--tls-key", certificate), b"--tls-key")
            os.chmod(key, 0o644)
            self.refused(farm, pair, b"chmod")

    def test_files_that_cannot_be_used_are_named_by_builder_and_client(self):
        with Farm() as farm:
            for words in (["--tls-ca", "/no/such"], ["--tls-ca", "/dev/null"], ["--tls-cert", "/no/such"]):
                done = subprocess.run([program("penstock"), "--server", "wss://127.0.0.1:1", *words, "jobs"],
                                      env=farm.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(b"--tls-", done.stderr)
                builder = Process("penstock-builder", ["--work-dir", os.path.join(farm.dir, "w"), *words],
                                  os.path.join(farm.dir, "refused.log"), farm.env)
                self.assertEqual(builder.popen.wait(60), 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
