"""All six hooks: their order, namespaces, stdin, environment, timeouts and failures."""

import json
import os
import subprocess
import time

import pytest

STAGES = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]


def hook(log, stage, script="true"):
    """Writes "STAGE STATUS MOUNT-NAMESPACE" as a line of `log`, then runs `script`."""
    text = (f"state=$(cat); echo {stage} $(echo \"$state\" | sed 's/.*\"status\":\"\\([a-z]*\\)\".*/\\1/') "
            f"$(readlink /proc/self/ns/mnt) >> {log}; {script}")
    return {"path": "/bin/sh", "args": ["sh", "-c", text], "env": ["PATH=/usr/bin:/bin", "ONLY=this"]}


@pytest.fixture
def hooked(bundle, scratch):
    """A bundle with a hook at every stage; the log is a folder of the host, mounted inside at the same path."""
    log = scratch / "log"
    log.mkdir(mode=0o777)

    def make(args=("true",), scripts=None):
        def change(config):
            config["hooks"] = {stage: [hook(log / "lines", stage, (scripts or {}).get(stage, "true"))]
                               for stage in STAGES}
            config["mounts"].append({"destination": str(log), "type": "bind", "source": str(log),
                                     "options": ["bind", "rw"]})

        return bundle(list(args), change)

    make.lines = lambda: [line.split() for line in (log / "lines").read_text().splitlines()]
    return make


def test_all_hooks_run_in_order_where_they_should(runtime, hooked):
    runtime("run", "--bundle", hooked(), runtime.new_id())
    lines = hooked.lines()
    assert [line[0] for line in lines] == STAGES
    own = os.readlink("/proc/self/ns/mnt")
    inside = {line[0]: line[2] != own for line in lines}
    assert inside == {"prestart": False, "createRuntime": False, "createContainer": True, "startContainer": True,
                      "poststart": False, "poststop": False}
    status = {line[0]: line[1] for line in lines}
    assert status["prestart"] == status["createRuntime"] == "creating"
    assert status["startContainer"] == "created" and status["poststop"] == "stopped"
    # By then a program as short as this one may have ended; the specification's word is `running`.
    assert status["poststart"] == "running"


def test_hooks_get_the_state_and_only_their_environment(runtime, bundle, scratch):
    out = scratch / "out"

    def change(config):
        config["annotations"] = {"com.example.key": "value"}
        config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {out}; env >> {out}"],
                                              "env": ["ONLY=this"]}]}

    id = runtime.create(bundle(["sleep", "300"], change))
    text, _, environment = out.read_text().partition("}}")
    state = json.loads(text + "}}")
    assert state["id"] == id and state["pid"] == runtime.state(id)["pid"] and state["status"] == "creating"
    assert state["annotations"] == {"com.example.key": "value"}
    names = {line.partition("=")[0] for line in environment.splitlines() if line}
    assert names <= {"ONLY", "PWD", "SHLVL", "_", "OLDPWD"} and "ONLY" in names
    runtime("delete", "--force", id)


@pytest.mark.parametrize("stage", ["prestart", "createRuntime", "createContainer"])
def test_a_hook_that_fails_undoes_create(runtime, hooked, stage):
    done = runtime("create", "--bundle", hooked(scripts={stage: "echo sorry >&2; exit 4"}), runtime.new_id(), code=1)
    assert f"{stage} hook 0" in done.err and "status 4" in done.err
    assert hooked.lines()[-1][0] == "poststop"
    assert runtime("list", "-q").out == ""


def test_a_start_hook_that_fails_fails_start(runtime, hooked):
    id = runtime.create(hooked(["sleep", "300"], {"startContainer": "exit 4"}))
    done = runtime("start", id, code=1)
    assert "startContainer hook 0" in done.err and "status 4" in done.err
    assert runtime.state(id)["status"] == "stopped"
    runtime("delete", id)
    assert "poststart" not in [line[0] for line in hooked.lines()]


def test_a_poststart_hook_that_fails_ends_the_container(runtime, hooked):
    done = runtime("run", "--bundle", hooked(["sleep", "300"], {"poststart": "exit 4"}), runtime.new_id(), code=1)
    assert "poststart hook 0" in done.err
    assert hooked.lines()[-1][0] == "poststop"


def test_a_poststop_hook_that_fails_is_a_warning(runtime, hooked):
    done = runtime("run", "--bundle", hooked(scripts={"poststop": "exit 4"}), runtime.new_id())
    assert "poststop hook 0" in done.err and "level=warning" in done.err


@pytest.mark.parametrize("stage", ["createRuntime", "createContainer", "startContainer"])
def test_a_timeout_kills_the_hook_and_what_it_started(runtime, bundle, stage):
    def change(config):
        config["hooks"] = {stage: [{"path": "/bin/sh", "args": ["sh", "-c", "sleep 4321 & sleep 4321"],
                                    "env": ["PATH=/usr/bin:/bin"], "timeout": 1}]}

    began = time.monotonic()
    done = runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), code=1)
    assert "timeout" in done.err and time.monotonic() - began < 30
    found = subprocess.run(["pgrep", "-f", "^sleep 4321"], capture_output=True, text=True)
    assert found.stdout == ""
