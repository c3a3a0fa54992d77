"""hull-runtime and `hull run` where all controllers are on cgroup v1, then with a v2 hierarchy beside them (the hybrid
form, with hugetlb on v2): in a guest (./dev test vm)."""

import re

import pytest

from harness.guest import Case, Guest, guest_module
from harness.guest_cases import (DETACHED, END, bundle, check, parameters, refused, selected, shows, writable_cgroup)
from harness.guest_hull import HULL_FILES, HULL_MODULES, HULL_PROGRAMS, SETUP, hull_cases

BLOCK = {"major": 7, "minor": 0}
LOOP = """set -e; truncate -s 16M /tmp/disk && losetup /dev/loop0 /tmp/disk
hull-runtime run --bundle . loop
losetup -d /dev/loop0
"""
SCHEDULED = "insmod /files/bfq.ko; echo bfq >/sys/block/loop0/queue/scheduler\n" + LOOP

# In each hierarchy, and in none after delete.
EVERYWHERE = DETACHED + """hull-runtime exec $id cut -d: -f2- /proc/self/cgroup | grep -v ':/$' || true
cd /sys/fs/cgroup; for d in */hull/$id unified/hull/$id; do test -d $d && echo $d; done | sort -u | sed "s/case[0-9]*/ID/" """ + END + """
cd /sys/fs/cgroup; ls -d */hull/$id 2>/dev/null || echo none"""

UPDATE = DETACHED + """
echo '{"memory":{"limit":33554432,"swap":50331648,"reservation":16777216},"cpu":{"shares":512,"quota":20000,
"period":50000},"pids":{"limit":33}}' | hull-runtime update -r - $id
at() { cat $(where $1 $pid)/$2; }
echo $(at memory memory.limit_in_bytes) $(at memory memory.memsw.limit_in_bytes) $(at memory memory.soft_limit_in_bytes)
echo $(at cpu cpu.shares) $(at cpu cpu.cfs_quota_us) $(at cpu cpu.cfs_period_us) $(at pids pids.max)
hull-runtime update --memory 100m --memory-swap 200m $id; at memory memory.limit_in_bytes
hull-runtime update --memory -1 --pids-limit -1 $id; echo $(at memory memory.limit_in_bytes) $(at pids pids.max)""" + END

CHECKED = DETACHED + """at() { cat /sys/fs/cgroup/memory/hull/$id/$1; }
until [ $(at memory.usage_in_bytes) -gt 33554432 ]; do :; done
echo '{"memory":{"limit":8388608,"checkBeforeUpdate":true}}' | hull-runtime update -r - $id || echo exit $?
echo '{"memory":{"limit":67108864,"checkBeforeUpdate":true}}' | hull-runtime update -r - $id; at memory.limit_in_bytes""" + END

PAUSE = DETACHED + """state() { cat /sys/fs/cgroup/freezer/hull/$id/freezer.state; cat /sys/fs/cgroup/unified/hull/$id/cgroup.freeze 2>&-||:; }
frozen() { hull-runtime state $id | grep -oE '"(paused|running)"'; }
hull-runtime pause $id; frozen; grep -cE 'FROZEN|^1$' <<TEXT
$(state)
TEXT
hull-runtime resume $id; frozen; state | grep -cE 'FROZEN|^1$' || true
hull-runtime pause $id""" + END

OOM = DETACHED + """: >/tmp/events; hull-runtime events --interval 1s $id >/tmp/events & reader=$!
until grep -q '"stats"' /tmp/events; do sleep 0.1; done; hull-runtime exec $id touch /tmp/oom-go
until grep -q '"oom"' /tmp/events; do sleep 0.1; done; grep -m1 '"oom"' /tmp/events | sed "s/case[0-9]*/ID/"
hull-runtime kill $id KILL; wait $reader; echo events ended""" + END

STATS = DETACHED + """
hull-runtime events --stats $id | tr ',{' '\\n\\n' | grep -E '"(limit|current|usage)":' | sort -u | head -20
""" + END

DEVICE_UPDATE = DETACHED + """hull-runtime exec $id payload open /tmp/later
echo '{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":237,"access":"rw"}]}' |
    hull-runtime update -r - $id; hull-runtime exec $id payload open /tmp/later /dev/null
echo '{"devices":[{"allow":false,"access":"rwm"}]}' | hull-runtime update -r - $id
hull-runtime exec $id payload open /tmp/later""" + END

