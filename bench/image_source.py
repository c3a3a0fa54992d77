"""A realistic image made of Debian packages, as an OCI layout with uncompressed layers, made once.

Four layers: Debian's base by debootstrap, a compiler (about 400 MB), many small files (headers and
sources), and 50 MB that stand for one's own program.
"""

import hashlib
import json
import random
import shutil
import subprocess

from harness.programs import CACHE, run
from harness.registry import Registry
from harness.rootfs import debian_rootfs, made_once

PACKAGES = {
    "compiler": ["gcc-12", "cpp-12", "llvm-16-dev"],
    "small": ["golang-1.19-src", "libboost1.81-dev", "linux-libc-dev", "python3-doc"],
}


def unpack_packages(names, root):
    downloads = root.with_name(root.name + ".debs")
    downloads.mkdir(exist_ok=True)
    for name in names:
        run("apt-get", "download", "-q", name, cwd=downloads, timeout=900)
    for package in sorted(downloads.glob("*.deb")):
        run("dpkg-deb", "-x", package, root, timeout=600)
    shutil.rmtree(downloads)


def fill_program(root):
    """50 MB that compress to about half: random bytes between text."""
    generator = random.Random(50)
    (root / "opt/program").mkdir(parents=True)
    for number in range(50):
        part = generator.randbytes(500_000) + b"hull bench \n" * 45_000
        (root / f"opt/program/part{number:02}").write_bytes(part[:1 << 20])


def write_layer(tree, path):
    run("tar", "--sort=name", "--mtime=@1700000000", "--numeric-owner", "--xattrs", "-C", tree, "-cf", path, ".",
        timeout=900)


def add_blob(blobs, path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    size = path.stat().st_size
    path.rename(blobs / digest.hexdigest())
    return {"digest": f"sha256:{digest.hexdigest()}", "size": size}


def layout():
    """The path of the layout; its image has the tag `bench`."""
    path = CACHE / "bench-image"
    with made_once(path) as staging:
        if staging:
            build(staging)
    return path


def build(staging):
    blobs = staging / "blobs/sha256"
    blobs.mkdir(parents=True)
    trees = {"base": debian_rootfs()}
    for name, packages in PACKAGES.items():
        trees[name] = staging / name
        trees[name].mkdir()
        unpack_packages(packages, trees[name])
    trees["program"] = staging / "program"
    trees["program"].mkdir()
    fill_program(trees["program"])
    layers = []
    for name, tree in trees.items():
        tar = staging / f"{name}.tar"
        write_layer(tree, tar)
        layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar", **add_blob(blobs, tar)})
        if tree.parent == staging:
            shutil.rmtree(tree)
    config = staging / "config"
    config.write_text(json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                                  "rootfs": {"type": "layers", "diff_ids": [one["digest"] for one in layers]}}))
    manifest = staging / "manifest"
    manifest.write_text(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **add_blob(blobs, config)},
        "layers": layers}))
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", **add_blob(blobs, manifest),
             "annotations": {"org.opencontainers.image.ref.name": "bench"}}
    (staging / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (staging / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def registry_storage():
    """A registry's folder that has the image as bench/gzip:1 and bench/zstd:1, pushed once by skopeo."""
    source = layout()
    path = CACHE / "bench-registry-2"
    with made_once(path) as staging:
        if staging:
            for compression in ("gzip", "zstd"):
                push_compressed(source, staging, compression)
    return path


def push_compressed(source, storage, compression):
    """Each by a server of its own: skopeo remembers by address which blobs hold the same layer, and would not
    compress it a second time."""
    server = Registry(CACHE / f"bench-registry.{compression}", storage=storage)
    try:
        name = server.push(f"oci:{source}:bench", f"bench/{compression}:1",
                           f"--dest-compress-format={compression}", "--format=oci")
        layers = json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}").out)["layers"]
        types = {layer["mediaType"].rpartition("+")[2] for layer in layers}
        assert types == {compression}, f"skopeo was to push {compression}, but made {types}"
    finally:
        server.close()
        shutil.rmtree(server.directory)


def describe(path):
    """Bytes and members of the image's layers."""
    index = json.loads((path / "index.json").read_text())
    manifest = json.loads((path / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
    total = sum(layer["size"] for layer in manifest["layers"])
    members = 0
    for layer in manifest["layers"]:
        listing = subprocess.run(["tar", "-tf", path / "blobs/sha256" / layer["digest"][7:]], capture_output=True)
        members += listing.stdout.count(b"\n")
    return total, members, len(manifest["layers"])
