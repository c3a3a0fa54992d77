"""hull-runtime's commands and options, as runc's and crun's callers use them."""

import array
import json
import os
import signal
import socket
import subprocess

import pytest

from harness.programs import run
from harness.waiting import wait_until


@pytest.fixture
def sleeper(runtime, bundle):
    """A running container; deleted afterwards."""
    id = runtime.create(bundle(["sleep", "300"], lambda config: config.update(annotations={"a.b": "c"})))
    runtime("start", id)
    yield id
    runtime("delete", "--force", id)


# --- life ---------------------------------------------------------------------


def test_create_start_state_kill_delete(runtime, bundle):
    id = runtime.create(bundle(["sleep", "300"]))
    state = runtime.state(id)
    assert state["status"] == "created" and state["pid"] > 0 and state["id"] == id
    assert state["ociVersion"].startswith("1.") and state["bundle"].endswith("bundle1")
    runtime("start", id)
    assert runtime.state(id)["status"] == "running"
    assert "not stopped: running" in runtime("delete", id, code=1).err
    runtime("kill", id, "KILL")
    wait_until(lambda: runtime.state(id)["status"] == "stopped", "it has stopped")
    assert runtime.state(id)["pid"] == 0
    assert "has stopped" in runtime("start", id, code=1).err
    runtime("delete", id)
    assert "does not exist" in runtime("state", id, code=1).err
    assert "does not exist" in runtime("delete", id, code=1).err
    runtime("delete", "--force", id)


def test_an_id_is_taken_once(runtime, bundle, sleeper):
    done = runtime("create", "--bundle", bundle(["true"]), sleeper, code=1)
    assert "container with given ID already exists" in done.err
    assert runtime.state(sleeper)["status"] == "running"
    for bad in ("", "..", "a/b", "-x y", "x" * 300):
        assert runtime("run", "--bundle", bundle(["true"]), "--", bad, code=1).err.count("\n") == 1


def test_run_gives_the_exit_code(runtime, bundle):
    runtime("run", "--bundle", bundle(["sh", "-c", "exit 7"]), runtime.new_id(), code=7)
    runtime("run", "--bundle", bundle(["sh", "-c", "kill -TERM $$; sleep 9"],
                                      lambda c: c["linux"]["namespaces"].remove({"type": "pid"})),
            runtime.new_id(), code=143)


def test_run_forwards_signals(runtime, bundle):
    it = bundle(["sh", "-c", "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done"])
    child = runtime.popen("run", "--bundle", it, runtime.new_id())
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=20)
    assert (out, err, child.returncode) == ("got\n", "", 3)


def test_run_detached_and_keep(runtime, bundle, scratch):
    id = runtime.new_id()
    with open(scratch / "out", "w") as out:
        subprocess.run([str(a) for a in runtime.arguments("run", "-d", "--pid-file", scratch / "pid", "--bundle",
                                                          bundle(["sleep", "300"]), id)],
                       stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True, timeout=30)
    state = runtime.state(id)
    assert state["status"] == "running" and (scratch / "pid").read_text() == str(state["pid"])
    runtime("delete", "-f", id)
    id = runtime.new_id()
    runtime("run", "--keep", "--bundle", bundle(["true"]), id)
    assert runtime.state(id)["status"] == "stopped"
    runtime("delete", id)


def test_dry_run_prints_the_plan_and_does_nothing(runtime, bundle):
    for command in ("create", "run"):
        plan = json.loads(runtime(command, "--dry-run", "--bundle", bundle(["true"]), "dry").out)
        assert plan["process"]["args"] == ["true"]
    assert not runtime.root.exists() or not (runtime.root / "dry").exists()


def test_another_config_file(runtime, bundle, scratch):
    it = bundle(["false"])
    it.config["process"]["args"] = ["echo", "other"]
    (scratch / "other.json").write_text(json.dumps(it.config))
    assert runtime("run", "--bundle", it, "--config", scratch / "other.json", runtime.new_id()).out == "other\n"


# --- looking ------------------------------------------------------------------


def test_list_in_its_formats(runtime, bundle, sleeper):
    assert runtime("list", "-q").out == f"{sleeper}\n"
    table = runtime("list").out.splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert table[1].split()[0] == sleeper and table[1].split()[2] == "running"
    (entry,) = json.loads(runtime("list", "--format", "json").out)
    assert entry["id"] == sleeper and entry["owner"] == "root" and entry["annotations"] == {"a.b": "c"}
    assert runtime("list", "-f", "xml", code=1).err


def test_ps_in_its_formats(runtime, sleeper):
    pid = runtime.state(sleeper)["pid"]
    assert json.loads(runtime("ps", "-f", "json", sleeper).out) == [pid]
    assert "sleep 300" in runtime("ps", sleeper).out
    assert runtime("ps", sleeper, "-o", "pid,comm").out.split() == ["PID", "COMMAND", str(pid), "sleep"]


