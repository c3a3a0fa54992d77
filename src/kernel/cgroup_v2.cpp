#include "kernel/cgroup_v2.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace hull::kernel {
namespace {

Result<void> apply_memory(int directory, const MemoryResources& memory) {
    if (memory.check_before_update && memory.limit.value_or(0) > 0) {
        const auto used =
            parse_number<uint64_t>(read_cgroup_file_or_empty(directory, "memory.current"));
        if (used && static_cast<uint64_t>(*memory.limit) < *used)
            return fail(
                Errc::conflict,
                fmt::format("memory limit {} is below the {} bytes in use", *memory.limit, *used),
                "free memory first, or leave checkBeforeUpdate out");
    }
    if (auto swap = TRY(swap_to_v2(memory.swap, memory.limit))) {
        const bool written =
            TRY(write_cgroup_file_if_present(directory, "memory.swap.max", limit_text(*swap)));
        // A kernel without swap accounting has no limit, which is what was asked for.
        if (!written && *swap >= 0)
            return fail(Errc::unsupported, "memory swap limit: this kernel does not count swap",
                        "boot with swapaccount=1, or leave memory.swap out");
    }
    if (memory.limit.value_or(0) != 0)
        TRY(write_cgroup_file(directory, "memory.max", limit_text(*memory.limit)));
    if (memory.reservation.value_or(0) != 0)
        TRY(write_cgroup_file(directory, "memory.low", limit_text(*memory.reservation)));
    if (memory.disable_oom_killer.value_or(false))
        log::warning("disableOOMKiller is ignored: cgroup v2 has no such switch");
    if (memory.kernel_tcp.value_or(0) != 0)
        log::warning("kernelTCP is ignored: cgroup v2 counts it as memory");
    if (memory.swappiness) log::warning("swappiness is ignored: cgroup v2 has none");
    return {};
}

Result<void> apply_cpu(int directory, const CpuResources& cpu, CgroupApply apply) {
    if (cpu.idle && *cpu.idle == 0 && !apply.is_new)
        TRY(write_cgroup_file_if_present(directory, "cpu.idle", "0"));
    if (cpu.shares.value_or(0) != 0)
        TRY(write_cgroup_file(directory, "cpu.weight",
                              fmt::format("{}", shares_to_weight(*cpu.shares))));
    if (cpu.idle && *cpu.idle != 0)
        TRY(write_cgroup_file(directory, "cpu.idle", fmt::format("{}", *cpu.idle)));
    // A burst above the present quota has to wait for the new quota, one below it must go first.
    bool burst_done = !cpu.burst;
    if (cpu.burst) {
        auto written = write_cgroup_file(directory, "cpu.max.burst", fmt::format("{}", *cpu.burst));
        if (!written && written.error().sys_errno != EINVAL) return written;
        burst_done = written.has_value();
    }
    if (cpu.quota.value_or(0) != 0 || cpu.period.value_or(0) != 0) {
        const auto current =
            apply.is_new ? std::string() : read_cgroup_file_or_empty(directory, "cpu.max");
        TRY(write_cgroup_file(directory, "cpu.max", cpu_max_text(cpu, current)));
    }
    if (!burst_done)
        TRY(write_cgroup_file(directory, "cpu.max.burst", fmt::format("{}", *cpu.burst)));
    if (cpu.realtime_period.value_or(0) != 0 || cpu.realtime_runtime.value_or(0) != 0)
        log::warning("realtime CPU limits are ignored: cgroup v2 has none");
    return {};
}

Result<void> apply_rates(int directory, const char* key, const std::vector<DeviceRate>& rates) {
    for (const auto& rate : rates)
        TRY(write_cgroup_file(directory, "io.max",
                              fmt::format("{}:{} {}={}", rate.major, rate.minor, key,
                                          rate.rate == 0 ? "max" : fmt::format("{}", rate.rate))));
    return {};
}

Result<void> apply_io(int directory, const BlockIoResources& io) {
    if (io.weight.value_or(0) != 0) {
        // BFQ takes v1's numbers; io.weight (iocost) has a wider scale.
        const bool written = TRY(write_cgroup_file_if_present(directory, "io.bfq.weight",
                                                              fmt::format("{}", *io.weight)));
        if (!written)
            TRY(write_cgroup_file(
                directory, "io.weight",
                fmt::format("default {}", block_weight_to_io_weight(*io.weight))));
    }
    for (const auto& device : io.device_weights) {
        if (!device.weight) continue;
        const bool written = TRY(write_cgroup_file_if_present(
            directory, "io.bfq.weight",
            fmt::format("{}:{} {}", device.major, device.minor, *device.weight)));
        if (!written)
            TRY(write_cgroup_file(directory, "io.weight",
                                  fmt::format("{}:{} {}", device.major, device.minor,
                                              block_weight_to_io_weight(*device.weight))));
    }
    TRY(apply_rates(directory, "rbps", io.read_bytes));
    TRY(apply_rates(directory, "wbps", io.write_bytes));
    TRY(apply_rates(directory, "riops", io.read_operations));
    TRY(apply_rates(directory, "wiops", io.write_operations));
    return {};
}

Result<void> apply_hugepages(int directory, const std::vector<HugepageLimit>& limits) {
    for (const auto& limit : limits) {
        const std::string value = fmt::format("{}", limit.limit);
        TRY(write_cgroup_file(directory, fmt::format("hugetlb.{}.max", limit.page_size), value));
        TRY(write_cgroup_file_if_present(
            directory, fmt::format("hugetlb.{}.rsvd.max", limit.page_size), value));
    }
    return {};
}

Result<void> apply_unified(int directory, const CgroupResources& resources) {
    for (const auto& [file, value] : resources.unified) {
        if (file.empty() || file.find('/') != std::string::npos || file == "." || file == "..")
            return fail(Errc::invalid, fmt::format("unified: {} is no file name", quote(file)),
                        "name a file of the cgroup, as memory.high");
        // Files of several keys (io.max) take one line per write.
        for (auto line : split_lines(value))
            if (!line.empty())
                TRY(with_context(write_cgroup_file(directory, file, line), "unified resource"));
    }
    return {};
}

}  // namespace

