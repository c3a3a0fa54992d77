"""The process of the runtime specification, in run and in exec: user, privileges, limits, program, terminal."""

import json
import os
import pty
import re
import select
import signal
import socket
from pathlib import Path

import pytest

from harness.bundles import Runtime
from harness.programs import run
from harness.waiting import wait_until


def shell(script):
    return ["sh", "-c", script]


def run_it(runtime, bundle, **how):
    return runtime("run", "--bundle", bundle, runtime.new_id(), **how)


def process(**fields):
    return lambda config: config["process"].update(fields)


def status(out):
    return dict(line.split(":\t", 1) for line in out.splitlines() if ":\t" in line)


@pytest.fixture
def running(runtime, bundle):
    """running(change) -> id of a container that sleeps."""
    ids = []

    def start(change=None, args=("sleep", "1000"), user_namespace=False):
        it = bundle(list(args), change)
        if user_namespace:
            it.with_user_namespace()
        ids.append(runtime.create(it))
        runtime("start", ids[-1])
        return ids[-1]

    yield start
    for id in ids:
        runtime("delete", "--force", id)


# --- user and groups ---


def test_user_groups_and_umask(runtime, bundle):
    it = bundle(shell("id; umask; touch /tmp/x && stat -c %a /tmp/x"),
                process(user={"uid": 1000, "gid": 1001, "umask": 0o077, "additionalGids": [5, 10]}))
    (it.rootfs / "tmp").chmod(0o1777)
    out = run_it(runtime, it).out
    assert re.search(r"uid=1000\S* gid=1001\S* groups=5\S*,10\S*,?(1001)?", out) or "groups=1001,5" in out
    assert out.split()[-2:] == ["0077", "600"]


def test_the_default_umask_is_runcs(runtime, bundle):
    assert run_it(runtime, bundle(shell("umask"))).out == "0022\n"


def test_the_callers_groups_are_left_behind(runtime, bundle):
    it = bundle(shell("id -G"))
    done = runtime("run", "--bundle", it, runtime.new_id(), preexec_fn=lambda: os.setgroups([7, 8, 9]))
    assert done.out.split() == ["0"]


