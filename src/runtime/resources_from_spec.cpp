#include "runtime/resources_from_spec.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace hull::runtime {
namespace {

kernel::MemoryResources memory_from_spec(const spec::MemoryResources& from) {
    return {.limit = from.limit,
            .reservation = from.reservation,
            .swap = from.swap,
            .kernel = from.kernel,
            .kernel_tcp = from.kernel_tcp,
            .swappiness = from.swappiness,
            .disable_oom_killer = from.disable_oom_killer,
            .use_hierarchy = from.use_hierarchy,
            .check_before_update = from.check_before_update.value_or(false)};
}

kernel::CpuResources cpu_from_spec(const spec::CpuResources& from) {
    kernel::CpuResources to{.shares = from.shares,
                            .quota = from.quota,
                            .period = from.period,
                            .burst = from.burst,
                            .realtime_runtime = from.realtime_runtime,
                            .realtime_period = from.realtime_period,
                            .idle = from.idle};
    // Engines write "" for "not set", and 0 for the numbers that may not be 0.
    if (from.cpus && !from.cpus->empty()) to.cpus = from.cpus;
    if (from.mems && !from.mems->empty()) to.mems = from.mems;
    if (to.shares == uint64_t{0}) to.shares.reset();
    if (to.quota == int64_t{0}) to.quota.reset();
    if (to.period == uint64_t{0}) to.period.reset();
    if (to.realtime_runtime == int64_t{0}) to.realtime_runtime.reset();
    if (to.realtime_period == uint64_t{0}) to.realtime_period.reset();
    return to;
}

std::vector<kernel::DeviceRate> rates_from_spec(const std::vector<spec::ThrottleDevice>& from) {
    std::vector<kernel::DeviceRate> to;
    for (const auto& device : from)
        to.push_back({.major = device.major, .minor = device.minor, .rate = device.rate});
    return to;
}

kernel::BlockIoResources block_io_from_spec(const spec::BlockIoResources& from) {
    kernel::BlockIoResources to{.weight = from.weight, .leaf_weight = from.leaf_weight};
    if (to.weight == uint16_t{0}) to.weight.reset();
    if (to.leaf_weight == uint16_t{0}) to.leaf_weight.reset();
    for (const auto& device : from.weight_devices)
        to.device_weights.push_back({.major = device.major,
                                     .minor = device.minor,
                                     .weight = device.weight,
                                     .leaf_weight = device.leaf_weight});
    to.read_bytes = rates_from_spec(from.throttle_read_bps);
    to.write_bytes = rates_from_spec(from.throttle_write_bps);
    to.read_operations = rates_from_spec(from.throttle_read_iops);
    to.write_operations = rates_from_spec(from.throttle_write_iops);
    return to;
}

}  // namespace

kernel::CgroupResources cgroup_resources_from_spec(const spec::Resources& from) {
    kernel::CgroupResources to;
    if (from.memory) to.memory = memory_from_spec(*from.memory);
    // Engines write 0 for "no limit was asked for"; a limit of no bytes could start nothing.
    if (to.memory.limit == int64_t{0}) to.memory.limit.reset();
    if (to.memory.reservation == int64_t{0}) to.memory.reservation.reset();
    if (to.memory.swap == int64_t{0}) to.memory.swap.reset();
    if (from.cpu) to.cpu = cpu_from_spec(*from.cpu);
    // 0 is a limit (config-linux.md, PIDs); as in runc the container's own process is let in.
    if (from.pids_limit)
        to.pids_limit = *from.pids_limit < 0 ? -1 : std::max<int64_t>(1, *from.pids_limit);
    if (from.block_io) to.block_io = block_io_from_spec(*from.block_io);
    for (const auto& limit : from.hugepage_limits)
        to.hugepages.push_back({.page_size = limit.page_size, .limit = limit.limit});
    if (from.network) {
        to.network_class = from.network->class_id;
        for (const auto& priority : from.network->priorities)
            to.network_priorities.push_back({.name = priority.name, .priority = priority.priority});
    }
    for (const auto& limit : from.rdma)
        to.rdma.push_back(
            {.device = limit.device, .handles = limit.hca_handles, .objects = limit.hca_objects});
    to.unified = from.unified;
    return to;
}

Result<std::vector<kernel::DeviceRule>> device_rules_from_spec(const spec::Linux& section) {
    std::vector<kernel::DeviceRule> rules;
    for (size_t i = 0; i < section.resources.devices.size(); ++i) {
        const auto& from = section.resources.devices[i];
        if (from.type.size() > 1)
            return fail(Errc::invalid, "linux.resources.devices[" + std::to_string(i) +
                                           "].type: " + quote(from.type) + " is not a, b or c");
        rules.push_back({.allow = from.allow,
                         .type = from.type.empty() ? 'a' : from.type[0],
                         .major = from.major.value_or(-1),
                         .minor = from.minor.value_or(-1),
                         .access = from.access.empty() ? "rwm" : from.access});
    }
    for (const auto& device : section.devices)
        if (device.type != "p")
            rules.push_back({.allow = true,
                             .type = device.type == "b" ? 'b' : 'c',
                             .major = device.major,
                             .minor = device.minor,
                             .access = "rwm"});
    for (auto& rule : kernel::default_device_rules())
        rules.push_back(std::move(rule));
    return rules;
}

}  // namespace hull::runtime
