#!/usr/bin/python3
"""hull beside the kernel's floor and its peers, in one run on one machine.

usage: ./dev bench [--rounds N] [--only SUBJECT]... [--compression gzip|zstd]... [NAME...]

  run        a whole `run` of true on Docker's bundle: floor, hull-runtime, crun, runc
  commands   create, start, exec, state, kill, delete, one by one
  syscalls   system calls of a whole run, counted by strace
  detached   200 containers that stay: time and memory of each
  engine     `run --rm --network none IMAGE true`: hull, podman, docker
  images     the next six:
  pull       cold, with unpacking: hull, podman, docker, containerd, skopeo + umoci, one thread, common tools
  push       of a changed layer of 50 MB
  save, load archives
  copy       from registry to registry and to an OCI layout: hull, skopeo
  phases     where the time of a pull goes

Without a NAME all of them. --only and --compression are about the images: which subjects, which layers. A peer that cannot run fails the whole run: nothing is left out silently.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import peers  # noqa: E402
from images import ImageBench  # noqa: E402
from harness.rootfs import busybox_rootfs, busybox_tar  # noqa: E402
from measure import BenchError, Report, interleaved, timed  # noqa: E402


class Bench:
    def __init__(self, rounds, work, report):
        self.rounds = rounds
        self.work = Path(work)
        # As /run is on a real system: on the disk of a test machine a new inode alone takes 0.2 to 0.4 ms.
        self.run_directory = tempfile.mkdtemp(prefix="hull-bench-", dir="/dev/shm")
        self.report = report
        self.rootfs = busybox_rootfs()
        self.private_mounts = peers.PrivateMounts()

    def close(self):
        self.private_mounts.close()
        subprocess.run(["rm", "-rf", "--one-file-system", self.run_directory])

    # --- whole runs -------------------------------------------------------------------------------

    def run(self):
        bundle = peers.docker_bundle(self.work / "bundle", self.rootfs)
        subjects = {"floor": lambda: timed(peers.floor_command(self.rootfs))}
        for runtime in peers.runtimes(self.run_directory, self.private_mounts):
            subjects[runtime.version()] = lambda runtime=runtime: timed(
                runtime.command("run", "--bundle", bundle, runtime.new_id()), runtime.prefix)
        self.report.table("run: Docker's bundle, /bin/true", interleaved(subjects, self.rounds), "floor")

    # --- one command after the other --------------------------------------------------------------

    def commands(self):
        def sleeps(config):
            config["process"]["args"] = ["/bin/sleep", "1000"]

        bundle = peers.docker_bundle(self.work / "bundle-sleep", self.rootfs, sleeps)
        runtimes = peers.runtimes(self.run_directory, self.private_mounts)
        verbs = ("create", "start", "exec", "state", "kill", "delete")
        samples = {verb: {r.name: [] for r in runtimes} for verb in verbs}
        for _ in range(self.rounds):
            for runtime in runtimes:
                for verb, sample in self.one_life(runtime, bundle).items():
                    samples[verb][runtime.name].append(sample)
        for verb in verbs:
            self.report.table(verb, samples[verb], "crun")

    def one_life(self, runtime, bundle):
        id = runtime.new_id()
        life = {"create": ("create", "--bundle", bundle, id), "start": ("start", id),
                "exec": ("exec", id, "/bin/true"), "state": ("state", id), "kill": ("kill", id, "KILL")}
        found = {}
        try:
            for verb, args in life.items():
                found[verb] = timed(runtime.command(*args), runtime.prefix, idle=0.1)
            runtime.wait_until_stopped(id)
            found["delete"] = timed(runtime.command("delete", id), runtime.prefix, idle=0.1)
        except BenchError:
            runtime.call("delete", "--force", id, check=False)
            raise
        return found

    # --- system calls -----------------------------------------------------------------------------

    def syscalls(self):
        bundle = peers.docker_bundle(self.work / "bundle-strace", self.rootfs)
        commands = {"floor": ([], peers.floor_command(self.rootfs))}
        for runtime in peers.runtimes(self.run_directory, self.private_mounts):
            run = runtime.command("run", "--bundle", bundle, runtime.new_id())
            timed(run, runtime.prefix, idle=0)  # fills the cache of compiled filters
            commands[runtime.name] = (runtime.prefix, runtime.command("run", "--bundle", bundle, runtime.new_id()))
        print("\nsyscalls: of a whole run, all its processes, the container's /bin/true included")
        for name, (prefix, command) in commands.items():
            self.report.note(f"{name} system calls", self.count_calls(prefix, command))

    def count_calls(self, prefix, command):
        trace = self.work / "strace"
        done = subprocess.run([str(a) for a in (*prefix, peers.need("strace"), "-f", "-qq", "-o", trace, *command)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise BenchError(f"strace {command[0]}: {done.stderr.strip()[-600:]}")
        lines = trace.read_text(errors="replace").splitlines()
        return sum(1 for line in lines if re.match(r"\d+ +(\w+\(|<\.\.\. \w+ resumed>)", line)
                   and "<unfinished" not in line)

    # --- many that stay ---------------------------------------------------------------------------

    def detached(self, count=200):
        print(f"\ndetached: {count} containers that sleep, started one after the other")
        runtimes = list(peers.runtimes(self.run_directory, self.private_mounts))
        self.start_many(runtimes[0], count)  # the kernel keeps what it once took for such objects: nobody is the first
        for runtime in runtimes:
            each, kib = self.start_many(runtime, count)
            self.report.note(f"{runtime.name} detached", f"{each:.1f} ms and {kib:.0f} KiB each")

    def start_many(self, runtime, count):
        """Milliseconds and KiB of memory, the kernel's included, for each of `count` containers."""
        ids = [runtime.new_id() for _ in range(count)]
        bundles = [peers.docker_bundle(self.work / f"many-{id}", self.rootfs, lambda config, id=id: self.many(config, id))
                   for id in ids]
        try:
            before, start = settled_kib(), time.monotonic()
            for id, bundle in zip(ids, bundles):
                timed(runtime.command("run", "--detach", "--bundle", bundle, id), runtime.prefix, idle=0)
            each = (time.monotonic() - start) / count * 1000
            return each, (settled_kib() - before) / count
        finally:
            for id in ids:
                runtime.call("delete", "--force", id, check=False)

    @staticmethod
    def many(config, name):
        config["process"]["args"] = ["/bin/sleep", "1000"]
        config["linux"]["cgroupsPath"] = f"/{name}"

    # --- the engines ------------------------------------------------------------------------------

    def engine(self):
        engines, image = [], busybox_tar()
        try:
            for make in (lambda: peers.Hull(self.work), lambda: peers.Podman(self.work, self.private_mounts),
                         lambda: peers.Docker(self.work)):
                engines.append(make())
                engines[-1].prepare(image)
            subjects = {e.version(): lambda e=e: timed(e.run_true(), e.prefix, e.env) for e in engines}
            self.report.table("engine: run --rm --network none busybox true",
                              interleaved(subjects, self.rounds), next(iter(subjects)))
        finally:
            for engine in engines:
                engine.close()


