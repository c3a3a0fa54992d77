"""Every escape of the past that the docs' threat model names, tried against hull-runtime by a hostile image, a
hostile configuration or a racing process. Each attempt must fail, and where that is possible the test shows first
that the trap itself works (a naive program walks into it)."""

import errno
import hashlib
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import tarfile
import threading
import time

import pytest

from harness.programs import popen, run
from harness.waiting import wait_until
from harness.watcher import seen_of_execs


def put(bundle, program, path="payload"):
    """Copies a program into the root file system."""
    shutil.copy(program, bundle.rootfs / path)
    return f"/{path}"


def container_pid(runtime, id):
    return runtime.state(id)["pid"]


def start(runtime, id):
    runtime("start", id)


def stop(runtime, id):
    runtime("delete", "--force", id)


def snapshot(directory):
    """Every path below `directory` with its type and content."""
    found = {}
    for path in sorted(directory.rglob("*")):
        info = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
        found[str(path.relative_to(directory))] = (stat.S_IFMT(info.st_mode), content)
    return found


@pytest.fixture
def outside(scratch):
    """A directory of the host beside the bundles, which nothing may touch."""
    path = scratch / "outside"
    path.mkdir()
    (path / "secret").write_text("of the host")
    before = snapshot(path)
    yield path
    assert snapshot(path) == before


@pytest.fixture
def waiting(runtime, bundle, payload):
    """A running container that waits: factory(change) -> id."""
    ids = []

    def make(change=None, prepare=None):
        it = bundle(["/payload", "stubborn"], change)
        put(it, payload)
        if prepare:
            prepare(it)
        id = runtime.create(it)
        ids.append(id)
        start(runtime, id)
        return id

    yield make
    for id in ids:
        stop(runtime, id)


# --- CVE-2019-5736: the runtime's program is written to through /proc/PID/exe ----------------------


def as_link(bundle):
    (bundle.rootfs / "evil").symlink_to("/proc/self/exe")


def as_interpreter(bundle):
    (bundle.rootfs / "evil").write_text("#!/proc/self/exe --log=/b/config.json\n")
    (bundle.rootfs / "evil").chmod(0o755)


@pytest.mark.parametrize("entry", [as_link, as_interpreter])
def test_a_program_that_is_a_link_to_the_runtime_cannot_overwrite_it(runtime, waiting, bundle, scratch, entry):
    own = scratch / "hull-runtime"
    shutil.copy(runtime.program, own)
    runtime.program = own
    before = hashlib.sha256(own.read_bytes()).hexdigest()

    def prepare(it):
        entry(it)
        (it.rootfs / "b").mkdir()
        os.mkfifo(it.rootfs / "b/config.json")  # the runtime's own code waits here for ever

    id = waiting(prepare=prepare)
    # Detached: while a runtime's process waits for the command the kernel itself refuses the write (ETXTBSY).
    detached(runtime, "exec", "--detach", id, "/evil", "--root", "/tmp", "run", "--bundle", "/b", "x")
    inside = wait_for_process(runtime, id, b"/evil")
    assert inside, "the container's program did not start"
    written = overwrite(runtime, id, inside)
    assert "open ok" in written, written  # the attack got this far
    assert "write EROFS" in written or "write EPERM" in written, written
    assert hashlib.sha256(own.read_bytes()).hexdigest() == before


def program_links(pid, file):
    """Descriptors, open for reading, of all that leads from process `pid` to its program `file`: /proc/PID/exe and each
    of its mappings."""
    folder = f"/proc/{pid}/map_files"
    links = [f"{folder}/{name}" for name in os.listdir(folder) if os.path.samefile(f"{folder}/{name}", file)]
    assert links, "the program is not mapped from its file"
    return [os.open(link, os.O_RDONLY) for link in (f"/proc/{pid}/exe", *links)]


def write_error(fd):
    """What reopening `fd` for writing gives; 0: it works."""
    try:
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY))
    except OSError as error:
        return error.errno
    finally:
        os.close(fd)
    return 0


