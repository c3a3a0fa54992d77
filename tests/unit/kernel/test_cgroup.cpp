#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "kernel/cgroup.hpp"
#include "kernel/cgroup_tree.hpp"
#include "kernel/cgroup_v1.hpp"
#include "kernel/cgroup_v2.hpp"

using namespace hull;
using namespace hull::kernel;

namespace {

constexpr const char* kHybridMounts =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
    "42 23 0:39 / /mnt/with\\040blank rw - ext4 /dev/sda rw\n";
constexpr const char* kHybridOwn =
    "9:name=systemd:/user.slice\n8:memory:/a:b\n1:cpuacct,cpu:/\n0::/init.scope\n";

/// A directory with the files of a cgroup, as plain files.
class FakeCgroup {
  public:
    FakeCgroup() {
        std::string pattern = "/tmp/hull-test-cgroup-XXXXXX";
        REQUIRE(mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
        directory_ = std::move(*open_path(path_, O_PATH | O_DIRECTORY));
    }
    ~FakeCgroup() { (void)remove_tree(path_); }
    FakeCgroup(const FakeCgroup&) = delete;
    FakeCgroup& operator=(const FakeCgroup&) = delete;

    void add(const std::string& file, const std::string& text = "") const {
        REQUIRE(write_file_atomically(join_path(path_, file), text).has_value());
    }
    std::string get(const std::string& file) const {
        auto text = read_file(join_path(path_, file));
        return text ? *text : "<missing>";
    }
    int fd() const { return directory_.get(); }
    const std::string& path() const { return path_; }

  private:
    std::string path_;
    Fd directory_;
};

}  // namespace

TEST_CASE("a hybrid layout is read from mountinfo and the own cgroup list") {
    auto layout = parse_cgroup_layout(kHybridMounts, kHybridOwn);
    REQUIRE(layout.has_value());
    CHECK(layout->mode() == CgroupMode::hybrid);
    REQUIRE(layout->v1.size() == 3);
    const auto* memory = layout->find_v1("memory");
    REQUIRE(memory != nullptr);
    CHECK(memory->mount_point == "/sys/fs/cgroup/memory");
    CHECK(memory->own_path == "/a:b");
    const auto* cpu = layout->find_v1("cpuacct");
    REQUIRE(cpu != nullptr);
    CHECK(cpu->mount_point == "/sys/fs/cgroup/cpu,cpuacct");
    CHECK(cpu->name() == "cpuacct,cpu");
    CHECK(layout->find_v1("pids") == nullptr);
    REQUIRE(layout->v2.has_value());
    CHECK(layout->v2->mount_point == "/sys/fs/cgroup/unified");
    CHECK(layout->v2->own_path == "/init.scope");
}

TEST_CASE("a layout without v1 controllers is pure v2, one without any mount is none") {
    auto v2 =
        parse_cgroup_layout("29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n",
                            "0::/user.slice/session-1.scope\n");
    REQUIRE(v2.has_value());
    CHECK(v2->mode() == CgroupMode::v2);
    CHECK(v2->v2->mount_point == "/sys/fs/cgroup");
    auto none = parse_cgroup_layout("", "4:memory:/\n0::/\n");
    REQUIRE(none.has_value());
    CHECK(none->mode() == CgroupMode::none);
}

TEST_CASE("the mount that shows a whole hierarchy is preferred to one of a part") {
    auto layout = parse_cgroup_layout(
        "1 0 0:1 /part /elsewhere rw - cgroup cgroup rw,memory\n"
        "2 0 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
        "3:memory:/\n");
    REQUIRE(layout.has_value());
    CHECK(layout->find_v1("memory")->mount_point == "/sys/fs/cgroup/memory");
}

TEST_CASE("malformed mountinfo and cgroup lines are refused") {
    CHECK_FALSE(parse_cgroup_layout("31 23 0:28 / /x rw\n", "").has_value());
    CHECK_FALSE(parse_cgroup_layout("1 2 / - cgroup cgroup rw,cpu\n", "").has_value());
    CHECK_FALSE(parse_cgroup_layout("", "no colons\n").has_value());
}

TEST_CASE("cpu shares become weights that keep both ends and the default") {
    CHECK(shares_to_weight(0) == 0);
    CHECK(shares_to_weight(1) == 1);
    CHECK(shares_to_weight(2) == 1);
    CHECK(shares_to_weight(1024) == 100);
    CHECK(shares_to_weight(262144) == 10000);
    CHECK(shares_to_weight(500000) == 10000);
    uint64_t before = 0;
    for (uint64_t shares = 2; shares <= 262144; shares *= 2) {
        CHECK(shares_to_weight(shares) >= before);
        before = shares_to_weight(shares);
    }
}

TEST_CASE("block io weights become io weights") {
    CHECK(block_weight_to_io_weight(0) == 0);
    CHECK(block_weight_to_io_weight(10) == 1);
    CHECK(block_weight_to_io_weight(1000) == 10000);
}

TEST_CASE("memory and swap together become swap alone") {
    auto swap = [](std::optional<int64_t> both, std::optional<int64_t> memory) {
        return swap_to_v2(both, memory);
    };
    CHECK(swap(300, 100).value() == 200);
    CHECK(swap(100, 100).value() == 0);
    CHECK(swap(-1, 100).value() == -1);
    CHECK_FALSE(swap(std::nullopt, 100).value().has_value());
    CHECK_FALSE(swap(0, 100).value().has_value());
    CHECK(swap(std::nullopt, -1).value() == -1);
    CHECK(swap(50, 100).error().code == Errc::invalid);
    CHECK(swap(50, std::nullopt).error().code == Errc::invalid);
    CHECK(swap(50, -1).error().code == Errc::invalid);
}

TEST_CASE("cpu.max keeps what is not set") {
    CHECK(cpu_max_text({.quota = 50000}, "") == "50000 100000");
    CHECK(cpu_max_text({.quota = -1}, "20000 50000") == "max 50000");
    CHECK(cpu_max_text({.period = 20000}, "10000 100000") == "10000 20000");
    CHECK(cpu_max_text({.period = 20000}, "") == "max 20000");
}

TEST_CASE("limits are known as such, empty resources are none") {
    CgroupResources resources;
    CHECK_FALSE(resources.has_limits());
    resources.memory.disable_oom_killer = false;
    resources.cpu.shares = 0;
    resources.pids_limit = 0;
    CHECK_FALSE(resources.has_limits());
    resources.pids_limit = -1;
    CHECK(resources.has_limits());
    resources.block_io.weight = 100;
    auto needed = resources.needed_controllers();
    CHECK(needed == std::vector<std::string_view>{"pids", "blkio"});
}

TEST_CASE("v1 raises memory and swap in the order that the kernel allows") {
    FakeCgroup memory;
    memory.add("memory.limit_in_bytes", "100\n");
    memory.add("memory.memsw.limit_in_bytes", "100\n");
    memory.add("memory.usage_in_bytes", "10\n");
    memory.add("memory.oom_control");
    std::vector<ControllerDirectory> directories = {{"memory", memory.fd()}};
    CgroupResources resources;
    resources.memory = {.limit = 200, .swap = 400};
    REQUIRE(apply_v1_resources(directories, resources, {.is_new = true}).has_value());
    CHECK(memory.get("memory.limit_in_bytes").starts_with("200"));
    CHECK(memory.get("memory.memsw.limit_in_bytes").starts_with("400"));

    resources.memory = {.limit = 5, .check_before_update = true};
    auto refused = apply_v1_resources(directories, resources, {});
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::conflict);
    CHECK(refused.error().message.find("10 bytes in use") != std::string::npos);
}

