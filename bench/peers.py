"""The programs that are measured: each prepared as its own documentation has it, with state of its own."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from measure import BIN, BUILT, SOURCE, BenchError

HERE = Path(__file__).resolve().parent


def need(program):
    found = shutil.which(program)
    if not found:
        raise BenchError(f"{program} is not installed: ./dev setup")
    return found


def built(path):
    if not path.exists():
        raise BenchError(f"{path} is not built: ./dev build")
    return path


def must(*command, **more):
    done = subprocess.run([str(a) for a in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(map(str, command))}: {done.stderr.strip()[-600:]}")
    return done.stdout


class PrivateMounts:
    """A mount namespace without the cgroup v2 hierarchy of a hybrid machine, which crun refuses to run on."""

    def __init__(self):
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c",
             "umount /sys/fs/cgroup/unified 2>/dev/null; echo ready; exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._holder.stdout.readline()
        self.prefix = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]

    def close(self):
        self._holder.kill()
        self._holder.wait()


class OciRuntime:
    """hull-runtime, crun or runc on Docker's bundle."""

    def __init__(self, name, program, work, prefix=()):
        self.name = name
        self.program = program
        self.prefix = list(prefix)
        self.root = Path(work) / f"root-{name}"
        self._count = 0

    def command(self, *args):
        return [self.program, "--root", self.root, *args]

    def new_id(self):
        self._count += 1
        return f"hullbench-{os.getpid()}-{self.name}-{self._count}"

    def version(self):
        out = must(*self.prefix, self.program, "--version").splitlines()
        return out[0].replace(" version", "")

    def call(self, *args, check=True):
        """One command that is not measured."""
        done = subprocess.run([str(a) for a in (*self.prefix, *self.command(*args))], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if check and done.returncode != 0:
            raise BenchError(f"{self.name} {' '.join(map(str, args))}: exit {done.returncode}")
        return done.stdout

    def wait_until_stopped(self, id):
        for _ in range(500):
            if json.loads(self.call("state", id))["status"] == "stopped":
                return
            time.sleep(0.01)
        raise BenchError(f"{self.name}: {id} does not stop")


def runtimes(work, private_mounts):
    return [OciRuntime("hull-runtime", built(BIN / "hull-runtime"), work),
            OciRuntime("crun", need("crun"), work, private_mounts.prefix),
            OciRuntime("runc", need("runc"), work)]


def docker_bundle(directory, rootfs, change=None):
    """Docker's configuration for `docker run busybox true`, on our busybox root."""
    directory = Path(directory)
    directory.mkdir(parents=True)
    config = json.loads((HERE / "docker-config.json").read_text())
    config["root"]["path"] = str(rootfs)
    config["linux"]["cgroupsPath"] = f"/hull-bench-{os.getpid()}"  # two benchmarks at once do not collide
    if change:
        change(config)
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def floor_command(rootfs):
    return [built(BUILT / "floor"), "-C", "-M", "-S", HERE / "docker.bpf", rootfs, "/bin/true"]


class Hull:
    name = "hull"

    def __init__(self, work):
        self.program = built(BIN / "hull")
        self.state = ["--root", Path(work) / "hull-data", "--runroot", Path(work) / "hull-run"]
        self.prefix, self.env = (), None

    def prepare(self, image_tar):
        must(self.program, *self.state, "import", image_tar, "busybox")

    def version(self):
        return must(self.program, "--version").splitlines()[0]

    def run_true(self):
        return [self.program, *self.state, "run", "--rm", "--network", "none", "busybox", "true"]

    def close(self):
        pass


class Podman:
    """Podman with crun, its default here, in the mount namespace that crun needs."""

    name = "podman"

    def __init__(self, work, private_mounts):
        self.program = need("podman")
        self.prefix = private_mounts.prefix
        config = Path(work) / "containers.conf"
        # Podman's default limits are above what a root without CAP_SYS_RESOURCE may set.
        config.write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
                          '[engine]\nevents_logger = "none"\n')
        self.env = {**os.environ, "CONTAINERS_CONF": str(config)}
        self.state = ["--root", Path(work) / "podman-data", "--runroot", Path(work) / "podman-run",
                      "--cgroup-manager", "cgroupfs", "--runtime", need("crun")]

    def prepare(self, image_tar):
        must(*self.prefix, self.program, *self.state, "import", "-q", image_tar, "busybox", env=self.env)

    def version(self):
        return must(self.program, "--version").strip().replace(" version", "")

    def run_true(self):
        return [self.program, *self.state, "run", "--rm", "--network", "none", "localhost/busybox", "true"]

    def close(self):
        subprocess.run([str(a) for a in (*self.prefix, self.program, *self.state, "system", "reset", "--force")],
                       env=self.env, stdin=subprocess.DEVNULL, capture_output=True)


class Docker:
    """The docker command with a daemon of its own: own data, own socket, no network rules."""

    name = "docker"

    def __init__(self, work):
        self.program, self.prefix, self.env = need("docker"), (), None
        here = Path(work) / "docker"
        here.mkdir()
        (here / "daemon.json").write_text("{}")
        self._log = open(here / "log", "w")
        self._daemon = subprocess.Popen(
            [need("dockerd"), "--data-root", here / "data", "--exec-root", here / "exec", "--pidfile", here / "pid",
             "--host", f"unix://{here}/socket", "--iptables=false", "--ip6tables=false", "--ip-masq=false",
             "--bridge=none", "--config-file", here / "daemon.json"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        self.state = ["--host", f"unix://{here}/socket"]
        for _ in range(150):
            if subprocess.run([self.program, *self.state, "version"], capture_output=True).returncode == 0:
                return
            if self._daemon.poll() is not None:
                break
            time.sleep(0.2)
        self.close()
        raise BenchError(f"dockerd did not start: {(here / 'log').read_text()[-600:]}")

    def prepare(self, image_tar):
        must(self.program, *self.state, "import", image_tar, "busybox")

    def version(self):
        return "docker " + must(self.program, *self.state, "version", "--format", "{{.Server.Version}}").strip()

    def run_true(self):
        return [self.program, *self.state, "run", "--rm", "--network", "none", "busybox", "true"]

    def close(self):
        self._daemon.terminate()
        try:
            self._daemon.wait(30)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        self._log.close()


def source_version():
    return must("git", "-C", SOURCE, "describe", "--always", "--dirty").strip()
