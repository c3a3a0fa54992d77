"""Options, environment and files that callers of runc and crun rely on, one by one."""

import array
import json
import os
import re
import socket
import subprocess
import threading

import pytest

from harness.bundles import Runtime
from harness.programs import run
from harness.sockets import listen, received
from harness.waiting import wait_until


@pytest.fixture
def sleeper(runtime, bundle):
    id = runtime.create(bundle(["sleep", "300"]))
    runtime("start", id)
    yield id
    runtime("delete", "--force", id)


def shell(script):
    return ["sh", "-c", script]


# --- every option of runc 1.5 and crun 1.29 ---

GLOBAL = "root log log-format debug log-level systemd-cgroup cgroup-manager rootless version help"
CREATE = "bundle config console-socket pid-file pidfd-socket no-pivot no-new-keyring preserve-fds no-subreaper"
COMMANDS = {
    "create": CREATE, "run": CREATE + " detach keep", "start": "", "state": "", "pause": "", "resume": "", "features": "",
    "kill": "all regex", "delete": "force regex", "list": "format quiet", "ps": "format", "spec": "bundle rootless file",
    "events": "interval stats",
    "exec": "console-socket pidfd-socket cwd env tty user additional-gids process detach pid-file process-label apparmor "
            "no-new-privs cap preserve-fds cgroup ignore-paused",
    "update": "resources blkio-weight cpu-period cpu-quota cpu-burst cpu-share cpu-rt-period cpu-rt-runtime cpuset-cpus "
              "cpuset-mems cpu-idle kernel-memory kernel-memory-tcp memory memory-reservation memory-swap pids-limit "
              "l3-cache-schema mem-bw-schema",
}
SHORT = {"create": "bf", "run": "bfd", "exec": "etugpdc", "kill": "ar", "delete": "fr", "list": "fq", "ps": "f", "spec": "bf",
         "update": "r"}


def options_of(text):
    return set(re.findall(r"--([a-z0-9][a-z0-9-]*)", text)), set(re.findall(r"(?:^|\s)-([a-zA-Z])\b", text))


def test_every_option_of_the_other_runtimes_is_there(runtime):
    assert set(GLOBAL.split()) <= options_of(runtime("--help").out)[0]
    for command, wanted in COMMANDS.items():
        long, short = options_of(runtime(command, "--help").out)
        assert set(wanted.split()) <= long, command
        assert set(SHORT.get(command, "")) <= short, command


@pytest.mark.parametrize("peer", ["runc", "crun"])
def test_the_installed_peers_have_no_option_that_is_missing(runtime, peer):
    if not any(os.access(os.path.join(folder, peer), os.X_OK) for folder in os.environ["PATH"].split(":") + ["/usr/sbin"]):
        pytest.skip(f"needs {peer} (apt-get install {peer})")
    later = {"checkpoint", "restore"}
    for command in set(COMMANDS) - later:
        theirs = subprocess.run([peer, command, "--help"], capture_output=True, text=True)
        if theirs.returncode != 0 or "--" not in theirs.stdout:
            continue
        missing = options_of(theirs.stdout)[0] - options_of(runtime(command, "--help").out)[0] - set(GLOBAL.split())
        missing -= {"usage", "option", "tty-all"}
        assert not missing, f"{peer} {command}"


# --- global options ---


def test_log_levels_and_debug(runtime, bundle):
    it = bundle(["true"], lambda config: config["process"]["capabilities"]["bounding"].append("CAP_NONE"))
    assert "CAP_NONE" in runtime("run", "--bundle", it, runtime.new_id()).err
    assert runtime("--log-level", "error", "run", "--bundle", it, runtime.new_id()).err == ""
    assert "level=warning" in runtime("--debug", "run", "--bundle", it, runtime.new_id()).err
    assert "unknown" in runtime("--log-level", "loud", "list", code=1).err
    assert "unknown" in runtime("--log-format", "xml", "list", code=1).err


def test_the_log_as_crun_names_it(runtime, bundle, scratch):
    it = bundle(["no-such-program"])
    runtime("--log", f"file:{scratch}/log", "--log-format", "json", "run", "--bundle", it, runtime.new_id(), code=1)
    assert "executable file not found" in json.loads((scratch / "log").read_text())["msg"]
    assert "--log" in runtime("--log", "/no/such/folder/log", "list", code=1).err


@pytest.mark.parametrize("service,place,starts", [
    ("syslog", "dev/log", b"<11>mine: "),
    ("journald", "run/systemd/journal/socket", b"PRIORITY=3\nSYSLOG_IDENTIFIER=mine\nMESSAGE="),
])
def test_the_log_of_a_service(runtime, scratch, service, place, starts):
    """The service's socket is a test's own, seen in a mount namespace only."""
    (scratch / "place" / place).parent.mkdir(parents=True)
    with listen(scratch / "place" / place, socket.SOCK_DGRAM) as server:
        folder = "/" + place.split("/")[0]
        lower = scratch / "place" / place.split("/")[0]
        script = f'mount -t overlay -o lowerdir={lower}:{folder} none {folder} && exec "$@"'
        if place.startswith("run"):
            script = f'mkdir -p /run/systemd/journal; mount --bind {scratch}/place/run/systemd/journal /run/systemd/journal && exec "$@"'
        else:
            script = f'touch /dev/log; mount --bind {scratch}/place/dev/log /dev/log && exec "$@"'
        had = os.path.exists(folder + "/" + place.split("/", 1)[1])
        done = run("unshare", "--mount", "sh", "-c", script, "sh",
                   *runtime.arguments("--log", f"{service}:mine", "state", "nobody"), code=1)
        message = server.recv(4096)
        if not had and service == "syslog":
            os.unlink("/dev/log")
    assert message.startswith(starts) and b'container "nobody" does not exist' in message
    assert "does not exist" in done.err


