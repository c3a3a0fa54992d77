"""kill -9 of hull-runtime at every step of create, run, start, exec and delete: `state` never lies, and the
next `delete --force` leaves nothing. HULL_DEBUG_PAUSE_AT stops the command at the step."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness.leftovers import cgroups
from harness.waiting import wait_until

CREATE_STEPS = ["directory_made", "state_saved", "cgroup_made", "child_made", "pid_saved", "hooks", "launched"]
DELETE_STEPS = ["process_ended", "cgroup_removed", "directory_removed"]


def stat_of(pid):
    """(state letter, parent) of a process; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1])


def pause_then_kill(runtime, step, *args):
    """Runs a command up to `step` and kills it there."""
    command = subprocess.Popen([str(a) for a in runtime.arguments(*args)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "HULL_DEBUG_PAUSE_AT": step})
    try:
        wait_until(lambda: command.poll() is not None or stat_of(command.pid)[0] == "T", f"the pause at {step}")
        assert command.poll() is None, f"{args[0]} never came to {step}: exit {command.returncode}"
    finally:
        command.kill()
        command.wait()


def asked_state(runtime, id):
    done = runtime("state", id, check=False)
    if done.code != 0:
        assert "does not exist" in done.err
        return None
    return json.loads(done.out)


def told_state(runtime, id):
    """What `state` says, checked against the process it names."""
    state = asked_state(runtime, id)
    if state is None:
        return None
    if state["status"] in ("created", "running", "paused"):
        found = stat_of(state["pid"])
        if found is None or found[0] == "Z":  # it may have ended after the answer: now it must be told
            state = asked_state(runtime, id)
            assert state is None or state["status"] in ("stopped", "creating"), f"{state}, the process is {found}"
    return state["status"] if state else None


def processes_in(id):
    """Living processes of the container; what has ended and was not yet reaped by its new parent is none."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if id in (entry / "cgroup").read_text() and stat_of(entry.name)[0] != "Z":
                    found.append(entry.name)
            except (OSError, TypeError):
                pass  # gone meanwhile
    return found


def nothing_left(runtime, id):
    assert not (runtime.root / id).exists()
    assert not [path for path in cgroups() if id in path]
    assert not processes_in(id)


def with_hooks(config):
    config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}


@pytest.mark.parametrize("step", CREATE_STEPS)
def test_create_killed(runtime, bundle, step):
    id = runtime.new_id(step)
    pause_then_kill(runtime, step, "create", "--bundle", bundle(["sleep", "300"], with_hooks), id)
    # The half-made process ends with its creator; only one that waits for its start stays.
    wait_until(lambda: told_state(runtime, id) in (None, "stopped", "created"), "the state is settled")
    runtime("delete", "--force", id)
    nothing_left(runtime, id)
    again = runtime.create(bundle(["true"]), name="again")
    runtime("delete", "--force", again)


@pytest.mark.parametrize("step", CREATE_STEPS + ["started"])
def test_run_killed(runtime, bundle, step):
    id = runtime.new_id(step)
    pause_then_kill(runtime, step, "run", "--bundle", bundle(["sleep", "300"], with_hooks), id)
    # Nobody waits between create and start of a run: once all is saved the program starts by itself.
    wanted = {"started": ("running",), "launched": ("running", "stopped")}.get(step, (None, "stopped"))
    wait_until(lambda: told_state(runtime, id) in wanted, f"the state is one of {wanted}")
    runtime("delete", "--force", id)
    nothing_left(runtime, id)


@pytest.mark.parametrize("step, wanted", [("before_start", "created"), ("start_told", "running")])
def test_start_killed(runtime, bundle, step, wanted):
    id = runtime.create(bundle(["sleep", "300"]))
    pause_then_kill(runtime, step, "start", id)
    wait_until(lambda: told_state(runtime, id) == wanted, f"the state is {wanted}")
    if wanted == "created":  # nothing has happened: it can still be started
        runtime("start", id)
        assert told_state(runtime, id) == "running"
    else:
        assert "already running" in runtime("start", id, code=1).err
    runtime("delete", "--force", id)
    nothing_left(runtime, id)


def test_exec_killed(runtime, bundle):
    id = runtime.create(bundle(["sleep", "300"]))
    runtime("start", id)
    pause_then_kill(runtime, "joined", "exec", id, "sleep", "299")
    # The process is the container's now, as after a killed docker exec: it runs, and goes with the container.
    assert told_state(runtime, id) == "running"
    assert len(json.loads(runtime("ps", "--format", "json", id).out)) in (1, 2)
    runtime("delete", "--force", id)
    nothing_left(runtime, id)


@pytest.mark.parametrize("step", DELETE_STEPS)
@pytest.mark.parametrize("force", [False, True])
def test_delete_killed(runtime, bundle, step, force):
    id = runtime.create(bundle(["sleep", "300"]))
    runtime("start", id)
    if not force:
        runtime("kill", id, "KILL")
        wait_until(lambda: told_state(runtime, id) == "stopped", "it has ended")
    pause_then_kill(runtime, step, "delete", *(["--force"] if force else []), id)
    assert told_state(runtime, id) in (None, "stopped")
    runtime("delete", "--force", id)
    nothing_left(runtime, id)


def test_the_container_killed_is_told_at_once(runtime, bundle):
    id = runtime.create(bundle(["sleep", "300"]))
    runtime("start", id)
    pid = runtime.state(id)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: told_state(runtime, id) == "stopped", "it is told as stopped")
    assert "container not running" in runtime("kill", id, code=1).err
    assert "container not running" in runtime("exec", id, "true", code=255).err
    runtime("delete", id)
    nothing_left(runtime, id)


def test_a_state_of_another_boot_is_stopped(runtime, bundle):
    """After a reboot the pid may belong to anybody."""
    id = runtime.create(bundle(["sleep", "300"]))
    runtime("start", id)
    path = runtime.root / id / "state.json"
    good = path.read_text()
    state = json.loads(good)
    state["bootId"] = "00000000-0000-0000-0000-000000000000"
    path.write_text(json.dumps(state))
    assert runtime.state(id)["status"] == "stopped"
    assert [entry["status"] for entry in json.loads(runtime("list", "-f", "json").out)] == ["stopped"]
    path.write_text(good)
    state = json.loads(good)
    state["pid"] = os.getpid()  # somebody else has the number now
    path.write_text(json.dumps(state))
    assert runtime.state(id)["status"] == "stopped"
    path.write_text(good)
    assert runtime.state(id)["status"] == "running"
    runtime("delete", "--force", id)
