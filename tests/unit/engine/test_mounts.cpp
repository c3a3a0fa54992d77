#include <doctest/doctest.h>

#include "engine/mounts.hpp"
#include "engine/ranges.hpp"

using namespace hull;
using namespace hull::engine;

TEST_CASE("-v knows binds, named volumes and anonymous ones") {
    auto bind = parse_volume_option("/host:/inside:ro,rslave");
    REQUIRE(bind);
    CHECK(bind->kind == MountKind::bind);
    CHECK(bind->source == "/host");
    CHECK(bind->target == "/inside");
    CHECK(bind->read_only);
    CHECK(bind->propagation == "rslave");
    auto volume = parse_volume_option("data:/var/lib/data/");
    REQUIRE(volume);
    CHECK(volume->kind == MountKind::volume);
    CHECK(volume->target == "/var/lib/data");
    auto anonymous = parse_volume_option("/cache");
    REQUIRE(anonymous);
    CHECK(anonymous->anonymous);
}

TEST_CASE("-v refuses what it does not understand") {
    for (const char* bad : {"", "data", "data:relative", "/a:/", "/a:/b:fast", "a/b:/c",
                            "no:colon:x:y", "/a:/../..", ":/x"})
        CHECK_MESSAGE(!parse_volume_option(bad), bad);
}

TEST_CASE("--mount is read key by key") {
    auto mount = parse_mount_option("type=bind,source=/a,target=/b,readonly,bind-nonrecursive");
    REQUIRE(mount);
    CHECK(mount->kind == MountKind::bind);
    CHECK(mount->read_only);
    CHECK_FALSE(mount->recursive);
    auto tmpfs = parse_mount_option("type=tmpfs,dst=/t,tmpfs-size=64k,tmpfs-mode=700");
    REQUIRE(tmpfs);
    CHECK(tmpfs->tmpfs_size == 65536);
    CHECK(tmpfs->tmpfs_mode == 0700U);
    CHECK(parse_mount_option("target=/b")->anonymous);
    for (const char* bad : {"type=bind,target=/b", "type=nfs,target=/b", "source=x", "type=bind",
                            "type=tmpfs,target=/t,tmpfs-mode=9", "target=/b,color=red"})
        CHECK_MESSAGE(!parse_mount_option(bad), bad);
}

TEST_CASE("--tmpfs has options of its own") {
    auto mount = parse_tmpfs_option("/run:size=1m,mode=755,ro");
    REQUIRE(mount);
    CHECK(mount->tmpfs_size == 1U << 20U);
    CHECK(mount->tmpfs_mode == 0755U);
    CHECK(mount->read_only);
    CHECK_FALSE(parse_tmpfs_option("/run:suid"));
}

TEST_CASE("in a bind mount 0 is the source's owner and the rest a fixed range") {
    Range fixed{1000000, 65536};
    Range container{2000000, 65536};
    auto map = bind_id_mappings(1000, fixed, container);
    REQUIRE(map.size() == 2);
    CHECK(map[0] == spec::IdMapping{1000, 2000000, 1});
    CHECK(map[1] == spec::IdMapping{1000001, 2000001, 65535});
}

TEST_CASE("an owner out of the fixed range is 0 and nothing else") {
    Range fixed{1000000, 65536};
    Range container{2000000, 65536};
    auto map = bind_id_mappings(1000033, fixed, container);
    REQUIRE(map.size() == 3);
    CHECK(map[0] == spec::IdMapping{1000033, 2000000, 1});
    CHECK(map[1] == spec::IdMapping{1000001, 2000001, 32});
    CHECK(map[2] == spec::IdMapping{1000034, 2000034, 65536 - 34});
}

TEST_CASE("a new entry of /etc/subuid goes where it overlaps nobody") {
    using Entries = std::vector<kernel::SubidEntry>;
    Entries none;
    CHECK(choose_range(none, none, 1073741824, 268435456) == 1073741824U);
    Entries users{{"a", {100000, 65536}}, {"b", {1073741824, 65536}}};
    auto moved = choose_range(users, none, 1073741824, 268435456);
    REQUIRE(moved);
    CHECK(*moved == 1073741824U + 65536);
    Entries all{{"greedy", {1000000, 4200000000U}}};
    CHECK(choose_range(all, none, 1073741824, 268435456).error().code == Errc::conflict);
}

TEST_CASE("a container gets whole slots of ids") {
    CHECK(ids_needed(0, 0) == 65536);
    CHECK(ids_needed(65535, 0) == 65536);
    CHECK(ids_needed(65536, 0) == 2 * 65536);
    CHECK(ids_needed(0, 200000) == 4 * 65536);
}