std::string cpu_max_text(const CpuResources& cpu, std::string_view current) {
    auto parts = split(current, ' ');
    std::string quota = parts.size() == 2 ? std::string(parts[0]) : "max";
    std::string period = parts.size() == 2 ? std::string(parts[1]) : "100000";
    if (cpu.quota.value_or(0) != 0) quota = limit_text(*cpu.quota);
    if (cpu.period.value_or(0) != 0) period = fmt::format("{}", *cpu.period);
    return quota + " " + period;
}

Result<void> apply_v2_resources(int directory, std::span<const ControllerDirectory> v1,
                                const CgroupResources& resources, CgroupApply apply) {
    auto is_here = [&](std::string_view controller) { return !is_v1_controller(v1, controller); };
    if (is_here("memory")) TRY(apply_memory(directory, resources.memory));
    if (is_here("cpu")) TRY(apply_cpu(directory, resources.cpu, apply));
    if (is_here("cpuset")) {
        if (!resources.cpu.cpus.value_or("").empty())
            TRY(write_cgroup_file(directory, "cpuset.cpus", *resources.cpu.cpus));
        if (!resources.cpu.mems.value_or("").empty())
            TRY(write_cgroup_file(directory, "cpuset.mems", *resources.cpu.mems));
    }
    if (is_here("pids") && resources.pids_limit.value_or(0) != 0)
        TRY(write_cgroup_file(directory, "pids.max", limit_text(*resources.pids_limit)));
    if (is_here("blkio")) TRY(apply_io(directory, resources.block_io));
    if (is_here("hugetlb")) TRY(apply_hugepages(directory, resources.hugepages));
    if (is_here("rdma"))
        for (const auto& limit : resources.rdma)
            TRY(write_cgroup_file(directory, "rdma.max", rdma_text(limit)));
    return apply_unified(directory, resources);
}

std::vector<std::string> needed_v2_controllers(const CgroupResources& resources,
                                               const CgroupLayout& layout) {
    if (!layout.v2) return {};
    // Pure v2: all, so that statistics are there as well. Hybrid: what a limit needs.
    const auto& known = layout.v2->controllers;
    if (layout.mode() == CgroupMode::v2) return known;
    std::vector<std::string> needed;
    auto need = [&](std::string_view controller) {
        if (std::find(known.begin(), known.end(), controller) != known.end() &&
            std::find(needed.begin(), needed.end(), controller) == needed.end())
            needed.emplace_back(controller);
    };
    for (auto controller : resources.needed_controllers())
        need(controller == "blkio" ? "io" : controller);
    for (const auto& [file, value] : resources.unified)
        need(file.substr(0, file.find('.')));
    return needed;
}

Result<void> enable_v2_controllers(const CgroupV2Hierarchy& hierarchy, const std::string& path,
                                   const std::vector<std::string>& controllers) {
    auto missing_at = [&](int directory) {
        const std::string enabled = read_cgroup_file_or_empty(directory, "cgroup.subtree_control");
        auto names = split(enabled, ' ');
        std::vector<std::string> missing;
        for (const auto& controller : controllers)
            if (std::find(names.begin(), names.end(), controller) == names.end())
                missing.push_back(controller);
        return missing;
    };
    // The parent decides; only when it lacks one are the levels above looked at.
    std::vector<std::string> levels;
    std::string level = parent_path(path);
    while (level.size() > hierarchy.mount_point.size()) {
        levels.push_back(level);
        level = parent_path(level);
    }
    levels.push_back(hierarchy.mount_point);
    {
        auto parent = TRY(open_path(levels.front(), O_PATH | O_DIRECTORY));
        if (missing_at(parent.get()).empty()) return {};
    }
    for (auto it = levels.rbegin(); it != levels.rend(); ++it) {
        auto directory = TRY(open_path(*it, O_PATH | O_DIRECTORY));
        auto missing = missing_at(directory.get());
        if (missing.empty()) continue;
        std::string all;
        for (const auto& controller : missing)
            all += (all.empty() ? "+" : " +") + controller;
        if (write_cgroup_file(directory.get(), "cgroup.subtree_control", all)) continue;
        for (const auto& controller : missing) {
            auto written =
                write_cgroup_file(directory.get(), "cgroup.subtree_control", "+" + controller);
            if (!written)
                log::debug(fmt::format("{} keeps the controller {}: {}", *it, controller,
                                       written.error().to_string()));
        }
    }
    return {};
}

}  // namespace hull::kernel
