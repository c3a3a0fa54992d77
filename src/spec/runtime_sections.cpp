#include "spec/runtime_sections.hpp"

#include <array>
#include <utility>

namespace hull::spec {
namespace {

/// The longest name that a path begins with counts.
constexpr std::array<std::pair<std::string_view, std::string_view>, 46> kSections = {{
    {"ociVersion", "config.md, Specification version"},
    {"root", "config.md, Root"},
    {"mounts", "config.md, Mounts"},
    {"process", "config.md, Process"},
    {"process.user", "config.md, User"},
    {"process.rlimits", "config.md, POSIX process"},
    {"process.capabilities", "config.md, Linux Process"},
    {"process.apparmorProfile", "config.md, Linux Process"},
    {"process.noNewPrivileges", "config.md, Linux Process"},
    {"process.oomScoreAdj", "config.md, Linux Process"},
    {"process.scheduler", "config.md, Linux Process"},
    {"process.selinuxLabel", "config.md, Linux Process"},
    {"process.ioPriority", "config.md, Linux Process"},
    {"process.execCPUAffinity", "config.md, Linux Process"},
    {"hostname", "config.md, Hostname"},
    {"domainname", "config.md, Domainname"},
    {"hooks", "config.md, POSIX-platform Hooks"},
    {"annotations", "config.md, Annotations"},
    {"linux", "config.md, Platform-specific configuration"},
    {"linux.namespaces", "config-linux.md, Namespaces"},
    {"linux.uidMappings", "config-linux.md, User namespace mappings"},
    {"linux.gidMappings", "config-linux.md, User namespace mappings"},
    {"linux.timeOffsets", "config-linux.md, Offset for Time Namespace"},
    {"linux.devices", "config-linux.md, Devices"},
    {"linux.netDevices", "config-linux.md, Network Devices"},
    {"linux.cgroupsPath", "config-linux.md, Cgroups Path"},
    {"linux.resources", "config-linux.md, Control groups"},
    {"linux.resources.devices", "config-linux.md, Allowed Device list"},
    {"linux.resources.memory", "config-linux.md, Memory"},
    {"linux.resources.cpu", "config-linux.md, CPU"},
    {"linux.resources.blockIO", "config-linux.md, Block IO"},
    {"linux.resources.hugepageLimits", "config-linux.md, Huge page limits"},
    {"linux.resources.network", "config-linux.md, Network"},
    {"linux.resources.pids", "config-linux.md, PIDs"},
    {"linux.resources.rdma", "config-linux.md, RDMA"},
    {"linux.resources.unified", "config-linux.md, Unified"},
    {"linux.sysctl", "config-linux.md, Sysctl"},
    {"linux.seccomp", "config-linux.md, Seccomp"},
    {"linux.rootfsPropagation", "config-linux.md, Rootfs Mount Propagation"},
    {"linux.maskedPaths", "config-linux.md, Masked Paths"},
    {"linux.readonlyPaths", "config-linux.md, Readonly Paths"},
    {"linux.mountLabel", "config-linux.md, Mount Label"},
    {"linux.personality", "config-linux.md, Personality"},
    {"linux.intelRdt", "config-linux.md, IntelRdt"},
    {"linux.memoryPolicy", "config-linux.md, Memory Policy"},
    {"document", "config.md"},
}};

bool begins_with_name(std::string_view path, std::string_view name) {
    if (!path.starts_with(name)) return false;
    return path.size() == name.size() ||
           std::string_view{".[ ("}.find(path[name.size()]) != std::string_view::npos;
}

}  // namespace

std::string_view section_of(std::string_view path) {
    std::string_view section;
    size_t longest = 0;
    for (const auto& [name, where] : kSections)
        if (name.size() > longest && begins_with_name(path, name)) {
            section = where;
            longest = name.size();
        }
    return section;
}

}  // namespace hull::spec