def test_events_have_runcs_shape(runtime, sleeper):
    event = json.loads(runtime("events", "--stats", sleeper).out)
    assert event["type"] == "stats" and event["id"] == sleeper
    data = event["data"]
    assert data["cpu"]["usage"]["total"] >= 0 and data["pids"]["current"] == 1
    assert {"memory", "blkio", "hugetlb"} <= data.keys()
    child = runtime.popen("events", "--interval", "20ms", sleeper)
    assert json.loads(child.stdout.readline())["type"] == "stats"
    runtime("kill", sleeper, "KILL")
    child.communicate(timeout=20)
    assert child.returncode == 0


def test_features_and_version(runtime):
    features = json.loads(runtime("features").out)
    assert features["ociVersionMax"] == "1.3.0" and "bind" in features["mountOptions"]
    assert "user" in features["linux"]["namespaces"] and "CAP_CHOWN" in features["linux"]["capabilities"]
    assert features["linux"]["seccomp"]["enabled"] is True
    lines = runtime("--version").out.splitlines()
    assert lines[0].startswith("hull-runtime version ") and lines[1] == "spec: 1.3.0"


def test_help_names_every_command(runtime):
    text = runtime("--help").out
    for command in ("create start run state kill delete list ps exec pause resume update events spec features "
                    "check").split():
        assert f"  {command} " in text
        assert f"hull-runtime {command}" in runtime(command, "--help").out
    assert "did you mean start" in runtime("strt", code=3).err
    assert "did you mean --bundle" in runtime("create", "--bundel", "x", "y", code=1).err
    for later in ("checkpoint", "restore", "mounts"):
        assert runtime(later, "x", code=1).err


# --- changing -----------------------------------------------------------------


def test_pause_and_resume(runtime, sleeper):
    runtime("pause", sleeper)
    assert runtime.state(sleeper)["status"] == "paused"
    assert "--ignore-paused" in runtime("exec", sleeper, "true", code=255).err
    runtime("resume", sleeper)
    assert runtime.state(sleeper)["status"] == "running"
    assert "container not paused" in runtime("resume", sleeper, code=1).err


def test_a_paused_container_can_be_killed(runtime, sleeper):
    runtime("pause", sleeper)
    runtime("kill", sleeper, "KILL")
    wait_until(lambda: runtime.state(sleeper)["status"] == "stopped", "it has ended")


@pytest.mark.needs("cgroup:pids", "cgroup_v1")
def test_update_by_options_and_by_file(runtime, sleeper):
    def pids_max():
        path = json.loads((runtime.root / sleeper / "state.json").read_text())["cgroupsV1"]["pids"]
        with open(f"{path}/pids.max") as file:
            return file.read().strip()

    runtime("update", "--pids-limit", "33", sleeper)
    assert pids_max() == "33"
    runtime("update", "-r", "-", sleeper, input='{"pids": {"limit": 44}}')
    assert pids_max() == "44"
    assert "resources.memory.limit" in runtime("update", "-r", "-", sleeper, input='{"memory": {"limit": "x"}}',
                                               code=1).err
    assert "not a whole number" in runtime("update", "--pids-limit", "many", sleeper, code=1).err


def test_kill_by_name_number_and_for_all(runtime, bundle):
    it = bundle(["sh", "-c", "trap 'exit 5' USR1; sleep 300 & while :; do sleep 0.05; done"],
                lambda config: config["linux"]["namespaces"].remove({"type": "pid"}))
    for how in (["USR1"], ["SIGUSR1"], ["10"]):
        id = runtime.create(it)
        runtime("start", id)
        wait_until(lambda: len(json.loads(runtime("ps", "-f", "json", id).out)) > 1, "the shell has started its child")
        runtime("kill", id, *how)
        wait_until(lambda: runtime.state(id)["status"] == "stopped", "it has ended")
        # Without a pid namespace the child lives on; kill --all reaches it, and delete as well.
        assert json.loads(runtime("ps", "-f", "json", id).out)
        runtime("kill", "--all", id, "KILL")
        wait_until(lambda: not json.loads(runtime("ps", "-f", "json", id).out), "all have ended")
        runtime("delete", id)
    assert "signal" in runtime("kill", runtime.new_id(), "NOSUCH", code=1).err


def test_regular_expressions_choose_containers(runtime, bundle):
    ids = [runtime.create(bundle(["sleep", "300"]), name=name) for name in ("rx1", "rx2", "other")]
    runtime("delete", "--force", "--regex", "rx[12]$")
    assert runtime("list", "-q").out.split() == [ids[2]]
    runtime("delete", "--force", ids[2])


# --- exec ---------------------------------------------------------------------


