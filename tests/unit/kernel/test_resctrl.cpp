#include <unistd.h>

#include <cstdlib>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "kernel/resctrl.hpp"

// On a folder in the place of a mounted resctrl: the kernel's files are ordinary ones here.

using namespace hull;
using namespace hull::kernel;

namespace {

struct Tree {
    std::string root;
    Tree() {
        char name[] = "/tmp/hull-unit-XXXXXX";
        root = ::mkdtemp(name);
        put("schemata", "    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n");
        put("tasks", "");
        put("info/L3/cbm_mask", "fffff\n");
        put("info/L3/min_cbm_bits", "2\n");
        put("info/L3/num_closids", "16\n");
        put("info/MB/bandwidth_gran", "10\n");
        put("info/MB/delay_linear", "1\n");
        put("info/MB/min_bandwidth", "10\n");
        put("info/MB/num_closids", "8\n");
        put("info/last_cmd_status", "ok\n");
    }
    ~Tree() { (void)remove_tree(root); }
    void put(const std::string& name, const std::string& content) const {
        const auto path = root + "/" + name;
        REQUIRE(create_directories(parent_path(path)));
        REQUIRE(write_file_atomically(path, content));
    }
    std::string get(const std::string& name) const {
        return read_file(root + "/" + name).value_or("(missing)");
    }
    /// The files that the kernel makes in a new class.
    void make_class(const std::string& name) const {
        put(name + "/tasks", "");
        put(name + "/schemata", "L3:0=fffff;1=fffff\nMB:0=100;1=100\n");
    }
};

}  // namespace

TEST_CASE("a class of the container's own is made, filled, joined and removed") {
    const Tree tree;
    const ResctrlRequest request{.name = "c1", .schemata = {"L3:0=ff;1=c0", "MB:0=20;1=70"}};
    const auto group = plan_resctrl_group(tree.root, request);
    REQUIRE(group);
    CHECK(group->directory == tree.root + "/c1");
    CHECK(group->is_own);
    // The kernel makes the files together with the folder; here they are there before.
    tree.make_class("c1");
    REQUIRE(create_resctrl_group(tree.root, request, *group));
    CHECK(tree.get("c1/schemata") == "L3:0=ff;1=c0\nMB:0=20;1=70\n");
    REQUIRE(join_resctrl_group(tree.root, *group, 4711));
    CHECK(tree.get("c1/tasks") == "4711");
    REQUIRE(write_resctrl_schemata(tree.root, *group, {"MB:0=30"}));
    CHECK(tree.get("c1/schemata") == "MB:0=30\n");
    REQUIRE(remove_tree(tree.root + "/c1/tasks"));
    REQUIRE(remove_tree(tree.root + "/c1/schemata"));
    REQUIRE(remove_resctrl_group(*group));
    CHECK_FALSE(path_exists(group->directory));
    REQUIRE(remove_resctrl_group(*group));
}

TEST_CASE("a class that exists is not the container's own, and stays") {
    const Tree tree;
    tree.make_class("c1");
    const auto group = plan_resctrl_group(tree.root, {.name = "c1"});
    REQUIRE(group);
    CHECK_FALSE(group->is_own);
    REQUIRE(create_resctrl_group(tree.root, {.name = "c1"}, *group));
    REQUIRE(remove_resctrl_group(*group));
    CHECK(path_exists(tree.root + "/c1"));
}

TEST_CASE("a shared class must exist when nothing is said of it, and say the same otherwise") {
    const Tree tree;
    ResctrlRequest request{.name = "gold", .is_shared = true};
    const auto group = plan_resctrl_group(tree.root, request);
    REQUIRE(group);
    CHECK_FALSE(group->is_own);
    const auto missing = create_resctrl_group(tree.root, request, *group);
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == Errc::not_found);
    tree.make_class("gold");
    REQUIRE(create_resctrl_group(tree.root, request, *group));
    request.schemata = {"L3:0=000fffff", "MB:1=100"};
    REQUIRE(create_resctrl_group(tree.root, request, *group));
    request.schemata = {"L3:0=f"};
    const auto other = create_resctrl_group(tree.root, request, *group);
    REQUIRE_FALSE(other);
    CHECK(other.error().code == Errc::conflict);
    CHECK(tree.get("gold/schemata") == "L3:0=fffff;1=fffff\nMB:0=100;1=100\n");
    REQUIRE(remove_resctrl_group(*group));
    CHECK(path_exists(group->directory));
}

