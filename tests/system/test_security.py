"""What holds in a default container: the statements about identity, files, kernel surfaces, privilege and engine,
each proven for `hull run` without flags. The number in a test's name is the statement's in the threat model."""

import os

import pytest

from harness.programs import run


@pytest.fixture
def inside(hull, busybox_image, payload):
    """Runs a command in a new default container, with the payload at /payload."""

    def call(*words, options=(), **how):
        return hull("run", "--rm", "-v", f"{payload}:/payload:ro", *options, busybox_image, *words, **how)

    return call


@pytest.fixture
def running(hull, busybox_image, payload):
    """A container in the background; answers its name."""
    names = []

    def start(*words, options=()):
        name = f"s{len(names)}x"
        hull("run", "-d", "--name", name, "-v", f"{payload}:/payload:ro", *options, busybox_image,
             *(words or ("sleep", "1000")))
        names.append(name)
        return name

    yield start
    for name in names:
        hull("rm", "-f", name, check=False)


def host_pid(hull, name):
    return hull.inspect(name)["State"]["Pid"]


def mapping(hull, name):
    """(first id inside, first id outside, count) of a running container's user map."""
    lines = open(f"/proc/{host_pid(hull, name)}/uid_map").read().splitlines()
    return [tuple(map(int, line.split())) for line in lines]


# --- identity ---------------------------------------------------------------------------------------


def test_01_root_inside_is_an_unprivileged_id_outside(hull, running):
    name = running()
    for first, outside, count in mapping(hull, name):
        assert not outside <= 0 < outside + count
        assert outside >= 65536, "an id of the host's own users is mapped"
    status = open(f"/proc/{host_pid(hull, name)}/status").read()
    assert " 0\t" not in status.partition("Uid:")[2].splitlines()[0].replace("Uid:", " ")


def test_02_ranges_are_disjoint_and_come_back(hull, running):
    names = [running() for _ in range(6)]
    taken = sorted(mapping(hull, name)[0][1] for name in names)
    assert all(later - earlier >= 65536 for earlier, later in zip(taken, taken[1:])), taken
    hull("rm", "-f", *names)
    again = [running() for _ in range(6)]
    assert sorted(mapping(hull, name)[0][1] for name in again) == taken


def test_03_what_root_makes_in_a_bind_mount_belongs_to_its_owner(hull, busybox_image, scratch):
    shared = scratch / "shared"
    shared.mkdir()
    os.chown(shared, 12345, 12345)
    hull("run", "--rm", "-v", f"{shared}:/shared", busybox_image, "sh", "-c",
         "echo 1 > /shared/root; echo 2 > /shared/other; chown 33:33 /shared/other; cp /bin/busybox /shared/suid;"
         "chmod 4755 /shared/suid")
    assert (shared / "root").stat().st_uid == 12345
    other = (shared / "other").stat().st_uid
    assert other not in (0, 33) and other >= 65536
    assert (shared / "suid").stat().st_uid == 12345
    # The next container, with another range, reads the same owners.
    again = hull("run", "--rm", "-v", f"{shared}:/shared", busybox_image, "stat", "-c", "%u %n", "/shared/root",
                 "/shared/other").out
    assert again == "0 /shared/root\n33 /shared/other\n"


def test_04_no_new_privs_and_setuid_gains_nothing(hull, busybox_image, inside):
    assert "NoNewPrivs:\t1" in inside("/payload", "confinement").out
    out = inside("sh", "-c", "cp /bin/busybox /tmp/suid; chmod 4755 /tmp/suid; cp /bin/busybox /suid; chmod 4755 /suid;"
                 "exec setpriv --reuid 1000 --clear-groups sh -c '/tmp/suid id -u; /suid id -u' 2>/dev/null || "
                 "exec su nobody -s /bin/sh -c '/tmp/suid id -u; /suid id -u'", check=False).out
    assert "0" not in out.split(), out


def test_05_ids_of_one_container_are_nobody_in_another(hull, running):
    one, two = running(), running()
    root = f"/proc/{host_pid(hull, two)}/root"
    hull("exec", two, "sh", "-c", "umask 077; echo secret > /private; umask 022; echo open > /public")
    first = mapping(hull, one)[0][1]
    as_first = ["setpriv", f"--reuid={first}", f"--regid={first}", "--clear-groups", "--inh-caps=-all"]
    # As if it had a descriptor of the other's root: reach it by the host's view.
    assert run(*as_first, "cat", f"{root}/private", check=False).code != 0
    assert run(*as_first, "sh", "-c", f"echo x > {root}/public", check=False).code != 0


# --- files ------------------------------------------------------------------------------------------