def test_a_runtime_that_makes_a_container_runs_from_a_read_only_mount(runtime, bundle, scratch):
    """Nothing leads to the writable file, neither /proc/PID/exe nor a mapping, before the container has anything."""
    own = scratch / "hull-runtime"
    shutil.copy(runtime.program, own)
    runtime.program = own
    words = [str(a) for a in runtime.arguments("create", "--bundle", bundle(), runtime.new_id())]
    command = subprocess.Popen(words, env={**os.environ, "HULL_DEBUG_PAUSE_AT": "directory_made"},
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: open(f"/proc/{command.pid}/stat").read().rpartition(")")[2].split()[0] == "T", "the pause")
        links = program_links(command.pid, own)
        # What the exchange of the file must not lose.
        assert open(f"/proc/{command.pid}/cmdline").read().split("\0")[1:-1] == words[1:]
        assert "HULL_DEBUG_PAUSE_AT=directory_made" in open(f"/proc/{command.pid}/environ").read().split("\0")
    finally:
        command.kill()
        command.wait()
        runtime("delete", "--force", words[-1])
    # While it ran, the kernel itself refused (ETXTBSY).
    assert {write_error(fd) for fd in links} == {errno.EROFS}


def detached(runtime, *args):
    """A command whose process stays in the container with nothing of ours as stdio."""
    subprocess.run(list(map(str, runtime.arguments(*args))), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=True, timeout=60)


def overwrite(runtime, id, inside):
    """What the container's `payload overwrite` says about process `inside`."""
    detached(runtime, "exec", "--detach", id, "/bin/sh", "-c",
             f"/payload overwrite {inside} > /said.part; mv /said.part /said")
    said = f"/proc/{container_pid(runtime, id)}/root/said"
    for _ in range(600):
        if os.path.exists(said):
            with open(said) as file:
                return file.read()
        time.sleep(0.05)
    raise AssertionError("`payload overwrite` did not end")


def wait_for_process(runtime, id, word):
    """The pid inside of the container's process with `word` in its command line."""
    for _ in range(600):
        host = container_pid(runtime, id)
        for pid in run("ls", "/proc").out.split():
            try:
                if not pid.isdigit() or word not in open(f"/proc/{pid}/cmdline", "rb").read():
                    continue
                if os.readlink(f"/proc/{pid}/ns/pid") != os.readlink(f"/proc/{host}/ns/pid"):
                    continue
                status = open(f"/proc/{pid}/status").read()
            except OSError:
                continue
            return int(status.partition("NSpid:")[2].splitlines()[0].split()[-1])
        time.sleep(0.05)
    return None


def test_the_trap_itself_works(runtime, waiting, scratch, payload):
    """A program of the host that is bound into a container and not protected is overwritten by `overwrite`."""
    victim = scratch / "victim"
    shutil.copy(payload, victim)

    def change(config):
        config["mounts"].append({"destination": "/victim", "type": "bind", "source": str(victim), "options": ["bind"]})

    id = waiting(change)
    detached(runtime, "exec", "--detach", id, "/victim", "stubborn")
    inside = wait_for_process(runtime, id, b"/victim")
    assert inside
    assert "overwritten" in overwrite(runtime, id, inside)
    assert victim.read_bytes().startswith(b"overwritten")


def test_a_process_on_its_way_into_a_container_shows_nothing(runtime, bundle, payload, scratch):
    """The container watches every process that appears while exec after exec comes in."""
    marker = scratch / "marker"
    marker.write_text("of the host")
    it = bundle(["/payload", "watch", str(marker)])
    put(it, payload)
    seen = seen_of_execs(runtime, it)
    assert not [line for line in seen if line.split(" ")[0] in ("program", "root", "descriptor")], seen


# --- CVE-2019-16884, 2019-19921, 2023-27561, 2023-28642: /proc and /sys of the image --------------


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/tmp/fake", "tmp/fake", "../../outside"])
def test_a_link_in_the_place_of_a_kernel_file_system_is_refused(runtime, bundle, outside, name, target):
    it = bundle(["true"])
    (it.rootfs / "tmp/fake").mkdir(parents=True)
    (it.rootfs / name).rmdir()
    (it.rootfs / name).symlink_to(target)
    done = runtime("run", "--bundle", it, runtime.new_id(), code=1)
    assert f"/{name}" in done.err and "symbolic link" in done.err
    assert list((it.rootfs / "tmp/fake").iterdir()) == []


