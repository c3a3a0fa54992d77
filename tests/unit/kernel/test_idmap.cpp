#include <sys/stat.h>

#include <doctest/doctest.h>

#include "in_namespaces.hpp"
#include "kernel/idmap.hpp"
#include "kernel/mount.hpp"

using namespace hull;
using namespace hull::kernel;

TEST_CASE("id maps are written and read in the kernel's form") {
    IdMap map{{0, 1000, 1}, {1, 100000, 65536}};
    CHECK(format_id_map(map) == "0 1000 1\n1 100000 65536\n");
    CHECK(*parse_id_map("         0       1000          1\n 1 100000 65536\n") == map);
    for (const char* bad : {"0 1", "0 1 2 3", "a b c", "-1 0 1", "0 0 4294967296"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_id_map(bad));
    }
    CHECK(to_outside(map, 0) == 1000U);
    CHECK(to_outside(map, 65536) == 165535U);
    CHECK_FALSE(to_outside(map, 65537));
    CHECK(to_inside(map, 100000) == 1U);
    CHECK_FALSE(to_inside(map, 0));
    CHECK(mapped_count(map) == 65537);
}

TEST_CASE("an id map that the kernel would refuse is refused with its field") {
    auto message = [](const IdMap& map) {
        auto checked = check_id_map(map, "linux.uidMappings");
        return checked ? std::string() : checked.error().message;
    };
    CHECK(message({{0, 100000, 65536}}).empty());
    CHECK(message({}) == "linux.uidMappings: maps no id");
    CHECK(message({{0, 0, 0}}) == "linux.uidMappings[0]: maps 0 ids");
    CHECK(message({{0, 0, 1}, {5, 4294967290U, 10}}).starts_with("linux.uidMappings[1]: goes"));
    CHECK(message({{0, 100, 10}, {9, 200, 1}}).ends_with("inside the container"));
    CHECK(message({{0, 100, 10}, {20, 109, 1}}).ends_with("of the host"));
    CHECK(message(IdMap(341, IdRange{0, 0, 1})).find("340") != std::string::npos);
}

TEST_CASE("subuid lines are read strictly") {
    auto entries = parse_subid_file("# made by hull\n\nalice:100000:65536\n1001:200000:10\n", "f");
    REQUIRE(entries);
    REQUIRE(entries->size() == 2);
    CHECK((*entries)[0].owner == "alice");
    CHECK((*entries)[1].range == SubidRange{200000, 10});
    CHECK(parse_subid_file("alice:1:0\n", "f")->empty());
    auto bad = parse_subid_file("alice:100000:65536\nbob:x:1\n", "/etc/subuid");
    CHECK(bad.error().message == "/etc/subuid:2: unexpected line \"bob:x:1\"");
    for (const char* line : {"a:1", "a:1:2:3", ":1:2", "a:-1:2", "a:1:4294967295", "a: 1:2"}) {
        CAPTURE(line);
        CHECK_FALSE(parse_subid_file(line, "f"));
    }
}

TEST_CASE("the name of root is found without NSS") {
    CHECK(find_user_name(0) == "root");
    CHECK_FALSE(find_user_name(3999999999U));
}

TEST_CASE("a process becomes root of a user namespace with only itself mapped") {
    if (full_range_mapping(::geteuid(), ::getegid())) {
        MESSAGE("skipped: this user has ranges in /etc/subuid");
        return;
    }
    auto result = in_child(0, []() -> Result<void> {
        EXPECT_IN_CHILD(!enter_user_namespace_with_full_range());
        IdMapping mapping = TRY(enter_user_namespace_with_full_range({.allow_single = true}));
        EXPECT_IN_CHILD(::geteuid() == 0 && ::getegid() == 0);
        EXPECT_IN_CHILD(mapping.users.size() == 1);
        EXPECT_IN_CHILD(TRY(parse_id_map(TRY(read_file("/proc/self/uid_map")))) == mapping.users);
        return {};
    });
    if (!result && result.error().message.find("namespaces") != std::string::npos) {
        MESSAGE("skipped: " << result.error().to_string());
        return;
    }
    CHECK_MESSAGE(result.has_value(), (result ? "" : result.error().to_string()));
}

TEST_CASE("a user namespace for idmapped mounts shows files with other owners") {
    if (::geteuid() != 0) {
        MESSAGE("skipped: idmapping needs root");
        return;
    }
    auto space = create_user_namespace({{{0, 70000, 100}}, {{0, 80000, 100}}});
    REQUIRE(space);
    auto mount = create_mount({.type = "tmpfs", .source = "test"});
    REQUIRE(mount);
    REQUIRE(set_mount_attributes(mount->get(), {.idmap_namespace = space->get()}));
    struct stat info{};
    REQUIRE(::fstat(mount->get(), &info) == 0);
    CHECK(info.st_uid == 70000);
    CHECK(info.st_gid == 80000);
}
