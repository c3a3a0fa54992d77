#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spec/runtime_resources.hpp"
#include "spec/seccomp_profile.hpp"

// The whole Linux configuration of the OCI runtime specification 1.3 (config.md, config-linux.md)
// as plain values. Names follow the specification; what a field means is said there. A field that
// is std::optional distinguishes "not given" from every value that can be given.

namespace hull::spec {

/// The version of the specification that is implemented.
inline constexpr std::string_view kRuntimeSpecVersion = "1.3.0";

/// One line of an id map, user_namespaces(7).
struct IdMapping {
    uint32_t container_id = 0;
    uint32_t host_id = 0;
    uint32_t size = 0;
    bool operator==(const IdMapping&) const = default;
};

/// root
struct Root {
    std::string path;  ///< as written: absolute, or relative to the bundle
    bool readonly = false;
    bool operator==(const Root&) const = default;
};

/// mounts[]
struct Mount {
    std::string destination;
    std::string type;
    std::string source;
    std::vector<std::string> options;
    std::vector<IdMapping> uid_mappings;
    std::vector<IdMapping> gid_mappings;
    bool operator==(const Mount&) const = default;
};

/// process.consoleSize; characters.
struct ConsoleSize {
    uint32_t height = 0;
    uint32_t width = 0;
    bool operator==(const ConsoleSize&) const = default;
};

/// process.user
struct User {
    uint32_t uid = 0;
    uint32_t gid = 0;
    std::optional<uint32_t> umask;
    std::vector<uint32_t> additional_gids;
    bool operator==(const User&) const = default;
};

/// process.capabilities: names as "CAP_CHOWN".
struct Capabilities {
    std::vector<std::string> bounding;
    std::vector<std::string> effective;
    std::vector<std::string> inheritable;
    std::vector<std::string> permitted;
    std::vector<std::string> ambient;
    bool operator==(const Capabilities&) const = default;
};

/// process.rlimits[]: type as "RLIMIT_NOFILE"; 2^64-1 is unlimited.
struct Rlimit {
    std::string type;
    uint64_t soft = 0;
    uint64_t hard = 0;
    bool operator==(const Rlimit&) const = default;
};

/// process.scheduler; runtime, deadline and period in nanoseconds.
struct Scheduler {
    std::string policy;  ///< "SCHED_OTHER", …
    std::optional<int32_t> nice;
    std::optional<int32_t> priority;
    std::vector<std::string> flags;  ///< "SCHED_FLAG_RESET_ON_FORK", …
    std::optional<uint64_t> runtime;
    std::optional<uint64_t> deadline;
    std::optional<uint64_t> period;
    bool operator==(const Scheduler&) const = default;
};

/// process.ioPriority
struct IoPriority {
    std::string io_class;  ///< "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"
    std::optional<int32_t> priority;
    bool operator==(const IoPriority&) const = default;
};

/// process.execCPUAffinity: CPU lists as "0-3,7".
struct ExecCpuAffinity {
    std::string initial;
    std::string final;
    bool operator==(const ExecCpuAffinity&) const = default;
};

/// process; also the whole of `exec --process FILE`.
struct Process {
    bool terminal = false;
    std::optional<ConsoleSize> console_size;
    User user;
    std::vector<std::string> args;
    std::vector<std::string> env;
    std::string cwd;
    std::optional<Capabilities> capabilities;
    std::vector<Rlimit> rlimits;
    bool no_new_privileges = false;
    std::string apparmor_profile;
    std::optional<int32_t> oom_score_adj;
    std::optional<Scheduler> scheduler;
    std::string selinux_label;
    std::optional<IoPriority> io_priority;
    std::optional<ExecCpuAffinity> exec_cpu_affinity;
    bool operator==(const Process&) const = default;
};

/// One entry of hooks.*[]
struct Hook {
    std::string path;
    std::vector<std::string> args;
    std::vector<std::string> env;
    std::optional<int32_t> timeout;  ///< seconds
    bool operator==(const Hook&) const = default;
};

/// hooks, in the order in which they run.
struct Hooks {
    std::vector<Hook> prestart;  ///< deprecated by the specification, still used
    std::vector<Hook> create_runtime;
    std::vector<Hook> create_container;
    std::vector<Hook> start_container;
    std::vector<Hook> poststart;
    std::vector<Hook> poststop;
    bool empty() const {
        return prestart.empty() && create_runtime.empty() && create_container.empty() &&
               start_container.empty() && poststart.empty() && poststop.empty();
    }
    bool operator==(const Hooks&) const = default;
};

/// linux.namespaces[]
struct Namespace {
    std::string type;  ///< "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"
    std::string path;  ///< empty: a new one
    bool operator==(const Namespace&) const = default;
};

/// linux.timeOffsets[CLOCK]
struct TimeOffset {
    std::string clock;  ///< "monotonic" or "boottime"
    int64_t secs = 0;
    uint32_t nanosecs = 0;
    bool operator==(const TimeOffset&) const = default;
};

/// linux.devices[]
struct Device {
    std::string type;  ///< "c", "u", "b", "p"
    std::string path;
    int64_t major = 0;
    int64_t minor = 0;
    std::optional<uint32_t> file_mode;
    std::optional<uint32_t> uid;
    std::optional<uint32_t> gid;
    bool operator==(const Device&) const = default;
};

/// linux.personality
struct Personality {
    std::string domain;  ///< "LINUX", "LINUX32"
    std::vector<std::string> flags;
    bool operator==(const Personality&) const = default;
};

/// linux.intelRdt
struct IntelRdt {
    std::string clos_id;
    std::vector<std::string> schemata;
    std::string l3_cache_schema;
    std::string mem_bw_schema;
    bool enable_monitoring = false;
    bool operator==(const IntelRdt&) const = default;
};

/// linux.memoryPolicy
struct MemoryPolicy {
    std::string mode;   ///< "MPOL_BIND", …
    std::string nodes;  ///< "0-3,7"
    std::vector<std::string> flags;
    bool operator==(const MemoryPolicy&) const = default;
};

/// linux.netDevices[NAME]
struct NetDevice {
    std::string host_name;
    std::string name;  ///< inside; empty: the same
    bool operator==(const NetDevice&) const = default;
};

/// linux
struct Linux {
    std::vector<Namespace> namespaces;
    std::vector<IdMapping> uid_mappings;
    std::vector<IdMapping> gid_mappings;
    std::vector<TimeOffset> time_offsets;
    std::vector<Device> devices;
    std::vector<NetDevice> net_devices;
    std::string cgroups_path;
    Resources resources;
    std::vector<std::pair<std::string, std::string>> sysctl;
    std::string rootfs_propagation;  ///< "shared", "rslave", …; empty: not given
    std::optional<SeccompProfile> seccomp;
    std::vector<std::string> masked_paths;
    std::vector<std::string> readonly_paths;
    std::string mount_label;
    std::optional<Personality> personality;
    std::optional<IntelRdt> intel_rdt;
    std::optional<MemoryPolicy> memory_policy;
    bool operator==(const Linux&) const = default;

    const Namespace* find_namespace(std::string_view type) const {
        for (const auto& entry : namespaces)
            if (entry.type == type) return &entry;
        return nullptr;
    }
};

/// A whole config.json for Linux.
struct RuntimeConfig {
    std::string oci_version;
    std::optional<Root> root;
    std::optional<Process> process;
    std::string hostname;
    std::string domainname;
    std::vector<Mount> mounts;
    Hooks hooks;
    std::vector<std::pair<std::string, std::string>> annotations;
    Linux linux_;  ///< "linux" is a macro of the compiler's
    bool operator==(const RuntimeConfig&) const = default;

    /// nullptr: no such annotation.
    const std::string* find_annotation(std::string_view name) const {
        for (const auto& [key, value] : annotations)
            if (key == name) return &value;
        return nullptr;
    }
};

}  // namespace hull::spec