TEST_CASE("the root's class and a monitoring group") {
    const Tree tree;
    const ResctrlRequest request{.name = "/", .is_shared = true, .monitor = "c1"};
    const auto group = plan_resctrl_group(tree.root, request);
    REQUIRE(group);
    CHECK(group->directory == tree.root);
    CHECK(group->monitor_directory == tree.root + "/mon_groups/c1");
    REQUIRE(create_directories(tree.root + "/mon_groups"));
    REQUIRE(create_resctrl_group(tree.root, request, *group));
    REQUIRE(path_exists(group->monitor_directory));
    tree.put("mon_groups/c1/tasks", "");
    REQUIRE(join_resctrl_group(tree.root, *group, 12));
    CHECK(tree.get("tasks") == "12");
    CHECK(tree.get("mon_groups/c1/tasks") == "12");
    REQUIRE(remove_tree(group->monitor_directory + "/tasks"));
    REQUIRE(remove_resctrl_group(*group));
    CHECK_FALSE(path_exists(group->monitor_directory));
    CHECK(path_exists(tree.root + "/schemata"));
}

TEST_CASE("a name that leaves the folder is refused") {
    const Tree tree;
    for (const auto* name : {"", ".", "..", "a/b", "/a"})
        CHECK_FALSE(plan_resctrl_group(tree.root, {.name = name}));
}

TEST_CASE("a refusal carries the kernel's own words, and leaves nothing of ours") {
    const Tree tree;
    tree.put("info/last_cmd_status", "Mask out of range\n");
    REQUIRE(create_directories(tree.root + "/full"));
    // Takes no write, as a schemata file whose mask is wrong.
    REQUIRE(::symlink("/dev/full", (tree.root + "/full/schemata").c_str()) == 0);
    const auto refused =
        write_resctrl_schemata(tree.root, {.directory = tree.root + "/full"}, {"L3:0=0"});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().to_string().find("Mask out of range") != std::string::npos);
    const ResctrlRequest request{.name = "new", .schemata = {"L3:0=0"}};
    const auto group = plan_resctrl_group(tree.root, request);
    REQUIRE(group);
    CHECK_FALSE(create_resctrl_group(tree.root, request, *group));
    CHECK_FALSE(path_exists(group->directory));
}

TEST_CASE("schemata are compared by what they say") {
    const std::string present = "    L3:0=00ff;1=c0\n    MB:0= 20;1=70\n";
    CHECK(schemata_agree(present, {"L3:1=C0;0=ff"}));
    CHECK(schemata_agree(present, {"MB:0=20", "L3:0=ff"}));
    CHECK(schemata_agree(present, {}));
    CHECK_FALSE(schemata_agree(present, {"L3:0=fe"}));
    CHECK_FALSE(schemata_agree(present, {"L3:2=ff"}));
    CHECK_FALSE(schemata_agree(present, {"L2:0=ff"}));
    CHECK_FALSE(schemata_agree(present, {"nonsense"}));
}

TEST_CASE("statistics come from info, schemata and mon_data") {
    const Tree tree;
    tree.make_class("c1");
    tree.put("c1/mon_data/mon_L3_00/llc_occupancy", "4096\n");
    tree.put("c1/mon_data/mon_L3_00/mbm_total_bytes", "10\n");
    tree.put("c1/mon_data/mon_L3_00/mbm_local_bytes", "Unavailable\n");
    tree.put("c1/mon_data/mon_L3_01/llc_occupancy", "8192\n");
    const auto stats = read_resctrl_stats(tree.root, {.directory = tree.root + "/c1"});
    REQUIRE(stats);
    REQUIRE(stats->cache);
    CHECK(stats->cache->mask == "fffff");
    CHECK(stats->cache->classes == 16);
    CHECK(stats->bandwidth->granularity == 10);
    CHECK(stats->root_schemata == std::vector<std::string>{"L3:0=fffff;1=fffff", "MB:0=100;1=100"});
    REQUIRE(stats->monitors.size() == 2);
    CHECK(stats->monitors[0].cache_bytes == 4096);
    CHECK(stats->monitors[0].total_bytes == 10);
    CHECK_FALSE(stats->monitors[0].local_bytes);
    CHECK(stats->monitors[1].cache_bytes == 8192);
}
