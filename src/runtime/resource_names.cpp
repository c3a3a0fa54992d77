#include "runtime/resource_names.hpp"

#include <array>

namespace hull::runtime {
namespace {

struct Name {
    std::string_view file;   ///< begins with this
    std::string_view field;  ///< of linux.resources
};

/// The first that fits counts.
constexpr std::array kNames = {
    Name{"memory.limit_in_bytes", "memory.limit"},
    Name{"memory.max", "memory.limit"},
    Name{"memory.memsw.limit_in_bytes", "memory.swap"},
    Name{"memory.swap.max", "memory.swap"},
    Name{"memory.soft_limit_in_bytes", "memory.reservation"},
    Name{"memory.low", "memory.reservation"},
    Name{"memory.kmem.tcp", "memory.kernelTCP"},
    Name{"memory.kmem", "memory.kernel"},
    Name{"memory.swappiness", "memory.swappiness"},
    Name{"memory.oom_control", "memory.disableOOMKiller"},
    Name{"memory.use_hierarchy", "memory.useHierarchy"},
    Name{"cpu.shares", "cpu.shares"},
    Name{"cpu.weight", "cpu.shares"},
    Name{"cpu.cfs_quota_us", "cpu.quota"},
    Name{"cpu.cfs_period_us", "cpu.period"},
    Name{"cpu.cfs_burst_us", "cpu.burst"},
    Name{"cpu.max.burst", "cpu.burst"},
    Name{"cpu.max", "cpu.quota"},
    Name{"cpu.rt_runtime_us", "cpu.realtimeRuntime"},
    Name{"cpu.rt_period_us", "cpu.realtimePeriod"},
    Name{"cpu.idle", "cpu.idle"},
    Name{"cpuset.cpus", "cpu.cpus"},
    Name{"cpuset.mems", "cpu.mems"},
    Name{"pids.max", "pids.limit"},
    Name{"blkio.throttle.read_bps_device", "blockIO.throttleReadBpsDevice"},
    Name{"blkio.throttle.write_bps_device", "blockIO.throttleWriteBpsDevice"},
    Name{"blkio.throttle.read_iops_device", "blockIO.throttleReadIOPSDevice"},
    Name{"blkio.throttle.write_iops_device", "blockIO.throttleWriteIOPSDevice"},
    Name{"blkio.leaf_weight", "blockIO.leafWeight"},
    Name{"blkio.weight_device", "blockIO.weightDevice"},
    Name{"blkio.bfq.weight_device", "blockIO.weightDevice"},
    Name{"blkio", "blockIO.weight"},
    Name{"io.weight", "blockIO.weight"},
    Name{"io.bfq.weight", "blockIO.weight"},
    Name{"io.max", "blockIO"},
    Name{"hugetlb.", "hugepageLimits"},
    Name{"net_cls.", "network.classID"},
    Name{"net_prio.", "network.priorities"},
    Name{"rdma.", "rdma"},
    Name{"devices.", "devices"},
};

}  // namespace

std::string resource_path(std::string_view cgroup_file) {
    for (const auto& name : kNames)
        if (cgroup_file.starts_with(name.file)) return "linux.resources." + std::string{name.field};
    return "linux.resources";
}

Error name_resource(Error error) {
    // The room that writes the files knows nothing of config.json: its error names the file.
    constexpr std::string_view kBefore = " to cgroup file ";
    const size_t at = error.message.rfind(kBefore);
    if (at == std::string::npos) return error;
    const std::string file = error.message.substr(at + kBefore.size());
    const bool is_unified = error.to_string().find("unified resource") != std::string::npos;
    return std::move(error).with_context(is_unified ? "linux.resources.unified." + file
                                                    : resource_path(file));
}

}  // namespace hull::runtime
