#include <sys/stat.h>
#include <unistd.h>

#include "store/check.hpp"
#include "store/collect.hpp"
#include "store/snapshot_record.hpp"
#include "store/snapshots.hpp"
#include "store/temporary_store.hpp"

using namespace hull;
using store::SnapshotDriver;
using store::Snapshots;

TEST_CASE("an overlay snapshot lists its layers top first") {
    TemporaryStore folder;
    store::Store store = folder.open();
    add_layer(store, '1', "one");
    add_layer(store, '2', "two");
    REQUIRE(::chmod(store.layers().tree_path(digest_of('2')).c_str(), 0711) == 0);
    Snapshots snapshots{store};
    auto mounts = snapshots.create({"c1", {digest_of('1'), digest_of('2')}});
    REQUIRE(mounts);
    REQUIRE(mounts->lower.size() == 2);
    CHECK(mounts->lower[0] == store.layers().tree_path(digest_of('2')));
    struct stat info{};
    REQUIRE(::stat(mounts->upper.c_str(), &info) == 0);
    CHECK((info.st_mode & 07777U) == 0711);  // the image's own "/"
    CHECK(path_exists(mounts->work));
    CHECK(*store::parse_snapshot_mounts(store::format_snapshot_mounts(*mounts)) == *mounts);
    CHECK(*snapshots.mounts("c1") == *mounts);
    CHECK(snapshots.create({"c1", {}}).error().code == Errc::exists);
    CHECK(*snapshots.remove("c1"));
    CHECK(*snapshots.remove("c1"));
    CHECK(snapshots.mounts("c1").error().code == Errc::not_found);
    CHECK(list_directory(store.root() + "/trash")->empty());
}

TEST_CASE("a snapshot of a layer that is not here leaves nothing behind") {
    TemporaryStore folder;
    store::Store store = folder.open();
    Snapshots snapshots{store};
    auto failed = snapshots.create({"c1", {digest_of('1')}});
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == Errc::not_found);
    CHECK(failed.error().hint.find("pull") != std::string::npos);
    CHECK(snapshots.list()->empty());
    for (const char* id : {"", "..", ".", "a/b", "a\nb"})
        CHECK(snapshots.create({id, {}}).error().code == Errc::invalid);
}

TEST_CASE("the copy driver merges layers, hard links and whiteouts") {
    TemporaryStore folder;
    store::Store store = folder.open();
    add_layer(store, '1', "d/one");
    add_layer(store, '2', "d/two");
    std::string lower = store.layers().tree_path(digest_of('1'));
    std::string upper = store.layers().tree_path(digest_of('2'));
    REQUIRE(write_file_atomically(lower + "/d/gone", "x"));
    REQUIRE(::link((lower + "/d/one").c_str(), (lower + "/linked").c_str()) == 0);
    if (::mknod((upper + "/d/gone").c_str(), S_IFCHR, 0) != 0) {
        MESSAGE("skipped: this user may not make whiteouts here");
        return;
    }
    auto mounts =
        Snapshots{store}.create({"c1", {digest_of('1'), digest_of('2')}, SnapshotDriver::copy});
    REQUIRE(mounts);
    CHECK(*list_directory(mounts->upper + "/d") == std::vector<std::string>{"one", "two"});
    CHECK(*read_file(mounts->upper + "/d/one") == "content");
    struct stat first{};
    struct stat second{};
    REQUIRE(::stat((mounts->upper + "/d/one").c_str(), &first) == 0);
    REQUIRE(::stat((mounts->upper + "/linked").c_str(), &second) == 0);
    CHECK(first.st_ino == second.st_ino);
}

TEST_CASE("a folder that a layer only implies shows the metadata of the layer below") {
    TemporaryStore folder;
    store::Store store = folder.open();
    add_layer(store, '1', "etc/app/base");
    add_layer(store, '2', "etc/app/more", {"", "etc", "etc/app"});
    std::string base = store.layers().tree_path(digest_of('1'));
    REQUIRE(::chmod((base + "/etc/app").c_str(), 0700) == 0);
    std::vector<spec::Digest> chain{digest_of('1'), digest_of('2')};
    CHECK(store.layers().lower_directories(chain).error().code == Errc::not_found);
    REQUIRE(store.layers().complete_chain(chain));
    REQUIRE(store.layers().complete_chain(chain));
    auto lower = store.layers().lower_directories(chain);
    REQUIRE(lower);
    REQUIRE(lower->size() == 3);
    struct stat info{};
    REQUIRE(::stat(((*lower)[0] + "/etc/app").c_str(), &info) == 0);
    CHECK((info.st_mode & 07777U) == 0700);
    CHECK(list_directory((*lower)[0] + "/etc/app")->empty());
}

TEST_CASE("any flipped byte of a snapshot's record is seen, read past and mended") {
    TemporaryStore folder;
    store::Store store = folder.open();
    add_layer(store, '1', "one");
    REQUIRE(Snapshots{store}.create({"c1", {digest_of('1')}}));
    const std::string directory = store.root() + "/snapshots/c1";
    const std::string sound = *read_file(directory + "/record");
    for (size_t at = 0; at < sound.size(); ++at) {
        std::string damaged = sound;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        REQUIRE(write_file_atomically(directory + "/record", damaged));
        auto record = store::load_snapshot_record(directory);
        REQUIRE(record);
        CHECK_FALSE(record->is_whole);
        CHECK(record->diff_ids.size() == 1);
        REQUIRE(store::mend_records(store));
        CHECK(*read_file(directory + "/record") == sound);
    }
}

TEST_CASE("a damaged or lost record of a snapshot costs no layer and no file") {
    TemporaryStore folder;
    store::Store store = folder.open();
    add_layer(store, '1', "one");
    REQUIRE(Snapshots{store}.create({"c1", {digest_of('1')}}));
    const std::string directory = store.root() + "/snapshots/c1";
    REQUIRE(write_file_atomically(directory + "/upper/written", "x"));
    SUBCASE("damaged") {
        REQUIRE(write_file_atomically(directory + "/record", "nonsense"));
    }
    SUBCASE("lost") {
        REQUIRE(::unlink((directory + "/record").c_str()) == 0);
    }
    auto found = store::check_store(store, nullptr);
    REQUIRE(found);
    REQUIRE(found->size() == 1);
    CHECK((*found)[0].image == "container c1");
    REQUIRE(store::collect(store));
    CHECK(path_exists(directory + "/upper/written"));
    CHECK(store.layers().has(digest_of('1')));
}
