"""Bad input: a one-line error that names the thing and the remedy, the binary's exit code, nothing left."""

import gzip
import hashlib
import json
import shutil
import socket

import pytest

from harness.programs import run
from harness.rootfs import write_oci_layout


def one_line(done, *words):
    """The error is one line on stderr and has these words."""
    lines = [line for line in done.err.splitlines() if line]
    assert len(lines) == 1, done
    for word in words:
        assert word in lines[0], done
    return lines[0]


# --- hull-runtime: exit 1 -------------------------------------------------------------------------


def test_a_bundle_without_its_rootfs(runtime, bundle):
    it = bundle()
    shutil.rmtree(it.rootfs)
    done = runtime("run", "--bundle", it, runtime.new_id(), code=1)
    one_line(done, "rootfs")


def test_a_bundle_without_config(runtime, scratch):
    one_line(runtime("run", "--bundle", scratch, runtime.new_id(), code=1), "config.json")


def test_a_config_that_is_no_json(runtime, bundle):
    it = bundle()
    (it.path / "config.json").write_text('{"ociVersion": "1.0.2",}')
    one_line(runtime("run", "--bundle", it, runtime.new_id(), code=1), "config.json", "line 1")


def test_an_unknown_capability(runtime, bundle):
    def change(config):
        config["process"]["capabilities"]["bounding"].append("CAP_MAKE_COFFEE")

    done = runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), check=False)
    # The spec (config.md, Linux Process) wants a warning for what cannot be granted; the name must be in it.
    assert "CAP_MAKE_COFFEE" in done.err
    assert len(done.err.splitlines()) == 1


def test_an_unknown_namespace_names_the_field(runtime, bundle):
    def change(config):
        config["linux"]["namespaces"].append({"type": "dream"})

    one_line(runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), code=1), "linux.namespaces[6]",
             "dream")


def test_a_mount_onto_a_link_out_of_the_root(runtime, bundle, scratch):
    outside = scratch / "outside"
    outside.mkdir()

    def change(config):
        config["mounts"].append({"destination": "/trap/inner", "type": "tmpfs", "source": "tmpfs"})

    it = bundle(["sh", "-c", "echo never; cat /proc/self/mountinfo"], change)
    (it.rootfs / "trap").symlink_to(outside)
    runtime("run", "--bundle", it, runtime.new_id(), check=False)
    assert list(outside.iterdir()) == []


def test_proc_onto_a_link_is_refused(runtime, bundle):
    it = bundle(["true"])
    (it.rootfs / "proc").rmdir()
    (it.rootfs / "proc").symlink_to("/tmp")
    one_line(runtime("run", "--bundle", it, runtime.new_id(), code=1), "/proc")


def test_a_bad_id(runtime, bundle):
    one_line(runtime("run", "--bundle", bundle(), "../evil", code=1), "../evil")


def test_an_unknown_flag(runtime):
    one_line(runtime("run", "--bundel", "x", "id", code=1), "--bundel", "--bundle")


# --- hull: exit 125 -------------------------------------------------------------------------------


@pytest.fixture
def layout(busybox_rootfs, scratch):
    return write_oci_layout(busybox_rootfs, scratch / "layout")


