"""A Debian root from debootstrap goes through a registry and runs, as root and as an ordinary user."""

import pytest

from harness.rootfs import write_oci_layout


@pytest.fixture(scope="module")
def debian_layout(debian_rootfs, tmp_path_factory):
    return write_oci_layout(debian_rootfs, tmp_path_factory.mktemp("debian") / "layout",
                            config={"Cmd": ["bash"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("who", ["hull", "rootless_hull"])
def test_pull_and_run(request, registry, debian_layout, compression, who):
    hull = request.getfixturevalue(who)
    image = registry().push(f"oci:{debian_layout}:latest", "debian:12", f"--dest-compress-format={compression}",
                            "--dest-compress")
    hull("pull", image, timeout=300)
    assert hull("run", "--rm", image, "apt-get", "--version").out.startswith("apt ")
    assert hull("run", "--rm", image, "perl", "-e", "print 42").out == "42"
    hull("run", "--rm", image, "sh", "-c", "exit 7", code=7)
    # What the image owns keeps its owner, and what is setuid gains nothing.
    out = hull("run", "--rm", image, "stat", "-c", "%u:%g %a", "/etc/shadow", "/usr/bin/passwd").out.splitlines()
    assert out == ["0:42 640", "0:0 4755"]
    assert hull("run", "--rm", "-u", "nobody", image, "cat", "/etc/shadow", check=False).code == 1
