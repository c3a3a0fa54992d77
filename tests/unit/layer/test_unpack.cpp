#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>

#include "layer/archives.hpp"

using namespace hull;
using layer::TarType;
using layer::WhiteoutForm;

TEST_CASE("files, folders, links and times come out as they went in") {
    UnpackFolder to;
    auto report = to.unpack(ArchiveBuilder{}
                                .folder("./", 0711)
                                .folder("bin", 0555)
                                .file("bin/tool", "#!x", 04755)
                                .link("tool", "bin/tool")
                                .hard_link("bin/other", "bin/tool")
                                .node("pipe", TarType::fifo)
                                .build());
    REQUIRE(report);
    CHECK(report->entries == 6);
    CHECK(report->bytes == 3);
    CHECK(report->implied_directories.empty());
    CHECK((to.stat(".").st_mode & 07777U) == 0711);
    CHECK((to.stat("bin").st_mode & 07777U) == 0555);
    CHECK(to.stat("bin").st_mtim.tv_sec == 1'000'000'000);
    CHECK((to.stat("bin/tool").st_mode & 07777U) == 04755);
    CHECK(to.stat("bin/tool").st_mtim.tv_sec == 1'000'000'000);
    CHECK(to.stat("bin/tool").st_ino == to.stat("bin/other").st_ino);
    CHECK(S_ISLNK(to.stat("tool").st_mode));
    CHECK(S_ISFIFO(to.stat("pipe").st_mode));
}

TEST_CASE("the process's umask does not change modes") {
    mode_t before = ::umask(077);
    UnpackFolder to;
    auto report = to.unpack(ArchiveBuilder{}.folder("d", 0777).file("d/f", "", 0666).build());
    ::umask(before);
    REQUIRE(report);
    CHECK((to.stat("d").st_mode & 07777U) == 0777);
    CHECK((to.stat("d/f").st_mode & 07777U) == 0666);
}

TEST_CASE("folders without a member are made and reported") {
    UnpackFolder to;
    auto report = to.unpack(ArchiveBuilder{}.folder("a").file("a/b/c/file").build());
    REQUIRE(report);
    CHECK(report->implied_directories == std::vector<std::string>{"", "a/b", "a/b/c"});
    auto late = to.unpack(ArchiveBuilder{}.file("x/y").folder("x", 0700).build());
    REQUIRE(late);
    CHECK((to.stat("x").st_mode & 07777U) == 0700);
    CHECK(late->implied_directories == std::vector<std::string>{""});
}

TEST_CASE("folders that are finished early end as if they had been finished last") {
    std::string tar = ArchiveBuilder{}
                          .folder("./", 0711)
                          .folder("a", 0700)
                          .file("b/c/file")
                          .folder("d")
                          .folder("e")
                          .file("a/late")  // a and what is above it were finished
                          .folder("a/late-folder", 0750)
                          .file("b/late")
                          .folder("b/c", 0710)  // implied until now
                          .file("b/.wh..wh..opq")
                          .file("b/.wh.hidden")
                          .folder("f")
                          .folder("g")
                          .build();
    for (size_t most : {size_t{1}, size_t{2}, size_t{3}, size_t{1000}}) {
        CAPTURE(most);
        UnpackFolder to;
        auto report = to.unpack(tar, WhiteoutForm::overlay_user, most);
        REQUIRE(report);
        CHECK(report->implied_directories == std::vector<std::string>{"b"});
        CHECK((to.stat(".").st_mode & 07777U) == 0711);
        CHECK((to.stat("a").st_mode & 07777U) == 0700);
        CHECK((to.stat("a/late-folder").st_mode & 07777U) == 0750);
        CHECK((to.stat("b/c").st_mode & 07777U) == 0710);
        for (const char* name : {".", "a", "a/late-folder", "b/c", "d", "g"})
            CHECK(to.stat(name).st_mtim.tv_sec == 1'000'000'000);
        CHECK(to.stat("b").st_mtim.tv_sec == 0);
        CHECK_FALSE(to.has("b/hidden"));  // b is opaque
    }
}

TEST_CASE("a folder's default ACL is not inherited by the archive's own files") {
    // Version 2: owner rwx, user 1234 rwx, group r-x, mask rwx, others r-x.
    const std::string acl{
        "\2\0\0\0"
        "\1\0\7\0\xff\xff\xff\xff"
        "\2\0\7\0\xd2\4\0\0"
        "\4\0\5\0\xff\xff\xff\xff"
        "\x10\0\7\0\xff\xff\xff\xff"
        "\x20\0\5\0\xff\xff\xff\xff",
        44};
    UnpackFolder to;
    if (::fsetxattr(to.root.get(), "system.posix_acl_default", acl.data(), acl.size(), 0) < 0) {
        MESSAGE("skipped: no ACLs in /tmp");
        return;
    }
    REQUIRE(::fremovexattr(to.root.get(), "system.posix_acl_default") == 0);
    auto folder = ArchiveBuilder::named("d", TarType::directory, 0755);
    folder.xattrs.emplace_back("system.posix_acl_default", acl);
    REQUIRE(to.unpack(ArchiveBuilder{}.add(folder).file("d/file").folder("d/sub").build()));
    std::array<char, 64> value{};
    auto has = [&](const char* name, const char* attribute) {
        return ::lgetxattr(to.in(name).c_str(), attribute, value.data(), value.size()) > 0;
    };
    CHECK(has("d", "system.posix_acl_default"));
    CHECK_FALSE(has("d/file", "system.posix_acl_access"));
    CHECK_FALSE(has("d/sub", "system.posix_acl_access"));
    CHECK_FALSE(has("d/sub", "system.posix_acl_default"));
}

TEST_CASE("the last of equal names wins, also when files and folders change places") {
    UnpackFolder to;
    REQUIRE(to.unpack(ArchiveBuilder{}
                          .file("a", "1")
                          .file("a", "2")
                          .file("b/inner", "x")
                          .file("b", "now a file")
                          .file("c", "x")
                          .folder("c")
                          .file("c/inner", "y")
                          .link("d", "a")
                          .file("d", "a file of its own")
                          .build()));
    CHECK(*read_file(to.in("a")) == "2");
    CHECK(*read_file(to.in("b")) == "now a file");
    CHECK(*read_file(to.in("c/inner")) == "y");
    CHECK(*read_file(to.in("d")) == "a file of its own");
}

TEST_CASE("names are bytes: 255 of them, newlines, and no valid UTF-8") {
    UnpackFolder to;
    std::string longest(255, 'n');
    std::string decomposed = "e\xcc\x81";  // must not become U+00E9
    std::string deep;
    for (int i = 0; i < 12; ++i)
        deep += std::string(200, static_cast<char>('a' + i)) + "/";
    REQUIRE(to.unpack(ArchiveBuilder{}
                          .file(longest)
                          .file("a\nb")
                          .file("\xff\xfe")
                          .file(decomposed)
                          .file(deep + "file")
                          .link("link", "\xff\xfe")
                          .build()));
    CHECK(to.has(longest));
    CHECK(to.has("a\nb"));
    CHECK(to.has("\xff\xfe"));
    CHECK(to.has(decomposed));
    CHECK(to.has(deep + "file"));
    std::array<char, 8> target{};
    CHECK(::readlink(to.in("link").c_str(), target.data(), target.size()) == 2);
    auto longer = to.unpack(ArchiveBuilder{}.file(std::string(256, 'n')).build());
    REQUIRE_FALSE(longer);
    CHECK(longer.error().sys_errno == ENAMETOOLONG);
}

TEST_CASE("whiteouts become overlayfs' own") {
    UnpackFolder to;
    auto report = to.unpack(ArchiveBuilder{}
                                .file(".wh.gone")
                                .file("d/.wh..wh..opq")
                                .file("d/new")
                                .file(".wh.replaced")
                                .folder("replaced")
                                .file("replaced/x")
                                .file(".wh.kept")
                                .file("kept")
                                .file(".wh..wh.plnk")
                                .build());
    REQUIRE(report);
    CHECK(S_ISCHR(to.stat("gone").st_mode));
    CHECK(to.stat("gone").st_rdev == 0);
    CHECK(S_ISREG(to.stat("kept").st_mode));
    CHECK_FALSE(to.has(".wh.gone"));
    CHECK_FALSE(to.has("d/.wh..wh..opq"));
    CHECK_FALSE(to.has(".wh..wh.plnk"));
    auto is_opaque = [&](const char* name) {
        std::array<char, 4> value{};
        ssize_t size = ::lgetxattr(to.in(name).c_str(), "user.overlay.opaque", value.data(), 4);
        return size == 1 && value[0] == 'y';
    };
    CHECK(is_opaque("d"));
    CHECK(is_opaque("replaced"));  // what was below it is gone
    CHECK_FALSE(is_opaque("."));
}

TEST_CASE("whiteouts in an opaque folder are left out: overlayfs would show them") {
    UnpackFolder to;
    REQUIRE(to.unpack(ArchiveBuilder{}
                          .file("d/.wh.before")
                          .file("d/.wh..wh..opq")
                          .file("d/.wh.after")
                          .file("d/sub/.wh.deep")
                          .build()));
    CHECK(list_directory(to.in("d"))->size() == 1);
    CHECK(list_directory(to.in("d/sub"))->empty());
}

TEST_CASE("layers applied over each other delete what whiteouts name, but nothing of their own") {
    UnpackFolder to;
    REQUIRE(to.unpack(
        ArchiveBuilder{}.file("a", "1").file("d/x", "1").file("d/y", "1").file("e/z", "1").build(),
        WhiteoutForm::apply));
    REQUIRE(to.unpack(ArchiveBuilder{}
                          .file(".wh.a")
                          .file("d/new", "2")
                          .file("d/.wh..wh..opq")
                          .file("e/z2", "2")
                          .file("e/.wh.z2")
                          .build(),
                      WhiteoutForm::apply));
    CHECK_FALSE(to.has("a"));
    CHECK(*list_directory(to.in("d")) == std::vector<std::string>{"new"});
    CHECK(*list_directory(to.in("e")) == std::vector<std::string>{"z", "z2"});
}

TEST_CASE("devices are never made") {
    UnpackFolder to;
    auto report = to.unpack(ArchiveBuilder{}
                                .node("dev/sda", TarType::block_device, 8, 0)
                                .node("dev/mem", TarType::character_device, 1, 1)
                                .node("dev/whiteout", TarType::character_device, 0, 0)
                                .build());
    REQUIRE(report);
    CHECK(report->skipped_devices == 3);
    CHECK(report->first_skipped == "dev/sda");
    CHECK(list_directory(to.in("dev"))->empty());
}

TEST_CASE("attributes of overlayfs and of the host are not an image's to set") {
    UnpackFolder to;
    layer::TarEntry entry = ArchiveBuilder::named("f", TarType::file, 0644);
    entry.xattrs = {{"user.mine", std::string{"a\0b", 3}},
                    {"user.overlay.opaque", "y"},
                    {"trusted.overlay.redirect", "/etc"},
                    {"trusted.x", "y"}};
    layer::TarEntry folder = ArchiveBuilder::named("d", TarType::directory, 0755);
    folder.xattrs = {{"user.overlay.opaque", "y"}, {"user.kept", "1"}};
    auto report = to.unpack(ArchiveBuilder{}.add(entry).add(folder).build());
    REQUIRE(report);
    CHECK(report->skipped_xattrs == 4);
    std::array<char, 256> value{};
    CHECK(::lgetxattr(to.in("f").c_str(), "user.mine", value.data(), value.size()) == 3);
    CHECK(::lgetxattr(to.in("d").c_str(), "user.kept", value.data(), value.size()) == 1);
    CHECK(::lgetxattr(to.in("d").c_str(), "user.overlay.opaque", value.data(), 256) < 0);
    CHECK(::llistxattr(to.in("f").c_str(), value.data(), value.size()) ==
          static_cast<ssize_t>(sizeof("user.mine")));
}

TEST_CASE("too many members or too much content is refused") {
    UnpackFolder to;
    layer::UnpackOptions options;
    options.set_owners = false;
    options.max_entries = 2;
    std::string tar = ArchiveBuilder{}.file("a").file("b").file("c").build();
    layer::TextSource source{tar};
    auto many = layer::unpack_tar(source, to.root.get(), options);
    REQUIRE_FALSE(many);
    CHECK(many.error().code == Errc::invalid);
    options = {};
    options.set_owners = false;
    options.max_bytes = 10;
    layer::TextSource again{tar};
    CHECK_FALSE(layer::unpack_tar(again, to.root.get(), options));
}