def test_a_service_that_does_not_run_is_named(runtime):
    if os.path.exists("/run/systemd/journal/socket"):
        pytest.skip("needs a machine without a journal")
    assert "/run/systemd/journal/socket" in runtime("--log", "journald:x", "list", code=1).err


def test_without_a_cgroup_manager(runtime, bundle):
    it = bundle(["sleep", "300"])
    id = runtime.new_id()
    with open(os.devnull, "w") as null:
        subprocess.run([str(a) for a in runtime.arguments("--cgroup-manager", "disabled", "run", "-d", "--bundle", it, id)],
                       stdin=subprocess.DEVNULL, stdout=null, stderr=null, check=True, timeout=30)
    pid = runtime.state(id)["pid"]
    with open(f"/proc/{pid}/cgroup") as theirs, open("/proc/self/cgroup") as ours:
        assert theirs.read() == ours.read()
    assert json.loads(runtime("ps", "-f", "json", id).out) == [pid]
    assert "has no cgroup" in runtime("pause", id, code=1).err
    runtime("exec", id, "true")
    runtime("delete", "--force", id)
    assert "unknown" in runtime("--cgroup-manager", "other", "list", code=1).err


def test_rootless_takes_its_three_words(runtime):
    for word in ("true", "false", "auto"):
        runtime("--rootless", word, "list")
    assert "--rootless" in runtime("--rootless", "maybe", "list", code=1).err


def test_the_version_in_the_form_that_engines_read(runtime):
    lines = runtime("--version").out.splitlines()
    assert re.fullmatch(r"hull-runtime version \d+\.\d+\.\d+\S*", lines[0]) and lines[1] == "spec: 1.3.0"
    assert runtime("-v").out.splitlines() == lines


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_by_other_letters(runtime, option):
    assert runtime(option).out == runtime("-v").out


def test_usage_in_short(runtime):
    assert "[--root DIR]" in runtime("--usage").out and runtime("--usage").out.count("\n") == 1
    for command in COMMANDS:
        usage = runtime(command, "--usage").out
        assert usage.startswith(f"Usage: hull-runtime {command} [-") and usage.count("\n") == 1
        assert runtime(command, "-?").out == runtime(command, "--help").out
        for option in COMMANDS[command].split():
            assert f"[--{option}" in usage
    assert runtime("-?").out == runtime("--help").out
    assert runtime("run", "--bundle", "x", "--help").out == runtime("run", "-h").out


def test_exit_codes_of_wrong_command_lines(runtime):
    assert "unknown command" in runtime("frobnicate", code=3).err  # as runc
    assert "unknown command" in runtime("help", "frobnicate", code=3).err
    assert "unknown option" in runtime("exec", "--frobnicate", "x", "true", code=1).err
    assert "usage" in runtime("exec", code=1).err
    assert "usage" in runtime("state", code=1).err
    assert "does not exist" in runtime("exec", "nobody", "true", code=255).err


@pytest.mark.parametrize("words", [
    ["checkpoint", "--image-path", "/x", "--leave-running", "id"], ["restore", "--bundle", "/x", "--image-path", "/x", "id"],
    ["mounts", "add", "id", "/x"]])
def test_what_comes_later_is_called_unsupported(runtime, words):
    assert "unsupported" in runtime(*words, code=1).err
    assert "unsupported" in runtime("--criu", "/usr/sbin/criu", *words, code=1).err


@pytest.mark.parametrize("word,on", [("1", True), ("T", True), ("yes", True), ("0", False), ("F", False), ("no", False)])
def test_switches_in_the_words_of_the_other_runtimes(runtime, word, on):
    done = runtime("delete", f"--force={word}", "nobody", check=False)
    assert done.code == (0 if on else 1)


# --- create and run ---


def test_a_terminal_needs_one_of_the_callers(runtime, bundle):
    """runc: `open /dev/tty: no such device or address`; crun: `tcgetattr`. Not a wait for ever."""
    def alone(*words, code):
        # A session of its own: the tests' terminal is not its terminal.
        return run(*runtime.arguments(*words), stdin=subprocess.DEVNULL, start_new_session=True, code=code)
    it = bundle(["cat"], terminal=True)
    id = runtime.new_id()
    done = alone("run", "--bundle", it, id, code=1)
    assert "cannot allocate tty" in done.err and "--console-socket" in done.err
    assert not (runtime.root / id).exists()
    id = runtime.create(bundle(["sleep", "300"]))
    runtime("start", id)
    assert "cannot allocate tty" in alone("exec", "-t", id, "cat", code=255).err
    runtime("delete", "--force", id)


