#include <signal.h>
#include <sys/stat.h>

#include <optional>
#include <string>

#include <doctest/doctest.h>

#include "in_namespaces.hpp"
#include "kernel/devices.hpp"
#include "kernel/mount.hpp"
#include "kernel/mountinfo.hpp"
#include "kernel/procfs.hpp"
#include "kernel/terminal.hpp"

using namespace hull;
using namespace hull::kernel;

namespace {
Result<std::optional<MountEntry>> find_mount(uint64_t id) {
    for (MountEntry& entry : TRY(read_mountinfo()))
        if (entry.id == id) return std::optional<MountEntry>{std::move(entry)};
    return std::optional<MountEntry>{};
}
}  // namespace

TEST_CASE("mountinfo lines are taken apart and escapes undone") {
    auto entries = parse_mountinfo(
        "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root "
        "rw,errors=continue\n"
        "37 36 0:22 / / rw - tmpfs  rw\n");
    REQUIRE(entries);
    REQUIRE(entries->size() == 2);
    const MountEntry& first = (*entries)[0];
    CHECK(first.id == 36);
    CHECK(first.parent_id == 35);
    CHECK(first.device_major == 98);
    CHECK(first.root == "/mnt1");
    CHECK(first.mount_point == "/mnt 2");
    CHECK(first.has_option("noatime"));
    CHECK_FALSE(first.has_option("no"));
    CHECK(first.optional == "master:1 shared:2");
    CHECK(first.has_super_option("errors=continue"));
    CHECK((*entries)[1].source.empty());
    for (const char* bad : {"x", "1 2 3 4 5 6 - a b", "1 2 0:1 / / rw tmpfs none rw",
                            "1 2 01 / / rw - tmpfs none rw", "a 2 0:1 / / rw - tmpfs none rw"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_mountinfo(bad));
    }
}

TEST_CASE("the mounts below a path are found, the deepest last") {
    auto entries = parse_mountinfo(
        "1 0 0:1 / /a/b/c rw - t s rw\n2 0 0:1 / /ab rw - t s rw\n3 0 0:1 / /a rw - t s rw\n");
    REQUIRE(entries);
    auto below = mounts_below(*entries, "/a");
    REQUIRE(below.size() == 2);
    CHECK(below[0].id == 3);
    CHECK(below[1].id == 1);
    CHECK(mounts_below(*entries, "/").size() == 3);
}

TEST_CASE("this process's own mounts are read") {
    auto entries = read_mountinfo();
    REQUIRE(entries);
    CHECK_FALSE(mounts_below(*entries, "/proc").empty());
}