def test_a_file_in_the_place_of_proc_is_refused(runtime, bundle):
    it = bundle(["true"])
    (it.rootfs / "proc").rmdir()
    (it.rootfs / "proc").write_text("")
    assert "/proc" in runtime("run", "--bundle", it, runtime.new_id(), code=1).err


@pytest.mark.parametrize("destination", ["/proc", "/link", "/proc/sys", "/link/sys/kernel"])
def test_kernel_files_are_never_written_through_a_fake_proc(runtime, bundle, scratch, destination):
    """A volume with a made-up proc is mounted over the real one, by name or through a link of the image."""
    fake = scratch / "fake"
    for path in ("sys/kernel/domainname", "kernel/domainname", "domainname", "self/attr/exec", "1/attr/exec"):
        (fake / path).parent.mkdir(parents=True, exist_ok=True)
        (fake / path).write_text("fake")
    before = snapshot(fake)

    def change(config):
        config["mounts"].append({"destination": destination, "type": "bind", "source": str(fake),
                                 "options": ["rbind", "rw"]})
        config["linux"]["sysctl"] = {"kernel.domainname": "hull-escape-test"}
        config["linux"]["maskedPaths"] = []
        config["linux"]["readonlyPaths"] = []

    it = bundle(["sleep", "1000"], change)
    (it.rootfs / "link").symlink_to("/proc")
    id = runtime.new_id()
    code, errors = runtime.try_create(id, it)
    if code == 0:  # then the real file has it
        pid = container_pid(runtime, id)
        assert run("nsenter", "--uts", "-t", pid, "domainname").out == "hull-escape-test\n"
        stop(runtime, id)
    else:
        assert len(errors.splitlines()) == 1 and "sysctl" in errors, errors
    assert snapshot(fake) == before


# --- CVE-2021-30465, 2024-45310: the mount target is exchanged between check and use --------------


def test_a_mount_target_that_is_exchanged_all_the_time(runtime, bundle, payload, outside):
    """A process of another container, on a shared volume, swaps a folder of the mount's target and a link out."""
    before = run("cat", "/proc/self/mountinfo").out.count(str(outside))

    def change(config):
        for name in ("one", "two/three", "four/five/six"):
            config["mounts"].append({"destination": f"/shared/swap/{name}", "type": "tmpfs", "source": "tmpfs"})

    it = bundle(["true"], change)
    shared = it.rootfs / "shared"
    (shared / "swap").mkdir(parents=True)
    (shared / "link").symlink_to("../../../outside")
    swapper = popen(payload, "swap", shared / "swap", shared / "link", stdout=subprocess.DEVNULL)
    try:
        codes = {runtime("run", "--bundle", it, runtime.new_id(), check=False).code for _ in range(60)}
    finally:
        swapper.kill()
        swapper.communicate()
    assert codes <= {0, 1}
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert run("cat", "/proc/self/mountinfo").out.count(str(outside)) == before


@pytest.mark.parametrize("kind", ["tmpfs", "bind directory", "bind file"])
@pytest.mark.parametrize("link", ["{outside}", "../../outside", "/../../../../../../{outside}"])
def test_a_mount_target_behind_a_link_stays_inside(runtime, bundle, outside, scratch, kind, link):
    (scratch / "source").mkdir()
    (scratch / "file").write_text("bound")

    def change(config):
        source = scratch / ("file" if kind == "bind file" else "source")
        config["mounts"].append(
            {"destination": "/trap/inner", "type": "tmpfs", "source": "tmpfs"} if kind == "tmpfs" else
            {"destination": "/trap/inner", "type": "bind", "source": str(source), "options": ["bind"]})

    it = bundle(["true"], change)
    (it.rootfs / "trap").symlink_to(link.format(outside=outside))
    runtime("run", "--bundle", it, runtime.new_id(), check=False)


