"""hull-monitor: started before it is known what for, and standing by a container in the host's own mounts."""

import os
import sqlite3
from pathlib import Path

from harness.waiting import wait_until


def monitors_in(directory):
    """hull-monitor processes that were started in `directory` and have no work yet."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.readlink(entry / "cwd") == str(directory) and b"hull-monitor" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def mount_namespace(pid):
    return os.readlink(f"/proc/{pid}/ns/mnt")


def locked_database(hull):
    """Nobody can record a container until it is rolled back."""
    hull("ps")  # makes it
    database = sqlite3.connect(hull.root / "hull.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    return database


def test_a_run_that_fails_early_leaves_no_monitor(hull, tmp_path):
    hull("run", "--rm", "--pull", "never", "no-such-image", "true", code=125, cwd=tmp_path)
    assert monitors_in(tmp_path) == []


def test_a_monitor_without_work_ends_with_its_command_line(hull, busybox_image, tmp_path):
    database = locked_database(hull)
    child = hull.popen("run", "--rm", busybox_image, "true", cwd=tmp_path)
    wait_until(lambda: monitors_in(tmp_path), "the monitor has been started")
    child.kill()
    child.communicate()
    wait_until(lambda: not monitors_in(tmp_path), "it has ended")
    database.execute("ROLLBACK")
    database.close()
    assert hull("ps", "-aq").out == ""


def test_a_monitor_that_is_killed_before_its_work_fails_the_run(hull, busybox_image, tmp_path):
    database = locked_database(hull)
    child = hull.popen("run", "--rm", busybox_image, "true", cwd=tmp_path)
    wait_until(lambda: monitors_in(tmp_path), "the monitor has been started")
    for pid in monitors_in(tmp_path):
        os.kill(pid, 9)
    database.execute("ROLLBACK")
    database.close()
    _, err = child.communicate(timeout=30)
    assert child.returncode == 125 and "monitor" in err
    assert hull("ps", "-aq").out == ""


def test_a_running_container_has_its_mounts_to_itself(hull, busybox_image):
    hull("run", "-d", "--name", "c1", busybox_image, "sleep", "300")
    init = hull.inspect("c1")["State"]["Pid"]
    wait_until(lambda: mount_namespace(parent_of(init)) == mount_namespace("self"),
               "the monitor is back in the host's mount namespace")
    assert mount_namespace(init) != mount_namespace("self")
    assert str(hull.runroot) not in Path("/proc/self/mountinfo").read_text()
    assert hull("exec", "c1", "cat", "/etc/hostname").out == hull.inspect("c1")["Config"]["Hostname"] + "\n"
    hull("rm", "-f", "c1")
