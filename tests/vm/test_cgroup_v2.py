"""hull-runtime where cgroup v2 stands alone and AppArmor is active: in a guest (./dev test vm)."""

import copy
import re

import pytest

from harness.bundles import DEFAULT_CONFIG
from harness.guest import Case, Guest
from harness.programs import run

WITH_MKNOD = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_MKNOD"]


def bundle(args, change=None, **resources):
    config = copy.deepcopy(DEFAULT_CONFIG)
    config["process"]["args"] = ["sh", "-c", args]
    config["linux"]["resources"].update(resources)
    if change:
        change(config)
    return config


def shows(name, file, expected, **resources):
    """A limit of config.json is in the container's own cgroup file."""
    return Case(name, config=bundle(f"cat /sys/fs/cgroup/{file}", **resources)), expected


def writable_cgroup(config):
    for mount in config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"] = ["nosuid", "noexec", "nodev", "rw"]


def apparmor(config):
    config["process"]["apparmorProfile"] = "hull-test"


DETACHED = """set -e; id=$(basename $PWD)
hull-runtime create --bundle . $id >/dev/null 2>/tmp/error </dev/null || { cat /tmp/error; exit 1; }
hull-runtime start $id
pid=$(hull-runtime state $id | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')
group=/sys/fs/cgroup$(cut -d: -f3 /proc/$pid/cgroup)
"""
END = """
hull-runtime delete --force $id
test ! -d $group && echo gone
"""

LIFE = """set -e; id=$(basename $PWD)
hull-runtime create --bundle . $id >/dev/null 2>/tmp/error </dev/null || { cat /tmp/error; exit 1; }
hull-runtime state $id | grep -q '"status": "created"'
hull-runtime start $id
path=$(cut -d: -f3 /proc/$(hull-runtime state $id | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')/cgroup)
test "$path" != / && test -d /sys/fs/cgroup$path
hull-runtime exec $id cat /proc/self/cgroup
hull-runtime kill $id KILL
while hull-runtime state $id | grep -q '"running"'; do :; done
hull-runtime delete $id
test ! -d /sys/fs/cgroup$path && echo gone
"""

UPDATE = DETACHED + """
echo '{"memory":{"limit":33554432,"reservation":16777216},"cpu":{"shares":512,"quota":20000,"period":50000},
"pids":{"limit":33}}' | hull-runtime update -r - $id
cd $group
echo $(cat memory.max memory.low cpu.weight pids.max) $(cat cpu.max)
echo '{"cpu":{"period":100000}}' | hull-runtime update -r - $id; cat cpu.max
echo '{"memory":{"limit":-1},"pids":{"limit":-1}}' | hull-runtime update -r - $id; echo $(cat memory.max pids.max)
cd /""" + END

PAUSE = DETACHED + """
hull-runtime pause $id; cat $group/cgroup.freeze; hull-runtime state $id | grep -o '"paused"'
hull-runtime resume $id; cat $group/cgroup.freeze; hull-runtime state $id | grep -o '"running"'
hull-runtime pause $id; hull-runtime delete --force $id; test ! -d $group && echo gone
"""

STATS = DETACHED + """
hull-runtime events --stats $id | tr ',{' '\\n\\n' | grep -E '"(limit|current|usage)":' | sort -u | head -20
""" + END

# Something like systemd inside: the first process moves into a cgroup of its own and hands controllers down.
NESTED = DETACHED + """
until grep -q memory $group/cgroup.subtree_control 2>/dev/null || grep -q memory ${group%/init}/cgroup.subtree_control
do :; done
hull-runtime exec $id cat /proc/self/cgroup
group=${group%/init}
test -d $group/init && echo nested
""" + END

NESTING = "mkdir /sys/fs/cgroup/init && echo 1 >/sys/fs/cgroup/init/cgroup.procs && " \
    "echo +memory +pids >/sys/fs/cgroup/cgroup.subtree_control && exec sleep 1000"

APPARMOR_LOAD = "cat /files/profile >/sys/kernel/security/apparmor/.load && grep -q hull-test " \
    "/sys/kernel/security/apparmor/profiles && exec hull-runtime run --bundle . confined"

