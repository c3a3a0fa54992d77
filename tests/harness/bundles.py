"""OCI bundles as `runc spec` makes them, and hull-runtime (or a peer with its command line) to run them."""

import copy
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.programs import popen, run

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
DEFAULT_CONFIG = {
    "ociVersion": "1.0.2",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["true"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {name: CAPABILITIES for name in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": False},
    "hostname": "hull-test",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
}


class Bundle:
    """A directory with config.json and rootfs/. Change `config` as you like, then save()."""

    def __init__(self, path, config):
        self.path = Path(path)
        self.rootfs = self.path / "rootfs"
        self.config = config

    def save(self):
        (self.path / "config.json").write_text(json.dumps(self.config, indent=2))
        return self

    def with_user_namespace(self, host_id=100000, size=65536):
        """Adds a user namespace and gives the root file system to its root."""
        self.config["linux"]["namespaces"].append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": host_id, "size": size}]
        self.config["linux"].update(uidMappings=mapping, gidMappings=mapping)
        run("chown", "-hR", f"{host_id}:{host_id}", self.rootfs)
        return self.save()

    def __fspath__(self):
        return str(self.path)

    def __str__(self):
        return str(self.path)


def make_bundle(path, rootfs, args=("true",), change=None, terminal=False):
    """A bundle with its own copy of `rootfs`; `change(config)` edits the configuration before it is saved."""
    path.mkdir(parents=True)
    run("cp", "-a", rootfs, path / "rootfs")
    config = copy.deepcopy(DEFAULT_CONFIG)
    config["process"]["args"] = list(args)
    config["process"]["terminal"] = terminal
    if change:
        change(config)
    return Bundle(path, config).save()


class Runtime:
    """An OCI runtime with its own --root. Calling it runs one command:

        runtime("run", "--bundle", bundle, runtime.new_id())
        runtime("exec", id, "sh", "-c", "exit 3", code=3)
    """

    _numbers = itertools.count(1)

    def __init__(self, program, root):
        self.program = program
        self.root = Path(root)
        self.ids = []

    def new_id(self, name="c"):
        id = f"hulltest-{os.getpid()}-{next(self._numbers)}-{name}"
        self.ids.append(id)
        return id

    def arguments(self, *args):
        return [self.program, "--root", self.root, *args]

    def __call__(self, *args, **how):
        return run(*self.arguments(*args), **how)

    def popen(self, *args, **how):
        return popen(*self.arguments(*args), **how)

    def create(self, bundle, *options, name="c"):
        """`create` with stdio that does not hold this process's pipes open; answers the id."""
        id = self.new_id(name)
        code, errors = self.try_create(id, bundle, *options)
        assert code == 0, errors
        return id

    def try_create(self, id, bundle, *options):
        """`create` that may fail: exit code and stderr. The container has a file as its stderr: a pipe would end
        only when the container does."""
        with tempfile.TemporaryFile("w+") as errors:
            done = subprocess.run(list(map(str, self.arguments("create", "--bundle", bundle, *options, id))),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, timeout=60)
            errors.seek(0)
            return done.returncode, errors.read()

    def state(self, id):
        return json.loads(self("state", id).out)

    def close(self):
        """Deletes what a test left, and reports it: a test that ends well leaves nothing."""
        left = []
        for id in self.ids:
            if (self.root / id).exists():
                left.append(id)
                self("delete", "--force", id, check=False)
        remaining = sorted(p.name for p in self.root.iterdir()) if self.root.exists() else []
        # The cache of compiled filters is meant to stay.
        remaining = [name for name in remaining if "seccomp" not in name]
        shutil.rmtree(self.root, ignore_errors=True)
        return left, remaining
