"""Root file systems and images for tests, made on this machine from Debian's own packages."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from contextlib import contextmanager
from pathlib import Path

from harness.programs import CACHE, run

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nuser:x:1000:1000::/home/user:/bin/sh\n"
GROUP = "root:x:0:\ntty:x:5:\nstaff:x:50:user\nnogroup:x:65534:\nuser:x:1000:\n"


@contextmanager
def made_once(path):
    """Gives a directory to fill, renamed to `path` when that worked; None when `path` stands already."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{path.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            yield None
            return
        staging = path.with_name(path.name + ".staging")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        yield staging
        staging.rename(path)


def fill_busybox(root):
    """Debian's busybox-static with a link for every applet, and the files that programs look for."""
    for name in ("bin", "sbin", "usr/bin", "usr/sbin", "etc", "proc", "sys", "dev", "tmp", "root", "home/user",
                 "var/tmp", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "var/tmp").chmod(0o1777)
    os.chown(root / "home/user", 1000, 1000)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in run("/bin/busybox", "--list-full").out.split():
        link = root / applet
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists() and not link.is_symlink():
            link.symlink_to(os.path.relpath(root / "bin/busybox", link.parent))
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    (root / "etc/os-release").write_text('NAME="busybox"\nID=busybox\n')


def busybox_rootfs():
    path = CACHE / "busybox-rootfs"
    with made_once(path) as staging:
        if staging:
            fill_busybox(staging)
    return path


def busybox_tar():
    """The same as a tar file, for `hull import`."""
    root = busybox_rootfs()
    path = CACHE / "busybox.tar"
    if not path.exists():
        partial = path.with_suffix(".partial")
        write_tar(root, partial)
        partial.rename(path)
    return path


def write_tar(root, path, mode="w"):
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as tar:
        tar.add(root, arcname=".", recursive=True)


def debian_rootfs():
    """Debian bookworm, minbase, by debootstrap from the machine's own mirror (about a minute, once)."""
    path = CACHE / "debian-rootfs"
    with made_once(path) as staging:
        if staging:
            run("debootstrap", "--variant=minbase", "bookworm", staging, debian_mirror(), timeout=900)
            for package in (staging / "var/cache/apt/archives").glob("*.deb"):
                package.unlink()
    return path


def debian_mirror():
    """The mirror that apt on this machine uses."""
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True)
    sites = [site for site in done.stdout.split() if "security" not in site]
    return sites[0] if sites else "http://deb.debian.org/debian"


def write_oci_layout(root, directory, tag="latest", config=None):
    """An OCI image layout with one uncompressed layer made of `root`; `config` goes into the image's
    config ({"Cmd": [...], "Env": [...]})."""
    blobs = Path(directory) / "blobs/sha256"
    blobs.mkdir(parents=True)

    def add(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    layer_file = Path(directory) / "layer.tar"
    write_tar(root, layer_file)
    layer = add(layer_file.read_bytes())
    layer_file.unlink()
    image = {"architecture": "amd64", "os": "linux", "config": config or {"Cmd": ["/bin/sh"]},
             "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
             "history": [{"created_by": "hull test"}]}
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **add(json.dumps(image).encode())},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **layer}]}
    index = {"schemaVersion": 2, "manifests": [
        {"mediaType": manifest["mediaType"], **add(json.dumps(manifest).encode()),
         "annotations": {"org.opencontainers.image.ref.name": tag}}]}
    (Path(directory) / "index.json").write_text(json.dumps(index))
    (Path(directory) / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return Path(directory)


if __name__ == "__main__":  # ./dev demo makes its image with this
    print(busybox_tar())
