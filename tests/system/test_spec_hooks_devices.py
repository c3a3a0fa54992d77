"""In-container hooks, devices and Landlock of the runtime specification."""

import json
import os
import stat
import subprocess

import pytest

from harness.programs import run


def shell(script):
    return ["sh", "-c", script]


def run_it(runtime, bundle, **how):
    return runtime("run", "--bundle", bundle, runtime.new_id(), **how)


def hook(script, **more):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"], **more}


# --- hooks ---


def test_create_container_hooks_see_the_mounts_but_the_callers_root(runtime, bundle, scratch):
    """They run in the container's namespaces, before the root changes, with paths of the runtime's."""
    log = scratch / "log"

    def change(config):
        config["hooks"] = {"createContainer": [hook(
            f"cat > {log}; readlink /proc/self/ns/mnt >> {log}; hostname >> {log};"
            f"grep -c '{scratch}/bundle1/rootfs/proc ' /proc/self/mountinfo >> {log}")]}
    out = run_it(runtime, bundle(["readlink", "/proc/self/ns/mnt"], change)).out
    text = log.read_text()
    end = text.rindex("}") + 1
    state = json.loads(text[:end])
    assert state["status"] == "creating" and state["bundle"] == f"{scratch}/bundle1" and state["pid"] > 0
    assert text[end:].split() == [out.strip(), "hull-test", "1"]


def test_a_mount_that_a_create_container_hook_makes_is_in_the_container(runtime, bundle, scratch):
    def change(config):
        config["hooks"] = {"createContainer": [hook(f"mount -t tmpfs hooked {scratch}/bundle1/rootfs/mnt")]}
    it = bundle(shell("grep hooked /proc/self/mountinfo"), change)
    (it.rootfs / "mnt").mkdir(exist_ok=True)
    assert " /mnt " in run_it(runtime, it).out


def test_start_container_hooks_run_inside_at_start(runtime, bundle):
    def change(config):
        config["hooks"] = {"startContainer": [hook("cat > /tmp/state; echo $$ > /tmp/pid; pwd > /tmp/root; ls / > /tmp/ls")]}
    it = bundle(["sleep", "1000"], change)
    (it.rootfs / "tmp").mkdir(exist_ok=True)
    id = runtime.create(it)
    assert not (it.rootfs / "tmp/state").exists()
    runtime("start", id)
    while not (it.rootfs / "tmp/ls").exists():
        pass
    assert json.loads((it.rootfs / "tmp/state").read_text())["status"] == "created"
    assert (it.rootfs / "tmp/root").read_text() == "/\n"
    runtime("delete", "--force", id)


@pytest.mark.parametrize("stage", ["prestart", "createRuntime", "createContainer", "startContainer"])
def test_a_failing_hook_ends_the_container_and_is_named(runtime, bundle, scratch, stage):
    def change(config):
        config["hooks"] = {stage: [hook("exit 0"), hook("echo because >&2; exit 4")],
                           "poststop": [hook(f"echo stopped >> {scratch}/log")]}
    err = run_it(runtime, bundle(["true"], change), code=1).err
    assert f"{stage} hook 1 (/bin/sh)" in err and "status 4" in err and "because" in err


def test_a_hook_that_takes_too_long_is_killed(runtime, bundle):
    def change(config):
        config["hooks"] = {"createContainer": [hook("sleep 1000", timeout=1)]}
    assert "timeout" in run_it(runtime, bundle(["true"], change), code=1).err


def test_the_order_of_all_hooks(runtime, bundle, scratch):
    log = scratch / "log"

    def change(config):
        config["hooks"] = {stage: [hook(f"echo {stage} >> {log}")] for stage in
                           ("prestart", "createRuntime", "createContainer", "poststart", "poststop")}
        config["hooks"]["startContainer"] = [hook("echo startContainer >> /log")]
        config["mounts"].append({"destination": "/log", "source": str(log), "options": ["bind"]})
    log.write_text("")
    run_it(runtime, bundle(shell("echo program >> /log; sleep 1"), change))
    assert log.read_text().split() in (
        ["prestart", "createRuntime", "createContainer", "startContainer", "program", "poststart", "poststop"],
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "program", "poststop"])


# --- devices ---


LIST = "stat -c '%n %F %t:%T %a %u %g'"


