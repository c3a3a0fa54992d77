"""Engines that drive hull-runtime. $HULL_COMPAT_RUNTIME puts a peer (runc, crun) in its place: a test that
fails with the peer as well says nothing about hull."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from harness.containerd_daemon import Containerd
from harness.docker_daemon import DockerDaemon
from harness.hull_command import OrdinaryUser
from harness.leftovers import Leftovers
from harness.needs import missing
from harness.podman_tool import PodmanTool
from harness.programs import run
from harness.rootfs import write_oci_layout


@pytest.fixture(scope="session")
def runtime_path(binaries):
    binaries.need("runtime")
    return Path(os.environ.get("HULL_COMPAT_RUNTIME") or binaries.runtime)


def _skip_without(*names):
    for name in names:
        if reason := missing(name):
            pytest.skip(reason)


@pytest.fixture(scope="module")
def docker(tmp_path_factory, runtime_path, busybox_tar):
    """A daemon for the whole file, with the image `busybox`; afterwards nothing of it may be left."""
    _skip_without("dockerd", "docker")
    before = Leftovers()
    directory = Path(tempfile.mkdtemp(prefix="htd-"))
    daemon = DockerDaemon(directory / "d", runtime_path)
    daemon.docker("import", "--change", 'CMD ["/bin/sh"]', busybox_tar, "busybox")
    yield daemon
    daemon.close()
    directory.rmdir()
    before.check(ignore=["/run/docker", "runtime-runc"])


@pytest.fixture(scope="module")
def podman(runtime_path, busybox_tar):
    _skip_without("podman", "conmon")
    before = Leftovers()
    with tempfile.TemporaryDirectory(prefix="htp-") as directory:
        tool = PodmanTool(Path(directory) / "p", runtime_path)
        tool.podman("import", "-q", "--change", 'CMD=["/bin/sh"]', busybox_tar, "localhost/busybox:latest")
        yield tool
        tool.close()
    # podman's own parents of pods and of conmon, left with any runtime.
    before.check(ignore=["libpod_parent"])


@pytest.fixture(scope="module")
def rootless_podman(runtime_path, busybox_tar):
    """podman and buildah as an ordinary user: podman runs the runtime as root of the user's own namespace."""
    _skip_without("podman", "conmon", "newuidmap", "userns")
    before = Leftovers()
    directory = Path(tempfile.mkdtemp(prefix="htr-"))
    directory.chmod(0o755)
    user = OrdinaryUser(f"hulltest{os.getpid() % 100000}", directory / "user")
    try:
        runtime, image = user.work / "hull-runtime", user.work / "busybox.tar"
        shutil.copy(runtime_path, runtime)
        shutil.copy(busybox_tar, image)
        image.chmod(0o644)
        tool = PodmanTool(user.home / "p", runtime, user.prefix, user.environment)
        run("chown", "-R", f"{user.uid}:{user.gid}", user.home)
        tool.podman("import", "-q", "--change", 'CMD=["/bin/sh"]', image, "localhost/busybox:latest")
        yield tool
        tool.close()
        tool.end_pause_process()
    finally:
        user.close()
        run("rm", "-rf", "--one-file-system", directory, check=False)
    before.check(ignore=["libpod_parent"])


@pytest.fixture(scope="module")
def containerd(runtime_path, busybox_rootfs):
    _skip_without("containerd", "ctr")
    before = Leftovers()
    with tempfile.TemporaryDirectory(prefix="htc-") as directory:
        daemon = Containerd(Path(directory) / "c", runtime_path)
        layout = write_oci_layout(busybox_rootfs, Path(directory) / "layout")
        archive = Path(directory) / "image.tar"
        run("tar", "-C", layout, "-cf", archive, ".")
        daemon.ctr("images", "import", "--base-name", "localhost/busybox", archive, timeout=300)
        yield daemon
        daemon.close()
    before.check()