@pytest.mark.parametrize("path", ["../../outside/x", "/../../../outside/x", "/a/../../../../../../tmp/x"])
def test_dots_in_a_mount_target_stay_inside(runtime, bundle, outside, path):
    def change(config):
        config["mounts"].append({"destination": path, "type": "tmpfs", "source": "tmpfs"})

    runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), check=False)


# --- CVE-2024-21626: a leaked descriptor of the host ----------------------------------------------


@pytest.fixture
def leaked(scratch, payload):
    """A directory of the host with a program, open without close-on-exec in whoever gets `pass_fds`."""
    path = scratch / "leaked"
    path.mkdir()
    shutil.copy(payload, path / "hostprogram")
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_no_descriptor_leads_the_working_directory_to_the_host(runtime, bundle, leaked):
    for number in range(3, 24):
        def change(config):
            config["process"]["cwd"] = f"/proc/self/fd/{number}"

        done = runtime("run", "--bundle", bundle(["cat", "hostprogram"], change), runtime.new_id(), check=False,
                       pass_fds=[leaked], text=False)
        assert done.code == 1 and b"ELF" not in done.out, (number, done)


def test_no_descriptor_leads_the_program_to_the_host(runtime, bundle, leaked, scratch):
    it = bundle()
    ups = "/".join([".."] * 12)
    for number in range(3, 24):
        for path in (f"/proc/self/fd/{number}/hostprogram", f"/proc/self/fd/{number}/{ups}{scratch}/leaked/hostprogram"):
            it.config["process"]["args"] = [path, "exit", "0"]
            it.save()
            done = runtime("run", "--bundle", it, runtime.new_id(), check=False, pass_fds=[leaked])
            assert done.code == 1, (path, done)


def test_no_descriptor_leads_an_exec_to_the_host(runtime, waiting, leaked, scratch):
    id = waiting()
    ups = "/".join([".."] * 12)
    for number in range(3, 24):
        done = runtime("exec", "--cwd", f"/proc/self/fd/{number}", id, "/bin/cat", "hostprogram", check=False,
                       pass_fds=[leaked], text=False)
        assert done.code != 0 and b"ELF" not in done.out, (number, done)
        for path in (f"/proc/self/fd/{number}/hostprogram", f"/proc/self/fd/{number}/{ups}{scratch}/leaked/hostprogram"):
            done = runtime("exec", id, path, "exit", "0", check=False, pass_fds=[leaked])
            assert done.code == 255, (path, done)


def test_only_the_three_standard_descriptors_arrive(runtime, bundle, payload, leaked, waiting):
    def change(config):
        config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "ls /proc/self/fd > /fds"]}]}

    it = bundle(["/payload", "descriptors"], change)
    put(it, payload)
    done = runtime("run", "--bundle", it, runtime.new_id(), pass_fds=[leaked])
    assert [line.split(" ")[0] for line in done.out.splitlines()] == ["0", "1", "2"], done
    # What the hook saw: its own listing needs one more.
    assert (it.rootfs / "fds").read_text().split() == ["0", "1", "2", "3"]
    assert "leaked" not in done.out
    done = runtime("exec", waiting(), "/payload", "descriptors", pass_fds=[leaked])
    assert [line.split(" ")[0] for line in done.out.splitlines()] == ["0", "1", "2"], done


def test_a_descriptor_that_is_preserved_arrives(runtime, bundle, payload):
    """So that the tests above can fail: passing one on is what --preserve-fds is for."""
    it = bundle(["/payload", "descriptors"])
    put(it, payload)
    with open("/dev/null") as null:
        done = runtime("run", "--preserve-fds", "1", "--bundle", it, runtime.new_id(), close_fds=False,
                       preexec_fn=lambda: os.dup2(null.fileno(), 3, inheritable=True))
    assert [line.split(" ")[0] for line in done.out.splitlines()] == ["0", "1", "2", "3"], done


# --- CVE-2025-31133: masks are made of the container's own /dev/null ------------------------------


