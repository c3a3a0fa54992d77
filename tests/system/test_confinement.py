"""What holds in a default container, seen from both sides: beside test_security.py, what takes several
containers, another user, a count, or a flag that weakens. Numbers are the threat model's."""

import ctypes
import os
import re
import shutil
import stat

import pytest

from harness.programs import run

MAY_HAVE = {"chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "net_bind_service", "sys_chroot",
            "setfcap"}
CAPABILITY_NUMBERS = {"chown": 0, "dac_override": 1, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6, "setuid": 7,
                      "net_bind_service": 10, "sys_chroot": 18, "setfcap": 31}


def landlock_abi():
    """landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)"""
    return ctypes.CDLL(None).syscall(444, None, 0, 1)


@pytest.fixture(scope="module")
def probe_tar(tmp_path_factory, busybox_rootfs, payload):
    """A root with the payload, a set-id program, and some files to destroy."""
    root = tmp_path_factory.mktemp("probe") / "root"
    shutil.copytree(busybox_rootfs, root, symlinks=True)
    shutil.copy(payload, root / "payload")
    (root / "payload").chmod(0o755)
    shutil.copy(payload, root / "bin/suid")
    (root / "bin/suid").chmod(0o4755)
    tar = root.parent / "probe.tar"
    run("tar", "-C", root, "--numeric-owner", "--owner=0", "--group=0", "-cf", tar, ".")
    return tar


@pytest.fixture
def box(hull, probe_tar):
    hull("import", probe_tar, "probe")
    return Box(hull)


@pytest.fixture
def user_box(rootless_hull, probe_tar):
    with open(probe_tar, "rb") as tar:
        rootless_hull("import", "-", "probe", stdin=tar)
    return Box(rootless_hull)


class Box:
    """The image `probe` under one hull."""

    def __init__(self, hull):
        self.hull = hull

    def payload(self, *words, options=(), **how):
        return self.hull("run", "--rm", *options, "probe", "/payload", *words, **how).out

    def sh(self, text, options=(), **how):
        return self.hull("run", "--rm", *options, "probe", "sh", "-c", text, **how)

    def fields(self, *words, **how):
        return {name: rest for name, _, rest in
                (line.partition(":\t") for line in self.payload(*words, **how).splitlines())}


def id_map(text, name):
    lines = text.splitlines()
    start = lines.index(name) + 1
    out = []
    for line in lines[start:]:
        if not line.startswith(" "):
            break
        out.append(tuple(map(int, line.split())))
    return out


def mount_options(text):
    """{target: options} of a mountinfo."""
    found = {}
    for line in text.splitlines():
        words = line.split(" ")
        found[words[4]] = words[5].split(",")
    return found


# --- Identity -------------------------------------------------------------------------------------


def test_2_ranges_are_disjoint_and_come_back(box):
    ids = [box.hull("create", "probe", "true").out.strip() for _ in range(50)]
    firsts = {id: box.hull.inspect(id)["IdRange"]["First"] for id in ids}
    ordered = sorted(firsts.values())
    assert all(b - a >= 65536 for a, b in zip(ordered, ordered[1:]))
    gone = min(ids, key=firsts.get)
    box.hull("rm", gone)
    again = {box.hull("create", "probe", "true").out.strip() for _ in range(1)}
    taken = box.hull.inspect(again.pop())["IdRange"]["First"]
    assert taken == firsts[gone] or taken not in ordered
    assert taken == firsts[gone]


def test_3_bind_mounts_belong_to_the_owner_of_the_source(box, scratch):
    folder = scratch / "bound"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    folder.chmod(0o777)
    done = box.sh("touch /data/by-root", options=["-v", f"{folder}:/data"])
    assert "warning" not in done.err
    box.sh("touch /data/by-user; id -u", options=["-v", f"{folder}:/data", "-u", "1000:1000"])
    assert (folder / "by-root").stat().st_uid == 12345
    fixed = int(next(line.split(":")[1] for line in open("/etc/subuid") if line.startswith("hull:")))
    assert (folder / "by-user").stat().st_uid == fixed + 1000
    # Usable from container to container, whatever range each has.
    seen = box.sh("stat -c '%u %n' /data/by-root /data/by-user", options=["-v", f"{folder}:/data"]).out
    assert seen == "0 /data/by-root\n1000 /data/by-user\n"


