"""Fixtures of the system and compat tests. They drive the release binaries in build/bin, as root.

    hull            the command, with its own --root and --runroot; afterwards nothing may be left
    rootless_hull   the same as an ordinary user
    busybox_image   name of an image imported into `hull` (busybox, all applets)
    runtime         hull-runtime with its own --root
    bundle          factory: bundle(args=[...], change=lambda config: ...) -> Bundle
    busybox_rootfs, busybox_tar, debian_rootfs   paths, made once and cached in build/test-cache; read only
    image           hull-image by itself, with its own --root; rootless_image the same as an ordinary user
    fake_registry   a registry that can be told to misbehave
    registry        factory: registry(basic_auth=False, tls=False) -> Registry on 127.0.0.1
    ordinary_user   a user with subordinate ids
    leftovers       a snapshot of the host; leftovers.check() fails on what is new
    scratch         an empty directory with a short path, removed afterwards
    payload         path of the static test program (tests/payload.cpp)

@pytest.mark.needs("podman", "cgroup:memory", ...) skips with the reason; harness/needs.py lists the names.
"""

import itertools
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import rootfs as images  # noqa: E402
from harness.bundles import Runtime, make_bundle  # noqa: E402
from harness.fake_registry import FakeRegistry  # noqa: E402
from harness.hull_command import Hull, OrdinaryUser  # noqa: E402
from harness.image_tool import ImageTool  # noqa: E402
from harness.leftovers import Leftovers  # noqa: E402
from harness.needs import missing  # noqa: E402
from harness.programs import SOURCE, Binaries  # noqa: E402
from harness.registry import Registry  # noqa: E402


def pytest_runtest_setup(item):
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            if reason := missing(name):
                pytest.skip(reason)
    if reason := missing("root"):
        pytest.skip(reason)


def pytest_runtest_logreport(report):
    """Tells ./dev test why a test was skipped; it prints that before ctest's summary."""
    log = os.environ.get("HULL_SKIP_LOG")
    if log and report.skipped and isinstance(report.longrepr, tuple):
        with open(log, "a") as out:
            out.write(f"{report.nodeid}: {report.longrepr[2].removeprefix('Skipped: ')}\n")


@pytest.fixture(scope="session")
def binaries():
    return Binaries()


@pytest.fixture
def scratch():
    path = Path(tempfile.mkdtemp(prefix=f"ht{os.getpid()}-"))  # short: a unix socket's path has 107 characters
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def leftovers():
    return Leftovers()


@pytest.fixture(scope="session")
def busybox_rootfs():
    return images.busybox_rootfs()


@pytest.fixture(scope="session")
def busybox_tar():
    return images.busybox_tar()


@pytest.fixture(scope="session")
def debian_rootfs():
    if reason := missing("debootstrap"):
        pytest.skip(reason)
    return images.debian_rootfs()


@pytest.fixture(scope="session")
def payload():
    path = SOURCE / "build/release/tests/payload"
    assert path.exists(), f"{path} is not built: run ./dev build"
    return path


@pytest.fixture
def bundle(scratch, busybox_rootfs):
    numbers = itertools.count(1)

    def make(args=("true",), change=None, terminal=False, rootfs=None):
        return make_bundle(scratch / f"bundle{next(numbers)}", rootfs or busybox_rootfs, args, change, terminal)

    return make


@pytest.fixture
def runtime(binaries, scratch):
    binaries.need("runtime")
    before = Leftovers()
    it = Runtime(binaries.runtime, scratch / "runtime")
    yield it
    left, remaining = it.close()
    assert not left, f"the test left containers: {left}"
    assert not remaining, f"hull-runtime left in its --root: {remaining}"
    before.check()


@pytest.fixture
def hull(binaries, scratch):
    binaries.need("hull", "runtime", "monitor", "image")
    before = Leftovers()
    it = Hull(binaries.hull, scratch / "data", scratch / "run")
    yield it
    it.close()
    before.check()


@pytest.fixture
def busybox_image(hull, busybox_tar):
    hull("import", busybox_tar, "busybox")
    return "busybox"


@pytest.fixture
def ordinary_user(scratch):
    if reason := missing("newuidmap") or missing("userns"):
        pytest.skip(reason)
    user = OrdinaryUser(f"hulltest{os.getpid() % 100000}", scratch / "user")
    yield user
    user.close()


@pytest.fixture
def rootless_hull(binaries, ordinary_user):
    binaries.need("hull", "runtime", "monitor", "image")
    before = Leftovers()
    own = binaries.copied_to(ordinary_user.work / "bin")
    it = Hull(own.hull, ordinary_user.home / "data", ordinary_user.runtime_directory / "run",
              ordinary_user.prefix, ordinary_user.environment)
    yield it
    it.close()
    before.check()


@pytest.fixture
def registry(scratch):
    if reason := missing("docker-registry") or missing("skopeo"):
        pytest.skip(reason)
    running = []

    def start(basic_auth=False, tls=False):
        running.append(Registry(scratch / f"registry{len(running)}", basic_auth, tls))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def image(binaries, scratch):
    binaries.need("image")
    it = ImageTool(binaries.image, scratch / "data", scratch / "run")
    yield it
    it.close()


@pytest.fixture
def rootless_image(binaries, ordinary_user):
    binaries.need("image")
    own = binaries.copied_to(ordinary_user.work / "bin")
    it = ImageTool(own.image, ordinary_user.home / "data", ordinary_user.runtime_directory / "run",
                   ordinary_user.prefix, ordinary_user.environment)
    yield it
    it.close()


@pytest.fixture
def fake_registry():
    started = FakeRegistry()
    yield started
    started.close()
