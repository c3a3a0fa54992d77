"""A container of an image on Debian 12's own kernel (6.1), which knows overlay layers by path only and cannot mount
onto detached mounts: hull-monitor with idmapped layers, in a guest (./dev test vm)."""

import copy
import json
import re

import pytest

from harness.bundles import DEFAULT_CONFIG
from harness.guest import Case, Guest
from harness.programs import run

FIRST = 300000

SETTINGS = {
    "directory": "/tmp/monitor", "exec_container": "", "hold_start": False, "id": "old", "join_user_namespace_of": 0,
    "keep_stdin": False, "log_max_files": 1, "log_max_size": 0, "log_path": "/tmp/monitor/container.log",
    "on_exit": ["/bin/true"], "remove_directory": False, "rootless": False, "seeds": [],
    "runtime": ["/usr/bin/hull-runtime", "--root", "/tmp/monitor/runtime"],
    "stdio_gid": FIRST, "stdio_uid": FIRST, "terminal": False, "watch_oom": False,
    "rootfs": {"allow_suid": False, "copy": "", "groups": [[0, FIRST, 65536]], "users": [[0, FIRST, 65536]],
               "lowers": ["/mnt/layers/two", "/mnt/layers/one"], "target": "/tmp/monitor/rootfs",
               "upper": "/mnt/snapshot/upper", "work": "/mnt/snapshot/work", "user_xattr": False, "volatile": False},
}

SCRIPT = """set -e
mkdir -p /mnt /tmp/monitor/rootfs && mount -o loop /files/disk.img /mnt
mkdir -p /mnt/layers/one /mnt/layers/two /mnt/snapshot/upper /mnt/snapshot/work
cp -a /rootfs/. /mnt/layers/one/ && echo upper > /mnt/layers/two/layer && echo lower > /mnt/layers/one/layer
cp config.json /tmp/monitor/config.json && cp /files/settings.json /tmp/monitor/settings.json
hull-monitor /tmp/monitor/settings.json </dev/null >/tmp/out 2>&1 || true
n=0; until grep -q exited /tmp/monitor/status.json 2>/dev/null || [ $n -gt 200 ]; do n=$((n+1)); sleep 0.1; done
cat /tmp/out /tmp/monitor/status.json /tmp/monitor/runtime.log; echo; cat /tmp/monitor/container.log
stat -c 'on disk %u %n' /mnt/snapshot/upper/made
"""


@pytest.fixture(scope="module")
def guest(binaries, payload, tmp_path_factory):
    binaries.need("runtime", "monitor")
    work = tmp_path_factory.mktemp("guest-old")
    disk = work / "disk.img"
    run("truncate", "-s", "24M", disk)
    run("mkfs.ext4", "-q", disk)
    config = copy.deepcopy(DEFAULT_CONFIG)
    config["process"]["args"] = ["sh", "-c", "uname -r; cat /proc/self/uid_map /layer; touch /made;"
                                 "stat -c '%u %n' /made /bin/busybox /layer; rm /layer; ls /layer"]
    config["root"]["path"] = "/tmp/monitor/rootfs"
    config["linux"]["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": FIRST, "size": 65536}]
    config["linux"].update(uidMappings=mapping, gidMappings=mapping)
    case = Case("layers", SCRIPT, config)
    return Guest("old-kernel", work / "boot", binaries, payload, [case],
                 files={"disk.img": disk.read_bytes(), "settings.json": json.dumps(SETTINGS)},
                 modules=["fs/overlayfs/overlay"])


def test_an_image_with_idmapped_layers_runs(guest):
    said = guest.results["layers"].out
    out = "".join(json.loads(line)["log"] for line in said.splitlines() if line.startswith('{"log"'))
    assert "6.1." in out, said
    assert re.search(rf"^ *0 +{FIRST} +65536$", out, re.M), said
    assert "\nupper\n" in out, said
    for path in ("/made", "/bin/busybox", "/layer"):
        assert f"\n0 {path}\n" in out, said
    assert "/layer: No such file" in out, said
    assert "on disk 0 /mnt/snapshot/upper/made" in said
