#include "kernel/cgroup_resources.hpp"

#include <cmath>

#include <fmt/format.h>

namespace hull::kernel {

std::vector<std::string_view> CgroupResources::needed_controllers() const {
    std::vector<std::string_view> needed;
    if (memory.limit.value_or(0) != 0 || memory.reservation.value_or(0) != 0 ||
        memory.swap.value_or(0) != 0 || memory.kernel_tcp.value_or(0) != 0 || memory.swappiness ||
        memory.disable_oom_killer.value_or(false) || memory.use_hierarchy)
        needed.push_back("memory");
    if (cpu.shares.value_or(0) != 0 || cpu.quota.value_or(0) != 0 || cpu.period.value_or(0) != 0 ||
        cpu.burst || cpu.realtime_runtime.value_or(0) != 0 ||
        cpu.realtime_period.value_or(0) != 0 || cpu.idle.value_or(0) != 0)
        needed.push_back("cpu");
    if (!cpu.cpus.value_or("").empty() || !cpu.mems.value_or("").empty())
        needed.push_back("cpuset");
    if (pids_limit.value_or(0) != 0) needed.push_back("pids");
    if (block_io.weight.value_or(0) != 0 || block_io.leaf_weight.value_or(0) != 0 ||
        !block_io.device_weights.empty() || !block_io.read_bytes.empty() ||
        !block_io.write_bytes.empty() || !block_io.read_operations.empty() ||
        !block_io.write_operations.empty())
        needed.push_back("blkio");
    if (!hugepages.empty()) needed.push_back("hugetlb");
    if (network_class.value_or(0) != 0) needed.push_back("net_cls");
    if (!network_priorities.empty()) needed.push_back("net_prio");
    if (!rdma.empty()) needed.push_back("rdma");
    return needed;
}

bool CgroupResources::has_limits() const {
    return !needed_controllers().empty() || !unified.empty();
}

std::vector<DeviceRule> default_device_rules() {
    auto device = [](int64_t major, int64_t minor) {
        return DeviceRule{.allow = true, .type = 'c', .major = major, .minor = minor};
    };
    return {
        {.allow = true, .type = 'c', .access = "m"},
        {.allow = true, .type = 'b', .access = "m"},
        device(1, 3),     // null
        device(1, 5),     // zero
        device(1, 7),     // full
        device(1, 8),     // random
        device(1, 9),     // urandom
        device(5, 0),     // tty
        device(5, 2),     // ptmx
        device(136, -1),  // pts
    };
}

uint64_t shares_to_weight(uint64_t shares) {
    if (shares == 0) return 0;
    if (shares <= 2) return 1;
    if (shares >= 262144) return 10000;
    // The quadratic in log2(shares) through (2, 1), (1024, 100) and (262144, 10000).
    const double l = std::log2(static_cast<double>(shares));
    const double exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    return static_cast<uint64_t>(std::ceil(std::pow(10.0, exponent)));
}

uint64_t block_weight_to_io_weight(uint64_t weight) {
    if (weight == 0) return 0;
    if (weight < 10) weight = 10;
    return 1 + (weight - 10) * 9999 / 990;
}

Result<std::optional<int64_t>> swap_to_v2(std::optional<int64_t> memory_and_swap,
                                          std::optional<int64_t> memory) {
    const int64_t both = memory_and_swap.value_or(0);
    const int64_t limit = memory.value_or(0);
    // No limit on memory and none given for swap: v1's kernel took both away together.
    if (both == 0) return limit == -1 ? std::optional<int64_t>(-1) : std::nullopt;
    if (both < 0) return std::optional<int64_t>(-1);
    if (limit <= 0)
        return fail(Errc::invalid, "memory swap limit without a memory limit",
                    "set memory.limit as well: swap counts memory and swap together");
    if (both < limit)
        return fail(Errc::invalid, "memory swap limit is below the memory limit",
                    "swap counts memory and swap together: give at least the memory limit");
    return std::optional<int64_t>(both - limit);
}

std::string rdma_text(const RdmaLimit& limit) {
    std::string text = limit.device;
    if (limit.handles) text += fmt::format(" hca_handle={}", *limit.handles);
    if (limit.objects) text += fmt::format(" hca_object={}", *limit.objects);
    return text;
}

}  // namespace hull::kernel
