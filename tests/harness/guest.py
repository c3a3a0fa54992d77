"""A QEMU guest with Debian's own cloud kernel: cgroup v2 alone, AppArmor, eBPF device rules, which the machine
that builds hull may lack. Software emulation, an initramfs for a root, cases in, results out over the console.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from harness.programs import CACHE, SOURCE, run
from harness.rootfs import fill_busybox, made_once

# The guest's first process. `/` of an initramfs cannot be pivoted away from: everything moves to a tmpfs.
INIT = """#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
if [ "$1" != moved ]; then
    mkdir -p /new && mount -t tmpfs -o mode=755 none /new
    cp -a /bin /sbin /usr /etc /cases /rootfs /init /lib /root /home /tmp /var /run /new/ 2>/dev/null
    mkdir -p /new/proc /new/sys /new/dev
    exec switch_root /new /init moved
fi
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm && mount -t devpts pts /dev/pts && mount -t tmpfs shm /dev/shm
exec <>/dev/ttyS0 >&0 2>&1
mount -t cgroup2 cgroup /sys/fs/cgroup && mount -t securityfs security /sys/kernel/security
for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$c >/sys/fs/cgroup/cgroup.subtree_control; done
ip link set lo up
echo "@@kernel $(uname -r)"
for case in /cases/*; do
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


class Guest:
    """Boots once, runs all cases, and powers off; `results` has one Result for each case's name."""

    def __init__(self, work, binaries, payload, cases, memory_mib=768, timeout=600):
        self.work = Path(work)
        root = self.work / "initramfs"
        root.mkdir(parents=True)
        fill_busybox(root)
        fill_busybox(root / "rootfs")
        for program in (binaries.runtime, binaries.monitor, payload):
            if program.exists():
                shutil.copy(program, root / "usr/bin" / program.name)
        shutil.copy(payload, root / "rootfs/bin/payload")
        (root / "init").write_text(INIT)
        (root / "init").chmod(0o755)
        for number, case in enumerate(cases):
            directory = root / f"cases/case{number:03}"
            directory.mkdir(parents=True)
            (directory / "script").write_text(case.script + "\n")
            if case.config:
                case.config["root"]["path"] = "/rootfs"
                (directory / "config.json").write_text(json.dumps(case.config))
        self.console = self._boot(self._pack(root), memory_mib, timeout)
        self.results = self._parse(cases)

    def _pack(self, root):
        archive = self.work / "initramfs.cpio.gz"
        with open(archive, "wb") as out:
            names = subprocess.Popen(["find", ".", "-print0"], cwd=root, stdout=subprocess.PIPE)
            cpio = subprocess.Popen(["cpio", "--null", "--quiet", "-o", "-H", "newc"], cwd=root, stdin=names.stdout,
                                    stdout=subprocess.PIPE)
            subprocess.run(["gzip", "-1"], stdin=cpio.stdout, stdout=out, check=True)
            assert names.wait() == 0 and cpio.wait() == 0
        return archive

    def _boot(self, archive, memory_mib, timeout):
        command = ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-accel", "tcg,thread=multi", "-smp",
                   str(min(2, os.cpu_count() or 1)), "-m", str(memory_mib), "-kernel", guest_kernel(), "-initrd", archive,
                   "-append", "console=ttyS0 quiet panic=-1 apparmor=1 security=apparmor", "-display", "none", "-serial",
                   "stdio", "-monitor", "none", "-nic", "none", "-no-reboot"]
        try:
            done = subprocess.run([str(a) for a in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
            console, complaint = done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            console, complaint = late.stdout or b"", b"the guest did not power off in time"
        text = console.decode(errors="replace").replace("\r\n", "\n")
        logs = SOURCE / "build/test-logs"
        logs.mkdir(parents=True, exist_ok=True)
        (logs / "guest-console").write_text(text)
        assert "@@done" in text, f"the guest did not finish ({complaint.decode()}):\n{text[-3000:]}"
        return text

    def _parse(self, cases):
        results = {}
        for number, case in enumerate(cases):
            found = re.search(rf"@@begin case{number:03}\n(.*?)@@end case{number:03} (\d+)", self.console, re.S)
            assert found, f"no result of {case.name}:\n{self.console[-3000:]}"
            results[case.name] = Result(int(found[2]), found[1])
        return results
