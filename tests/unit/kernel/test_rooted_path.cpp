#include <sched.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>

#include "in_namespaces.hpp"
#include "kernel/rooted_path.hpp"

using namespace hull;
using namespace hull::kernel;

namespace {

/// A root with a folder beside it that nothing may reach.
struct Fixture {
    TemporaryFolder folder;
    std::string outside = folder.path + "/outside";
    RootedPath root = make();

    RootedPath make() {
        REQUIRE(::mkdir((folder.path + "/root").c_str(), 0755) == 0);
        REQUIRE(::mkdir(outside.c_str(), 0755) == 0);
        REQUIRE(write_file_atomically(outside + "/secret", "secret"));
        auto opened = RootedPath::open(folder.path + "/root");
        REQUIRE(opened);
        return std::move(*opened);
    }
    bool outside_is_untouched() const {
        auto names = list_directory(outside);
        auto beside = list_directory(folder.path);
        return names && *names == std::vector<std::string>{"secret"} &&
               *beside == std::vector<std::string>{"outside", "root"} &&
               *read_file(outside + "/secret") == "secret";
    }
    void write(const std::string& path, std::string_view text) const {
        auto file = root.create_file(path, 0644);
        REQUIRE(file);
        REQUIRE(write_all(file->get(), text));
    }
};

}  // namespace

TEST_CASE("dot-dot does not lead out of a root") {
    Fixture f;
    CHECK(f.root.open_target("../outside/secret").error().code == Errc::not_found);
    CHECK(f.root.open_target("/../../../etc/passwd").error().code == Errc::not_found);
    REQUIRE(f.root.make_directories("../../a/../../b", 0755));
    CHECK(f.root.find("b")->has_value());
    CHECK(f.outside_is_untouched());
}

TEST_CASE("an absolute link means the root, and a relative one cannot climb out") {
    Fixture f;
    REQUIRE(f.root.make_symlink("absolute", f.outside));
    REQUIRE(f.root.make_symlink("relative", "../outside"));
    CHECK(f.root.open_target("absolute/secret").error().code == Errc::not_found);
    CHECK(f.root.open_target("relative/secret").error().code == Errc::not_found);
    CHECK_FALSE(f.root.create_file("relative/new", 0644));
    // mkdir -p makes what a dangling link means inside the root.
    REQUIRE(f.root.make_directories("absolute/sub", 0755));
    CHECK(f.root.find(f.outside + "/sub")->has_value());
    REQUIRE(f.root.make_directories("relative/sub", 0755));
    CHECK(f.root.find("outside/sub")->has_value());
    CHECK(f.outside_is_untouched());
}

TEST_CASE("a magic link of procfs is not followed") {
    auto root = RootedPath::open("/");
    REQUIRE(root);
    auto opened = root->open_target("/proc/self/fd/0/x");
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Errc::invalid);
    CHECK_FALSE(root->open_target("/proc/self/root/etc"));
    CHECK(root->open_target("/proc/self/status"));  // an ordinary link to /proc/PID
}

TEST_CASE("with links refused, any link on the way or at the end is an error") {
    Fixture f;
    f.write("file", "x");
    REQUIRE(f.root.make_directory("dir", 0755));
    REQUIRE(f.root.make_symlink("to_dir", "dir"));
    REQUIRE(f.root.make_symlink("to_file", "file"));
    f.root.set_links(Links::refuse);
    CHECK(f.root.open_target("to_file").error().code == Errc::invalid);
    CHECK(f.root.open_target("to_dir/x").error().code == Errc::invalid);
    CHECK(f.root.make_directories("to_dir/x", 0755).error().code == Errc::invalid);
    CHECK(f.root.make_mount_target("to_file", true).error().code == Errc::invalid);
    CHECK(f.root.open_target("/file"));
    CHECK_FALSE(f.root.open_target("../root/file"));
}

TEST_CASE("a file is never written through a link, and never over an entry that is there") {
    Fixture f;
    REQUIRE(f.root.make_symlink("link", "target"));
    CHECK(f.root.create_file("link", 0644).error().code == Errc::exists);
    CHECK_FALSE(f.root.find("target")->has_value());
    f.write("file", "x");
    CHECK(f.root.create_file("file", 0644).error().code == Errc::exists);
    CHECK(*f.root.read_file("file") == "x");
}

TEST_CASE("verbs that change an entry refuse names that are not one") {
    Fixture f;
    for (const char* path : {"", "/", ".", "..", "a/..", "a/."}) {
        CAPTURE(path);
        CHECK(f.root.make_directory(path, 0755).error().code == Errc::invalid);
        CHECK(f.root.remove_tree(path).error().code == Errc::invalid);
    }
    std::string with_nul("a\0b", 3);
    CHECK(f.root.open_target(with_nul).error().code == Errc::invalid);
    CHECK(f.root.make_directories(with_nul, 0755).error().code == Errc::invalid);
    CHECK(f.root.make_directory(std::string(300, 'x'), 0755).error().sys_errno == ENAMETOOLONG);
}

