#include "spec/runtime_json.hpp"
#include "spec/runtime_reader.hpp"

namespace hull::spec {

void RuntimeReader::value(const JsonReader& in, std::string_view key,
                          std::optional<uint16_t>& out) {
    know(in, key);
    std::optional<uint32_t> wide;
    note(in.read(key, wide));
    if (!wide) return;
    if (*wide > std::numeric_limits<uint16_t>::max())
        errors.push_back(std::move(in.find(key)->refuse("is larger than 65535")).value());
    else
        out = static_cast<uint16_t>(*wide);
}

void RuntimeReader::value(const JsonReader& in, std::string_view key, std::vector<uint32_t>& out) {
    know(in, key);
    auto member = in.find(key);
    if (!member) return;
    auto elements = member->elements();
    if (!elements) {
        errors.push_back(std::move(elements).error());
        return;
    }
    for (const auto& element : *elements) {
        auto number = element.as_uint32();
        if (number)
            out.push_back(*number);
        else
            errors.push_back(std::move(number).error());
    }
}

void RuntimeReader::string_map(const JsonReader& in, std::string_view key,
                               std::vector<std::pair<std::string, std::string>>& out) {
    members(in, key, [&](const std::string& name, const JsonReader& member) {
        auto text = member.as_string();
        if (text)
            out.emplace_back(name, std::move(*text));
        else
            errors.push_back(std::move(text).error());
    });
}

void RuntimeReader::memory(const JsonReader& in, MemoryResources& out) {
    value(in, "limit", out.limit);
    value(in, "reservation", out.reservation);
    value(in, "swap", out.swap);
    value(in, "kernel", out.kernel);
    value(in, "kernelTCP", out.kernel_tcp);
    value(in, "swappiness", out.swappiness);
    value(in, "disableOOMKiller", out.disable_oom_killer);
    value(in, "useHierarchy", out.use_hierarchy);
    value(in, "checkBeforeUpdate", out.check_before_update);
}

void RuntimeReader::cpu(const JsonReader& in, CpuResources& out) {
    value(in, "shares", out.shares);
    value(in, "quota", out.quota);
    value(in, "burst", out.burst);
    value(in, "period", out.period);
    value(in, "realtimeRuntime", out.realtime_runtime);
    value(in, "realtimePeriod", out.realtime_period);
    value(in, "cpus", out.cpus);
    value(in, "mems", out.mems);
    value(in, "idle", out.idle);
}

void RuntimeReader::block_io(const JsonReader& in, BlockIoResources& out) {
    value(in, "weight", out.weight);
    value(in, "leafWeight", out.leaf_weight);
    list(in, "weightDevice", out.weight_devices, [&](const JsonReader& item, WeightDevice& device) {
        required(item, "major", device.major);
        required(item, "minor", device.minor);
        value(item, "weight", device.weight);
        value(item, "leafWeight", device.leaf_weight);
    });
    auto throttle = [&](const JsonReader& item, ThrottleDevice& device) {
        required(item, "major", device.major);
        required(item, "minor", device.minor);
        required(item, "rate", device.rate);
    };
    list(in, "throttleReadBpsDevice", out.throttle_read_bps, throttle);
    list(in, "throttleWriteBpsDevice", out.throttle_write_bps, throttle);
    list(in, "throttleReadIOPSDevice", out.throttle_read_iops, throttle);
    list(in, "throttleWriteIOPSDevice", out.throttle_write_iops, throttle);
}

void RuntimeReader::other_resources(const JsonReader& in, Resources& out) {
    list(in, "hugepageLimits", out.hugepage_limits, [&](const JsonReader& item, HugepageLimit& l) {
        required(item, "pageSize", l.page_size);
        required(item, "limit", l.limit);
    });
    object(in, "network", [&](const JsonReader& item) {
        NetworkResources& network = out.network.emplace();
        value(item, "classID", network.class_id);
        list(item, "priorities", network.priorities, [&](const JsonReader& p, auto& priority) {
            required(p, "name", priority.name);
            required(p, "priority", priority.priority);
        });
    });
    objects(in, "rdma", [&](const std::string& name, const JsonReader& item) {
        RdmaLimit& limit = out.rdma.emplace_back();
        limit.device = name;
        value(item, "hcaHandles", limit.hca_handles);
        value(item, "hcaObjects", limit.hca_objects);
    });
    string_map(in, "unified", out.unified);
}

void RuntimeReader::resources(const JsonReader& in, Resources& out) {
    list(in, "devices", out.devices, [&](const JsonReader& item, DeviceCgroupRule& rule) {
        required(item, "allow", rule.allow);
        value(item, "type", rule.type);
        value(item, "major", rule.major);
        value(item, "minor", rule.minor);
        value(item, "access", rule.access);
    });
    object(in, "memory", [&](const JsonReader& item) { memory(item, out.memory.emplace()); });
    object(in, "cpu", [&](const JsonReader& item) { cpu(item, out.cpu.emplace()); });
    object(in, "pids", [&](const JsonReader& item) { value(item, "limit", out.pids_limit); });
    object(in, "blockIO", [&](const JsonReader& item) { block_io(item, out.block_io.emplace()); });
    other_resources(in, out);
}

}  // namespace hull::spec