TEST_CASE("v1 writes every other resource to its file") {
    FakeCgroup all;
    for (const char* file :
         {"cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us", "cpu.idle",
          "cpuset.cpus", "cpuset.mems", "pids.max", "blkio.weight", "blkio.weight_device",
          "blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device",
          "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.rsvd.limit_in_bytes", "net_cls.classid",
          "net_prio.ifpriomap", "rdma.max", "memory.swappiness", "memory.soft_limit_in_bytes"})
        all.add(file);
    std::vector<ControllerDirectory> directories = {
        {"cpu,cpuacct", all.fd()}, {"cpuset", all.fd()},  {"pids", all.fd()},
        {"blkio", all.fd()},       {"hugetlb", all.fd()}, {"net_cls,net_prio", all.fd()},
        {"rdma", all.fd()},        {"memory", all.fd()}};
    CgroupResources resources;
    resources.memory = {.reservation = 7, .swappiness = 60};
    resources.cpu = {.shares = 512,
                     .quota = 20000,
                     .period = 50000,
                     .burst = 1000,
                     .cpus = "0-1",
                     .mems = "0",
                     .idle = 1};
    resources.pids_limit = -1;
    resources.block_io = {.weight = 300,
                          .device_weights = {{.major = 8, .minor = 0, .weight = 500}},
                          .read_bytes = {{8, 0, 1048576}},
                          .write_operations = {{8, 16, 100}}};
    resources.hugepages = {{"2MB", 4194304}};
    resources.network_class = 0x100001;
    resources.network_priorities = {{"eth0", 5}};
    resources.rdma = {{.device = "mlx5_0", .handles = 2}};
    auto applied = apply_v1_resources(directories, resources, {.is_new = true});
    REQUIRE_MESSAGE(applied.has_value(), applied.error().to_string());
    CHECK(all.get("cpu.shares") == "512");
    CHECK(all.get("cpu.cfs_quota_us") == "20000");
    CHECK(all.get("cpu.cfs_period_us") == "50000");
    CHECK(all.get("cpu.cfs_burst_us") == "1000");
    CHECK(all.get("cpu.idle") == "1");
    CHECK(all.get("cpuset.cpus") == "0-1");
    CHECK(all.get("pids.max") == "max");
    CHECK(all.get("blkio.weight") == "300");
    CHECK(all.get("blkio.weight_device") == "8:0 500");
    CHECK(all.get("blkio.throttle.read_bps_device") == "8:0 1048576");
    CHECK(all.get("blkio.throttle.write_iops_device") == "8:16 100");
    CHECK(all.get("hugetlb.2MB.rsvd.limit_in_bytes") == "4194304");
    CHECK(all.get("net_cls.classid") == "1048577");
    CHECK(all.get("net_prio.ifpriomap") == "eth0 5");
    CHECK(all.get("rdma.max") == "mlx5_0 hca_handle=2");
    CHECK(all.get("memory.swappiness") == "60");
    CHECK(all.get("memory.soft_limit_in_bytes") == "7");
}

