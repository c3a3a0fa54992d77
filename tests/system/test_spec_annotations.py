"""The annotations of crun's that hull-runtime carries out, and those that it refuses."""

import base64
import json
import os
import struct

import pytest

from harness.sockets import listen, received


def annotated(**more):
    """change(config) that sets annotations; `_` in a name stands for nothing else."""
    def change(config):
        config["annotations"] = {name.replace("__", "."): value for name, value in more.items()}
    return change


def shell(script):
    return ["sh", "-c", script]


def test_hooks_write_where_the_annotations_say(runtime, bundle, scratch):
    stages = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

    def change(config):
        config["hooks"] = {stage: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {stage}; echo {stage} failed >&2"]}]
                           for stage in stages}
        config["annotations"] = {"run.oci.hooks.stdout": str(scratch / "out"), "run.oci.hooks.stderr": str(scratch / "err")}

    it = bundle(shell("ls /proc/self/fd | wc -l"), change)
    (scratch / "out").write_text("before\n")
    done = runtime("run", "--bundle", it, runtime.new_id())
    assert done.err == "" and done.out == "4\n", "the program has neither the hooks' words nor their files"
    assert (scratch / "out").read_text().split() == ["before", *stages]
    assert (scratch / "err").read_text().splitlines() == [f"{stage} failed" for stage in stages]


def test_a_hook_that_fails_is_still_quoted(runtime, bundle, scratch):
    def change(config):
        config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo sorry >&2; exit 3"]}]}
        config["annotations"] = {"run.oci.hooks.stderr": str(scratch / "err")}

    done = runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), code=1)
    assert '"sorry"' in done.err and done.err.count("sorry") == 1
    assert (scratch / "err").read_text() == "sorry\n"


def test_a_file_for_hooks_that_cannot_be_opened_is_named(runtime, bundle, scratch):
    it = bundle(["true"], annotated(run__oci__hooks__stdout=str(scratch / "no" / "such")))
    assert "run.oci.hooks.stdout" in runtime("run", "--bundle", it, runtime.new_id(), code=1).err


def test_a_receiver_gets_the_pidfd(runtime, bundle, scratch):
    with listen(scratch / "pidfd") as listener:
        id = runtime.create(bundle(["sleep", "300"], annotated(run__oci__pidfd_receiver=str(scratch / "pidfd"))))
        _, pidfd = received(listener)
    with open(f"/proc/self/fdinfo/{pidfd}") as info:
        assert f"Pid:\t{runtime.state(id)['pid']}\n" in info.read()
    os.close(pidfd)
    runtime("delete", "--force", id)


@pytest.mark.parametrize("by", ["annotation", "environment"])
def test_a_seccomp_agent_without_a_listener_path(runtime, bundle, scratch, by):
    path = str(scratch / "agent")

    def change(config):
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                                      "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}
        if by == "annotation":
            config["annotations"] = {"run.oci.seccomp.receiver": path}

    environment = {"RUN_OCI_SECCOMP_RECEIVER": path} if by == "environment" else {}
    it = bundle(["sh", "-c", "exit 3"], change)
    with listen(path) as listener:
        child = runtime.popen("run", "--bundle", it, runtime.new_id(), env={**os.environ, **environment})
        message, fd = received(listener)
        assert child.wait(20) == 3
    assert json.loads(message)["fds"] == ["seccompFd"]
    assert os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:seccomp notify"
    os.close(fd)
    if by == "environment":
        done = runtime("run", "--bundle", it, runtime.new_id(), code=1)
        assert "linux.seccomp.syscalls[0].action" in done.err and "listenerPath" in done.err


def test_an_unknown_system_call_is_an_error_when_asked_for(runtime, bundle):
    def change(config):
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW",
                                      "syscalls": [{"names": ["mkdri"], "action": "SCMP_ACT_ERRNO"}]}
    it = bundle(["true"], change)
    runtime("run", "--bundle", it, runtime.new_id())
    it.config["annotations"] = {"run.oci.seccomp_fail_unknown_syscall": "1"}
    assert '"mkdri"' in runtime("run", "--bundle", it.save(), runtime.new_id(), code=1).err