def test_3_a_source_of_roots_is_warned_of(box, scratch):
    folder = scratch / "roots"
    folder.mkdir()
    done = box.sh("touch /data/x", options=["-v", f"{folder}:/data"])
    assert "host's root" in done.err
    assert (folder / "x").stat().st_uid == 0


def test_4_a_setuid_program_gains_nothing(box):
    assert box.fields("confinement")["NoNewPrivs"] == "1"
    assert box.sh("suid identity | head -1", options=["-u", "1000"]).out == "uid 1000 1000 1000\n"


def test_5_a_container_id_has_no_rights_on_the_host(box, scratch):
    id = box.hull("run", "-d", "--name", "victim", "probe", "sh", "-c", "echo secret > /root/x; chmod 600 /root/x; "
                  "sleep 300").out.strip()
    other = box.hull("run", "-d", "probe", "sleep", "300").out.strip()
    escaped = box.hull.inspect(other)["IdRange"]["First"]
    mine = scratch / "hosts-own"
    mine.write_text("host\n")
    pid = box.hull.inspect(id)["State"]["Pid"]
    for target, words in (("/etc/shadow", ["cat"]), (str(mine), ["tee"]), (f"{box.hull.root}/hull.db", ["cat"]),
                          (f"/proc/{pid}/root/root/x", ["cat"])):
        done = run("setpriv", f"--reuid={escaped}", f"--regid={escaped}", "--clear-groups", *words, target,
                   check=False, input="overwritten\n")
        assert done.code != 0, target
    assert mine.read_text() == "host\n"
    box.hull("rm", "-f", id, other)


# --- Files ----------------------------------------------------------------------------------------


def test_6_image_and_volume_mounts_are_nosuid_and_nodev(box):
    seen = mount_options(box.payload("mounts", options=["-v", "data:/data"]))
    for target in ("/", "/data", "/etc/hosts"):
        assert {"nosuid", "nodev"} <= set(seen[target]), (target, seen[target])
    for target, options in seen.items():
        assert "nosuid" in options, target


def tree_of(path):
    return sorted((str(p.relative_to(path)), p.lstat().st_mode, p.lstat().st_size, p.lstat().st_mtime_ns)
                  for p in path.rglob("*"))


def test_7_the_image_stays_as_it_is(box):
    layers = box.hull.root / "layers"
    before = tree_of(layers)
    box.sh("rm -rf /usr /etc /bin/ls; echo changed > /root/new; chmod 777 /root; ln /payload /hard; echo >> /payload",
           check=False)
    assert tree_of(layers) == before
    box.hull("run", "-d", "--name", "writer", "probe", "sh", "-c", "echo mine > /tmp/x; sleep 300")
    assert box.sh("ls /tmp").out == ""
    box.hull("rm", "-f", "writer")


def test_8_read_only_is_read_only(box):
    done = box.sh("for f in / /etc /root /tmp /var/x /etc/hosts /dev/shm/../../x; do touch $f/y 2>&1; done; "
                  "touch /vol/ok /t/ok && echo written; echo x > /etc/hostname",
                  options=["--read-only", "-v", "data:/vol", "--tmpfs", "/t"], check=False)
    assert "written" in done.out
    for line in done.out.splitlines():
        assert "written" in line or "Read-only file system" in line or "Not a directory" in line \
            or "No such file" in line, line
    assert "Read-only file system" in done.err


def test_9_other_writable_places_are_small(box):
    limit = 70 << 20
    for place in ("/dev/shm/x", "/dev/x", "/t/x"):
        out = box.payload("fill", place, 500 << 20, options=["--tmpfs", "/t"])
        written = int(out.split()[1])
        assert "ENOSPC" in out and written <= limit, (place, out)


