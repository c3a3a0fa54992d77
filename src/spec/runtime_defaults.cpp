#include "spec/runtime_defaults.hpp"

namespace hull::spec {

std::vector<std::string> default_capabilities() {
    return {"CAP_CHOWN",      "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
            "CAP_KILL",       "CAP_SETGID",       "CAP_SETUID", "CAP_NET_BIND_SERVICE",
            "CAP_SYS_CHROOT", "CAP_SETFCAP"};
}

std::vector<std::string> default_masked_paths() {
    return {"/proc/acpi",
            "/proc/asound",
            "/proc/interrupts",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/sched_debug",
            "/proc/scsi",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/sys/devices/system/cpu/cpu0/thermal_throttle",
            "/sys/devices/virtual/powercap",
            "/sys/firmware",
            "/sys/kernel/security"};
}

std::vector<std::string> default_readonly_paths() {
    return {"/proc/bus",      "/proc/fs",  "/proc/irq",
            "/proc/pressure", "/proc/sys", "/proc/sysrq-trigger"};
}

namespace {

// The second block of the range that hull's own containers come from: the first serves bind mounts.
constexpr uint32_t kFirstHostId = 1073741824 + 65536;
constexpr uint32_t kIdCount = 65536;

std::vector<Mount> default_mounts(bool rootless) {
    std::vector<Mount> mounts = {
        {.destination = "/proc",
         .type = "proc",
         .source = "proc",
         .options = {"nosuid", "noexec", "nodev"}},
        {.destination = "/dev",
         .type = "tmpfs",
         .source = "tmpfs",
         .options = {"nosuid", "noexec", "strictatime", "mode=755", "size=65536k"}},
        {.destination = "/dev/pts",
         .type = "devpts",
         .source = "devpts",
         .options = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
        {.destination = "/dev/shm",
         .type = "tmpfs",
         .source = "shm",
         .options = {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
        {.destination = "/dev/mqueue",
         .type = "mqueue",
         .source = "mqueue",
         .options = {"nosuid", "noexec", "nodev"}},
        {.destination = "/sys",
         .type = "sysfs",
         .source = "sysfs",
         .options = {"nosuid", "noexec", "nodev", "ro"}},
        {.destination = "/sys/fs/cgroup",
         .type = "cgroup",
         .source = "cgroup",
         .options = {"nosuid", "noexec", "nodev", "relatime", "ro"}}};
    // The terminal's group: an ordinary user maps only one.
    if (!rootless) mounts[2].options.emplace_back("gid=5");
    return mounts;
}

Process default_process() {
    Process process;
    process.terminal = true;
    process.args = {"sh"};
    process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                   "TERM=xterm"};
    process.cwd = "/";
    Capabilities& sets = process.capabilities.emplace();
    sets.bounding = default_capabilities();
    sets.effective = default_capabilities();
    sets.permitted = default_capabilities();
    process.rlimits = {{.type = "RLIMIT_NOFILE", .soft = 1024, .hard = 1024}};
    process.no_new_privileges = true;
    return process;
}

Linux default_linux(const DefaultsRequest& request) {
    Linux section;
    for (const char* type : {"pid", "network", "ipc", "uts", "mount", "cgroup", "user"})
        section.namespaces.push_back({.type = type, .path = {}});
    if (request.rootless) {
        section.uid_mappings = {{.container_id = 0, .host_id = request.host_uid, .size = 1}};
        section.gid_mappings = {{.container_id = 0, .host_id = request.host_gid, .size = 1}};
        section.sysctl = {{"net.ipv4.ping_group_range", "0 0"}};
    } else {
        section.uid_mappings = {{.container_id = 0, .host_id = kFirstHostId, .size = kIdCount}};
        section.gid_mappings = section.uid_mappings;
        section.sysctl = {{"net.ipv4.ping_group_range", "0 65535"}};
        section.resources.devices = {
            {.allow = false, .type = {}, .major = {}, .minor = {}, .access = "rwm"}};
        section.resources.pids_limit = 2048;
    }
    section.masked_paths = default_masked_paths();
    section.readonly_paths = default_readonly_paths();
    section.seccomp = default_seccomp_profile();
    return section;
}

}  // namespace

RuntimeConfig default_runtime_config(const DefaultsRequest& request) {
    RuntimeConfig config;
    config.oci_version = kRuntimeSpecVersion;
    config.process = default_process();
    config.root = Root{.path = "rootfs", .readonly = true};
    config.hostname = "hull";
    config.mounts = default_mounts(request.rootless);
    config.linux_ = default_linux(request);
    return config;
}

}  // namespace hull::spec
