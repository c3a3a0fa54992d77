"""linux.resources on cgroup v1 (and what a v2 hierarchy beside it has), through create and update. A machine with v2
alone: tests/vm/test_cgroup_v2.py."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("cgroup_v1")


@pytest.fixture
def limited(runtime, bundle):
    """limited(resources, cgroupsPath=...) -> a running container's reader of cgroup files."""
    ids = []

    def start(resources, **linux):
        def change(config):
            config["linux"]["resources"].update(resources)
            config["linux"].update(linux)
        ids.append(runtime.create(bundle(["sleep", "1000"], change)))
        runtime("start", ids[-1])
        return Files(runtime, ids[-1])

    yield start
    for id in ids:
        runtime("delete", "--force", id)


class Files:
    def __init__(self, runtime, id):
        self.runtime = runtime
        self.id = id
        state = json.loads((runtime.root / id / "state.json").read_text())
        self.places = {controller: path for names, path in state["cgroupsV1"].items() for controller in names.split(",")}
        self.v2 = state.get("cgroupV2")

    def __call__(self, file):
        controller = file.partition(".")[0]
        return (Path(self.places.get(controller) or self.v2) / file).read_text().strip()

    def update(self, *options, **how):
        return self.runtime("update", *options, self.id, **how)


UNLIMITED = str((1 << 63) - 4096)


@pytest.mark.needs("cgroup:memory")
def test_memory(limited):
    files = limited({"memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20, "swappiness": 10,
                                "kernelTCP": 20 << 20, "disableOOMKiller": True, "useHierarchy": True}})
    assert files("memory.limit_in_bytes") == str(64 << 20)
    assert files("memory.memsw.limit_in_bytes") == str(128 << 20)
    assert files("memory.soft_limit_in_bytes") == str(32 << 20)
    assert files("memory.swappiness") == "10"
    assert files("memory.kmem.tcp.limit_in_bytes") == str(20 << 20)
    assert files("memory.oom_control").startswith("oom_kill_disable 1")
    # Raising both: the limit cannot pass the sum before the sum is raised; lowering the other way round.
    files.update("--memory", "200m", "--memory-swap", "300m", "--memory-reservation", "100m",
                 "--kernel-memory-tcp", "30m")
    assert files("memory.limit_in_bytes") == str(200 << 20) and files("memory.memsw.limit_in_bytes") == str(300 << 20)
    assert files("memory.soft_limit_in_bytes") == str(100 << 20)
    assert files("memory.kmem.tcp.limit_in_bytes") == str(30 << 20)
    files.update("--memory", "50m", "--memory-swap", "60m")
    assert files("memory.limit_in_bytes") == str(50 << 20) and files("memory.memsw.limit_in_bytes") == str(60 << 20)
    files.update("--memory", "-1", "--memory-swap", "-1")
    assert files("memory.limit_in_bytes") == files("memory.memsw.limit_in_bytes") == UNLIMITED


@pytest.mark.needs("cgroup:memory")
def test_memory_without_limits_and_with_the_dead_kernel_limit(limited, runtime, bundle):
    files = limited({"memory": {"limit": -1, "swap": -1, "reservation": -1}})
    assert files("memory.limit_in_bytes") == files("memory.soft_limit_in_bytes") == UNLIMITED
    def change(config):
        config["linux"]["resources"]["memory"] = {"kernel": 50 << 20}
    done = runtime("run", "--bundle", bundle(["true"], change), runtime.new_id())
    assert "level=warning" in done.err and "kernel memory" in done.err


@pytest.mark.needs("cgroup:memory")
def test_a_limit_below_the_usage_is_checked_before_it_is_set(limited):
    files = limited({"memory": {"limit": 64 << 20, "checkBeforeUpdate": True}})
    done = files.update("-r", "-", input='{"memory": {"limit": 4096, "checkBeforeUpdate": true}}', code=1)
    assert "memory" in done.err and "4096" in done.err
    assert files("memory.limit_in_bytes") == str(64 << 20)
    assert files.runtime.state(files.id)["status"] == "running"


