"""Mounts of the runtime specification: every option, and what a hostile image does about it."""

import os
import stat

import pytest

from harness.bundles import Runtime
from harness.programs import run


def mount_line(text, target):
    """Options of the last mount at `target` in /proc/self/mountinfo's text: (per mount, optional, super)."""
    found = None
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) > 5 and fields[4] == target:
            found = (set(fields[5].split(",")), fields[6:], right.split(" "))
    assert found, f"nothing is mounted at {target}:\n{text}"
    return found


def shell(script):
    return ["sh", "-c", script]


def run_it(runtime, bundle, **how):
    return runtime("run", "--bundle", bundle, runtime.new_id(), **how)


@pytest.fixture
def source(scratch):
    folder = scratch / "source"
    folder.mkdir()
    (folder / "file").write_text("from the host\n")
    return folder


def adding(*mounts):
    def change(config):
        config["mounts"].extend(mounts)
    return change


def test_a_bind_mount_gets_every_attribute_and_no_other(runtime, bundle, source):
    options = ["bind", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"]
    it = bundle(shell("cat /proc/self/mountinfo; cat /data/file"),
                adding({"destination": "/data", "type": "bind", "source": str(source), "options": options}))
    out = run_it(runtime, it).out
    own, optional, _ = mount_line(out, "/data")
    assert {"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"} <= own
    assert optional == ["", ] or not [o for o in optional if o.startswith("shared")]
    assert "from the host" in out


def test_the_negative_options_take_attributes_away(runtime, bundle, source):
    run("mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec", "none", source)
    try:
        it = bundle(shell("cat /proc/self/mountinfo"),
                    adding({"destination": "/kept", "source": str(source), "options": ["bind"]},
                           {"destination": "/freed", "source": str(source),
                            "options": ["bind", "suid", "dev", "exec", "rw"]}))
        out = run_it(runtime, it).out
    finally:
        run("umount", source)
    assert {"nosuid", "nodev", "noexec"} <= mount_line(out, "/kept")[0]
    assert not {"nosuid", "nodev", "noexec", "ro"} & mount_line(out, "/freed")[0]


def test_a_plain_ro_leaves_submounts_writable_and_rro_does_not(runtime, bundle, source):
    (source / "sub").mkdir()
    run("mount", "-t", "tmpfs", "none", source / "sub")
    try:
        it = bundle(shell("touch /plain/sub/x && echo plain-writes; touch /all/sub/y || echo all-refuses"),
                    adding({"destination": "/plain", "source": str(source), "options": ["rbind", "ro"]},
                           {"destination": "/all", "source": str(source), "options": ["rbind", "rro"]}))
        out = run_it(runtime, it).out
    finally:
        run("umount", source / "sub")
    assert out.split() == ["plain-writes", "all-refuses"]


def test_a_single_file_can_be_bound_and_its_target_is_made(runtime, bundle, source):
    it = bundle(shell("cat /deep/er/name"),
                adding({"destination": "/deep/er/name", "source": str(source / "file"), "options": ["bind"]}))
    assert run_it(runtime, it).out == "from the host\n"


def test_a_relative_source_starts_at_the_bundle(runtime, bundle):
    it = bundle(["cat", "/data/file"], adding({"destination": "/data", "source": "beside", "options": ["bind"]}))
    (it.path / "beside").mkdir()
    (it.path / "beside/file").write_text("beside")
    assert run_it(runtime, it).out == "beside"


def test_a_missing_source_is_named_with_its_index(runtime, bundle):
    it = bundle(["true"], adding({"destination": "/data", "source": "/no/such/folder", "options": ["bind"]}))
    err = run_it(runtime, it, code=1).err
    assert "mounts[7] (/data)" in err and "/no/such/folder" in err and err.count("\n") == 1


@pytest.mark.parametrize("kind", ["private", "slave", "shared", "unbindable"])
def test_propagation_of_a_mount(runtime, bundle, source, kind):
    run("mount", "--bind", source, source)
    run("mount", "--make-shared", source)
    try:
        it = bundle(shell("cat /proc/self/mountinfo"),
                    adding({"destination": "/data", "source": str(source), "options": ["rbind", "r" + kind]}))
        _, optional, _ = mount_line(run_it(runtime, it).out, "/data")
    finally:
        run("umount", source)
    names = {field.split(":")[0] for field in optional if field}
    assert names == {"private": set(), "slave": {"master"}, "shared": {"shared", "master"},
                     "unbindable": {"unbindable"}}[kind]


def test_what_the_container_mounts_never_shows_on_the_host(runtime, bundle, source):
    run("mount", "--bind", source, source)
    run("mount", "--make-shared", source)

    def change(config):
        adding({"destination": "/data", "source": str(source), "options": ["rbind"]})(config)
        for names in config["process"]["capabilities"].values():
            names.append("CAP_SYS_ADMIN")
    try:
        (source / "inner").mkdir()
        run_it(runtime, bundle(shell("mount -t tmpfs none /data/inner && touch /data/inner/x"), change))
        assert not (source / "inner/x").exists()
    finally:
        run("umount", source)


def test_rootfs_propagation_and_a_read_only_root(runtime, bundle):
    def change(config):
        config["linux"]["rootfsPropagation"] = "shared"
        config["root"]["readonly"] = True
    out = run_it(runtime, bundle(shell("cat /proc/self/mountinfo; touch /x || echo refused"), change)).out
    own, optional, _ = mount_line(out, "/")
    assert "ro" in own and any(field.startswith("shared:") for field in optional) and "refused" in out


def test_a_tmpfs_takes_its_options(runtime, bundle):
    it = bundle(shell("cat /proc/self/mountinfo; stat -c %a /scratch; "
                      "head -c 200000 /dev/zero > /scratch/big; stat -c 'size %s' /scratch/big"),
                adding({"destination": "/scratch", "type": "tmpfs", "source": "named",
                        "options": ["nosuid", "noexec", "size=64k", "mode=1770"]}))
    done = run_it(runtime, it, check=False)
    own, _, (kind, name, options) = mount_line(done.out, "/scratch")
    assert (kind, name) == ("tmpfs", "named") and {"nosuid", "noexec"} <= own and "size=64k" in options
    assert "1770" in done.out and int(done.out.split()[-1]) <= 65536


def test_a_read_only_tmpfs_still_takes_other_mounts_below(runtime, bundle, source):
    it = bundle(shell("cat /ro/inner/file; touch /ro/x || echo refused"),
                adding({"destination": "/ro", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]},
                       {"destination": "/ro/inner", "source": str(source), "options": ["bind"]}))
    assert run_it(runtime, it).out == "from the host\nrefused\n"