def test_the_default_devices_and_links(runtime, bundle):
    out = run_it(runtime, bundle(shell(
        f"{LIST} /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; "
        "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; ls /dev"))).out
    for line in ("/dev/null character special file 1:3 666 0 0", "/dev/zero character special file 1:5 666 0 0",
                 "/dev/full character special file 1:7 666 0 0", "/dev/tty character special file 5:0 666 0 0"):
        assert line in out
    assert "/proc/self/fd/2" in out and "pts/ptmx" in out
    assert out.split()[-15:] == ["fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
                                 "stdout", "tty", "urandom", "zero"] or "mqueue" in out.split()[-14:]


@pytest.mark.parametrize("in_user_namespace", [False, True])
def test_devices_of_the_configuration(runtime, bundle, in_user_namespace):
    def change(config):
        config["linux"]["devices"] = [
            {"path": "/dev/deep/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 3, "gid": 4},
            {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o644},
            {"path": "/dev/queue", "type": "p", "fileMode": 0o600}]
    it = bundle(shell(f"{LIST} /dev/deep/fuse /dev/null /dev/queue"), change)
    if in_user_namespace:
        it.with_user_namespace()
    assert run_it(runtime, it).out.splitlines() == [
        "/dev/deep/fuse character special file a:e5 640 3 4", "/dev/null character special file 1:3 644 0 0",
        "/dev/queue fifo 0:0 600 0 0"]


def test_a_device_outside_dev(runtime, bundle):
    def change(config):
        config["linux"]["devices"] = [{"path": "/srv/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o622,
                                       "uid": 7, "gid": 8}]
    assert run_it(runtime, bundle(shell(f"{LIST} /srv/zero"), change)).out == \
        "/srv/zero character special file 1:5 622 7 8\n"


@pytest.mark.parametrize("in_user_namespace", [False, True])
@pytest.mark.parametrize("other", ["file", "folder", "link", "node"])
def test_a_device_where_the_image_has_another_file(runtime, bundle, in_user_namespace, other):
    """config-linux.md, Devices: the runtime must generate an error."""
    def change(config):
        config["linux"]["devices"] = [{"path": "/srv/zero", "type": "c", "major": 1, "minor": 5}]
    it = bundle(["true"], change)
    path = it.rootfs / "srv/zero"
    path.parent.mkdir(exist_ok=True)
    {"file": lambda: path.write_text("of the image"), "folder": path.mkdir, "link": lambda: path.symlink_to("/etc/passwd"),
     "node": lambda: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))}[other]()
    if in_user_namespace:
        it.with_user_namespace()
    done = runtime("run", "--bundle", it, runtime.new_id(), code=1)
    assert "device /srv/zero: the root file system has another file there" in done.err
    assert other != "file" or path.read_text() == "of the image"


@pytest.mark.parametrize("in_user_namespace", [False, True])
def test_a_device_that_the_image_has_already(runtime, bundle, in_user_namespace):
    """Also a second run with the root of the first, which has made it, or an empty file to bind it to."""
    def change(config):
        config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]
        config["linux"]["devices"] = [{"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o622},
                                      {"path": "/dev/full", "type": "c", "major": 1, "minor": 7, "fileMode": 0o622},
                                      {"path": "/dev/queue", "type": "p", "fileMode": 0o600}]
    it = bundle(shell(f"{LIST} /dev/zero /dev/queue; head -c3 /dev/zero | wc -c"), change)
    (it.rootfs / "dev").mkdir(exist_ok=True)
    os.mknod(it.rootfs / "dev/zero", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    if in_user_namespace:
        it.with_user_namespace()
    for _ in range(2):
        lines = run_it(runtime, it).out.splitlines()
        assert "character special file 1:5" in lines[0] and lines[1:] == ["/dev/queue fifo 0:0 600 0 0", "3"]
        assert in_user_namespace or lines[0].endswith("622 0 0")


def test_an_image_that_brings_its_own_dev(runtime, bundle):
    """No mount on /dev: nodes and links go into the image's folder."""
    def change(config):
        config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]
    it = bundle(shell(f"{LIST} /dev/null /dev/tty; readlink /dev/fd; head -c3 /dev/zero | wc -c"), change)
    out = run_it(runtime, it).out
    assert "1:3 666" in out and "5:0 666" in out and out.split()[-2:] == ["/proc/self/fd", "3"]
    assert stat.S_ISCHR(os.lstat(it.rootfs / "dev/null").st_mode)


def test_an_image_that_brings_its_own_dev_in_a_user_namespace(runtime, bundle):
    """mknod is refused there: the host's nodes are bound."""
    def change(config):
        config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]
    it = bundle(shell("echo x > /dev/null && head -c3 /dev/zero | wc -c; grep -c ' /dev/null ' /proc/self/mountinfo"), change)
    assert run_it(runtime, it.with_user_namespace()).out.split() == ["3", "1"]
    assert not stat.S_ISCHR(os.lstat(it.rootfs / "dev/null").st_mode)


