"""Many runs, some with their command line, monitor or container killed with -9 at random moments. After one
more hull command nothing of them is left on the host. $HULL_KILL_RUNS sets how many (500 for the long run)."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from harness.leftovers import Leftovers, is_zombie, take

RUNS = int(os.environ.get("HULL_KILL_RUNS", "60"))


def pids_of(program, run_directory):
    """Processes of a hull binary that name this run directory (or a file in it) on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.path.basename(os.readlink(entry / "exe")) != program:
                continue
            line = (entry / "cmdline").read_bytes() + os.readlink(entry / "cwd").encode()
        except OSError:
            continue
        if str(run_directory).encode() in line:
            found.append(int(entry.name))
    return found


def kill_one(pids):
    if pids:
        try:
            os.kill(random.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            pass


def is_alive(pid):
    """A zombie is dead: whoever is pid 1 here reaps it when it likes."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def state_files(hull):
    """Every file under the run directory, and under the data directory but for images and the database."""
    found = {str(path) for path in hull.runroot.rglob("*") if not path.is_dir() or path.parent == hull.runroot}
    for name in ("snapshots", "containers"):
        if (hull.root / name).exists():
            found.update(str(path) for path in (hull.root / name).iterdir())
    return found


@pytest.mark.timeout(1800)
def test_nothing_is_left_after_random_kills(hull, busybox_image):
    seed = random.randrange(1 << 30)
    random.seed(seed)
    print(f"seed {seed}, {RUNS} runs")
    hull("run", "--rm", busybox_image, "true")
    leftovers, files_before = Leftovers(), state_files(hull)
    print("before:", leftovers.before.numbers(), f"{len(files_before)} state files")
    victims = {"nobody": 0, "command line": 0, "monitor": 0, "container": 0}
    for number in range(RUNS):
        words = random.choice((["true"], ["sh", "-c", "sleep 0.02; echo x"], ["sleep", "30"]))
        victim = random.choice(list(victims)) if words != ["sleep", "30"] else random.choice(list(victims)[1:])
        victims[victim] += 1
        name = f"r{number}"
        child = hull.popen("run", "--rm", "--name", name, busybox_image, *words)
        time.sleep(random.random() * 0.04)
        if victim == "command line":
            child.kill()
        elif victim == "monitor":
            kill_one(pids_of("hull-monitor", hull.runroot))
        elif victim == "container":
            hull("kill", "-s", "KILL", name, check=False)
        if words == ["sleep", "30"] and victim != "command line":
            hull("rm", "-f", name, check=False)
        child.communicate(timeout=40)
    for name in hull("ps", "-a", "--format", "{{.Names}}").out.split():
        hull("rm", "-f", name, check=False)
    assert hull("ps", "-aq").out == ""
    deadline = time.monotonic() + 10
    while (leftovers.new() or state_files(hull) - files_before) and time.monotonic() < deadline:
        time.sleep(0.1)
    after, files_after = take(), state_files(hull)
    print("killed:", victims)
    print("after: ", after.numbers(), f"{len(files_after)} state files")
    leftovers.check(patience=0)
    assert files_after <= files_before, files_after - files_before
    assert hull("run", "--rm", busybox_image, "echo", "fine").out == "fine\n"


def test_a_killed_monitor_leaves_an_exited_record(hull, busybox_image):
    hull("run", "-d", "--name", "c1", busybox_image, "sleep", "300")
    init = hull.inspect("c1")["State"]["Pid"]
    for pid in pids_of("hull-monitor", hull.runroot):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    rows = hull("ps", "-a", "--format", "{{.Names}} {{.State}}").out
    assert rows == "c1 exited\n"
    assert not is_alive(init)
    hull("start", "c1")
    assert hull.inspect("c1")["State"]["Status"] == "running"
    hull("rm", "-f", "c1")


def test_a_killed_container_is_seen_as_exited(hull, busybox_image):
    hull("run", "-d", "--name", "c1", busybox_image, "sleep", "300")
    os.kill(hull.inspect("c1")["State"]["Pid"], signal.SIGKILL)
    assert hull("wait", "c1").out == "137\n"
    assert hull("ps", "-a", "--format", "{{.Names}} {{.State}}").out == "c1 exited\n"
    hull("rm", "c1")