def test_tmpcopyup_starts_with_what_the_image_has(runtime, bundle):
    it = bundle(shell("cat /etc/copy/file; readlink /etc/copy/link; stat -c '%a %u' /etc/copy/a; "
                      "stat -c %a /etc/copy; rm /etc/copy/file"),
                adding({"destination": "/etc/copy", "type": "tmpfs", "source": "tmpfs",
                        "options": ["tmpcopyup", "size=1m"]}))
    folder = it.rootfs / "etc/copy/a"
    folder.mkdir(parents=True)
    file = it.rootfs / "etc/copy/file"
    file.write_text("image\n")
    os.chown(folder, 12, 34)
    folder.chmod(0o710)
    (it.rootfs / "etc/copy").chmod(0o1751)
    (it.rootfs / "etc/copy/link").symlink_to("a/file")
    assert run_it(runtime, it).out == "image\na/file\n710 12\n1751\n"
    assert file.exists()


def test_copy_symlink_makes_the_link_again(runtime, bundle, source):
    (source / "link").symlink_to("file")
    it = bundle(["readlink", "/link"], adding({"destination": "/link", "source": str(source / "link"),
                                               "options": ["bind", "copy-symlink"]}))
    assert run_it(runtime, it).out == "file\n"


def test_src_nofollow_binds_the_link_itself(runtime, bundle, source):
    (source / "link").symlink_to("/etc/nowhere")
    it = bundle(["readlink", "/there"], adding({"destination": "/there", "source": str(source / "link"),
                                                "options": ["bind", "src-nofollow"]}))
    assert run_it(runtime, it).out == "/etc/nowhere\n"


