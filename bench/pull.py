#!/usr/bin/python3
"""Cold pulls, with unpacking, side by side: hull, podman, docker, containerd, skopeo + umoci.

usage: bench/pull.py [--rounds N] [--compression gzip|zstd] [NAME...]

The image is bench/image_source.py's, served by docker-registry on loopback. Each round empties every
store and pulls with each subject once. `limit` is what the machine takes for the same bytes without any
engine: curl, sha256, igzip (or zstd) and bsdtar, one layer after the other. umoci and docker know no zstd.
Wall and CPU seconds (of the program, its children and its daemon), and peak memory. The figures are also
kept in build/bench/pull-COMPRESSION.json.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness.containerd_daemon import Containerd  # noqa: E402
from harness.docker_daemon import DockerDaemon  # noqa: E402
from harness.podman_tool import PodmanTool  # noqa: E402
from harness.programs import SOURCE, run  # noqa: E402
from harness.registry import Registry  # noqa: E402
from image_source import describe, layout  # noqa: E402

BIN = SOURCE / "build/bin"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    wall: float   # seconds
    cpu: float    # seconds, user and system
    peak: int     # KiB


def processes_below(pid):
    """The process and all of its descendants."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        queue += children.get(one, [])
    return found


def daemon_cpu(pids):
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(fields[number]) for number in (11, 12, 13, 14))
        except OSError:
            continue
    return total / TICKS


def daemon_peak(pids):
    peak = 0
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            peak += int(status.split("VmHWM:")[1].split()[0])
        except (OSError, IndexError):
            continue
    return peak


def measure(command, env=None, daemon=None):
    """Runs `command`; `daemon` is the pid of what works for it."""
    before = 0.0
    if daemon:
        for pid in processes_below(daemon):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM counts from here
        before = daemon_cpu(processes_below(daemon))
    began = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=errors, env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        if process.returncode != 0:
            errors.seek(0)
            raise SystemExit(f"{command}: {errors.read().decode()[-2000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss
    if daemon:
        cpu += daemon_cpu(processes_below(daemon)) - before
        peak += daemon_peak(processes_below(daemon))
    return Sample(wall, cpu, peak)


class Hull:
    name = "hull"
    compressions = ("gzip", "zstd")

    def __init__(self, work):
        self.work = work / "hull"

    def empty(self):
        shutil.rmtree(self.work, ignore_errors=True)

    def pull(self, image):
        return measure([BIN / "hull-image", "--root", self.work / "data", "--runroot", self.work / "run", "pull", image])

    def close(self):
        self.empty()


class Podman:
    name = "podman"
    compressions = ("gzip", "zstd")

    def __init__(self, work):
        self.tool = PodmanTool(work / "podman", "runc")

    def empty(self):
        self.tool.podman("rmi", "-af", check=False, timeout=600)

    def pull(self, image):
        return measure(self.tool.podman_command("pull", "-q", "--tls-verify=false", image), self.tool.environment)

    def close(self):
        self.empty()
        self.tool.close()


class Docker:
    name = "docker"
    compressions = ("gzip",)

    def __init__(self, work):
        self.daemon = DockerDaemon(work / "docker", "runc")

    def empty(self):
        images = self.daemon.docker("images", "-aq").out.split()
        if images:
            self.daemon.docker("rmi", "-f", *set(images), check=False, timeout=600)

    def pull(self, image):
        return measure(self.daemon.command("pull", "-q", image), daemon=self.daemon._process.pid)

    def close(self):
        self.empty()
        self.daemon.close()


class ContainerdPeer:
    name = "containerd"
    compressions = ("gzip", "zstd")

    def __init__(self, work):
        self.daemon = Containerd(work / "containerd", "runc")
        self.images = set()

    def empty(self):
        for image in self.images:
            self.daemon.ctr("images", "rm", "--sync", image, check=False, timeout=600)

    def pull(self, image):
        self.images.add(image)
        return measure(["ctr", "-a", self.daemon.directory / "containerd.sock", "images", "pull", "--plain-http", image],
                       daemon=self.daemon._process.pid)

    def close(self):
        self.empty()
        self.daemon.close()


class SkopeoUmoci:
    name = "skopeo+umoci"
    compressions = ("gzip",)

    def __init__(self, work):
        self.work = work / "umoci"

    def empty(self):
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)

    def pull(self, image):
        script = ('skopeo --insecure-policy copy -q --src-tls-verify=false "docker://$1" "oci:$2/image:x" && '
                  'umoci unpack --image "$2/image:x" "$2/bundle"')
        return measure(["sh", "-c", script, "sh", image, self.work])

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)