def mount_table(text):
    return {words[4]: set(words[5].split(",")) for words in map(str.split, text.splitlines())}


def test_06_every_mount_of_an_image_or_volume_is_nosuid_and_nodev(inside, scratch):
    (scratch / "mine").mkdir()
    table = mount_table(inside("/payload", "mounts", options=["-v", f"{scratch}/mine:/data"]).out)
    for point in ("/", "/data", "/payload", "/etc/hosts"):
        assert {"nosuid", "nodev"} <= table[point], (point, table[point])
    for point, options in table.items():
        assert "nosuid" in options, (point, options)


def test_07_the_image_is_the_same_after_its_destruction(hull, busybox_image):
    def content():
        return hull("run", "--rm", busybox_image, "sh", "-c", "find /bin /usr /etc/passwd -type f | sort | xargs md5sum | md5sum").out

    before = content()
    hull("run", "--rm", busybox_image, "sh", "-c", "echo evil > /etc/passwd; ln /bin/busybox /bin/linked;"
         "echo evil >> /bin/linked; rm -rf /usr; true")
    assert content() == before


def test_08_read_only_means_everywhere(inside):
    out = inside("sh", "-c", "for d in $(find / -xdev -type d); do (echo x > $d/hull-new) 2>/dev/null && echo $d; done; "
                 "echo x > /etc/passwd", options=["--read-only"], check=False)
    assert out.out == "", out.out
    assert "Read-only file system" in out.err


def test_09_writable_areas_are_limited(inside):
    assert inside("/payload", "fill", "/dev/shm/full", str(1 << 30)).out.split()[2] == "ENOSPC"


# --- kernel surfaces ---------------------------------------------------------------------------------


def test_10_dev_holds_the_list_and_nothing_else(inside):
    allowed = {"console", "null", "zero", "full", "tty", "random", "urandom", "ptmx", "pts", "shm", "mqueue", "fd",
               "stdin", "stdout", "stderr"}
    found = set(inside("ls", "/dev").out.split())
    assert found <= allowed, found - allowed
    assert allowed - found <= {"console"}  # that one comes with a terminal


def test_11_devices_cannot_be_made_or_opened(hull, busybox_image, running):
    name = running()
    assert "Operation not permitted" in hull("exec", name, "mknod", "/zero", "c", "1", "5", check=False).err
    # A node that is in the root file system all the same: the mount is nodev, and the cgroup refuses.
    first = mapping(hull, name)[0][1]
    keep = ["--inh-caps=+mknod", "--ambient-caps=+mknod"]
    root = os.open(f"/proc/{host_pid(hull, name)}/root", os.O_PATH)
    run("setpriv", f"--reuid={first}", f"--regid={first}", "--clear-groups", *keep, "mknod", "-m", "0666",
        f"/proc/self/fd/{root}/planted", "c", "1", "5", pass_fds=[root])
    os.close(root)
    assert hull("exec", name, "ls", "/planted").out == "/planted\n"
    assert hull("exec", name, "cat", "/planted", check=False).code != 0


@pytest.mark.needs("cgroup:devices")
def test_11_the_cgroup_refuses_devices_too(hull, running):
    pid = host_pid(hull, running())
    group = [line.split(":")[2] for line in open(f"/proc/{pid}/cgroup").read().splitlines() if ":devices:" in line][0]
    rules = open(f"/sys/fs/cgroup/devices{group}/devices.list").read().splitlines()
    allowed = {"1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2", "136:*"}
    opened = [rule.split()[1] for rule in rules if set(rule.split()[2]) - {"m"}]  # "m" alone: making a node
    assert set(opened) <= allowed and rules, rules


def test_12_no_kernel_setting_can_be_written(inside):
    shell = "unshare -Ur true 2>/dev/null; /payload writable /proc/sys /proc/sysrq-trigger /proc/irq /proc/bus /proc/fs" \
            " /proc/pressure /sys"
    assert inside("sh", "-c", shell).out == ""


def test_12_nothing_in_proc_but_the_processes_own_is_writable(inside):
    own = ("/proc/1/", "/proc/self/", "/proc/thread-self/")
    found = [line for line in inside("/payload", "writable", "/proc").out.splitlines()
             if not line.startswith(own) and not line.split("/")[2].isdigit()]
    assert found == []


def test_13_masked_files_show_nothing(inside):
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list"):
        assert inside("sh", "-c", f"test ! -e {path} || cat {path} | wc -c").out.strip() in ("", "0"), path
    for path in ("/proc/scsi", "/proc/acpi", "/sys/firmware", "/sys/kernel/security"):
        assert inside("sh", "-c", f"test ! -e {path} || ls -A {path}").out == "", path