def test_dest_nofollow_mounts_over_the_link(runtime, bundle, source):
    it = bundle(["cat", "/link"], adding({"destination": "/link", "source": str(source / "file"),
                                          "options": ["bind", "dest-nofollow"]}))
    (it.rootfs / "link").symlink_to("/bin/target")
    assert run_it(runtime, it).out == "from the host\n"
    assert not (it.rootfs / "bin/target").exists()


# --- ids ---


def test_idmap_with_its_own_ids(runtime, bundle, source):
    (source / "file").chmod(0o644)
    os.chown(source / "file", 0, 0)
    mapping = [{"containerID": 0, "hostID": 1234, "size": 10}]
    it = bundle(shell("stat -c '%u %g' /data/file"),
                adding({"destination": "/data", "source": str(source), "options": ["bind", "idmap"],
                        "uidMappings": mapping, "gidMappings": mapping}))
    assert run_it(runtime, it).out == "1234 1234\n"


def test_idmap_takes_the_ids_of_the_user_namespace(runtime, bundle, source):
    os.chown(source / "file", 5, 6)
    it = bundle(shell("stat -c '%u %g' /plain/file /mapped/file; touch /mapped/new"),
                adding({"destination": "/plain", "source": str(source), "options": ["bind"]},
                       {"destination": "/mapped", "source": str(source), "options": ["bind", "idmap"]}))
    it.with_user_namespace()
    assert run_it(runtime, it).out == "65534 65534\n5 6\n"
    assert (source / "new").stat().st_uid == 0


def test_ridmap_shifts_submounts_and_idmap_does_not(runtime, bundle, source):
    (source / "sub").mkdir()
    run("mount", "-t", "tmpfs", "none", source / "sub")
    (source / "sub/file").write_text("")
    try:
        it = bundle(shell("stat -c %u /one/sub/file /all/sub/file"),
                    adding({"destination": "/one", "source": str(source), "options": ["rbind", "idmap=uids=0-77-1;gids=0-77-1"]},
                           {"destination": "/all", "source": str(source), "options": ["rbind", "ridmap=uids=0-77-1;gids=0-77-1"]}))
        out = run_it(runtime, it).out
    finally:
        run("umount", source / "sub")
    assert out == "0\n77\n"


def test_idmap_of_a_new_file_system_is_refused(runtime, bundle):
    it = bundle(["true"], adding({"destination": "/x", "type": "tmpfs", "source": "tmpfs",
                                  "options": ["idmap=uids=0-1-1;gids=0-1-1"]}))
    assert "idmap is for bind mounts" in run_it(runtime, it, code=1).err


# --- kernel file systems ---


def test_proc_sys_and_dev_are_the_containers_own(runtime, bundle):
    out = run_it(runtime, bundle(shell("cat /proc/self/mountinfo; readlink /proc/self; hostname; ls /sys/class/net"))).out
    for target, kind in (("/proc", "proc"), ("/sys", "sysfs"), ("/dev", "tmpfs"), ("/dev/pts", "devpts"),
                         ("/dev/mqueue", "mqueue"), ("/dev/shm", "tmpfs")):
        assert mount_line(out, target)[2][0] == kind
    assert out.splitlines()[-2:] == ["hull-test", "lo"]


def test_masked_and_read_only_paths(runtime, bundle):
    out = run_it(runtime, bundle(shell(
        "cat /proc/self/mountinfo; cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware /proc/acpi;"
        "echo x > /proc/sys/kernel/hostname || echo ro; stat -c '%t:%T' /proc/keys; mount | grep -c ' /proc/sys '"))).out
    assert {"ro"} <= mount_line(out, "/proc/sys")[0]
    assert {"ro"} <= mount_line(out, "/proc/keys")[0]
    tail = out.splitlines()[-7:]
    assert tail[0] == "0" and "ro" in tail and "1:3" in tail


