#include <algorithm>

#include <doctest/doctest.h>

#include "kernel/mount.hpp"
#include "runtime/mount_options.hpp"

namespace hull::runtime {
namespace {

jail::MountPlan with_options(std::initializer_list<std::string_view> options) {
    jail::MountPlan mount;
    for (const auto option : options)
        REQUIRE(apply_mount_option(option, mount));
    return mount;
}

TEST_CASE("the last of two contradicting options counts") {
    const auto mount = with_options({"ro", "rw"});
    CHECK((mount.attributes.set & MOUNT_ATTR_RDONLY) == 0);
    CHECK((mount.attributes.clear & MOUNT_ATTR_RDONLY) != 0);
    CHECK((with_options({"rw", "ro"}).attributes.set & MOUNT_ATTR_RDONLY) != 0);
}

TEST_CASE("an atime option replaces the whole atime field") {
    const auto mount = with_options({"noatime", "strictatime"});
    CHECK((mount.attributes.set & MOUNT_ATTR__ATIME) == MOUNT_ATTR_STRICTATIME);
    CHECK((mount.attributes.clear & MOUNT_ATTR_NOATIME) != 0);
}

TEST_CASE("an r in front makes an option recursive") {
    const auto mount = with_options({"rro", "rnosuid", "nodev"});
    CHECK(mount.recursive_attributes.set == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID));
    CHECK(mount.attributes.set == MOUNT_ATTR_NODEV);
}

TEST_CASE("relatime is no recursive form of elatime, and rrelatime is one of relatime") {
    CHECK(with_options({"relatime"}).recursive_attributes.empty());
    CHECK_FALSE(with_options({"rrelatime"}).recursive_attributes.empty());
}

TEST_CASE("propagation has plain and recursive forms") {
    CHECK(with_options({"shared"}).propagation.kind == jail::Propagation::shared);
    CHECK_FALSE(with_options({"shared"}).propagation.recursive);
    CHECK(with_options({"rslave"}).propagation.kind == jail::Propagation::slave);
    CHECK(with_options({"rslave"}).propagation.recursive);
}

TEST_CASE("bind and rbind make a bind mount of any type") {
    CHECK(with_options({"bind"}).kind == jail::MountKind::bind);
    CHECK_FALSE(with_options({"bind"}).recursive);
    CHECK(with_options({"rbind"}).recursive);
}

TEST_CASE("idmap takes its ranges in crun's notation") {
    const auto mount = with_options({"idmap=uids=0-1000-10#10-2000-5;gids=0-3000-15"});
    REQUIRE(mount.id_map.ids.users.size() == 2);
    CHECK(mount.id_map.ids.users[1] == kernel::IdRange{10, 2000, 5});
    CHECK(mount.id_map.ids.groups.at(0).outside == 3000);
    CHECK_FALSE(mount.id_map.recursive);
    CHECK(with_options({"ridmap"}).id_map.recursive);
}

TEST_CASE("a broken idmap is refused with the form it should have") {
    for (const auto option : {"idmap=uids=0-1", "idmap=uids=a-b-c", "idmap=users=0-1-2",
                              "ridmap=uids=0-1-99999999999"}) {
        jail::MountPlan mount;
        const auto applied = apply_mount_option(option, mount);
        REQUIRE_FALSE(applied);
        CHECK(applied.error().hint.find("INSIDE-OUTSIDE-COUNT") != std::string::npos);
    }
}

TEST_CASE("an idmap with @ goes through the container's own maps, as in crun's manual") {
    spec::Linux section;
    section.uid_mappings = {{0, 0, 1}, {1, 2, 1000}};
    section.gid_mappings = {{0, 500, 10}};
    CHECK(is_relative_id_map("idmap=uids=@1-3-10"));
    CHECK_FALSE(is_relative_id_map("idmap=uids=1-3-10"));
    const auto option = absolute_id_map_option("ridmap=uids=@1-3-10#20-30-1;gids=@0-1-2", section);
    REQUIRE(option);
    CHECK(*option == "ridmap=uids=1-4-10#20-30-1;gids=0-501-2");
    CHECK_FALSE(absolute_id_map_option("idmap=uids=@1-3000-10", section));
    CHECK_FALSE(absolute_id_map_option("idmap=uids=@1", section));
}

TEST_CASE("remount is of its own kind, and crun's recursive superblock flags are taken") {
    CHECK(with_options({"remount", "ro"}).remount);
    for (const auto option : {"rsync", "rasync", "rdirsync", "rmand", "rnomand"})
        CHECK(with_options({option}).parameters.empty());
}

TEST_CASE("what is no mount option goes to the file system") {
    const auto mount = with_options({"size=64k", "mode=755", "hidepid=2", "defaults"});
    CHECK(mount.parameters == std::vector<std::string>{"size=64k", "mode=755", "hidepid=2"});
}

TEST_CASE("every option that features names is understood") {
    for (const auto& name : known_mount_options()) {
        jail::MountPlan mount;
        CAPTURE(name);
        REQUIRE(apply_mount_option(name, mount));
        const bool is_flag_of_superblock =
            std::find(mount.parameters.begin(), mount.parameters.end(), name) !=
            mount.parameters.end();
        CHECK((mount.parameters.empty() || is_flag_of_superblock));
    }
}

}  // namespace
}  // namespace hull::runtime
