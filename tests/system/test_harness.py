"""What the other tests stand on does what it says: root file systems, registry, user, skip reasons."""

import json
import os

import pytest

from harness.needs import missing
from harness.programs import run


def test_the_busybox_root_runs_its_applets(busybox_rootfs):
    assert run("chroot", busybox_rootfs, "/bin/sh", "-c", "echo hello | tr a-z A-Z").out == "HELLO\n"


@pytest.mark.needs("runc")
def test_a_bundle_is_one_that_runc_accepts(bundle, scratch):
    made = bundle(args=["sh", "-c", "exit 9"])
    run("runc", "--root", scratch / "runc", "run", "--bundle", made, f"harness-{os.getpid()}", code=9)


def test_the_registry_serves_what_skopeo_pushed(registry, scratch, busybox_rootfs):
    from harness.rootfs import write_oci_layout
    layout = write_oci_layout(busybox_rootfs, scratch / "layout")
    running = registry()
    running.push(f"oci:{layout}:latest", "busybox:zstd", "--dest-compress-format=zstd")
    status, body = running.get("busybox/tags/list")
    assert status == 200 and json.loads(body)["tags"] == ["zstd"]


def test_a_registry_with_basic_auth_refuses_the_unknown(registry):
    running = registry(basic_auth=True)
    assert running.get("")[0] == 401
    done = run("curl", "-s", "-u", f"{running.user}:{running.password}", "-o", "/dev/null", "-w", "%{http_code}",
               f"http://{running.host}/v2/")
    assert done.out == "200"


def test_the_ordinary_user_is_nobody_special(ordinary_user):
    assert ordinary_user.run("id", "-u").out.strip() == str(ordinary_user.uid)
    assert "CapEff:\t0000000000000000" in ordinary_user.run("cat", "/proc/self/status").out
    assert any(line.startswith(ordinary_user.name + ":") for line in open("/etc/subuid"))


def test_a_skip_names_what_is_missing():
    assert missing("no-such-program-here") == "needs no-such-program-here (apt-get install no-such-program-here)"
    assert missing("cgroup:nosuch") == "needs the cgroup controller nosuch"


def test_leftovers_sees_a_mount_and_a_cgroup(leftovers, scratch):
    run("mount", "-t", "tmpfs", "none", scratch)
    try:
        with pytest.raises(AssertionError, match=f"mounts: {scratch}"):
            leftovers.check(patience=0)
    finally:
        run("umount", scratch)
    leftovers.check()
