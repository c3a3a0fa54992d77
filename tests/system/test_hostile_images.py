"""Archives and images made to do harm, through the whole program: each is refused or harmless, nothing outside
of the store changes, one line says why, and nothing of it is left."""

import gzip
import io
import json
import os
import random
import stat
import subprocess
import tarfile

import pytest

from harness.fake_registry import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Reply, digest_of, make_layer
from harness.programs import run

GIGABYTE = 1 << 30


class Archive:
    """Tar members one after the other, whatever they say."""

    def __init__(self):
        self._out = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._out, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, content=b"", kind=tarfile.REGTYPE, link="", mode=0o644, **fields):
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.mode = kind, link, mode
        entry.size = len(content) if kind == tarfile.REGTYPE else 0
        for key, value in fields.items():
            setattr(entry, key, value)
        self._tar.addfile(entry, io.BytesIO(content))
        return self

    def folder(self, name, **fields):
        return self.add(name, kind=tarfile.DIRTYPE, mode=0o755, **fields)

    def symlink(self, name, target):
        return self.add(name, kind=tarfile.SYMTYPE, link=target)

    def hardlink(self, name, target):
        return self.add(name, kind=tarfile.LNKTYPE, link=target)

    def bytes(self):
        self._tar.close()
        return self._out.getvalue()


