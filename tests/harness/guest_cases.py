"""What the cases for a guest (harness/guest.py) are made of: bundles, and scripts to put around them."""

import copy
import re

from harness.bundles import DEFAULT_CONFIG
from harness.guest import Case

WITH_MKNOD = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_MKNOD"]

# where CONTROLLER PID: the cgroup's directory, in v1's hierarchy of that controller or on v2.
WHERE = """where() { for d in /sys/fs/cgroup/*; do case ,${d##*/}, in
  *,$1,*) echo $d$(grep "[:,]$1[:,]" /proc/$2/cgroup | cut -d: -f3-); return;; esac; done
  echo /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$2/cgroup); }
"""

# Starts the case's bundle and says where it is: $id, $pid, and $group, its v2 cgroup or that of v1's pids controller.
DETACHED = WHERE + """set -e; id=$(basename $PWD)
hull-runtime create --bundle . $id >/dev/null 2>/tmp/error </dev/null || { cat /tmp/error; exit 1; }
hull-runtime start $id
pid=$(hull-runtime state $id | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')
group=$(where pids $pid)
"""
END = """
hull-runtime delete --force $id
test ! -d $group && echo gone
"""
REFUSED = """hull-runtime run --bundle . refused; echo exit $?
find /sys/fs/cgroup -name refused | grep . || echo nothing left"""


def bundle(args, change=None, cgroups_path=None, capabilities=WITH_MKNOD, **resources):
    """A configuration that runs `args` in a shell; the further keywords are members of linux.resources."""
    config = copy.deepcopy(DEFAULT_CONFIG)
    config["process"]["args"] = ["sh", "-c", args]
    config["process"]["capabilities"] = {name: capabilities for name in ("bounding", "effective", "permitted")}
    config["linux"]["resources"].update(resources)
    if cgroups_path:
        config["linux"]["cgroupsPath"] = cgroups_path
    if change:
        change(config)
    return config


def shows(name, file, expected, **resources):
    """A limit of config.json is in the container's own cgroup file."""
    return Case(name, config=bundle(f"cat /sys/fs/cgroup/{file}", **resources)), expected


def refused(name, expected, change=None, **resources):
    """hull-runtime fails with a text that `expected` finds, and leaves no cgroup."""
    return (Case(name, REFUSED, bundle("true", change, **resources)),
            re.compile(f"(?s){expected}.*exit 1\nnothing left\n"))


def for_user(config, host_id=1000):
    """What an ordinary user without subordinate ids may have."""
    section = config["linux"]
    section["namespaces"].append({"type": "user"})
    section["uidMappings"] = [{"containerID": 0, "hostID": host_id, "size": 1}]
    section["gidMappings"] = [{"containerID": 0, "hostID": host_id, "size": 1}]
    for mount in config["mounts"]:
        mount["options"] = [o for o in mount.get("options", []) if o != "gid=5"]
    config["mounts"] = [m for m in config["mounts"] if m["type"] != "mqueue"]
    return config


def writable_cgroup(config):
    for mount in config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"] = ["nosuid", "noexec", "nodev", "rw"]


def check(guest, case, expected):
    """`expected` is the whole output, or a pattern found in it; the script's exit code is 0."""
    result = guest.results[case.name]
    assert result.code == 0, result.out
    if isinstance(expected, re.Pattern):
        assert expected.search(result.out), result.out
    else:
        assert result.out == expected, f"{result.out}\nis not\n{expected}"


def selected(request, cases):
    """The cases that pytest was asked for (-k), with those that others stand on: a guest is slow."""
    asked = {id(item.callspec.params["case"]) for item in request.session.items if hasattr(item, "callspec")}
    return [case for case, _ in cases if case.always or id(case) in asked]


def parameters(cases):
    """For pytest.mark.parametrize."""
    return {"argvalues": cases, "ids": [case.name.replace(" ", "_") for case, _ in cases]}