def test_home_comes_from_the_images_passwd(runtime, bundle):
    it = bundle(shell("echo $HOME"), process(user={"uid": 77, "gid": 77}))
    (it.rootfs / "etc").mkdir(exist_ok=True)
    (it.rootfs / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nsome:x:77:77::/home/some:/bin/sh\n")
    assert run_it(runtime, it).out == "/home/some\n"
    it.config["process"]["user"]["uid"] = 78
    assert run_it(runtime, it.save()).out == "/\n"
    it.config["process"]["env"].append("HOME=/given")
    assert run_it(runtime, it.save()).out == "/given\n"


def test_a_passwd_that_is_a_fifo_does_not_hang_anything(runtime, bundle):
    it = bundle(shell("echo $HOME"))
    (it.rootfs / "etc").mkdir(exist_ok=True)
    passwd = it.rootfs / "etc/passwd"
    passwd.unlink(missing_ok=True)
    os.mkfifo(passwd)
    assert run_it(runtime, it).out == "/\n"


# --- privileges ---


def test_the_five_capability_sets(runtime, bundle):
    sets = {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], "effective": ["CAP_KILL"],
            "permitted": ["CAP_CHOWN", "CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}
    it = bundle(["cat", "/proc/self/status"],
                process(capabilities=sets, user={"uid": 1000, "gid": 1000}))
    seen = status(run_it(runtime, it).out)
    kill, chown, raw = 1 << 5, 1 << 0, 1 << 13
    assert int(seen["CapBnd"], 16) == kill | chown | raw
    assert int(seen["CapInh"], 16) == int(seen["CapAmb"], 16) == kill
    # execve(2): an ordinary user keeps what is ambient.
    assert int(seen["CapPrm"], 16) == int(seen["CapEff"], 16) == kill


def test_no_capabilities_section_means_none(runtime, bundle):
    it = bundle(["cat", "/proc/self/status"], lambda config: config["process"].pop("capabilities"))
    seen = status(run_it(runtime, it).out)
    assert all(int(seen[name], 16) == 0 for name in ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"))


@pytest.mark.parametrize("on", [True, False])
def test_no_new_privileges_and_a_setuid_program(runtime, bundle, payload, on):
    it = bundle(["/setuid", "identity"], process(noNewPrivileges=on, user={"uid": 1000, "gid": 1000}))
    run("cp", payload, it.rootfs / "setuid")
    (it.rootfs / "setuid").chmod(0o4755)
    assert run_it(runtime, it).out.splitlines()[0].split()[2] == ("1000" if on else "0")


def test_seccomp_with_and_without_no_new_privileges(runtime, bundle):
    for on in (True, False):
        def change(config):
            config["process"]["noNewPrivileges"] = on
            config["linux"]["seccomp"] = {
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
        out = run_it(runtime, bundle(shell("mkdir /x 2>&1; grep -E 'Seccomp:|NoNewPrivs' /proc/self/status"), change)).out
        assert "not supported" in out and status(out) == {"Seccomp": "2", "NoNewPrivs": str(int(on))}


def test_a_filter_that_refuses_all_but_a_few_calls_still_lets_the_program_start(runtime, bundle, payload):
    """Only execve follows the filter: what setting up needs is no part of what a profile must allow."""
    def change(config):
        config["process"].update(noNewPrivileges=False, user={"uid": 1000, "gid": 1000})
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["execve", "brk", "arch_prctl", "mprotect", "exit_group", "write", "fstat", "set_tid_address",
                                    "set_robust_list", "rseq", "prlimit64", "readlink", "readlinkat", "getrandom", "mmap",
                                    "newfstatat", "munmap"], "action": "SCMP_ACT_ALLOW"}]}
    it = bundle(["/payload", "exit", "42"], change)
    run("cp", payload, it.rootfs / "payload")
    run_it(runtime, it, code=42)


def test_seccomp_listener(runtime, bundle, scratch):
    path = str(scratch / "listener")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listener.settimeout(30)

    def change(config):
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "listenerPath": path,
            "listenerMetadata": "of the test",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}
    id = runtime.create(bundle(["sleep", "1000"], change))
    peer, _ = listener.accept()
    text, fds, _, _ = socket.recv_fds(peer, 65536, 4)
    state = json.loads(text)
    assert state["fds"] == ["seccompFd"] and state["metadata"] == "of the test" and len(fds) == 1
    assert state["state"]["id"] == id and state["pid"] == runtime.state(id)["pid"]
    assert os.readlink(f"/proc/self/fd/{fds[0]}") == "anon_inode:seccomp notify"
    os.close(fds[0])
    runtime("delete", "--force", id)


def test_a_session_keyring_of_its_own(runtime, bundle, payload):
    it = bundle(["/payload", "key", "find", "hull-test-key"])
    run("cp", payload, it.rootfs / "payload")
    it_has = run(payload, "key", "with", "hull-test-key", payload, "key", "find", "hull-test-key")
    assert it_has.out == "find ok\n"
    done = run(payload, "key", "with", "hull-test-key", *runtime.arguments("run", "--bundle", it, runtime.new_id()), check=False)
    assert done.out == "find ENOKEY\n"


# --- limits and scheduling ---


def test_rlimits(runtime, bundle):
    limits = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
              {"type": "RLIMIT_STACK", "soft": 4194304, "hard": 18446744073709551615}]
    out = run_it(runtime, bundle(["cat", "/proc/self/limits"], process(rlimits=limits))).out
    rows = {line[:26].strip(): line[26:].split()[:2] for line in out.splitlines()}
    assert rows["Max open files"] == ["100", "200"] and rows["Max core file size"] == ["0", "0"]
    assert rows["Max stack size"] == ["4194304", "unlimited"]


def test_a_limit_that_may_not_be_raised_is_a_warning(runtime, bundle):
    """Without CAP_SYS_RESOURCE a container still starts, with as much as its caller may give."""
    limits = [{"type": "RLIMIT_NOFILE", "soft": 2000, "hard": 5000}]
    it = bundle(shell("ulimit -n; ulimit -Hn"), process(rlimits=limits))

    def lower():
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (1500, 1500))
    done = runtime("run", "--bundle", it, runtime.new_id(), preexec_fn=lower)
    if done.out.split() == ["2000", "5000"]:
        pytest.skip("this caller has CAP_SYS_RESOURCE and may raise limits")
    assert done.out.split() == ["1500", "1500"] and "RLIMIT_NOFILE stays at 1500" in done.err


