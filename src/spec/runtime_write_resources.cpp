#include "spec/runtime_writer.hpp"

namespace hull::spec {
namespace {

void write_device_rules(JsonWriter& out, const std::vector<DeviceCgroupRule>& rules) {
    if (rules.empty()) return;
    out.begin_array("devices");
    for (const auto& rule : rules) {
        out.begin_object();
        out.field("allow", rule.allow);
        out.optional_field("type", rule.type);
        write_optional(out, "major", rule.major);
        write_optional(out, "minor", rule.minor);
        out.optional_field("access", rule.access);
        out.end_object();
    }
    out.end_array();
}

void write_memory(JsonWriter& out, const MemoryResources& memory) {
    out.begin_object("memory");
    write_optional(out, "limit", memory.limit);
    write_optional(out, "reservation", memory.reservation);
    write_optional(out, "swap", memory.swap);
    write_optional(out, "kernel", memory.kernel);
    write_optional(out, "kernelTCP", memory.kernel_tcp);
    write_optional(out, "swappiness", memory.swappiness);
    write_optional(out, "disableOOMKiller", memory.disable_oom_killer);
    write_optional(out, "useHierarchy", memory.use_hierarchy);
    write_optional(out, "checkBeforeUpdate", memory.check_before_update);
    out.end_object();
}

void write_cpu(JsonWriter& out, const CpuResources& cpu) {
    out.begin_object("cpu");
    write_optional(out, "shares", cpu.shares);
    write_optional(out, "quota", cpu.quota);
    write_optional(out, "burst", cpu.burst);
    write_optional(out, "period", cpu.period);
    write_optional(out, "realtimeRuntime", cpu.realtime_runtime);
    write_optional(out, "realtimePeriod", cpu.realtime_period);
    write_optional(out, "cpus", cpu.cpus);
    write_optional(out, "mems", cpu.mems);
    write_optional(out, "idle", cpu.idle);
    out.end_object();
}

void write_throttles(JsonWriter& out, std::string_view name,
                     const std::vector<ThrottleDevice>& devices) {
    if (devices.empty()) return;
    out.begin_array(name);
    for (const auto& device : devices) {
        out.begin_object();
        out.field("major", device.major);
        out.field("minor", device.minor);
        out.field("rate", device.rate);
        out.end_object();
    }
    out.end_array();
}

void write_block_io(JsonWriter& out, const BlockIoResources& io) {
    out.begin_object("blockIO");
    write_optional(out, "weight", io.weight);
    write_optional(out, "leafWeight", io.leaf_weight);
    if (!io.weight_devices.empty()) {
        out.begin_array("weightDevice");
        for (const auto& device : io.weight_devices) {
            out.begin_object();
            out.field("major", device.major);
            out.field("minor", device.minor);
            write_optional(out, "weight", device.weight);
            write_optional(out, "leafWeight", device.leaf_weight);
            out.end_object();
        }
        out.end_array();
    }
    write_throttles(out, "throttleReadBpsDevice", io.throttle_read_bps);
    write_throttles(out, "throttleWriteBpsDevice", io.throttle_write_bps);
    write_throttles(out, "throttleReadIOPSDevice", io.throttle_read_iops);
    write_throttles(out, "throttleWriteIOPSDevice", io.throttle_write_iops);
    out.end_object();
}

void write_network(JsonWriter& out, const NetworkResources& network) {
    out.begin_object("network");
    write_optional(out, "classID", network.class_id);
    if (!network.priorities.empty()) {
        out.begin_array("priorities");
        for (const auto& priority : network.priorities) {
            out.begin_object();
            out.field("name", priority.name);
            out.field("priority", priority.priority);
            out.end_object();
        }
        out.end_array();
    }
    out.end_object();
}

void write_lists(JsonWriter& out, const Resources& resources) {
    if (!resources.hugepage_limits.empty()) {
        out.begin_array("hugepageLimits");
        for (const auto& limit : resources.hugepage_limits) {
            out.begin_object();
            out.field("pageSize", limit.page_size);
            out.field("limit", limit.limit);
            out.end_object();
        }
        out.end_array();
    }
    if (resources.network) write_network(out, *resources.network);
    if (!resources.rdma.empty()) {
        out.begin_object("rdma");
        for (const auto& limit : resources.rdma) {
            out.begin_object(limit.device);
            write_optional(out, "hcaHandles", limit.hca_handles);
            write_optional(out, "hcaObjects", limit.hca_objects);
            out.end_object();
        }
        out.end_object();
    }
    write_map(out, "unified", resources.unified);
}

}  // namespace

void write_resources(JsonWriter& out, const Resources& resources) {
    out.begin_object("resources");
    write_device_rules(out, resources.devices);
    if (resources.memory) write_memory(out, *resources.memory);
    if (resources.cpu) write_cpu(out, *resources.cpu);
    if (resources.pids_limit) {
        out.begin_object("pids");
        out.field("limit", *resources.pids_limit);
        out.end_object();
    }
    if (resources.block_io) write_block_io(out, *resources.block_io);
    write_lists(out, resources);
    out.end_object();
}

}  // namespace hull::spec
