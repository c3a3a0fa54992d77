"""The power goes at random moments of a pull: the pull is stopped, what the disk holds at that moment is copied, and
the copy is used as after a restart, with the journal replayed and another boot id. Nothing that was only in memory is
on the copy. $HULL_POWER_LOSSES sets how many, $HULL_KILL_SEED which moments."""

import json
import os
import random
import shutil
import signal
import time
import uuid
from pathlib import Path

import pytest

from harness.fake_registry import make_layer
from harness.image_tool import ImageTool
from harness.programs import run
from harness.waiting import wait_until

LOSSES = int(os.environ.get("HULL_POWER_LOSSES", "12"))
SEED = int(os.environ.get("HULL_KILL_SEED", "20261128"))
DISK = 192 << 20

pytestmark = pytest.mark.needs("root", "mkfs.ext4", "losetup")


class Disk:
    """An ext4 in a file, whose journal is written when somebody asks for it (fsync) and not by the clock."""

    def __init__(self, file, folder):
        self.file, self.folder = file, folder

    @classmethod
    def create(cls, file, folder):
        with open(file, "wb") as disk:
            disk.truncate(DISK)
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0", file)
        return cls(file, folder)

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        done = run("mount", "-o", "loop,commit=600", self.file, self.folder, check=False)
        if done.code != 0:
            pytest.skip(f"no loop device: {done.err.strip()}")
        return self

    def __exit__(self, *_):
        run("umount", self.folder)


def stop_all(process):
    """Stops every thread; what it asked of the disk comes to its end first."""
    process.send_signal(signal.SIGSTOP)

    def is_stopped():
        if process.poll() is not None:
            return True
        try:
            return all(thread.joinpath("stat").read_text().rsplit(")")[1].split()[0] in "TtZ"
                       for thread in Path(f"/proc/{process.pid}/task").iterdir())
        except OSError:  # a thread that has just ended
            return False
    wait_until(is_stopped, "the pull is stopped")


def after_restart(binaries, scratch, folder):
    """hull-image as it sees a machine that was started anew."""
    boot_id = scratch / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n")
    prefix = ["unshare", "--mount", "sh", "-c",
              'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"', boot_id]
    return ImageTool(binaries.image, folder / "data", scratch / "run2", prefix)


def check_what_is_missing(image, new):
    """No byte is wrong. Of an image that was pulled a moment ago, trees may be missing: its blobs are there."""
    for line in image("fsck", check=False).out.splitlines():
        missing_tree = line.startswith("missing layer ") and line.endswith(f" of {new}: not unpacked")
        assert missing_tree or line == "the store is whole", line


@pytest.mark.timeout(900)
def test_a_loss_of_power_leaves_a_whole_store(binaries, scratch, fake_registry):
    binaries.need("image")
    chance = random.Random(SEED)
    fake_registry.add_image("old", [make_layer({"etc/old": b"old\n"})])
    small = {f"usr/share/f{number % 20}/{number}": b"%d" % number * 40 for number in range(400)}
    fake_registry.add_image("new", [make_layer(small), make_layer({"big": chance.randbytes(3_000_000)}),
                                    make_layer({"etc/new": b"new\n"})])
    layers = [layer["digest"] for layer in json.loads(fake_registry.manifests["new", "latest"][1])["layers"]]
    old, new = (f"{fake_registry.host}/{name}:latest" for name in ("old", "new"))

    with Disk.create(scratch / "base", scratch / "disk") as base:
        image = ImageTool(binaries.image, base.folder / "data", scratch / "run")
        image("pull", old)
        run("sync", "-f", base.folder)
        shutil.copy(base.file, scratch / "start")
        started = time.monotonic()
        image("pull", new)
        whole_pull = time.monotonic() - started

    named = 0
    for _ in range(LOSSES):
        shutil.copy(scratch / "start", scratch / "running")
        with Disk(scratch / "running", scratch / "disk") as disk:
            process = ImageTool(binaries.image, disk.folder / "data", scratch / "run").popen("pull", new)
            time.sleep(chance.uniform(0, whole_pull * 2))
            stop_all(process)
            shutil.copy(disk.file, scratch / "lost")
            was_done = process.poll() == 0
            process.kill()
            process.communicate()
        with Disk(scratch / "lost", scratch / "disk2") as disk:
            image = after_restart(binaries, scratch, disk.folder)
            names = image.references()
            assert old in names, "an image that was here for long is gone"
            assert new in names or not was_done, "a pull that told of its success is forgotten"
            named += new in names
            check_what_is_missing(image, new)
            asked = len(fake_registry.paths("GET"))
            image("pull", new)
            fetched = [digest for digest in layers for path in fake_registry.paths("GET")[asked:] if digest in path]
            assert not fetched or new not in names, "layers of a named image were lost"
            image("pull", old)
            assert "whole" in image("fsck").out
            assert [path.read_text() for path in image.find("etc/old")] == ["old\n"]
            assert [path.read_text() for path in image.find("etc/new")] == ["new\n"]
            assert len(image.find("usr/share/f7/7")) == 1
    print(f"{LOSSES} losses of power, {named} of them after the image had its name")