TEST_CASE("a mount target is made inside the root, of the wanted type") {
    Fixture f;
    auto directory = f.root.make_mount_target("a/b/c", false);
    REQUIRE(directory);
    auto file = f.root.make_mount_target("a/etc/hosts", true);
    REQUIRE(file);
    struct stat info{};
    REQUIRE(::fstat(file->get(), &info) == 0);
    CHECK(S_ISREG(info.st_mode));
    CHECK(f.root.make_mount_target("a/b/c", true).error().code == Errc::invalid);
    CHECK(f.root.make_mount_target("a/etc/hosts", false).error().code == Errc::invalid);
    // A dangling link at the end: its target is made inside.
    REQUIRE(f.root.make_symlink("resolv.conf", "/run/deep/resolv.conf"));
    REQUIRE(f.root.make_mount_target("resolv.conf", true));
    CHECK(S_ISREG(f.root.stat("run/deep/resolv.conf")->st_mode));
    REQUIRE(f.root.make_symlink("loop", "loop"));
    CHECK_FALSE(f.root.make_mount_target("loop", true));
    CHECK_FALSE(f.root.make_mount_target("loop", false));
    CHECK(f.outside_is_untouched());
}

TEST_CASE("mkdir -p stops at a file and at a loop of links") {
    Fixture f;
    f.write("file", "x");
    CHECK(f.root.make_directories("file/a", 0755).error().code == Errc::invalid);
    REQUIRE(f.root.make_symlink("one", "two/x"));
    REQUIRE(f.root.make_symlink("two", "one/x"));
    CHECK_FALSE(f.root.make_directories("one/a", 0755));
}

TEST_CASE("metadata is set on links themselves, not on what they point to") {
    Fixture f;
    f.write("file", "x");
    REQUIRE(f.root.make_symlink("link", "file"));
    REQUIRE(f.root.set_mode("file", 04711));
    CHECK((f.root.stat("file")->st_mode & 07777U) == 04711U);
    CHECK(f.root.set_mode("link", 0777).error().code == Errc::unsupported);
    timespec when{1000000000, 42};
    REQUIRE(f.root.set_times("link", when, when));
    CHECK(f.root.stat("link")->st_mtim.tv_sec == 1000000000);
    CHECK(f.root.stat("link")->st_mtim.tv_nsec == 42);
    CHECK(f.root.stat("file")->st_mtim.tv_sec != 1000000000);
    CHECK(*f.root.read_link("link") == "file");
    CHECK(S_ISREG(f.root.stat_target("link")->st_mode));
    REQUIRE(f.root.set_owner("link", ::geteuid(), ::getegid()));
    REQUIRE(f.root.set_times("/", when, when));
    CHECK(f.root.stat("")->st_mtim.tv_sec == 1000000000);
}

TEST_CASE("extended attributes are kept, listed and removed") {
    Fixture f;
    f.write("file", "x");
    std::string binary("a\0b", 3);
    auto set = f.root.set_xattr("file", "user.test", binary);
    if (!set && set.error().sys_errno == EOPNOTSUPP) {
        MESSAGE("skipped: no user attributes on the file system of /tmp");
        return;
    }
    REQUIRE(set);
    CHECK(**f.root.find_xattr("file", "user.test") == binary);
    CHECK(*f.root.list_xattrs("file") == std::vector<std::string>{"user.test"});
    CHECK_FALSE(f.root.find_xattr("file", "user.none")->has_value());
    std::string large(2000, 'v');
    REQUIRE(f.root.set_xattr("/", "user.large", large));
    CHECK(**f.root.find_xattr("/", "user.large") == large);
    REQUIRE(f.root.remove_xattr("file", "user.test"));
    CHECK(f.root.list_xattrs("file")->empty());
    // The link has none of its own, and its target's are not its.
    REQUIRE(f.root.make_symlink("link", "file"));
    CHECK_FALSE(f.root.set_xattr("link", "user.test", "x"));
}

