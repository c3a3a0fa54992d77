"""Debian's containerd with every path of its own; stopped by its own pid."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from harness.docker_daemon import mounts_below
from harness.leftovers import remove_cgroup_parent
from harness.programs import run

# containerd's namespace, and with it the parent of its containers' cgroups.
NAMESPACE = f"hulltest-{os.getpid()}-containerd"

CONFIG = """version = 2
root = "{directory}/root"
state = "{directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{directory}/containerd.sock"
"""


class Containerd:
    """A running containerd. `ctr(...)` runs its client against it."""

    def __init__(self, directory, runtime):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.runtime = runtime
        config = self.directory / "config.toml"
        config.write_text(CONFIG.format(directory=self.directory))
        self._log = open(self.directory / "containerd.log", "w")
        self._process = subprocess.Popen(["containerd", "-c", config], stdin=subprocess.DEVNULL, stdout=self._log,
                                         stderr=self._log)
        deadline = time.monotonic() + 30
        while self.ctr("version", check=False).code != 0:
            log = (self.directory / "containerd.log").read_text()
            assert self._process.poll() is None, f"containerd ended: {log[-3000:]}"
            assert time.monotonic() < deadline, f"containerd does not answer: {log[-3000:]}"
            time.sleep(0.1)

    @property
    def pid(self):
        return self._process.pid

    def ctr(self, *args, **options):
        return run("ctr", "-a", self.directory / "containerd.sock", "-n", NAMESPACE, *args, **options)

    def run_container(self, *options_image_id_command, **options):
        """`ctr run` with the runtime under test."""
        return self.ctr("run", "--runtime", "io.containerd.runc.v2", "--runc-binary", self.runtime,
                        *options_image_id_command, **options)

    def stop(self):
        """Ends it; its directory stays."""
        for task in self.ctr("tasks", "ls", "-q", check=False).out.split():
            self.ctr("tasks", "rm", "-f", task, check=False)
        for container in self.ctr("containers", "ls", "-q", check=False).out.split():
            self.ctr("containers", "rm", container, check=False)
        self._process.terminate()
        self._process.wait(30)
        self._log.close()
        for point in mounts_below(self.directory):
            run("umount", "-l", point, check=False)
        remove_cgroup_parent(NAMESPACE)

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
