"""A QEMU guest with Debian's own cloud kernel: cgroup v2 alone or v1, AppArmor, eBPF device rules, systemd, which the
machine that builds hull may lack. Software emulation; cases in, results out over the console.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from harness.programs import CACHE, SOURCE, run
from harness.rootfs import debian_mirror, fill_busybox, made_once

# The guest's first process in an initramfs. `/` of an initramfs cannot be pivoted away from: everything moves to a tmpfs.
BUSYBOX_INIT = """#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
if [ "$1" != moved ]; then
    mkdir -p /new && mount -t tmpfs -o mode=755 none /new
    cp -a /bin /sbin /usr /etc /modules /files /cases /cgroups /rootfs /init /lib /lib64 /root /home /tmp /var /run /new/ 2>/dev/null
    mkdir -p /new/proc /new/sys /new/dev
    exec switch_root /new /init moved
fi
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm && mount -t devpts pts /dev/pts && mount -t tmpfs shm /dev/shm
exec <>/dev/ttyS0 >&0 2>&1
for module in $(cat /modules/order); do insmod /modules/$module; done
mount -t securityfs security /sys/kernel/security
. /cgroups
ip link set lo up
exec /cases/all
"""

# How the guest mounts its cgroups; with systemd it is v2 alone.
CGROUPS = {
    "v2": "mount -t cgroup2 cgroup /sys/fs/cgroup\n",
    "v1": """mount -t tmpfs -o mode=755 cgroups /sys/fs/cgroup
for set in cpu,cpuacct cpuset memory devices freezer blkio pids hugetlb net_cls,net_prio perf_event rdma; do
    mkdir /sys/fs/cgroup/$set && mount -t cgroup -o $set cgroup /sys/fs/cgroup/$set
done
mkdir /sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
""",
}

# With systemd: a small initramfs that finds the disk and gives over to it.
DISK_INIT = """#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
mkdir -p /new
tries=0
until mount -t ext4 /dev/vda /new 2>/dev/null; do tries=$((tries+1)); [ $tries -gt 100 ] && echo "no disk" && poweroff -f; usleep 100000; done
cp -a /cases /files /rootfs /new/ && cp -a /usr/bin/hull* /usr/bin/payload /new/usr/bin/
tar -C /added -cf - . | tar -C /new -xf -
umount /proc /sys /dev
exec switch_root /new /lib/systemd/systemd
"""

CASES_UNIT = """[Unit]
Description=cases
After=dbus.socket basic.target
[Service]
Type=oneshot
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/cases/all
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
Delegate=yes
[Install]
WantedBy=multi-user.target
"""

# What runs all cases, and reports on the console.
RUN_CASES = """#!/bin/sh
echo "@@kernel $(uname -r)"
for case in /cases/case*; do
    cd $case
    echo "@@begin ${case##*/}"
    timeout 60 sh ./script </dev/null 2>&1
    echo "@@end ${case##*/} $?"
done
echo "@@done"
sync; poweroff -f
"""


@dataclass
class Case:
    """One case: a bundle (if `change` is given or `args`), and the script that runs beside it in the guest. The
    script finds `hull-runtime` and `payload` in its PATH and the bundle in its working directory."""

    name: str
    script: str = 'exec hull-runtime run --bundle . "$(basename $PWD)"'
    config: dict = field(default_factory=dict)
    rootfs: str = "/rootfs"  # in the guest
    always: bool = False  # others stand on it


@dataclass
class Result:
    code: int
    out: str


def guest_kernel():
    """Debian's cloud kernel: installed, or else its package unpacked into the cache."""
    installed = sorted(Path("/boot").glob("vmlinuz-*-cloud-amd64"))
    if installed:
        return installed[-1]
    path = CACHE / "guest-kernel"
    with made_once(path) as staging:
        if staging:
            depends = run("apt-cache", "depends", "linux-image-cloud-amd64").out
            package = re.search(r"Depends: (linux-image-\S+)", depends)[1]
            run("apt-get", "download", package, cwd=staging, timeout=600)
            for deb in staging.glob("*.deb"):
                run("dpkg-deb", "-x", deb, staging)
                deb.unlink()
    return next(iter(sorted(path.glob("boot/vmlinuz-*"))))


def guest_module(name):
    """Path of one of the guest kernel's modules: "block/bfq"."""
    kernel = guest_kernel()
    release = kernel.name.removeprefix("vmlinuz-")
    return kernel.parent.parent / "lib/modules" / release / "kernel" / f"{name}.ko"


def add_program(root, program):
    """Copies a program of this machine to usr/bin and the libraries it is linked with to their places below `root`."""
    target = root / "usr/bin" / Path(program).name
    for applet in root.glob(f"*bin/{target.name}"), root.glob(f"usr/*bin/{target.name}"):
        for link in applet:
            link.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, target)
    listed = run("ldd", program, check=False).out
    for path in map(Path, re.findall(r"(/\S+) \(0x", listed)):
        copy = root / str(path.parent.resolve() / path.name).lstrip("/")  # /lib is /usr/lib
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)


MODULES = ["drivers/block/loop"]
DISK_MODULES = ["drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_modern_dev",
                "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci", "drivers/block/virtio_blk"]


