#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// linux.resources of a config.json: OCI runtime-spec 1.3, config-linux.md, Control groups. Values
// are as they are written; nothing is converted here. A field that is not set was not given.

namespace hull::spec {

/// resources.devices[]; major and minor: not set or -1 is "any".
struct DeviceCgroupRule {
    bool allow = false;
    std::string type;  ///< "a", "b", "c"; empty is "a"
    std::optional<int64_t> major;
    std::optional<int64_t> minor;
    std::string access;  ///< of r, w, m; empty is all
    bool operator==(const DeviceCgroupRule&) const = default;
};

/// resources.memory; bytes, -1 is unlimited.
struct MemoryResources {
    std::optional<int64_t> limit;
    std::optional<int64_t> reservation;
    std::optional<int64_t> swap;  ///< memory and swap together
    std::optional<int64_t> kernel;
    std::optional<int64_t> kernel_tcp;
    std::optional<uint64_t> swappiness;
    std::optional<bool> disable_oom_killer;
    std::optional<bool> use_hierarchy;
    std::optional<bool> check_before_update;
    bool operator==(const MemoryResources&) const = default;
};

/// resources.cpu; times in microseconds.
struct CpuResources {
    std::optional<uint64_t> shares;
    std::optional<int64_t> quota;
    std::optional<uint64_t> burst;
    std::optional<uint64_t> period;
    std::optional<int64_t> realtime_runtime;
    std::optional<uint64_t> realtime_period;
    std::optional<std::string> cpus;
    std::optional<std::string> mems;
    std::optional<int64_t> idle;
    bool operator==(const CpuResources&) const = default;
};

/// resources.blockIO.weightDevice[]
struct WeightDevice {
    int64_t major = 0;
    int64_t minor = 0;
    std::optional<uint16_t> weight;
    std::optional<uint16_t> leaf_weight;
    bool operator==(const WeightDevice&) const = default;
};

/// resources.blockIO.throttle…Device[]; bytes or operations per second.
struct ThrottleDevice {
    int64_t major = 0;
    int64_t minor = 0;
    uint64_t rate = 0;
    bool operator==(const ThrottleDevice&) const = default;
};

struct BlockIoResources {
    std::optional<uint16_t> weight;
    std::optional<uint16_t> leaf_weight;
    std::vector<WeightDevice> weight_devices;
    std::vector<ThrottleDevice> throttle_read_bps;
    std::vector<ThrottleDevice> throttle_write_bps;
    std::vector<ThrottleDevice> throttle_read_iops;
    std::vector<ThrottleDevice> throttle_write_iops;
    bool operator==(const BlockIoResources&) const = default;
};

/// resources.hugepageLimits[]
struct HugepageLimit {
    std::string page_size;  ///< "2MB", "1GB", "64KB"
    uint64_t limit = 0;     ///< bytes
    bool operator==(const HugepageLimit&) const = default;
};

struct InterfacePriority {
    std::string name;
    uint32_t priority = 0;
    bool operator==(const InterfacePriority&) const = default;
};
struct NetworkResources {
    std::optional<uint32_t> class_id;
    std::vector<InterfacePriority> priorities;
    bool operator==(const NetworkResources&) const = default;
};

/// resources.rdma[DEVICE]
struct RdmaLimit {
    std::string device;
    std::optional<uint32_t> hca_handles;
    std::optional<uint32_t> hca_objects;
    bool operator==(const RdmaLimit&) const = default;
};

/// linux.resources
struct Resources {
    std::vector<DeviceCgroupRule> devices;
    std::optional<MemoryResources> memory;
    std::optional<CpuResources> cpu;
    std::optional<int64_t> pids_limit;  ///< pids.limit; -1 is unlimited
    std::optional<BlockIoResources> block_io;
    std::vector<HugepageLimit> hugepage_limits;
    std::optional<NetworkResources> network;
    std::vector<RdmaLimit> rdma;
    std::vector<std::pair<std::string, std::string>> unified;  ///< v2 file and content
    bool operator==(const Resources&) const = default;
};

}  // namespace hull::spec