TEST_CASE("a mount is configured while detached and attached by descriptor") {
    in_private_mounts([]() -> Result<void> {
        Fd mount = TRY(create_mount({.type = "tmpfs",
                                     .source = "test-source",
                                     .options = parse_filesystem_options("size=64k,mode=0700"),
                                     .attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV}));
        EXPECT_IN_CHILD(TRY(mount_attributes_of(mount.get())) ==
                        (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
        TRY(verify_mount(mount.get(), kTmpfsMagic));
        EXPECT_IN_CHILD(!verify_mount(mount.get(), kProcMagic));
        EXPECT_IN_CHILD(::mkdirat(mount.get(), "inside", 0755) == 0);
        Fd inside = TRY(open_at(mount.get(), "inside", O_PATH));
        EXPECT_IN_CHILD(verify_mount(inside.get(), kTmpfsMagic).error().code == Errc::corrupt);
        Fd target = TRY(open_path("/mnt", O_PATH));
        TRY(attach_mount(mount.get(), target.get()));
        auto attached = TRY(find_mount(TRY(mount_id(mount.get()))));
        EXPECT_IN_CHILD(attached && attached->source == "test-source");
        EXPECT_IN_CHILD(attached->mount_point == "/mnt");
        EXPECT_IN_CHILD(attached->has_super_option("size=64k"));
        TRY(set_mount_attributes(mount.get(), {.set = MOUNT_ATTR_RDONLY}));
        EXPECT_IN_CHILD(::mkdir("/mnt/refused", 0755) < 0 && errno == EROFS);
        Fd copy = TRY(clone_mount(mount.get(), "inside"));
        TRY(unmount_directory(mount.get()));
        EXPECT_IN_CHILD(!TRY(find_mount(attached->id)));
        return {};
    });
}

TEST_CASE("a refused mount option is named with the kernel's own words") {
    in_private_mounts([]() -> Result<void> {
        auto mount = create_mount({.type = "tmpfs", .options = {{"nonsense", "1"}}});
        EXPECT_IN_CHILD(!mount && mount.error().code == Errc::invalid);
        EXPECT_IN_CHILD(mount.error().message.find("nonsense") != std::string::npos);
        EXPECT_IN_CHILD(mount.error().message.find("Unknown parameter") != std::string::npos);
        auto unknown = create_mount({.type = "nosuchfs"});
        EXPECT_IN_CHILD(!unknown && unknown.error().code == Errc::unsupported);
        return {};
    });
}

TEST_CASE("an overlay is built of layers given by descriptor") {
    in_private_mounts([]() -> Result<void> {
        Fd base = TRY(create_mount({.type = "tmpfs"}));
        std::vector<Fd> layers;
        OverlayRequest request{.user_xattr = true};
        for (int i = 0; i < 130; ++i) {
            std::string name = "l" + std::to_string(i);
            EXPECT_IN_CHILD(::mkdirat(base.get(), name.c_str(), 0755) == 0);
            Fd layer = TRY(open_at(base.get(), name, O_PATH | O_DIRECTORY));
            EXPECT_IN_CHILD(::mkdirat(layer.get(), ("only" + name).c_str(), 0755) == 0);
            request.lowers.push_back(layer.get());
            layers.push_back(std::move(layer));
        }
        EXPECT_IN_CHILD(::mkdirat(base.get(), "upper", 0755) == 0);
        EXPECT_IN_CHILD(::mkdirat(base.get(), "work", 0755) == 0);
        Fd upper = TRY(open_at(base.get(), "upper", O_PATH));
        Fd work = TRY(open_at(base.get(), "work", O_PATH));
        request.upper = upper.get();
        auto incomplete = create_overlay(request);
        EXPECT_IN_CHILD(!incomplete && incomplete.error().code == Errc::invalid);
        request.work = work.get();
        Fd target = TRY(open_path("/mnt", O_PATH));
        Fd overlay = TRY(create_overlay(request));
        TRY(attach_mount(overlay.get(), target.get()));
        EXPECT_IN_CHILD(path_exists("/mnt/onlyl0") && path_exists("/mnt/onlyl129"));
        EXPECT_IN_CHILD(::mkdir("/mnt/new", 0755) == 0);
        EXPECT_IN_CHILD(::faccessat(upper.get(), "new", F_OK, 0) == 0);
        return {};
    });
}

TEST_CASE("mount(2) on a descriptor makes the same mount as the detached way") {
    in_private_mounts([]() -> Result<void> {
        const FilesystemRequest request{
            .type = "tmpfs",
            .source = "shm",
            .options = {{"mode", "1777"}, {"size", "64k"}},
            .attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_STRICTATIME};
        const auto made_of = [](const std::string& path) -> Result<MountEntry> {
            const Fd root = TRY(open_path(path, O_PATH));
            return TRY(find_mount(TRY(mount_id(root.get())))).value();
        };
        Fd target = TRY(open_path("/mnt", O_PATH));
        TRY(attach_mount(TRY(create_mount(request)).get(), target.get()));
        const auto detached = TRY(made_of("/mnt"));
        EXPECT_IN_CHILD(mount_on_directory(target.get(), request));
        const auto at_once = TRY(made_of("/mnt"));
        EXPECT_IN_CHILD(at_once.id != detached.id);
        EXPECT_IN_CHILD(at_once.options == detached.options && at_once.source == "shm");
        EXPECT_IN_CHILD(at_once.super_options == detached.super_options);
        return {};
    });
}

TEST_CASE("what mount(2) cannot say is left to the detached way") {
    in_private_mounts([]() -> Result<void> {
        const Fd target = TRY(open_path("/mnt", O_PATH));
        const std::string before = TRY(absolute_path("."));
        const auto refused = [&](FilesystemRequest request) {
            request.type = "tmpfs";
            return !mount_on_directory(target.get(), request);
        };
        EXPECT_IN_CHILD(refused({.attributes = MOUNT_ATTR_RDONLY}));
        EXPECT_IN_CHILD(refused({.options = {{"mpol", "bind:0,1"}}}));
        EXPECT_IN_CHILD(refused({.options = {{"context", "\"a\""}}}));
        EXPECT_IN_CHILD(refused({.read_only_super = true}));
        EXPECT_IN_CHILD(TRY(absolute_path(".")) == before);
        EXPECT_IN_CHILD(refused({.options = {{"nonsense", "1"}}}));
        return {};
    });
}

TEST_CASE("a process pivots into a new root and stands at its top") {
    in_private_mounts([]() -> Result<void> {
        Fd mount = TRY(create_mount({.type = "tmpfs"}));
        EXPECT_IN_CHILD(::mkdirat(mount.get(), "new-world", 0755) == 0);
        Fd target = TRY(open_path("/mnt", O_PATH));
        TRY(attach_mount(mount.get(), target.get()));
        TRY(pivot_root_to(mount.get()));
        EXPECT_IN_CHILD(path_exists("/new-world") && !path_exists("/usr"));
        EXPECT_IN_CHILD(TRY(absolute_path(".")) == "/");
        return {};
    });
}

TEST_CASE("a procfs is used by descriptor, and only what lies in it") {
    auto result = in_child(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID, []() -> Result<void> {
        Procfs proc = TRY(Procfs::create());
        EXPECT_IN_CHILD(TRY(proc.read("self/stat")).starts_with("1 ("));
        EXPECT_IN_CHILD(!proc.read("../etc/passwd"));
        EXPECT_IN_CHILD(!proc.read("self/root/etc/passwd"));
        EXPECT_IN_CHILD(!proc.read("self/exe"));
        EXPECT_IN_CHILD(!proc.read("/etc/passwd"));
        TRY(proc.write("self/oom_score_adj", "1000"));
        EXPECT_IN_CHILD(TRY(proc.read("self/oom_score_adj")) == "1000\n");
        EXPECT_IN_CHILD(proc.write_sysctl("kernel.nonsense", "1").error().code == Errc::not_found);
        EXPECT_IN_CHILD(!Procfs::adopt(TRY(open_path("/etc", O_PATH))));
        Procfs small = TRY(Procfs::create({.only_processes = true}));
        EXPECT_IN_CHILD(!small.read("sys/kernel/ostype") && small.read("self/stat"));
        return {};
    });
    if (!result && result.error().message.starts_with("clone a process")) {
        MESSAGE("skipped: " << result.error().to_string());
        return;
    }
    CHECK_MESSAGE(result.has_value(), (result ? "" : result.error().to_string()));
}

TEST_CASE("something mounted over a kernel file is not taken for it") {
    auto result = in_child(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID, []() -> Result<void> {
        Fd root = TRY(create_mount({.type = "proc", .source = "proc"}));
        Fd target = TRY(open_path("/mnt", O_PATH));
        TRY(attach_mount(root.get(), target.get()));
        EXPECT_IN_CHILD(
            ::mount("/dev/null", "/mnt/self/oom_score_adj", nullptr, MS_BIND, nullptr) == 0);
        Procfs proc = TRY(Procfs::adopt(std::move(root)));
        EXPECT_IN_CHILD(!proc.write("self/oom_score_adj", "1000"));
        return {};
    });
    if (!result && result.error().message.starts_with("clone a process")) {
        MESSAGE("skipped: " << result.error().to_string());
        return;
    }
    CHECK_MESSAGE(result.has_value(), (result ? "" : result.error().to_string()));
}

TEST_CASE("sysctl names become paths by their first separator") {
    CHECK(*sysctl_path("net.ipv4.ip_forward") == "net/ipv4/ip_forward");
    CHECK(*sysctl_path("net/ipv4/conf/eth0.1/forwarding") == "net/ipv4/conf/eth0.1/forwarding");
    CHECK(*sysctl_path("net.ipv4.conf.eth0/1.forwarding") == "net/ipv4/conf/eth0.1/forwarding");
    for (const char* bad : {"", ".", "a..b", "kernel/../x", "/kernel/x", "a."}) {
        CAPTURE(bad);
        CHECK(sysctl_path(bad).error().code == Errc::invalid);
    }
}

TEST_CASE("host devices are bound where nodes cannot be made") {
    in_private_mounts([]() -> Result<void> {
        Fd dev = TRY(create_mount({.type = "tmpfs"}));
        EXPECT_IN_CHILD(make_device_nodes(dev.get(), default_devices()).error().code ==
                        Errc::denied);
        Fd target = TRY(open_path("/mnt", O_PATH));
        TRY(attach_mount(dev.get(), target.get()));
        TRY(bind_device_nodes(dev.get(), default_devices()));
        TRY(make_device_links(dev.get()));
        Fd zero = TRY(open_path("/mnt/zero", O_RDONLY));
        char byte = 1;
        EXPECT_IN_CHILD(::read(zero.get(), &byte, 1) == 1 && byte == 0);
        TRY(verify_device(zero.get(), {"/dev/zero", 'c', 1, 5}));
        EXPECT_IN_CHILD(verify_device(zero.get(), {"/dev/null", 'c', 1, 3}).error().code ==
                        Errc::corrupt);
        DeviceNode outside{"/etc/x", 'c', 1, 3};
        EXPECT_IN_CHILD(bind_device_nodes(dev.get(), {&outside, 1}).error().code != Errc::denied);
        return {};
    });
}

TEST_CASE("nodes are made on a detached tmpfs") {
    if (::geteuid() != 0) {
        MESSAGE("skipped: mknod needs root");
        return;
    }
    auto dev = create_mount({.type = "tmpfs", .source = "dev"});
    REQUIRE(dev);
    std::vector<DeviceNode> nodes = default_devices();
    nodes.push_back({"/dev/net/tun", 'c', 10, 200, 0600, 12, 34});
    REQUIRE(make_device_nodes(dev->get(), nodes));
    REQUIRE(make_device_links(dev->get()));
    struct stat info{};
    REQUIRE(::fstatat(dev->get(), "net/tun", &info, 0) == 0);
    CHECK((info.st_mode & 07777U) == 0600U);
    CHECK(info.st_uid == 12);
    REQUIRE(::fstatat(dev->get(), "null", &info, 0) == 0);
    CHECK((info.st_mode & 07777U) == 0666U);
    auto null = open_at(dev->get(), "null", O_PATH);
    REQUIRE(null);
    CHECK(verify_device(null->get(), nodes[0]));
    for (const char* bad : {"/etc/null", "/dev", "/dev/", "/dev/../etc/x", "dev/x"}) {
        CAPTURE(bad);
        DeviceNode node{bad, 'c', 1, 3};
        CHECK(make_device_nodes(dev->get(), {&node, 1}).error().code == Errc::invalid);
    }
}

TEST_CASE("a terminal comes from a devpts by descriptor") {
    in_private_mounts([]() -> Result<void> {
        Fd devpts = TRY(create_mount(
            {.type = "devpts", .options = parse_filesystem_options("newinstance,ptmxmode=0666")}));
        Pty pty = TRY(create_pty_in(devpts.get()));
        EXPECT_IN_CHILD(is_terminal(pty.slave.get()) && pty.number == 0);
        TRY(set_window_size(pty.master.get(), {40, 120}));
        EXPECT_IN_CHILD((TRY(window_size(pty.slave.get())) == WindowSize{40, 120}));
        TRY(clear_newline_translation(pty.slave.get()));
        TRY(write_all(pty.slave.get(), "a\n"));
        char text[3] = {};
        EXPECT_IN_CHILD(::read(pty.master.get(), text, sizeof text) == 2);
        {
            RawMode raw = TRY(RawMode::enter(pty.slave.get()));
            termios now{};
            EXPECT_IN_CHILD(::tcgetattr(pty.slave.get(), &now) == 0 && (now.c_lflag & ECHO) == 0);
        }
        termios after{};
        EXPECT_IN_CHILD(::tcgetattr(pty.slave.get(), &after) == 0 && (after.c_lflag & ECHO) != 0);
        ::signal(SIGHUP, SIG_IGN);  // the end of the terminal ends its session
        TRY(make_controlling_terminal(pty.slave.get()));
        EXPECT_IN_CHILD(path_exists("/dev/tty"));
        Fd tmpfs = TRY(create_mount({.type = "tmpfs"}));
        EXPECT_IN_CHILD(create_pty_in(tmpfs.get()).error().code == Errc::corrupt);
        return {};
    });
}
