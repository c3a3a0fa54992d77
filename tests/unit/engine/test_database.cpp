#include <cstdlib>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "engine/database.hpp"
#include "temporary_folder.hpp"

using namespace hull;
using namespace hull::engine;

namespace {

struct Folder : TemporaryFolder {
    std::string file() const { return path + "/hull.db"; }
};

ContainerRecord make_record(const std::string& name) {
    ContainerRecord record;
    record.id = create_container_id();
    record.name = name;
    record.image = "busybox";
    record.created_at = "2026-01-01T00:00:00Z";
    record.config.command = {"sh", "-c", "echo \"x\""};
    record.config.labels = {{"a", "b=c"}};
    record.range.count = 65536;
    return record;
}

const Database::Pool kPool{{1000000, 4 * 65536}, 0};

}  // namespace

TEST_CASE("what is inserted is found by name, id and the beginning of its id") {
    Folder folder;
    auto db = Database::open(folder.file());
    REQUIRE(db);
    auto record = make_record("web");
    REQUIRE(db->insert(record, kPool));
    for (const auto& text : {record.id, std::string("web"), record.id.substr(0, 12)}) {
        auto found = db->find(text);
        REQUIRE(found);
        CHECK(found->id == record.id);
        CHECK(found->config == record.config);
        CHECK(found->range.first == 1000000);
    }
    CHECK(db->find("we").error().code == Errc::not_found);
    CHECK(db->find("").error().code == Errc::not_found);
}

TEST_CASE("a beginning that fits two containers is a conflict") {
    Folder folder;
    auto db = Database::open(folder.file());
    REQUIRE(db);
    auto one = make_record("one");
    auto two = make_record("two");
    one.id = "aa" + one.id.substr(2);
    two.id = "aa" + two.id.substr(2);
    REQUIRE(db->insert(one, std::nullopt));
    REQUIRE(db->insert(two, std::nullopt));
    CHECK(db->find("aa").error().code == Errc::conflict);
}

TEST_CASE("a name is given once") {
    Folder folder;
    auto db = Database::open(folder.file());
    REQUIRE(db);
    auto one = make_record("web");
    auto two = make_record("web");
    REQUIRE(db->insert(one, kPool));
    auto again = db->insert(two, kPool);
    REQUIRE_FALSE(again);
    CHECK(again.error().code == Errc::exists);
    CHECK(again.error().message.find("already in use") != std::string::npos);
    REQUIRE(db->erase(one.id));
    CHECK(db->insert(two, kPool));
}

TEST_CASE("containers have disjoint ranges, and a range comes back") {
    Folder folder;
    auto db = Database::open(folder.file());
    REQUIRE(db);
    std::vector<ContainerRecord> records;
    for (int i = 0; i < 4; i++) {
        records.push_back(make_record("c" + std::to_string(i)));
        REQUIRE(db->insert(records.back(), kPool));
        CHECK(records.back().range.first == 1000000 + static_cast<uint32_t>(i) * 65536);
    }
    auto fifth = make_record("c4");
    CHECK(db->insert(fifth, kPool).error().code == Errc::conflict);
    REQUIRE(db->erase(records[2].id));
    REQUIRE(db->insert(fifth, kPool));
    CHECK(fifth.range.first == records[2].range.first);
}

TEST_CASE("a wide range needs slots in a row, and the search goes round") {
    Range pool{65536, 4 * 65536};
    CHECK(find_free_range(pool, {{65536, 65536}}, 2 * 65536, 0) == 2U * 65536);
    CHECK(find_free_range(pool, {{2 * 65536, 1}}, 3 * 65536, 0) == std::nullopt);
    CHECK(find_free_range(pool, {}, 65536, 3) == 4U * 65536);
    CHECK(find_free_range(pool, {{4 * 65536, 65536}}, 65536, 3) == 65536U);
    CHECK(find_free_range(pool, {}, 5 * 65536, 0) == std::nullopt);
}

TEST_CASE("facts are updated and the unsettled are listed") {
    Folder folder;
    auto db = Database::open(folder.file());
    REQUIRE(db);
    auto record = make_record("c1");
    record.intent = Intent::started;
    REQUIRE(db->insert(record, std::nullopt));
    CHECK(db->list_unsettled()->size() == 1);
    record.intent = Intent::exited;
    record.exit_code = 7;
    record.error = "because";
    REQUIRE(db->update(record));
    CHECK(db->list_unsettled()->empty());
    auto found = db->get(record.id);
    REQUIRE(found);
    REQUIRE(*found);
    CHECK((*found)->exit_code == 7);
    CHECK((*found)->error == "because");
    CHECK((*found)->intent == Intent::exited);
}

TEST_CASE("two connections see each other's work") {
    Folder folder;
    auto one = Database::open(folder.file());
    auto two = Database::open(folder.file());
    REQUIRE(one);
    REQUIRE(two);
    auto record = make_record("c1");
    REQUIRE(one->insert(record, std::nullopt));
    CHECK(two->find("c1"));
    CHECK(*two->insert_volume({"data", "now", false}));
    CHECK_FALSE(*one->insert_volume({"data", "now", false}));
    CHECK(one->list_volumes()->size() == 1);
}

TEST_CASE("a file that is no database is corrupt, one of a newer hull unsupported") {
    Folder folder;
    REQUIRE(write_file_atomically(folder.file(), std::string(4096, 'x')));
    CHECK(Database::open(folder.file()).error().code == Errc::corrupt);
}