def test_oom_score_adjustment(runtime, bundle):
    it = bundle(["cat", "/proc/self/oom_score_adj"], process(oomScoreAdj=321))
    assert run_it(runtime, it).out == "321\n"
    assert run_it(runtime, it.with_user_namespace()).out == "321\n"


def test_scheduler_io_priority_and_personality(runtime, bundle):
    def change(config):
        process(scheduler={"policy": "SCHED_BATCH", "nice": 5},
                ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 0})(config)
        config["linux"]["personality"] = {"domain": "LINUX32"}
    out = run_it(runtime, bundle(shell("cut -d' ' -f19,41 /proc/self/stat; ionice; uname -m"), change)).out
    assert out.split() == ["5", "3", "idle", "i686"] or out.split()[:2] == ["5", "3"] and out.split()[-1] == "i686"
    assert "idle" in out


def test_memory_policy(runtime, bundle):
    def change(config):
        config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    assert "bind:0" in run_it(runtime, bundle(["cat", "/proc/self/numa_maps"], change)).out


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_exec_cpu_affinity(runtime, running):
    id = running(process(execCPUAffinity={"initial": "0-1", "final": "1"}))
    out = runtime("exec", id, "grep", "Cpus_allowed_list", "/proc/self/status").out
    assert out.split()[-1] == "1"


# --- directory, program, environment ---


def test_cwd_is_made_and_entered(runtime, bundle):
    assert run_it(runtime, bundle(shell("pwd"), process(cwd="/new/folder"))).out == "/new/folder\n"


def test_a_cwd_that_only_the_user_may_enter(runtime, bundle):
    it = bundle(shell("pwd"), process(cwd="/home/u", user={"uid": 1000, "gid": 1000},
                                      capabilities={"bounding": [], "effective": [], "permitted": []}))
    (it.rootfs / "home/u").mkdir(parents=True)
    os.chown(it.rootfs / "home/u", 1000, 1000)
    (it.rootfs / "home/u").chmod(0o700)
    assert run_it(runtime, it).out == "/home/u\n"


def test_a_cwd_behind_a_descriptor_of_the_host_is_refused(runtime, bundle):
    """CVE-2024-21626: cwd is /proc/self/fd/N of a descriptor that leads to the host."""
    folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(3, 40):
            it = bundle(shell("pwd; ls /etc/hostname"), process(cwd=f"/proc/self/fd/{number}"),
                        rootfs=None) if number == 3 else it
            it.config["process"]["cwd"] = f"/proc/self/fd/{number}"
            it.save()
            done = runtime("run", "--bundle", it, runtime.new_id(), check=False, pass_fds=(folder,))
            assert done.code == 1 and done.out == "", (number, str(done))
    finally:
        os.close(folder)


@pytest.mark.parametrize("args,words", [
    (["no-such"], 'exec: "no-such": executable file not found in $PATH'),
    (["/no/such"], 'exec: "/no/such": stat /no/such: no such file or directory'),
    (["/etc"], 'exec: "/etc": is a directory: permission denied'),
    (["/plain"], 'exec: "/plain": permission denied')])
def test_a_program_that_cannot_run_is_told_in_runcs_words(runtime, bundle, running, args, words):
    it = bundle(args)
    (it.rootfs / "etc").mkdir(exist_ok=True)
    (it.rootfs / "plain").write_text("no program")
    done = run_it(runtime, it, code=1)
    assert words in done.err and done.err.count("\n") == 1
    if args[0] != "/plain":
        id = running()
        assert words in runtime("exec", id, *args, code=255).err


def test_create_already_says_that_the_program_is_missing(runtime, bundle):
    done = runtime("create", "--bundle", bundle(["no-such"]), runtime.new_id(), code=1)
    assert "executable file not found in $PATH" in done.err


def test_a_file_that_the_kernel_cannot_execute_is_reported(runtime, bundle):
    it = bundle(["/garbage"])
    (it.rootfs / "garbage").write_bytes(b"\x7fnot an elf")
    (it.rootfs / "garbage").chmod(0o755)
    assert "exec /garbage" in run_it(runtime, it, code=1).err


def test_the_environment_is_exactly_the_configurations(runtime, bundle):
    it = bundle(["env"], process(env=["PATH=/bin:/usr/bin", "A=1", "HOME=/h"]))
    done = runtime("run", "--bundle", it, runtime.new_id(), env={"LEAKED": "yes"})
    assert sorted(done.out.split()) == ["A=1", "HOME=/h", "PATH=/bin:/usr/bin"]