TEST_CASE("v2 writes every resource to its file, but none of a controller on v1") {
    FakeCgroup all;
    for (const char* file :
         {"memory.max", "memory.low", "memory.swap.max", "cpu.weight", "cpu.max", "cpu.max.burst",
          "cpuset.cpus", "pids.max", "io.weight", "io.max", "hugetlb.2MB.max", "memory.high"})
        all.add(file);
    CgroupResources resources;
    resources.memory = {.limit = 100, .reservation = 50, .swap = 300};
    resources.cpu = {.shares = 1024, .quota = 50000, .burst = 10, .cpus = "0"};
    resources.pids_limit = 20;
    resources.block_io = {.weight = 10, .write_bytes = {{8, 0, 0}}};
    resources.hugepages = {{"2MB", 2097152}};
    resources.unified = {{"memory.high", "90"}};
    auto applied = apply_v2_resources(all.fd(), {}, resources, {.is_new = true});
    REQUIRE_MESSAGE(applied.has_value(), applied.error().to_string());
    CHECK(all.get("memory.max") == "100");
    CHECK(all.get("memory.low") == "50");
    CHECK(all.get("memory.swap.max") == "200");
    CHECK(all.get("cpu.weight") == "100");
    CHECK(all.get("cpu.max") == "50000 100000");
    CHECK(all.get("pids.max") == "20");
    CHECK(all.get("io.weight") == "default 1");
    CHECK(all.get("io.max") == "8:0 wbps=max");
    CHECK(all.get("hugetlb.2MB.max") == "2097152");
    CHECK(all.get("memory.high") == "90");

    FakeCgroup beside;
    beside.add("hugetlb.2MB.max");
    std::vector<ControllerDirectory> v1 = {
        {"memory", -1}, {"cpu,cpuacct", -1}, {"cpuset", -1}, {"pids", -1}, {"blkio", -1}};
    resources.unified.clear();
    applied = apply_v2_resources(beside.fd(), v1, resources, {.is_new = true});
    REQUIRE_MESSAGE(applied.has_value(), applied.error().to_string());
    CHECK(beside.get("hugetlb.2MB.max") == "2097152");
    CHECK(beside.get("memory.max") == "<missing>");
}

TEST_CASE("a resource whose file is missing is unsupported, and the error names the file") {
    FakeCgroup empty;
    CgroupResources resources;
    resources.pids_limit = 5;
    auto refused = apply_v2_resources(empty.fd(), {}, resources, {});
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::unsupported);
    CHECK(refused.error().message.find("pids.max") != std::string::npos);
}

TEST_CASE("a unified key that is a path is refused") {
    FakeCgroup empty;
    CgroupResources resources;
    for (const char* key : {"../memory.max", "", "..", "/x"}) {
        resources.unified = {{key, "1"}};
        auto refused = apply_v2_resources(empty.fd(), {}, resources, {});
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == Errc::invalid);
    }
}

