"""hull image fsck against every kind of file that the store has."""

import os
import random

import pytest

from harness.fake_registry import make_layer

BASE = make_layer({"etc/one": b"one\n", "etc/two": b"two\n", "deep/er/file": b"x", "noise": os.urandom(50_000)})
# A whiteout, an opaque folder, and a folder that is only implied.
TOP = make_layer({"etc/.wh.one": b"", "deep/.wh..wh..opq": b"", "deep/new": b"new", "lib/a/b": b"b"})


def flip(path, chance):
    """Flips one bit; answers what undoes it."""
    before = path.read_bytes()
    changed = bytearray(before)
    at = chance.randrange(len(changed))
    changed[at] ^= 1 << chance.randrange(8)
    info = path.stat()

    def write(content):
        path.write_bytes(content)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))  # a failing disk leaves no trace

    write(bytes(changed))
    return at, lambda: write(before)


@pytest.fixture
def stored(image, fake_registry):
    name = fake_registry.add_image("app", [BASE, TOP])
    image("pull", name)
    assert image("fsck").out == "the store is whole\n"
    return name


def test_whiteouts_and_opaque_folders_are_no_damage(image, stored):
    assert image("fsck", "--repair").out == "the store is whole\n"
    image("untag", stored)
    image("prune")
    image("pull", stored)
    assert image("fsck").out == "the store is whole\n"


@pytest.mark.needs("userns", "newuidmap")
def test_nor_are_those_of_an_ordinary_user(rootless_image, fake_registry):
    rootless_image("pull", fake_registry.add_image("app", [BASE, TOP]))
    assert rootless_image("fsck").out == "the store is whole\n"


@pytest.mark.parametrize("kind", ["blobs/sha256/*", "layers/sha256/*/tree/**/*", "layers/sha256/*/record",
                                  "layers/sha256/*/implied", "references"])
def test_any_flipped_bit_is_found(image, stored, kind):
    chance = random.Random(kind)
    files = [path for path in image.root.glob(kind) if path.is_file() and not path.is_symlink() and path.stat().st_size]
    assert files, f"no {kind}"
    for path in files:
        for _ in range(6):
            at, undo = flip(path, chance)
            code = image("fsck", "--retry=0", check=False).code
            undo()
            line = path.read_bytes()[:at].rfind(b"\n") + 1
            # Another boot id only means that the tree is walked once more.
            is_boot_id = path.name == "record" and path.read_bytes()[line:].startswith(b"boot-id")
            assert code == 125 or is_boot_id, (path, at)
    assert image("fsck").out == "the store is whole\n"


@pytest.mark.parametrize("kind", ["blobs/sha256/*", "layers/sha256/*/tree/**/*", "layers/sha256/*/record",
                                  "layers/sha256/*/implied"])
def test_any_flipped_bit_is_mended_from_the_registry(image, stored, kind):
    chance = random.Random(kind)
    files = [path for path in image.root.glob(kind) if path.is_file() and not path.is_symlink() and path.stat().st_size]
    for path in files:
        at, _ = flip(path, chance)
        image("fsck", "--repair")
        assert image("fsck").out == "the store is whole\n", (path, at)


@pytest.mark.parametrize("change", ["mode", "owner", "time", "attribute", "type", "extra file", "opaque mark"])
def test_a_changed_tree_is_found_and_mended(image, stored, change):
    path = image.find("etc/two")[0]
    if change == "mode":
        path.chmod(0o777)
    elif change == "owner":
        os.chown(path, 7, 7)
    elif change == "time":
        os.utime(path, (1, 1))
    elif change == "attribute":
        os.setxattr(path, "user.note", b"x")
    elif change == "type":
        path.unlink()
        path.symlink_to("one")
    elif change == "extra file":
        (path.parent / "three").write_text("x")
    else:
        tree = image.find("deep/new")[0].parent
        name = next(name for name in os.listxattr(tree) if name.endswith("overlay.opaque"))
        os.removexattr(tree, name)
    assert "corrupt layer" in image("fsck", code=125).out
    assert "(mended)" in image("fsck", "--repair").out
    assert image("fsck").out == "the store is whole\n"


def test_a_running_container_is_told_when_its_layer_is_gone(hull, busybox_image):
    hull("create", "--name", "idle", busybox_image, "true")
    tree = next((hull.root / "layers/sha256").iterdir())
    tree.rename(hull.root / "gone")
    out = hull("image", "fsck", code=125).out
    assert "missing layer" in out and "container" in out
    (hull.root / "gone").rename(tree)
    assert "whole" in hull("image", "fsck").out


def test_damage_is_named_with_the_image_and_the_remedy(image, stored, fake_registry):
    manifest = next(path for path in image.root.glob("blobs/sha256/*") if b"layers" in path.read_bytes()[:2000]
                    and path.read_bytes()[:1] == b"{" and b"rootfs" not in path.read_bytes())
    manifest.unlink()
    done = image("fsck", code=125)
    assert "missing blob" in done.out and stored in done.out and "fsck --repair" in done.err
    fake_registry.close()
    done = image("fsck", "--repair", "--retry=0", code=125)
    assert "lost" in done.out and "cannot connect" in done.out