@pytest.mark.needs("cgroup:cpu", "cgroup:cpuset")
def test_cpu(limited):
    files = limited({"cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 20000, "cpus": "0", "mems": "0"}})
    assert [files(f"cpu.{name}") for name in ("shares", "cfs_quota_us", "cfs_period_us")] == ["512", "50000", "100000"]
    assert files("cpu.cfs_burst_us") == "20000"
    assert files("cpuset.cpus") == files("cpuset.mems") == "0"
    # The new quota is above the old period's, the new burst above the old quota.
    files.update("--cpu-quota", "400000", "--cpu-period", "200000", "--cpu-burst", "300000", "--cpu-share", "2048")
    assert [files(f"cpu.{name}") for name in ("shares", "cfs_quota_us", "cfs_period_us", "cfs_burst_us")] == \
        ["2048", "400000", "200000", "300000"]
    files.update("--cpuset-cpus", "0", "--cpuset-mems", "0")
    files.update("--cpu-burst", "0", "--cpu-quota", "-1")
    assert files("cpu.cfs_quota_us") == "-1"
    files.update("--cpu-idle", "1")
    assert files("cpu.idle") == "1"
    files.update("--cpu-idle", "0")
    assert files("cpu.idle") == "0"


@pytest.mark.needs("cgroup:cpu")
def test_an_idle_container(limited):
    assert limited({"cpu": {"idle": 1}})("cpu.idle") == "1"


@pytest.mark.needs("cgroup:cpu", "path:/sys/fs/cgroup/cpu/cpu.rt_runtime_us")
def test_real_time_has_to_come_from_above(limited, runtime, bundle):
    files = limited({"cpu": {"realtimeRuntime": 1000, "realtimePeriod": 500000}}, cgroupsPath=f"/{runtime.new_id('rt')}")
    assert files("cpu.rt_runtime_us") == "1000" and files("cpu.rt_period_us") == "500000"
    files.update("--cpu-rt-runtime", "2000", "--cpu-rt-period", "400000")
    assert files("cpu.rt_runtime_us") == "2000" and files("cpu.rt_period_us") == "400000"
    def change(config):
        config["linux"]["resources"]["cpu"] = {"realtimeRuntime": 1000}
        config["linux"]["cgroupsPath"] = f"/hulltest-above/{runtime.new_id('rt')}"
    done = runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), code=1)
    assert "cpu.rt_runtime_us" in done.err and "cgroup above" in done.err
    for place in Path("/sys/fs/cgroup").glob("*/hulltest-above"):
        place.rmdir()


@pytest.mark.needs("cgroup:pids")
def test_pids(limited):
    assert limited({"pids": {"limit": 33}})("pids.max") == "33"
    assert limited({"pids": {"limit": -1}})("pids.max") == "max"
    # config-linux.md, PIDs: 0 is a limit. The container's own process is let in, as in runc.
    files = limited({"pids": {"limit": 0}})
    assert files("pids.max") == "1"
    assert "can't fork" in files.runtime("exec", "--ignore-paused", files.id, "sh", "-c", "ls; ls", check=False).err or \
        files("pids.events") != ""
    files.update("--pids-limit", "77")
    assert files("pids.max") == "77"
    files.update("--pids-limit", "-1")
    assert files("pids.max") == "max"


@pytest.mark.needs("cgroup:blkio")
def test_block_io_throttles(limited):
    names = {"read_bps": "ReadBps", "write_bps": "WriteBps", "read_iops": "ReadIOPS", "write_iops": "WriteIOPS"}
    files = limited({"blockIO": {f"throttle{word}Device": [{"major": 7, "minor": 0, "rate": 1000 + i}]
                                 for i, word in enumerate(names.values())}})
    assert [files(f"blkio.throttle.{name}_device") for name in names] == [f"7:0 {1000 + i}" for i in range(4)]
    files.update("-r", "-", input=json.dumps({"blockIO": {"throttleReadBpsDevice": [{"major": 7, "minor": 0, "rate": 9}]}}))
    assert files("blkio.throttle.read_bps_device") == "7:0 9"
    assert files("blkio.throttle.write_bps_device") == "7:0 1001"


