"""hull-runtime's systemd cgroup manager against a real systemd, on cgroup v2: in a guest (./dev test vm)."""

import re

import pytest

from harness import guest_cases
from harness.guest import Case, Guest
from harness.guest_cases import check, for_user, parameters, selected

# Those that podman gives, and mknod.
CAPABILITIES = [f"CAP_{name}" for name in (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYS_CHROOT")]


def bundle(args, cgroups_path=None, annotations=None, **resources):
    return guest_cases.bundle(args, lambda config: config.update(annotations=annotations or {}), cgroups_path,
                              CAPABILITIES, **resources)


START = """set -e; id=$(basename $PWD)
hr() { hull-runtime --systemd-cgroup "$@"; }
hr create --bundle . $id >/dev/null 2>/tmp/error </dev/null || { cat /tmp/error; exit 1; }
pid=$(hr state $id | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')
path=$(cut -d: -f3 /proc/$pid/cgroup)
group=/sys/fs/cgroup$path
hr start $id
show() { for name; do systemctl show -P $name ${path##*/}; done; }
"""
END = """
hr delete --force $id
test ! -d $group && test "$(systemctl show -P LoadState ${path##*/})" = not-found && echo gone
"""

# The user's own systemd, without PAM, which a minimal Debian does not have.
USER = """set -e; id=$(basename $PWD)
getent passwd user >/dev/null || useradd -u 1000 user
mkdir -p /etc/systemd/system/user@.service.d
printf '[Service]\\nPAMName=\\nEnvironment=XDG_RUNTIME_DIR=/run/user/1000\\n' >/etc/systemd/system/user@.service.d/test.conf
systemctl daemon-reload
systemctl start user@1000.service || { journalctl --no-pager -n 30; exit 1; }
export XDG_RUNTIME_DIR=/run/user/1000
as_user() { setpriv --reuid=1000 --regid=1000 --clear-groups "$@"; }
"""

# As a login session: a process of the user's in a cgroup that the user's systemd does not own.
USER_SCOPE = USER + """
hr() { as_user hull-runtime --systemd-cgroup "$@"; }
hr create --bundle . $id >/dev/null 2>/tmp/error </dev/null || { cat /tmp/error; exit 1; }
pid=$(hr state $id | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')
path=$(cut -d: -f3 /proc/$pid/cgroup)
echo $path | sed "s/case[0-9]*/ID/"; cat /sys/fs/cgroup$path/memory.max
hr start $id; test "$(hr exec $id cat /proc/self/cgroup)" = 0::/; hr delete --force $id
test ! -d /sys/fs/cgroup$path && echo gone
"""

DELEGATED = USER + """
cat >script.delegated <<'TEXT'
group=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)
mkdir $group/me && echo $$ >$group/me/cgroup.procs
exec hull-runtime run --bundle . delegated
TEXT
systemd-run -q --uid=1000 --gid=1000 -p Delegate=yes -p WorkingDirectory=$PWD -E XDG_RUNTIME_DIR=/run/user/1000 \\
    --wait --pipe sh ./script.delegated
"""

# As podman and hull's own monitor call it: inside a user namespace of the user's.
IN_USER_NAMESPACE = USER + """
cat >script.inside <<'TEXT'
hull-runtime --root /run/user/1000/inside --systemd-cgroup run --bundle . inside
TEXT
as_user unshare --user --map-root-user --mount sh ./script.inside
systemctl --user --machine=user@ list-units --all --plain --no-legend 2>/dev/null | grep hull-inside || echo nothing left
"""

# podman's own scope, with its own processes beside it: conmon in a scope of podman's, the container in one of hull's.
PODMAN = """set -e; pod() { podman --root /tmp/podman/root --runroot /tmp/podman/run --storage-driver vfs --cgroup-manager systemd \\
    --events-backend none --runtime /usr/bin/hull-runtime "$@"; }
pod run -d --name one --network none -m 64m --pids-limit 30 --rootfs /rootfs sleep 1000 >/dev/null
unit=libpod-$(pod inspect --format '{{.Id}}' one).scope
for property in ActiveState Delegate MemoryMax TasksMax; do systemctl show -P $property $unit; done
cat /sys/fs/cgroup/machine.slice/$unit/pids.max /sys/fs/cgroup/machine.slice/$unit/memory.max
pod exec one cat /proc/self/cgroup; pod pause one; cat /sys/fs/cgroup/machine.slice/$unit/cgroup.freeze; pod unpause one
pod update --memory 48m one >/dev/null; cat /sys/fs/cgroup/machine.slice/$unit/memory.max
pod stop -t 0 one >/dev/null; pod rm one >/dev/null; systemctl show -P LoadState $unit
"""

NOT_DELEGATED = USER + "as_user hull-runtime run --bundle . $id || echo exit $?"

CASES = [
    (Case("a container runs in a scope of its own", START + """
echo ${path%case*} ${path##*-case*.}
show ActiveState Delegate Description | sed "s/case[0-9]*/ID/"
""" + END, bundle("sleep 1000")), "/system.slice/hull- scope\nactive\nyes\nhull container ID\ngone\n"),
    (Case("slice, prefix and name of the cgroups path", START + "echo $path" + END,
          bundle("sleep 1000", "test-inner.slice:pre:named")),
     "/test.slice/test-inner.slice/pre-named.scope\ngone\n"),
    (Case("limits are properties of the unit and are in its cgroup", START + """
show MemoryMax MemoryLow MemorySwapMax TasksMax CPUQuotaPerSecUSec CPUWeight AllowedCPUs
cd $group; echo $(cat memory.max memory.low memory.swap.max pids.max cpu.max cpu.weight cpuset.cpus); cd /
""" + END, bundle("sleep 1000", memory={"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20},
                  pids={"limit": 40}, cpu={"quota": 50000, "period": 100000, "shares": 1024, "cpus": "0"})),
     "67108864\n33554432\n33554432\n40\n500ms\n100\n0\n67108864 33554432 33554432 40 50000 100000 100 0\ngone\n"),
    (Case("annotations are properties", START + "show TimeoutStopUSec CollectMode CPUAccounting" + END,
          bundle("sleep 1000", annotations={"org.systemd.property.TimeoutStopUSec": "uint64 7000000",
                                            "org.systemd.property.CollectMode": "'inactive-or-failed'"})),
     "7s\ninactive-or-failed\nyes\ngone\n"),
    (Case("update changes the unit and the cgroup", START + """
echo '{"memory":{"limit":50331648},"pids":{"limit":21}}' | hr update -r - $id
show MemoryMax TasksMax; cat $group/memory.max; systemctl daemon-reload; cat $group/memory.max $group/pids.max
""" + END, bundle("sleep 1000", memory={"limit": 64 << 20})), "50331648\n21\n50331648\n50331648\n21\ngone\n"),
    (Case("exec joins the scope", START + 'test "$(hr exec $id cat /proc/self/cgroup)" = 0::/ && '
          'hr exec $id sh -c "exit 5" || echo exit $?' + END, bundle("sleep 1000")), "exit 5\ngone\n"),
    (Case("a device that the rules do not allow stays refused after a daemon-reload", START + """
hr exec $id mknod /tmp/loop c 10 237; hr exec $id payload open /tmp/loop /dev/null
systemctl daemon-reload; hr exec $id payload open /tmp/loop /dev/null
""" + END, bundle("sleep 1000")),
     "/tmp/loop r=EPERM w=EPERM\n/dev/null r=ok w=ok\n" * 2 + "gone\n"),
    (Case("run leaves no unit", """
hull-runtime --systemd-cgroup run --bundle . once; echo exit $?
systemctl list-units --all --plain --no-legend | grep hull-once || echo nothing left
""", bundle("exit 3")), "exit 3\nnothing left\n"),
    (Case("a first process that ends by itself leaves a container that can be deleted", START + """
while hr state $id | grep -q '"running"'; do :; done; hr state $id | grep -o '"stopped"'
""" + END, bundle("true")), '"stopped"\ngone\n'),
    (Case("a property that systemd does not know is refused and nothing is left", """
hull-runtime --systemd-cgroup run --bundle . refused; echo exit $?
systemctl list-units --all --plain --no-legend | grep refused || hull-runtime list -q | grep refused || echo nothing left
""", bundle("true", annotations={"org.systemd.property.NoSuchThing": "true"})),
     re.compile(r"(?s)NoSuchThing.*exit 1\nnothing left\n")),
    (Case("a path that is not slice:prefix:name is refused",
          "hull-runtime --systemd-cgroup run --bundle . refused; echo exit $?", bundle("true", "/a/b")),
     re.compile(r"(?s)slice:prefix:name.*exit 1\n")),
    (Case("a sub-cgroup below the scope, by annotation", START + "echo ${path##*.scope}; cat $group/pids.max" + """
hr delete --force $id; test ! -d ${group%/inner} && echo gone""",
          bundle("sleep 1000", annotations={"run.oci.systemd.subgroup": "inner"}, pids={"limit": 15})),
     "/inner\n15\ngone\n"),
    (Case("an ordinary user's container is a scope of the user's systemd", USER_SCOPE,
          for_user(bundle("sleep 1000", memory={"limit": 64 << 20}))),
     "/user.slice/user-1000.slice/user@1000.service/user.slice/hull-ID.scope\n67108864\ngone\n"),
    (Case("an ordinary user's container in a delegated cgroup has its limits", DELEGATED,
          for_user(bundle("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max", memory={"limit": 64 << 20},
                          pids={"limit": 11}))), "67108864\n11\n"),
    (Case("an ordinary user's container from inside a user namespace is a scope as well", IN_USER_NAMESPACE,
          for_user(bundle("cat /sys/fs/cgroup/memory.max; wc -l </proc/self/cgroup", memory={"limit": 64 << 20}), 0)),
     "67108864\n1\nnothing left\n"),
    (Case("an ordinary user without delegation gets no limits, and is told so", NOT_DELEGATED,
          for_user(bundle("true", memory={"limit": 64 << 20}))), re.compile(r"(?s)cgroup.*delegate.*exit 1\n")),
    (Case("an ordinary user without delegation who asks for none runs", NOT_DELEGATED,
          for_user(bundle("echo ran"))), "ran\n"),
    (Case("without a bus, systemd's own socket does", "systemctl stop dbus.socket dbus.service\n" + START +
          "show ActiveState" + END, bundle("sleep 1000")), "active\ngone\n"),
    (Case("podman's containers are scopes as well, with its systemd manager", PODMAN),
     re.compile(r"(?s)active\nyes\n67108864\n30\n30\n67108864\n0::/\n.*1\n.*50331648\nnot-found\n$")),
    (Case("the cgroupfs manager works beside systemd", """
id=$(basename $PWD); hull-runtime run --bundle . $id; ls -d /sys/fs/cgroup/hull/$id 2>/dev/null || echo gone
""", bundle("cat /sys/fs/cgroup/pids.max", pids={"limit": 12})), "12\ngone\n"),
]


@pytest.fixture(scope="module")
def guest(binaries, payload, tmp_path_factory, request):
    binaries.need("runtime")
    return Guest("systemd", tmp_path_factory.mktemp("guest"), binaries, payload, selected(request, CASES), systemd=True,
                 programs=["/usr/bin/podman", "/usr/bin/conmon"])


@pytest.mark.needs("qemu-system-x86_64", "cpio", "debootstrap", "mkfs.ext4", "podman", "conmon")
@pytest.mark.parametrize("case, expected", **parameters(CASES))
def test_with_systemd(guest, case, expected):
    check(guest, case, expected)
