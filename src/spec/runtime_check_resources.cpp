#include <set>

#include "spec/runtime_rules.hpp"

namespace hull::spec {
namespace {

std::string at(const std::string& list, size_t index) {
    return list + "[" + std::to_string(index) + "]";
}

bool is_page_size(std::string_view text) {
    for (std::string_view unit : {"KB", "MB", "GB", "TB"})
        if (text.ends_with(unit))
            return parse_number<uint32_t>(text.substr(0, text.size() - 2)).value_or(0) > 0;
    return false;
}

/// "0-3,7": what cpuset(7) calls the list format.
bool is_number_list(std::string_view text) {
    constexpr uint32_t kMost = 65535;
    for (auto part : split(trim(text), ',')) {
        size_t dash = part.find('-');
        auto first = parse_number<uint32_t>(part.substr(0, dash));
        auto last =
            dash == std::string_view::npos ? first : parse_number<uint32_t>(part.substr(dash + 1));
        if (!first || !last || *first > *last || *last > kMost) return false;
    }
    return true;
}

}  // namespace

void RuntimeRules::number_list(std::string path, std::string_view list, std::string_view section) {
    if (!list.empty() && !is_number_list(list))
        add(std::move(path), list, "must be a list of numbers from 0 to 65535", section,
            "write it as 0-3,7");
}

void RuntimeRules::device_rules(const Resources& resources) {
    constexpr std::string_view kSection = "config-linux.md, Allowed Device list";
    for (size_t i = 0; i < resources.devices.size(); ++i) {
        const DeviceCgroupRule& rule = resources.devices[i];
        std::string path = at("linux.resources.devices", i);
        if (!rule.type.empty()) one_of(path + ".type", rule.type, {"a", "b", "c"}, kSection);
        if (rule.access.find_first_not_of("rwm") != std::string::npos)
            add(path + ".access", rule.access, "must be of the letters r, w and m", kSection, "");
        if (rule.major.value_or(0) < -1 || rule.minor.value_or(0) < -1)
            add(path,
                std::to_string(rule.major.value_or(-1)) + ":" +
                    std::to_string(rule.minor.value_or(-1)),
                "is no device number", kSection, "leave it out for any");
    }
}

void RuntimeRules::memory(const MemoryResources& memory) {
    constexpr std::string_view kSection = "config-linux.md, Memory";
    auto at_least = [&](std::string_view name, const std::optional<int64_t>& value) {
        if (value && *value < -1)
            add("linux.resources.memory." + std::string{name}, std::to_string(*value),
                "must be -1 (no limit) or a number of bytes", kSection, "");
    };
    at_least("limit", memory.limit);
    at_least("reservation", memory.reservation);
    at_least("swap", memory.swap);
    at_least("kernel", memory.kernel);
    at_least("kernelTCP", memory.kernel_tcp);
    int64_t limit = memory.limit.value_or(0);
    int64_t swap = memory.swap.value_or(0);
    if (swap > 0 && limit > 0 && swap < limit)
        add("linux.resources.memory.swap", std::to_string(swap),
            "must not be below limit, " + std::to_string(limit) +
                ": it counts memory and swap together",
            kSection, "raise it, or write -1");
    if (swap > 0 && limit <= 0)
        add("linux.resources.memory.swap", std::to_string(swap), "needs a limit of memory",
            kSection, "set linux.resources.memory.limit");
    if (memory.reservation.value_or(0) > 0 && limit > 0 && *memory.reservation > limit)
        add("linux.resources.memory.reservation", std::to_string(*memory.reservation),
            "must not be above limit, " + std::to_string(limit), kSection, "lower it");
    if (memory.swappiness && *memory.swappiness > 100)
        add("linux.resources.memory.swappiness", std::to_string(*memory.swappiness),
            "must be from 0 to 100", kSection, "");
}

void RuntimeRules::cpu(const CpuResources& cpu) {
    constexpr std::string_view kSection = "config-linux.md, CPU";
    if (cpu.shares && *cpu.shares == 1)
        add("linux.resources.cpu.shares", "1", "must be at least 2", kSection, "");
    if (cpu.quota && (*cpu.quota < -1 || (*cpu.quota > 0 && *cpu.quota < 1000)))
        add("linux.resources.cpu.quota", std::to_string(*cpu.quota),
            "must be -1 (no limit) or at least 1000 microseconds", kSection, "");
    if (cpu.period.value_or(0) != 0 && (*cpu.period < 1000 || *cpu.period > 1'000'000))
        add("linux.resources.cpu.period", std::to_string(*cpu.period),
            "must be from 1000 to 1000000 microseconds", kSection, "");
    if (cpu.burst && cpu.quota.value_or(0) > 0 && *cpu.burst > static_cast<uint64_t>(*cpu.quota))
        add("linux.resources.cpu.burst", std::to_string(*cpu.burst),
            "must not be above quota, " + std::to_string(*cpu.quota), kSection, "");
    number_list("linux.resources.cpu.cpus", cpu.cpus.value_or(""), kSection);
    number_list("linux.resources.cpu.mems", cpu.mems.value_or(""), kSection);
    if (cpu.idle && *cpu.idle != 0 && *cpu.idle != 1)
        add("linux.resources.cpu.idle", std::to_string(*cpu.idle), "must be 0 or 1", kSection, "");
}

void RuntimeRules::block_io(const BlockIoResources& io) {
    constexpr std::string_view kSection = "config-linux.md, Block IO";
    auto weight = [&](const std::string& path, const std::optional<uint16_t>& value) {
        if (value && *value != 0 && (*value < 10 || *value > 1000))
            add(path, std::to_string(*value), "must be from 10 to 1000", kSection, "");
    };
    weight("linux.resources.blockIO.weight", io.weight);
    weight("linux.resources.blockIO.leafWeight", io.leaf_weight);
    for (size_t i = 0; i < io.weight_devices.size(); ++i) {
        const WeightDevice& device = io.weight_devices[i];
        std::string path = at("linux.resources.blockIO.weightDevice", i);
        if (!device.weight && !device.leaf_weight)
            add(path, "", "must have weight or leafWeight", kSection, "");
        weight(path + ".weight", device.weight);
        weight(path + ".leafWeight", device.leaf_weight);
    }
}

void RuntimeRules::resources(const Resources& resources) {
    device_rules(resources);
    if (resources.memory) memory(*resources.memory);
    if (resources.cpu) cpu(*resources.cpu);
    if (resources.block_io) block_io(*resources.block_io);
    std::set<std::string> sizes;
    for (size_t i = 0; i < resources.hugepage_limits.size(); ++i) {
        const auto& size = resources.hugepage_limits[i].page_size;
        std::string path = at("linux.resources.hugepageLimits", i) + ".pageSize";
        constexpr std::string_view kSection = "config-linux.md, Huge page limits";
        if (!is_page_size(size))
            add(path, size.empty() ? " " : size, "must be of the form 2MB or 1GB", kSection, "");
        if (!sizes.insert(size).second) add(path, size, "must not be given twice", kSection, "");
    }
    for (const auto& limit : resources.rdma)
        if (!limit.hca_handles && !limit.hca_objects)
            add("linux.resources.rdma." + limit.device, "", "must have hcaHandles or hcaObjects",
                "config-linux.md, RDMA", "");
    for (const auto& [name, content] : resources.unified)
        if (name.empty() || name.find('/') != std::string::npos ||
            name.find('.') == std::string::npos)
            add("linux.resources.unified." + name, content.empty() ? " " : content,
                "the name must be one file of the cgroup, as memory.high",
                "config-linux.md, Unified", "");
}

}  // namespace hull::spec
