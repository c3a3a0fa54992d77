"""Other processes of the machine that want to hurt: an ordinary user who was first in /tmp, and a container that looks
at what comes into it."""

import os
import shutil

import pytest

from harness.programs import run
from harness.watcher import seen_of_execs


@pytest.fixture
def squatted(ordinary_user):
    """squatted(name, kind): somebody else has made /tmp/NAME-UID."""
    made = []

    def make(name, kind):
        path = f"/tmp/{name}-{ordinary_user.uid}"
        made.append(path)
        if kind == "a link":
            os.symlink(ordinary_user.home, path)
            os.lchown(path, 65534, 65534)
            return path
        os.mkdir(path)
        os.chown(path, 65534 if kind == "another's" else ordinary_user.uid, 65534)
        os.chmod(path, 0o777)
        return path

    yield make
    for path in made:
        if os.path.islink(path):
            os.unlink(path)
        else:
            shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("kind", ["another's", "open to all", "a link"])
@pytest.mark.parametrize("program, name, words", [("runtime", "hull-runtime", ["list"]), ("hull", "hull", ["ps"])])
def test_a_folder_in_tmp_that_somebody_else_made_is_refused(binaries, ordinary_user, squatted, kind, program, name,
                                                            words):
    """Its owner could exchange the containers in it, and the hooks in their settings run as the user."""
    path = squatted(name, kind)
    own = binaries.copied_to(ordinary_user.work / "bin")
    before = sorted(os.listdir(ordinary_user.home))
    refused = ordinary_user.run(getattr(own, program), *words, env={"XDG_RUNTIME_DIR": ""}, check=False)
    assert refused.code != 0 and path in refused.err and "not a folder that only uid" in refused.err, refused
    assert sorted(os.listdir(ordinary_user.home)) == before


def test_a_folder_in_tmp_of_the_users_own_serves(binaries, ordinary_user):
    own = binaries.copied_to(ordinary_user.work / "bin")
    path = f"/tmp/hull-runtime-{ordinary_user.uid}"
    try:
        for _ in range(2):
            ordinary_user.run(own.runtime, "list", env={"XDG_RUNTIME_DIR": ""})
        assert os.stat(path).st_mode & 0o777 == 0o711 and os.stat(path).st_uid == ordinary_user.uid
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("field", ["uid", "gid", "additionalGids"])
def test_an_id_that_is_none_is_refused(runtime, bundle, field):
    """setresuid(2) takes 4294967295 for "as it is": the process would stay root."""
    none = (1 << 32) - 1

    def change(config):
        config["process"]["user"] = {"uid": 1000, "gid": 1000}
        config["process"]["user"][field] = [none] if field == "additionalGids" else none

    refused = runtime("run", "--bundle", bundle(["id"], change), runtime.new_id(), code=1)
    assert f"process.user.{field}" in refused.err and "is no id" in refused.err


def test_a_container_that_may_trace_finds_nothing_of_the_host_in_an_exec(runtime, bundle, payload, scratch):
    """In the host's user namespace CAP_SYS_PTRACE looks through the runtime's not being dumpable: its root, its
    working directory and its descriptors must be the container's before the container can see it."""
    marker = scratch / "marker"
    marker.write_text("of the host")

    def change(config):
        for name in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][name] = [*config["process"]["capabilities"][name], "CAP_SYS_PTRACE"]

    it = bundle(["/payload", "watch", str(marker)], change)
    shutil.copy(payload, it.rootfs / "payload")
    seen = seen_of_execs(runtime, it)
    assert not [line for line in seen if line.split(" ")[0] in ("root", "descriptor")], seen


def test_a_process_that_stops_every_newcomer_is_removed_all_the_same(hull, busybox_image):
    """What joins may be stopped before it is confined: nobody who waits for it may hold what `rm` needs."""
    hull("run", "-d", "--name", "jail", busybox_image, "sh", "-c",
         "while :; do for p in /proc/[0-9]*; do [ ${p#/proc/} = 1 ] || kill -STOP ${p#/proc/} 2>/dev/null; done; done")
    waiting = [hull.popen("exec", "jail", "sleep", "0.2") for _ in range(4)]
    hull("rm", "-f", "jail", timeout=60)
    for process in waiting:
        process.communicate(timeout=60)
    assert run("pgrep", "-f", str(hull.runroot), check=False).out == ""