@pytest.mark.parametrize("has_own_dev", [True, False], ids=["tmpfs on /dev", "the image's /dev"])
def test_a_masked_file_is_masked_by_the_real_null_device(runtime, bundle, has_own_dev):
    def change(config):
        if not has_own_dev:
            config["mounts"] = [mount for mount in config["mounts"] if not mount["destination"].startswith("/dev")]
        config["linux"]["maskedPaths"] += ["/etc/secret", "/etc/folder"]

    it = bundle(["sh", "-c", "stat -c '%F %t:%T' /proc/timer_list /etc/secret; cat /etc/secret /proc/timer_list;"
                 "ls /etc/folder; echo x > /etc/folder/new; echo $?"], change)
    (it.rootfs / "etc").mkdir(exist_ok=True)
    (it.rootfs / "etc/secret").write_text("secret")
    (it.rootfs / "etc/victim").write_text("victim\n")  # what a trusting runtime would bind over the secret
    (it.rootfs / "etc/folder").mkdir()
    (it.rootfs / "etc/folder/hidden").write_text("hidden")
    shutil.rmtree(it.rootfs / "dev", ignore_errors=True)
    (it.rootfs / "dev").mkdir()
    (it.rootfs / "dev/null").symlink_to("/etc/victim")
    done = runtime("run", "--bundle", it, runtime.new_id(), check=False)
    if done.code == 0:
        assert done.out == "character special file 1:3\n" * 2 + "1\n", done
    else:  # refusing such an image is right as well
        assert not has_own_dev and "/dev/null" in done.err, done


# --- CVE-2025-52565: /dev/console is a link --------------------------------------------------------


