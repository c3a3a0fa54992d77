// Archives that try to write outside of their root. Each either fails or is harmless, and what lies
// beside the root is as before.
#include <fcntl.h>
#include <unistd.h>

#include "layer/archives.hpp"

using namespace hull;
using layer::TarType;
using layer::WhiteoutForm;

namespace {

struct Hostile {
    const char* name;
    std::string tar;
    bool is_refused;
};

std::vector<Hostile> corpus() {
    std::vector<Hostile> all;
    auto refused = [&](const char* name, std::string tar) {
        all.push_back({name, std::move(tar), true});
    };
    auto harmless = [&](const char* name, std::string tar) {
        all.push_back({name, std::move(tar), false});
    };
    refused("dotdot", ArchiveBuilder{}.file("../outside/file", "evil").build());
    refused("dotdot in the middle", ArchiveBuilder{}.file("a/../../outside/file", "e").build());
    refused("dotdot folder", ArchiveBuilder{}.folder("../made").build());
    refused("root is a file", ArchiveBuilder{}.file("./", "evil").build());
    refused("root is a link", ArchiveBuilder{}.link(".", "/etc").build());
    harmless("absolute name", ArchiveBuilder{}.file("/outside/file", "evil").build());
    harmless("dotdot that stays inside", ArchiveBuilder{}.file("a/../b", "x").build());
    harmless("file through a link that climbs out",
             ArchiveBuilder{}.link("l", "../outside").file("l/file", "evil").build());
    harmless("file through an absolute link",
             ArchiveBuilder{}.link("l", "/tmp").file("l/hull-hostile", "evil").build());
    harmless(
        "file through a chain of links",
        ArchiveBuilder{}.link("a", "b").link("b", "../../outside").file("a/file", "evil").build());
    harmless("folder through a link",
             ArchiveBuilder{}.link("l", "../outside").folder("l/made").build());
    harmless("whiteout through a link",
             ArchiveBuilder{}.link("l", "../outside").file("l/.wh.file").build());
    harmless("opaque through a link",
             ArchiveBuilder{}.link("l", "../outside").file("l/.wh..wh..opq").build());
    harmless("file over a link to a file outside",
             ArchiveBuilder{}.link("l", "../outside/file").file("l", "evil").build());
    harmless("dangling link as a folder",
             ArchiveBuilder{}.link("l", "nowhere/at/all").file("l/file", "x").build());
    harmless("folder member over a link",
             ArchiveBuilder{}.link("l", "../outside").folder("l").file("l/file", "evil").build());
    refused("links in a circle",
            ArchiveBuilder{}.link("a", "b").link("b", "a").file("a/file", "x").build());
    refused("hard link outside", ArchiveBuilder{}.hard_link("h", "../outside/file").build());
    refused("absolute hard link", ArchiveBuilder{}.hard_link("h", "/etc/passwd").build());
    refused("hard link through a link",
            ArchiveBuilder{}.link("l", "../outside").hard_link("h", "l/file").build());
    refused("hard link to nothing", ArchiveBuilder{}.hard_link("h", "missing").build());
    refused("hard link to a folder", ArchiveBuilder{}.folder("d").hard_link("h", "d").build());
    refused("hard link to a whiteout", ArchiveBuilder{}.file(".wh.x").hard_link("h", "x").build());
    harmless("hard link to itself", ArchiveBuilder{}.file("h").hard_link("h", "h").build());
    harmless("hard link to a link, then a file over it", ArchiveBuilder{}
                                                             .link("l", "../outside/file")
                                                             .hard_link("h", "l")
                                                             .file("h", "evil")
                                                             .build());
    refused("whiteout of the folder itself", ArchiveBuilder{}.file("d/.wh..").build());
    refused("whiteout of the parent", ArchiveBuilder{}.file("d/.wh...").build());
    refused("whiteout of nothing", ArchiveBuilder{}.file("d/.wh.").build());
    refused("a file used as a folder", ArchiveBuilder{}.file("f").file("f/x").build());
    harmless("a folder replaced by a link while it is open",
             ArchiveBuilder{}.file("d/one").link("d", "../outside").file("d/file", "evil").build());
    refused("a name longer than a path", ArchiveBuilder{}.file(std::string(5000, 'x')).build());
    harmless("three hundred folders deep", [] {
        std::string deep;
        for (int i = 0; i < 300; ++i)
            deep += "d/";
        return ArchiveBuilder{}.file(deep + "f").build();
    }());
    return all;
}

}  // namespace

TEST_CASE("hostile archives write nothing outside of their root") {
    for (const Hostile& hostile : corpus()) {
        CAPTURE(hostile.name);
        for (WhiteoutForm form : {WhiteoutForm::overlay_user, WhiteoutForm::apply}) {
            UnpackFolder to;
            auto report = to.unpack(hostile.tar, form);
            bool needs_marks = std::string_view{hostile.name}.starts_with("hard link to a wh");
            if (hostile.is_refused && !(needs_marks && form == WhiteoutForm::apply))
                CHECK_FALSE(report);
            if (report && hostile.is_refused) CHECK(form == WhiteoutForm::apply);
            if (!hostile.is_refused) {
                CHECK(report.has_value());
                if (!report) MESSAGE(report.error().to_string());
            }
            if (!report) CHECK(report.error().to_string().find('\n') == std::string::npos);
            to.check_outside_is_untouched();
            CHECK_FALSE(path_exists("/tmp/hull-hostile"));
        }
    }
}

TEST_CASE("every cut and many flipped bytes of an archive are survived") {
    std::string whole = ArchiveBuilder{}
                            .folder("d")
                            .file("d/f", std::string(700, 'x'))
                            .link("l", "d/f")
                            .file("d/.wh.x")
                            .hard_link("h", "d/f")
                            .build();
    for (size_t cut = 0; cut < whole.size(); cut += 509) {
        UnpackFolder to;
        (void)to.unpack(whole.substr(0, cut));
        to.check_outside_is_untouched();
    }
    for (size_t at = 0; at < whole.size(); at += 149) {
        UnpackFolder to;
        std::string changed = whole;
        changed[at] = static_cast<char>(changed[at] ^ 0x41);
        (void)to.unpack(changed);
        to.check_outside_is_untouched();
    }
}

TEST_CASE("a gigabyte of hole takes no gigabyte of disk") {
    // GNU's old sparse format: 1 GiB with 512 bytes of data at its end.
    UnpackFolder to;
    layer::TarEntry entry = ArchiveBuilder::named("sparse", TarType::file, 0644);
    entry.size = 512;
    std::string tar = ArchiveBuilder{}.add(entry, std::string(512, 'd')).build();
    tar[156] = 'S';
    tar.replace(257, 8, "ustar  \0", 8);
    tar.replace(386, 12, "07777777000\0", 12);  // offset of the one piece
    tar.replace(398, 12, "00000001000\0", 12);  // its length, 512
    tar.replace(483, 12, "10000000000\0", 12);  // the file's own size
    std::string sum(8, ' ');
    tar.replace(148, 8, sum);
    unsigned total = 0;
    for (size_t i = 0; i < 512; ++i)
        total += static_cast<unsigned char>(tar[i]);
    std::string digits(6, '0');
    for (size_t i = 6; i-- > 0; total >>= 3U)
        digits[i] = static_cast<char>('0' + (total & 7U));
    tar.replace(148, 8, digits + std::string("\0 ", 2));
    auto report = to.unpack(tar);
    if (!report) MESSAGE(report.error().to_string());
    REQUIRE(report);
    CHECK(to.stat("sparse").st_size == 1'073'741'824);
    CHECK(to.stat("sparse").st_blocks < 1000);
}
