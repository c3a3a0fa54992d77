"""hull-runtime as an ordinary user: one id, a whole range, and inside a user namespace of the caller's."""

import copy
import os

import pytest

from harness.bundles import DEFAULT_CONFIG, Bundle, Runtime
from harness.programs import run


class UserRuntime(Runtime):
    """Every command as the ordinary user, with its own copy of the binaries."""

    def __init__(self, user, binaries, wrapper=()):
        program = binaries.copied_to(user.work / "bin").runtime
        super().__init__(program, user.runtime_directory / "runtime")
        self.user = user
        self.wrapper = list(wrapper)

    def arguments(self, *args):
        return [*self.user.prefix, *self.wrapper, *super().arguments(*args)]

    def __call__(self, *args, **how):
        return run(*self.arguments(*args), env=self.user.environment, **how)


def rootless(config, user):
    """What `runc spec --rootless` writes."""
    config["linux"]["namespaces"] = [{"type": n} for n in ("pid", "ipc", "uts", "mount", "cgroup", "user")]
    config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": user.uid, "size": 1}]
    config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": user.gid, "size": 1}]
    config["linux"].pop("resources")
    config["mounts"] = [m for m in config["mounts"] if m["destination"] not in ("/sys/fs/cgroup", "/sys")]
    config["mounts"].append({"destination": "/sys", "type": "none", "source": "/sys",
                             "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]})
    for mount in config["mounts"]:
        mount["options"] = [o for o in mount.get("options", []) if o != "gid=5"]


@pytest.fixture
def user_bundle(ordinary_user, busybox_rootfs):
    path = ordinary_user.work / "bundle"

    def make(args, change=None):
        path.mkdir()
        run("cp", "-a", busybox_rootfs, path / "rootfs")
        config = copy.deepcopy(DEFAULT_CONFIG)
        config["process"]["args"] = list(args)
        config["process"]["rlimits"] = []
        rootless(config, ordinary_user)
        if change:
            change(config)
        bundle = Bundle(path, config).save()
        run("chown", "-hR", f"{ordinary_user.uid}:{ordinary_user.gid}", path)
        return bundle

    return make


def shell(script):
    return ["sh", "-c", script]


def whole_range(user):
    def change(config):
        first = int(next(line.split(":")[1] for line in open("/etc/subuid") if line.startswith(user.name + ":")))
        config["linux"]["uidMappings"].append({"containerID": 1, "hostID": first, "size": 65536})
        config["linux"]["gidMappings"].append({"containerID": 1, "hostID": first, "size": 65536})
    return change


def test_with_one_id(ordinary_user, binaries, user_bundle):
    runtime = UserRuntime(ordinary_user, binaries)
    it = user_bundle(shell("id -u; cat /proc/self/uid_map; echo > /dev/null && ls -l /dev/null | cut -c1; touch /made; "
                           "mount -t tmpfs none /mnt || echo no-mounts; hostname; cat /proc/keys | wc -c"))
    out = runtime("run", "--bundle", it, "one").out
    assert out.split() == ["0", "0", str(ordinary_user.uid), "1", "c", "no-mounts", "hull-test", "0"]
    assert (it.rootfs / "made").stat().st_uid == ordinary_user.uid


@pytest.mark.needs("newuidmap")
def test_with_a_whole_range(ordinary_user, binaries, user_bundle):
    runtime = UserRuntime(ordinary_user, binaries)
    it = user_bundle(shell("id; touch /tmp/made"), lambda config: (
        whole_range(ordinary_user)(config),
        config["process"].update(user={"uid": 1000, "gid": 1000, "additionalGids": [5]})))
    (it.rootfs / "tmp").chmod(0o1777)
    out = runtime("run", "--bundle", it, "range").out
    assert "uid=1000" in out and "5" in out
    assert (it.rootfs / "tmp/made").stat().st_uid > 65536
    run("rm", it.rootfs / "tmp/made")


def test_groups_that_one_id_cannot_have_are_refused(ordinary_user, binaries, user_bundle):
    runtime = UserRuntime(ordinary_user, binaries)
    it = user_bundle(["true"], lambda config: config["process"]["user"].update(additionalGids=[5]))
    assert "additionalGids" in runtime("run", "--bundle", it, "groups", code=1).err


def test_life_of_a_container_and_exec(ordinary_user, binaries, user_bundle):
    runtime = UserRuntime(ordinary_user, binaries)
    it = user_bundle(["sleep", "1000"])
    errors = ordinary_user.work / "errors"
    errors.touch()
    os.chown(errors, ordinary_user.uid, ordinary_user.gid)
    run("sh", "-c", 'exec "$@" </dev/null >/dev/null 2>"$0"', errors, *runtime.arguments("create", "--bundle", it, "life"),
        env=ordinary_user.environment)
    runtime("start", "life")
    script = "readlink /proc/self/ns/user; id -u; ps | grep -c 'sleep 1000'"
    out = runtime("exec", "life", "sh", "-c", script).out.split()
    assert out[1] == "0" and int(out[2]) >= 1
    assert out[0] == runtime("exec", "life", "readlink", "/proc/1/ns/user").out.strip()
    assert runtime("exec", "life", "sh", "-c", "exit 5", code=5).code == 5
    runtime("kill", "life", "KILL")
    runtime("delete", "--force", "life")
    assert not (ordinary_user.runtime_directory / "runtime/life").exists()


@pytest.mark.needs("newuidmap", "unshare")
def test_inside_a_user_namespace_of_the_callers(ordinary_user, binaries, user_bundle):
    """As hull's monitor runs it: the whole range outside, the container's own namespace with the same ids inside."""
    def change(config):
        mapping = [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 1, "hostID": 1, "size": 65535}]
        config["linux"].update(uidMappings=mapping, gidMappings=mapping)
    runtime = UserRuntime(ordinary_user, binaries,
                          ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--"])
    it = user_bundle(shell("cat /proc/self/uid_map; id -u; echo x > /dev/null && ls /dev | wc -l; hostname"), change)
    out = runtime("run", "--bundle", it, "nested").out.split()
    assert out[:7] == ["0", "0", "1", "1", "1", "65535", "0"] and out[-1] == "hull-test"


@pytest.mark.needs("newuidmap", "unshare")
def test_without_root_the_state_is_in_the_users_run_directory(ordinary_user, binaries, user_bundle):
    """Also as root of the user's own namespace, as podman calls a runtime: /run is not the user's there."""
    program = binaries.copied_to(ordinary_user.work / "bin").runtime
    inside = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--"]
    it = user_bundle(["true"], lambda config: config["linux"].update(uidMappings=[{"containerID": 0, "hostID": 0, "size": 1}],
                                                                     gidMappings=[{"containerID": 0, "hostID": 0, "size": 1}]))
    ordinary_user.run(*inside, program, "run", "--keep", "--bundle", it, "kept")
    assert (ordinary_user.runtime_directory / "hull-runtime/kept/state.json").exists()
    ordinary_user.run(*inside, program, "delete", "kept")
    done = ordinary_user.run(*inside, program, "run", "--bundle", it, "x", env={"USER": "root"}, code=1)
    assert "/run/hull-runtime" in done.err


def test_a_missing_program_is_told_as_for_root(ordinary_user, binaries, user_bundle):
    runtime = UserRuntime(ordinary_user, binaries)
    it = user_bundle(["no-such"])
    assert 'exec: "no-such": executable file not found in $PATH' in runtime("run", "--bundle", it, "x", code=1).err
    assert not (ordinary_user.runtime_directory / "runtime/x").exists()
