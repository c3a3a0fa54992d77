#include <unistd.h>

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

TEST_CASE("one damaged copy of the names is read past, and mended") {
    TemporaryStore folder;
    store::Store store = folder.open();
    const store::References& references = store.references();
    CHECK(*references.is_whole());
    REQUIRE(::unlink((store.root() + "/references").c_str()) == 0);
    CHECK_FALSE(*references.is_whole());
    REQUIRE(references.set({"docker.io/library/a:1", digest_of('2'), "", 6, {}}));
    CHECK(*references.is_whole());
    const std::string path = store.root() + "/references";
    const std::string sound = *read_file(path);
    for (size_t at = 0; at < sound.size(); ++at) {
        std::string damaged = sound;
        damaged[at] = static_cast<char>(damaged[at] ^ 4);
        REQUIRE(write_file_atomically(path, damaged));
        CHECK_FALSE(*references.is_whole());
        REQUIRE(references.list());
        CHECK(references.list()->size() == 1);
        REQUIRE(references.mend());
        CHECK(*read_file(path) == sound);
    }
    REQUIRE(write_file_atomically(path, sound.substr(0, sound.size() - 9)));
    CHECK_FALSE(*references.is_whole());
    REQUIRE(references.mend());
    CHECK(*read_file(path) == sound);
}

TEST_CASE("names of which both copies are damaged are told of") {
    TemporaryStore folder;
    store::Store store = folder.open();
    REQUIRE(write_file_atomically(store.root() + "/references", "nonsense\n"));
    auto list = store.references().list();
    REQUIRE_FALSE(list);
    CHECK(list.error().code == Errc::corrupt);
    CHECK(list.error().hint.find("pulled again") != std::string::npos);
    CHECK_FALSE(store.references().mend());
}