TEST_CASE("a new cpuset inherits what its parent has, level by level") {
    FakeCgroup parent;
    parent.add("cpuset.cpus", "0-3\n");
    parent.add("cpuset.mems", "0\n");
    const std::string child = join_path(parent.path(), "child");
    REQUIRE(create_directories(child).has_value());
    const auto write = [&](const char* file, const char* text) {
        REQUIRE(write_file_atomically(join_path(child, file), text).has_value());
    };
    const auto read = [&](const char* file) {
        return read_file(join_path(child, file)).value_or("<missing>");
    };
    write("cpuset.cpus", "\n");
    write("cpuset.mems", "1\n");
    const Fd directory = std::move(*open_path(child, O_PATH | O_DIRECTORY));
    REQUIRE(inherit_cpuset(directory.get(), {}).has_value());
    CHECK(read("cpuset.cpus").starts_with("0-3"));
    CHECK(read("cpuset.mems") == "1\n");
    REQUIRE(inherit_cpuset(directory.get(), {.is_new = true}).has_value());
    CHECK(read("cpuset.mems").starts_with("0"));
}

TEST_CASE("controllers are handed down only where one is missing") {
    FakeCgroup root;
    root.add("cgroup.subtree_control", "cpu memory\n");
    REQUIRE(mkdir(join_path(root.path(), "hull").c_str(), 0755) == 0);
    root.add("hull/cgroup.subtree_control", "cpu memory\n");
    CgroupV2Hierarchy hierarchy{.mount_point = root.path(), .mount_root = "/"};
    const std::string leaf = join_path(root.path(), "hull/one");
    REQUIRE(enable_v2_controllers(hierarchy, leaf, {"cpu", "memory"}).has_value());
    CHECK(root.get("hull/cgroup.subtree_control") == "cpu memory\n");
    REQUIRE(enable_v2_controllers(hierarchy, leaf, {"cpu", "pids"}).has_value());
    CHECK(root.get("cgroup.subtree_control").starts_with("+pids"));
    CHECK(root.get("hull/cgroup.subtree_control").starts_with("+pids"));
}

TEST_CASE("nested cgroups are walked, and removed from the leaves up") {
    FakeCgroup root;
    REQUIRE(create_directories(join_path(root.path(), "a/b/c")).has_value());
    root.add("cgroup.procs", "1\n2\n");
    root.add("a/b/cgroup.procs", "3\n0\n");
    auto all = cgroup_processes(root.path(), true);
    REQUIRE(all.has_value());
    CHECK(*all == std::vector<pid_t>{1, 2, 3});
    CHECK(cgroup_processes(root.path(), false).value() == std::vector<pid_t>{1, 2});
    REQUIRE(unlink(join_path(root.path(), "a/b/cgroup.procs").c_str()) == 0);
    CHECK(try_remove_cgroup(join_path(root.path(), "a")).value());
    CHECK_FALSE(path_exists(join_path(root.path(), "a")));
    CHECK(try_remove_cgroup(join_path(root.path(), "a")).value());
}

TEST_CASE("statistics files are parsed, and unknown lines left out") {
    auto flat = parse_flat_keyed("usage_usec 12\nbad\nanon x\nfile 7\n");
    CHECK(flat == std::vector<std::pair<std::string, uint64_t>>{{"usage_usec", 12}, {"file", 7}});
    auto pressure = parse_pressure(
        "some avg10=1.50 avg60=0.25 avg300=0.00 total=42\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
        "total=7\n");
    REQUIRE(pressure.has_value());
    CHECK(pressure->some.average_10s == doctest::Approx(1.5));
    CHECK(pressure->some.total == 42);
    CHECK(pressure->full.total == 7);
    CHECK_FALSE(parse_pressure("").has_value());
    auto blkio = parse_blkio_v1("8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n");
    REQUIRE(blkio.size() == 2);
    CHECK(blkio[0].operation == "Read");
    auto io = parse_io_stat("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n253:1\n");
    REQUIRE(io.service_bytes.size() == 3);
    CHECK(io.service_bytes[1].operation == "Write");
    CHECK(io.serviced[2].value == 6);
    auto rdma =
        parse_rdma("mlx5_0 hca_handle=1 hca_object=2\n", "mlx5_0 hca_handle=9 hca_object=max\n");
    REQUIRE(rdma.size() == 1);
    CHECK(rdma[0].handles_limit == 9);
    CHECK(rdma[0].objects_limit == UINT64_MAX);
}

TEST_CASE("the table of CPU times has a column for each side") {
    CpuStats stats;
    parse_usage_all("cpu user system\n0 1683956 4000000\n1 7 x\n1 0 9\n", stats);
    CHECK(stats.per_cpu_user == std::vector<uint64_t>{1683956, 0});
    CHECK(stats.per_cpu_kernel == std::vector<uint64_t>{4000000, 9});
}
