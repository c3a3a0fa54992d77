"""What hull unpacks from an image is, file by file, what umoci and podman unpack from it."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

import pytest

from harness.programs import run

BAD_NAME = b"not-utf8-\xff\xfe".decode("utf-8", "surrogateescape")
DECOMPOSED = "e\u0301"  # must not become one letter
LONG_NAME = "n" * 255
DEEP_PATH = "/".join(["deep" + "d" * 60] * 5) + "/file"
# cap_net_bind_service+ep, as setcap writes it (version 2, no root id).
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
# u::rw-, u:7:r--, g::r--, m::r--, o::---
ACL = bytes.fromhex("02000000" "01000600ffffffff" "0200040007000000" "04000400ffffffff" "10000400ffffffff"
                    "20000000ffffffff")

# Prints every entry of a tree as JSON: run as a program, because it works inside mount namespaces.
LISTING = r"""
import hashlib, json, os, stat, sys
root = os.fsencode(sys.argv[1])
found, inodes = {}, {}
def add(path, name):
    info = os.lstat(path)
    entry = {"mode": stat.filemode(info.st_mode), "uid": info.st_uid, "gid": info.st_gid,
             "mtime": info.st_mtime_ns}
    attributes = {}
    for attribute in os.listxattr(path, follow_symlinks=False):
        if not attribute.startswith(("trusted.", "user.overlay.", "security.selinux", "user.rootlesscontainers")):
            attributes[attribute] = os.getxattr(path, attribute, follow_symlinks=False).hex()
    entry["xattrs"] = attributes
    if stat.S_ISREG(info.st_mode):
        with open(path, "rb") as file:
            entry["content"] = hashlib.sha256(file.read()).hexdigest()
        entry["size"] = info.st_size
    if stat.S_ISLNK(info.st_mode):
        entry["target"] = os.fsencode(os.readlink(path)).hex()
    if not stat.S_ISDIR(info.st_mode) and info.st_nlink > 1:
        inodes.setdefault((info.st_dev, info.st_ino), []).append(name.hex())
    found[name.hex()] = entry
for top, folders, files in os.walk(root):
    for name in folders + files:
        path = os.path.join(top, name)
        add(path, os.path.relpath(path, root))
add(root, b".")
for names in inodes.values():
    for name in names:
        found[name]["linked"] = sorted(names)