def test_a_ready_filter_is_loaded_in_run_and_exec(runtime, bundle):
    """BPF by hand: mkdir answers EXDEV, all else is allowed."""
    statement = struct.Struct("=HBBI").pack
    program = b"".join([statement(0x20, 0, 0, 0), statement(0x15, 0, 1, 83), statement(0x06, 0, 0, 0x00050012),
                        statement(0x06, 0, 0, 0x7fff0000)])

    def change(config):
        config["annotations"] = {"run.oci.seccomp_bpf_data": base64.b64encode(program).decode()}
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_KILL"}

    it = bundle(["sleep", "300"], change)
    id = runtime.create(it)
    runtime("start", id)
    done = runtime("exec", id, "sh", "-c", "mkdir /x; grep Seccomp: /proc/self/status", check=False)
    assert "Invalid cross-device link" in done.err and done.out.split() == ["Seccomp:", "2"]
    runtime("delete", "--force", id)
    it.config["annotations"]["run.oci.seccomp_bpf_data"] = "AAAA"
    assert "run.oci.seccomp_bpf_data" in runtime("run", "--bundle", it.save(), runtime.new_id(), code=1).err


def test_the_callers_groups_are_kept_when_asked_for(runtime, bundle):
    it = bundle(shell("id -G"), annotated(run__oci__keep_original_groups="1"))
    done = runtime("run", "--bundle", it, runtime.new_id(), preexec_fn=lambda: os.setgroups([7, 8]))
    assert set(done.out.split()) == {"0", "7", "8"}
    id = runtime.create(bundle(["sleep", "300"], annotated(run__oci__keep_original_groups="1")))
    runtime("start", id)
    assert set(runtime("exec", id, "id", "-G", preexec_fn=lambda: os.setgroups([9])).out.split()) == {"0", "9"}
    runtime("delete", "--force", id)


def test_a_delegated_cgroup_is_below_the_containers_own(runtime, bundle):
    """The container sees its process in the delegated cgroup, and that below the root of its view."""
    if not any(line.startswith("0::") for line in open("/proc/self/cgroup")):
        pytest.skip("needs a cgroup v2 hierarchy")
    id = runtime.create(bundle(["sleep", "300"], annotated(**{"run.oci.delegate-cgroup": "mine"})))
    runtime("start", id)
    pid = runtime.state(id)["pid"]
    with open(f"/proc/{pid}/cgroup") as lines:
        outside = next(line.rstrip("\n") for line in lines if line.startswith("0::"))
    assert outside.endswith("/mine")
    inside = runtime("exec", id, "cat", "/proc/1/cgroup").out.splitlines()
    assert "0::/mine" in inside
    assert len(json.loads(runtime("ps", "-f", "json", id).out)) == 1
    runtime("delete", "--force", id)
    done = runtime("run", "--bundle", bundle(["true"], annotated(**{"run.oci.delegate-cgroup": "../x"})),
                   runtime.new_id(), code=1)
    assert "run.oci.delegate-cgroup" in done.err


@pytest.mark.needs("cgroup_v1", "cgroup:name=systemd")
def test_systemds_v1_hierarchy_where_it_is_asked_for(runtime, bundle):
    it = bundle(shell("grep ' /sys/fs/cgroup ' /proc/mounts; ls /sys/fs/cgroup"),
                annotated(run__oci__systemd__force_cgroup_v1="/sys/fs/cgroup"))
    out = runtime("run", "--bundle", it, runtime.new_id()).out
    assert "name=systemd" in out.splitlines()[0] and "cgroup.procs" in out


@pytest.mark.parametrize("name,value", [("run.oci.handler", "krun"), ("run.oci.seccomp.plugins", "a.so")])
def test_what_only_crun_can_do_is_refused(runtime, bundle, name, value):
    done = runtime("run", "--bundle", bundle(["true"], annotated(**{name: value})), runtime.new_id(), code=1)
    assert name in done.err and "crun" in done.err