def write_layout(folder, layers, packed=None, config=None, diff_ids=None):
    """An OCI layout; `packed` in the place of gzip of the layers."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data, media_type):
        digest = digest_of(data)
        (blobs / digest[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    document = config or {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]}, "rootfs": {
        "type": "layers", "diff_ids": diff_ids or [digest_of(layer) for layer in layers]}}
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": put(json.dumps(document).encode(), OCI_CONFIG),
                "layers": [put(one, OCI_LAYER) for one in packed or [gzip.compress(one, 1, mtime=0) for one in layers]]}
    entry = put(json.dumps(manifest).encode(), OCI_MANIFEST)
    entry["annotations"] = {"org.opencontainers.image.ref.name": "evil.example/image:1"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder


def snapshot(folder):
    """Everything in a folder, with content, owner, mode and times."""
    found = {}
    for top, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(top, name)
            info = os.lstat(path)
            content = open(path, "rb").read() if stat.S_ISREG(info.st_mode) else None
            found[path] = (info.st_mode, info.st_uid, info.st_nlink, info.st_mtime_ns, content)
    return found


# name -> (layers, whether it is refused)
REFUSED = {
    "dotdot": lambda victim: [Archive().add("../../../../../../../../../.." + victim + "/evil", b"x")],
    "dotdot in the middle": lambda victim: [Archive().add("a/../../../../../../../../../../.." + victim + "/evil", b"x")],
    "hard link outside by dotdot": lambda victim: [Archive().hardlink("h", "../../../../../../../../../.." + victim + "/file")],
    "absolute hard link": lambda victim: [Archive().hardlink("h", victim + "/file")],
    "hard link through a link": lambda victim: [Archive().symlink("l", victim).hardlink("h", "l/file")],
    "hard link to nothing": lambda victim: [Archive().hardlink("h", "nothing")],
    "hard link to a folder": lambda victim: [Archive().folder("d").hardlink("h", "d")],
    "hard link to a file of the layer below": lambda victim: [Archive().add("below", b"x"), Archive().hardlink("h", "below")],
    "whiteout of the folder itself": lambda victim: [Archive().add("d/.wh..")],
    "whiteout of the parent": lambda victim: [Archive().add("d/.wh...")],
    "whiteout of nothing": lambda victim: [Archive().add("d/.wh.")],
    "whiteout with a path in it": lambda victim: [Archive().add(".wh.../../../../.." + victim + "/file")],
    "the root is a link": lambda victim: [Archive().symlink(".", victim).add("evil", b"x")],
    "the root is a file": lambda victim: [Archive().add(".", b"x")],
    "links in a circle": lambda victim: [Archive().symlink("a", "b").symlink("b", "a").add("a/x", b"x")],
    "a file used as a folder": lambda victim: [Archive().add("f", b"x").add("f/x", b"x")],
    "a name longer than the kernel takes": lambda victim: [Archive().add("n" * 256, b"x")],
    "a path longer than the kernel takes": lambda victim: [Archive().add("/".join(["d" * 200] * 30), b"x")],
}
HARMLESS = {
    "a NUL in a name": lambda victim: [Archive().add("a", b"", pax_headers={"path": "a\0b"})],
    "absolute name": lambda victim: [Archive().add(victim + "/evil", b"x")],
    "absolute link, then a file through it": lambda victim: [Archive().symlink("l", victim).add("l/evil", b"x")],
    "relative link, then a file through it": lambda victim: [
        Archive().symlink("l", "../../../../../../../.." + victim).add("l/evil", b"x")],
    "the link and the file in two layers": lambda victim: [Archive().symlink("l", victim), Archive().add("l/evil", b"x")],
    "a chain of links": lambda victim: [Archive().symlink("a", "b").symlink("b", victim).add("a/evil", b"x")],
    "a file over a link to a file": lambda victim: [Archive().symlink("l", victim + "/file").add("l", b"evil")],
    "a folder over a link": lambda victim: [Archive().symlink("l", victim).folder("l").add("l/evil", b"x")],
    "a folder replaced by a link while it is open": lambda victim: [
        Archive().add("d/one", b"x").symlink("d", victim).add("d/evil", b"x")],
    "a whiteout through a link": lambda victim: [Archive().symlink("l", victim), Archive().add("l/.wh.file")],
    "an opaque mark through a link": lambda victim: [Archive().symlink("l", victim).add("l/.wh..wh..opq")],
    "a dangling link": lambda victim: [Archive().symlink("l", "/nowhere/at/all").add("l2/x", b"x")],
    "a hard link to a link, then a file over it": lambda victim: [
        Archive().symlink("l", victim + "/file").hardlink("h", "l").add("h", b"evil")],
    "the same name five times": lambda victim: [Archive().add("x", b"1").folder("x").symlink("x", victim).add("x", b"4").add(
        "x", b"last")],
    "names with newlines and escapes": lambda victim: [Archive().add("a\nb", b"x").add("\x1b[31mred\x1b[0m", b"x").add("\r", b"x")],
    "names of two bytes that are no UTF-8": lambda victim: [Archive().add(b"\xff\xfe".decode("utf8", "surrogateescape"), b"x")],
    "devices": lambda victim: [Archive().add("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3).add(
        "sda", kind=tarfile.BLKTYPE, devmajor=8, devminor=0)],
    "setuid root": lambda victim: [Archive().add("su", b"x", mode=0o6755)],
    "three hundred folders deep": lambda victim: [Archive().add("d/" * 300 + "f", b"x")],
    "overlay's own marks as attributes": lambda victim: [Archive().folder("d", pax_headers={
        "SCHILY.xattr.trusted.overlay.redirect": victim, "SCHILY.xattr.user.overlay.redirect": victim,
        "SCHILY.xattr.trusted.overlay.opaque": "y"})],
    "an owner that does not exist": lambda victim: [Archive().add("x", b"x", uid=4_000_000_000, gid=4_000_000_000)],
}


@pytest.fixture
def victim(scratch):
    """A folder outside that the archives aim at."""
    folder = scratch / "victim"
    folder.mkdir()
    (folder / "file").write_text("precious\n")
    return folder


def allocated(path):
    return int(run("du", "-s", "-B1", path).out.split()[0])


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("way", ["load", "pull"])
def test_a_malicious_archive_is_refused_and_leaves_nothing(image, fake_registry, scratch, victim, name, way):
    image("df")  # makes the store
    empty = allocated(image.root)
    before = snapshot(victim)
    layers = [archive.bytes() for archive in REFUSED[name](str(victim))]
    if way == "load":
        error = image.fails("load", "-i", write_layout(scratch / "layout", layers))
    else:
        error = image.fails("pull", fake_registry.add_image("evil", layers))
    assert digest_of(layers[-1])[7:19] in error or "layer" in error, error
    assert snapshot(victim) == before
    assert image("fsck").out == "the store is whole\n"
    assert image.references().strip() == ""
    assert len(image.layer_trees()) <= len(layers) - 1
    image("prune")
    assert not image.layer_trees() and not image.blobs()
    assert allocated(image.root) <= empty + 16384


@pytest.mark.parametrize("name", HARMLESS)
def test_an_odd_archive_stays_inside(image, scratch, victim, name):
    before = snapshot(victim)
    layers = [archive.bytes() for archive in HARMLESS[name](str(victim))]
    image("load", "-i", write_layout(scratch / "layout", layers))
    assert snapshot(victim) == before
    assert image("fsck").out == "the store is whole\n"
    bundle = scratch / "bundle"
    image("unpack", "evil.example/image:1", bundle)
    assert snapshot(victim) == before
    image("save", "-o", scratch / "again.tar", "evil.example/image:1")


@pytest.mark.needs("userns", "newuidmap")
@pytest.mark.parametrize("name", [*REFUSED, *HARMLESS])
def test_the_same_archives_as_an_ordinary_user(rootless_image, ordinary_user, victim, name):
    os.chown(victim, ordinary_user.uid, ordinary_user.gid)
    os.chown(victim / "file", ordinary_user.uid, ordinary_user.gid)
    before = snapshot(victim)
    layers = [archive.bytes() for archive in {**REFUSED, **HARMLESS}[name](str(victim))]
    layout = write_layout(ordinary_user.home / "layout", layers)
    run("chmod", "-R", "a+rX", layout)
    if name in REFUSED or name == "an owner that does not exist":
        rootless_image.fails("load", "-i", layout)
    else:
        rootless_image("load", "-i", layout)
    assert snapshot(victim) == before
    assert rootless_image("fsck").out == "the store is whole\n"


# --- bombs ----------------------------------------------------------------------------------------


def peak_and_result(image, *words):
    """Runs a verb; answers (exit code, stderr, most bytes of memory)."""
    command = [str(word) for word in image.arguments(*words)]
    done = subprocess.run(["/usr/bin/time", "-f", "PEAK %M", *command], capture_output=True, text=True, timeout=280,
                          env={**os.environ, **image.env})
    peak = int(done.stderr.rsplit("PEAK ", 1)[1].split()[0]) * 1024
    return done.returncode, done.stderr, peak


def zeros_archive(size):
    """Pieces of a tar with one file of `size` zeros."""
    entry = tarfile.TarInfo("zeros")
    entry.size = size
    yield entry.tobuf(tarfile.GNU_FORMAT)
    piece = bytes(1 << 20)
    for _ in range(size >> 20):
        yield piece
    yield bytes(1024)


@pytest.mark.needs("time", "zstd")
@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_bomb_fills_no_memory_and_a_full_disk_ends_it(image, scratch, packing):
    """Two gigabytes of zeros in two megabytes (zstd: 200 KB), on a disk of 64 MB."""
    path = scratch / "bomb"
    packer = subprocess.Popen([packing, "-1" if packing == "gzip" else "-3", "-c"], stdin=subprocess.PIPE,
                              stdout=open(path, "wb"))
    for piece in zeros_archive(2 * GIGABYTE):
        packer.stdin.write(piece)
    packer.stdin.close()
    assert packer.wait(120) == 0
    assert path.stat().st_size < 12_000_000
    image.root.mkdir(mode=0o700)
    script = ('mount -t tmpfs -o size=64m tmpfs "$1" && shift && /usr/bin/time -f "PEAK %M" "$@"; code=$?; '
              'left=$(du -sk "$ROOT" | cut -f1); echo "LEFT $left" >&2; ls -A "$ROOT/staging" >&2; exit $code')
    done = run("unshare", "-m", "sh", "-c", script, "sh", image.root, *image.arguments("import", path, "bomb"),
               code=125, env={"ROOT": str(image.root), **image.env}, timeout=280)
    errors = [line for line in done.err.splitlines() if line.startswith("hull-image: ")]
    assert len(errors) == 1 and "no space left" in errors[0].lower(), done.err
    assert int(done.err.split("PEAK ")[1].split()[0]) < 100_000
    assert int(done.err.split("LEFT ")[1].split()[0]) < 1000, done.err


def test_a_sparse_gigabyte_takes_no_disk(image, scratch):
    """GNU's and POSIX's forms of a file that is a hole of one gigabyte."""
    (scratch / "tree").mkdir()
    with open(scratch / "tree/hole", "wb") as file:
        file.seek(GIGABYTE - 1)
        file.write(b"x")
    for number, form in enumerate(("gnu", "posix")):
        archive = scratch / f"{form}.tar"
        run("tar", "-C", scratch / "tree", "-S", f"--format={form}", "-cf", archive, "hole")
        assert archive.stat().st_size < 100_000
        image("import", archive, f"sparse:{number}")
        hole = image.find("hole")[0]
        assert hole.stat().st_size == GIGABYTE
        with open(hole, "rb") as file:
            file.seek(GIGABYTE - 1)
            assert file.read() == b"x"
    assert allocated(image.root) < 20_000_000
    assert image("fsck").out == "the store is whole\n"


def test_a_manifest_of_a_hundred_megabytes_is_cut_off(image, scratch):
    layout = write_layout(scratch / "layout", [make_layer({"a": b"x"})])
    index = json.loads((layout / "index.json").read_text())
    manifest = (layout / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_bytes()
    huge = manifest[:-1] + b"," + b'"x":"' + b"y" * 100_000_000 + b'"}'
    entry = index["manifests"][0]
    entry.update({"digest": digest_of(huge), "size": len(huge)})
    (layout / "blobs/sha256" / entry["digest"][7:]).write_bytes(huge)
    (layout / "index.json").write_text(json.dumps(index))
    code, err, peak = peak_and_result(image, "load", "-i", layout)
    assert code == 125 and peak < 100_000_000, err
    archive = scratch / "image.tar"
    run("tar", "-C", layout, "-cf", archive, ".")
    code, err, peak = peak_and_result(image, "load", "-i", archive)
    assert code == 125 and peak < 100_000_000, err
    image.check_nothing_staged()
    assert image("fsck").out == "the store is whole\n"


@pytest.mark.parametrize("depth", [99, 200_000])
def test_json_nested_without_end_is_refused(image, scratch, depth):
    layout = write_layout(scratch / "layout", [make_layer({"a": b"x"})])
    (layout / "index.json").write_text('{"a":' * depth + "1" + "}" * depth)
    assert "index.json" in image.fails("load", "-i", layout)


def test_ten_thousand_layers_in_an_archive_are_refused(image, scratch):
    layer = make_layer({"a": b"x"})
    layout = write_layout(scratch / "layout", [layer] * 10_000)
    error = image.fails("load", "-i", layout)
    assert "10000" in error
    image("prune")
    assert not image.blobs() and not image.layer_trees()


# --- archives that are cut or changed -------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_archive(tmp_path_factory):
    """A docker archive of two layers, as hull saves it."""
    folder = tmp_path_factory.mktemp("whole")
    layers = [make_layer({"etc/name": b"x\n", "noise": os.urandom(20_000)}), make_layer({"etc/second": b"y" * 3000})]
    config = json.dumps({"architecture": "amd64", "os": "linux",
                         "rootfs": {"type": "layers", "diff_ids": [digest_of(one) for one in layers]}}).encode()
    manifest = [{"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]
    path = folder / "image.tar"
    path.write_bytes(make_layer({"1/layer.tar": layers[0], "2/layer.tar": layers[1], "config.json": config,
                                 "manifest.json": json.dumps(manifest).encode()}))
    return path


def test_an_archive_cut_at_two_hundred_places_never_becomes_an_image(image, scratch, whole_archive):
    whole = whole_archive.read_bytes()
    # After the end mark (two blocks of zeros) there is only padding: such a cut loses nothing.
    end = len(whole.rstrip(b"\0"))
    end += -end % 512
    path = scratch / "cut.tar"
    for number in range(200):
        cut = number * end // 200
        path.write_bytes(whole[:cut])
        done = image("load", "-i", path, code=125)
        lines = done.err.strip().splitlines()
        errors = [line for line in lines if line.startswith("hull-image: ")]
        assert len(errors) == 1 and str(path) in errors[0], (cut, done)
    image.check_nothing_staged()
    assert image.references().strip() == "" and not image.blobs() and not image.layer_trees()
    path.write_bytes(whole)
    image("load", "-i", path)


def test_a_packed_archive_cut_at_a_hundred_places_never_becomes_an_image(image, scratch, whole_archive):
    packed = gzip.compress(whole_archive.read_bytes(), 1)
    path = scratch / "cut.tar.gz"
    for number in range(100):
        path.write_bytes(packed[:number * len(packed) // 100])
        image("load", "-i", path, code=125)
    assert image.references().strip() == "" and not image.blobs() and not image.layer_trees()


def test_flipped_bytes_of_an_archive_are_found_or_of_no_meaning(image, scratch, whole_archive):
    """Where a flip is not refused, the image that comes out must be byte for byte the good one."""
    image("load", "-i", whole_archive)
    good = {path.name for path in (image.root / "layers/sha256").iterdir()}
    image("untag", "app:1")
    image("prune")
    whole = whole_archive.read_bytes()
    chance = random.Random(7)
    path = scratch / "flipped.tar"
    for _ in range(150):
        at = chance.randrange(len(whole))
        changed = bytearray(whole)
        changed[at] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        done = image("load", "-i", path, check=False)
        assert done.code in (0, 125), done
        if done.code == 0:
            assert {tree.name for tree in (image.root / "layers/sha256").iterdir()} == good, at
            image("prune", "--all")
        assert not image.layer_trees()


# --- the command line -----------------------------------------------------------------------------


def test_control_characters_never_reach_the_terminal(image, scratch, fake_registry):
    evil = "\x1b]0;owned\x07\x1b[2J"
    layers = [Archive().add(f"../{evil}", b"x").bytes()]
    done = image("load", "-i", write_layout(scratch / "one", layers), code=125)
    assert "\x1b" not in done.err and "\x07" not in done.err
    config = {"architecture": evil, "os": "linux", "author": evil, "config": {"Cmd": [evil], "Labels": {evil: evil}},
              "history": [{"created_by": evil, "comment": evil}],
              "rootfs": {"type": "layers", "diff_ids": [digest_of(make_layer({evil: b"x"}))]}}
    layout = write_layout(scratch / "two", [make_layer({evil: b"x"})], config=config)
    for words in (["history", f"oci:{layout}"], ["inspect", f"oci:{layout}"], ["load", "-i", layout],
                  ["load", "-i", str(scratch / evil)], ["pull", f"127.0.0.1:9/{evil}"], [evil], ["pull", f"--{evil}"],
                  ["diff", f"oci:{layout}", f"oci:{layout}"], ["copy", f"oci:{layout}:{evil}", f"dir:{scratch}/out"],
                  ["tag", evil, evil], ["login", "-u", evil, "-p", "x", evil]):
        done = image(*words, check=False)
        assert "\x1b" not in done.out + done.err and "\x07" not in done.out + done.err, words
    fake_registry.rules.insert(0, lambda request: Reply(400, json.dumps(
        {"errors": [{"code": evil, "message": evil}]}).encode(), {"Content-Type": "application/json"}))
    done = image("pull", f"{fake_registry.host}/x", code=125)
    assert "\x1b" not in done.err and "\x07" not in done.err and len(done.err.strip().splitlines()) <= 2


def test_a_folder_a_device_and_a_missing_file_in_the_place_of_an_archive(image, scratch):
    assert "no such file" in image.fails("load", "-i", scratch / "missing")
    assert str(scratch) in image.fails("load", "-i", scratch)
    assert "is a folder" in image.fails("import", scratch, "x")
    assert "/dev/null" in image.fails("load", "-i", "/dev/null")
    (scratch / "empty").write_bytes(b"")
    assert "empty" in image.fails("load", "-i", scratch / "empty")
    assert "no such file" in image.fails("copy", f"docker-archive:{scratch}/missing", f"dir:{scratch}/out")
    assert image.fails("copy", f"docker-archive:{scratch}", f"dir:{scratch}/out")
    (scratch / "text").write_text("hello\n" * 1000)
    assert str(scratch / "text") in image.fails("load", "-i", scratch / "text")
    assert "not a directory" in image.fails("copy", f"oci:{scratch}/text:x", f"dir:{scratch}/out")
    image.check_nothing_staged()