class Limit:
    """The same bytes without an engine: nothing is stored but the files."""
    name = "limit"
    compressions = ("gzip", "zstd")

    def __init__(self, work):
        self.work = work / "limit"

    def empty(self):
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)

    def pull(self, image):
        host, _, rest = image.partition("/")
        repository, _, tag = rest.partition(":")
        base = f"http://{host}/v2/{repository}"
        manifest = json.loads(run("curl", "-sf", "-H", "Accept: application/vnd.oci.image.manifest.v1+json",
                                  f"{base}/manifests/{tag}").out)
        unpacker = "zstd -dc" if manifest["layers"][0]["mediaType"].endswith("zstd") else "igzip -dc"
        lines = ["set -e -o pipefail"]
        for number, layer in enumerate(manifest["layers"]):
            folder = self.work / str(number)
            lines.append(f"mkdir {folder}; curl -sf {base}/blobs/{layer['digest']} | "
                         f"tee >(openssl dgst -sha256 >&2) | {unpacker} | tee >(openssl dgst -sha256 >&2) | "
                         f"bsdtar -xpf - -C {folder}")
        return measure(["bash", "-c", "\n".join(lines)])

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)


SUBJECTS = {subject.name: subject for subject in (Hull, Podman, Docker, ContainerdPeer, SkopeoUmoci, Limit)}


def report(samples, compression):
    base = statistics.median(sample.wall for sample in samples["hull"]) if "hull" in samples else None
    print(f"\ncold pull with unpacking, {compression}")
    print(f"  {'':<14}{'wall s':>9}{'min':>8}{'x hull':>9}{'cpu s':>9}{'peak MiB':>10}")
    for name, of in samples.items():
        wall = statistics.median(sample.wall for sample in of)
        ratio = f"{wall / base:.2f}" if base else "-"
        cpu = statistics.median(sample.cpu for sample in of)
        peak = max(sample.peak for sample in of) / 1024
        print(f"  {name:<14}{wall:>9.2f}{min(sample.wall for sample in of):>8.2f}{ratio:>9}{cpu:>9.2f}{peak:>10.0f}")
    out = SOURCE / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    figures = {name: [asdict(sample) for sample in of] for name, of in samples.items()}
    (out / f"pull-{compression}.json").write_text(json.dumps(figures, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compression", choices=("gzip", "zstd"), action="append")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUBJECTS))
    options = parser.parse_args()
    for name in options.names:
        if name not in SUBJECTS:
            parser.error(f"{name}: not one of {', '.join(SUBJECTS)}")
    source = layout()
    size, members, layers = describe(source)
    print(f"image: {layers} layers, {members} members, {size / 1e6:.0f} MB unpacked")
    with tempfile.TemporaryDirectory(prefix="hull-bench-") as folder:
        work = Path(folder)
        server = Registry(work / "registry")
        subjects = []
        try:
            for name in options.names or SUBJECTS:
                subjects.append(SUBJECTS[name](work))
            for compression in options.compression or ("gzip", "zstd"):
                image = server.push(f"oci:{source}:bench", f"bench/{compression}:1",
                                    f"--dest-compress-format={compression}", "--format=oci")
                taking_part = [subject for subject in subjects if compression in subject.compressions]
                samples = {subject.name: [] for subject in taking_part}
                for _ in range(options.rounds):
                    for subject in taking_part:
                        subject.empty()
                        os.sync()
                        samples[subject.name].append(subject.pull(image))
                        subject.empty()
                report(samples, compression)
        finally:
            for subject in subjects:
                subject.close()
            server.close()


if __name__ == "__main__":
    main()
