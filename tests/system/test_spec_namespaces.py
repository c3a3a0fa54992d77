"""Namespaces of the runtime specification: new, joined by path, absent; ids; clocks; names; devices of the net."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from harness.programs import popen, run


def shell(script):
    return ["sh", "-c", script]


def run_it(runtime, bundle, **how):
    return runtime("run", "--bundle", bundle, runtime.new_id(), **how)


def namespaces(*wanted):
    """Replaces the list: names, or (name, path)."""
    def change(config):
        config["linux"]["namespaces"] = [
            {"type": item} if isinstance(item, str) else {"type": item[0], "path": str(item[1])} for item in wanted]
    return change


ALL = ("pid", "network", "ipc", "uts", "mount", "cgroup")
FILES = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt", "cgroup": "cgroup",
         "user": "user", "time": "time"}
SHOW = "for n in pid net ipc uts mnt cgroup user time; do readlink /proc/self/ns/$n; done"


def seen(out):
    return dict(line.split(":", 1) for line in out.split() if ":[" in line)


def own(name):
    return os.readlink(f"/proc/self/ns/{name}").split(":", 1)[1]


@pytest.fixture
def holder():
    """holder("--net", "--ipc") -> pid of a process in new namespaces of that kind."""
    processes = []

    def start(*kinds):
        it = popen("unshare", *kinds, "sh", "-c", "echo ready; exec sleep 1000")
        assert it.stdout.readline() == "ready\n"
        processes.append(it)
        return it.pid

    yield start
    for it in processes:
        subprocess.run(["pkill", "-KILL", "-P", str(it.pid)], check=False)
        it.kill()
        it.wait()


def test_new_namespaces_are_new_and_the_others_are_the_callers(runtime, bundle):
    ids = seen(run_it(runtime, bundle(shell(SHOW))).out)
    for name in ALL:
        assert ids[FILES[name]] != own(FILES[name]), name
    for name in ("user", "time"):
        assert ids[name] == own(name)


@pytest.mark.parametrize("left_out", ["pid", "network", "ipc", "uts", "cgroup"])
def test_a_namespace_that_is_not_named_is_the_callers(runtime, bundle, left_out):
    def change(config):
        namespaces(*(n for n in ALL if n != left_out))(config)
        if left_out == "uts":
            del config["hostname"]
    ids = seen(run_it(runtime, bundle(shell(SHOW), change)).out)
    assert ids[FILES[left_out]] == own(FILES[left_out])


@pytest.mark.parametrize("kind,option", [("network", "--net"), ("ipc", "--ipc"), ("uts", "--uts"),
                                         ("cgroup", "--cgroup")])
def test_joining_by_path(runtime, bundle, holder, kind, option):
    path = f"/proc/{holder(option)}/ns/{FILES[kind]}"

    def change(config):
        namespaces(*(n for n in ALL if n != kind), (kind, path))(config)
        if kind == "uts":
            del config["hostname"]
    ids = seen(run_it(runtime, bundle(shell(SHOW), change)).out)
    assert f"{FILES[kind]}:{ids[FILES[kind]]}" == os.readlink(path)


def test_joining_a_pid_namespace(runtime, bundle):
    first = runtime.create(bundle(["sleep", "1000"]))
    runtime("start", first)
    pid = runtime.state(first)["pid"]
    it = bundle(shell(f"{SHOW}; ps; echo $$"),
                namespaces(*(n for n in ALL if n != "pid"), ("pid", f"/proc/{pid}/ns/pid")))
    out = run_it(runtime, it).out
    assert "pid:" + seen(out)["pid"] == os.readlink(f"/proc/{pid}/ns/pid")
    assert "sleep 1000" in out and int(out.split()[-1]) > 1
    runtime("delete", "--force", first)


def test_a_pod_shares_user_network_ipc_and_pid_namespaces(runtime, bundle):
    """What CRI-O and podman pods do: the second container joins the first's namespaces, its user namespace too."""
    first = runtime.create(bundle(["sleep", "1000"]).with_user_namespace())
    runtime("start", first)
    pid = runtime.state(first)["pid"]
    shared = [(kind, f"/proc/{pid}/ns/{FILES[kind]}") for kind in ("user", "network", "ipc", "pid")]
    it = bundle(shell(f"{SHOW}; id -u; cat /proc/self/uid_map; touch /made"),
                namespaces("uts", "mount", "cgroup", *shared))
    run("chown", "-hR", "100000:100000", it.rootfs)
    out = run_it(runtime, it).out
    for _, path in shared:
        name = Path(path).name
        assert f"{name}:{seen(out)[name]}" == os.readlink(path)
    assert out.splitlines()[8] == "0" and out.split()[-3:] == ["0", "100000", "65536"]
    assert (it.rootfs / "made").stat().st_uid == 100000
    runtime("delete", "--force", first)


def test_a_path_that_is_no_namespace_of_that_kind_is_refused(runtime, bundle):
    it = bundle(["true"], namespaces(*(n for n in ALL if n != "network"), ("network", "/proc/self/ns/ipc")))
    assert "linux.namespaces: network: open namespace /proc/self/ns/ipc" in run_it(runtime, it, code=1).err
    it = bundle(["true"], namespaces(*(n for n in ALL if n != "network"), ("network", "/etc/passwd")))
    assert "/etc/passwd" in run_it(runtime, it, code=1).err
    it = bundle(["true"], namespaces(*(n for n in ALL if n != "network"), ("network", "/run/netns/none")))
    assert "/run/netns/none" in run_it(runtime, it, code=1).err


# --- ids ---