def test_a_dev_of_the_callers_is_left_as_it_is(runtime, bundle, scratch):
    own = scratch / "dev"
    own.mkdir()
    os.mknod(own / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))

    def change(config):
        config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]
        config["mounts"].append({"destination": "/dev", "source": str(own), "options": ["rbind"]})
    assert run_it(runtime, bundle(["ls", "/dev"], change)).out == "null\n"
    assert os.listdir(own) == ["null"]


def test_a_read_only_dev(runtime, bundle):
    def change(config):
        for mount in config["mounts"]:
            if mount["destination"] == "/dev":
                mount["options"].append("ro")
    assert run_it(runtime, bundle(shell("touch /dev/x || echo refused; ls /dev/pts /dev/shm; echo > /dev/null"), change)).out \
        .split()[0] == "refused"


# --- Landlock ---


def landlocked(rules):
    return lambda config: config.setdefault("annotations", {}).update({"org.hull.landlock": json.dumps(rules)})


@pytest.mark.needs("landlock:1")
def test_landlock_restricts_files(runtime, bundle):
    everything = [{"path": path, "access": ["read", "execute"]} for path in ("/bin", "/lib", "/usr", "/proc") if path]
    it = bundle(shell("cat /open/file; cat /closed/file || echo closed; echo x > /open/new || echo read-only"),
                landlocked({"paths": [{"path": "/open", "access": ["read"]}, *everything]}))
    for folder in ("open", "closed", "lib", "usr"):
        (it.rootfs / folder).mkdir(exist_ok=True)
        (it.rootfs / folder / "file").write_text(folder + "\n")
    assert run_it(runtime, it).out.split() == ["open", "closed", "read-only"]


@pytest.mark.needs("landlock:6")
def test_landlock_scopes_signals(runtime, bundle):
    outside = subprocess.Popen(["sleep", "1000"])

    def change(config):
        config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "pid"]
        landlocked({"scopes": ["signal"]})(config)
    try:
        it = bundle(shell(f"kill -0 $$ && echo inside; kill -0 {outside.pid} || echo refused"), change)
        assert run_it(runtime, it).out.split() == ["inside", "refused"]
    finally:
        outside.kill()
        outside.wait()


@pytest.mark.needs("landlock:4")
def test_landlock_restricts_ports(runtime, bundle):
    it = bundle(shell("nc -l -p 81 -w 1 2>&1 | grep -o 'ermission denied'; (timeout 1 nc -l -p 80 2>&1 || true) | grep -c ermission"),
                landlocked({"bind": [80], "connect": []}))
    assert run_it(runtime, it, check=False).out.split() == ["ermission", "denied", "0"]


def test_a_broken_landlock_annotation_is_named(runtime, bundle):
    it = bundle(["true"], landlocked({"scopes": ["all"]}))
    assert "org.hull.landlock" in run_it(runtime, it, code=1).err


# --- what a killed runtime leaves ---


STEPS = ("directory_made", "state_saved", "cgroup_made", "child_made", "pid_saved", "launched")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("in_user_namespace", [False, True])
def test_kill_9_during_create_leaves_nothing_after_delete(runtime, bundle, step, in_user_namespace):
    it = bundle(["sleep", "1000"])
    if in_user_namespace:
        it.with_user_namespace()
    id = runtime.new_id()
    stopped = subprocess.Popen(list(map(str, runtime.arguments("create", "--bundle", it, id))),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "HULL_DEBUG_PAUSE_AT": step})
    _, how = os.waitpid(stopped.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(how), f"create did not come to {step}: {how}"
    stopped.kill()
    stopped.wait()
    run(*runtime.arguments("state", id), check=False)
    runtime("delete", "--force", id)
    assert not (runtime.root / id).exists()