def systemd_disk():
    """An ext4 image of Debian bookworm with systemd and a bus, by debootstrap (about two minutes, once)."""
    path = CACHE / "systemd-disk"
    with made_once(path) as staging:
        if staging:
            root = staging / "root"
            run("debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus", "bookworm", root,
                debian_mirror(), timeout=900)
            for left in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
                shutil.rmtree(root / left)
            units = root / "etc/systemd/system"
            (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
            # No login on the console that carries the results.
            (units / "serial-getty@ttyS0.service").symlink_to("/dev/null")
            (units / "cases.service").write_text(CASES_UNIT)
            (units / "multi-user.target.wants").mkdir(exist_ok=True)
            (units / "multi-user.target.wants/cases.service").symlink_to("../cases.service")
            run("truncate", "-s", "1200M", staging / "disk.ext4")
            run("mkfs.ext4", "-q", "-d", root, staging / "disk.ext4", timeout=600)
            shutil.rmtree(root)
    return path / "disk.ext4"


class Guest:
    """Boots once, runs all cases, and powers off; `results` has one Result for each case's name. What the guest said is
    kept in build/test-logs/guest-NAME.

    `systemd`: a Debian root with systemd on a disk image; else busybox in an initramfs, which boots in 12 s.
    `cgroups`: a name of CGROUPS. `files`: texts or bytes by name, found in the guest's /files. `modules`: more of the
    kernel's, as fs/fuse/fuse. `programs`: of this machine, put into the guest with the libraries they are linked with.
    """

    def __init__(self, name, work, binaries, payload, cases, systemd=False, cgroups="v2", files=None, memory_mib=768,
                 timeout=480, modules=(), programs=()):
        self.name = name
        self.work = Path(work)
        self.kernel = guest_kernel()
        boot = self.work / "initramfs"
        boot.mkdir(parents=True)
        fill_busybox(boot)
        (boot / "init").write_text(DISK_INIT if systemd else BUSYBOX_INIT)
        (boot / "init").chmod(0o755)
        (boot / "cgroups").write_text(CGROUPS[cgroups])
        self._add_modules(boot / "modules", [*(DISK_MODULES if systemd else MODULES), *modules])
        fill_busybox(boot / "rootfs")
        for program in (binaries.hull, binaries.runtime, binaries.monitor, payload):
            if program.exists():
                shutil.copy(program, boot / "usr/bin" / program.name)
        for name in ("lib", "lib64"):
            (boot / name).symlink_to(f"usr/{name}")
        # A Debian root has libraries of its own: what is added goes there as a whole.
        (boot / "added").mkdir()
        for program in programs:
            add_program(boot / "added" if systemd else boot, program)
        shutil.copy(payload, boot / "rootfs/bin/payload")
        (boot / "files").mkdir()
        for name, content in (files or {}).items():
            (boot / "files" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        self._add_cases(boot / "cases", cases)
        archive = self._pack(boot)
        self.console = self._boot(archive, systemd_disk() if systemd else None, memory_mib, timeout)
        self.results = self._parse(cases)

    def _add_modules(self, directory, names):
        directory.mkdir()
        for name in names:
            shutil.copy(guest_module(name), directory)
        (directory / "order").write_text("".join(f"{Path(name).name}.ko\n" for name in names))

    def _add_cases(self, directory, cases):
        directory.mkdir()
        (directory / "all").write_text(RUN_CASES)
        (directory / "all").chmod(0o755)
        for number, case in enumerate(cases):
            place = directory / f"case{number:03}"
            place.mkdir()
            (place / "script").write_text(case.script + "\n")
            if case.config:
                if case.config["root"]["path"] == "rootfs":
                    case.config["root"]["path"] = case.rootfs
                (place / "config.json").write_text(json.dumps(case.config))

    def _pack(self, root):
        archive = self.work / "initramfs.cpio.gz"
        with open(archive, "wb") as out:
            names = subprocess.Popen(["find", ".", "-print0"], cwd=root, stdout=subprocess.PIPE)
            cpio = subprocess.Popen(["cpio", "--null", "--quiet", "-o", "-H", "newc"], cwd=root, stdin=names.stdout,
                                    stdout=subprocess.PIPE)
            subprocess.run(["gzip", "-1"], stdin=cpio.stdout, stdout=out, check=True)
            assert names.wait() == 0 and cpio.wait() == 0
        return archive

    def _boot(self, archive, disk, memory_mib, timeout):
        # The console goes to a file: what the guest said stays readable when it does not finish.
        logs = SOURCE / "build/test-logs"
        logs.mkdir(parents=True, exist_ok=True)
        console = logs / f"guest-{self.name}"
        console.unlink(missing_ok=True)
        command = ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-accel", "tcg,thread=multi", "-smp",
                   min(2, os.cpu_count() or 1), "-m", memory_mib, "-kernel", self.kernel, "-initrd", archive,
                   "-append", "console=ttyS0 quiet panic=-1 no_timer_check apparmor=1 security=apparmor", "-display", "none",
                   "-serial", f"file:{console}", "-monitor", "none", "-nic", "none", "-no-reboot"]
        if disk:
            command += ["-drive", f"file={disk},format=raw,if=virtio,snapshot=on"]
        complaint = ""
        # no_timer_check: on a busy machine the emulated timer is late, and the kernel gives up at boot.
        try:
            complaint = run(*command, check=False, timeout=timeout).err
        except subprocess.TimeoutExpired:
            complaint = f"no power-off within {timeout} s"
        text = console.read_text(errors="replace").replace("\r\n", "\n") if console.exists() else ""
        text = re.sub(r"^\[ *\d+\.\d+\] .*\n", "", text, flags=re.M)  # the kernel's own lines
        assert "@@done" in text, f"the guest did not finish ({complaint}):\n{text[-3000:]}"
        return text

    def _parse(self, cases):
        results = {}
        for number, case in enumerate(cases):
            found = re.search(rf"@@begin case{number:03}\n(.*?)@@end case{number:03} (\d+)", self.console, re.S)
            assert found, f"no result of {case.name}:\n{self.console[-3000:]}"
            results[case.name] = Result(int(found[2]), found[1])
        return results