# --- Kernel surfaces ------------------------------------------------------------------------------


def test_12_no_kernel_setting_can_be_written(box):
    assert box.payload("writable", "/proc/sys", "/sys").split() in ([], ["0"])
    settings = [line for line in box.payload("writable", "/proc").splitlines()
                if line.startswith("/proc/") and not re.match(r"/proc/(self|thread-self|\d+)/", line)]
    assert settings == []
    assert box.payload("syscall", 272, 0x10000000).strip() == "EPERM"  # unshare(CLONE_NEWUSER)


def test_17_keys_are_not_shared(box):
    name = "hulltest-key"
    box.hull("run", "-d", "--name", "holder", "--security-opt", "seccomp=unconfined", "probe", "sh", "-c",
             f"/payload key add {name}; sleep 300")
    found = box.hull("run", "--rm", "--security-opt", "seccomp=unconfined", "probe", "/payload", "key", "find", name,
                     check=False).out
    assert "ENOKEY" in found or "EPERM" in found or "EACCES" in found, found
    box.hull("rm", "-f", "holder")
    assert "EPERM" in box.payload("key", "add", name, check=False)


# --- Privilege ------------------------------------------------------------------------------------


def test_18_few_capabilities(box):
    allowed = sum(1 << CAPABILITY_NUMBERS[name] for name in MAY_HAVE)
    root = box.fields("confinement")
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(root[name], 16) & ~allowed == 0, name
    assert int(root["CapInh"], 16) == int(root["CapAmb"], 16) == 0
    user = box.fields("confinement", options=["-u", "1000"])
    for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert int(user[name], 16) == 0, name
    assert box.payload("syscall", 41, 2, 2, 1).strip() == "ok"  # socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP): ping
    assert box.payload("syscall", 41, 2, 3, 1, options=["-u", "1000"]).strip() == "EPERM"  # raw


REFUSED = {
    "kexec_load": (246,), "init_module": (175,), "finit_module": (313,), "delete_module": (176,), "bpf": (321,),
    "perf_event_open": (298,), "open_by_handle_at": (304,), "userfaultfd": (323,), "io_uring_setup": (425,),
    "keyctl": (250,), "add_key": (248,), "request_key": (249,), "mount": (165,), "umount2": (166,), "fsopen": (430,),
    "fsmount": (432,), "open_tree": (428,), "move_mount": (429,), "mount_setattr": (442,), "pivot_root": (155,),
    "setns": (308,), "unshare(NEWUSER)": (272, 0x10000000), "unshare(NEWNS)": (272, 0x20000),
    "clone(NEWUSER)": (56, 0x10000000), "swapon": (167,), "reboot": (169,), "settimeofday": (164,),
    "clock_settime": (227,), "personality(odd)": (135, 0x400000), "socket(VSOCK)": (41, 40, 1, 0),
    "socket(ALG)": (41, 38, 5, 0), "socket(PACKET)": (41, 17, 3, 0), "ioctl(TIOCSTI)": (16, 0, 0x5412),
    "quotactl": (179,), "acct": (163,), "iopl": (172,), "syslog": (103, 3),
}


def test_19_refused_system_calls(box):
    script = "; ".join(f"echo \"{name} $(/payload syscall {' '.join(map(str, words))})\"" for name, words in
                       REFUSED.items())
    wrong = [line for line in box.sh(script).out.splitlines() if line.split()[-1] not in ("EPERM", "EAFNOSUPPORT")]
    assert wrong == []
    for newer in (435, 469, 471):  # clone3, and what the filter does not know
        assert box.payload("syscall", newer).strip() == "ENOSYS"
    # kexec_load by the x32 door: refused, or killed for knocking there (128 + SIGSYS).
    done = box.hull("run", "--rm", "probe", "/payload", "syscall", 0x40000000 + 246, check=False)
    assert done.out.strip() in ("EPERM", "ENOSYS") or done.code == 159