def test_id_maps_and_files_made_inside(runtime, bundle):
    it = bundle(shell("cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /made; stat -c '%u %g' /dev /dev/null"))
    it.with_user_namespace(300000, 1000)
    words = run_it(runtime, it).out.split()
    assert words[:7] == ["0", "300000", "1000", "0", "300000", "1000", "0"] and words[7:] == ["0"] * 4
    assert (it.rootfs / "made").stat().st_uid == 300000


def test_a_user_namespace_without_id_zero(runtime, bundle):
    def change(config):
        mapping = [{"containerID": 1000, "hostID": 301000, "size": 1}]
        config["linux"]["namespaces"].append({"type": "user"})
        config["linux"].update(uidMappings=mapping, gidMappings=mapping)
        config["process"]["user"] = {"uid": 1000, "gid": 1000}
        # devpts cannot map gid 5 here
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/dev/pts"]
    it = bundle(shell("id -u; id -g; cat /proc/self/uid_map"), change)
    assert run_it(runtime, it).out.split() == ["1000", "1000", "1000", "301000", "1"]


def test_an_id_that_is_not_mapped_is_named(runtime, bundle):
    it = bundle(["true"], lambda config: config["process"].update(user={"uid": 70000, "gid": 0}))
    err = run_it(runtime, it.with_user_namespace(), code=1).err
    assert "70000" in err and "process.user.uid" in err


def test_a_root_that_only_the_caller_can_reach(runtime, bundle, scratch):
    """The user namespace's root may not walk to the bundle; the mounts are opened by the parent."""
    it = bundle(shell("cat /data/file"), lambda config: config["mounts"].append(
        {"destination": "/data", "source": str(scratch / "closed/source"), "options": ["rbind"]}))
    (scratch / "closed/source").mkdir(parents=True)
    (scratch / "closed/source/file").write_text("reached")
    (scratch / "closed").chmod(0o700)
    it.path.chmod(0o700)
    assert run_it(runtime, it.with_user_namespace()).out == "reached"


# --- clocks ---


@pytest.mark.needs("path:/proc/self/ns/time")
def test_time_offsets(runtime, bundle):
    def change(config):
        namespaces(*ALL, "time")(config)
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 5},
                                          "monotonic": {"secs": 500000}}
    out = run_it(runtime, bundle(shell(f"cat /proc/uptime /proc/self/timens_offsets; {SHOW}"), change)).out
    uptime = float(out.split()[0])
    assert 1000000 < uptime - time.clock_gettime(time.CLOCK_BOOTTIME) + 60 < 1000120
    assert out.splitlines()[1].split() == ["monotonic", "500000", "0"]
    assert out.splitlines()[2].split() == ["boottime", "1000000", "5"]
    assert seen(out)["time"] != own("time")


@pytest.mark.needs("path:/proc/self/ns/time")
def test_time_offsets_in_a_user_namespace(runtime, bundle):
    def change(config):
        namespaces(*ALL, "time")(config)
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
    it = bundle(shell("cat /proc/self/timens_offsets; id -u; cat /proc/self/uid_map; hostname"), change)
    words = run_it(runtime, it.with_user_namespace()).out.split()
    assert words[4:6] == ["1000000", "0"] and words[-5:] == ["0", "0", "100000", "65536", "hull-test"]


@pytest.mark.needs("path:/proc/self/ns/time")
def test_a_new_time_namespace_without_offsets(runtime, bundle):
    assert seen(run_it(runtime, bundle(shell(SHOW), namespaces(*ALL, "time"))).out)["time"] != own("time")


@pytest.mark.needs("path:/proc/self/ns/time")
def test_exec_has_the_containers_clocks(runtime, bundle):
    def change(config):
        namespaces(*ALL, "time")(config)
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
    id = runtime.create(bundle(["sleep", "1000"], change))
    runtime("start", id)
    assert float(runtime("exec", id, "cat", "/proc/uptime").out.split()[0]) > 1000000
    runtime("delete", "--force", id)


# --- names, network ---


def test_hostname_and_domainname(runtime, bundle):
    it = bundle(shell("hostname; cat /proc/sys/kernel/domainname"),
                lambda config: config.update(hostname="name", domainname="example.org"))
    assert run_it(runtime, it).out.split() == ["name", "example.org"]


def test_sysctls_of_the_network_and_ipc(runtime, bundle):
    def change(config):
        config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.lo.forwarding": "1",
                                     "net/ipv4/conf/lo/rp_filter": "2", "kernel.msgmax": "16384"}
    out = run_it(runtime, bundle(shell(
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/lo/rp_filter /proc/sys/kernel/msgmax"), change)).out
    assert out.split() == ["1", "2", "16384"]


def test_a_sysctl_that_does_not_exist_is_named(runtime, bundle):
    it = bundle(["true"], lambda config: config["linux"].update(sysctl={"net.ipv4.no_such": "1"}))
    assert "net.ipv4.no_such" in run_it(runtime, it, code=1).err


def test_loopback_is_up(runtime, bundle):
    assert "127.0.0.1" in run_it(runtime, bundle(["ip", "addr", "show", "up", "dev", "lo"])).out


@pytest.mark.needs("ip")
def test_network_devices_move_in_with_their_addresses(runtime, bundle):
    name = f"hv{os.getpid() % 100000}"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", name + "p")
    try:
        run("ip", "addr", "add", "10.213.1.2/24", "dev", name)
        it = bundle(["ip", "addr"], lambda config: config["linux"].update(netDevices={name: {"name": "inner"}}))
        out = run_it(runtime, it).out
        assert "inner" in out and "10.213.1.2/24" in out
    finally:
        run("ip", "link", "del", name + "p", check=False)


@pytest.mark.needs("ip")
def test_a_missing_network_device_is_named(runtime, bundle):
    it = bundle(["true"], lambda config: config["linux"].update(netDevices={"none0": {}}))
    assert "linux.netDevices.none0: " in run_it(runtime, it, code=1).err