# A cgroup that the container makes below its own, in one hierarchy.
SUBGROUP = DETACHED + """hull-runtime exec $id mkdir /sys/fs/cgroup/pids/sub
hull-runtime exec --cgroup pids:sub $id sh -c 'grep :pids: /proc/self/cgroup | cut -d: -f2-; grep -c /sub /proc/self/cgroup'
hull-runtime exec --cgroup none:sub $id true || echo exit $?""" + END

WITHOUT_PIDS = DETACHED + """until [ $(cat $group/cgroup.procs | wc -l) = 4 ]; do :; done; hull-runtime ps $id -o pid,args | grep -c sleep
""" + END

MEMORY = "memory/memory"
HUGE = [{"pageSize": "2MB", "limit": 4 << 20}]
BITS = "for f in limit_in_bytes rsvd.limit_in_bytes; do cat /sys/fs/cgroup/hugetlb/hugetlb.2MB.$f; done"

V1 = [
    (Case("v2 is not mounted", "grep -c cgroup2 /proc/mounts; ls /sys/fs/cgroup | tr '\\n' ' '"),
     "0\nblkio cpu,cpuacct cpuset devices freezer hugetlb memory net_cls,net_prio perf_event pids rdma systemd "),
    (Case("a container is in every hierarchy, and in none after delete", EVERYWHERE, bundle("sleep 1000")),
     "".join(f"{name}/hull/ID\n" for name in ("blkio", "cpu,cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory",
                                              "net_cls,net_prio", "perf_event", "pids", "rdma", "systemd")) + "gone\nnone\n"),
    shows("memory.limit", f"{MEMORY}.limit_in_bytes", "67108864\n", memory={"limit": 64 << 20}),
    shows("memory.swap", f"{MEMORY}.memsw.limit_in_bytes", "100663296\n", memory={"limit": 64 << 20, "swap": 96 << 20}),
    shows("memory.reservation", f"{MEMORY}.soft_limit_in_bytes", "33554432\n", memory={"reservation": 32 << 20}),
    shows("memory.swappiness", f"{MEMORY}.swappiness", "7\n", memory={"swappiness": 7}),
    shows("memory.kernelTCP", f"{MEMORY}.kmem.tcp.limit_in_bytes", "33554432\n", memory={"kernelTCP": 32 << 20}),
    (Case("memory.disableOOMKiller", config=bundle("head -1 /sys/fs/cgroup/memory/memory.oom_control",
                                                   memory={"limit": 64 << 20, "disableOOMKiller": True})),
     "oom_kill_disable 1\n"),
    shows("cpu.shares", "cpu,cpuacct/cpu.shares", "512\n", cpu={"shares": 512}),
    (Case("cpu.quota, period and burst", config=bundle(
        "cd /sys/fs/cgroup/cpu,cpuacct; echo $(cat cpu.cfs_quota_us cpu.cfs_period_us cpu.cfs_burst_us)",
        cpu={"quota": 20000, "period": 50000, "burst": 10000})), "20000 50000 10000\n"),
    shows("cpu.idle", "cpu,cpuacct/cpu.idle", "1\n", cpu={"idle": 1}),
    (Case("cpuset.cpus and mems", config=bundle("cd /sys/fs/cgroup/cpuset; echo $(cat cpuset.cpus cpuset.mems)",
                                                cpu={"cpus": "1", "mems": "0"})), "1 0\n"),
    (Case("what is not set of cpuset is inherited", config=bundle("cd /sys/fs/cgroup/cpuset; echo $(cat cpuset.cpus cpuset.mems)")),
     "0-1 0\n"),
    shows("pids.limit", "pids/pids.max", "17\n", pids={"limit": 17}),
    shows("network.classID", "net_cls,net_prio/net_cls.classid", "1048577\n", network={"classID": 0x100001}),
    (Case("network.priorities", config=bundle("grep lo /sys/fs/cgroup/net_cls,net_prio/net_prio.ifpriomap",
                                              lambda c: c["linux"].update(namespaces=[
                                                  n for n in c["linux"]["namespaces"] if n["type"] != "network"]),
                                              network={"priorities": [{"name": "lo", "priority": 5}]})), "lo 5\n"),
    (Case("hugepageLimits, also of reservations", config=bundle(BITS, hugepageLimits=HUGE)), "4194304\n4194304\n"),
    (Case("blockIO throttles", LOOP, bundle("cd /sys/fs/cgroup/blkio; for f in read_bps write_bps read_iops write_iops; do "
                                            "cat blkio.throttle.${f}_device; done", blockIO={
        "throttleReadBpsDevice": [{**BLOCK, "rate": 1 << 20}], "throttleWriteBpsDevice": [{**BLOCK, "rate": 2 << 20}],
        "throttleReadIOPSDevice": [{**BLOCK, "rate": 50}], "throttleWriteIOPSDevice": [{**BLOCK, "rate": 60}]})),
     "7:0 1048576\n7:0 2097152\n7:0 50\n7:0 60\n"),
    refused("a weight without the BFQ scheduler is refused by its file", "blkio.bfq.weight", blockIO={"weight": 100}),
    (Case("blockIO.weight and weightDevice", SCHEDULED, bundle(
        "cd /sys/fs/cgroup/blkio; cat blkio.bfq.weight blkio.bfq.weight_device",
        blockIO={"weight": 100, "weightDevice": [{**BLOCK, "weight": 500}]})), "100\ndefault 100\n7:0 500\n"),
    (Case("device rules are in devices.list and hold", config=bundle(
        "mknod /tmp/v1 c 10 237; payload open /tmp/v1 /dev/null; grep -c 'c 10:237 r$' /sys/fs/cgroup/devices/devices.list",
        devices=[{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10, "minor": 237, "access": "r"}])),
     "/tmp/v1 r=ok w=EPERM\n/dev/null r=ok w=ok\n1\n"),
    (Case("update replaces the device rules", DEVICE_UPDATE, bundle("mknod /tmp/later c 10 237; exec sleep 1000")),
     "/tmp/later r=EPERM w=EPERM\n/tmp/later r=ok w=ok\n/dev/null r=ok w=ok\n/tmp/later r=EPERM w=EPERM\ngone\n"),
    (Case("update changes limits, in the order that the kernel wants", UPDATE,
          bundle("sleep 1000", memory={"limit": 64 << 20, "swap": 96 << 20})),
     "33554432 50331648 16777216\n512 20000 50000 33\n104857600\n9223372036854771712 max\ngone\n"),
    (Case("checkBeforeUpdate refuses a limit below what is used", CHECKED, bundle("sleep 1000 | payload hold-memory 33554432")),
     re.compile(r"(?s)in use.*exit 1\n67108864\ngone\n")),
    (Case("a fork bomb stops at the pids limit", config=bundle("exec payload fork-many 100", pids={"limit": 20})),
     "forked 19 EAGAIN\n"),
    (Case("what takes more than its memory limit is killed", "hull-runtime run --bundle . hog; echo exit $?",
          bundle("exec payload hold-memory 67108864", memory={"limit": 16 << 20, "swap": 16 << 20})),
     re.compile("killed for lack of memory.*\\nexit 137\\n$")),
    (Case("a limit of 2 MB starts", config=bundle("echo started", memory={"limit": 2 << 20})), "started\n"),
    (Case("pause freezes, resume thaws, and a paused container can be deleted", PAUSE, bundle("sleep 1000")),
     '"paused"\n1\n"running"\n0\ngone\n'),
    (Case("events tells of an OOM kill and ends with the container", OOM, bundle(
        "until test -e /tmp/oom-go; do sleep 0.1; done; payload hold-memory 67108864; sleep 1000",
        memory={"limit": 16 << 20, "swap": 16 << 20})), '{"type":"oom","id":"ID"}\nevents ended\ngone\n'),
    (Case("events reads usage and limits", STATS, bundle("sleep 1000", memory={"limit": 64 << 20}, pids={"limit": 9})),
     re.compile(r'(?s)"current":1.*"limit":67108864.*"limit":9.*"usage":[1-9].*gone')),
    (Case("exec joins a cgroup that the container made", SUBGROUP, bundle("sleep 1000", writable_cgroup)),
     re.compile(r"(?s)^pids:/sub\n1\n.*no hierarchy has the controller.*exit 255\ngone\n")),
    (Case("delete ends all processes of a container without a pid namespace", WITHOUT_PIDS, bundle(
        "sleep 1000 & sleep 1001 & sleep 1002 & wait", lambda c: c["linux"].update(namespaces=[
            n for n in c["linux"]["namespaces"] if n["type"] != "pid"]))), re.compile(r"^[34]\ngone\n")),
    refused("unified needs v2", "unified", unified={"memory.high": "50331648"}),
    # RT_GROUP_SCHED is not set in Debian's kernels, and the cloud kernel has no RDMA device.
    refused("realtime CPU time is refused by its file", "cpu.rt_runtime_us", cpu={"realtimeRuntime": 1000}),
    refused("an rdma device that is not there is refused with its file", "rdma.max", rdma={"mlx5_0": {"hcaHandles": 2}}),
    refused("a value that the kernel refuses is refused with its file", "cpuset.cpus", cpu={"cpus": "77"}),
    refused("swap below the memory limit is refused", "swap", memory={"limit": 64 << 20, "swap": 32 << 20}),
    (Case("hull takes an image", SETUP, always=True), "busybox\n"),
    (Case("without the parser of AppArmor the missing profile is told", """mv /usr/bin/apparmor_parser /tmp/
hull run --rm busybox cat /proc/self/attr/current; mv /tmp/apparmor_parser /usr/bin/"""),
     re.compile(r"(?s)has no AppArmor profile.*install the package apparmor.*unconfined\n$")),
    *hull_cases("v1"),
]

