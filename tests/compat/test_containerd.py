"""containerd's runc shim with hull-runtime as its binary, driven by ctr."""

import time

import pytest

IMAGE = "localhost/busybox:latest"


def status(containerd, name):
    for line in containerd.ctr("tasks", "ls").out.splitlines():
        if line.split()[0] == name:
            return line.split()[2]
    return None


def wait_for(containerd, name, wanted):
    deadline = time.monotonic() + 20
    while status(containerd, name) != wanted:
        assert time.monotonic() < deadline, f"{name} is {status(containerd, name)}, not {wanted}"
        time.sleep(0.05)


@pytest.fixture
def task(containerd):
    containerd.run_container("-d", IMAGE, "task", "sleep", "300")
    yield "task"
    containerd.ctr("tasks", "kill", "-s", "SIGKILL", "task", check=False)
    containerd.ctr("tasks", "rm", "-f", "task", check=False)
    containerd.ctr("containers", "rm", "task", check=False)


def test_run_prints_and_passes_the_exit_code(containerd):
    assert containerd.run_container("--rm", IMAGE, "c1", "echo", "hello").out == "hello\n"
    containerd.run_container("--rm", IMAGE, "c2", "sh", "-c", "exit 7", code=7)


def test_a_failing_start_says_why(containerd):
    done = containerd.run_container("--rm", IMAGE, "c3", "no-such-program", check=False)
    assert done.code != 0 and "executable file not found" in done.err


def test_exec_pause_resume_kill_and_delete(containerd, task):
    wait_for(containerd, task, "RUNNING")
    assert containerd.ctr("tasks", "exec", "--exec-id", "e1", task, "cat", "/proc/1/comm").out == "sleep\n"
    containerd.ctr("tasks", "exec", "--exec-id", "e2", task, "sh", "-c", "exit 9", code=9)
    containerd.ctr("tasks", "pause", task)
    wait_for(containerd, task, "PAUSED")
    containerd.ctr("tasks", "resume", task)
    wait_for(containerd, task, "RUNNING")
    assert len(containerd.ctr("tasks", "ps", task).out.splitlines()) == 2
    containerd.ctr("tasks", "kill", "-s", "SIGKILL", task)
    wait_for(containerd, task, "STOPPED")


def test_metrics(containerd, task):
    out = containerd.ctr("tasks", "metrics", task).out
    assert "memory.usage_in_bytes" in out or "memory.usage" in out, out
