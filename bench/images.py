"""What programs do with a realistic image (image_source.py): pull, push, save, load, copy, and where the time goes.

Every sample has a fresh store on a disk of the bench's own (image_disk.py), warm memory and written-back disks; the
subjects take turns. Wall and CPU seconds are those of the command, its children and its daemon; a registry's own
are not counted, but it runs on the same processors. Peak memory is the largest process's, with its daemon's on top.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.registry import Registry
from image_disk import Disk, warm_memory
from image_peers import PEERS, SAVED, layer_urls
from image_source import describe, layout, registry_storage
from measure import BIN, BenchError, timed
from peers import must, need

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    wall: float   # seconds
    cpu: float    # seconds, user and system
    peak: int     # KiB


# --- one sample -----------------------------------------------------------------------------------


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
    """Seconds, with those of children that have ended."""
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
            peak += int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])
        except (OSError, IndexError):
            continue
    return peak


def measure(command, env=None, daemon=None):
    """@raises BenchError  when the command fails."""
    before = 0.0
    if daemon:
        for pid in processes_below(daemon):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM counts from here
        before = daemon_cpu(processes_below(daemon))
    os.sync()
    warm_memory()
    one = timed(command, env={**os.environ, **(env or {})}, idle=0)
    cpu, peak = one.cpu_milliseconds / 1000, one.peak_kib
    if daemon:
        cpu += daemon_cpu(processes_below(daemon)) - before
        peak += daemon_peak(processes_below(daemon))
    return Sample(one.milliseconds / 1000, cpu, peak)


# --- registries -----------------------------------------------------------------------------------


def without_last_layer(storage, copy, repository, digest):
    """A copy of a registry's storage in which `repository` has no manifest and lacks one blob."""
    shutil.copytree(storage, copy, symlinks=True)
    root = copy / "docker/registry/v2"
    hex_digits = digest.removeprefix("sha256:")
    for gone in (f"blobs/sha256/{hex_digits[:2]}/{hex_digits}", f"repositories/{repository}/_layers/sha256/{hex_digits}",
                 f"repositories/{repository}/_manifests"):
        shutil.rmtree(root / gone)


