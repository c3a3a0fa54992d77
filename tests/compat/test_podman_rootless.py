"""Podman and buildah with hull-runtime as an ordinary user."""

import json

import pytest

from harness.waiting import wait_until

IMAGE = "localhost/busybox:latest"
QUICK = ["--network", "none"]


@pytest.fixture
def sleeper(rootless_podman):
    name = rootless_podman.podman("run", "-d", *QUICK, IMAGE, "sh", "-c", "echo up; exec sleep 300").out.strip()
    yield name
    rootless_podman.podman("rm", "-f", "-t", "0", name, check=False)


def test_run_passes_output_and_exit_codes(rootless_podman):
    podman = rootless_podman.podman
    out = podman("run", "--rm", *QUICK, IMAGE, "sh", "-c", "id -u; cat /proc/self/uid_map; cat /proc/1/comm").out.split()
    assert out[0] == "0" and out[1] == "0" and out[2] != "0" and out[-1] == "cat"
    podman("run", "--rm", *QUICK, IMAGE, "sh", "-c", "exit 7", code=7)
    podman("run", "--rm", *QUICK, IMAGE, "no-such-program", code=127)
    podman("run", "--rm", *QUICK, IMAGE, "/etc/passwd", code=126)
    assert podman("run", "--rm", "-i", *QUICK, IMAGE, "cat", input="typed\n").out == "typed\n"


def test_users_other_than_root(rootless_podman):
    out = rootless_podman.podman("run", "--rm", *QUICK, "--user", "1000:50", IMAGE, "sh", "-c",
                                 "id -u; id -g; touch /tmp/x && stat -c %u /tmp/x").out
    assert out.split() == ["1000", "50", "1000"]
    rootless_podman.podman("run", "--rm", *QUICK, "--user", "99999", IMAGE, "true", check=False)


def test_exec_logs_top_and_kill(rootless_podman, sleeper):
    podman = rootless_podman.podman
    assert podman("exec", sleeper, "cat", "/proc/1/comm").out == "sleep\n"
    podman("exec", sleeper, "sh", "-c", "exit 9", code=9)
    assert podman("exec", "-u", "1000", "-w", "/tmp", "-e", "X=y", sleeper, "sh", "-c", "id -u; pwd; echo $X").out == "1000\n/tmp\ny\n"
    wait_until(lambda: podman("logs", sleeper).out == "up\n", "the log has the container's line")
    assert "sleep" in podman("top", sleeper, "comm").out
    podman("stop", "-t", "0", sleeper)
    podman("start", sleeper)
    assert json.loads(podman("inspect", sleeper).out)[0]["State"]["Running"]
    podman("kill", sleeper)
    assert podman("wait", sleeper).out == "137\n"


def test_a_terminal(rootless_podman):
    assert rootless_podman.podman("run", "--rm", "-t", *QUICK, IMAGE, "tty").out.strip() == "/dev/pts/0"


def test_volumes(rootless_podman):
    podman = rootless_podman.podman
    podman("volume", "create", "kept")
    podman("run", "--rm", *QUICK, "-v", "kept:/v", IMAGE, "sh", "-c", "echo 1 > /v/x")
    assert podman("run", "--rm", *QUICK, "-v", "kept:/v:ro", IMAGE, "cat", "/v/x").out == "1\n"
    podman("volume", "rm", "kept")


def test_healthcheck(rootless_podman):
    podman = rootless_podman.podman
    name = podman("run", "-d", *QUICK, "--health-cmd", "test -e /healthy", "--health-interval", "disable", IMAGE,
                  "sh", "-c", "touch /healthy; exec sleep 300").out.strip()
    wait_until(lambda: podman("healthcheck", "run", name, check=False).code == 0, "it is healthy")
    podman("rm", "-f", "-t", "0", name)


def test_podman_and_buildah_build(rootless_podman):
    context = rootless_podman.directory / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo built > /made && id -u >> /made\nUSER 1000\n"
                                        "RUN id -u >> /tmp/made\nCMD cat /made /tmp/made\n")
    rootless_podman.podman("build", "-q", "--isolation", "oci", *QUICK, "-t", "localhost/one", context)
    rootless_podman.buildah("bud", "--isolation", "oci", "--runtime", rootless_podman.runtime, *QUICK, "-q", "-t",
                            "localhost/two", context)
    for name in ("one", "two"):
        assert rootless_podman.podman("run", "--rm", *QUICK, f"localhost/{name}").out == "built\n0\n1000\n"
