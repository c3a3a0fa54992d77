"""`hull run` without flags in a guest: the cases that hold on cgroup v1, v2 and the hybrid of both, and what they need."""

import re

from harness.guest import Case
from harness.guest_cases import WHERE
from harness.rootfs import busybox_tar

HULL_PROGRAMS = ["/usr/sbin/mkfs.ext4", "/usr/sbin/apparmor_parser"]
HULL_MODULES = ["fs/overlayfs/overlay"]


def HULL_FILES():
    return {"busybox.tar": busybox_tar().read_bytes()}


# The guest's 6.1 cannot idmap a tmpfs, which `/` is: hull's folders lie on ext4.
SETUP = """set -e; truncate -s 256M /tmp/hull.ext4; mkfs.ext4 -q /tmp/hull.ext4
mkdir -p /data /var/lib/hull; mount -o loop /tmp/hull.ext4 /data; mkdir /data/hull; mount --bind /data/hull /var/lib/hull
cp /usr/bin/payload /data/payload; hull import /files/busybox.tar busybox >/dev/null 2>&1; hull images | grep -o busybox
"""

# Starts a default container, and says where its first process is. $group is its v2 cgroup or that of v1's controller.
RUNNING = WHERE + """set -e; name=$(basename $PWD); trap 'hull rm -f $name >/dev/null' EXIT
start() { hull run -d --name $name -v /data/payload:/payload:ro "$@" busybox sleep 1000 >/dev/null; }
group_of() { where $1 $(hull inspect $name | sed -n 's/.*"Pid": *\\([0-9]*\\).*/\\1/p' | head -1); }
"""

# A process of the host's root that joins the cgroup: only the cgroup's own rules stand before the device.
DEVICES = RUNNING + """start; group=$(group_of devices)
sh -c "echo \\$\\$ >$group/cgroup.procs; payload open /dev/loop-control /dev/null"
hull exec $name mknod /tmp/made c 10 237 2>&1 | grep -o 'Operation not permitted'
"""

VIEW = """hull run --rm busybox sh -c 'cut -d: -f3- /proc/self/cgroup | sort -u
find /sys/fs/cgroup -name release_agent; for d in $(find /sys/fs/cgroup -type d); do mkdir $d/made 2>/dev/null && echo MADE $d
echo $$ >$d/cgroup.procs && echo MOVED $d; done 2>/dev/null; true'"""

LIMITS = RUNNING + """start -m 64m --memory-swap 96m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 30
cat $(group_of pids)/pids.max $(group_of cpuset)/cpuset.cpus
cat $(group_of memory)/memory.max 2>/dev/null || cat $(group_of memory)/memory.limit_in_bytes
cat $(group_of cpu)/cpu.max 2>/dev/null || echo $(cat $(group_of cpu)/cpu.cfs_quota_us $(group_of cpu)/cpu.cfs_period_us)
"""

HOG = """hull run --rm -m 16m -v /data/payload:/payload:ro busybox /payload hold-memory 67108864; echo exit $?"""


def hull_cases(layout):
    """The statements on cgroups of the threat model for `layout`, a word for the cases' names."""
    def named(text):
        return f"hull run on {layout}: {text}"

    return [
        (Case(named("a pids limit applies without being asked for"), RUNNING + "start; cat $(group_of pids)/pids.max"),
         "2048\n"),
        (Case(named("a fork bomb ends at the limit"),
              "hull run --rm --pids-limit 20 -v /data/payload:/payload:ro busybox /payload fork-many 100"),
         re.compile(r"forked 1\d EAGAIN")),
        (Case(named("limits are in the cgroup"), LIMITS), "30\n0\n67108864\n50000 100000\n"),
        (Case(named("what takes more than its memory limit is killed"), HOG), "exit 137\n"),
        (Case(named("the cgroup refuses devices"), DEVICES),
         "/dev/loop-control r=EPERM w=EPERM\n/dev/null r=ok w=ok\nOperation not permitted\n"),
        (Case(named("the cgroup view is the container's own and read-only"), VIEW), "/\n"),
        (Case(named("a mandatory layer applies, and inspect says which"), RUNNING + """start
hull exec $name cat /proc/1/attr/current /proc/self/attr/current; hull inspect $name | grep -o 'apparmor: [a-z-]*'"""),
         "hull-default (enforce)\nhull-default (enforce)\napparmor: hull-default\n"),
        (Case(named("nothing is left"), "find /sys/fs/cgroup -name 'hull-*' | grep . || echo none; hull ps -aq"), "none\n"),
    ]
