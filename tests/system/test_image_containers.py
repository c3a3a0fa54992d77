"""hull image diff and hull export of containers: running or not, of root and of an ordinary user."""

import json
import subprocess
import tarfile

import pytest

from harness.programs import run

CHANGE = ("echo more >>/etc/passwd; rm /etc/group; mkdir /new; echo hello >/new/file; ln -s file /new/link; "
          "chmod 600 /etc/os-release; rm -r /home; mkdir /home; echo ready; exec sleep 300")


@pytest.fixture(params=["root", "ordinary user"])
def engine(request, busybox_tar):
    """(hull, image name): of root and of an ordinary user."""
    hull = request.getfixturevalue("hull" if request.param == "root" else "rootless_hull")
    tar = hull.root.parent / "busybox.tar"
    tar.write_bytes(busybox_tar.read_bytes())
    tar.chmod(0o644)
    hull("import", tar, "base")
    return hull


@pytest.fixture
def changed(engine):
    engine("run", "-d", "--name", "web", "--network", "none", "--stop-timeout", "0", "base", "sh", "-c", CHANGE)
    engine.wait_for_log("web", "ready")
    return "web"


def paths(changes, kind):
    return {entry["path"] for entry in changes[kind]}


def check(changes):
    # What the engine itself puts in (resolv.conf, hosts, mount points) is no business of this test.
    assert {"/new", "/new/file", "/new/link"} <= paths(changes, "added")
    assert {"/etc/group", "/home/user"} <= paths(changes, "removed")
    assert {"/etc/passwd", "/etc/os-release"} <= paths(changes, "changed")
    fields = {entry["path"]: entry["fields"] for entry in changes["changed"]}
    assert "content" in fields["/etc/passwd"] and fields["/etc/os-release"] == ["mode"]
    assert not any(path.startswith("/bin") for kind in changes.values() for path in
                   (entry["path"] for entry in kind if isinstance(entry, dict)))


def test_a_running_container_is_compared_with_its_image(engine, changed):
    check(json.loads(engine("image", "diff", "--format=json", "base", "container:web").out))
    assert engine("exec", "web", "cat", "/new/file").out == "hello\n"


def test_a_container_that_ended_is_compared_by_name_and_by_id(engine, changed):
    engine("stop", "-t", "0", "web")
    id = engine("ps", "-aq").out.strip()
    check(json.loads(engine("image", "diff", "--format=json", "base", f"container:{id[:6]}").out))
    text = engine("image", "diff", "base", "container:web").out
    assert "A /new/file" in text and "D /etc/group" in text and "C /etc/os-release" in text
    back = engine("image", "diff", "container:web", "base").out
    assert "D /new/file" in back and "A /etc/group" in back


def test_two_containers_are_compared(engine, changed):
    engine("create", "--name", "other", "base", "true")
    found = json.loads(engine("image", "diff", "--format=json", "container:other", "container:web").out)
    check(found)
    assert engine("image", "diff", "container:web", "container:web").out == "no difference\n"


def test_what_is_no_container_is_named(engine):
    done = engine("image", "diff", "base", "container:nobody", code=125)
    assert "nobody" in done.err and len(done.err.splitlines()) == 1
    assert "nobody" in engine("export", "nobody", code=125).err


def test_an_export_holds_the_images_files_and_the_containers(engine, changed):
    out = engine.root.parent / "web.tar"
    engine("export", "-o", out, "web")
    with tarfile.open(out) as tar:
        names = tar.getnames()
        assert tar.extractfile("new/file").read() == b"hello\n"
        assert tar.getmember("new/link").linkname == "file"
        assert "bin/busybox" in names and "etc/group" not in names and "home/user" not in names
        assert not any(".wh." in name for name in names)
        assert tar.getmember("bin/busybox").uid == 0 and tar.getmember("tmp").mode & 0o7777 == 0o1777
    engine("import", out, "copy")
    assert engine("image", "diff", "copy", "container:web").out == "no difference\n"
    assert engine("run", "--rm", "--network", "none", "copy", "cat", "/new/file").out == "hello\n"


def test_an_export_goes_through_a_pipe(hull, busybox_image):
    hull("create", "--name", "idle", busybox_image, "true")
    done = subprocess.run([str(word) for word in hull.arguments("export", "idle")], capture_output=True, check=True)
    assert len(done.stdout) > 500_000 and done.stdout[257:262] == b"ustar"


def test_an_archive_is_not_put_in_the_place_of_a_device(hull, busybox_image, scratch):
    """`hull save -o /dev/null` is written to, not renamed over."""
    null = scratch / "null"
    run("mknod", null, "c", "1", "3")
    if run("sh", "-c", f"echo x >{null}", check=False).code != 0:
        pytest.skip("needs device nodes that can be opened where the tests keep their files")
    hull("save", "-o", null, busybox_image)
    assert null.is_char_device()
    assert "is a folder" in hull("save", "-o", scratch, busybox_image, code=125).err
