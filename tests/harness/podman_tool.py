"""podman and buildah with storage, run directory and settings of their own, and the runtime under test."""

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
        words = self.podman_command(*args)
        return run(*words, env=self.environment, **options)

    def podman_command(self, *args):
        return [*self.prefix, "podman", "--runtime", str(self.runtime), "--cgroup-manager=cgroupfs",
                "--root", str(self.directory / "graph"), "--runroot", str(self.directory / "run"),
                "--tmpdir", str(self.directory / "libpod"), *map(str, args)]

    def buildah(self, *args, **options):
        return run(*self.prefix, "buildah", "--root", self.directory / "graph", "--runroot",
                   self.directory / "run", *args, env=self.environment, **options)

    def close(self):
        self.podman("rm", "-fa", "-t", "0", check=False)
        self.podman("pod", "rm", "-fa", "-t", "0", check=False)
        if not self.prefix:
            run("umount", "-l", self.directory / "graph/overlay", check=False)


def import_image(tool, tar, name="localhost/busybox:latest"):
    tool.podman("import", "-q", "--change", "CMD=[\"/bin/sh\"]", tar, name)
    return name


