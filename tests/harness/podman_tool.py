"""podman and buildah with storage, run directory and settings of their own, and the runtime under test."""

import os
import signal
from pathlib import Path

from harness.programs import run

# Without CAP_SYS_RESOURCE podman's own default limits cannot be set.
CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
oom_score_adj = 0
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "cni"
"""

STORAGE_CONF = """[storage]
driver = "overlay"
graphroot = "{directory}/graph"
runroot = "{directory}/run"
"""


class PodmanTool:
    """`podman(...)` and `buildah(...)` run the programs; `prefix` and `environment` make them another
    user's (harness.hull_command.OrdinaryUser)."""

    def __init__(self, directory, runtime, prefix=(), environment=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.runtime = runtime
        self.prefix = list(prefix)
        (self.directory / "containers.conf").write_text(CONTAINERS_CONF)
        (self.directory / "storage.conf").write_text(STORAGE_CONF.format(directory=self.directory))
        (self.directory / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        (self.directory / "tmp").mkdir()
        self.environment = {**(environment or {}), "CONTAINERS_CONF": str(self.directory / "containers.conf"),
                            "CONTAINERS_STORAGE_CONF": str(self.directory / "storage.conf"),
                            "TMPDIR": str(self.directory / "tmp")}

    def podman(self, *args, **options):
        # Not where the tests stand: an ordinary user may not, and conmon leaves a file `oom` there.
        return run(*self.podman_command(*args), env=self.environment, cwd=self.directory, **options)

    def podman_command(self, *args):
        return [*self.prefix, "podman", "--runtime", str(self.runtime), "--cgroup-manager=cgroupfs",
                "--root", str(self.directory / "graph"), "--runroot", str(self.directory / "run"),
                "--tmpdir", str(self.directory / "libpod"), *map(str, args)]

    def buildah(self, *args, **options):
        return run(*self.prefix, "buildah", "--root", self.directory / "graph", "--runroot",
                   self.directory / "run", *args, env=self.environment, cwd=self.directory, **options)

    def close(self):
        self.podman("rm", "-fa", "-t", "0", check=False)
        self.podman("pod", "rm", "-fa", "-t", "0", check=False)
        if not self.prefix:
            run("umount", "-l", self.directory / "graph/overlay", check=False)

    def end_pause_process(self):
        """Ends the process that holds an ordinary user's namespaces between two commands."""
        for file in Path(self.environment["XDG_RUNTIME_DIR"]).rglob("pause.pid"):
            os.kill(int(file.read_text()), signal.SIGKILL)
        for file in (self.directory / "libpod").rglob("pause.pid"):
            os.kill(int(file.read_text()), signal.SIGKILL)