def test_19_a_hundred_more_calls_are_blocked_than_for_host_root(box, payload):
    blocked = {"EPERM", "ENOSYS"}
    # The host's own answers, but from a process that may be hurt.
    def refused(text):
        return {int(line.split()[0]) for line in text.splitlines() if line.split()[1] in blocked}
    inside = refused(box.payload("syscalls"))
    host = refused(run("unshare", "--pid", "--fork", "--mount", "--uts", "--ipc", "--net", payload, "syscalls").out)
    print(f"{len(inside - host)} system calls are blocked beyond host root's {len(host)}")
    assert len(inside - host) >= 100


def test_19_threads_and_debuggers_work(box):
    assert box.sh("(sleep 0.1 & wait); echo done").out == "done\n"
    assert box.payload("syscall", 101, 0, 0, 0, 0).strip() == "ok"  # ptrace(TRACEME), inside its own namespace


@pytest.mark.skipif(landlock_abi() < 6, reason="needs Landlock's scopes (kernel 6.12)")
def test_20_a_mandatory_layer_applies(box):
    id = box.hull("create", "probe", "true").out.strip()
    assert any("landlock" in layer for layer in box.hull.inspect(id)["MandatoryLayers"])
    weak = box.hull("create", "--cap-add", "SYS_ADMIN", "probe", "true").out.strip()
    assert box.hull.inspect(weak)["MandatoryLayers"] == []


@pytest.mark.parametrize("options, word", [
    (["--cap-add", "SYS_ADMIN"], "SYS_ADMIN"),
    (["--security-opt", "seccomp=unconfined"], "seccomp=unconfined"),
    (["--security-opt", "no-new-privileges=false"], "no-new-privileges"),
    (["--network", "host"], "--network host"),
    (["--pids-limit", "-1"], "--pids-limit"),
    (["--privileged"], "--privileged"),
])
def test_21_what_weakens_is_loud(box, options, word):
    done = box.hull("run", "--name", "weak", *options, "probe", "true")
    assert "warning" in done.err and word in done.err
    assert any(word in warning for warning in box.hull.inspect("weak")["Warnings"])
    assert "warning" not in box.hull("run", "--rm", "probe", "true").err


def test_22_privileged_still_hides_the_block_devices(box):
    nodes = box.sh("find /dev -type b", options=["--privileged"]).out
    assert nodes == ""
    assert id_map(box.payload("identity", options=["--privileged"]), "uid_map")[0][1] > 65536


# --- Resources ------------------------------------------------------------------------------------


@pytest.mark.needs("cgroup:pids")
def test_23_a_fork_bomb_is_stopped(box):
    out = box.payload("fork-many", 5000)
    assert "EAGAIN" in out and int(out.split()[1]) <= 2048


@pytest.mark.needs("cgroup:memory")
def test_23_a_memory_hog_is_stopped(box):
    box.hull("run", "--name", "hog", "-m", "32m", "probe", "/payload", "hold-memory", 500 << 20, code=137)
    assert box.hull.inspect("hog")["State"]["OOMKilled"] is True


def test_24_no_new_privileges_can_be_given_up_by_name(box):
    done = box.sh("suid identity | head -1", options=["-u", "1000", "--security-opt", "no-new-privileges=false"])
    assert done.out == "uid 1000 0 0\n"


def test_24_a_limit_that_cannot_be_set_is_a_warning(box):
    done = box.sh("ulimit -n", options=["--ulimit", "nofile=512:1024"])
    assert done.out == "512\n"
    done = box.sh("true", options=["--ulimit", f"nofile=1024:{1 << 30}"])
    assert done.code == 0


# --- Engine ---------------------------------------------------------------------------------------