def test_exec_options(runtime, sleeper):
    assert runtime("exec", "--cwd", "/tmp", "-e", "A=1", "--env", "B=2", "-u", "1000:50", "-g", "7", sleeper, "sh", "-c",
                   "pwd; echo $A $B; id -u; id -g; id -G").out.split("\n")[:4] == ["/tmp", "1 2", "1000", "50"]
    runtime("exec", sleeper, "sh", "-c", "exit 4", code=4)
    runtime("exec", sleeper, "sh", "-c", "kill -9 $$", code=137)
    bounding = runtime("exec", "--cap", "CAP_NET_ADMIN", sleeper, "grep", "CapEff", "/proc/self/status").out
    assert int(bounding.split()[1], 16) >> 12 & 1
    assert "executable file not found" in runtime("exec", sleeper, "no-such", code=255).err
    for bad in ("root", "1x", "1:2:3", "-1", " 1", "4294967295", ""):
        runtime("exec", f"--user={bad}", sleeper, "true", code=255 if bad else 0)


def test_exec_with_a_process_file(runtime, sleeper, scratch):
    (scratch / "process.json").write_text(json.dumps(
        {"args": ["sh", "-c", "echo $X; id -u"], "env": ["X=y", "PATH=/bin"], "cwd": "/", "user": {"uid": 9, "gid": 9}}))
    assert runtime("exec", "--process", scratch / "process.json", sleeper).out == "y\n9\n"
    (scratch / "process.json").write_text('{"args": [], "cwd": "here"}')
    done = runtime("exec", "-p", scratch / "process.json", sleeper, code=255)
    assert "process.cwd" in done.err and "1 more" in done.err


def test_exec_detached_with_pid_file(runtime, sleeper, scratch):
    with open(os.devnull, "w") as null:
        subprocess.run([str(a) for a in runtime.arguments("exec", "-d", "--pid-file", scratch / "pid", sleeper,
                                                          "sleep", "299")],
                       stdin=subprocess.DEVNULL, stdout=null, stderr=null, check=True, timeout=30)
    pid = int((scratch / "pid").read_text())
    assert pid in json.loads(runtime("ps", "-f", "json", sleeper).out)


# --- descriptors, sockets, environment ----------------------------------------


def test_preserved_descriptors(runtime, bundle):
    read_end, write_end = os.pipe()
    os.write(write_end, b"through\n")
    os.close(write_end)

    def with_descriptor():
        os.dup2(read_end, 3)

    done = run(*runtime.arguments("run", "--preserve-fds", "1", "--bundle", bundle(["sh", "-c", "cat <&3"]),
                                  runtime.new_id()), preexec_fn=with_descriptor, close_fds=False)
    assert done.out == "through\n"
    os.close(read_end)
    done = runtime("run", "--preserve-fds", "2", "--bundle", bundle(["true"]), runtime.new_id(), code=1)
    assert "descriptor 3 is not open" in done.err


