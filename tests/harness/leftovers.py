"""What hull could leave behind on the host: mounts, cgroups, namespaces, processes, temporary files."""

import os
import time
from dataclasses import dataclass, fields
from pathlib import Path


def mounts():
    return {line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def cgroups():
    """Every cgroup directory below every hierarchy; the same container shows once for each hierarchy."""
    found = set()
    for top, directories, _ in os.walk("/sys/fs/cgroup"):
        found.update(os.path.join(top, name) for name in directories)
    return found


def processes():
    """"pid command" of every process started from a hull binary, or of hull's making."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            program = os.path.basename(os.readlink(entry / "exe").removesuffix(" (deleted)"))
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue  # ended meanwhile
        if program in ("hull", "hull-runtime", "hull-monitor", "hull-image", "hull-init") and state != "Z":
            found.add(f"{entry.name} {command}")
    return found


def is_zombie(pid):
    """A dead process that its parent has not reaped yet. Orphans are PID 1's to reap, whenever it does."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def namespaces():
    """"kind:inode" of every namespace that a living process is in."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or is_zombie(entry.name):
            continue
        for kind in ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup"):
            try:
                found.add(os.readlink(entry / "ns" / kind))
            except OSError:
                continue
    return found


# Where hull and hull-runtime keep state by default. Engines drive the runtime there: the folders stay, with
# their hidden caches, but nothing of a container may.
STATE = ("/run/hull", "/run/hull/runtime", "/run/hull-runtime")


def temporary_files():
    found = set()
    for directory in ("/tmp", "/var/tmp", "/run", "/dev/shm"):
        found.update(str(path) for path in Path(directory).glob("*hull*"))
    for directory in STATE:
        found.update(str(path) for path in Path(directory).glob("[!.]*"))
    return found - set(STATE)


def remove_cgroup_parent(name):
    """Removes an engine's parent of its containers' cgroups, empty by now, from every hierarchy: engines
    make it and no runtime removes it. What still holds something stays, to be found as a leftover."""
    for parent in (Path("/sys/fs/cgroup") / name, *Path("/sys/fs/cgroup").glob(f"*/{name}")):
        for top, _, _ in os.walk(parent, topdown=False):
            try:
                os.rmdir(top)
            except OSError:
                pass


@dataclass
class Snapshot:
    mounts: set
    cgroups: set
    namespaces: set
    processes: set
    temporary_files: set

    def numbers(self):
        return ", ".join(f"{len(getattr(self, field.name))} {field.name}" for field in fields(self))


def take():
    return Snapshot(mounts(), cgroups(), namespaces(), processes(), temporary_files())


def is_ours(kind, name):
    """On a machine where others work with hull at the same time ($HULL_SHARED_HOST is set) only what
    bears the mark of this run counts; namespaces bear none."""
    if not os.environ.get("HULL_SHARED_HOST"):
        return True
    return kind != "namespaces" and any(mark in name for mark in (f"/tmp/ht{os.getpid()}-", f"hulltest-{os.getpid()}-"))


class Leftovers:
    """Takes a snapshot when made; check() fails naming what is there now and was not then. Call it after
    the last hull command. What the kernel frees a moment later (a namespace, a dying cgroup) is waited for."""

    def __init__(self):
        self.before = take()

    def new(self):
        now = take()
        found = {}
        for field in fields(Snapshot):
            extra = {name for name in getattr(now, field.name) - getattr(self.before, field.name)
                     if is_ours(field.name, name)}
            if extra:
                found[field.name] = sorted(extra)
        return found

    def check(self, ignore=(), patience=10.0):
        """@param ignore  texts; what contains one of them is meant to be there.
        @param patience  seconds to wait for the kernel to finish."""
        deadline = time.monotonic() + patience
        while True:
            found = {kind: kept for kind, names in self.new().items()
                     if (kept := [name for name in names if not any(text in name for text in ignore)])}
            if not found:
                return
            if time.monotonic() > deadline:
                lines = [f"{kind}: {name}" for kind, names in found.items() for name in names]
                raise AssertionError("left behind:\n  " + "\n  ".join(lines))
            time.sleep(0.05)