class ConsoleSocket:
    """The receiving end of --console-socket."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(1)
        self.socket.settimeout(60)
        self.master = None
        self.thread = threading.Thread(target=self.receive)
        self.thread.start()

    def receive(self):
        try:
            connection, _ = self.socket.accept()
            _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
            self.master = fds[0]
        except (OSError, IndexError):
            self.master = None

    def close(self):
        try:
            socket.socket(socket.AF_UNIX).connect(str(self.path))
        except OSError:
            pass
        self.thread.join()
        self.socket.close()
        if self.master is not None:
            os.close(self.master)


@pytest.mark.parametrize("has_own_dev", [True, False], ids=["tmpfs on /dev", "the image's /dev"])
@pytest.mark.parametrize("target", ["/etc/victim", "/proc/sysrq-trigger", "../../../outside/secret"])
def test_a_console_that_is_a_link_is_not_followed(runtime, bundle, scratch, outside, has_own_dev, target):
    def change(config):
        if not has_own_dev:
            config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] not in
                                ("/dev", "/dev/shm", "/dev/mqueue")]

    it = bundle(["sleep", "1000"], change, terminal=True)
    (it.rootfs / "etc").mkdir(exist_ok=True)
    (it.rootfs / "etc/victim").write_text("victim")
    shutil.rmtree(it.rootfs / "dev", ignore_errors=True)
    (it.rootfs / "dev/pts").mkdir(parents=True)
    (it.rootfs / "dev/console").symlink_to(target)
    console = ConsoleSocket(scratch / "console")
    id = runtime.new_id()
    try:
        code, errors = runtime.try_create(id, it, "--console-socket", console.path)
        if code == 0:
            pid = container_pid(runtime, id)
            table = open(f"/proc/{pid}/mountinfo").read().splitlines()
            terminals = [line.split()[4] for line in table if " - devpts " in line]
            assert set(terminals) <= {"/dev/pts", "/dev/console"}, terminals
            assert run("nsenter", "--mount", "-t", pid, "cat", "/etc/victim").out == "victim"
        else:
            assert not has_own_dev and "/dev/console" in errors, errors
    finally:
        console.close()
        runtime("delete", "--force", id)


# --- CVE-2025-52881: writes to kernel files are led to other kernel files -------------------------


@pytest.mark.parametrize("trap", ["/proc/sys/kernel/domainname", "/proc/sys/kernel", "/link"])
def test_a_sysctl_is_not_led_to_another_file(runtime, bundle, scratch, trap):
    """The configuration binds a file of the host over the sysctl; writing must not arrive there."""
    victim = scratch / "victim"
    victim.mkdir()
    (victim / "domainname").write_text("victim")

    def change(config):
        source = victim if trap == "/proc/sys/kernel" else victim / "domainname"
        config["mounts"].append({"destination": trap, "type": "bind", "source": str(source), "options": ["bind"]})
        config["linux"]["sysctl"] = {"kernel.domainname": "1"}

    it = bundle(["true"], change)
    (it.rootfs / "link").symlink_to("/proc/sys/kernel/domainname")
    runtime("run", "--bundle", it, runtime.new_id(), check=False)
    assert (victim / "domainname").read_text() == "victim"


# --- CVE-2026-41579, 2026-47766: /dev of the image is a link ---------------------------------------


@pytest.mark.parametrize("has_own_dev", [True, False], ids=["tmpfs on /dev", "the image's /dev"])
@pytest.mark.parametrize("target", ["../../outside", "{outside}", "/proc", "/sys", "/etc"])
def test_a_dev_that_is_a_link_leads_nowhere(runtime, bundle, outside, has_own_dev, target):
    def change(config):
        if not has_own_dev:
            config["mounts"] = [mount for mount in config["mounts"] if not mount["destination"].startswith("/dev")]

    it = bundle(["true"], change)
    shutil.rmtree(it.rootfs / "dev", ignore_errors=True)
    (it.rootfs / "dev").symlink_to(target.format(outside=outside))
    runtime("run", "--bundle", it, runtime.new_id(), check=False)
    assert not [path for path in outside.rglob("*") if path.is_char_device()]


def test_a_device_path_does_not_leave_the_root(runtime, bundle, outside):
    def change(config):
        for path in ("/dev/../../../outside/null", "/trap/null", "/../../../outside/x"):
            config["linux"].setdefault("devices", []).append(
                {"path": path, "type": "c", "major": 1, "minor": 3, "fileMode": 0o666})

    it = bundle(["true"], change)
    (it.rootfs / "trap").symlink_to("../../outside")
    runtime("run", "--bundle", it, runtime.new_id(), check=False)


# --- CVE-2022-29162, 2022-27650: exec gives inheritable capabilities -------------------------------


def sets_of(done):
    return {line.split(":")[0]: int(line.split()[1], 16) for line in done.out.splitlines() if line.startswith("Cap")}


def test_nothing_is_inheritable_unless_the_spec_names_it(runtime, waiting, scratch):
    id = waiting()
    net_raw = 1 << 13
    for options in ([], ["--cap", "CAP_NET_RAW"], ["--user", "1"]):
        sets = sets_of(runtime("exec", *options, id, "/payload", "confinement"))
        assert sets["CapInh"] == 0 and sets["CapAmb"] == 0, (options, sets)
        if "--cap" in options:
            assert sets["CapEff"] & net_raw, sets
    process = {"args": ["/payload", "confinement"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
               "capabilities": {name: ["CAP_KILL"] for name in ("bounding", "effective", "permitted", "inheritable")}}
    (scratch / "process.json").write_text(json.dumps(process))
    sets = sets_of(runtime("exec", "--process", scratch / "process.json", id))
    assert sets["CapInh"] == 1 << 5, sets


# --- CVE-2026-30892: a user that is parsed too kindly ----------------------------------------------


def test_a_user_that_is_no_number_never_becomes_root(runtime, waiting):
    id = waiting()
    assert "uid 1 1 1" in runtime("exec", "--user", "1", id, "/payload", "identity").out
    assert "uid 1 1 1\ngid 2 2 2" in runtime("exec", "--user", "1:2", id, "/payload", "identity").out
    for user in (":", "1:", ":1", "1:2:3", "+1", "-1", "0x1", " 1", "1 ", "1:2x", "1e3", "4294967296", "1;0",
                 "4294967295"):
        done = runtime("exec", f"--user={user}", id, "/payload", "identity", check=False)
        assert done.code == 255, (user, done)


# --- CVE-2023-25809: a writable cgroup tree without a cgroup namespace -----------------------------


@pytest.mark.parametrize("has_user_namespace", [True, False])
def test_the_hosts_cgroup_tree_is_read_only_without_a_cgroup_namespace(runtime, bundle, has_user_namespace):
    def change(config):
        config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "cgroup"]
        for mount in config["mounts"]:
            if mount["type"] == "cgroup":
                mount["options"] = ["nosuid", "noexec", "nodev", "relatime", "rw"]

    it = bundle(["sh", "-c", "cat /proc/self/mountinfo; find /sys/fs/cgroup -maxdepth 3 -type d | while read d; do "
                 "mkdir $d/hull-escape 2>/dev/null && echo MADE $d && rmdir $d/hull-escape; done; true"], change)
    if has_user_namespace:
        it.with_user_namespace()
    out = runtime("run", "--bundle", it, runtime.new_id()).out
    mounts = [line.split() for line in out.splitlines() if " - cgroup" in line]
    assert mounts
    if has_user_namespace:
        assert "MADE" not in out, out
        assert all("ro" in words[5].split(",") for words in mounts), out


# --- CVE-2021-43784: lengths that overflow a message ----------------------------------------------


def test_long_values_arrive_whole_or_are_refused(runtime, bundle, payload):
    long = "x" * 70000

    def change(config):
        config["process"]["env"] += [f"LONG{i}={long}" for i in range(8)]
        config["process"]["args"] += [long]
        config["annotations"] = {"org.example.long": "y" * 200000}

    it = bundle(["/payload", "process"], change)
    put(it, payload)
    out = runtime("run", "--bundle", it, runtime.new_id()).out
    assert sum(f"env LONG{i}={long}\n" in out for i in range(8)) == 8


@pytest.mark.parametrize("field", ["namespace path", "mount source", "id maps", "cgroupsPath", "hostname"])
def test_values_beyond_every_limit_are_an_error(runtime, bundle, field):
    def change(config):
        long = "/" + "a" * 70000
        if field == "namespace path":
            config["linux"]["namespaces"][1]["path"] = long
        elif field == "mount source":
            config["mounts"].append({"destination": "/x", "type": "bind", "source": long, "options": ["bind"]})
        elif field == "id maps":
            config["linux"]["namespaces"].append({"type": "user"})
            maps = [{"containerID": i, "hostID": 100000 + 2 * i, "size": 1} for i in range(5000)]
            config["linux"].update(uidMappings=maps, gidMappings=maps)
        elif field == "cgroupsPath":
            config["linux"]["cgroupsPath"] = long
        else:
            config["hostname"] = "h" * 70000

    done = runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), code=1)
    assert len(done.err.splitlines()) == 1, done.err[:2000]


# --- layer extraction outside its root --------------------------------------------------------------


def entry(name, **fields):
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def link_to(target):
    return {"type": tarfile.SYMTYPE, "linkname": target}


def hostile_archives(outside):
    """Name -> members (TarInfo, content). Each would write, link or delete outside of a trusting unpacker's root."""
    ups = "/".join([".."] * 14)
    there = f"{ups}{outside}"
    file = b"written by the archive"
    return {
        "dots": [(entry(f"{there}/new"), file)],
        "absolute name": [(entry(f"{outside}/new"), file)],
        "file through an absolute link": [(entry("link", **link_to(str(outside))), None), (entry("link/new"), file)],
        "file through a relative link": [(entry("a/link", **link_to(there)), None), (entry("a/link/new"), file)],
        "file through two links": [(entry("one", **link_to("two")), None), (entry("two", **link_to(str(outside))), None),
                                   (entry("one/new"), file)],
        "folder over a link": [(entry("link", **link_to(str(outside))), None),
                               (entry("link", type=tarfile.DIRTYPE, mode=0o777), None), (entry("link/new"), file)],
        "file over a link": [(entry("link", **link_to(f"{outside}/secret")), None), (entry("link"), file)],
        "hard link by dots": [(entry("hard", type=tarfile.LNKTYPE, linkname=f"{there}/secret"), None),
                              (entry("hard"), file)],
        "hard link to an absolute name": [(entry("hard", type=tarfile.LNKTYPE, linkname=f"{outside}/secret"), None),
                                          (entry("hard", mode=0o777), file)],
        "hard link through a link": [(entry("link", **link_to(str(outside))), None),
                                     (entry("hard", type=tarfile.LNKTYPE, linkname="link/secret"), None)],
        "whiteout through a link": [(entry("link", **link_to(str(outside))), None), (entry("link/.wh.secret"), b"")],
        "whiteout of dots": [(entry("a/.wh..."), b""), (entry(".wh..."), b""), (entry(f"a/.wh.{ups}"), b"")],
        "opaque folder through a link": [(entry("link", **link_to(str(outside))), None),
                                         (entry("link/.wh..wh..opq"), b"")],
        "mode of a link's target": [(entry("link", mode=0o777, **link_to(f"{outside}/secret")), None)],
    }