def test_socket_activation(runtime, bundle):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def with_listener():
            os.dup2(listener.fileno(), 3)

        done = run(*runtime.arguments("run", "--bundle", bundle(["sh", "-c", "echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; "
                                                                 "ls -l /proc/self/fd/3"]), runtime.new_id()),
                   preexec_fn=with_listener, close_fds=False, env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"})
    assert done.out.startswith("1 1 web\n") and "socket:" in done.out


def test_notify_socket(runtime, bundle, scratch):
    """READY=1 from inside reaches the caller's socket, with the container's pid."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(scratch / "notify"))
        listener.settimeout(20)
        it = bundle(["sh", "-c", "test -S $NOTIFY_SOCKET && echo $NOTIFY_SOCKET && exec sleep 300"])
        id = runtime.new_id()
        with open(scratch / "out", "w+") as out:
            child = subprocess.Popen([str(a) for a in runtime.arguments("run", "-d", "--bundle", it, id)],
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     env={**os.environ, "NOTIFY_SOCKET": str(scratch / "notify")})
            wait_until(lambda: (scratch / "out").read_text() == "/run/notify/notify.sock\n", "the program sees the socket")
            assert child.poll() is None, "run -d waits until the container is ready"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(str(runtime.root / id / "notify" / "notify.sock"))
                sender.send(b"STATUS=soon\n")
                sender.send(b"READY=1\n")
            assert listener.recv(100) == b"READY=1\n"
            assert listener.recv(100) == f"MAINPID={runtime.state(id)['pid']}\n".encode()
            message, ancillary, _, _ = listener.recvmsg(100, socket.CMSG_SPACE(4))
            assert message == b"BARRIER=1"
            (fd,) = array.array("i", ancillary[0][2])
            assert child.poll() is None, "it waits for the barrier"
            os.close(fd)
            assert child.wait(20) == 0
    runtime("delete", "--force", id)


def receive_fd(listener):
    connection, _ = listener.accept()
    with connection:
        message, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
        return message, array.array("i", ancillary[0][2])[0]


def test_console_socket_and_pidfd_socket(runtime, bundle, scratch):
    with socket.socket(socket.AF_UNIX) as console, socket.socket(socket.AF_UNIX) as pidfds:
        for listener, name in ((console, "console"), (pidfds, "pidfd")):
            listener.bind(str(scratch / name))
            listener.listen()
            listener.settimeout(20)
        id = runtime.create(bundle(["sh", "-c", "tty; echo size $(stty size); exit 3"],
                                   lambda c: c["process"].update(consoleSize={"height": 33, "width": 99}),
                                   terminal=True),
                            "--console-socket", scratch / "console", "--pidfd-socket", scratch / "pidfd")
        _, master = receive_fd(console)
        _, pidfd = receive_fd(pidfds)
        with open(f"/proc/self/fdinfo/{pidfd}") as info:
            assert f"Pid:\t{runtime.state(id)['pid']}\n" in info.read()
        runtime("start", id)
        seen = b""
        try:
            while data := os.read(master, 4096):
                seen += data
        except OSError:
            pass
        assert seen.split() == [b"/dev/pts/0", b"size", b"33", b"99"]
        os.close(master)
        os.close(pidfd)
        wait_until(lambda: runtime.state(id)["status"] == "stopped", "it has ended")
        runtime("delete", id)
    done = runtime("create", "--bundle", bundle(["true"], terminal=True), runtime.new_id(), code=1)
    assert "console socket" in done.err


def test_logs_in_json_as_engines_read_them(runtime, bundle, scratch):
    log = scratch / "log"
    done = runtime("--log", log, "--log-format", "json", "run", "--bundle", bundle(["no-such-program"]),
                   runtime.new_id(), code=1)
    (record,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert record["level"] == "error" and "executable file not found" in record["msg"] and record["time"]
    assert "executable file not found" in done.err


# --- spec and check -----------------------------------------------------------


def test_the_default_spec_runs_confined(runtime, busybox_rootfs, scratch):
    it = scratch / "own"
    it.mkdir(mode=0o755)
    run("cp", "-a", busybox_rootfs, it / "rootfs")
    runtime("spec", "--bundle", it)
    assert "exists" in runtime("spec", "--bundle", it, code=1).err
    assert "nothing is wrong" in runtime("check", "--bundle", it).out
    config = json.loads((it / "config.json").read_text())
    config["process"].update(terminal=False, args=["sh", "-c", "cat /proc/self/status /proc/self/uid_map; id -u"])
    (it / "config.json").write_text(json.dumps(config))
    out = runtime("run", "--bundle", it, runtime.new_id()).out
    status = dict(line.split(":\t", 1) for line in out.splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"]
    assert bin(int(status["CapEff"], 16)).count("1") <= 10
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    first, outside, count = out.splitlines()[-2].split()
    assert first == "0" and int(outside) > 0 and count == "65536" and out.splitlines()[-1] == "0"


def test_check_tells_everything_at_once(runtime, bundle):
    def spoil(config):
        config["process"].update(cwd="here", oomScoreAdj=5000, env=["NOVALUE"])
        config["mounts"].append({"destination": "/x", "type": "bind"})
        config["linux"]["namespaces"].append({"type": "dream"})
        config["linux"]["resources"]["memory"] = {"limit": 100, "swap": 50}
        config["linux"]["sysctl"] = {"vm.swappiness": "1"}
        config["hooks"] = {"poststop": [{"path": "relative", "timeout": 0}]}

    done = runtime("check", "--bundle", bundle(["true"], spoil), code=1)
    for path in ("process.cwd", "process.oomScoreAdj", "process.env[0]", "mounts[7].source", "linux.namespaces[6].type",
                 "linux.resources.memory.swap", "linux.sysctl.vm.swappiness", "hooks.poststop[0].path",
                 "hooks.poststop[0].timeout"):
        assert f"\n{path}: " in "\n" + done.out, f"{path} is not in\n{done.out}"
    assert "[config-linux.md, " in done.out
    assert not runtime.root.exists() or not any(runtime.root.iterdir())


def test_check_tells_all_wrong_types_at_once(runtime, bundle):
    def spoil(config):
        config["hostname"] = 5
        config["process"]["args"] = "true"
        config["linux"]["uidMappings"] = [{"containerID": -1, "hostID": 0, "size": "x"}]

    out = runtime("check", "--bundle", bundle(["true"], spoil), code=1).out
    for path in ("hostname", "process.args", "linux.uidMappings[0].containerID", "linux.uidMappings[0].size"):
        assert f"{path}: must" in out, out
