"""hull-runtime where cgroup v2 stands alone and AppArmor is active: in a guest (./dev test vm)."""

import json
import re

import pytest

from harness.guest import Case, Guest, guest_module
from harness.guest_cases import (DETACHED, END, REFUSED, bundle, check, for_user, parameters, refused, selected,
                                 shows, writable_cgroup)
from harness.guest_hull import HULL_FILES, HULL_MODULES, HULL_PROGRAMS, RUNNING, SETUP, hull_cases
from harness.programs import run


def apparmor(config):
    config["process"]["apparmorProfile"] = "hull-test"


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

LANDLOCKED = """mkdir -p /rootfs/open /rootfs/closed; echo open >/rootfs/open/file; echo closed >/rootfs/closed/file
exec hull-runtime run --bundle . landlocked"""


def landlock(rules):
    return lambda config: config.setdefault("annotations", {}).update({"org.hull.landlock": json.dumps(rules)})


BLOCK = {"major": 7, "minor": 0}
SCHEDULED = "set -e; insmod /files/bfq.ko; echo bfq >/sys/block/loop0/queue/scheduler\n" + LOOP
COSTED = """set -e; truncate -s 16M /tmp/disk && losetup /dev/loop0 /tmp/disk; echo "7:0 enable=1" >/sys/fs/cgroup/io.cost.qos
hull-runtime run --bundle . loop
echo "7:0 enable=0" >/sys/fs/cgroup/io.cost.qos; losetup -d /dev/loop0
"""

LIFTED = "set -e; truncate -s 16M /tmp/disk && losetup /dev/loop0 /tmp/disk\n" + DETACHED + """cat $group/io.max
echo '{"blockIO":{"throttleReadBpsDevice":[{"major":7,"minor":0,"rate":0}]}}' | hull-runtime update -r - $id
cat $group/io.max; losetup -d /dev/loop0""" + END

CHECKED = DETACHED + """until [ $(cat $group/memory.current) -gt 33554432 ]; do :; done
echo '{"memory":{"limit":8388608,"checkBeforeUpdate":true}}' | hull-runtime update -r - $id || echo exit $?
cat $group/memory.max
echo '{"memory":{"limit":67108864,"checkBeforeUpdate":true}}' | hull-runtime update -r - $id; cat $group/memory.max""" + END

# A caller that is not in the root of the hierarchy, for paths relative to it.
PLACED = """mkdir -p /sys/fs/cgroup/outer/me; echo $$ >/sys/fs/cgroup/outer/me/cgroup.procs
""" + DETACHED + """echo ${group#/sys/fs/cgroup} | sed "s/case[0-9]*/ID/"; echo $$ >/sys/fs/cgroup/cgroup.procs""" + END

POPULATED = """mkdir /sys/fs/cgroup/taken; sleep 1000 & echo $! >/sys/fs/cgroup/taken/cgroup.procs
hull-runtime run --bundle . refused; echo exit $?; kill $!; wait; rmdir /sys/fs/cgroup/taken && echo still there"""

OOM = DETACHED + """rm -f /tmp/oom-go; : >/tmp/events; hull-runtime events --interval 1s $id >/tmp/events & reader=$!
until grep -q '"stats"' /tmp/events; do sleep 0.1; done; hull-runtime exec $id touch /tmp/oom-go
until grep -q '"oom"' /tmp/events; do sleep 0.1; done; grep -m1 '"oom"' /tmp/events | sed "s/case[0-9]*/ID/"
hull-runtime kill $id KILL; wait $reader; echo events ended""" + END

DEVICE_UPDATE = DETACHED + """hull-runtime exec $id payload open /tmp/later
echo '{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":237,"access":"rw"}]}' |
    hull-runtime update -r - $id; hull-runtime exec $id payload open /tmp/later /dev/null
echo '{"pids":{"limit":50}}' | hull-runtime update -r - $id; hull-runtime exec $id payload open /tmp/later
echo '{"devices":[{"allow":false,"access":"rwm"}]}' | hull-runtime update -r - $id
hull-runtime exec $id payload open /tmp/later /dev/null""" + END