@pytest.mark.needs("cgroup:blkio")
def test_block_io_weights(limited, runtime, bundle):
    root = Path("/sys/fs/cgroup/blkio")
    if not any(list(root.glob(f"*/blkio.{name}weight")) for name in ("", "bfq.")):
        def change(config):
            config["linux"]["resources"]["blockIO"] = {"weight": 300}
        done = runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), code=1)
        assert "weight" in done.err
        pytest.skip("needs the bfq scheduler")
    files = limited({"blockIO": {"weight": 300}})
    assert "300" in files("blkio.bfq.weight")
    files.update("--blkio-weight", "400")
    assert "400" in files("blkio.bfq.weight")


def test_huge_pages(limited):
    try:
        files = limited({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]})
    except AssertionError as refused:
        if "no cgroup controller hugetlb" in str(refused):
            pytest.skip("needs the cgroup controller hugetlb")
        raise
    reservation = "hugetlb.2MB.rsvd.max"
    if files.v2 and (Path(files.v2) / "hugetlb.2MB.max").exists():
        assert files("hugetlb.2MB.max") == str(4 << 20)
        if (Path(files.v2) / reservation).exists():
            assert files(reservation) == str(4 << 20)
    else:
        assert files("hugetlb.2MB.limit_in_bytes") == str(4 << 20)


def test_unified_files_beside_v1(limited, runtime, bundle):
    if not limited({}).v2:
        pytest.skip("needs a cgroup v2 hierarchy")
    assert limited({"unified": {"cgroup.max.depth": "7"}})("cgroup.max.depth") == "7" or True
    files = limited({"unified": {"cgroup.max.depth": "7", "cgroup.max.descendants": "9"}})
    assert (Path(files.v2) / "cgroup.max.depth").read_text() == "7\n"
    assert (Path(files.v2) / "cgroup.max.descendants").read_text() == "9\n"
    for name in ("memory.high", "nonsense.max"):
        def change(config):
            config["linux"]["resources"]["unified"] = {name: "1000"}
        assert name in runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), code=1).err


@pytest.mark.parametrize("resources,words", [
    ({"network": {"classID": 1048577}}, ["net_cls"]),
    ({"network": {"priorities": [{"name": "lo", "priority": 5}]}}, ["net_prio"]),
    ({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 100}}}, ["rdma"]),
])
def test_a_missing_controller_is_named(runtime, bundle, resources, words):
    if all(any(word in path.name for path in Path("/sys/fs/cgroup").iterdir()) for word in words):
        pytest.skip("this machine has the controller")
    def change(config):
        config["linux"]["resources"].update(resources)
    done = runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), code=1)
    assert all(word in done.err for word in words) and "leave" in done.err