def test_signals_start_at_their_defaults(runtime, bundle):
    it = bundle(["grep", "-E", "SigIgn|SigBlk", "/proc/self/status"])

    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    done = runtime("run", "--bundle", it, runtime.new_id(), preexec_fn=ignore)
    assert [int(line.split()[1], 16) for line in done.out.splitlines()] == [0, 0]


# --- descriptors and terminal ---


def test_no_descriptor_of_the_host_reaches_the_program(runtime, bundle):
    extra = os.open("/etc/hostname", os.O_RDONLY)
    done = runtime("run", "--bundle", bundle(["ls", "/proc/self/fd"]), runtime.new_id(), pass_fds=(extra,))
    os.close(extra)
    assert done.out.split() == ["0", "1", "2", "3"]  # 3 is ls's own


def test_preserved_descriptors_keep_their_numbers(runtime, bundle, scratch):
    (scratch / "kept").write_text("kept\n")
    script = 'exec 3<"$0/kept" 4<"$0/kept" 5<"$0/kept"; exec "$@"'
    id = runtime.new_id()
    done = run("sh", "-c", script, scratch, *runtime.arguments(
        "run", "--preserve-fds", "2", "--bundle", bundle(shell("cat <&3; cat <&4; cat <&5")), id), check=False)
    assert done.out == "kept\nkept\n" and "5" in done.err


def test_pipes_belong_to_the_user(runtime, bundle):
    """nginx reopens /dev/stdout."""
    it = bundle(shell("echo reopened > /dev/stdout"), process(user={"uid": 1000, "gid": 1000}))
    assert run_it(runtime, it).out == "reopened\n"
    assert run_it(runtime, it.with_user_namespace()).out == "reopened\n"


def receive_master(listener):
    peer, _ = listener.accept()
    _, fds, _, _ = socket.recv_fds(peer, 4096, 1)
    return fds[0]


def read_until(fd, wanted):
    text = b""
    while wanted not in text:
        ready, _, _ = select.select([fd], [], [], 20)
        assert ready, f"nothing more after {text!r}"
        text += os.read(fd, 4096)
    return text.decode()


@pytest.mark.parametrize("in_user_namespace", [False, True])
def test_a_terminal_through_the_console_socket(runtime, bundle, scratch, payload, in_user_namespace):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(scratch / "console"))
    listener.listen()

    def change(config):
        config["process"]["consoleSize"] = {"height": 33, "width": 99}
        config["process"]["user"] = {"uid": 1000, "gid": 1000}
    it = bundle(shell("tty; stty size; ls -l /dev/console | cut -c1; stat -c %u $(tty); test /dev/tty -ef x; echo end"),
                change, terminal=True)
    if in_user_namespace:
        it.with_user_namespace()
    id = runtime.create(it, "--console-socket", scratch / "console")
    master = receive_master(listener)
    runtime("start", id)
    words = read_until(master, b"end").split()
    assert words == ["/dev/pts/0", "33", "99", "c", "1000", "end"]
    os.close(master)
    runtime("delete", "--force", id)


def test_exec_with_a_terminal(runtime, running, scratch):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(scratch / "console"))
    listener.listen()
    id = running()
    runtime("exec", "--detach", "--tty", "--console-socket", scratch / "console", id,
            "sh", "-c", "tty; ps -o pid,tty | grep -c pts || true; sleep 0.1; echo end")
    master = receive_master(listener)
    assert read_until(master, b"end").split()[0] == "/dev/pts/0"
    os.close(master)


