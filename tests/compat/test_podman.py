"""Podman with --runtime hull-runtime, as root."""

import json
import time

import pytest

IMAGE = "localhost/busybox:latest"
QUICK = ["--network", "none"]


@pytest.fixture
def sleeper(podman):
    name = podman.podman("run", "-d", *QUICK, IMAGE, "sleep", "300").out.strip()
    yield name
    podman.podman("rm", "-f", "-t", "0", name, check=False)


def test_run_passes_output_and_exit_codes(podman):
    assert podman.podman("run", "--rm", *QUICK, IMAGE, "echo", "hello").out == "hello\n"
    podman.podman("run", "--rm", *QUICK, IMAGE, "sh", "-c", "exit 7", code=7)
    podman.podman("run", "--rm", *QUICK, IMAGE, "no-such-program", code=127)
    podman.podman("run", "--rm", *QUICK, IMAGE, "/etc/passwd", code=126)


def test_stdin_reaches_the_container(podman):
    assert podman.podman("run", "--rm", "-i", *QUICK, IMAGE, "cat", input="typed\n").out == "typed\n"


def test_exec_kill_and_remove(podman, sleeper):
    assert podman.podman("exec", sleeper, "cat", "/proc/1/comm").out == "sleep\n"
    podman.podman("exec", sleeper, "sh", "-c", "exit 9", code=9)
    assert podman.podman("exec", "-u", "1000", "-w", "/tmp", "-e", "X=y", sleeper, "sh", "-c",
                         "id -u; pwd; echo $X").out == "1000\n/tmp\ny\n"
    podman.podman("kill", sleeper)
    assert podman.podman("wait", sleeper).out == "137\n"
    podman.podman("rm", sleeper)


def test_pause_top_stop_and_start(podman, sleeper):
    podman.podman("pause", sleeper)
    assert podman.podman("inspect", "-f", "{{.State.Status}}", sleeper).out == "paused\n"
    podman.podman("unpause", sleeper)
    assert "sleep" in podman.podman("top", sleeper, "comm").out
    podman.podman("stop", "-t", "0", sleeper)
    podman.podman("start", sleeper)
    assert podman.podman("inspect", "-f", "{{.State.Running}}", sleeper).out == "true\n"


def test_a_pod_shares_its_namespaces(podman):
    pod = podman.podman("pod", "create", "--infra=true", "--infra-image", IMAGE, "--infra-command", "sleep 300",
                        "--network", "none", "--name", "pod1", check=False)
    if pod.code != 0:
        pytest.skip(f"needs a pod that podman itself can make: {pod.err.strip()}")
    podman.podman("run", "-d", "--pod", "pod1", "--name", "first", IMAGE, "sh", "-c", "hostname; exec sleep 300")
    inside = [podman.podman("exec", "first", "readlink", f"/proc/self/ns/{kind}").out for kind in ("ipc", "net", "uts")]
    second = [podman.podman("run", "--rm", "--pod", "pod1", IMAGE, "readlink", f"/proc/self/ns/{kind}").out
              for kind in ("ipc", "net", "uts")]
    assert inside == second
    podman.podman("pod", "rm", "-f", "-t", "0", "pod1")


def test_a_user_namespace_of_its_own(podman):
    out = podman.podman("run", "--rm", *QUICK, "--uidmap", "0:200000:65536", "--gidmap", "0:200000:65536", IMAGE,
                        "cat", "/proc/self/uid_map").out
    assert out.split() == ["0", "200000", "65536"]


def test_healthcheck(podman):
    name = podman.podman("run", "-d", *QUICK, "--health-cmd", "test -e /healthy", "--health-interval", "disable", IMAGE,
                         "sh", "-c", "touch /healthy; exec sleep 300").out.strip()
    deadline = time.monotonic() + 20
    while podman.podman("healthcheck", "run", name, check=False).code != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert json.loads(podman.podman("inspect", name).out)[0]["State"]["Health"]["Status"] == "healthy"
    podman.podman("rm", "-f", "-t", "0", name)


def test_a_terminal(podman):
    out = podman.podman("run", "--rm", "-t", *QUICK, IMAGE, "tty").out
    assert out.strip() == "/dev/pts/0"


def test_read_only_and_capabilities(podman):
    done = podman.podman("run", "--rm", *QUICK, "--read-only", "--cap-drop", "all", "--cap-add", "kill", IMAGE, "sh",
                         "-c", "grep CapEff /proc/self/status; touch /x", code=1)
    assert int(done.out.split()[1], 16) == 1 << 5 and "Read-only" in done.err


def test_build_runs_its_steps_with_the_runtime(podman, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo built > /made && id -u >> /made\nUSER 1000\n"
                                         "RUN id -u >> /tmp/made\nCMD cat /made /tmp/made\n")
    podman.podman("build", "-q", *QUICK, "-t", "localhost/podman-made", tmp_path)
    assert podman.podman("run", "--rm", *QUICK, "localhost/podman-made").out == "built\n0\n1000\n"


def test_logs_and_stats(podman, sleeper):
    name = podman.podman("run", "-d", *QUICK, IMAGE, "sh", "-c", "echo up; exec sleep 300").out.strip()
    deadline = time.monotonic() + 20
    while podman.podman("logs", name).out != "up\n":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stats = podman.podman("stats", "--no-stream", "--format", "json", name)
    assert json.loads(stats.out)[0]["pids"] in ("1", 1)
    podman.podman("rm", "-f", "-t", "0", name)


def test_a_health_check_inside_a_pod(podman):
    pod = podman.podman("pod", "create", "--infra=false", "--name", "pod2").out.strip()
    name = podman.podman("run", "-d", "--pod", pod, "--health-cmd", "test -e /healthy", "--health-interval", "disable", IMAGE,
                         "sh", "-c", "touch /healthy; exec sleep 300").out.strip()
    deadline = time.monotonic() + 20
    while podman.podman("healthcheck", "run", name, check=False).code != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert podman.podman("pod", "ps", "--format", "{{.Status}}").out == "Running\n"
    podman.podman("pod", "rm", "-f", "-t", "0", pod)


def test_memory_and_pids_limits(podman):
    done = podman.podman("run", "--rm", *QUICK, "--memory", "32m", "--memory-swap", "32m", IMAGE, "sh", "-c",
                         "exec tail /dev/zero", check=False)
    assert done.code == 137
    done = podman.podman("run", "--rm", *QUICK, "--pids-limit", "5", IMAGE, "sh", "-c",
                         "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait", check=False)
    assert "can't fork" in done.err