json.dump(found, sys.stdout)
"""


class Layer:
    """Builds one layer archive."""

    def __init__(self):
        self._out = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._out, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, content=None, kind=None, link="", mode=0o644, owner=(0, 0), mtime=1_600_000_000, xattrs=None):
        entry = tarfile.TarInfo(name)
        entry.type = kind or tarfile.REGTYPE
        entry.linkname, entry.mode, entry.mtime = link, mode, mtime
        entry.uid, entry.gid = owner
        for key, value in (xattrs or {}).items():
            entry.pax_headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
        if content is not None:
            entry.size = len(content)
        self._tar.addfile(entry, io.BytesIO(content) if content is not None else None)
        return self

    def folder(self, name, **how):
        return self.add(name, kind=tarfile.DIRTYPE, mode=how.pop("mode", 0o755), **how)

    def bytes(self):
        self._tar.close()
        return self._out.getvalue()


def first_layer():
    layer = Layer().folder("./", mode=0o711, mtime=1_500_000_000)
    layer.folder("etc", mode=0o750, owner=(3, 4), mtime=1_400_000_000)
    layer.add("etc/passwd", b"root:x:0:0::/:/bin/sh\n")
    layer.add("etc/shadow", b"secret", mode=0o640, owner=(0, 42), mtime=1_234_567_890.123456)
    layer.folder("bin").add("bin/su", b"su", mode=0o4755).add("bin/sg", b"sg", mode=0o2755, owner=(5, 6))
    layer.add("bin/ping", b"ping", mode=0o755, xattrs={"security.capability": CAPABILITY})
    layer.add("bin/link", kind=tarfile.SYMTYPE, link="../etc/passwd", mode=0o777)
    layer.add("bin/dangling", kind=tarfile.SYMTYPE, link="/nowhere", mode=0o777, owner=(9, 9))
    layer.folder("other").add("other/hard", kind=tarfile.LNKTYPE, link="bin/su", mode=0o4755)
    layer.add("etc/acl", b"acl", mode=0o640, xattrs={"system.posix_acl_access": ACL})
    layer.add("etc/noted", b"x", xattrs={"user.note": b"a\nb=c", "user.empty-ish": b"-"})
    layer.add("pipe", kind=tarfile.FIFOTYPE, mode=0o600)
    layer.folder("tmp", mode=0o1777).folder("closed", mode=0o000)
    layer.add(LONG_NAME, b"long").add(BAD_NAME, b"bad").add(DECOMPOSED, b"two code points").add("new\nline", b"x")
    layer.add(DEEP_PATH, b"deep").add("big-owner", b"x", owner=(3_000_000, 4_000_000))
    layer.folder("opaque").add("opaque/old", b"x").folder("opaque/sub").add("opaque/sub/old", b"x")
    layer.folder("kept", mode=0o700, owner=(7, 7)).add("kept/one", b"1").add("kept/gone", b"x")
    layer.add("becomes-folder", b"file").folder("becomes-file").add("becomes-file/x", b"x")
    layer.add("becomes-link", b"file").add("replaced", b"old").add("removed", b"x")
    layer.folder("removed-folder").add("removed-folder/x", b"x")
    layer.folder("emptied").add("emptied/.hidden", b"x")
    return layer.bytes()


def second_layer():
    layer = Layer()
    layer.folder("opaque").add("opaque/.wh..wh..opq", b"").add("opaque/new", b"new")
    layer.add("kept/.wh.gone", b"").add("kept/two", b"2")  # kept/ is only implied
    layer.add(".wh.removed", b"").add(".wh.removed-folder", b"")
    layer.folder("becomes-folder").add("becomes-folder/inner", b"x")
    layer.add("becomes-file", b"file now").add("becomes-link", kind=tarfile.SYMTYPE, link="etc", mode=0o777)
    layer.add("replaced", b"new content", mode=0o600, owner=(1, 2))
    layer.folder("emptied").add("emptied/.wh..hidden", b"")
    layer.add("etc/passwd", b"root:x:0:0::/:/bin/bash\n").folder("etc", mode=0o755, mtime=1_450_000_000)
    return layer.bytes()


def third_layer():
    layer = Layer().folder("removed-folder").add("removed-folder/again", b"again")
    layer.add("removed", b"back again").folder("opaque").add("opaque/sub", b"a file now")
    return layer.bytes()


def write_layout(folder, layers, tag="latest"):
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}

    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
              "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": [{"created_by": "test"}] * len(layers)}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
                "layers": [put(gzip.compress(layer, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
                           for layer in layers]}
    entry = put(json.dumps(manifest).encode(), manifest["mediaType"])
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return diff_ids


def list_tree(root, *before):
    done = subprocess.run([*before, sys.executable, "-c", LISTING, str(root)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def chain_tree(image, diff_ids):
    """The extra layer that carries metadata of implied folders, if this chain has one."""
    wanted = "".join(diff_id + "\n" for diff_id in diff_ids)
    for chain in (image.root / "layers/chains").glob("*"):
        if (chain / "list").read_text() == wanted and not (chain / "empty").exists():
            return [chain / "tree"]
    return []


def list_hull(image, diff_ids, scratch):
    """Mounts the layers as a container's monitor would, in a mount namespace of its own."""
    trees = chain_tree(image, diff_ids)
    trees += [image.root / "layers/sha256" / diff_id.split(":")[1] / "tree" for diff_id in reversed(diff_ids)]
    if len(trees) == 1:  # overlay wants two
        return list_tree(trees[0])
    point = scratch / "merged"
    point.mkdir()
    lower = ":".join(map(str, trees))
    script = f'mount -t overlay overlay -o ro,lowerdir="$1" {point} && shift && exec "$@"'
    return list_tree(point, "unshare", "--mount", "sh", "-ec", script, "sh", lower)


# No archive says when these changed: each program leaves them another time.
TIMELESS = {b"."} | {os.fsencode("/".join(DEEP_PATH.split("/")[:depth])) for depth in range(1, 6)}