def test_25_no_descriptor_leaks_in(box):
    leak = os.open("/", os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        out = box.payload("descriptors", close_fds=False)
        numbers = {line.split()[0] for line in out.splitlines()}
        assert numbers == {"0", "1", "2"}, out
        box.hull("run", "-d", "--name", "c1", "probe", "sleep", "300", close_fds=False)
        pid = box.hull.inspect("c1")["State"]["Pid"]
        assert set(os.listdir(f"/proc/{pid}/fd")) == {"0", "1", "2"}
        assert {line.split()[0] for line in box.hull("exec", "c1", "/payload", "descriptors", close_fds=False)
                .out.splitlines()} == {"0", "1", "2"}
    finally:
        os.close(leak)
    box.hull("rm", "-f", "c1")
    assert box.sh("pwd", options=["-w", "/proc/self/fd/9/../../tmp"], check=False).out.strip() in ("", "/tmp")


def exec_in_hostile(box, script, *exec_options):
    """Runs `script` in a container and, once it is through, an exec that looks at the files it left."""
    box.hull("run", "-d", "--name", "hostile", "probe", "sh", "-c", script + "; echo ready; sleep 300")
    box.hull.wait_for_log("hostile", "ready")
    done = box.hull("exec", *exec_options, "hostile", "stat", "-Lc", "%u", "/proc/self", check=False, timeout=20)
    box.hull("rm", "-f", "hostile")
    return done


def test_26_exec_follows_none_of_the_containers_links(box, scratch):
    spy = scratch / "passwd"
    spy.write_text("spy:x:77:77::/:/bin/sh\n")
    done = exec_in_hostile(box, f"rm /etc/passwd; ln -s {spy} /etc/passwd", "-u", "spy")
    assert done.code != 0 and "unable to find user spy" in done.err, done.err


def test_26_exec_follows_no_magic_link_and_names_the_file(box, scratch):
    spy = scratch / "passwd"
    spy.write_text("spy:x:77:77::/:/bin/sh\n")
    link = f"ln -sf /proc/1/root/../../..{spy} /etc/passwd; ln -sf /proc/1/root/{spy} /etc/group"
    done = exec_in_hostile(box, link, "-u", "spy")
    assert done.code != 0 and "find user spy" in done.err and "etc/passwd" in done.err, done.err
    done = exec_in_hostile(box, link, "-u", "0:spy")
    assert done.code != 0 and "find group spy" in done.err and "etc/group" in done.err, done.err
    done = exec_in_hostile(box, link, "-u", "7:8")
    assert (done.code, done.out) == (0, "7\n"), done.err


def test_26_a_pipe_in_the_place_of_passwd_hangs_nobody(box):
    done = exec_in_hostile(box, "rm /etc/passwd; mkfifo /etc/passwd", "-u", "1000")
    assert (done.code, done.out) == (0, "1000\n"), done.err


# --- Rootless -------------------------------------------------------------------------------------


def test_33_an_ordinary_users_container(user_box):
    seen = user_box.payload("identity")
    assert all(stat.S_ISDIR(0o40000) and count > 0 for _, _, count in id_map(seen, "uid_map"))
    confinement = user_box.fields("confinement")
    assert confinement["NoNewPrivs"] == "1" and confinement["Seccomp"] == "2"
    allowed = sum(1 << CAPABILITY_NUMBERS[name] for name in MAY_HAVE)
    assert int(confinement["CapBnd"], 16) & ~allowed == 0
    assert user_box.sh("suid identity | head -1", options=["-u", "1000"]).out == "uid 1000 1000 1000\n"
    assert user_box.payload("writable", "/proc/sys", "/sys").split() in ([], ["0"])
    assert "nosuid" in mount_options(user_box.payload("mounts"))["/"]
    for name in ("mount", "unshare(NEWUSER)", "bpf", "keyctl", "io_uring_setup"):
        assert user_box.payload("syscall", *REFUSED[name]).strip() == "EPERM", name
    assert len(user_box.hull("info", "--format", "{{json .Losses}}").out) > 10


def test_33_the_ids_are_the_users_own(user_box, ordinary_user):
    id = user_box.hull("run", "-d", "probe", "sleep", "300").out.strip()
    pid = user_box.hull.inspect(id)["State"]["Pid"]
    uids = re.search(r"^Uid:\s+(.*)$", open(f"/proc/{pid}/status").read(), re.M)[1].split()
    assert set(uids) == {str(ordinary_user.uid)}
    user_box.hull("rm", "-f", id)
