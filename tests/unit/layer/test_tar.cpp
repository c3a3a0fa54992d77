#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "layer/archives.hpp"
#include "layer/difference.hpp"
#include "layer/hash.hpp"

using namespace hull;
using layer::TarEntry;
using layer::TarType;

namespace {

std::vector<TarEntry> read_all_members(const std::string& tar) {
    layer::TextSource source{tar};
    auto reader = layer::create_tar_reader(source);
    std::vector<TarEntry> entries;
    for (;;) {
        auto entry = reader->next();
        REQUIRE(entry);
        if (*entry == nullptr) return entries;
        entries.push_back(**entry);
    }
}

}  // namespace

TEST_CASE("what the writer writes, the reader reads") {
    TarEntry entry = ArchiveBuilder::named(std::string(150, 'x') + "/" + std::string(120, 'y'),
                                           TarType::file, 06755);
    entry.uid = 3'000'000;
    entry.gid = 4'000'000'000;
    entry.size = 5;
    entry.mtime = {1'700'000'000, 123'456'789};
    entry.xattrs = {{"user.b", std::string{"\0\n=", 3}}, {"user.a", ""}};
    TarEntry old = ArchiveBuilder::named("old", TarType::directory, 0755);
    old.mtime = {-5, 0};
    TarEntry link = ArchiveBuilder::named("link", TarType::symlink, 0777);
    link.link = std::string(300, 'z');
    std::vector<TarEntry> read =
        read_all_members(ArchiveBuilder{}.add(entry, "12345").add(old).add(link).build());
    REQUIRE(read.size() == 3);
    CHECK(read[0].name == entry.name);
    CHECK(read[0].uid == 3'000'000);
    CHECK(read[0].gid == 4'000'000'000);
    CHECK(read[0].mode == 06755);
    CHECK(read[0].size == 5);
    CHECK(read[0].mtime.tv_nsec == 123'456'789);
    REQUIRE(read[0].xattrs.size() == 2);
    std::sort(read[0].xattrs.begin(), read[0].xattrs.end());
    CHECK(read[0].xattrs[0].first == "user.a");
    CHECK(read[0].xattrs[1].second == std::string{"\0\n=", 3});
    CHECK(read[1].mtime.tv_sec == -5);
    CHECK(read[2].link == link.link);
}

TEST_CASE("an empty archive and no archive at all") {
    CHECK(read_all_members(ArchiveBuilder{}.build()).empty());
    CHECK(read_all_members("").empty());
    layer::TextSource garbage{"this is no tar archive, but it is long enough to be looked at"};
    auto entry = layer::create_tar_reader(garbage)->next();
    REQUIRE_FALSE(entry);
    CHECK(entry.error().code == Errc::corrupt);
}

TEST_CASE("a layer that is unpacked and written again has the same bytes each time") {
    UnpackFolder to;
    std::string tar = ArchiveBuilder{}
                          .folder("d", 0750)
                          .file("d/a", "one")
                          .hard_link("d/b", "d/a")
                          .link("d/l", "a")
                          .file(".wh.gone")
                          .folder("o")
                          .file("o/.wh..wh..opq")
                          .file("o/\xff new\nline", std::string(1500, 'q'))
                          .build();
    REQUIRE(to.unpack(tar));
    REQUIRE(::lsetxattr(to.in("d/a").c_str(), "user.x", "1", 1, 0) == 0);
    layer::TextSink first;
    layer::TextSink second;
    auto report = layer::write_difference(to.root.get(), first);
    REQUIRE(report);
    REQUIRE(layer::write_difference(to.root.get(), second));
    CHECK(first.text == second.text);
    std::vector<std::string> names;
    for (const TarEntry& entry : read_all_members(first.text))
        names.push_back(entry.name);
    CHECK(names == std::vector<std::string>{"d/", "d/a", "d/b", "d/l", ".wh.gone", "o/",
                                            "o/.wh..wh..opq", "o/\xff new\nline"});
    UnpackFolder again;
    REQUIRE(again.unpack(first.text));
    CHECK(again.stat("d/a").st_ino == again.stat("d/b").st_ino);
    CHECK(S_ISCHR(again.stat("gone").st_mode));
    CHECK((again.stat("d").st_mode & 07777U) == 0750);
}

TEST_CASE("the changes between two trees turn one into the other") {
    UnpackFolder before;
    UnpackFolder after;
    REQUIRE(before.unpack(ArchiveBuilder{}
                              .file("same", "x")
                              .file("changed", "old")
                              .file("gone", "x")
                              .folder("d")
                              .file("d/inner", "x")
                              .file("becomes-folder", "x")
                              .file("becomes-file/x", "x")
                              .build()));
    REQUIRE(after.unpack(ArchiveBuilder{}
                             .file("same", "x")
                             .file("changed", "newer")
                             .folder("d")
                             .file("d/inner", "x")
                             .file("d/added", "x")
                             .file("becomes-folder/y", "x")
                             .file("becomes-file", "x")
                             .build()));
    layer::TextSink changes;
    auto report =
        layer::write_changes({.before = before.root.get(), .after = after.root.get()}, changes);
    REQUIRE(report);
    REQUIRE(before.unpack(changes.text, layer::WhiteoutForm::apply));
    layer::TextSink one;
    layer::TextSink two;
    REQUIRE(layer::write_difference(before.root.get(), one));
    REQUIRE(layer::write_difference(after.root.get(), two));
    CHECK(one.text == two.text);
    layer::TextSink nothing;
    auto none = layer::write_changes(
        {.before = before.root.get(), .after = after.root.get(), .compare_content = true}, nothing);
    REQUIRE(none);
    CHECK(none->entries == 0);
}