def manifest_of(layout):
    index = json.loads((layout / "index.json").read_text())
    return json.loads((layout / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())


def load_as_tar(hull, layout, scratch, **how):
    archive = scratch / "image.tar"
    run("tar", "-C", layout, "-cf", archive, ".")
    return hull("load", "-i", archive, **how)


def nothing_is_stored(hull):
    assert hull("images", "-q").out == ""
    unpacked = list((hull.root / "layers").glob("sha*/*"))
    assert unpacked == []
    assert not [path for path in hull.root.rglob("*staging*/*")]


def test_a_good_layout_loads(hull, layout, scratch):
    load_as_tar(hull, layout, scratch)
    assert len(hull("images", "-q").out.split()) == 1


def test_a_truncated_layer(hull, layout, scratch):
    blob = layout / "blobs/sha256" / manifest_of(layout)["layers"][0]["digest"][7:]
    blob.write_bytes(blob.read_bytes()[:100000])
    one_line(load_as_tar(hull, layout, scratch, code=125), blob.name[:12])
    nothing_is_stored(hull)


def test_a_wrong_digest(hull, layout, scratch):
    blob = layout / "blobs/sha256" / manifest_of(layout)["layers"][0]["digest"][7:]
    data = bytearray(blob.read_bytes())
    data[-2000] ^= 1
    blob.write_bytes(data)
    one_line(load_as_tar(hull, layout, scratch, code=125), blob.name[:12])
    nothing_is_stored(hull)


def test_a_layer_whose_diff_id_is_a_lie(hull, layout, scratch):
    index = json.loads((layout / "index.json").read_text())
    manifest = manifest_of(layout)
    blobs = layout / "blobs/sha256"

    def store(value):
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
    config["rootfs"]["diff_ids"] = ["sha256:" + "0" * 64]
    manifest["config"].update(store(config))
    index["manifests"][0].update(store(manifest))
    (layout / "index.json").write_text(json.dumps(index))
    one_line(load_as_tar(hull, layout, scratch, code=125), "0" * 12)
    nothing_is_stored(hull)


def test_a_cut_off_gzip(hull, scratch, busybox_tar):
    packed = gzip.compress(busybox_tar.read_bytes(), 1)
    (scratch / "cut.tar.gz").write_bytes(packed[: len(packed) // 2])
    one_line(hull("import", scratch / "cut.tar.gz", "cut", code=125))
    nothing_is_stored(hull)


@pytest.mark.parametrize("name", ["UPPER/case", "a b", "x:ta g", "double//slash", "busybox@sha256:short", "-dash", ""])
def test_an_image_name_with_bad_grammar(hull, busybox_image, name):
    # "--" ends the options, so that "-dash" is a name.
    one_line(hull("run", "--rm", "--", name, "true", code=125))


def test_a_registry_that_is_not_there(hull):
    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    one_line(hull("pull", f"127.0.0.1:{port}/nothing:1", code=125), f"127.0.0.1:{port}")


def test_an_image_that_the_registry_lacks(hull, registry):
    it = registry()
    one_line(hull("pull", f"{it.host}/nothing:1", code=125), "nothing")


def test_a_full_disk(binaries, hull, busybox_tar, scratch):
    small = scratch / "small"
    small.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", small)
    try:
        before = sum(1 for _ in small.rglob("*"))
        done = run(binaries.hull, "--root", small / "data", "--runroot", hull.runroot, "import", busybox_tar, "big",
                   code=125)
        one_line(done, "space")
        left = [str(path) for path in small.rglob("*") if path.is_file() and path.stat().st_size > 300000]
        assert before == 0 and left == []
    finally:
        run("umount", small)


def test_flags_that_make_no_sense(hull, busybox_image):
    one_line(hull("run", "--memory", "lots", busybox_image, "true", code=125), "lots")
    one_line(hull("run", "--network", "marsh", busybox_image, "true", code=125), "marsh")
    one_line(hull("run", "-v", "relative/path/no:colon:x:y", busybox_image, "true", code=125))
    one_line(hull("run", "--cpus", "many", busybox_image, "true", code=125), "many")
    one_line(hull("run", "--nmae", "x", busybox_image, "true", code=125), "--nmae")
    assert hull("ps", "-aq").out == ""


def test_a_container_that_does_not_exist(hull):
    for command in (["rm"], ["stop"], ["kill"], ["logs"], ["wait"], ["inspect"], ["start"]):
        done = hull(*command, "nobody", check=False)
        assert done.code == 1 and "nobody" in done.err, (command, done)
    assert hull("exec", "nobody", "true", check=False).code in (1, 125)
