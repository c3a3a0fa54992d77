"""Pulls and removals killed with -9 at random moments. After each, the store is whole; in the end nothing is
left of them, and the next pull completes. $HULL_KILL_PULLS sets how many (200 for the long run), $HULL_KILL_SEED
which moments."""

import os
import random
import signal
import time

import pytest

from harness.fake_registry import make_layer

PULLS = int(os.environ.get("HULL_KILL_PULLS", "40"))
SEED = int(os.environ.get("HULL_KILL_SEED", "20261122"))

pytestmark = pytest.mark.needs("root")


def image_layers(random_source):
    """Three layers: many small files, one that does not compress, one small."""
    small = {f"usr/share/f{number % 50}/{number}": b"%d" % number * 40 for number in range(800)}
    return [make_layer(small), make_layer({"big": random_source.randbytes(4_000_000)}),
            make_layer({"etc/name": b"done\n", "usr/share/f1/1": b"changed"})]


def disk_usage(folder):
    """Allocated bytes of the files, each inode once."""
    seen = {}
    for top, folders, files in os.walk(folder):
        for name in files:
            info = os.lstat(os.path.join(top, name))
            seen[info.st_ino] = info.st_blocks * 512
    return sum(seen.values())


def remains(image):
    """Names in the folders that hold unfinished work."""
    return {name: sorted(os.listdir(image.root / name)) for name in ("staging", "trash", "leases", "partial")}


def partial_sizes(image):
    sizes = []
    for path in (image.root / "partial").glob("sha*"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:  # it is whole, and has its name now
            pass
    return sizes


def kill_after(process, seconds):
    try:
        process.wait(seconds)
    except Exception:
        process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.timeout(1800)
def test_killed_pulls_and_removals_leave_a_whole_store(image, fake_registry):
    chance = random.Random(SEED)
    layers = image_layers(chance)
    fake_registry.add_image("app", layers)
    name = f"{fake_registry.host}/app:latest"

    started = time.monotonic()
    image("pull", name)
    whole_pull = time.monotonic() - started
    clean = disk_usage(image.root / "layers") + disk_usage(image.root / "blobs")
    image("untag", name)
    image("prune", "--all")
    assert image.blobs() == set() and image.layer_trees() == []

    killed = 0
    for number in range(PULLS):
        process = image.popen("pull", name) if number % 4 else image.popen("prune", "--all")
        kill_after(process, chance.uniform(0, whole_pull * 1.2))
        killed += process.returncode == -signal.SIGKILL
        if number % 4 == 3:
            image("pull", name)  # so that the next prune has something to remove
        assert "whole" in image("fsck").out
    print(f"{PULLS} pulls and removals, {killed} of them killed; left before the next prune: {remains(image)}")
    assert killed >= PULLS // 4, "hardly one was killed: the test has no meaning"

    image("pull", name)
    assert "whole" in image("fsck").out
    assert (image.find("etc/name")[0]).read_text() == "done\n"
    image("prune")
    left = remains(image)
    assert not left["staging"] and not left["trash"] and not left["leases"], left
    assert disk_usage(image.root / "layers") + disk_usage(image.root / "blobs") == clean
    image("untag", name)
    image("prune", "--all")
    assert image.blobs() == set() and image.layer_trees() == []


def test_a_killed_pull_is_continued_by_the_next(image, fake_registry):
    chance = random.Random(1)
    big = chance.randbytes(30_000_000)
    fake_registry.add_image("big", [make_layer({"big": big})])
    name = f"{fake_registry.host}/big:latest"
    for _ in range(200):
        process = image.popen("pull", name)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            sizes = partial_sizes(image)
            if sizes and max(sizes) > 1_000_000:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate()
        partial = partial_sizes(image)
        if partial:
            break
        image("untag", name, check=False)
        image("prune", "--all")
    assert partial, "no pull could be interrupted"
    ranges = []
    fake_registry.rules.append(lambda request: ranges.append(request.headers.get("range")))
    image("pull", name)
    assert f"bytes={partial[0]}-" in ranges, ranges
    assert image.find("big")[0].read_bytes() == big