def test_missing_paths_to_mask_are_no_error_and_files_of_the_image_can_be_masked(runtime, bundle):
    def change(config):
        config["linux"]["maskedPaths"] = ["/no/such", "/etc/secret", "/etc/hidden", "/proc/sys/kernel/ostype"]
        config["linux"]["readonlyPaths"] = ["/no/such/either", "/etc/fixed"]
    it = bundle(shell("cat /etc/secret | wc -c; ls /etc/hidden | wc -l; cat /proc/sys/kernel/ostype | wc -c;"
                      "touch /etc/fixed/x || echo refused; cat /etc/fixed/kept"), change)
    (it.rootfs / "etc").mkdir(exist_ok=True)
    (it.rootfs / "etc/secret").write_text("secret")
    (it.rootfs / "etc/hidden").mkdir()
    (it.rootfs / "etc/hidden/file").write_text("")
    (it.rootfs / "etc/fixed").mkdir()
    (it.rootfs / "etc/fixed/kept").write_text("kept")
    assert run_it(runtime, it).out == "0\n0\n0\nrefused\nkept"


def test_host_network_in_a_user_namespace_gets_a_read_only_sys(runtime, bundle):
    def change(config):
        config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "network"]
    it = bundle(shell("cat /proc/self/mountinfo; ls /sys/class/net"), change).with_user_namespace()
    out = run_it(runtime, it).out
    own, _, (kind, *_) = mount_line(out, "/sys")
    assert kind == "sysfs" and "ro" in own
    assert set(out.split("\n")[-2].split()) <= set(os.listdir("/sys/class/net"))


def test_host_pids_in_a_user_namespace_get_a_read_only_proc(runtime, bundle):
    def change(config):
        config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "pid"]
        config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
    it = bundle(shell("cat /proc/self/mountinfo; readlink /proc/self"), change).with_user_namespace()
    out = run_it(runtime, it).out
    own, _, (kind, *_) = mount_line(out, "/proc")
    assert kind == "proc" and "ro" in own and int(out.splitlines()[-1]) > 1


@pytest.mark.needs("cgroup_v1")
def test_the_cgroup_view_is_the_containers_own(runtime, bundle):
    def change(config):
        config["linux"]["cgroupsPath"] = f"/hull-spec-mounts-{os.getpid()}"
    out = run_it(runtime, bundle(shell(
        "cat /proc/self/mountinfo; cat /proc/self/cgroup; cat /sys/fs/cgroup/pids/tasks | wc -l;"
        "mkdir /sys/fs/cgroup/pids/x || echo refused"), change)).out
    assert {"ro", "nosuid", "nodev", "noexec"} <= mount_line(out, "/sys/fs/cgroup")[0]
    own, _, (kind, *_) = mount_line(out, "/sys/fs/cgroup/pids")
    assert kind == "cgroup" and "ro" in own and "refused" in out
    assert "hull-spec-mounts" not in out  # neither in mountinfo's roots nor in /proc/self/cgroup


@pytest.mark.needs("cgroup_v1")
def test_without_a_cgroup_namespace_the_view_is_still_only_the_containers(runtime, bundle):
    name = f"hull-spec-mounts-{os.getpid()}"

    def change(config):
        config["linux"]["cgroupsPath"] = "/" + name
        config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "cgroup"]
        for mount in config["mounts"]:
            if mount["type"] == "cgroup":
                mount["options"].remove("ro")
    out = run_it(runtime, bundle(shell(
        "cat /proc/self/cgroup; ls /sys/fs/cgroup/pids | grep -c hull-spec; "
        "mkdir /sys/fs/cgroup/pids/sub && echo made && rmdir /sys/fs/cgroup/pids/sub"), change)).out
    assert f"pids:/{name}" in out and out.endswith("0\nmade\n")


@pytest.mark.needs("cgroup_v1")
def test_a_user_namespace_without_a_cgroup_namespace_gets_it_read_only(runtime, bundle):
    """CVE-2023-25809."""
    def change(config):
        config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "cgroup"]
        for mount in config["mounts"]:
            if mount["type"] == "cgroup":
                mount["options"].remove("ro")
    it = bundle(shell("cat /proc/self/mountinfo"), change).with_user_namespace()
    assert "ro" in mount_line(run_it(runtime, it).out, "/sys/fs/cgroup/pids")[0]


# --- hostile images ---


@pytest.mark.parametrize("target", ["/proc", "/sys"])
def test_a_link_in_the_place_of_proc_or_sys_is_refused(runtime, bundle, target):
    """CVE-2019-19921, CVE-2023-28642."""
    it = bundle(["true"])
    place = it.rootfs / target[1:]
    if place.exists():
        place.rmdir()
    place.symlink_to("/etc")
    err = run_it(runtime, it, code=1).err
    assert "symbolic link" in err and target in err