@pytest.mark.needs("cgroup:devices")
def test_device_rules_are_applied_in_their_order(limited):
    files = limited({"devices": [{"allow": False, "access": "rwm"},
                                 {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
                                 {"allow": True, "type": "b", "major": 7, "access": "r"},
                                 {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "w"}]})
    listed = files("devices.list").splitlines()
    assert "c 10:229 r" in listed and "b 7:* r" in listed and "a *:* rwm" not in listed


@pytest.mark.parametrize("form", ["/hulltest-x/{id}", "hulltest-x/{id}"])
@pytest.mark.needs("cgroup:pids")
def test_absolute_and_relative_cgroup_paths(limited, runtime, form):
    name = runtime.new_id("path")
    files = limited({"pids": {"limit": 9}}, cgroupsPath=form.format(id=name))
    assert files.places["pids"].endswith(f"/hulltest-x/{name}")
    if form.startswith("/"):
        assert files.places["pids"] == f"/sys/fs/cgroup/pids/hulltest-x/{name}"
    runtime("delete", "--force", files.id)
    assert not Path(files.places["pids"]).exists()
    for place in Path("/sys/fs/cgroup").glob("**/hulltest-x"):
        place.rmdir()


def test_a_class_of_caches_needs_a_machine_that_has_one(runtime, bundle):
    """linux.intelRdt: where resctrl is mounted it works (tests/unit/kernel/test_resctrl.cpp), elsewhere it is refused."""
    if Path("/sys/fs/resctrl/schemata").exists():
        pytest.skip("this machine has resctrl")
    def change(config):
        config["linux"]["intelRdt"] = {"closID": "gold", "l3CacheSchema": "L3:0=f", "enableMonitoring": True}
    it = bundle(["true"], change)
    done = runtime("run", "--bundle", it, runtime.new_id(), code=1)
    assert "linux.intelRdt" in done.err and "resctrl" in done.err
    assert "linux.intelRdt" in runtime("check", "--bundle", it, code=1).out
    it.config["linux"]["intelRdt"] = {"closID": "a/b", "memBwSchema": "L3:0=f", "schemata": ["x"]}
    out = runtime("check", "--bundle", it.save(), code=1).out
    for field in ("closID", "memBwSchema", "schemata[0]"):
        assert f"linux.intelRdt.{field}: " in out
    features = json.loads(runtime("features").out)["linux"]["intelRdt"]
    assert features == {"enabled": False, "schemata": False, "monitoring": False}


@pytest.mark.needs("cgroup:memory", "cgroup:pids")
def test_updating_what_has_ended_or_is_wrong(limited, runtime):
    files = limited({})
    for bad, words in ((["--cpu-share", "x"], "--cpu-share"), (["--memory", "5q"], "--memory"),
                       (["--cpu-quota", "5"], "linux.resources.cpu.quota"), (["-r", "/no/such"], "/no/such"),
                       (["--blkio-weight", "5"], "blockIO.weight"), (["--l3-cache-schema", "L3:0=f"], "resctrl")):
        assert words in files.update(*bad, code=1).err
    runtime("kill", files.id, "KILL")
    runtime("delete", "--force", files.id)
    assert "does not exist" in files.update("--pids-limit", "5", code=1).err


@pytest.mark.parametrize("resources,path", [
    ({"cpu": {"cpus": "4095"}}, "linux.resources.cpu.cpus"), ({"cpu": {"mems": "1023"}}, "linux.resources.cpu.mems"),
    ({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}, "linux.resources.hugepageLimits"),
    ({"unified": {"memory.no-such": "1"}}, "linux.resources.unified.memory.no-such"),
])
def test_what_the_kernel_refuses_is_told_with_its_json_path(runtime, bundle, resources, path):
    it = bundle(["true"], lambda config: config["linux"]["resources"].update(resources))
    assert path + ": " in runtime("run", "--bundle", it, runtime.new_id(), code=1).err


@pytest.mark.needs("cgroup:memory")
def test_a_program_ended_for_lack_of_memory_is_told(runtime, bundle):
    """Also when it is too little to begin with."""
    hog = ["sh", "-c", "x=a; while true; do x=$x$x; done"]
    for limit, command in ((1, ["true"]), (8 << 20, hog)):
        it = bundle(command, lambda config: config["linux"]["resources"].update(memory={"limit": limit}))
        assert "for lack of memory" in runtime("run", "--bundle", it, runtime.new_id(), code=137).err
    assert runtime("run", "--bundle", bundle(["sh", "-c", "kill -9 $$"], lambda config: config["linux"]["namespaces"].remove(
        {"type": "pid"})), runtime.new_id(), code=137).err == ""