def taken_kib():
    """Memory of programs and of the kernel's own objects: what containers cost, without the page cache."""
    fields = dict(re.findall(r"(\w+): +(\d+)", Path("/proc/meminfo").read_text()))
    return sum(int(fields[name]) for name in ("AnonPages", "Shmem", "Slab", "KernelStack", "PageTables", "Percpu"))


def settled_kib():
    """taken_kib() once it stands still: namespaces and cgroups are taken down long after their last process."""
    last, end = taken_kib(), time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(2)
        now = taken_kib()
        if abs(now - last) < 256:
            return now
        last = now
    return last


NAMESPACE = "HULL_BENCH_NAMESPACE"  # set: in a mount namespace of the bench's own
CONTAINER_NAMES = ("run", "commands", "syscalls", "detached", "engine")
FAILURES = (BenchError, AssertionError, OSError, subprocess.SubprocessError)  # the harness asserts


def parse_options():
    names = [*CONTAINER_NAMES, "images", *ImageBench.kinds]
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0], epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="default: 30, of images 3")
    parser.add_argument("--only", action="append", default=[], metavar="SUBJECT")
    parser.add_argument("--compression", action="append", choices=("gzip", "zstd"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no measurement {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    wanted = options.names or [*CONTAINER_NAMES, "images"]
    options.containers = [name for name in CONTAINER_NAMES if name in wanted]
    options.images = [kind for kind in ImageBench.kinds if kind in wanted or "images" in wanted]
    return options


def measure_all(options, work, report):
    """@return  what could not be measured."""
    failed = []

    def attempt(name, function):
        try:
            function()
        except FAILURES as error:
            failed.append(name)
            print(f"\n{name}: NOT MEASURED: {error}")

    if options.containers:
        bench = Bench(options.rounds or 30, work, report)
        try:
            for name in options.containers:
                attempt(name, getattr(bench, name))
        finally:
            bench.close()
    if options.images:
        try:
            images = ImageBench(options.rounds or 3, work, report, options.only, options.compression or ("gzip", "zstd"))
        except FAILURES as error:
            print(f"\nimages: NOT MEASURED: {error}")
            return [*failed, *options.images]
        try:
            for name in options.images:
                attempt(name, getattr(images, name))
        finally:
            images.close()
    return failed


def main():
    options = parse_options()
    if os.geteuid() != 0:
        sys.exit("bench: making the peers' containers needs root")
    if options.images and NAMESPACE not in os.environ:  # for the disk of images.py
        os.environ[NAMESPACE] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))  # the peers' daemons are ended
    print(f"hull {peers.source_version()}, Linux {os.uname().release}, {os.cpu_count()} processors, "
          f"load {os.getloadavg()[0]:.1f} before (over 0.5 disturbs the figures)")
    report = Report("+".join(options.names) or "all")
    work = tempfile.mkdtemp(prefix="hull-bench-")
    try:
        failed = measure_all(options, work, report)
    finally:
        report.save()
        subprocess.run(["rm", "-rf", "--one-file-system", work])
    if failed:
        sys.exit(f"bench: not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
