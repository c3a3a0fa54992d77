#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hull::kernel {

/// Pressure stall information of one resource (v2): shares in percent, total in microseconds.
struct PressureLine {
    double average_10s = 0;
    double average_60s = 0;
    double average_300s = 0;
    uint64_t total = 0;
};
struct Pressure {
    PressureLine some;
    PressureLine full;
};

/// CPU times in nanoseconds.
struct CpuStats {
    uint64_t total = 0;
    uint64_t user = 0;
    uint64_t kernel = 0;
    std::vector<uint64_t> per_cpu;  ///< v1
    std::vector<uint64_t> per_cpu_user;
    std::vector<uint64_t> per_cpu_kernel;
    uint64_t periods = 0;
    uint64_t throttled_periods = 0;
    uint64_t throttled_time = 0;
    uint64_t burst_periods = 0;
    uint64_t burst_time = 0;
    std::optional<Pressure> pressure;
};

/// Bytes; `limit` UINT64_MAX is "no limit".
struct MemoryCounter {
    uint64_t usage = 0;
    uint64_t max_usage = 0;
    uint64_t limit = 0;
    uint64_t failures = 0;
};
struct MemoryStats {
    MemoryCounter memory;
    MemoryCounter swap;  ///< v1: memory and swap together; v2: swap alone
    MemoryCounter kernel;
    MemoryCounter kernel_tcp;
    uint64_t cache = 0;
    bool use_hierarchy = false;
    uint64_t oom_kills = 0;
    std::vector<std::pair<std::string, uint64_t>> raw;  ///< memory.stat
    std::optional<Pressure> pressure;
};

struct BlockIoEntry {
    uint64_t major = 0;
    uint64_t minor = 0;
    std::string operation;  ///< "Read", "Write", "Sync", "Async", "Discard", "Total"
    uint64_t value = 0;
};
struct BlockIoStats {
    std::vector<BlockIoEntry> service_bytes;
    std::vector<BlockIoEntry> serviced;
    std::vector<BlockIoEntry> queued;
    std::vector<BlockIoEntry> service_time;
    std::vector<BlockIoEntry> wait_time;
    std::vector<BlockIoEntry> merged;
    std::vector<BlockIoEntry> time;
    std::vector<BlockIoEntry> sectors;
    std::optional<Pressure> pressure;
};

struct HugepageStats {
    std::string page_size;
    uint64_t usage = 0;
    uint64_t max_usage = 0;
    uint64_t failures = 0;
};
struct RdmaStats {
    std::string device;
    uint64_t handles = 0;
    uint64_t objects = 0;
    uint64_t handles_limit = 0;
    uint64_t objects_limit = 0;
};

/// What a container uses now. Parts whose controller is missing are zero or empty.
struct CgroupStats {
    CpuStats cpu;
    std::string cpuset_cpus;  ///< effective
    std::string cpuset_mems;
    /// v1: "cpu_exclusive", "sched_relax_domain_level" and the like, as their files are named.
    std::vector<std::pair<std::string_view, int64_t>> cpuset_flags;
    MemoryStats memory;
    uint64_t pids = 0;
    uint64_t pids_limit = 0;  ///< 0: no limit
    BlockIoStats block_io;
    std::vector<HugepageStats> hugepages;
    std::vector<RdmaStats> rdma;
};

/// Parsers of the kernel's files; what does not fit the form is left out, as newer kernels add
/// lines. "key value" lines (memory.stat, cpu.stat, *.events).
std::vector<std::pair<std::string, uint64_t>> parse_flat_keyed(std::string_view text);
/// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same for full.
std::optional<Pressure> parse_pressure(std::string_view text);
/// v1's "8:0 Read 4096" lines; the closing "Total" line is left out.
std::vector<BlockIoEntry> parse_blkio_v1(std::string_view text);
/// v2's io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6".
BlockIoStats parse_io_stat(std::string_view text);

/// v1's cpuacct.usage_all, a table with the columns "cpu user system": into the two vectors.
void parse_usage_all(std::string_view text, CpuStats& stats);

/// rdma.current and rdma.max: "mlx5_0 hca_handle=2 hca_object=2000".
std::vector<RdmaStats> parse_rdma(std::string_view current, std::string_view limits);

}  // namespace hull::kernel
