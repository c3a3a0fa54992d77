"""Debian's dockerd with every path of its own and hull-runtime as a runtime; stopped by its own pid."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from harness.leftovers import remove_cgroup_parent
from harness.programs import run

CGROUP_PARENT = f"hulltest-{os.getpid()}-docker"


class DockerDaemon:
    """A running dockerd. `docker(...)` runs the client against it; containers use `runtime` by default.

    The bridge is off (--iptables=false --bridge=none): the host's network stays as it is, and containers
    take --network none or host."""

    def __init__(self, directory, runtime):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.socket = self.directory / "docker.sock"
        self._log = open(self.directory / "dockerd.log", "w")
        self._process = subprocess.Popen(
            ["dockerd", "--data-root", self.directory / "data", "--exec-root", self.directory / "exec",
             "--pidfile", self.directory / "docker.pid", "-H", f"unix://{self.socket}", "--iptables=false",
             "--ip6tables=false", f"--cgroup-parent=/{CGROUP_PARENT}", "--bridge=none", "--storage-driver=overlay2",
             "--add-runtime", f"hull={runtime}", "--default-runtime=hull"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            # docker.io's own containerd and shim live in /usr/bin; the client's plugins are not wanted.
            env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        self._wait_until_it_answers()

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + 60
        while self.docker("version", check=False).code != 0:
            log = (self.directory / "dockerd.log").read_text()
            assert self._process.poll() is None, f"dockerd ended: {log[-3000:]}"
            assert time.monotonic() < deadline, f"dockerd does not answer: {log[-3000:]}"
            time.sleep(0.1)

    @property
    def pid(self):
        return self._process.pid

    def docker(self, *args, **options):
        """`docker ARGS`, as harness.programs.run."""
        return run("docker", "-H", f"unix://{self.socket}", *args, **options)

    def command(self, *args):
        """The words of `docker ARGS`, for popen."""
        return ["docker", "-H", f"unix://{self.socket}", *map(str, args)]

    def log(self):
        return (self.directory / "dockerd.log").read_text()

    def stop(self):
        """Ends it; its directory stays."""
        containers = self.docker("ps", "-aq", check=False).out.split()
        if containers:
            self.docker("rm", "-f", *containers, check=False)
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._log.close()
        for point in mounts_below(self.directory):
            run("umount", "-l", point, check=False)
        remove_cgroup_parent(CGROUP_PARENT)

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def mounts_below(directory):
    """Mount points inside `directory`, deepest first."""
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((p for p in points if p.startswith(f"{directory}/")), reverse=True)
