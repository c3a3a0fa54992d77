"""What hull-image takes at most, whatever an image is made of; and what it shows while a registry is slow."""

import hashlib
import json
import os
import pty
import re
import subprocess

import pytest

from harness.fake_registry import OCI_LAYER, Reply, make_layer
from harness.programs import run

MEBIBYTE = 1 << 20
ZSTD_LAYER = OCI_LAYER.removesuffix("gzip") + "zstd"
MOST_KIB = 100 * 1024


def peak_kib(image, *args):
    """Peak resident memory of one command of hull-image. By time(1): a child of this process would begin with
    the peak of this process."""
    done = run("/usr/bin/time", "-f", "peak %M", *image.arguments(*args), env=image.env)
    return int(done.err.rpartition("peak ")[2])


def packed_layer(files, *compress):
    """A layer as FakeRegistry.add_packed_image takes it; `compress` reads a tar and writes a blob."""
    tar = make_layer(files)
    blob = subprocess.run(compress, input=tar, capture_output=True, check=True).stdout
    return ZSTD_LAYER if compress[0] == "zstd" else OCI_LAYER, blob, "sha256:" + hashlib.sha256(tar).hexdigest()


@pytest.mark.needs("zstd", "time")
def test_large_zstd_windows_of_parallel_layers_wait_for_each_other(image, fake_registry):
    # 16 MiB each: more than the limit when all of the layers are decompressed at once.
    layers = [packed_layer({f"file{number}": bytes([number]) * (24 * MEBIBYTE)}, "zstd", "-q", "-1", "--long=24")
              for number in range(8)]
    name = fake_registry.add_packed_image("windows", layers)
    assert peak_kib(image, "pull", "--jobs", "8", name) < MOST_KIB
    assert [image.find(f"file{number}")[0].stat().st_size for number in range(8)] == [24 * MEBIBYTE] * 8


@pytest.mark.needs("zstd", "time")
def test_the_largest_zstd_window_lies_in_a_file(image, fake_registry):
    # 128 MiB, filled more than once, with matches that reach back through all of it.
    part = os.urandom(MEBIBYTE)
    content = b"".join(part[number:] + part[:number] for number in range(120)) * 2
    layer = packed_layer({"large": content}, "zstd", "-q", "-3", "--long=27")
    assert len(layer[1]) < 20 * MEBIBYTE
    name = fake_registry.add_packed_image("window", [layer])
    assert peak_kib(image, "pull", name) < MOST_KIB
    assert image.find("large")[0].read_bytes() == content


@pytest.mark.needs("gzip", "time")
def test_many_layers_at_once_share_one_budget_of_buffers(image, fake_registry):
    # Two bytes that differ: the blobs are small, the archives large, and every queue is full.
    layers = [packed_layer({f"file{number}": b"x" * number + bytes(24 * MEBIBYTE)}, "gzip", "-1")
              for number in range(1, 33)]
    name = fake_registry.add_packed_image("many", layers)
    assert peak_kib(image, "pull", "--jobs", "16", name) < MOST_KIB
    assert len(list(image.root.glob("layers/sha256/*/tree"))) == 32


@pytest.mark.needs("gzip", "tar", "time")
def test_a_sparse_file_of_ten_gigabytes_takes_neither_memory_nor_disk(image, fake_registry, scratch):
    folder = scratch / "sparse"
    folder.mkdir()
    with open(folder / "disk", "wb") as file:
        file.truncate(10 << 30)
        file.seek(5 << 30)
        file.write(b"in the middle")
    tar = subprocess.run(["tar", "--sparse", "--format=pax", "-C", folder, "-c", "disk"], capture_output=True,
                         check=True).stdout
    blob = subprocess.run(["gzip", "-1"], input=tar, capture_output=True, check=True).stdout
    name = fake_registry.add_packed_image("sparse", [(OCI_LAYER, blob, "sha256:" + hashlib.sha256(tar).hexdigest())])
    assert peak_kib(image, "pull", name) < MOST_KIB
    disk = image.find("disk")[0]
    assert disk.stat().st_size == 10 << 30 and disk.stat().st_blocks * 512 < MEBIBYTE
    with open(disk, "rb") as file:
        file.seek(5 << 30)
        assert file.read(14) == b"in the middle\0"