OWNED = DETACHED + """hull-runtime exec $id sh -c 'stat -c %u:%g /sys/fs/cgroup /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/memory.max
mkdir /sys/fs/cgroup/own && echo made'
hull-runtime exec --cgroup own $id cat /proc/self/cgroup""" + END


def user_namespace(config):
    writable_cgroup(config)
    config["linux"]["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": 300000, "size": 65536}]
    config["linux"].update(uidMappings=mapping, gidMappings=mapping)


# Everything that would refuse it before AppArmor does is taken away.
def profile_alone(config):
    config["process"]["apparmorProfile"] = "hull-default"
    config["linux"].update(maskedPaths=[], readonlyPaths=[], namespaces=[{"type": "mount"}, {"type": "uts"}])
    for mount in config["mounts"]:
        if mount["type"] == "sysfs":
            mount["options"] = ["rw"]


TRIED = """cat /proc/self/attr/current; mount -t tmpfs none /mnt 2>/dev/null || echo mount refused
umount /dev/shm 2>/dev/null || echo umount refused
(echo x >/proc/sys/kernel/domainname) 2>/dev/null || echo sysctl refused; (echo h >/proc/sysrq-trigger) 2>/dev/null || echo sysrq refused
head -c 1 /proc/kcore >/dev/null 2>&1 || echo kcore refused; (echo 0 >/sys/kernel/mm/ksm/run) 2>/dev/null || echo sysfs refused
kill -0 OUTSIDE 2>/dev/null || echo signal refused; sleep 1000 & kill $! && echo mine signalled"""
PROFILE_ALONE = """mkdir -p /rootfs/mnt; sleep 1000 & outside=$!; sed -i "s/OUTSIDE/$outside/" config.json
hull-runtime run --bundle . alone
sed -i 's/hull-default/unconfined/' config.json; hull-runtime run --bundle . alone; kill $outside"""


AS_USER = """chmod 755 . /cases; export XDG_RUNTIME_DIR=/tmp/run-1000; mkdir -p $XDG_RUNTIME_DIR; chown 1000:1000 $XDG_RUNTIME_DIR
as_user() { /usr/bin/setpriv --reuid=1000 --regid=1000 --clear-groups "$@"; }
"""
DELEGATED = AS_USER + """top=/sys/fs/cgroup/session; mkdir -p $top/me
echo "+memory +pids +cpu" >/sys/fs/cgroup/cgroup.subtree_control
chown 1000:1000 $top $top/me; for f in $top $top/me; do chown 1000:1000 $f/cgroup.procs $f/cgroup.subtree_control; done
echo $$ >$top/me/cgroup.procs; as_user hull-runtime run --bundle . user; echo exit $?; echo $$ >/sys/fs/cgroup/cgroup.procs
ls -d $top/hull/user 2>/dev/null || echo gone; rmdir $top/hull $top/me $top"""

# The profile is in the kernel since the first container of root's; whoever may not load it can still be under it.
HULL_AS_USER = AS_USER + """hull run --rm busybox true
chmod 4755 /usr/bin/newuidmap /usr/bin/newgidmap; echo user:700000:65536 | tee -a /etc/subuid >>/etc/subgid
cp /files/busybox.tar /home/user/; chown -R 1000:1000 /home/user; cd /home/user; export HOME=/home/user
as_user hull import busybox.tar busybox >/dev/null 2>&1; as_user hull run --name mine busybox cat /proc/self/attr/current
as_user hull inspect mine | grep -o 'apparmor: [a-z-]*'; as_user hull rm mine >/dev/null
"""