TEST_CASE("hard links and renames stay inside the root") {
    Fixture f;
    f.write("file", "x");
    REQUIRE(f.root.make_symlink("outside", f.outside));
    REQUIRE(f.root.make_link("file", "again"));
    CHECK(f.root.stat("again")->st_nlink == 2);
    CHECK_FALSE(f.root.make_link("../outside/secret", "stolen"));
    CHECK_FALSE(f.root.make_link("outside/secret", "stolen"));
    CHECK_FALSE(f.root.rename("file", "../outside/file"));
    // A link is linked, not its target.
    REQUIRE(f.root.make_symlink("link", "file"));
    REQUIRE(f.root.make_link("link", "link2"));
    CHECK(S_ISLNK(f.root.stat("link2")->st_mode));
    REQUIRE(f.root.rename("file", "moved"));
    CHECK_FALSE(f.root.find("file")->has_value());
    CHECK(f.outside_is_untouched());
}

TEST_CASE("a tree is removed without following links, however deep it is") {
    Fixture f;
    REQUIRE(f.root.make_directories("tree/sub", 0755));
    REQUIRE(f.root.make_symlink("tree/sub/link", f.outside));
    REQUIRE(f.root.make_symlink("tree/up", "../../outside"));
    std::string deep = "tree";
    for (int i = 0; i < 60; ++i)
        deep += "/" + std::string(20, 'd');
    REQUIRE(f.root.make_directories(deep, 0755));
    // Deeper than PATH_MAX, built descriptor by descriptor.
    auto bottom = f.root.enter(deep);
    REQUIRE(bottom);
    for (int i = 0; i < 300; ++i) {
        REQUIRE(bottom->make_directory(std::string(200, 'e'), 0755));
        bottom = bottom->enter(std::string(200, 'e'));
        REQUIRE(bottom);
    }
    auto removed = f.root.remove_tree("tree");
    CHECK_MESSAGE(removed.has_value(), (removed ? "" : removed.error().to_string()));
    CHECK_FALSE(f.root.find("tree")->has_value());
    REQUIRE(f.root.remove_tree("tree"));
    CHECK(f.root.list("/")->empty());
    CHECK(f.outside_is_untouched());
}

TEST_CASE("a folder is emptied and stays") {
    Fixture f;
    REQUIRE(f.root.make_directories("a/b/c", 0755));
    f.write("a/file", "x");
    REQUIRE(f.root.remove_content("a"));
    CHECK(f.root.list("a")->empty());
}

TEST_CASE("a fifo does not block the reader of a file") {
    Fixture f;
    REQUIRE(f.root.make_node("fifo", {.mode = S_IFIFO | 0644}));
    CHECK(f.root.read_file("fifo").error().code == Errc::invalid);
}

TEST_CASE("folders that are exchanged for links while they are used lead nowhere") {
    // A second process swaps a folder and a link to the outside all the time. Whatever the order,
    // nothing may arrive outside.
    Fixture f;
    REQUIRE(f.root.make_directories("swap/in", 0755));
    REQUIRE(f.root.make_symlink("other", f.outside));
    auto swapper = clone_process({});
    REQUIRE(swapper);
    if (swapper->is_child()) {
        for (;;)
            (void)::renameat2(f.root.fd(), "swap", f.root.fd(), "other", RENAME_EXCHANGE);
    }
    int made = 0;
    for (int i = 0; i < 3000; ++i) {
        std::string name = "n" + std::to_string(i);
        if (f.root.make_directories("swap/in/" + name, 0755)) ++made;
        if (f.root.create_file("swap/" + name, 0644)) ++made;
        if (f.root.make_mount_target("swap/m" + name, true)) ++made;
        (void)f.root.remove_tree("swap/in");
        CHECK_FALSE(f.root.read_file("swap/secret"));
    }
    REQUIRE(send_signal(swapper->pidfd.get(), SIGKILL));
    REQUIRE(wait_for_pidfd(swapper->pidfd.get()));
    CHECK(made > 0);
    CHECK(f.outside_is_untouched());
}

TEST_CASE("another mount is not entered when that is asked for") {
    in_private_mounts([]() -> Result<void> {
        if (::mount("tmpfs", "/mnt", "tmpfs", 0, nullptr) < 0) return fail_errno(errno, "mount");
        EXPECT_IN_CHILD(::mkdir("/mnt/inner", 0755) == 0);
        EXPECT_IN_CHILD(::mount("tmpfs", "/mnt/inner", "tmpfs", 0, nullptr) == 0);
        EXPECT_IN_CHILD(::mkdir("/mnt/inner/keep", 0755) == 0);
        RootedPath root = TRY(RootedPath::open("/mnt"));
        EXPECT_IN_CHILD(root.open_target("inner/keep"));
        EXPECT_IN_CHILD(!root.remove_content(""));
        EXPECT_IN_CHILD(root.find("inner/keep")->has_value());
        root.set_one_mount(true);
        EXPECT_IN_CHILD(!root.open_target("inner/keep"));
        EXPECT_IN_CHILD(!root.make_directories("inner/new", 0755));
        return {};
    });
}