def test_the_terminal_may_be_any_of_the_three(runtime, bundle):
    """stdin is redirected, stdout is a terminal: its size is the container's."""
    it = bundle(shell("stty size"), terminal=True)
    words = " ".join(str(word) for word in runtime.arguments("run", "--bundle", it, runtime.new_id()))
    done = run("script", "-qec", f"stty rows 41 cols 87; {words} </dev/null", "/dev/null")
    assert "41 87" in done.out




def test_no_pivot_changes_the_root_by_chroot(runtime, bundle):
    out = runtime("run", "--no-pivot", "--bundle", bundle(shell("ls -d /bin; cat /proc/self/mountinfo | wc -l")),
                  runtime.new_id()).out.split()
    assert out[0] == "/bin"


def test_the_callers_keyring_is_kept_when_asked_for(runtime, bundle, payload):
    it = bundle(["/payload", "key", "find", "hull-options-key"])
    run("cp", payload, it.rootfs / "payload")

    def found(*options):
        return run(payload, "key", "with", "hull-options-key", *runtime.arguments("run", *options, "--bundle", it,
                                                                                  runtime.new_id()), check=False)
    assert found().out == "find ENOKEY\n"
    assert found("--no-new-keyring").out == "find ok\n"


@pytest.mark.parametrize("option,adopts", [([], True), (["--no-subreaper"], False)])
def test_orphans_are_adopted_unless_told_otherwise(runtime, bundle, option, adopts):
    """Without a pid namespace, what outlives its parent in the container goes to the nearest subreaper."""
    it = bundle(shell("sh -c 'sleep 200 & echo $! >/child'; exec sleep 300"),
                lambda config: config["linux"]["namespaces"].remove({"type": "pid"}))
    id = runtime.new_id()
    child = runtime.popen("run", *option, "--bundle", it, id)
    try:
        wait_until(lambda: (it.rootfs / "child").exists() and (it.rootfs / "child").read_text().strip() != "", "the orphan is there")
        orphan = int((it.rootfs / "child").read_text())

        def parent():
            with open(f"/proc/{orphan}/stat") as stat:
                return int(stat.read().rpartition(")")[2].split()[1])
        wait_until(lambda: parent() != runtime.state(id)["pid"], "its parent has ended")
        assert (parent() == child.pid) is adopts
    finally:
        runtime("kill", "--all", id, "KILL")
        child.communicate(timeout=20)
        runtime("delete", "--force", id)


def test_signals_as_runc_takes_them(runtime, sleeper):
    runtime("kill", sleeper, "0")
    assert runtime.state(sleeper)["status"] == "running"
    assert "1..64" in runtime("kill", sleeper, "65", code=1).err
    runtime("kill", sleeper, "KILL")
    wait_until(lambda: runtime.state(sleeper)["status"] == "stopped", "it has ended")
    assert "container not running" in runtime("kill", sleeper, "0", code=1).err
    assert "container not running" in runtime("kill", sleeper, "", code=1).err


def test_socket_activation_names_and_numbers(runtime, bundle, sleeper):
    read_end, write_end = os.pipe()
    os.write(write_end, b"x\n")
    os.close(write_end)
    how = {"preexec_fn": lambda: os.dup2(read_end, 3), "close_fds": False}
    script = shell("echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; cat <&3")
    done = run(*runtime.arguments("exec", sleeper, *script), env={"LISTEN_FDS": "1"}, **how)
    assert done.out == "1 1\nx\n"
    os.close(read_end)
    for bad in ("x", "-1", "99999"):
        done = run(*runtime.arguments("run", "--bundle", bundle(["true"]), runtime.new_id()), env={"LISTEN_FDS": bad}, code=1)
        assert "LISTEN_FDS" in done.err
    run(*runtime.arguments("run", "--bundle", bundle(["true"]), runtime.new_id()), env={"LISTEN_FDS": ""})


def test_start_forwards_readiness_as_well(runtime, bundle, scratch):
    """create and start in two commands, both with NOTIFY_SOCKET, as systemd's units for podman do."""
    with listen(scratch / "notify", socket.SOCK_DGRAM) as listener:
        environment = {**os.environ, "NOTIFY_SOCKET": str(scratch / "notify")}
        it = bundle(shell("test -S $NOTIFY_SOCKET && exec sleep 300"))
        id = runtime.new_id()
        with open(os.devnull, "w") as null:
            quiet = {"stdin": subprocess.DEVNULL, "stdout": null, "stderr": null, "env": environment}
            subprocess.run([str(a) for a in runtime.arguments("create", "--bundle", it, id)], check=True, timeout=30, **quiet)
            start = subprocess.Popen([str(a) for a in runtime.arguments("start", id)], **quiet)
            wait_until(lambda: (runtime.root / id / "notify" / "notify.sock").exists(), "the socket is there")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(str(runtime.root / id / "notify" / "notify.sock"))
                sender.send(b"READY=1\n")
            assert listener.recv(100) == b"READY=1\n"
            assert listener.recv(100) == f"MAINPID={runtime.state(id)['pid']}\n".encode()
            message, ancillary, _, _ = listener.recvmsg(100, socket.CMSG_SPACE(4))
            assert message == b"BARRIER=1"
            os.close(array.array("i", ancillary[0][2])[0])
            assert start.wait(20) == 0
    runtime("delete", "--force", id)


