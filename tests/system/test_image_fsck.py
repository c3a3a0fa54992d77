"""hull image fsck against every kind of file that the store has."""

import json
import os
import random
import re
import shutil
import stat

import pytest

from harness.fake_registry import OCI_INDEX, OCI_MANIFEST, make_layer

BASE = make_layer({"etc/one": b"one\n", "etc/two": b"two\n", "deep/er/file": b"x", "noise": os.urandom(50_000)})
# A whiteout, an opaque folder, and a folder that is only implied.
TOP = make_layer({"etc/.wh.one": b"", "deep/.wh..wh..opq": b"", "deep/new": b"new", "lib/a/b": b"b"})
# Has members for the folders that TOP implies: a chain must show their metadata.
FOLDERS = make_layer({"etc/": 0o711, "lib/": 0o700, "lib/a/": 0o1777})


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


# What is no truth of the store: locks, what the engine keeps, what a container wrote, the user's own settings, and
# the mark that a layer is known to be on disk (without it the tree is walked once more).
EXEMPT = re.compile(r"lock$|\.lock$|hull\.db|settings\.json$|containers/|snapshots/[^/]*/(upper|work)/|/durable$|^used/")


def picture(root):
    """Everything in the store: type, mode, owner, content, attributes; times inside of trees."""
    out = {}
    for folder in ("blobs", "layers", "snapshots", "references", "version", "short-names"):
        if not (root / folder).exists():
            continue
        for path in [root / folder, *(root / folder).rglob("*")]:
            name = str(path.relative_to(root))
            if EXEMPT.search(name):
                continue
            info = path.lstat()
            content = (os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None)
            attributes = {key: os.getxattr(path, key, follow_symlinks=False)
                          for key in os.listxattr(path, follow_symlinks=False)}
            is_timeless = "/tree/" not in name or stat.S_ISCHR(info.st_mode)  # a whiteout has no time of its own
            out[name] = (oct(info.st_mode), info.st_uid, info.st_gid, content, attributes,
                         0 if is_timeless else info.st_mtime_ns)
    return out


@pytest.fixture
def full_store(hull, fake_registry, scratch):
    """A store with every kind of file: two layers, a chain that shows something, one that shows nothing, and a
    container."""
    name = fake_registry.add_image("app", [FOLDERS, BASE, TOP])
    other = fake_registry.add_image("other", [BASE, make_layer({"new/er/file": b"1"})])
    hull("pull", name)
    conf = scratch / "registries.conf"
    conf.write_text(f'[aliases]\n"other" = "{fake_registry.host}/other"\n')
    assert other in hull("pull", "--registries-conf", conf, "other").out
    hull("create", "--name", "idle", name, "true")
    assert hull("image", "fsck").out == "the store is whole\n"
    return hull


def stored_files(root):
    files = [name for name, entry in picture(root).items() if entry[3] is not None and entry[0].startswith("0o100")]
    kinds = {re.sub(r"[0-9a-f]{16,}", "X", name) for name in files}
    assert {"references", "version", "short-names", "blobs/sha256/X", "layers/sha256/X/record", "layers/sha256/X/implied",
            "layers/chains/X/list", "layers/chains/X/empty", "snapshots/X/record"} <= kinds, kinds
    return files


@pytest.mark.parametrize("damage", ["flipped", "lost", "cut"])
def test_damage_to_any_file_of_the_store_is_found_and_mended(full_store, damage):
    chance = random.Random(damage)
    root = full_store.root
    before = picture(root)
    for name in stored_files(root):
        path = root / name
        if damage != "lost" and not path.stat().st_size:
            continue
        undo = None
        if damage == "flipped":
            _, undo = flip(path, chance)
        elif damage == "cut":
            os.truncate(path, path.stat().st_size // 2)
        else:
            path.unlink()
        done = full_store("image", "fsck", "--retry=0", check=False)
        if name == "version":  # of a store that is not one of this hull's, nothing is read or made anew
            if damage == "flipped":
                assert done.code == 125 and "version" in done.err
                undo()
            path.write_text("2\n")
            continue
        if name == "short-names" and damage == "lost":  # a cache, filled by the next pull
            path.write_bytes(before[name][3])
            continue
        assert done.code == 125, (name, done)
        if name == "references" and damage != "flipped":  # no copy is left to mend the names from
            path.write_bytes(before[name][3])
            continue
        if name.startswith("snapshots") and damage != "flipped":
            path.write_bytes(before[name][3])
            continue
        done = full_store("image", "fsck", "--repair", check=False)
        if name == "short-names":
            assert not path.exists()
            path.write_bytes(before[name][3])
        after = picture(root)
        assert done.code == 0, (name, done)
        wrong = sorted(one for one in before.keys() | after.keys() if before.get(one) != after.get(one))
        assert not wrong, (name, wrong, done)
        assert full_store("image", "fsck").out == "the store is whole\n"


@pytest.mark.parametrize("change", ["mode", "owner", "time", "attribute", "extra", "lost"])
def test_a_changed_chain_is_found_and_mended(full_store, change):
    before = picture(full_store.root)
    folder = next(path for path in full_store.root.glob("layers/chains/*/tree/*") if path.is_dir())
    if change == "mode":
        folder.chmod(0o707)
    elif change == "owner":
        os.chown(folder, 7, 7)
    elif change == "time":
        os.utime(folder, (1, 1))
    elif change == "attribute":
        os.setxattr(folder, "user.note", b"x")
    elif change == "extra":
        (folder / "more").write_text("x")
    else:
        shutil.rmtree(folder.parent.parent)
    assert "bad chain" in full_store("image", "fsck", code=125).out
    full_store("image", "fsck", "--repair")
    assert picture(full_store.root) == before
    assert full_store("image", "fsck").out == "the store is whole\n"


def test_layers_of_an_image_without_a_name_are_compared_too(image, stored):
    image("untag", stored)
    assert stored not in image.references()
    chance = random.Random(1)
    flip(image.find("etc/two")[0], chance)
    assert "corrupt layer" in image("fsck", code=125).out
    assert "(mended)" in image("fsck", "--repair").out
    assert image("fsck").out == "the store is whole\n"


def test_layers_without_a_blob_go_unless_a_container_needs_them(image, stored):
    for blob in image.root.glob("blobs/sha256/*"):
        blob.unlink()
    (image.root / "references").unlink()
    assert "2 layers could not be compared" in image("fsck", code=125).err
    image("fsck", "--repair")
    assert not list(image.root.glob("layers/sha256/*"))
    assert image("fsck").out == "the store is whole\n"


def test_the_blobs_of_all_platforms_are_mended(image, fake_registry):
    manifests = []
    for architecture in ("amd64", "arm64"):
        manifest = json.dumps(fake_registry.image_manifest([BASE, make_layer({"of": architecture.encode()})],
                                                           architecture=architecture)).encode()
        digest = fake_registry.add_manifest("many", architecture, manifest)
        manifests.append({"mediaType": OCI_MANIFEST, "digest": digest, "size": len(manifest),
                          "platform": {"os": "linux", "architecture": architecture}})
    fake_registry.add_manifest("many", "latest", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests},
                               OCI_INDEX)
    name = f"{fake_registry.host}/many:latest"
    image("copy", "--all", f"docker://{name}", f"store:{name}")
    before = picture(image.root)
    for path in sorted(image.root.glob("blobs/sha256/*")):
        flip(path, random.Random(path.name))
        assert "corrupt blob" in image("fsck", code=125).out
        image("fsck", "--repair")
        assert picture(image.root) == before, path


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
