#include <sys/stat.h>
#include <unistd.h>

#include "store/temporary_store.hpp"

using namespace hull;

TEST_CASE("a blob gets its name only when its digest is right") {
    TemporaryStore folder;
    store::Store store = folder.open();
    auto writer = store.blobs().create(digest_of('a'));
    REQUIRE(writer);
    REQUIRE(*writer);
    REQUIRE((*writer)->write("hello"));
    CHECK_FALSE(store.blobs().has(digest_of('a')));
    auto wrong = (*writer)->commit(digest_of('b'));
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().code == Errc::corrupt);
    CHECK_FALSE(store.blobs().has(digest_of('a')));
    CHECK(list_directory(store.root() + "/partial")->empty());
}

TEST_CASE("an interrupted blob is continued, not begun again") {
    TemporaryStore folder;
    store::Store store = folder.open();
    {
        auto writer = store.blobs().create(digest_of('a'), 10);
        REQUIRE((**writer).write("hello"));
    }
    auto again = store.blobs().create(digest_of('a'), 10);
    REQUIRE(again);
    REQUIRE(*again);
    CHECK((**again).size() == 5);
    REQUIRE((**again).write("world"));
    REQUIRE((**again).commit(digest_of('a')));
    CHECK(*store.blobs().read(digest_of('a')) == "helloworld");
    CHECK(*store.blobs().size(digest_of('a')) == 10);
    CHECK_FALSE(*store.blobs().create(digest_of('a'), 10));
}

TEST_CASE("a blob that lost its end with the power does not count") {
    TemporaryStore folder;
    store::Store store = folder.open();
    REQUIRE(store.blobs().put(digest_of('a'), "hello"));
    REQUIRE(::truncate(store.blobs().path(digest_of('a')).c_str(), 2) == 0);
    CHECK_FALSE(store.blobs().has(digest_of('a'), 5));
    REQUIRE(store.blobs().put(digest_of('a'), "hello"));
    CHECK(store.blobs().has(digest_of('a'), 5));
}

TEST_CASE("a missing blob is told with what to do") {
    TemporaryStore folder;
    auto missing = folder.open().blobs().read(digest_of('c'));
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == Errc::not_found);
    CHECK_FALSE(missing.error().hint.empty());
}

TEST_CASE("the store's folder is closed to others, and a newer store is left alone") {
    TemporaryStore folder;
    store::Store store = folder.open();
    struct stat info{};
    REQUIRE(::stat(store.root().c_str(), &info) == 0);
    CHECK((info.st_mode & 0777U) == 0700);
    REQUIRE(write_file_atomically(store.root() + "/version", "9\n"));
    auto newer = store::Store::open(store.root());
    REQUIRE_FALSE(newer);
    CHECK(newer.error().code == Errc::unsupported);
}