def test_a_container_that_ends_before_it_is_ready(runtime, bundle, scratch):
    with listen(scratch / "notify", socket.SOCK_DGRAM):
        done = run(*runtime.arguments("run", "--bundle", bundle(shell("exit 6")), runtime.new_id()), code=6,
                   env={**os.environ, "NOTIFY_SOCKET": str(scratch / "notify")})
    assert done.err == ""


# --- exec ---


def test_exec_forwards_a_seccomp_listener_of_its_own(runtime, bundle, scratch):
    """Each process gets a listener: run's and exec's, told apart by their pids."""
    path = str(scratch / "agent")

    def change(config):
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "listenerPath": path,
            "listenerMetadata": "of the test", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}

    with listen(path) as listener:
        id = runtime.create(bundle(["sleep", "300"], change))
        os.close(received(listener)[1])
        runtime("start", id)
        for options in ([], ["--pid-file", scratch / "pid"]):
            child = runtime.popen("exec", *options, id, "sh", "-c", "exit 5")
            message, fd = received(listener)
            assert child.wait(20) == 5
            assert os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:seccomp notify"
            os.close(fd)
            state = json.loads(message)
            assert state["fds"] == ["seccompFd"] and state["metadata"] == "of the test"
            assert state["state"]["id"] == id and state["state"]["status"] == "running"
            assert state["state"]["pid"] == runtime.state(id)["pid"] != state["pid"]
            if options:
                assert state["pid"] == int((scratch / "pid").read_text())
    done = runtime("exec", id, "true", code=255)
    assert "linux.seccomp.listenerPath" in done.err
    assert json.loads(runtime("ps", "-f", "json", id).out) == [runtime.state(id)["pid"]]
    runtime("delete", "--force", id)


def test_exec_sends_a_pidfd_and_writes_a_pid_file(runtime, sleeper, scratch):
    with listen(scratch / "pidfd") as listener, open(os.devnull, "w") as null:
        subprocess.run([str(a) for a in runtime.arguments("exec", "-d", "--pid-file", scratch / "pid", "--pidfd-socket",
                                                          scratch / "pidfd", sleeper, "sleep", "200")],
                       stdin=subprocess.DEVNULL, stdout=null, stderr=null, check=True, timeout=30)
        _, fd = received(listener)
    with open(f"/proc/self/fdinfo/{fd}") as info:
        assert f"Pid:\t{(scratch / 'pid').read_text()}\n" in info.read()
    os.close(fd)


def test_exec_preserves_descriptors(runtime, sleeper):
    read_end, write_end = os.pipe()
    os.write(write_end, b"through\n")
    os.close(write_end)
    done = run(*runtime.arguments("exec", "--preserve-fds", "1", sleeper, *shell("cat <&3")),
               preexec_fn=lambda: os.dup2(read_end, 3), close_fds=False)
    assert done.out == "through\n"
    os.close(read_end)


def test_exec_sets_groups_and_privileges(runtime, bundle):
    id = runtime.create(bundle(["sleep", "300"], lambda config: config["process"].update(noNewPrivileges=False)))
    runtime("start", id)
    for option in (["-g", "7", "--additional-gids", "8"], ["--additional-gids", "7,8"]):
        assert set(runtime("exec", *option, id, "id", "-G").out.split()) == {"0", "7", "8"}
    line = ["grep", "NoNewPrivs", "/proc/self/status"]
    assert runtime("exec", id, *line).out.split()[1] == "0"
    assert runtime("exec", "--no-new-privs", id, *line).out.split()[1] == "1"
    assert runtime("exec", "--tty=false", "--no-new-privs=true", id, *line).out.split()[1] == "1"
    runtime("delete", "--force", id)


def test_labels_that_the_machine_lacks_are_refused_by_name(runtime, sleeper):
    if os.path.exists("/sys/kernel/security/apparmor"):
        pytest.skip("needs a machine without AppArmor")
    assert "process.apparmorProfile" in runtime("exec", "--apparmor", "docker-default", sleeper, "true", code=255).err
    assert "process.selinuxLabel" in runtime("exec", "--process-label", "a:b:c:s0", sleeper, "true", code=255).err


def test_exec_in_a_cgroup_below(runtime, bundle):
    def change(config):
        for mount in config["mounts"]:
            if mount["type"] == "cgroup":
                mount["options"].remove("ro")
    id = runtime.create(bundle(["sleep", "300"], change))
    runtime("start", id)
    places = sorted(runtime("exec", id, "sh", "-c", "cd /sys/fs/cgroup && if test -e cgroup.procs; then mkdir sub; else "
                            "for d in *; do test -L $d || mkdir $d/sub; done; cd cpuset; cat cpuset.cpus > sub/cpuset.cpus; "
                            "cat cpuset.mems > sub/cpuset.mems; fi; cat /proc/self/cgroup").out.splitlines())
    assert all(not place.endswith("/sub") for place in places)
    inside = runtime("exec", "--cgroup", "sub", id, "cat", "/proc/self/cgroup").out.splitlines()
    assert all(place.endswith("/sub") for place in inside)
    assert "cgroup" in runtime("exec", "--cgroup", "../..", id, "true", code=255).err
    assert "no" in runtime("exec", "--cgroup", "nope", id, "true", code=255).err
    if len(inside) > 1:
        one = runtime("exec", "--cgroup", "pids:sub", id, "cat", "/proc/self/cgroup").out.splitlines()
        assert [place.split(":")[1] for place in one if place.endswith("/sub")] == ["pids"]
    runtime("delete", "--force", id)


