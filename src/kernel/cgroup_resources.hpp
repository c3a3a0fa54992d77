#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace hull::kernel {

/// Memory, in bytes; -1 is "no limit". A field that is not set leaves the kernel's value alone.
struct MemoryResources {
    std::optional<int64_t> limit;
    std::optional<int64_t> reservation;
    /// Memory and swap together, v1's notion; on v2 the limit is taken off (swap_to_v2()).
    std::optional<int64_t> swap;
    std::optional<int64_t> kernel;           ///< v1; ignored by kernels since 5.16 and on v2
    std::optional<int64_t> kernel_tcp;       ///< v1
    std::optional<uint64_t> swappiness;      ///< 0-100, v1
    std::optional<bool> disable_oom_killer;  ///< v1
    std::optional<bool> use_hierarchy;       ///< v1; always so since kernel 5.11
    /// Refuse a limit that is below what is used now.
    bool check_before_update = false;
};

/// CPU time. Quota and period in microseconds; quota -1 is "no limit".
struct CpuResources {
    std::optional<uint64_t> shares;  ///< v1's 2-262144; on v2 shares_to_weight()
    std::optional<int64_t> quota;
    std::optional<uint64_t> period;
    std::optional<uint64_t> burst;
    std::optional<int64_t> realtime_runtime;  ///< v1
    std::optional<uint64_t> realtime_period;  ///< v1
    std::optional<std::string> cpus;          ///< "0-3,7"
    std::optional<std::string> mems;
    std::optional<int64_t> idle;  ///< 1: only when nothing else wants to run (kernel 5.15)
};

/// A limit of one block device.
struct DeviceRate {
    int64_t major = 0;
    int64_t minor = 0;
    uint64_t rate = 0;  ///< bytes or operations per second; 0 lifts the limit
};
struct DeviceWeight {
    int64_t major = 0;
    int64_t minor = 0;
    std::optional<uint16_t> weight;
    std::optional<uint16_t> leaf_weight;  ///< v1, kernels before 5.0
};
struct BlockIoResources {
    std::optional<uint16_t> weight;  ///< 10-1000
    std::optional<uint16_t> leaf_weight;
    std::vector<DeviceWeight> device_weights;
    std::vector<DeviceRate> read_bytes;
    std::vector<DeviceRate> write_bytes;
    std::vector<DeviceRate> read_operations;
    std::vector<DeviceRate> write_operations;
};

struct HugepageLimit {
    std::string page_size;  ///< "2MB", "1GB"
    uint64_t limit = 0;     ///< bytes; also the limit of reservations
};
struct InterfacePriority {
    std::string name;
    uint32_t priority = 0;
};
struct RdmaLimit {
    std::string device;
    std::optional<uint32_t> handles;
    std::optional<uint32_t> objects;
};

/// Everything that can be limited. What is not set is not touched.
struct CgroupResources {
    MemoryResources memory;
    CpuResources cpu;
    std::optional<int64_t> pids_limit;  ///< -1: no limit; 0: left alone, as runc and crun have it
    BlockIoResources block_io;
    std::vector<HugepageLimit> hugepages;
    std::optional<uint32_t> network_class;              ///< net_cls.classid, v1
    std::vector<InterfacePriority> network_priorities;  ///< v1
    std::vector<RdmaLimit> rdma;
    /// v2 files by name, written as they are, last: {"memory.high", "1073741824"}.
    std::vector<std::pair<std::string, std::string>> unified;

    /// True when any limit is asked for: then a missing cgroup is an error.
    bool has_limits() const;
    /// v1 names of the controllers that what is set needs: {"memory", "blkio"}. The unified map is
    /// not among them.
    std::vector<std::string_view> needed_controllers() const;
};

/// One line of a device policy.
struct DeviceRule {
    bool allow = false;
    char type = 'a';     ///< 'a' all, 'b' block, 'c' character
    int64_t major = -1;  ///< -1: any
    int64_t minor = -1;
    std::string access = "rwm";  ///< some of r, w, m (mknod)
};
/// What every container may use whatever its rules say: mknod of any node, null, zero, full,
/// random, urandom, tty, ptmx and pts. Runtimes append these to the rules of the configuration.
std::vector<DeviceRule> default_device_rules();

/// cpu.weight (1-10000) of cpu.shares (2-262144), by the curve that maps both ends and the default
/// 1024 onto 100; runc and crun have used it since 2025. 0 means "not set" and stays 0.
uint64_t shares_to_weight(uint64_t shares);
/// io.weight (1-10000) of blkio.weight (10-1000), linear at both ends. 0 stays 0.
uint64_t block_weight_to_io_weight(uint64_t weight);
/// memory.swap.max of v1's memory+swap value: swap less limit; -1 is no limit.
/// @errors invalid: below the memory limit, or set without one
Result<std::optional<int64_t>> swap_to_v2(std::optional<int64_t> memory_and_swap,
                                          std::optional<int64_t> memory);

/// "mlx5_0 hca_handle=2 hca_object=2000" for rdma.max.
std::string rdma_text(const RdmaLimit& limit);

}  // namespace hull::kernel