@pytest.mark.needs("time")
def test_unpacking_a_bundle_remembers_names_in_few_bytes(image, fake_registry, scratch):
    small = fake_registry.add_image("small", [make_layer({"file": b""})])
    folder = "/".join([letter * 200 for letter in "abcdefghi"])
    large = fake_registry.add_image("large", [make_layer({f"{folder}/{number}": b"" for number in range(20_000)})])
    base = peak_kib(image, "unpack", f"docker://{small}", scratch / "small")
    assert peak_kib(image, "unpack", f"docker://{large}", scratch / "large") < base + 16 * 1024
    assert len(os.listdir(scratch / "large/rootfs" / folder)) == 20_000


# --- progress -------------------------------------------------------------------------------------


@pytest.fixture
def slow_image(fake_registry):
    """Two layers of 1 MB that arrive at 1 MB a second each."""
    layers = [make_layer({f"noise{number}": os.urandom(1_000_000)}) for number in range(2)]
    name = fake_registry.add_image("slow", layers, compress=False)

    def slowly(request):
        content = fake_registry.blobs.get(request.path.rpartition("/")[2])
        return Reply(body=content, rate=1_000_000) if content and len(content) > 500_000 else None

    fake_registry.rules.append(slowly)
    return name


def test_a_slow_pull_tells_json_readers_how_far_each_layer_is(image, slow_image):
    done = run(*image.arguments("--progress", "json", "pull", slow_image))
    events = [json.loads(line) for line in done.err.splitlines()]
    layers = {event["item"] for event in events if event.get("item", "").startswith("layer ")}
    assert len(layers) == 2
    for layer in layers:
        seen = [event["current"] for event in events if event.get("item") == layer and event["event"] == "progress"]
        assert len(seen) >= 3 and seen == sorted(seen) and seen[-1] <= 1_010_000
    phases = events[-1]
    assert phases["event"] == "phases"
    assert set(phases["cpu_seconds"]) == {"fetch", "hash_blob", "store_blob", "decompress", "hash_archive",
                                          "write_files", "other"}
    assert all(seconds >= 0 for seconds in phases["cpu_seconds"].values())


def test_a_slow_pull_draws_a_bar_with_a_rate_for_each_layer_on_a_terminal(image, slow_image):
    ours, theirs = pty.openpty()
    process = subprocess.Popen([str(word) for word in image.arguments("pull", slow_image)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    drawn = b""
    while True:
        try:
            drawn += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == 0
    frames = drawn.decode().split("\x1b[1A")
    bars = re.findall(r"layer [0-9a-f]{12} +\[(=*)>? *\] ([0-9.]+ ?[kMK]?i?B)/([0-9.]+ ?[kMK]?i?B)  ([0-9.]+ ?[kMK]?i?B/s)?",
                      drawn.decode())
    assert len({length for length, *_ in bars}) >= 4, drawn  # they grow
    assert any(rate for *_, rate in bars), drawn
    assert any(frame.count("[=") == 2 for frame in re.split(r"(?:\x1b\[1A\x1b\[2K)+", drawn.decode())), frames


def test_a_slow_pull_that_is_not_on_a_terminal_prints_one_line_for_each_layer(image, slow_image):
    done = run(*image.arguments("pull", slow_image))
    lines = [line for line in done.err.splitlines() if line.startswith("layer ")]
    assert len(lines) == 2 and all(re.fullmatch(r"layer [0-9a-f]{12}: done, .* in .*", line) for line in lines), lines
    assert "\x1b" not in done.err