def test_14_the_cgroup_view_is_the_containers_and_read_only(inside):
    out = inside("sh", "-c", "cat /proc/self/cgroup; find /sys/fs/cgroup -type d | while read d; do "
                 "mkdir $d/x 2>/dev/null && echo MADE $d; done; true").out
    assert "MADE" not in out
    assert all(line.split(":", 2)[2] == "/" for line in out.splitlines()), out


def test_15_every_namespace_is_the_containers_own(inside):
    for line in inside("/payload", "namespaces").out.splitlines():
        kind, name = line.split()
        if kind == "time":
            continue
        assert name != os.readlink(f"/proc/self/ns/{kind}"), kind


def test_16_the_host_cannot_be_seen(inside):
    out = inside("sh", "-c", "dmesg >/dev/null 2>&1 && echo dmesg; grep -v '^0*  *[a-zA-Z] ' /proc/kallsyms | head -1;"
                 "ls /proc | grep -E '^[0-9]+$'; cat /proc/net/dev | tail -n +3 | cut -d: -f1; grep -c . /proc/mounts").out
    words = out.split()
    assert "dmesg" not in words
    pids = [int(word) for word in words if word.isdigit()][:-1]
    assert pids and max(pids) < 50, out
    assert "lo" in words and "eth0" not in words


def test_17_keys_of_one_container_are_not_found_by_another(running, hull):
    one, two = running(), running()
    added = hull("exec", one, "/payload", "key", "add", "hull-key").out
    # keyctl may be refused as a whole; then there is nothing to find.
    assert "ok" not in hull("exec", two, "/payload", "key", "find", "hull-key").out, added


# --- privilege --------------------------------------------------------------------------------------


CAPABILITIES = {"chown": 0, "dac_override": 1, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6, "setuid": 7,
                "net_bind_service": 10, "sys_chroot": 18, "setfcap": 31}


def capability_sets(text):
    return {line.split(":")[0]: int(line.split()[1], 16) for line in text.splitlines() if line.startswith("Cap")}


def test_18_few_capabilities_and_none_for_users(inside):
    allowed = sum(1 << number for number in CAPABILITIES.values())
    sets = capability_sets(inside("/payload", "confinement").out)
    assert sets["CapInh"] == sets["CapAmb"] == 0
    assert all(value & ~allowed == 0 for value in sets.values()), sets
    sets = capability_sets(inside("/payload", "confinement", options=["-u", "1000"]).out)
    assert sets["CapEff"] == sets["CapPrm"] == sets["CapAmb"] == 0, sets


REFUSED = {"kexec_load": 246, "init_module": 175, "finit_module": 313, "delete_module": 176, "bpf": 321,
           "perf_event_open": 298, "open_by_handle_at": 304, "userfaultfd": 323, "io_uring_setup": 425, "add_key": 248,
           "request_key": 249, "keyctl": 250, "mount": 165, "umount2": 166, "pivot_root": 155, "open_tree": 428,
           "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
           "setns": 308, "swapon": 167, "swapoff": 168, "reboot": 169, "settimeofday": 164, "clock_settime": 227,
           "adjtimex": 159, "acct": 163, "iopl": 172, "ioperm": 173, "quotactl": 179, "lookup_dcookie": 212,
           "move_pages": 279, "nfsservctl": 180, "uselib": 134, "sysfs": 139, "ustat": 136, "vhangup": 153}


def test_19_refused_system_calls(inside):
    results = dict(line.split(" ", 1) for line in inside("/payload", "syscalls").out.splitlines())
    for name, number in REFUSED.items():
        if name == "vhangup":
            continue  # not tried by the payload
        assert results[str(number)] in ("EPERM", "ENOSYS"), (name, results[str(number)])
    blocked = [number for number, result in results.items() if result in ("EPERM", "ENOSYS")]
    assert len(blocked) >= 100, len(blocked)


NEW_USER, NEW_NET, NEW_NS = 0x10000000, 0x40000000, 0x00020000


@pytest.mark.parametrize("call", [[272, NEW_USER], [272, NEW_NS], [56, NEW_USER | 17], [56, NEW_NET | 17]])
def test_19_namespaces_cannot_be_made(inside, call):
    assert inside("/payload", "syscall", *map(str, call)).out == "EPERM\n"


def test_19_clone3_is_not_there(inside):
    assert inside("/payload", "syscall", "435", "0", "0").out == "ENOSYS\n"


AF_ALG, AF_PACKET, AF_VSOCK, AF_NETLINK, AF_INET = 38, 17, 40, 16, 2


