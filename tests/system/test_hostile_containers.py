"""A program in a default container, and an image, that want to hurt: the host's memory and disk, whoever looks at
them from a terminal, whoever removes them. Each test shows the attack and what is left of it."""

import json
import os
import pty
import re
import subprocess
import tarfile
import time

import pytest

from harness.programs import run
from harness.rootfs import write_oci_layout

STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")


@pytest.fixture
def inside(hull, busybox_image):
    """Runs shell text in a new default container."""

    def call(text, *options, **how):
        return hull("run", "--rm", *options, busybox_image, "sh", "-c", text, **how)

    return call


@pytest.fixture
def load(hull, busybox_rootfs, scratch):
    """load(settings) makes an image of busybox with these settings; answers its name."""

    def make(settings):
        layout = write_oci_layout(busybox_rootfs, scratch / "layout", config=settings)
        archive = scratch / "hostile.tar"
        with tarfile.open(archive, "w") as out:
            out.add(layout, ".")
        hull("load", "-q", "-i", archive)
        return hull("images", "-q").out.split()[0]

    return make


# --- memory and disk of the host --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hosts", "hostname", "resolv.conf"])
def test_a_file_of_hulls_in_etc_does_not_fill_the_host(inside, name):
    done = inside(f"dd if=/dev/zero of=/etc/{name} bs=1M count=64; wc -c < /etc/{name}")
    assert "No space left" in done.err, done.err
    assert int(done.out) <= 4 << 20


def test_small_file_systems_hold_no_more_files_than_pages(inside):
    done = inside("for d in /dev /dev/shm /t; do cd $d; seq 1 40000 | xargs touch 2>&1 | grep -m1 -o 'No space left';"
                  "ls | wc -l; done", "--tmpfs", "/t:size=16m")
    lines = done.out.split("\n")
    for place, most in enumerate((16384, 16384, 4096)):
        assert lines[2 * place] == "No space left", done.out
        assert int(lines[2 * place + 1]) <= most, done.out


def test_what_a_container_says_does_not_fill_the_disk(hull, busybox_image):
    hull("run", "-d", "--name", "loud", busybox_image, "sh", "-c", "head -c 160000000 /dev/zero | tr '\\0' a; echo; echo end")
    hull("wait", "loud")
    id = hull.inspect("loud")["Id"]
    written = sum(path.stat().st_size for path in (hull.root / "containers" / id).glob("container.log*"))
    assert 10 << 20 < written < 110 << 20
    assert hull("logs", "--tail", "1", "loud").out == "end\n"


def test_the_last_lines_come_from_all_files_of_a_log(hull, busybox_image):
    hull("run", "--name", "turns", "--log-opt", "max-size=2k", "--log-opt", "max-file=3", busybox_image, "sh", "-c",
         "for i in $(seq 1 100); do echo line $i; usleep 2000; done")
    assert hull("logs", "--tail", "30", "turns").out == "".join(f"line {i}\n" for i in range(71, 101))


def test_who_follows_a_log_follows_it_into_the_next_file(hull, busybox_image):
    hull("run", "-d", "--name", "turns", "--log-opt", "max-size=2k", "--log-opt", "max-file=2", busybox_image, "sh",
         "-c", "mkfifo /go; read x < /go; for i in $(seq 1 100); do echo line $i; usleep 10000; done")
    follower = hull.popen("logs", "-f", "turns")
    hull("exec", "turns", "sh", "-c", "until [ -p /go ]; do usleep 1000; done; echo > /go")
    out, err = follower.communicate(timeout=60)
    lines = out.split("\n")
    assert lines[0] == "line 1" and lines[-2] == "line 100", (out, err)


def test_a_full_disk_is_said_once(hull, busybox_image, scratch):
    """The monitor's own record of it lies in the run directory, which a flood must not fill either."""
    small = scratch / "small"
    small.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small)
    try:
        hull.root = small / "data"
        run("cp", "-a", scratch / "data", small / "data")
        hull("run", "-d", "--name", "flood", busybox_image, "sh", "-c",
             "head -c 60000000 /dev/zero | tr '\\0' a; sleep 1000")
        id = hull.inspect("flood")["Id"]
        said = hull.runroot / id / "monitor.log"
        for _ in range(200):
            if said.exists() and said.stat().st_size > 0:
                break
            time.sleep(0.05)
        time.sleep(0.5)
        text = said.read_text()
        run("mount", "-o", "remount,size=64m", small)
        hull("rm", "-f", "flood")
        assert text.count("write the container's log") == 1
    finally:
        hull.root = scratch / "data"
        run("umount", "-l", small)


# --- removal ------------------------------------------------------------------------------------------


def test_folders_nested_thousands_deep_are_removed(hull, busybox_image):
    deep = "cd {}; i=0; while [ $i -lt 4000 ]; do mkdir d; cd d; i=$((i+1)); done; echo done"
    out = hull("run", "--name", "deep", "-v", "pit:/pit", busybox_image, "sh", "-c",
               f"({deep.format('/tmp')}); ({deep.format('/pit')})", timeout=120).out
    assert out == "done\ndone\n"
    hull.prefix = ["prlimit", "--nofile=256"]
    hull("rm", "deep", timeout=120)
    hull("volume", "rm", "pit", timeout=120)
    assert not list((hull.root / "trash").iterdir())
    assert not list((hull.root / "volumes").iterdir())


