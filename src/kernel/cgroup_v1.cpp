#include "kernel/cgroup_v1.hpp"

#include <cerrno>

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/text.hpp"

namespace hull::kernel {
namespace {

uint64_t read_number(int directory, const std::string& file) {
    return parse_number<uint64_t>(trim(read_cgroup_file_or_empty(directory, file))).value_or(0);
}

/// Adds what is in use to a refusal of a limit below it.
Result<void> write_memory_limit(int directory, const std::string& file, int64_t limit) {
    auto written = write_cgroup_file(directory, file, fmt::format("{}", limit));
    if (written || written.error().sys_errno != EBUSY) return written;
    return fail(std::move(written).error().with_hint(
        fmt::format("{} bytes are in use and cannot be freed; the highest use was {}",
                    read_number(directory, "memory.usage_in_bytes"),
                    read_number(directory, "memory.max_usage_in_bytes"))));
}

/// memory.limit_in_bytes may never be above memory.memsw.limit_in_bytes, so the order depends on
/// which way the limits move.
Result<void> apply_memory_and_swap(int directory, const MemoryResources& memory) {
    const int64_t limit = memory.limit.value_or(0);
    int64_t swap = memory.swap.value_or(0);
    if (limit == -1 && swap == 0 && has_cgroup_file(directory, "memory.memsw.limit_in_bytes"))
        swap = -1;
    if (limit > 0 && swap > 0 && swap < limit)
        return fail(Errc::invalid, "memory swap limit is below the memory limit",
                    "swap counts memory and swap together: give at least the memory limit");
    if (memory.check_before_update && limit > 0) {
        const uint64_t used = read_number(directory, "memory.usage_in_bytes");
        if (static_cast<uint64_t>(limit) < used)
            return fail(Errc::conflict,
                        fmt::format("memory limit {} is below the {} bytes in use", limit, used),
                        "free memory first, or leave checkBeforeUpdate out");
    }
    bool swap_first = false;
    if (limit != 0 && swap != 0) {
        const uint64_t current = read_number(directory, "memory.limit_in_bytes");
        swap_first = swap == -1 || current < static_cast<uint64_t>(swap);
    }
    if (swap_first) TRY(write_memory_limit(directory, "memory.memsw.limit_in_bytes", swap));
    if (limit != 0) TRY(write_memory_limit(directory, "memory.limit_in_bytes", limit));
    if (swap != 0 && !swap_first)
        TRY(write_memory_limit(directory, "memory.memsw.limit_in_bytes", swap));
    return {};
}

Result<void> apply_memory(int directory, const MemoryResources& memory, CgroupApply apply) {
    // Once turned on it cannot be changed with children; kernels since 5.11 know only "1".
    if (memory.use_hierarchy &&
        read_number(directory, "memory.use_hierarchy") != (*memory.use_hierarchy ? 1U : 0U))
        TRY(write_cgroup_file(directory, "memory.use_hierarchy",
                              *memory.use_hierarchy ? "1" : "0"));
    TRY(apply_memory_and_swap(directory, memory));
    if (memory.reservation.value_or(0) != 0)
        TRY(write_cgroup_file(directory, "memory.soft_limit_in_bytes",
                              fmt::format("{}", *memory.reservation)));
    if (memory.kernel_tcp.value_or(0) != 0)
        TRY(write_cgroup_file(directory, "memory.kmem.tcp.limit_in_bytes",
                              fmt::format("{}", *memory.kernel_tcp)));
    if (memory.disable_oom_killer && (*memory.disable_oom_killer || !apply.is_new))
        TRY(write_cgroup_file(directory, "memory.oom_control",
                              *memory.disable_oom_killer ? "1" : "0"));
    if (memory.swappiness) {
        if (*memory.swappiness > 100)
            return fail(Errc::invalid,
                        fmt::format("memory swappiness {} is over 100", *memory.swappiness),
                        "give 0 to 100");
        TRY(write_cgroup_file(directory, "memory.swappiness",
                              fmt::format("{}", *memory.swappiness)));
    }
    return {};
}

using FileValues = std::vector<std::pair<std::string, std::string>>;

/// Files of which each write is checked against the others: what cannot go first goes after them.
Result<void> write_in_some_order(int directory, FileValues pending) {
    while (!pending.empty()) {
        FileValues refused;
        std::optional<Error> first;
        for (auto& [file, value] : pending) {
            auto written = write_cgroup_file(directory, file, value);
            if (written) continue;
            if (written.error().sys_errno != EINVAL) return written;
            if (!first) first = std::move(written).error();
            refused.emplace_back(file, value);
        }
        if (refused.size() == pending.size()) return fail(std::move(*first));
        pending = std::move(refused);
    }
    return {};
}

/// quota <= parent's, burst <= quota, and the quotient of quota and period.
Result<void> apply_bandwidth(int directory, const CpuResources& cpu) {
    FileValues pending;
    if (cpu.period.value_or(0) != 0)
        pending.emplace_back("cpu.cfs_period_us", fmt::format("{}", *cpu.period));
    if (cpu.quota.value_or(0) != 0)
        pending.emplace_back("cpu.cfs_quota_us", fmt::format("{}", *cpu.quota));
    if (cpu.burst) pending.emplace_back("cpu.cfs_burst_us", fmt::format("{}", *cpu.burst));
    return write_in_some_order(directory, std::move(pending));
}

/// The cgroup above must have as much real time as all below it together, and a new one has none.
Result<void> apply_realtime(int directory, const CpuResources& cpu) {
    FileValues pending;
    if (cpu.realtime_period.value_or(0) != 0)
        pending.emplace_back("cpu.rt_period_us", fmt::format("{}", *cpu.realtime_period));
    if (cpu.realtime_runtime.value_or(0) != 0)
        pending.emplace_back("cpu.rt_runtime_us", fmt::format("{}", *cpu.realtime_runtime));
    auto written = write_in_some_order(directory, std::move(pending));
    if (!written && written.error().sys_errno == EINVAL)
        written.error().hint =
            "the cgroup above has less real time: raise its cpu.rt_runtime_us, or set "
            "linux.cgroupsPath to a place directly below the root";
    return written;
}

Result<void> apply_cpu(int directory, const CpuResources& cpu) {
    if (cpu.idle && *cpu.idle == 0) TRY(write_cgroup_file_if_present(directory, "cpu.idle", "0"));
    if (cpu.shares.value_or(0) != 0) {
        if (*cpu.shares < 2 || *cpu.shares > 262144)
            return fail(
                Errc::invalid,
                fmt::format("cpu shares {} are out of range: the minimum allowed cpu-shares "
                            "is 2, the maximum allowed cpu-shares is 262144",
                            *cpu.shares),
                "give 2 to 262144");
        TRY(write_cgroup_file(directory, "cpu.shares", fmt::format("{}", *cpu.shares)));
    }
    TRY(apply_realtime(directory, cpu));
    TRY(apply_bandwidth(directory, cpu));
    if (cpu.idle && *cpu.idle != 0)
        TRY(write_cgroup_file(directory, "cpu.idle", fmt::format("{}", *cpu.idle)));
    return {};
}

Result<void> apply_rates(int directory, const std::string& file,
                         const std::vector<DeviceRate>& rates) {
    for (const auto& rate : rates)
        TRY(write_cgroup_file(directory, file,
                              fmt::format("{}:{} {}", rate.major, rate.minor, rate.rate)));
    return {};
}

Result<void> apply_block_io(int directory, const BlockIoResources& io) {
    const bool needs_weight = io.weight.value_or(0) != 0 || !io.device_weights.empty();
    // The CFQ scheduler's files went with kernel 5.0; BFQ's take the same numbers.
    const std::string prefix =
        needs_weight && !has_cgroup_file(directory, "blkio.weight") ? "blkio.bfq." : "blkio.";
    if (io.weight.value_or(0) != 0)
        TRY(write_cgroup_file(directory, prefix + "weight", fmt::format("{}", *io.weight)));
    if (io.leaf_weight.value_or(0) != 0)
        TRY(write_cgroup_file(directory, "blkio.leaf_weight", fmt::format("{}", *io.leaf_weight)));
    for (const auto& device : io.device_weights) {
        if (device.weight)
            TRY(write_cgroup_file(
                directory, prefix + "weight_device",
                fmt::format("{}:{} {}", device.major, device.minor, *device.weight)));
        if (device.leaf_weight)
            TRY(write_cgroup_file(
                directory, "blkio.leaf_weight_device",
                fmt::format("{}:{} {}", device.major, device.minor, *device.leaf_weight)));
    }
    TRY(apply_rates(directory, "blkio.throttle.read_bps_device", io.read_bytes));
    TRY(apply_rates(directory, "blkio.throttle.write_bps_device", io.write_bytes));
    TRY(apply_rates(directory, "blkio.throttle.read_iops_device", io.read_operations));
    TRY(apply_rates(directory, "blkio.throttle.write_iops_device", io.write_operations));
    return {};
}

Result<void> apply_hugepages(int directory, const std::vector<HugepageLimit>& limits) {
    for (const auto& limit : limits) {
        const std::string value = fmt::format("{}", limit.limit);
        TRY(write_cgroup_file(directory, fmt::format("hugetlb.{}.limit_in_bytes", limit.page_size),
                              value));
        // Reservations are counted since kernel 5.7.
        TRY(write_cgroup_file_if_present(
            directory, fmt::format("hugetlb.{}.rsvd.limit_in_bytes", limit.page_size), value));
    }
    return {};
}

Result<void> apply_network(std::span<const ControllerDirectory> directories,
                           const CgroupResources& resources) {
    if (int directory = find_controller(directories, "net_cls");
        directory >= 0 && resources.network_class.value_or(0) != 0)
        TRY(write_cgroup_file(directory, "net_cls.classid",
                              fmt::format("{}", *resources.network_class)));
    if (int directory = find_controller(directories, "net_prio"); directory >= 0)
        for (const auto& entry : resources.network_priorities)
            TRY(write_cgroup_file(directory, "net_prio.ifpriomap",
                                  fmt::format("{} {}", entry.name, entry.priority)));
    return {};
}

}  // namespace

Result<void> apply_v1_resources(std::span<const ControllerDirectory> directories,
                                const CgroupResources& resources, CgroupApply apply) {
    if (int directory = find_controller(directories, "memory"); directory >= 0)
        TRY(apply_memory(directory, resources.memory, apply));
    if (int directory = find_controller(directories, "cpu"); directory >= 0)
        TRY(apply_cpu(directory, resources.cpu));
    if (int directory = find_controller(directories, "cpuset"); directory >= 0) {
        if (!resources.cpu.cpus.value_or("").empty())
            TRY(write_cgroup_file(directory, "cpuset.cpus", *resources.cpu.cpus));
        if (!resources.cpu.mems.value_or("").empty())
            TRY(write_cgroup_file(directory, "cpuset.mems", *resources.cpu.mems));
    }
    if (int directory = find_controller(directories, "pids");
        directory >= 0 && resources.pids_limit.value_or(0) != 0)
        TRY(write_cgroup_file(directory, "pids.max", limit_text(*resources.pids_limit)));
    if (int directory = find_controller(directories, "blkio"); directory >= 0)
        TRY(apply_block_io(directory, resources.block_io));
    if (int directory = find_controller(directories, "hugetlb"); directory >= 0)
        TRY(apply_hugepages(directory, resources.hugepages));
    TRY(apply_network(directories, resources));
    if (int directory = find_controller(directories, "rdma"); directory >= 0)
        for (const auto& limit : resources.rdma)
            TRY(write_cgroup_file(directory, "rdma.max", rdma_text(limit)));
    return {};
}

Result<void> inherit_cpuset(int child, CgroupApply apply) {
    for (const std::string file : {"cpuset.cpus", "cpuset.mems"}) {
        // What somebody else made keeps what it has. A new one is empty, or (cgroup.clone_children)
        // has the parent's: not looking saves two of the slow opens.
        if (!apply.is_new && !TRY(read_cgroup_file(child, file)).empty()) continue;
        auto inherited = TRY(read_cgroup_file(child, "../" + file));
        if (inherited.empty()) continue;
        TRY(write_cgroup_file(child, file, inherited));
    }
    return {};
}

}  // namespace hull::kernel