def test_a_console_of_the_images_is_not_followed(runtime, bundle, scratch):
    """CVE-2025-52565: /dev/console of an image that brings its own /dev is a link."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(scratch / "console"))
    listener.listen()

    def change(config):
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/dev"]
    it = bundle(["true"], change, terminal=True)
    (it.rootfs / "dev").mkdir(exist_ok=True)
    console = it.rootfs / "dev/console"
    if console.exists():
        console.unlink()
    console.symlink_to("/proc/sys/kernel/core_pattern")
    before = open("/proc/sys/kernel/core_pattern").read()
    done = runtime("create", "--bundle", it, "--console-socket", scratch / "console", runtime.new_id(), check=False)
    assert done.code == 1 and "/dev/console" in done.err
    assert open("/proc/sys/kernel/core_pattern").read() == before


# --- exec ---


def test_exec_has_what_the_container_has(runtime, running):
    id = running()
    script = "for n in pid net ipc uts mnt cgroup user; do readlink /proc/$1/ns/$n; done"
    assert runtime("exec", id, "sh", "-c", script, "sh", "self").out == \
        runtime("exec", id, "sh", "-c", script, "sh", "1").out
    cgroups = "cat /proc/$1/cgroup"
    assert runtime("exec", id, "sh", "-c", cgroups, "sh", "self").out == \
        runtime("exec", id, "sh", "-c", cgroups, "sh", "1").out


def test_exec_in_a_user_namespace(runtime, running):
    id = running(user_namespace=True)
    out = runtime("exec", "--user", "1000:1000", id, "sh", "-c", "id -u; id -g; cat /proc/self/uid_map; grep Cap /proc/self/status").out
    assert out.split()[:5] == ["1000", "1000", "0", "100000", "65536"]
    assert int(status(out)["CapEff"], 16) == 0


def test_exec_is_not_dumpable_and_leaks_nothing(runtime, running, payload):
    id = running()
    out = runtime("exec", id, "sh", "-c", "ls -l /proc/self/fd; cat /proc/self/status").out
    assert "hull-runtime" not in out
    assert int(status(out)["CapInh"], 16) == 0  # CVE-2022-29162


def test_exec_in_a_container_that_has_ended(runtime, bundle):
    id = runtime.create(bundle(["true"]))
    runtime("start", id)
    while runtime.state(id)["status"] != "stopped":
        pass
    assert "container not running" in runtime("exec", id, "true", code=255).err
    runtime("delete", id)


def test_exec_exit_codes_and_streams(runtime, running):
    id = running()
    done = runtime("exec", id, "sh", "-c", "cat; echo err >&2; exit 9", code=9, input="given")
    assert (done.out, done.err) == ("given", "err\n")


# --- small memory ---


@pytest.mark.needs("cgroup:memory")
def test_a_container_with_two_megabytes_starts(runtime, bundle, payload):
    def change(config):
        config["linux"]["cgroupsPath"] = f"/hull-spec-small-{os.getpid()}"
        config["linux"]["resources"] = {"memory": {"limit": 2 * 1024 * 1024}}
    it = bundle(["/payload", "exit", "5"], change)
    run("cp", payload, it.rootfs / "payload")
    run_it(runtime, it, code=5)


@pytest.mark.needs("cgroup:memory", "cgroup_v1")
def test_busybox_starts_in_two_megabytes_and_nothing_is_killed_for_memory(runtime, bundle):
    """On the way there, the container's first process has what its parent had: that counts against the limit."""
    cgroup = f"hull-spec-two-{os.getpid()}"

    def change(config):
        config["linux"]["cgroupsPath"] = "/" + cgroup
        config["linux"]["resources"] = {"memory": {"limit": 2 * 1024 * 1024}}
    it = bundle(["/bin/true"], change)
    run_it(runtime, it)
    id = runtime.create(it)
    runtime("start", id)
    wait_until(lambda: runtime.state(id)["status"] == "stopped", "the end of /bin/true")
    control = Path("/sys/fs/cgroup/memory", cgroup, "memory.oom_control").read_text()
    assert "oom_kill 0" in control.splitlines(), control
    assert int(Path("/sys/fs/cgroup/memory", cgroup, "memory.limit_in_bytes").read_text()) == 2 * 1024 * 1024
    runtime("delete", id)


# --- beside the peers ---


@pytest.mark.needs("runc", "cgroup_v1")
def test_the_process_looks_as_under_runc(runtime, bundle, scratch):
    script = ("id; umask; pwd; env | sort; grep -E 'Cap|NoNew|Seccomp|Groups|Sig(Blk|Ign|Cgt)' /proc/self/status;"
              "ulimit -a; cat /proc/self/oom_score_adj; ls /proc/self/fd; ls -l /dev | tr -s ' ' | cut -d' ' -f1-6;"
              "cut -d' ' -f5-8 /proc/self/stat")
    it = bundle(shell(script), process(user={"uid": 5, "gid": 6, "additionalGids": [7]}))
    peer = Runtime("runc", scratch / "runc")
    theirs = peer("run", "--bundle", it, peer.new_id()).out
    assert run_it(runtime, it).out == theirs
