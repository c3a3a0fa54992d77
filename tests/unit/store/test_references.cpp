#include "store/temporary_store.hpp"

using namespace hull;

TEST_CASE("names are set, moved and removed") {
    TemporaryStore folder;
    store::Store store = folder.open();
    const store::References& references = store.references();
    CHECK(references.list()->empty());
    REQUIRE(references.set({{"docker.io/library/b:1", digest_of('1'), "type", 5, {}},
                            {"docker.io/library/a:1", digest_of('2'), "", 6, {}}}));
    REQUIRE(references.set({"docker.io/library/b:1", digest_of('3'), "type", 7, {}}));
    auto all = references.list();
    REQUIRE(all);
    REQUIRE(all->size() == 2);
    CHECK((*all)[0].name == "docker.io/library/a:1");
    CHECK((*all)[0].media_type.empty());
    CHECK((*all)[1].digest == digest_of('3'));
    CHECK((*all)[1].updated.time_since_epoch().count() > 0);
    CHECK(*references.remove("docker.io/library/a:1"));
    CHECK_FALSE(*references.remove("docker.io/library/a:1"));
    CHECK(references.list()->size() == 1);
}

TEST_CASE("a name that would break the file is refused") {
    TemporaryStore folder;
    store::Store store = folder.open();
    CHECK_FALSE(store.references().set({"a b", digest_of('1'), "", 0, {}}));
    CHECK_FALSE(store.references().set({"a\nb", digest_of('1'), "", 0, {}}));
    CHECK_FALSE(store.references().set({"", digest_of('1'), "", 0, {}}));
    CHECK_FALSE(store.references().set({"a", {}, "", 0, {}}));
    CHECK(store.references().list()->empty());
}

TEST_CASE("a damaged line is told with its number") {
    TemporaryStore folder;
    store::Store store = folder.open();
    REQUIRE(write_file_atomically(store.root() + "/references", "nonsense\n"));
    auto list = store.references().list();
    REQUIRE_FALSE(list);
    CHECK(list.error().code == Errc::corrupt);
    CHECK(list.error().message.find("line 1") != std::string::npos);
}