@pytest.mark.parametrize("family, refused", [(AF_ALG, True), (AF_VSOCK, True), (AF_PACKET, True), (AF_INET, False)])
def test_19_socket_families(inside, family, refused):
    result = inside("/payload", "syscall", "41", str(family), "3" if family == AF_PACKET else "1", "0").out
    assert (result != "ok\n") == refused, result


@pytest.mark.parametrize("persona, refused", [(0x0400000, True), (0x0040000, True), (0, False), (0xFFFFFFFF, False)])
def test_19_odd_personalities(inside, persona, refused):
    assert (inside("/payload", "syscall", "135", str(persona)).out == "EPERM\n") == refused


def test_19_the_x32_door_is_shut(inside):
    x32 = 0x40000000
    for number in (165, 272, 155):
        done = inside("/payload", "syscall", str(x32 | number), str(NEW_USER), check=False)
        assert done.code == 159 or done.out in ("EPERM\n", "ENOSYS\n"), done  # 159: killed by SIGSYS


@pytest.mark.parametrize("number", [20, 21, 120, 310, 102, 359, 288])
def test_19_the_32_bit_door_is_shut(inside, payload, number):
    """getpid, mount, clone, unshare, socketcall (whose family no filter sees), socket, keyctl."""
    assert run(payload, "syscall32", "20").out == "ok\n"  # the door is there
    done = inside("/payload", "syscall32", str(number), str(NEW_USER), check=False)
    assert done.code == 159 or done.out in ("EPERM\n", "ENOSYS\n"), done


@pytest.mark.parametrize("number, first, second", [(41, (1 << 32) | AF_ALG, 5), (41, (1 << 32) | AF_VSOCK, 1),
                                                   (16, 0, (1 << 32) | 0x5412), (135, (1 << 32) | 0x0400000, 0)])
def test_19_the_upper_half_of_an_argument_opens_nothing(inside, number, first, second):
    """The kernel reads 32 bits of it (CVE-2019-7303)."""
    assert inside("/payload", "syscall", str(number), str(first), str(second)).out == "EPERM\n"


def test_20_a_mandatory_layer_applies(hull, running):
    """Landlock: a process does not signal one of another Landlock domain, and exec still works as it must."""
    name = running("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")
    hull("exec", name, "kill", "-TERM", "1")
    assert hull("wait", name).out.strip() == "7"


def test_21_what_weakens_is_warned_of(hull, busybox_image):
    name = "weak"
    try:
        done = hull("run", "-d", "--name", name, "--cap-add", "sys_admin", busybox_image, "sleep", "1000", check=False)
        if done.code == 125:
            pytest.skip(f"this version has no --cap-add: {done.err.strip()}")
        assert "sys_admin" in done.err.lower(), done
        assert any("sys_admin" in text.lower() for text in hull.inspect(name)["Warnings"])
    finally:
        hull("rm", "-f", name, check=False)


# --- resources and engine ------------------------------------------------------------------------------


@pytest.mark.needs("cgroup:pids")
def test_23_a_fork_bomb_ends_at_the_limit(inside):
    words = inside("/payload", "fork-many", "5000").out.split()
    assert int(words[1]) < 5000 and words[2] == "EAGAIN", words


def test_25_no_descriptor_of_the_host_arrives(inside, scratch):
    with open(scratch / "open", "w") as leaked:
        os.set_inheritable(leaked.fileno(), True)
        out = inside("/payload", "descriptors", close_fds=False).out
    assert [line.split()[0] for line in out.splitlines()] == ["0", "1", "2"], out
    assert str(scratch) not in out


def test_26_exec_follows_no_trap_of_the_container(hull, running, scratch):
    name = running()
    root = f"/proc/{host_pid(hull, name)}/root"
    hull("exec", name, "sh", "-c", "rm -f /etc/passwd /etc/group; mkfifo /etc/passwd; ln -s /dev/zero /etc/group")
    assert os.path.exists(root)
    assert hull("exec", name, "echo", "alive", timeout=60).out == "alive\n"


def test_29_the_engines_files_are_closed_to_others(hull, busybox_image):
    hull("run", "--rm", busybox_image, "true")
    for path in (hull.root, hull.runroot):
        nobody = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", path / "layers", check=False)
        assert nobody.code != 0 or nobody.out == "", (path, nobody)


def test_30_the_environment_of_the_caller_does_not_arrive(inside):
    out = inside("env", env={"HULL_TEST_SECRET": "s3cret"}).out
    assert "s3cret" not in out


def test_31_no_key_strokes_into_the_callers_terminal(inside):
    assert "tiocsti ok" not in inside("/payload", "terminal").out