class ImageBench:
    """@param only  names of subjects, empty: all; @param compressions  of the layers"""

    kinds = ("pull", "push", "save", "load", "copy", "phases")

    def __init__(self, rounds, work, report, only=(), compressions=("gzip", "zstd")):
        if unknown := set(only) - set(PEERS):
            raise BenchError(f"no subject {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
        self.rounds = rounds
        self.work = Path(work) / "images"
        self.work.mkdir()
        self.disk = Disk(self.work)
        self.report = report
        self.only = only
        self.compressions = compressions
        need("docker-registry")
        need("skopeo")
        self.source = layout()
        size, members, layers = describe(self.source)
        print(f"\nimage: {layers} layers, {members} members, {size / 1e6:.0f} MB unpacked")
        self.registry = Registry(self.work / "registry", storage=registry_storage())
        self.samples = 0

    def close(self):
        self.registry.close()
        self.disk.close()

    # --- what all have in common ------------------------------------------------------------------

    def subjects(self, kind, compression):
        """The names of those that can do it; what cannot is told."""
        able = [name for name, peer in PEERS.items()
                if kind in peer.kinds and compression in peer.compressions and (not self.only or name in self.only)]
        left_out = [name for name, peer in PEERS.items()
                    if kind in peer.kinds and compression not in peer.compressions]
        if left_out:
            print(f"  ({', '.join(left_out)}: no {compression})")
        return able

    def new_folder(self):
        self.samples += 1
        return self.work / f"s{self.samples}"  # podman takes a run folder of 50 bytes

    @contextlib.contextmanager
    def fresh(self, name):
        peer = PEERS[name](self.new_folder())
        try:
            yield peer
        finally:
            peer.stop()
            subprocess.run(["rm", "-rf", "--one-file-system", peer.work])

    def image(self, compression):
        return f"{self.registry.host}/bench/{compression}:1"

    def interleaved(self, title, names, sample):
        samples = {name: [] for name in names}
        for _ in range(self.rounds):
            for name in names:
                with self.fresh(name) as peer:
                    samples[name].append(sample(peer))
        self.table(title, samples)

    def run(self, peer, command):
        return measure(command, peer.env, peer.daemon)

    @staticmethod
    def prepare(peer, command):
        must(*command, env={**os.environ, **(peer.env or {})})

    def table(self, title, samples):
        base = statistics.median(one.wall for one in samples["hull"]) if "hull" in samples else None
        print(f"\n{title} ({self.rounds} rounds)")
        print(f"  {'':<14}{'median s':>9}{'least s':>9}{'x hull':>8}{'cpu s':>8}{'peak MiB':>10}")
        rows = {}
        for name, of in samples.items():
            row = {"median_s": statistics.median(one.wall for one in of), "least_s": min(one.wall for one in of),
                   "cpu_s": statistics.median(one.cpu for one in of), "peak_mib": max(one.peak for one in of) / 1024,
                   "samples": [asdict(one) for one in of]}
            rows[name] = row
            ratio = f"{row['median_s'] / base:.2f}" if base else "-"
            print(f"  {name:<14}{row['median_s']:>9.2f}{row['least_s']:>9.2f}{ratio:>8}{row['cpu_s']:>8.2f}"
                  f"{row['peak_mib']:>10.0f}")
        sys.stdout.flush()
        self.report.data[title] = rows

    # --- the measurements -------------------------------------------------------------------------

    def pull(self):
        for compression in self.compressions:
            image = self.image(compression)
            self.interleaved(f"pull, cold, with unpacking, {compression}", self.subjects("pull", compression),
                             lambda peer, image=image: self.run(peer, peer.pull(image)))

    def push(self):
        """The registry has all but the last layer, 50 MB. hull, containerd and skopeo have kept its compressed
        blob; podman and docker have only the files, and compress them again."""
        for compression in self.compressions:
            image = self.image(compression)
            digest = layer_urls(image)[-1].rpartition("/")[2]

            def sample(peer, image=image, digest=digest, compression=compression):
                self.prepare(peer, peer.pull(image))
                with self.registry.replaced_storage(
                        lambda old, new: without_last_layer(old, new, f"bench/{compression}", digest)):
                    return self.run(peer, peer.push(image))

            self.interleaved(f"push of a changed layer of 50 MB, {compression}", self.subjects("push", compression),
                             sample)

    def save(self):
        """Each in its own form: docker-archive, plain layers; containerd an OCI archive of the blobs."""
        image = self.image("gzip")
        file = self.work / "saved.tar"

        def sample(peer):
            self.prepare(peer, peer.pull(image))
            try:
                return self.run(peer, peer.save(image, file))
            finally:
                file.unlink(missing_ok=True)

        self.interleaved("save", self.subjects("save", "gzip"), sample)

    def load(self):
        """A docker-archive with plain layers, as docker save makes it."""
        file = self.work / "archive.tar"
        must("skopeo", "--insecure-policy", "copy", "-q", f"oci:{self.source}:bench", f"docker-archive:{file}:{SAVED}")
        try:
            self.interleaved("load of a docker-archive", self.subjects("load", "gzip"),
                             lambda peer: self.run(peer, peer.load(file)))
        finally:
            file.unlink()

    def copy(self):
        image = self.image("gzip")
        names = self.subjects("copy", "gzip")

        def to_registry(peer):
            other = Registry(self.new_folder())
            try:
                return self.run(peer, peer.copy(f"docker://{image}", f"docker://{other.host}/copied/image:1"))
            finally:
                other.close()

        self.interleaved("copy from registry to registry", names, to_registry)
        self.interleaved("copy from registry to OCI layout", names,
                         lambda peer: self.run(peer, peer.copy(f"docker://{image}", f"oci:{peer.work}/layout:x")))

    # --- where the time goes ----------------------------------------------------------------------

    def phases(self):
        """hull's own account of a pull (--progress json) beside each step done alone by a common tool."""
        for compression in self.compressions:
            image = self.image(compression)
            alone = self.steps_alone(image, compression)
            accounts = [self.account(image) for _ in range(self.rounds)]
            print(f"\nwhere the time of a pull goes, {compression}: CPU seconds (hull: median of {self.rounds})")
            for name in accounts[0]:
                self.report.note(f"hull, {name}", round(statistics.median(one[name] for one in accounts), 2))
            for name, sample in alone.items():
                self.report.note(f"alone, {name}", round(sample.cpu, 2))

    def account(self, image):
        """The seconds by phase that the last line of `hull-image --progress json` tells."""
        data = self.new_folder()
        warm_memory()
        done = subprocess.run([BIN / "hull-image", "--root", data / "data", "--runroot", data / "run", "--progress",
                               "json", "pull", image], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        found = [line["cpu_seconds"] for line in lines if line.get("event") == "phases"]
        if done.returncode != 0 or not found:
            raise BenchError(f"hull-image pull: exit {done.returncode}, no account of phases: {done.stderr[-600:]}")
        return found[-1]

    def steps_alone(self, image, compression):
        folder = self.new_folder()
        folder.mkdir()
        unpacker = "zstd -dcq" if compression == "zstd" else "igzip -dc"
        blobs, tars = f"{folder}/*.blob", f"{folder}/*.tar"
        fetch = "; ".join(f"curl -sf {url} >{folder}/{number}.blob" for number, url in enumerate(layer_urls(image)))
        steps = {
            "curl": fetch,
            "openssl over the blobs": f"cat {blobs} | openssl dgst -sha256",
            unpacker.split()[0]: f"for blob in {blobs}; do {unpacker} $blob >/dev/null; done",
            "to tar files, with writing": f"for blob in {blobs}; do {unpacker} $blob >$blob.tar; done",
            "openssl over the tar files": f"cat {tars} | openssl dgst -sha256",
            "bsdtar": f"for tar in {tars}; do mkdir $tar.d; bsdtar -xpf $tar -C $tar.d; done",
        }
        return {name: measure(["bash", "-c", "set -e -o pipefail; " + script]) for name, script in steps.items()}
