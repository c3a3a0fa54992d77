"""hull-image load and import: archives of every form, whole and broken."""

import fcntl
import gzip
import io
import json
import os
import subprocess
import tarfile
import time

import pytest

from harness.fake_registry import Reply, digest_of, make_layer
from harness.programs import run

FILES = {"etc/name": b"loaded\n"}


def docker_archive(names=("app:1",), layer=None, config=None):
    layer = layer or make_layer(FILES)
    config = config or {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
                        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}}
    text = json.dumps(config).encode()
    manifest = [{"Config": "config.json", "RepoTags": list(names), "Layers": ["layer.tar"]}]
    return make_layer({"config.json": text, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()})


def oci_layout(folder, layer=None):
    layer = layer or make_layer(FILES)
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data, media_type):
        digest = digest_of(data)
        (blobs / digest.split(":")[1]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
                "layers": [put(gzip.compress(layer), "application/vnd.oci.image.layer.v1.tar+gzip")]}
    entry = put(json.dumps(manifest).encode(), manifest["mediaType"])
    entry["annotations"] = {"org.opencontainers.image.ref.name": "oci/app:2"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder


def tar_of(folder):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(folder, ".")
    return out.getvalue()


def names_of(image):
    return image.references()


@pytest.mark.parametrize("packing", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_docker_archive_is_loaded_packed_or_not(image, scratch, packing, way):
    path = scratch / "image.tar"
    path.write_bytes(docker_archive())
    if packing != "none":
        run(packing, "-q" if packing == "zstd" else "-n", path)
        path = scratch / ("image.tar.gz" if packing == "gzip" else "image.tar.zst")
    if way == "file":
        done = image("load", "-i", path)
    else:
        done = image("load", input=path.read_bytes(), text=False)
        done.out = done.out.decode()
    assert done.out == "Loaded image: docker.io/library/app:1\n"
    assert image.find("etc/name")[0].read_bytes() == b"loaded\n"
    assert "docker.io/library/app:1" in names_of(image)
    image.check_nothing_staged()


def test_an_oci_layout_is_loaded_as_a_folder_and_as_an_archive(image, scratch):
    folder = oci_layout(scratch / "layout")
    assert "docker.io/oci/app:2" in image("load", folder).out
    archive = scratch / "oci.tar"
    archive.write_bytes(tar_of(folder))
    result = image.result("load", "--input", archive)
    assert result["images"][0]["name"] == "docker.io/oci/app:2"
    assert image.find("etc/name")


def test_several_names_and_no_name_are_loaded(image, scratch):
    path = scratch / "image.tar"
    path.write_bytes(docker_archive(("a:1", "b.example/c:2")))
    done = image("load", "-q", "-i", path)
    assert done.out.splitlines() == ["Loaded image: docker.io/library/a:1", "Loaded image: b.example/c:2"]
    assert done.err == ""
    path.write_bytes(docker_archive(()))
    assert image("load", "-i", path).out.startswith("Loaded image ID: sha256:")


def test_a_root_file_system_becomes_an_image(image, busybox_tar, scratch):
    done = image("import", "-c", 'CMD ["/bin/sh","-l"]', "--change=ENV A=1", "-m", "by test", busybox_tar, "base:1")
    assert done.out.startswith("sha256:")
    config = next(json.loads(path.read_text()) for path in image.root.glob("blobs/sha256/*")
                  if digest_of(path.read_bytes()) == done.out.strip())
    assert config["config"]["Cmd"] == ["/bin/sh", "-l"] and config["config"]["Env"] == ["A=1"]
    assert config["history"][0]["comment"] == "by test"
    assert image.find("bin/busybox")
    packed = gzip.compress(make_layer(FILES))
    done = run(*image.arguments("import", "-", "piped"), input=packed, text=False)
    assert b"sha256:" in done.out and image.find("etc/name")


def test_broken_archives_are_refused_and_leave_nothing(image, scratch, busybox_tar):
    path = scratch / "bad.tar"

    def refuse(content, *words):
        path.write_bytes(content)
        error = image.fails("load", "-i", path)
        for word in words:
            assert word in error, error

    whole = docker_archive()
    refuse(b"no archive at all, only text that goes on for a while" * 50, str(path))
    refuse(b"", str(path))
    refuse(make_layer({"some/file": b"x"}), str(path))
    refuse(whole[:len(whole) // 2], str(path))
    refuse(gzip.compress(whole)[:-20], str(path))
    wrong = {"architecture": "amd64", "os": "linux",
             "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}
    refuse(docker_archive(config=wrong), str(path))
    assert names_of(image).strip() == ""
    assert "no such file" in image.fails("load", "-i", scratch / "missing.tar")
    assert "no such file" in image.fails("import", scratch / "missing.tar", "x")
    assert "is a folder" in image.fails("import", scratch, "x")
    assert "lowercase" in image.fails("import", busybox_tar, "Bad Name")
    assert "FROM" in image.fails("import", "-c", "FROM x", busybox_tar, "x")


def test_loading_on_a_full_disk_names_the_disk(image, scratch):
    path = scratch / "image.tar"
    path.write_bytes(docker_archive(layer=make_layer({"noise": os.urandom(6_000_000)})))
    image.root.mkdir()
    script = ('mount -t tmpfs -o size=3m tmpfs "$1" && shift && "$@"; code=$?; '
              'test -z "$(ls -A "$ROOT/staging")" || { echo staging is not empty >&2; exit 1; }; exit $code')
    done = run("unshare", "-m", "sh", "-c", script, "sh", image.root, *image.arguments("load", "-i", path), code=125,
               env={"ROOT": str(image.root)})
    assert "no space left on device" in done.err.lower()


def test_hull_image_gives_up_its_rights(image, scratch):
    """While it waits for stdin, the kernel shows what the process still has."""
    reader, writer = os.pipe()
    running = subprocess.Popen([str(word) for word in image.arguments("load")], stdin=reader, stderr=subprocess.PIPE)
    os.close(reader)
    try:
        os.write(writer, docker_archive()[:512])
        status = {}
        for _ in range(1000):
            with open(f"/proc/{running.pid}/status") as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
            if status["Seccomp"] == "2":
                break
            run("sleep", "0.01")
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
        kept = int(status["CapEff"], 16)
        # sys_admin stays for trusted.overlay.opaque alone: no call that it opens passes the filter.
        for forbidden in (1 << 12, 1 << 16, 1 << 17, 1 << 19, 1 << 7, 1 << 6, 1 << 2):
            # net_admin, sys_module, sys_rawio, sys_ptrace, setuid, setgid, dac_read_search
            assert not kept & forbidden, status["CapEff"]
        assert status["CapBnd"] == status["CapEff"] == status["CapPrm"]
        own = os.readlink("/proc/self/ns/mnt"), os.readlink("/proc/self/ns/ipc"), os.readlink("/proc/self/ns/uts")
        its = tuple(os.readlink(f"/proc/{running.pid}/ns/{kind}") for kind in ("mnt", "ipc", "uts"))
        assert not set(own) & set(its)
        mounts = [line.split(" ") for line in open(f"/proc/{running.pid}/mountinfo")]
        writable = [line[4] for line in mounts if "rw" in line[5].split(",")]
        assert writable == [str(image.root)]
    finally:
        os.close(writer)
        running.wait(30)
        running.stderr.close()


def capabilities_while_confined(image, *args):
    """The effective capabilities of a command of hull-image that the test keeps waiting."""
    running = subprocess.Popen([str(word) for word in image.arguments(*args)], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env={**os.environ, **image.env})
    try:
        for _ in range(2000):
            with open(f"/proc/{running.pid}/status") as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            if status.get("Seccomp") == "2":
                return int(status["CapEff"], 16)
            assert running.poll() is None, running.stdout.read()
            time.sleep(0.005)
        raise AssertionError("it did not confine itself")
    finally:
        running.kill()
        running.communicate()


SYS_ADMIN, CHOWN, MKNOD = 1 << 21, 1 << 0, 1 << 27


@pytest.mark.parametrize("verb", ["unpack", "diff"])
def test_what_unpacks_into_a_folder_of_its_own_has_no_sys_admin(image, fake_registry, scratch, verb):
    layer = make_layer({"noise": os.urandom(200_000)})
    name = fake_registry.add_image("app", [layer])
    digest = json.loads(fake_registry.manifests["app", "latest"][1])["layers"][0]["digest"]
    slow = Reply(200, fake_registry.blobs[digest], rate=2000)
    fake_registry.rules.append(lambda request: slow if request.path.endswith(digest) else None)
    target = scratch / "out" if verb == "unpack" else scratch
    kept = capabilities_while_confined(image, verb, f"docker://{name}", target)
    assert kept & CHOWN and not kept & SYS_ADMIN


@pytest.mark.parametrize("verb", ["prune", "df"])
def test_what_only_removes_or_counts_has_neither_sys_admin_nor_mknod(image, busybox_tar, verb):
    image("import", busybox_tar, "base")
    with open(image.root / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = capabilities_while_confined(image, verb)
    assert not kept & (SYS_ADMIN | CHOWN | MKNOD)
    image(verb)


@pytest.mark.needs("userns", "newuidmap")
def test_an_ordinary_user_loads_and_imports(rootless_image, busybox_tar, ordinary_user):
    path = ordinary_user.home / "image.tar"
    path.write_bytes(docker_archive())
    path.chmod(0o644)
    rootless_image("load", "-i", path)
    tar = ordinary_user.home / "busybox.tar"
    tar.write_bytes(busybox_tar.read_bytes())
    tar.chmod(0o644)
    rootless_image("import", tar, "base")
    assert rootless_image.find("etc/name") and rootless_image.find("bin/busybox")