@pytest.mark.parametrize("name", hostile_archives("x"))
def test_a_layer_writes_nothing_outside_of_its_root(hull, scratch, outside, name):
    archive = scratch / "hostile.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in hostile_archives(outside)[name]:
            info.size = len(content or b"")
            tar.addfile(info, io.BytesIO(content or b""))
    mode = (outside / "secret").stat()
    done = hull("import", archive, "hostile", check=False)
    assert done.code in (0, 125), done
    after = (outside / "secret").stat()
    assert (after.st_mode, after.st_nlink, after.st_ino) == (mode.st_mode, mode.st_nlink, mode.st_ino)


# --- found by reading: a proc that may not be mounted is not replaced by the host's ----------------


def test_without_the_right_to_mount_proc_the_hosts_is_not_shown(runtime, bundle):
    """In a mount namespace where /proc is partly hidden (a container) the kernel refuses a new proc to a user
    namespace. The container must not get ours, with our processes, instead."""
    it = bundle(["ls", "/proc"]).with_user_namespace()
    id = runtime.new_id()
    hide = "for p in $(grep ' - proc ' /proc/self/mountinfo | cut -d' ' -f5); do mount -t tmpfs none $p/tty; done"
    done = run("unshare", "--mount", "sh", "-c", hide + '; exec "$@"', "sh",
               *runtime.arguments("run", "--bundle", it, id), check=False)
    assert done.code == 1 and "/proc" in done.err and len(done.err.splitlines()) == 1, done
    assert not [word for word in done.out.split() if word.isdigit()], done


