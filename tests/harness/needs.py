"""Says what a test needs and this machine lacks, for @pytest.mark.needs(...)."""

import ctypes
import os
import shutil
from pathlib import Path

# A program and the Debian package that has it, where the names differ.
PACKAGES = {
    "dockerd": "docker.io", "docker": "docker.io", "docker-registry": "docker-registry", "ctr": "containerd",
    "newuidmap": "uidmap", "bwrap": "bubblewrap", "setfattr": "attr", "qemu-system-x86_64": "qemu-system-x86",
    "nft": "nftables", "ip": "iproute2", "busybox": "busybox-static",
}


def cgroup_controllers():
    """The controllers one can use here, v1 and v2 alike."""
    found = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        point = Path(fields.split(" ")[4])
        if kind == "cgroup":
            found.update(options.split(","))
        elif kind == "cgroup2" and (point / "cgroup.controllers").exists():
            found.update((point / "cgroup.controllers").read_text().split())
    return found


def has_pure_cgroup_v2():
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def landlock_abi():
    """What the kernel itself answers (landlock_create_ruleset(2)); 0 without Landlock. Its log may be rotated away, and
    securityfs not mounted."""
    return max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))


def missing(name):
    """Why `name` cannot be had, or None. A name is a program, "root", "cgroup:NAME", "cgroup_v2",
    "cgroup_v1", "landlock:ABI", "userns" (an ordinary user may make user namespaces) or "path:/some/file"."""
    if name == "root":
        return None if os.geteuid() == 0 else "needs root"
    if name.startswith("cgroup:"):
        wanted = name.split(":", 1)[1]
        return None if wanted in cgroup_controllers() else f"needs the cgroup controller {wanted}"
    if name == "cgroup_v2":
        return None if has_pure_cgroup_v2() else "needs cgroup v2 alone at /sys/fs/cgroup"
    if name == "cgroup_v1":
        return "needs cgroup v1 controllers" if has_pure_cgroup_v2() else None
    if name.startswith("landlock:"):
        wanted = int(name.split(":", 1)[1])
        return None if landlock_abi() >= wanted else f"needs Landlock ABI {wanted}; the kernel has {landlock_abi()}"
    if name == "userns":
        for path, bad in (("/proc/sys/kernel/unprivileged_userns_clone", "0"),
                          ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")):
            if Path(path).exists() and Path(path).read_text().strip() == bad:
                return f"needs user namespaces for ordinary users ({path} forbids them)"
        return None
    if name.startswith("path:"):
        path = name.split(":", 1)[1]
        return None if Path(path).exists() else f"needs {path}"
    if shutil.which(name):
        return None
    return f"needs {name} (apt-get install {PACKAGES.get(name, name)})"