def differences(ours, theirs):
    """{name: {field: (ours, theirs)}} for what is not equal."""
    found = {}
    for key in sorted(set(ours) | set(theirs)):
        name = bytes.fromhex(key)
        one, other = ours.get(key, {}), theirs.get(key, {})
        fields = {field: (one.get(field), other.get(field)) for field in {**one, **other}
                  if one.get(field) != other.get(field) and not (field == "mtime" and name in TIMELESS)}
        if fields:
            found[name] = fields
    return found


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roundtrip") / "layout"
    folder.mkdir()
    return folder, write_layout(folder, [first_layer(), second_layer(), third_layer()])


def hull_tree(image, layout, scratch):
    folder, diff_ids = layout
    image("load", "-i", folder)
    return list_hull(image, diff_ids, scratch)


@pytest.mark.needs("root", "umoci")
def test_umoci_unpacks_the_same(image, layout, scratch):
    ours = hull_tree(image, layout, scratch)
    bundle = scratch / "bundle"
    run("umoci", "unpack", "--image", f"{layout[0]}:latest", bundle)
    theirs = list_tree(bundle / "rootfs")
    assert differences(ours, theirs) == {}


@pytest.mark.needs("root", "podman")
def test_podman_unpacks_the_same_but_for_implied_folders(image, layout, scratch):
    ours = hull_tree(image, layout, scratch)
    storage = ["podman", "--root", str(scratch / "podman"), "--runroot", str(scratch / "run"),
               "--storage-driver", "overlay"]
    try:
        name = run(*storage, "pull", "-q", f"oci:{layout[0]}:latest", timeout=300).out.strip()
        script = 'point=$(' + " ".join(storage) + f' image mount {name}); exec "$@" "$point"'
        done = subprocess.run(["unshare", "--mount", "sh", "-ec", script, "sh", sys.executable, "-c", LISTING],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 0, done.stderr.decode()
        theirs = json.loads(done.stdout)
    finally:
        run(*storage, "rmi", "-af", check=False)
    found = differences(ours, theirs)
    # podman gives a folder that a layer only implies mode 0755 and root as its owner; hull and umoci keep what
    # the lower layer says.
    assert set(differences(ours, theirs)) <= {b"kept", b"."}
    kept = ours[b"kept".hex()]
    assert (kept["mode"], kept["uid"]) == ("drwx------", 7)


@pytest.mark.needs("root", "docker", "dockerd")
def test_docker_unpacks_the_same_but_for_implied_folders(image, docker, layout, scratch):
    ours = hull_tree(image, layout, scratch)
    archive = scratch / "image.tar"
    image("save", "-o", archive, image_name(image))
    name = docker.docker("load", "-q", "-i", archive).out.split(": ", 1)[1].strip()
    driver = json.loads(docker.docker("image", "inspect", name).out)[0]["GraphDriver"]
    assert driver["Name"] == "overlay2"
    lower = ":".join([driver["Data"]["UpperDir"], driver["Data"]["LowerDir"]])
    point = scratch / "docker"
    point.mkdir()
    script = f'mount -t overlay overlay -o ro,lowerdir="$1" {point} && shift && exec "$@"'
    theirs = list_tree(point, "unshare", "--mount", "sh", "-ec", script, "sh", lower)
    docker.docker("rmi", name)
    found = differences(ours, theirs)
    # As podman: a folder that a layer only implies becomes root's, with mode 0755.
    assert set(found) <= {b"kept", b"."}, found
    assert ours[b"kept".hex()]["mode"] == "drwx------"


def sparse_layer(scratch, form):
    """Holes at the start, in the middle and at the end, packed by GNU tar."""
    tree = scratch / f"sparse-{form}"
    tree.mkdir()
    with open(tree / "holes", "wb") as file:
        for offset, data in ((1_000_000, b"one"), (3_333_333, b"two" * 5000)):
            file.seek(offset)
            file.write(data)
        file.truncate(9_000_000)
    os.truncate(os.open(tree / "hole", os.O_CREAT | os.O_WRONLY, 0o600), 5_000_000)
    (tree / "sub").mkdir()
    os.link(tree / "holes", tree / "sub/linked")
    out = scratch / f"{form}.tar"
    run("tar", "-C", tree, "-S", f"--format={form}", "--sort=name", "-cf", out, ".")
    return out.read_bytes()


@pytest.mark.needs("root", "umoci")
@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_sparse_files_are_unpacked_as_umoci_and_tar_do(image, scratch, form):
    folder = scratch / "layout"
    folder.mkdir()
    diff_ids = write_layout(folder, [sparse_layer(scratch, form)])
    ours = hull_tree(image, (folder, diff_ids), scratch)
    theirs = scratch / "bundle/rootfs"
    if form == "gnu":  # umoci 0.4.7 refuses GNU's older form
        theirs.mkdir(parents=True)
        run("tar", "-C", theirs, "-xpf", scratch / "gnu.tar")
    else:
        run("umoci", "unpack", "--image", f"{folder}:latest", scratch / "bundle")
    assert differences(ours, list_tree(theirs)) == {}
    holes = image.find("holes")[0]
    assert holes.stat().st_blocks * 512 < 100_000 and os.path.samefile(holes, image.find("sub/linked")[0])
    image("save", "-o", scratch / "again.tar", image_name(image))
    run("rm", "-rf", image.root)
    image("load", "-i", scratch / "again.tar")
    assert image.find("holes")[0].stat().st_blocks * 512 < 100_000


def small_ids(layer):
    """The same layer without the owners that an ordinary user's range lacks."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(layer)) as old, tarfile.open(fileobj=out, mode="w",
                                                                      format=tarfile.PAX_FORMAT) as new:
        for entry in old:
            if entry.name == "big-owner":
                continue
            for key in ("uid", "gid"):
                entry.pax_headers.pop(key, None)
            new.addfile(entry, old.extractfile(entry) if entry.isreg() else None)
    return out.getvalue()


@pytest.mark.needs("root", "userns", "newuidmap")
def test_an_ordinary_user_unpacks_what_root_unpacks(hull, rootless_hull, ordinary_user):
    folder = ordinary_user.home / "layout"
    folder.mkdir()
    write_layout(folder, [small_ids(layer) for layer in (first_layer(), second_layer(), third_layer())],
                 tag="docker.io/library/three:1")
    run("chmod", "-R", "a+rX", folder)
    exported = []
    for one in (hull, rootless_hull):
        one("load", "-i", folder)
        one("create", "--name", "look", "three:1", "true")
        out = one.root.parent / "look.tar"
        one("export", "-o", out, "look")
        with tarfile.open(out) as tar:
            exported.append({member.name: (member.type, member.mode, member.uid, member.gid, member.size, member.linkname,
                                           None if os.fsencode(member.name) in TIMELESS else member.pax_headers.get(
                                               "mtime", member.mtime),
                                           {key: value for key, value in member.pax_headers.items() if "xattr" in key})
                             for member in tar})
    assert exported[0] == exported[1]
    assert "bin/ping" in exported[0] and any("capability" in key for key in exported[0]["bin/ping"][-1])


@pytest.mark.needs("root")
def test_an_image_of_125_layers_runs_and_shows_all_of_them(hull, busybox_tar, scratch):
    folder = scratch / "layout"
    folder.mkdir()
    layers = [open(busybox_tar, "rb").read()]
    layers += [Layer().add(f"layer-{number}", b"x").add("count", str(number).encode()).bytes()
               for number in range(2, 126)]
    write_layout(folder, layers, tag="docker.io/library/many:1")
    archive = scratch / "many.tar"
    run("tar", "-C", folder, "-cf", archive, ".")
    hull("load", "-i", archive)
    out = hull("run", "--rm", "--network", "none", "many:1", "sh", "-c", "ls / | grep -c layer-; cat /count").out
    assert out.split() == ["124", "125"]


@pytest.mark.needs("root", "umoci")
def test_a_saved_layout_unpacks_to_the_same_again(image, layout, scratch):
    ours = hull_tree(image, layout, scratch)
    image("copy", image_name(image), f"oci:{scratch}/again:latest")
    bundle = scratch / "bundle"
    run("umoci", "unpack", "--image", f"{scratch}/again:latest", bundle)
    assert differences(ours, list_tree(bundle / "rootfs")) == {}


def image_name(image):
    return image.references().split()[0]