EVERYTHING = {"memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20}, "pids": {"limit": 40},
              "cpu": {"quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
              "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}], "unified": {"memory.high": "50331648"}}
COMPARED = """for runtime in hull-runtime crun; do $runtime run --bundle . compared >/tmp/said.$runtime || echo exit $?; done
cmp /tmp/said.hull-runtime /tmp/said.crun && wc -l </tmp/said.crun; cat /tmp/said.*"""
FILES = "memory.max memory.swap.max memory.low memory.high pids.max cpu.max cpuset.cpus cpuset.mems hugetlb.2MB.max"

# Allow and deny of each kind, the last that matches decides: rules, what is opened, and how it goes.
DEVICE_RULES = [
    ("nothing is allowed", [], "/tmp/c r=EPERM w=EPERM\n/tmp/b r=EPERM w=EPERM\n"),
    ("all characters", [("c", None, None, "rwm", True)], "/tmp/c r=ok w=ok\n/tmp/b r=EPERM w=EPERM\n"),
    ("all blocks for reading", [("b", None, None, "r", True)], "/tmp/c r=EPERM w=EPERM\n/tmp/b r=ok w=EPERM\n"),
    ("a major number", [("b", 7, None, "rw", True)], "/tmp/c r=EPERM w=EPERM\n/tmp/b r=ok w=ok\n"),
    ("a minor number of any major", [("c", None, 237, "w", True)], "/tmp/c r=EPERM w=ok\n/tmp/b r=EPERM w=EPERM\n"),
    ("all kinds but one", [("a", None, None, "rwm", True), ("b", 7, None, "w", False)],
     "/tmp/c r=ok w=ok\n/tmp/b r=ok w=EPERM\n"),
    ("denied, then allowed again in part", [("c", None, None, "rwm", True), ("c", 10, None, "rwm", False),
                                            ("c", 10, 237, "r", True)], "/tmp/c r=ok w=EPERM\n/tmp/b r=EPERM w=EPERM\n"),
    ("reading and writing by rules of their own", [("c", 10, 237, "r", True), ("c", 10, None, "w", True)],
     "/tmp/c r=ok w=ok\n/tmp/b r=EPERM w=EPERM\n"),
]


def device_case(name, rules):
    listed = [{"allow": False, "access": "rwm"}]
    for kind, major, minor, access, allow in rules:
        numbers = {key: value for key, value in (("major", major), ("minor", minor)) if value is not None}
        listed.append({"allow": allow, "type": kind, "access": access, **numbers})
    return Case(f"device rules: {name}", config=bundle(
        "rm -f /tmp/c /tmp/b; mknod /tmp/c c 10 237; mknod /tmp/b b 7 5; exec payload open /tmp/c /tmp/b", devices=listed))


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
          bundle("exec payload hold-memory 67108864", memory={"limit": 16 << 20, "swap": 16 << 20})),
     re.compile("killed for lack of memory.*\\nexit 137\\n$")),
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
    (Case("exec has the container's AppArmor profile, or the one it is told", DETACHED + """
hull-runtime exec $id cat /proc/self/attr/current
hull-runtime exec --apparmor unconfined $id cat /proc/self/attr/current
hull-runtime exec $id sh -c 'echo x >/denied' || echo exit $?; hull-runtime exec --apparmor none $id true || echo exit $?""" + END,
          bundle("sleep 1000", apparmor)),
     re.compile(r"(?s)^hull-test \(enforce\)\nunconfined\n.*denied.*exit 1\n.*none.*exit 255\ngone\n")),
    refused("an SELinux label without SELinux is refused by name", "selinuxLabel",
            lambda config: config["process"].update(selinuxLabel="system_u:system_r:container_t:s0:c1,c2")),
    refused("a label for mounts without SELinux is refused by name", "mountLabel",
            lambda config: config["linux"].update(mountLabel="system_u:object_r:container_file_t:s0:c1,c2")),
    (Case("Landlock restricts files", LANDLOCKED, bundle(
        "cat /open/file; cat /closed/file || echo closed; echo x >/open/new || echo read-only",
        landlock({"paths": [{"path": "/open", "access": ["read"]}, *(
            {"path": path, "access": ["read", "execute"]} for path in ("/bin", "/proc"))]}))),
     re.compile(r"(?s)open\n.*closed\n.*read-only\n")),
    refused("Landlock scopes are refused where the kernel has none", r"org.hull.landlock.*scopes \(Linux 6\.12\)", landlock({"scopes": ["signal"]})),
    refused("Landlock ports are refused where the kernel has none", r"org.hull.landlock.*TCP ports \(Linux 6\.7\)", landlock({"bind": [80]})),
    refused("a controller that only v1 has is refused by name", "net_cls", network={"classID": 5}),
    refused("priorities of interfaces are refused by name", "net_prio", network={"priorities": [{"name": "lo", "priority": 5}]}),
    refused("a value that the kernel refuses is refused with its file", "cpuset.cpus", cpu={"cpus": "77"}),
    # Debian's cloud kernel has the controller and, but for Mellanox cards, no RDMA device (CONFIG_RDMA_RXE is not set).
    refused("an rdma device that is not there is refused with its file", "rdma.max", rdma={"mlx5_0": {"hcaHandles": 2}}),
    refused("a unified file that is not there is refused with its name", "memory.nothing", unified={"memory.nothing": "1"}),
    refused("a unified file outside of the cgroup is refused", "one file of the cgroup", unified={"../cgroup.procs": "1"}),
    refused("swap below the memory limit is refused", "swap", memory={"limit": 64 << 20, "swap": 32 << 20}),
    shows("unified writes line by line", "io.max", "7:5 rbps=1048576 wbps=max riops=max wiops=7\n",
          unified={"io.max": "7:5 rbps=1048576\n7:5 wiops=7"}),
    shows("cpuset takes processors and memory nodes at once", "cpuset.cpus.effective", "1\n", cpu={"cpus": "1", "mems": "0"}),
    shows("cpu.quota of -1 is no limit", "cpu.max", "max 50000\n", cpu={"quota": -1, "period": 50000}),
    shows("cpu.shares of 2 are weight 1", "cpu.weight", "1\n", cpu={"shares": 2}),
    shows("memory.limit of -1 is no limit", "memory.max", "max\n", memory={"limit": -1}),
    (Case("a throttle is lifted by rate 0", LIFTED, bundle("sleep 1000", blockIO={
        "throttleReadBpsDevice": [{**BLOCK, "rate": 1 << 20}], "throttleWriteBpsDevice": [{**BLOCK, "rate": 2 << 20}],
        "throttleReadIOPSDevice": [{**BLOCK, "rate": 50}], "throttleWriteIOPSDevice": [{**BLOCK, "rate": 60}]})),
     "7:0 rbps=1048576 wbps=2097152 riops=50 wiops=60\n7:0 rbps=max wbps=2097152 riops=50 wiops=60\ngone\n"),
    (Case("blockIO.weightDevice is io.weight", COSTED, bundle("cat /sys/fs/cgroup/io.weight", blockIO={
        "weight": 100, "weightDevice": [{**BLOCK, "weight": 500}]})), "default 910\n7:0 4950\n"),
    (Case("blockIO.weight and weightDevice are io.bfq.weight where BFQ is", SCHEDULED, bundle(
        "cat /sys/fs/cgroup/io.bfq.weight", blockIO={"weight": 100, "weightDevice": [{**BLOCK, "weight": 500}]})),
     "default 100\n7:0 500\n"),
    (Case("checkBeforeUpdate refuses a limit below what is used", CHECKED,
          bundle("sleep 1000 | payload hold-memory 33554432")),
     re.compile(r"(?s)in use.*exit 1\nmax\n67108864\ngone\n")),
    (Case("an empty cgroups path is /hull/ID", PLACED, bundle("sleep 1000")), "/hull/ID\ngone\n"),
    (Case("an absolute cgroups path is below the mount point", PLACED, bundle("sleep 1000", cgroups_path="/deep/er/one")),
     "/deep/er/one\ngone\n"),
    (Case("a relative cgroups path is beside the caller's cgroup", PLACED, bundle("sleep 1000", cgroups_path="some/one")),
     "/outer/some/one\ngone\n"),
    (Case("a cgroups path does not leave the hierarchy", PLACED, bundle("sleep 1000", cgroups_path="/../../over")),
     "/over\ngone\n"),
    (Case("a cgroup with processes of others is refused", POPULATED, bundle("true", cgroups_path="/taken")),
     re.compile(r"(?s)not empty.*exit 1\nstill there\n")),
    (Case("events tells of an OOM kill and ends with the container", OOM, bundle(
        "until test -e /tmp/oom-go; do sleep 0.1; done; payload hold-memory 67108864; sleep 1000",
        memory={"limit": 16 << 20, "swap": 16 << 20})), '{"type":"oom","id":"ID"}\nevents ended\ngone\n'),
    (Case("update replaces the device rules, and only when it is given some", DEVICE_UPDATE, bundle(
        "rm -f /tmp/later; mknod /tmp/later c 10 237; exec sleep 1000")),
     "/tmp/later r=EPERM w=EPERM\n" + "/tmp/later r=ok w=ok\n/dev/null r=ok w=ok\n" + "/tmp/later r=ok w=ok\n"
     "/tmp/later r=EPERM w=EPERM\n/dev/null r=ok w=ok\ngone\n"),
    (Case("a writable cgroup belongs to the container's root", OWNED, bundle("sleep 1000", user_namespace)),
     "0:0\n0:0\n65534:65534\nmade\n0::/own\ngone\n"),
    (Case("an ordinary user with a delegated cgroup has limits", DELEGATED, for_user(bundle(
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max", memory={"limit": 64 << 20}, pids={"limit": 11}))),
     "67108864\n11\nexit 0\ngone\n"),
    (Case("an ordinary user without delegation is told so", AS_USER + "as_user hull-runtime run --bundle . user; echo exit $?",
          for_user(bundle("true", memory={"limit": 64 << 20}))), re.compile(r"(?s)delegate.*exit 1\n")),
    (Case("an ordinary user without delegation who asks for no limit runs",
          AS_USER + "as_user hull-runtime run --bundle . user", for_user(bundle("echo ran"))), "ran\n"),
    (Case("crun sets the same files", COMPARED, bundle(f"cd /sys/fs/cgroup; for f in {FILES}; do echo $f $(cat $f); done",
                                                       **EVERYTHING)), re.compile(r"^9\nmemory.max 67108864\n")),
    *((device_case(name, rules), expected) for name, rules, expected in DEVICE_RULES),
    (Case("hull takes an image", SETUP, always=True), "busybox\n"),
    *hull_cases("v2"),
    (Case("hull run as an ordinary user: the AppArmor profile applies once it is loaded", HULL_AS_USER),
     "hull-default (enforce)\napparmor: hull-default\n"),
    (Case("the default AppArmor profile alone refuses mounts, kernel files, and signals to others", PROFILE_ALONE,
          bundle(TRIED, profile_alone, capabilities=["CAP_SYS_ADMIN", "CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_SYS_RAWIO"])),
     "hull-default (enforce)\nmount refused\numount refused\nsysctl refused\nsysrq refused\nkcore refused\n"
     "sysfs refused\nsignal refused\nmine signalled\nunconfined\nmine signalled\n"),
]

PROFILE = """profile hull-test flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, signal, mount, umount, ptrace, unix,
  deny /denied wl,
}
"""


@pytest.fixture(scope="module")
def guest(binaries, payload, tmp_path_factory, request):
    binaries.need("hull", "runtime", "monitor", "image")
    work = tmp_path_factory.mktemp("guest")
    (work / "profile").write_text(PROFILE)
    run("apparmor_parser", "-Q", "-K", "-o", work / "profile.bin", work / "profile")
    files = {"profile": (work / "profile.bin").read_bytes(), "bfq.ko": guest_module("block/bfq").read_bytes()}
    return Guest("cgroup-v2", work / "guest", binaries, payload, selected(request, CASES), files={**files, **HULL_FILES()},
                 modules=HULL_MODULES, programs=[*HULL_PROGRAMS, binaries.image, "/usr/bin/crun", "/usr/bin/setpriv",
                           "/usr/bin/newuidmap", "/usr/bin/newgidmap"])


@pytest.mark.needs("qemu-system-x86_64", "cpio", "apparmor_parser", "mkfs.ext4", "crun", "newuidmap")
@pytest.mark.parametrize("case, expected", **parameters(CASES))
def test_on_cgroup_v2(guest, case, expected):
    check(guest, case, expected)