def test_a_link_in_the_place_of_dev_stays_inside(runtime, bundle):
    """CVE-2026-41579: /dev of the image leads to the host's."""
    it = bundle(shell("ls -l /elsewhere/null"))
    dev = it.rootfs / "dev"
    if dev.exists():
        run("rm", "-rf", dev)
    dev.symlink_to("/elsewhere")
    (it.rootfs / "elsewhere").mkdir()
    before = set(os.listdir("/dev"))
    run_it(runtime, it, check=False)
    assert set(os.listdir("/dev")) == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_target_behind_links_stays_inside_the_root(runtime, bundle, source):
    outside = source.parent / "outside"
    outside.mkdir()
    it = bundle(shell("cat /a/b/file"),
                adding({"destination": "/a/b", "source": str(source), "options": ["bind"]}))
    (it.rootfs / "a").symlink_to("../../../.." + str(outside))
    assert run_it(runtime, it).out == "from the host\n"
    assert not list(outside.iterdir())


def test_the_images_null_device_is_not_the_source_of_masks(runtime, bundle):
    """CVE-2025-31133: /dev/null of the image is a link to a host file."""
    def change(config):
        config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]
        config["linux"]["maskedPaths"] = ["/etc/secret"]
    it = bundle(shell("stat -c '%F %t:%T' /etc/secret"), change)
    (it.rootfs / "dev").mkdir(exist_ok=True)
    null = it.rootfs / "dev/null"
    if null.is_symlink() or null.exists():
        null.unlink()
    null.symlink_to("/proc/sysrq-trigger")
    (it.rootfs / "etc").mkdir(exist_ok=True)
    (it.rootfs / "etc/secret").write_text("secret")
    done = run_it(runtime, it, check=False)
    assert done.code == 0 and done.out == "character special file 1:3\n" or "/dev/null" in done.err


def test_sysctls_do_not_follow_a_proc_of_the_images(runtime, bundle):
    """CVE-2025-52881: the image cannot redirect writes; without a proc mount they still reach the kernel."""
    def change(config):
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/proc"]
        config["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "77"}
        config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
    it = bundle(shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), change)
    fake = it.rootfs / "proc/sys/net/ipv4"
    fake.mkdir(parents=True)
    (fake / "ip_unprivileged_port_start").write_text("untouched")
    assert run_it(runtime, it).out == "untouched"


def test_nothing_mounted_inside_is_left_on_the_host(runtime, bundle, source):
    before = open("/proc/self/mountinfo").read()
    run_it(runtime, bundle(["true"], adding({"destination": "/data", "source": str(source), "options": ["bind"]})))
    it = bundle(["true"], adding({"destination": "/data", "source": "/missing", "options": ["bind"]}))
    run_it(runtime, it, code=1)
    assert open("/proc/self/mountinfo").read() == before


# --- beside runc ---


@pytest.mark.needs("runc", "cgroup_v1")
def test_the_mount_table_is_runcs(runtime, bundle, scratch):
    """Target, type and attributes of every mount, but for masks, whose sources differ."""
    def table(text):
        rows = set()
        for line in text.splitlines():
            left, _, right = line.partition(" - ")
            target, options = left.split(" ")[4:6]
            rows.add((target, right.split(" ")[0], options))
        return {row for row in rows if row[0] not in masked and not row[0].startswith("/sys/fs/cgroup")}

    it = bundle(["cat", "/proc/self/mountinfo"])
    masked = set(it.config["linux"]["maskedPaths"])
    peer = Runtime("runc", scratch / "runc")
    theirs = table(peer("run", "--bundle", it, peer.new_id()).out)
    ours = table(run_it(runtime, it).out)
    assert ours == theirs


def test_inode_versions_are_asked_for_where_there_are_none(runtime, bundle):
    """config.md, Linux mount options: iversion must be known; tmpfs has nothing to turn on."""
    it = bundle(["grep", " /mnt ", "/proc/mounts"], lambda config: config["mounts"].append(
        {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["iversion", "nodev"]}))
    done = runtime("run", "--bundle", it, runtime.new_id())
    assert "nodev" in done.out and "iversion" in done.err
