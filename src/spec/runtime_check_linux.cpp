#include <cstdint>
#include <set>

#include "spec/runtime_rules.hpp"

namespace hull::spec {
namespace {

constexpr std::string_view kNamespaces = "config-linux.md, Namespaces";

std::string at(const std::string& list, size_t index) {
    return list + "[" + std::to_string(index) + "]";
}

bool overlaps(uint64_t a, uint64_t b, uint64_t size_a, uint64_t size_b) {
    return a < b + size_b && b < a + size_a;
}

/// With dots between the parts, whichever of '.' and '/' was used: sysctl(8).
std::string with_dots(std::string name) {
    size_t first = name.find_first_of("./");
    if (first == std::string::npos || name[first] == '.') return name;
    for (char& c : name)
        c = c == '/' ? '.' : c == '.' ? '/' : c;
    return name;
}

/// Each part between the dots, where '/' stands for a dot, is the name of a file or folder.
bool is_parameter_name(std::string_view dotted) {
    const auto parts = split(dotted, '.');
    return std::none_of(parts.begin(), parts.end(), [](std::string_view part) {
        return part.empty() || part == "/" || part == "//";
    });
}

}  // namespace

void RuntimeRules::namespaces(const Linux& section) {
    std::set<std::string> types;
    for (size_t i = 0; i < section.namespaces.size(); ++i) {
        const Namespace& entry = section.namespaces[i];
        std::string path = at("linux.namespaces", i);
        one_of(path + ".type", entry.type,
               {"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"}, kNamespaces);
        if (!types.insert(entry.type).second)
            add(path + ".type", entry.type, "must not be given twice", kNamespaces,
                "keep one of them");
        if (!entry.path.empty() && !entry.path.starts_with('/'))
            add(path + ".path", entry.path, "must be an absolute path", kNamespaces, "");
    }
}

void RuntimeRules::mapping_list(const std::vector<IdMapping>& list, const std::string& path) {
    constexpr std::string_view kSection = "config-linux.md, User namespace mappings";
    constexpr uint64_t kIds = uint64_t{1} << 32U;
    if (list.size() > 340)
        add(path, std::to_string(list.size()) + " lines", "must be at most 340 lines",
            "user_namespaces(7)", "join neighbouring ranges");
    for (size_t i = 0; i < list.size(); ++i) {
        const IdMapping& one = list[i];
        if (one.size == 0)
            add(at(path, i) + ".size", "0", "must not be zero", kSection, "leave the entry out");
        if (one.container_id + uint64_t{one.size} > kIds || one.host_id + uint64_t{one.size} > kIds)
            add(at(path, i), std::to_string(one.size), "reaches beyond the last id, 4294967295",
                kSection, "make it smaller");
        for (size_t k = 0; k < i; ++k) {
            if (overlaps(one.container_id, list[k].container_id, one.size, list[k].size))
                add(at(path, i) + ".containerID", std::to_string(one.container_id),
                    "overlaps entry " + std::to_string(k), kSection, "");
            if (overlaps(one.host_id, list[k].host_id, one.size, list[k].size))
                add(at(path, i) + ".hostID", std::to_string(one.host_id),
                    "overlaps entry " + std::to_string(k), kSection, "");
        }
    }
}

void RuntimeRules::mappings(const Linux& section) {
    constexpr std::string_view kSection = "config-linux.md, User namespace mappings";
    mapping_list(section.uid_mappings, "linux.uidMappings");
    mapping_list(section.gid_mappings, "linux.gidMappings");
    const Namespace* user = section.find_namespace("user");
    bool has_mappings = !section.uid_mappings.empty() || !section.gid_mappings.empty();
    if (user == nullptr && has_mappings)
        add("linux.uidMappings", "", "need a user namespace", kSection,
            "add {\"type\": \"user\"} to linux.namespaces");
    if (user != nullptr && user->path.empty() &&
        (section.uid_mappings.empty() || section.gid_mappings.empty()))
        add(section.uid_mappings.empty() ? "linux.uidMappings" : "linux.gidMappings", "",
            "a new user namespace needs both maps", kSection,
            "write [{\"containerID\": 0, \"hostID\": 100000, \"size\": 65536}]");
}

void RuntimeRules::time_offsets(const Linux& section) {
    constexpr std::string_view kSection = "config-linux.md, Offset for Time Namespace";
    for (const auto& offset : section.time_offsets) {
        std::string path = "linux.timeOffsets." + offset.clock;
        one_of(path, offset.clock, {"monotonic", "boottime"}, kSection);
        if (offset.nanosecs > 999'999'999)
            add(path + ".nanosecs", std::to_string(offset.nanosecs), "must be below 1000000000",
                kSection, "");
    }
    if (section.time_offsets.empty()) return;
    const Namespace* entry = section.find_namespace("time");
    if (entry == nullptr || !entry->path.empty())
        add("linux.timeOffsets", "", "needs a new time namespace", kSection,
            "add {\"type\": \"time\"} to linux.namespaces");
}

void RuntimeRules::devices(const Linux& section) {
    constexpr std::string_view kSection = "config-linux.md, Devices";
    for (size_t i = 0; i < section.devices.size(); ++i) {
        const Device& device = section.devices[i];
        std::string path = at("linux.devices", i);
        one_of(path + ".type", device.type, {"c", "b", "u", "p"}, kSection);
        if (!device.path.starts_with('/'))
            add(path + ".path", device.path.empty() ? " " : device.path,
                "must be an absolute path inside the container", kSection, "");
        bool has_numbers = device.major >= 0 && device.major <= 0xfff && device.minor >= 0 &&
                           device.minor <= 0xfffff;
        if (device.type != "p" && !has_numbers)
            add(path, std::to_string(device.major) + ":" + std::to_string(device.minor),
                "is no device number", kSection, "see `stat -c %Hr:%Lr FILE`");
        if (device.file_mode && (*device.file_mode & ~uint32_t{07777 | 0170000}) != 0)
            add(path + ".fileMode", std::to_string(*device.file_mode),
                "must be at most 4095 (octal 7777)", kSection, "JSON numbers are decimal");
    }
}

void RuntimeRules::net_devices(const Linux& section) {
    constexpr std::string_view kSection = "config-linux.md, Network Devices";
    if (!section.net_devices.empty() && section.find_namespace("network") == nullptr)
        add("linux.netDevices", "", "needs a network namespace", kSection,
            "add {\"type\": \"network\"} to linux.namespaces");
    auto check = [&](const std::string& path, std::string_view name) {
        bool bad = name.empty() || name.size() > 15 || name == "." || name == ".." ||
                   name.find_first_of("/: \t\n") != std::string_view::npos;
        if (bad)
            add(path, name.empty() ? " " : name,
                "is no interface name: 1 to 15 bytes without / : and blanks", kSection, "");
    };
    std::set<std::string> inside;
    for (const auto& device : section.net_devices) {
        check("linux.netDevices." + device.host_name, device.host_name);
        if (!device.name.empty())
            check("linux.netDevices." + device.host_name + ".name", device.name);
        const std::string& name = device.name.empty() ? device.host_name : device.name;
        if (name.find('%') == std::string::npos && !inside.insert(name).second)
            add("linux.netDevices." + device.host_name + ".name", name,
                "two interfaces get the same name", kSection, "");
    }
}

void RuntimeRules::sysctl(const Linux& section) {
    constexpr std::string_view kSection = "config-linux.md, Sysctl";
    static const std::set<std::string> kIpc = {
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni",          "kernel.sem",
        "kernel.shmall", "kernel.shmmax", "kernel.shm_rmid_forced", "kernel.shmmni"};
    auto need = [&](const std::string& name, std::string_view type) {
        if (section.find_namespace(type) == nullptr)
            add("linux.sysctl." + name, "",
                "would change the host: it belongs to the " + std::string{type} + " namespace",
                kSection, "add {\"type\": \"" + std::string{type} + "\"} to linux.namespaces");
    };
    for (const auto& [name, value] : section.sysctl) {
        std::string dotted = with_dots(name);
        if (!is_parameter_name(dotted))
            add("linux.sysctl." + name, value, "is no name of a kernel parameter", kSection,
                "write it as net.ipv4.ip_forward");
        else if (kIpc.contains(dotted) || dotted.starts_with("fs.mqueue."))
            need(name, "ipc");
        else if (dotted.starts_with("net."))
            need(name, "network");
        else if (dotted == "kernel.domainname")
            need(name, "uts");
        else if (dotted == "kernel.hostname")
            add("linux.sysctl." + name, value, "contradicts the field hostname", kSection,
                "set hostname instead");
        else if (dotted.starts_with("user."))
            need(name, "user");
        else
            add("linux.sysctl." + name, value,
                "would change the host: the kernel has no namespace for it", kSection,
                "set it on the host, or leave it out");
    }
}

void RuntimeRules::paths(const Linux& section) {
    auto absolute = [&](std::string_view field, const std::vector<std::string>& list,
                        std::string_view heading) {
        for (size_t i = 0; i < list.size(); ++i)
            if (!list[i].starts_with('/'))
                add(at("linux." + std::string{field}, i), list[i].empty() ? " " : list[i],
                    "must be an absolute path inside the container", heading, "");
    };
    absolute("maskedPaths", section.masked_paths, "config-linux.md, Masked Paths");
    absolute("readonlyPaths", section.readonly_paths, "config-linux.md, Readonly Paths");
    if (section.find_namespace("mount") == nullptr &&
        (!section.masked_paths.empty() || !section.readonly_paths.empty()))
        add(section.masked_paths.empty() ? "linux.readonlyPaths" : "linux.maskedPaths", "",
            "would change the mounts of the runtime's own namespace", kNamespaces,
            "add {\"type\": \"mount\"} to linux.namespaces");
    if (!section.rootfs_propagation.empty())
        one_of("linux.rootfsPropagation", section.rootfs_propagation,
               {"shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate",
                "runbindable"},
               "config-linux.md, Rootfs Mount Propagation");
    if (section.personality)
        one_of("linux.personality.domain", section.personality->domain, {"LINUX", "LINUX32"},
               "config-linux.md, Personality");
    if (section.personality && !section.personality->flags.empty())
        add("linux.personality.flags", section.personality->flags[0],
            "no flag is defined by the specification", "config-linux.md, Personality",
            "leave the list empty");
    if (section.intel_rdt) intel_rdt(*section.intel_rdt);
}

void RuntimeRules::intel_rdt(const IntelRdt& rdt) {
    constexpr std::string_view kSection = "config-linux.md, IntelRdt";
    const std::string& closid = rdt.clos_id;
    if (closid == "." || closid == ".." ||
        (closid.size() > 1 && closid.find('/') != std::string::npos))
        add("linux.intelRdt.closID", closid, "must be one folder name, or /", kSection,
            "leave it out for a class named after the container");
    auto check = [&](const std::string& path, const std::string& text, std::string_view start,
                     std::string_view example) {
        if (!text.starts_with(start) || text.find(':') == std::string::npos ||
            text.find('=') == std::string::npos)
            add(path, text.empty() ? " " : text,
                "must be of the form " + std::string{example}.substr(0, example.find(':')) +
                    ":ID=VALUE[;ID=VALUE…]",
                kSection, "write it as \"" + std::string{example} + "\"");
    };
    auto one_line = [&](const std::string& path, const std::string& text) {
        if (text.find('\n') != std::string::npos)
            add(path, text, "must be one line", kSection, "use one entry of schemata for each");
    };
    if (!rdt.l3_cache_schema.empty())
        check("linux.intelRdt.l3CacheSchema", rdt.l3_cache_schema, "L3", "L3:0=ff;1=c0");
    if (!rdt.mem_bw_schema.empty()) {
        check("linux.intelRdt.memBwSchema", rdt.mem_bw_schema, "MB:", "MB:0=20;1=70");
        one_line("linux.intelRdt.memBwSchema", rdt.mem_bw_schema);
    }
    for (size_t i = 0; i < rdt.schemata.size(); ++i) {
        check(at("linux.intelRdt.schemata", i), rdt.schemata[i], "", "L3:0=ff;1=c0");
        one_line(at("linux.intelRdt.schemata", i), rdt.schemata[i]);
    }
}

void RuntimeRules::seccomp(const RuntimeConfig& config) {
    const SeccompProfile& profile = *config.linux_.seccomp;
    // crun's annotation of times when the specification had no listenerPath.
    if (!profile.listener_path.empty() || config.find_annotation("run.oci.seccomp.receiver"))
        return;
    for (size_t i = 0; i < profile.syscalls.size(); ++i)
        if (profile.syscalls[i].action == "SCMP_ACT_NOTIFY")
            add(at("linux.seccomp.syscalls", i) + ".action", "SCMP_ACT_NOTIFY",
                "needs linux.seccomp.listenerPath", "config-linux.md, Seccomp",
                "name the unix socket of the agent that answers");
}

void RuntimeRules::memory_policy(const MemoryPolicy& policy) {
    constexpr std::string_view kSection = "config-linux.md, Memory Policy";
    one_of("linux.memoryPolicy.mode", policy.mode,
           {"MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
            "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL"},
           kSection);
    number_list("linux.memoryPolicy.nodes", policy.nodes, kSection);
    const bool takes_none = policy.mode == "MPOL_DEFAULT" || policy.mode == "MPOL_LOCAL";
    const bool may_do_without = takes_none || policy.mode == "MPOL_PREFERRED";
    if (takes_none && !policy.nodes.empty())
        add("linux.memoryPolicy.nodes", policy.nodes, policy.mode + " takes no nodes",
            "set_mempolicy(2)", "leave them out");
    if (!may_do_without && policy.mode.starts_with("MPOL_") && policy.nodes.empty())
        add("linux.memoryPolicy.nodes", "", policy.mode + " needs nodes", "set_mempolicy(2)",
            "write \"0\"");
    auto has = [&](std::string_view flag) {
        return std::find(policy.flags.begin(), policy.flags.end(), flag) != policy.flags.end();
    };
    if (has("MPOL_F_STATIC_NODES") && has("MPOL_F_RELATIVE_NODES"))
        add("linux.memoryPolicy.flags", "MPOL_F_RELATIVE_NODES",
            "cannot go with MPOL_F_STATIC_NODES", "set_mempolicy(2)", "keep one of them");
    for (size_t i = 0; i < policy.flags.size(); ++i)
        one_of(at("linux.memoryPolicy.flags", i), policy.flags[i],
               {"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"}, kSection);
}

}  // namespace hull::spec
