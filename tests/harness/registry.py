"""Debian's docker-registry on a free loopback port, with storage of its own."""

import contextlib
import crypt
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from harness.programs import run

CONFIG = """version: 0.1
log: {{ level: warn }}
storage:
  filesystem: {{ rootdirectory: {storage} }}
  delete: {{ enabled: true }}
http:
  addr: {address}
{tls}{auth}"""


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Registry:
    """A running registry. `host` is "127.0.0.1:PORT"; with basic auth `user` and `password` are set; with
    tls=True `certificate` is the file that a client must trust. `storage` is served as it is when given."""

    def __init__(self, directory, basic_auth=False, tls=False, storage=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.storage = Path(storage or self.directory / "storage")
        self.storage.mkdir(exist_ok=True)
        self.host = f"127.0.0.1:{free_port()}"
        self.user = self.password = self.certificate = None
        auth = tls_part = ""
        if basic_auth:
            self.user, self.password = "tester", "correct horse"
            passwords = self.directory / "htpasswd"
            salt = crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=1 << 5)
            passwords.write_text(f"{self.user}:{crypt.crypt(self.password, salt)}\n")
            auth = f"auth:\n  htpasswd: {{ realm: hull test, path: {passwords} }}\n"
        if tls:
            self.certificate, key = self.directory / "cert.pem", self.directory / "key.pem"
            run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.certificate)
            tls_part = f"  tls: {{ certificate: {self.certificate}, key: {key} }}\n"
        self._tls_and_auth = {"tls": tls_part, "auth": auth}
        self._log = open(self.directory / "registry.log", "w")
        self._start()

    def _start(self):
        config = self.directory / "config.yml"
        config.write_text(CONFIG.format(storage=self.storage, address=self.host, **self._tls_and_auth))
        self._process = subprocess.Popen(["docker-registry", "serve", config], stdin=subprocess.DEVNULL,
                                         stdout=self._log, stderr=self._log)
        self._wait_until_it_answers()

    def _stop(self):
        self._process.terminate()
        self._process.wait(10)

    def _wait_until_it_answers(self):
        host, port = self.host.split(":")
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                log = (self.directory / "registry.log").read_text()
                assert self._process.poll() is None, f"docker-registry ended: {log}"
                assert time.monotonic() < deadline, f"docker-registry does not answer: {log}"
                time.sleep(0.02)

    def push(self, source, name, *options):
        """Copies an image with skopeo (`source` as "oci:DIR:TAG", "docker-archive:FILE", …) to
        HOST/`name`; `options` as "--dest-compress-format=zstd". Answers the full name."""
        credentials = [f"--dest-creds={self.user}:{self.password}"] if self.user else []
        run("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", *credentials, *options, source,
            f"docker://{self.host}/{name}", timeout=600)
        return f"{self.host}/{name}"

    def get(self, path):
        """GETs http://HOST/v2/`path` without credentials; answers (status, body)."""
        try:
            with urllib.request.urlopen(f"http://{self.host}/v2/{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    @contextlib.contextmanager
    def replaced_storage(self, fill):
        """Meanwhile the same address is served from what `fill(storage, copy)` puts into the folder `copy`."""
        own, self.storage = self.storage, self.directory / "replaced"
        self._stop()
        try:
            fill(own, self.storage)
            self._start()
            yield
        finally:
            self._stop()
            shutil.rmtree(self.storage, ignore_errors=True)
            self.storage = own
            self._start()

    def close(self):
        self._stop()
        self._log.close()