LOOP = """truncate -s 16M /tmp/disk && losetup /dev/loop0 /tmp/disk
hull-runtime run --bundle . loop
losetup -d /dev/loop0
"""

REFUSED = "hull-runtime run --bundle . refused; echo exit $?; ls /sys/fs/cgroup/hull | grep refused || echo nothing left"

CASES = [
    shows("memory.limit is memory.max", "memory.max", "67108864\n", memory={"limit": 64 << 20}),
    shows("memory.swap is what exceeds the limit", "memory.swap.max", "33554432\n",
          memory={"limit": 64 << 20, "swap": 96 << 20}),
    shows("memory.swap of -1 is no limit", "memory.swap.max", "max\n", memory={"limit": 64 << 20, "swap": -1}),
    shows("memory.reservation is memory.low", "memory.low", "33554432\n", memory={"reservation": 32 << 20}),
    shows("pids.limit is pids.max", "pids.max", "17\n", pids={"limit": 17}),
    shows("pids.limit of -1 is max", "pids.max", "max\n", pids={"limit": -1}),
    shows("cpu.shares of 1024 are weight 100", "cpu.weight", "100\n", cpu={"shares": 1024}),
    shows("cpu.shares of 2048 are weight 174", "cpu.weight", "174\n", cpu={"shares": 2048}),
    shows("cpu.quota and period are cpu.max", "cpu.max", "50000 100000\n", cpu={"quota": 50000, "period": 100000}),
    shows("cpu.burst is cpu.max.burst", "cpu.max.burst", "20000\n",
          cpu={"quota": 50000, "period": 100000, "burst": 20000}),
    shows("cpu.idle is cpu.idle", "cpu.idle", "1\n", cpu={"idle": 1}),
    shows("cpuset.cpus is cpuset.cpus", "cpuset.cpus", "0\n", cpu={"cpus": "0"}),
    shows("cpuset.mems is cpuset.mems", "cpuset.mems", "0\n", cpu={"mems": "0"}),
    shows("blockIO.weight is io.weight", "io.weight", "default 4950\n", blockIO={"weight": 500}),
    shows("hugepageLimits are hugetlb.max", "hugetlb.2MB.max", "4194304\n",
          hugepageLimits=[{"pageSize": "2MB", "limit": 4 << 20}]),
    shows("hugepageLimits hold for reservations", "hugetlb.2MB.rsvd.max", "4194304\n",
          hugepageLimits=[{"pageSize": "2MB", "limit": 4 << 20}]),
    shows("unified sets any file", "memory.high", "50331648\n", unified={"memory.high": "50331648"}),
    (Case("blockIO throttles are io.max", LOOP,
          bundle("cat /sys/fs/cgroup/io.max",
                 blockIO={"throttleReadBpsDevice": [{"major": 7, "minor": 0, "rate": 1 << 20}],
                          "throttleWriteIOPSDevice": [{"major": 7, "minor": 0, "rate": 100}]})),
     "7:0 rbps=1048576 wbps=max riops=max wiops=100\n"),
    (Case("a fork bomb stops at the pids limit",
          config=bundle("exec payload fork-many 100", pids={"limit": 20})), "forked 19 EAGAIN\n"),
    (Case("what takes more than its memory limit is killed", "hull-runtime run --bundle . hog; echo exit $?",
          bundle("exec payload hold-memory 67108864", memory={"limit": 16 << 20, "swap": 16 << 20})), "exit 137\n"),
    (Case("a limit of 2 MB starts", config=bundle("echo started", memory={"limit": 2 << 20})), "started\n"),
    (Case("a device that the rules do not allow is refused although its node is there",
          config=bundle("mknod /tmp/null c 1 3; mknod /tmp/loop c 10 237; exec payload open /tmp/null /tmp/loop",
                        devices=[{"allow": False, "access": "rwm"},
                                 {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}])),
     "/tmp/null r=ok w=ok\n/tmp/loop r=EPERM w=EPERM\n"),
    (Case("a device rule for reading alone refuses writing",
          config=bundle("mknod /tmp/read c 10 237; exec payload open /tmp/read",
                        devices=[{"allow": False, "access": "rwm"},
                                 {"allow": True, "type": "c", "major": 10, "minor": 237, "access": "r"}])),
     "/tmp/read r=ok w=EPERM\n"),
    (Case("a deny rule takes one device out of all",
          config=bundle("mknod /tmp/other c 10 237; mknod /tmp/mem c 1 1; exec payload open /tmp/other /tmp/mem",
                        devices=[{"allow": True, "access": "rwm"},
                                 {"allow": False, "type": "c", "major": 1, "minor": 1, "access": "rwm"}])),
     "/tmp/other r=ok w=ok\n/tmp/mem r=EPERM w=EPERM\n"),
    (Case("create, start, exec, kill and delete leave no cgroup", LIFE, bundle("sleep 1000")), "0::/\ngone\n"),
    (Case("update changes limits of a running container, and only what it names", UPDATE, bundle("sleep 1000")),
     "33554432 16777216 59 33 20000 50000\n20000 100000\nmax max\ngone\n"),
    (Case("pause freezes, resume thaws, and a paused container can be deleted", PAUSE, bundle("sleep 1000")),
     '1\n"paused"\n0\n"running"\ngone\n'),
    (Case("events reads usage and limits", STATS, bundle("sleep 1000", memory={"limit": 64 << 20}, pids={"limit": 9})),
     re.compile(r'(?s)"current":1.*"limit":67108864.*"limit":9.*"usage":[1-9].*gone')),
    (Case("exec follows a first process that made cgroups of its own", NESTED, bundle(NESTING, writable_cgroup)),
     "0::/init\nnested\ngone\n"),
    (Case("an AppArmor profile is enforced", APPARMOR_LOAD,
          bundle("cat /proc/self/attr/current; echo x >/denied; ls /denied-too; true", apparmor)),
     re.compile(r"hull-test \(enforce\)\n.*denied: Permission denied\n.*(No such file)")),
    (Case("an AppArmor profile that is not loaded is refused", REFUSED,
          bundle("true", lambda config: config["process"].update(apparmorProfile="no-such-profile"))),
     re.compile(r"(?s)no-such-profile.*exit 1\nnothing left\n")),
    (Case("a controller that only v1 has is refused by name", REFUSED, bundle("true", network={"classID": 5})),
     re.compile(r"(?s)net_cls.*exit 1\nnothing left\n")),
    (Case("a value that the kernel refuses is refused with its file", REFUSED, bundle("true", cpu={"cpus": "77"})),
     re.compile(r"(?s)cpuset.cpus.*exit 1\nnothing left\n")),
    (Case("an rdma device that is not there is refused with its file", REFUSED,
          bundle("true", rdma={"mlx5_0": {"hcaHandles": 2}})), re.compile(r"(?s)rdma.max.*exit 1\nnothing left\n")),
]

PROFILE = """profile hull-test flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, signal, mount, umount, ptrace, unix,
  deny /denied wl,
}
"""


@pytest.fixture(scope="module")
def guest(binaries, payload, tmp_path_factory):
    binaries.need("runtime")
    for case, _ in CASES:
        if case.config:
            case.config["process"]["capabilities"] = {
                name: WITH_MKNOD for name in ("bounding", "effective", "permitted")}
    work = tmp_path_factory.mktemp("guest")
    (work / "profile").write_text(PROFILE)
    run("apparmor_parser", "-Q", "-K", "-o", work / "profile.bin", work / "profile")
    return Guest(work / "guest", binaries, payload, [case for case, _ in CASES],
                 files={"profile": (work / "profile.bin").read_bytes()})


@pytest.mark.needs("qemu-system-x86_64", "cpio", "apparmor_parser")
@pytest.mark.parametrize("case, expected", CASES, ids=[case.name.replace(" ", "_") for case, _ in CASES])
def test_on_cgroup_v2(guest, case, expected):
    result = guest.results[case.name]
    assert result.code == 0, result.out
    if isinstance(expected, re.Pattern):
        assert expected.search(result.out), result.out
    else:
        assert result.out == expected