# --- hull's own state ---------------------------------------------------------------------------------


def test_hulls_own_files_are_not_bound_into_a_container(hull, inside, scratch):
    inside("true")  # makes both folders
    link = scratch / "link"
    link.symlink_to(hull.runroot)
    other_name = scratch / "other-name"
    other_name.mkdir()
    run("mount", "--bind", hull.runroot.parent, other_name)
    try:
        for source in (hull.runroot, hull.runroot / "runtime", hull.root, hull.root / "layers", scratch, "/", link,
                       link / "runtime", other_name, other_name / hull.runroot.name):
            for options in (["-v", f"{source}:/x:ro"], ["--mount", f"type=bind,source={source},target=/x"]):
                refused = inside("true", *options, code=125)
                assert "hull's own files" in refused.err and "--allow-engine-socket" in refused.err, (source, refused)
        (scratch / "mine").mkdir()
        assert inside("echo fine", "-v", f"{scratch}/mine:/x").out == "fine\n"
        allowed = inside("ls /x", "-v", f"{hull.runroot}:/x:ro", "--allow-engine-socket")
        assert "runtime" in allowed.out.split()
        assert "all that hull can do" in allowed.err
    finally:
        run("umount", "-l", other_name)


def test_an_ordinary_user_may_share_its_home_but_not_the_sockets(rootless_hull, busybox_tar, ordinary_user):
    hull = rootless_hull
    run("cp", busybox_tar, ordinary_user.work / "busybox.tar")
    hull("import", ordinary_user.work / "busybox.tar", "busybox")
    assert hull("run", "--rm", "-v", f"{ordinary_user.home}:/x", "busybox", "echo", "fine").out == "fine\n"
    refused = hull("run", "--rm", "-v", f"{ordinary_user.runtime_directory}:/x", "busybox", "true", code=125)
    assert "hull's own files" in refused.err


# --- terminals of those who look ------------------------------------------------------------------------


def seen_on_a_terminal(*command):
    """What a command writes to a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(list(map(str, command)), stdout=slave, stderr=slave, stdin=subprocess.DEVNULL)
    os.close(slave)
    seen = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    process.wait(timeout=60)
    os.close(master)
    return seen.decode(errors="surrogateescape").replace("\r\n", "\n")


def test_no_text_of_an_image_steers_a_terminal(hull, load):
    evil = "\x1b]0;owned\x07\x9b31m\u202e\x7f"
    image = load({"Cmd": ["sh", "-c", f"sleep 1000 # {evil}\n#"], "Labels": {evil: evil}, "User": "0"})
    hull("run", "-d", "--name", "evil", "-l", f"x={evil}", image)
    for words in (["ps", "-a"], ["ps", "--no-trunc"], ["inspect", "evil"], ["images"],
                  ["ps", "--format", "{{.Command}} {{.Labels}}"]):
        assert not STEERING.search(seen_on_a_terminal(*hull.arguments(*words))), words
    rows = hull("ps", "--no-trunc").out
    assert not STEERING.search(rows) and len(rows.splitlines()) == 2
    assert json.loads(hull("inspect", "evil").out)[0]["Config"]["Labels"][evil] == evil  # the truth, for programs


@pytest.mark.parametrize("arguments", [["-u", "n\x1b[31mo"], ["-w", "/proc/1/\x1b[31mx"], ["-v", "/none\x9b31m:relative"]])
def test_no_error_steers_a_terminal(hull, busybox_image, arguments):
    err = hull("run", "--rm", *arguments, busybox_image, "true", check=False).err
    assert err and not STEERING.search(err), err
    err = hull("run", "--rm", busybox_image, "/bin/\x1b[31mno", code=127).err
    assert not STEERING.search(err) and "\\x1b[31mno" in err, err


# --- settings of an image ---------------------------------------------------------------------------------


def test_an_id_that_is_none_never_leaves_root(hull, busybox_image):
    """setresuid(2) takes 4294967295 for "as it is"."""
    lines = "worker:x:4294967295:4294967295::/:/bin/sh\\nbig:x:2147483648:1::/:/bin/sh\\n"
    hull("run", "-d", "--name", "made", busybox_image, "sh", "-c",
         f"printf '{lines}' >> /etc/passwd; printf 'g:x:4294967295:\\n' >> /etc/group; touch /ready; sleep 1000")
    hull("exec", "made", "sh", "-c", "until [ -e /ready ]; do usleep 1000; done")
    for user in ("worker", "big", "0:g", "4294967295", "0:4294967295"):
        refused = hull("exec", "-u", user, "made", "id", check=False)
        assert refused.code != 0 and "uid=0" not in refused.out, (user, refused)


def test_a_volume_in_the_place_of_the_root_is_refused(hull, load):
    image = load({"Cmd": ["true"], "Volumes": {"/": {}, "/a/..": {}}})
    assert "a volume in the place of the whole root" in hull("run", "--rm", image, code=125).err