@pytest.mark.parametrize("name", ["kernel.core_pattern", "kernel/core_pattern", "vm.overcommit_memory",
                                  "kernel.domainname/../core_pattern", "../../etc/passwd", "net.ipv4.ip_forward",
                                  "fs.mqueue.msg_max", "kernel.shmmax", "kernel.domainname"])
def test_a_sysctl_of_the_host_is_refused(runtime, bundle, name):
    """Without a namespace of its own for it, a sysctl is the host's."""
    before = {path: open(f"/proc/sys/{path}").read() for path in
              ("kernel/core_pattern", "vm/overcommit_memory", "net/ipv4/ip_forward", "kernel/shmmax",
               "kernel/domainname", "fs/mqueue/msg_max")}

    def change(config):
        config["linux"]["namespaces"] = [{"type": "mount"}, {"type": "pid"}]
        config["linux"]["sysctl"] = {name: "1"}
        config["mounts"] = [mount for mount in config["mounts"] if mount["type"] not in ("sysfs", "mqueue")]
        del config["hostname"]

    done = runtime("run", "--bundle", bundle(["true"], change), runtime.new_id(), code=1)
    assert "sysctl" in done.err, done
    assert before == {path: open(f"/proc/sys/{path}").read() for path in before}


def test_a_host_with_mounts_over_its_own_root_leaves_none_of_them_in_the_container(runtime, bundle, scratch):
    """Two binds of a shared "/" onto one place put a mount over "/" itself. pivot_root's old root is then not what lies
    on top of the new one, and a runtime that detaches only the topmost mount leaves the host's tree behind "/.."."""
    made = bundle(["sh", "-c", "ls -d /..$0 2>&1; cut -d' ' -f5 /proc/self/mountinfo | sort | uniq -d",
                   str(scratch)])
    place = scratch / "place"
    place.mkdir()
    script = f"""set -e
        mount --make-rshared / && mount --bind / {place} && mount --bind / {place}
        exec "$@" """
    done = run("unshare", "--mount", "sh", "-c", script, "sh", *runtime.arguments("run", "--bundle", made, runtime.new_id()))
    assert done.out == f"ls: /..{scratch}: No such file or directory\n"