# A hierarchy goes with its mount, but for one whose last cgroup died a moment ago: that one is waited for.
TO_HYBRID = """set -e; rmdir /sys/fs/cgroup/hugetlb/hull || true
until [ $(sed -n 's/^hugetlb\\t//p' /proc/cgroups | cut -f2) = 1 ]; do sleep 0.1; done
umount /sys/fs/cgroup/hugetlb; rmdir /sys/fs/cgroup/hugetlb
mkdir /sys/fs/cgroup/unified; mount -t cgroup2 cgroup /sys/fs/cgroup/unified
until grep -w hugetlb /sys/fs/cgroup/unified/cgroup.controllers; do sleep 0.1; done
"""

HYBRID = [
    (Case("hugetlb moves to v2", TO_HYBRID, always=True), re.compile(r"\bhugetlb\b")),
    (Case("hybrid: a container is in every hierarchy and in v2", EVERYWHERE, bundle("sleep 1000")),
     "".join(f"{name}/hull/ID\n" for name in ("blkio", "cpu,cpuacct", "cpuset", "devices", "freezer", "memory",
                                              "net_cls,net_prio", "perf_event", "pids", "rdma", "systemd", "unified"))
     + "gone\nnone\n"),
    (Case("hybrid: limits are on v1, but where only v2 has the controller", config=bundle(
        "cd /sys/fs/cgroup; echo $(cat memory/memory.limit_in_bytes pids/pids.max unified/hugetlb.2MB.max "
        "unified/hugetlb.2MB.rsvd.max)", memory={"limit": 64 << 20}, pids={"limit": 17}, hugepageLimits=HUGE)),
     "67108864 17 4194304 4194304\n"),
    shows("hybrid: unified sets files of v2", "unified/hugetlb.2MB.max", "2097152\n", unified={"hugetlb.2MB.max": "2097152"}),
    refused("hybrid: unified of a controller that is on v1 is refused", "memory.high", unified={"memory.high": "1"}),
    (Case("hybrid: a device that the rules do not allow is refused", config=bundle(
        "mknod /tmp/hybrid c 10 237; exec payload open /tmp/hybrid /dev/null")),
     "/tmp/hybrid r=EPERM w=EPERM\n/dev/null r=ok w=ok\n"),
    (Case("hybrid: pause, resume and delete", PAUSE, bundle("sleep 1000")), '"paused"\n1\n"running"\n0\ngone\n'),
    (Case("hybrid: a fork bomb stops at the pids limit", config=bundle("exec payload fork-many 100", pids={"limit": 20})),
     "forked 19 EAGAIN\n"),
    (Case("hybrid: events reads usage and limits", STATS, bundle("sleep 1000", memory={"limit": 64 << 20}, pids={"limit": 9})),
     re.compile(r'(?s)"current":1.*"limit":67108864.*"limit":9.*"usage":[1-9].*gone')),
    (Case("hybrid: delete ends all processes of a container without a pid namespace", WITHOUT_PIDS, bundle(
        "sleep 1000 & sleep 1001 & sleep 1002 & wait", lambda c: c["linux"].update(namespaces=[
            n for n in c["linux"]["namespaces"] if n["type"] != "pid"]))), re.compile(r"^[34]\ngone\n")),
    *hull_cases("hybrid"),
]

CASES = [*V1, *HYBRID]


@pytest.fixture(scope="module")
def guest(binaries, payload, tmp_path_factory, request):
    binaries.need("hull", "runtime", "monitor", "image")
    return Guest("cgroup-v1", tmp_path_factory.mktemp("guest") / "guest", binaries, payload, selected(request, CASES), cgroups="v1",
                 files={"bfq.ko": guest_module("block/bfq").read_bytes(), **HULL_FILES()}, modules=HULL_MODULES,
                 programs=[*HULL_PROGRAMS, binaries.image])


@pytest.mark.needs("qemu-system-x86_64", "cpio", "apparmor_parser", "mkfs.ext4")
@pytest.mark.parametrize("case, expected", **parameters(CASES))
def test_on_cgroup_v1_and_hybrid(guest, case, expected):
    check(guest, case, expected)