def test_exec_in_a_paused_container_waits_for_resume(runtime, sleeper):
    runtime("pause", sleeper)
    child = runtime.popen("exec", "--ignore-paused", sleeper, "echo", "at last")
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    runtime("resume", sleeper)
    assert child.communicate(timeout=20)[0] == "at last\n"


def test_a_process_file_with_a_terminal(runtime, sleeper, scratch):
    (scratch / "process.json").write_text(json.dumps({"args": ["tty"], "cwd": "/", "terminal": True, "env": ["PATH=/bin:/usr/bin"],
                                                      "consoleSize": {"height": 5, "width": 9}}))
    words = " ".join(str(word) for word in runtime.arguments("exec", "--process", scratch / "process.json", sleeper))
    # script(1) may show the end of its own input as ^D or ^@ before or after.
    assert "/dev/pts/0\n" in run("script", "-qec", words, "/dev/null").out.replace("\r", "")


@pytest.mark.parametrize("scheduler,shown", [
    ({"policy": "SCHED_FIFO", "priority": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, "7 1"),
    ({"policy": "SCHED_RR", "priority": 9}, "9 2"),
    ({"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 5000000, "period": 10000000,
      "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, "0 6"),
])
def test_real_time_and_deadline_scheduling(runtime, bundle, scheduler, shown):
    def change(config):
        config["process"].update(scheduler=scheduler, args=shell("exec cut -d' ' -f40,41 /proc/$$/stat"))
        if os.path.exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us"):
            # A v1 cgroup has no real time unless it is given some, and only from above.
            config["linux"]["cgroupsPath"] = "/" + runtime.new_id("rt")
            config["linux"]["resources"]["cpu"] = {"realtimeRuntime": 1000, "realtimePeriod": 1000000}
    it = bundle([], change)
    assert runtime("run", "--bundle", it, runtime.new_id()).out == shown + "\n"
    if scheduler["policy"] == "SCHED_FIFO" and "cpu" in it.config["linux"]["resources"]:
        it.config["linux"]["resources"].pop("cpu")
        assert "realtimeRuntime" in runtime("run", "--bundle", it.save(), runtime.new_id(), code=1).err


# --- state, list, features, events ---


def test_after_a_reboot_all_are_stopped_and_can_be_deleted(runtime, sleeper):
    """The state of another boot: whatever process has the pid now, it is not the container's."""
    path = runtime.root / sleeper / "state.json"
    before = path.read_text()
    state = json.loads(before)
    state["bootId"] = "00000000-0000-0000-0000-000000000000"
    path.write_text(json.dumps(state))
    told = runtime.state(sleeper)
    assert told["status"] == "stopped" and told["pid"] == 0
    (entry,) = json.loads(runtime("list", "-f", "json").out)
    assert entry["status"] == "stopped" and entry["created"] == told["created"]
    assert "container not running" in runtime("kill", sleeper, "KILL", code=1).err
    assert os.path.exists(f"/proc/{state['pid']}"), "the process that has the pid now is left alone"
    path.write_text(before)
    assert runtime.state(sleeper)["status"] == "running"


def test_a_damaged_state_does_not_hide_the_others(runtime, sleeper):
    broken = runtime.root / "hulltest-broken"
    broken.mkdir()
    (broken / "state.json").write_text('{"id": "hulltest-brok')
    done = runtime("list", "-q")
    assert done.out == f"{sleeper}\n" and "hulltest-broken" in done.err
    (broken / "state.json").unlink()
    (broken / "lock").unlink(missing_ok=True)
    broken.rmdir()


@pytest.mark.needs("runc")
def test_state_and_list_have_runcs_fields(runtime, bundle, scratch):
    it = bundle(["sleep", "300"], lambda config: config.update(annotations={"a": "b"}))
    peer = Runtime("runc", scratch / "runc")
    shapes = {}
    for one in (runtime, peer):
        id = one.create(it)
        state = one.state(id)
        (entry,) = json.loads(one("list", "--format", "json").out)
        assert entry == {**state, **{key: entry[key] for key in ("pid",)}} or set(entry) == set(state)
        shapes[one] = [set(state), set(entry), {key: type(value) for key, value in state.items()}]
        one("delete", "--force", id)
    assert shapes[runtime] == shapes[peer]


def shape_of(value, path=""):
    if isinstance(value, dict):
        return {path + "{}"}.union(*(shape_of(member, f"{path}.{name}") for name, member in value.items()))
    if isinstance(value, list):
        return {path + "[]"}.union(*(shape_of(member, path + "[]") for member in value))
    return {f"{path}:{type(value).__name__}"}


@pytest.mark.needs("runc", "cgroup_v1")
def test_statistics_have_runcs_fields(runtime, bundle, scratch):
    """All that runc writes, hull-runtime writes; what it writes besides are zeros that runc leaves out."""
    it = bundle(["sleep", "300"], lambda config: config["linux"]["resources"].update(memory={"limit": 64 << 20}))
    peer = Runtime("runc", scratch / "runc")
    shapes = {}
    for one in (runtime, peer):
        id = one.create(it)
        one("start", id)
        event = json.loads(one("events", "--stats", id).out)
        event["data"]["memory"].pop("raw")
        shapes[one] = shape_of(event)
        one("delete", "--force", id)
    missing = {field for field in shapes[peer] - shapes[runtime] if ":" in field}
    assert not missing
    extra = {field for field in shapes[runtime] - shapes[peer] if ":" in field}
    assert all(re.match(r"\.data\.(cpu|memory|hugetlb)\.", field) for field in extra), extra


def test_events_follow_the_interval_and_tell_of_oom_kills(runtime, bundle):
    def change(config):
        config["linux"]["resources"]["memory"] = {"limit": 16 << 20, "swap": 16 << 20}
    id = runtime.create(bundle(shell("while sleep 0.1; do tail /dev/zero; done"), change))
    child = runtime.popen("events", "--interval", "100ms", id)
    runtime("start", id)
    seen = set()
    deadline = threading.Timer(30, child.kill)
    deadline.start()
    for line in child.stdout:
        event = json.loads(line)
        assert event["id"] == id
        seen.add(event["type"])
        if seen == {"stats", "oom"}:
            break
    deadline.cancel()
    assert seen == {"stats", "oom"}
    runtime("delete", "--force", id)
    child.communicate(timeout=20)
    for bad in ("0s", "x", "-5s"):
        assert "--interval" in runtime("events", "--interval", bad, id, code=1).err


def test_features_say_what_is_true_here(runtime):
    """Names and types are those of the specification's schema (features.md, features-linux.md)."""
    features = json.loads(runtime("features").out)
    assert features["ociVersionMin"] == "1.0.0" and features["ociVersionMax"] == "1.3.0"
    assert features["hooks"] == ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    assert features["mountOptions"] == sorted(set(features["mountOptions"]))
    linux = features["linux"]
    assert set(linux) == {"namespaces", "capabilities", "cgroup", "seccomp", "apparmor", "selinux", "intelRdt", "memoryPolicy",
                          "mountExtensions", "netDevices"}
    for kind in linux["namespaces"]:
        assert os.path.exists(f"/proc/self/ns/{ {'network': 'net', 'mount': 'mnt'}.get(kind, kind) }")
    mounts = open("/proc/self/mounts").read()
    assert linux["cgroup"]["v1"] == (" cgroup rw" in mounts) and linux["cgroup"]["v2"] == (" cgroup2 rw" in mounts)
    assert linux["apparmor"]["enabled"] == os.path.exists("/sys/kernel/security/apparmor/profiles")
    assert linux["intelRdt"]["enabled"] == (" resctrl " in mounts)
    assert linux["mountExtensions"] == {"idmap": {"enabled": True}} and linux["netDevices"] == {"enabled": True}
    assert set(linux["seccomp"]["supportedFlags"]) <= set(linux["seccomp"]["knownFlags"])
    assert "org.systemd.property." in features["potentiallyUnsafeConfigAnnotations"]
    assert all(isinstance(value, str) for value in features["annotations"].values())


def test_every_mount_option_of_features_can_be_used(runtime, bundle, scratch):
    (scratch / "source").mkdir()
    taken = json.loads(runtime("features").out)["mountOptions"]
    # What takes no bind mount, and what needs a user namespace or something to be mounted already.
    taken = [name for name in taken if name not in ("tmpcopyup", "idmap", "ridmap", "remount")]
    def change(config):
        config["mounts"] += [{"destination": f"/m{i}", "type": "bind", "source": str(scratch / "source"),
                              "options": ["rbind", name]} for i, name in enumerate(taken)]
    out = runtime("run", "--bundle", bundle(shell("ls -d /m* | wc -l"), change), runtime.new_id()).out
    assert out == f"{len(taken)}\n"


# --- kill and delete ---


def test_kill_and_delete_by_regular_expression(runtime, bundle):
    ids = [runtime.create(bundle(["sleep", "300"]), name=name) for name in ("kx1", "kx2", "other")]
    for id in ids:
        runtime("start", id)
    runtime("kill", "--regex", r"kx[0-9]+$", "KILL")
    wait_until(lambda: all(runtime.state(id)["status"] == "stopped" for id in ids[:2]), "the two have ended")
    assert runtime.state(ids[2])["status"] == "running"
    runtime("delete", "-r", "kx")
    assert runtime("list", "-q").out.split() == [ids[2]]
    assert "not stopped" in runtime("delete", "--regex", "other", code=1).err
    assert "no regular expression" in runtime("kill", "--regex", "[", "KILL", code=1).err
    runtime("kill", "--regex", "matches-nobody", "KILL")
    runtime("delete", "--force", ids[2])


def test_signals_by_every_name_and_number(runtime, bundle):
    it = bundle(shell("for s in HUP USR1 USR2 WINCH; do trap \"echo $s\" $s; done; echo ready; while :; do sleep 0.02; done"))
    id = runtime.new_id()
    child = runtime.popen("run", "--bundle", it, id)
    assert child.stdout.readline() == "ready\n"
    for how, name in (("HUP", "HUP"), ("SIGUSR1", "USR1"), ("12", "USR2"), ("winch", "WINCH"), ("sigusr2", "USR2")):
        runtime("kill", id, how)
        assert child.stdout.readline() == name + "\n"
    for bad in ("NOPE", "00", "65", "-1", "9x", " "):
        assert "signal" in runtime("kill", "--", id, bad, code=1).err
    runtime("kill", id, "SIGKILL")
    assert child.wait(20) == 137


# --- spec and check ---


def test_spec_writes_the_file_that_it_is_told(runtime, scratch):
    runtime("spec", "--file", scratch / "other.json")
    assert json.loads((scratch / "other.json").read_text())["ociVersion"] == "1.3.0"
    assert "exists" in runtime("spec", "-f", scratch / "other.json", code=1).err
    runtime("spec", "--rootless", "--bundle", scratch)
    linux = json.loads((scratch / "config.json").read_text())["linux"]
    assert {"type": "user"} in linux["namespaces"] and "resources" not in linux


WRONG = [
    ("process.args", "sh -c true", ["process.args: ", "must be an array", '"sh -c true"', "[config.md, Process]", "[ ]"]),
    ("process.cwd", "", ['process.cwd: "": must be an absolute path', "[config.md, Process]"]),
    ("process.user", {"uid": 4294967295}, ["process.user.uid: ", "[config.md, User]"]),
    ("process.user", {"uid": "root"}, ["process.user.uid: must be a whole number", '"root"', "[config.md, User]"]),
    ("process.rlimits", [{"type": "NOFILE", "soft": 1, "hard": 1}], ["process.rlimits[0].type: ", "did you mean RLIMIT_NOFILE?"]),
    ("process.capabilities", {"bounding": ["CAP_CHWON"]}, ["process.capabilities.bounding[0]: ", "did you mean CAP_CHOWN?"]),
    ("process.scheduler", {"policy": "SCHED_FIFO"}, ["process.scheduler.priority: ", "from 1 to 99"]),
    ("process.execCPUAffinity", {"initial": "0-"}, ["process.execCPUAffinity.initial: ", "0-3,7"]),
    ("process.oomScoreAdj", 1.5, ["process.oomScoreAdj: must be a whole number, is number 1.5"]),
    ("mounts", [{"destination": "/x"}], ["mounts[0].type: ", "[config.md, Mounts]"]),
    ("mounts", [{"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}], ["mounts[0].source: ", "does not exist"]),
    ("hooks", {"createRuntime": [{"path": "/no/such"}]}, ["hooks.createRuntime[0].path: ", "no program"]),
    ("linux.namespaces", [{"type": "mount"}, {"type": "uts", "path": "/proc/self/ns/mnt"}], ["linux.namespaces[1].path: "]),
    ("linux.namespaces", [{"type": "mount"}, {"type": "uts", "path": "/no/such"}], ["linux.namespaces[1].path: ", "/no/such: no such file"]),
    ("linux.devices", [{"path": "/dev/x", "type": "c"}], ["linux.devices[0].major: is missing", "linux.devices[0].minor: is missing"]),
    ("linux.netDevices", {"hullnone0": {}}, ["linux.netDevices.hullnone0: ", "no network device"]),
    ("linux.netDevices", {"eth0": "x"}, ["linux.netDevices.eth0: must be an object"]),
    ("linux.sysctl", {"net/ipv4/../../vm/swappiness": "1"}, ["linux.sysctl.net/ipv4", "no name of a kernel parameter"]),
    ("linux.sysctl", {"net.//.vm.swappiness": "1"}, ["no name of a kernel parameter"]),
    ("linux.memoryPolicy", {"mode": "MPOL_BIND"}, ["linux.memoryPolicy.nodes: ", "needs nodes"]),
    ("linux.memoryPolicy", {"mode": "MPOL_DEFAULT", "nodes": "0"}, ["linux.memoryPolicy.nodes: ", "takes no nodes"]),
    ("linux.personality", {"domain": "LINUX", "flags": ["X"]}, ["linux.personality.flags: ", "[config-linux.md, Personality]"]),
    ("linux.resources", {"cpu": {"cpus": "a", "mems": "-1"}}, ["linux.resources.cpu.cpus: ", "linux.resources.cpu.mems: "]),
    ("linux.resources", {"memory": {"limit": "64m"}}, ["linux.resources.memory.limit: must be a whole number", '"64m"', "[config-linux.md, Memory]"]),
    ("linux.seccomp", {"defaultAction": "ALLOW", "architectures": ["x86"], "syscalls": [{"names": [], "action": "SCMP_ACT_LOG"},
                       {"names": ["kill"], "action": "SCMP_ACT_ERNO"}]},
     ["linux.seccomp.defaultAction: ", "linux.seccomp.architectures[0]: ", "linux.seccomp.syscalls[0].names: ",
      "linux.seccomp.syscalls[1].action: ", "did you mean SCMP_ACT_ERRNO?", "[config-linux.md, Seccomp]"]),
    ("annotations", {"run.oci.handler": "krun"}, ["run.oci.handler"]),
]


@pytest.mark.parametrize("field,value,words", WRONG, ids=[f"{field}-{i}" for i, (field, _, _) in enumerate(WRONG)])
def test_check_names_what_is_wrong(runtime, bundle, field, value, words):
    """Path, value, rule with its section, remedy; and create refuses with the same words what check finds."""
    def change(config):
        *way, last = field.split(".")
        for name in way:
            config = config[name]
        config[last] = value
    it = bundle(["true"], change)
    done = runtime("check", "--bundle", it, code=1)
    for word in words:
        assert word in done.out, done.out
    assert done.err == ""


def test_check_tells_each_thing_once(runtime, bundle):
    """What follows from a field that could not be read is no further problem."""
    def change(config):
        config["process"]["args"] = 5
        config["process"]["scheduler"] = {}
        config["linux"]["devices"] = [{"path": "/dev/x"}]
    lines = runtime("check", "--bundle", bundle(["true"], change), code=1).out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["process.args", "process.scheduler.policy", "linux.devices[0].type"]


def test_check_notes_misspelt_names(runtime, bundle):
    def change(config):
        config["process"]["nonewprivileges"] = True
        config["linux"]["resources"]["memmory"] = {}
        config["mounts"][0]["option"] = []
        config["windows"] = {}
    done = runtime("check", "--bundle", bundle(["true"], change))
    notes = [line for line in done.out.splitlines() if line.startswith("note: ")]
    assert len(notes) == 3
    assert "note: process.nonewprivileges: " in done.out and "did you mean noNewPrivileges?" in done.out
    assert "note: linux.resources.memmory: " in done.out and "did you mean memory?" in done.out
    assert "note: mounts[0].option: " in done.out and "did you mean options?" in done.out
    assert "nothing is wrong" in done.out


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"a": 1, "a": 2}', b"[" * 500, b'{"hostname": "\xff"}', b"{}"])
def test_check_of_what_is_no_configuration(runtime, bundle, text):
    it = bundle(["true"])
    (it.path / "config.json").write_bytes(text)
    out = runtime("check", "--bundle", it, code=1).out
    assert out and len(out.splitlines()) == (3 if text == b"{}" else 1), out
    assert runtime("run", "--bundle", it, runtime.new_id(), code=1).err.count("\n") == 1


def test_a_process_is_needed(runtime, bundle):
    it = bundle(["true"], lambda config: config.pop("process"))
    assert "process: is missing" in runtime("check", "--bundle", it, code=1).out
    assert "process: is missing" in runtime("run", "--bundle", it, runtime.new_id(), code=1).err


# --- mounts ---


def test_remount_changes_what_is_mounted(runtime, bundle, scratch):
    (scratch / "source").mkdir()
    def change(config):
        config["mounts"] += [
            {"destination": "/a", "type": "bind", "source": str(scratch / "source"), "options": ["bind"]},
            {"destination": "/a", "type": "none", "options": ["bind", "remount", "ro", "noexec"]},
            {"destination": "/b", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
            {"destination": "/b", "type": "tmpfs", "options": ["remount", "size=2m", "nosuid"]}]
    out = runtime("run", "--bundle", bundle(shell("grep -E ' /(a|b) ' /proc/mounts; touch /a/x; touch /b/x"), change),
                  runtime.new_id(), check=False)
    mounts = {line.split()[1]: line.split()[3].split(",") for line in out.out.splitlines()}
    assert {"ro", "noexec"} <= set(mounts["/a"]) and {"size=2048k", "nosuid", "rw"} <= set(mounts["/b"])
    assert "Read-only" in out.err and out.code == 0
    def nowhere(config):
        config["mounts"].append({"destination": "/bin", "type": "none", "options": ["remount", "ro"]})
    done = runtime("run", "--bundle", bundle(["true"], nowhere), runtime.new_id(), code=1)
    assert "nothing is mounted" in done.err


def test_an_idmap_relative_to_the_container(runtime, bundle, scratch):
    """crun's @: the second number is an id of the container's."""
    (scratch / "source").mkdir()
    (scratch / "source" / "file").write_text("")
    os.chown(scratch / "source" / "file", 5, 5)
    def change(config):
        config["mounts"].append({"destination": "/x", "type": "bind", "source": str(scratch / "source"),
                                 "options": ["bind", "idmap=uids=@0-0-10;gids=@0-0-10"]})
    it = bundle(["stat", "-c", "%u:%g", "/x/file"], change).with_user_namespace()
    assert runtime("run", "--bundle", it, runtime.new_id()).out == "5:5\n"
    it.config["mounts"][-1]["options"][1] = "idmap=uids=@0-99999999-10"
    assert "not mapped" in runtime("run", "--bundle", it.save(), runtime.new_id(), code=1).err
