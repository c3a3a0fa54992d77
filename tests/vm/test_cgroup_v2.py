"""hull-runtime where cgroup v2 stands alone and AppArmor is active: in a guest (./dev test vm)."""

import copy

import pytest

from harness.bundles import DEFAULT_CONFIG
from harness.guest import Case, Guest
from harness.needs import missing


def bundle(args, **resources):
    config = copy.deepcopy(DEFAULT_CONFIG)
    config["process"]["args"] = ["sh", "-c", args]
    config["linux"]["resources"].update(resources)
    return config


def shows(name, file, expected, **resources):
    """A limit of config.json is in the container's own cgroup file."""
    return Case(name, config=bundle(f"cat /sys/fs/cgroup/{file}", **resources)), expected


LIFE = """set -e
hull-runtime create --bundle . life >/dev/null 2>&1 </dev/null
hull-runtime state life | grep -q '"status": *"created"'
hull-runtime start life
path=$(cut -d: -f3 /proc/$(hull-runtime state life | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')/cgroup)
test "$path" != / && test -d /sys/fs/cgroup$path
hull-runtime exec life cat /proc/self/cgroup
hull-runtime kill life KILL
while hull-runtime state life | grep -q '"status": *"running"'; do :; done
hull-runtime delete life
test ! -d /sys/fs/cgroup$path && echo gone
"""

CASES = [
    shows("memory.limit is memory.max", "memory.max", "67108864\n", memory={"limit": 64 << 20}),
    shows("memory.swap is what exceeds the limit", "memory.swap.max", "33554432\n",
          memory={"limit": 64 << 20, "swap": 96 << 20}),
    shows("memory.reservation is memory.low", "memory.low", "33554432\n", memory={"reservation": 32 << 20}),
    shows("pids.limit is pids.max", "pids.max", "17\n", pids={"limit": 17}),
    shows("cpu.quota and period are cpu.max", "cpu.max", "50000 100000\n", cpu={"quota": 50000, "period": 100000}),
    shows("cpuset.cpus is cpuset.cpus", "cpuset.cpus", "0\n", cpu={"cpus": "0"}),
    shows("unified sets any file", "memory.high", "50331648\n", unified={"memory.high": "50331648"}),
    (Case("a fork bomb stops at the pids limit",
          config=bundle("payload fork-many 100", pids={"limit": 20})), "forked 19 EAGAIN\n"),
    (Case("a device that the rules do not allow is refused although its node is there",
          config=bundle("mknod /tmp/null c 1 3; mknod /tmp/loop c 10 237; payload open /tmp/null /tmp/loop",
                        devices=[{"allow": False, "access": "rwm"},
                                 {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}])),
     None),
    (Case("create, start, exec, kill and delete leave no cgroup", LIFE, bundle("sleep 1000")), "0::/\ngone\n"),
]


@pytest.fixture(scope="module")
def guest(binaries, payload, tmp_path_factory):
    for program in ("qemu-system-x86_64", "cpio"):
        if reason := missing(program):
            pytest.skip(reason)
    binaries.need("runtime")
    for case, _ in CASES:
        capabilities = case.config["process"]["capabilities"]
        for name in capabilities:
            capabilities[name] = [*capabilities[name], "CAP_MKNOD"]
    return Guest(tmp_path_factory.mktemp("guest"), binaries, payload, [case for case, _ in CASES])


@pytest.mark.parametrize("case, expected", CASES, ids=[case.name.replace(" ", "_") for case, _ in CASES])
def test_on_cgroup_v2(guest, case, expected):
    result = guest.results[case.name]
    assert result.code == 0, result.out
    if expected is not None:
        assert result.out == expected
    if "device" in case.name:
        assert "/tmp/null r=ok w=ok" in result.out
        assert "EPERM" in result.out
