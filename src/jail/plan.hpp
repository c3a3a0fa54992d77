#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jail/plan_mounts.hpp"

// Everything needed to make one confined process, resolved, as pure data. Front ends write it
// (plan_from_spec, plan_from_profile), plan_json prints it, launch and join carry it out. Nothing
// here is looked up later but what only the running system knows: paths, ids of open descriptors.

namespace hull::jail {

/// namespaces(7). The order is the one in which they are joined: user first, because it gives the
/// capabilities for the others; mount last, because it changes what paths mean.
enum class NamespaceKind { user, cgroup, ipc, uts, network, pid, time, mount };

/// One namespace that differs from the caller's; kinds that are not listed are inherited.
struct NamespacePlan {
    NamespaceKind kind = NamespaceKind::mount;
    std::string path;  ///< join the one behind this path; empty: make a new one
    bool operator==(const NamespacePlan&) const = default;
};

/// Offset of one clock in a new time namespace (time_namespaces(7)).
struct TimeOffset {
    std::string clock;  ///< "monotonic" or "boottime"
    int64_t seconds = 0;
    uint32_t nanoseconds = 0;
    bool operator==(const TimeOffset&) const = default;
};

/// The five sets of capabilities(7), bit N being capability number N.
struct CapabilityPlan {
    uint64_t bounding = 0;
    uint64_t effective = 0;
    uint64_t inheritable = 0;
    uint64_t permitted = 0;
    uint64_t ambient = 0;
    bool operator==(const CapabilityPlan&) const = default;
};

/// One limit of setrlimit(2).
struct RlimitPlan {
    static constexpr uint64_t kUnlimited = ~uint64_t{0};
    int resource = 0;  ///< RLIMIT_*
    uint64_t soft = 0;
    uint64_t hard = 0;
    bool operator==(const RlimitPlan&) const = default;
};

/// sched_setattr(2): numbers as the kernel takes them.
struct SchedulerPlan {
    uint32_t policy = 0;  ///< SCHED_*
    int32_t nice = 0;
    uint32_t priority = 0;
    uint64_t flags = 0;  ///< SCHED_FLAG_*
    uint64_t runtime = 0;
    uint64_t deadline = 0;
    uint64_t period = 0;  ///< nanoseconds, these three
    bool operator==(const SchedulerPlan&) const = default;
};

/// ioprio_set(2).
struct IoPriorityPlan {
    int io_class = 0;  ///< 1 real time, 2 best effort, 3 idle
    int level = 0;     ///< 0 highest .. 7
    bool operator==(const IoPriorityPlan&) const = default;
};

struct ConsoleSize {
    uint16_t width = 0;
    uint16_t height = 0;
    bool operator==(const ConsoleSize&) const = default;
};

/// The process itself: what both `launch` and `join` (exec) set up last.
struct ProcessPlan {
    std::vector<std::string> args;
    std::vector<std::string> environment;  ///< "NAME=value"; HOME is added from the user if missing
    std::string working_directory = "/";
    bool terminal = false;
    std::optional<ConsoleSize> console_size;

    uid_t uid = 0;  ///< ids as the container's user namespace sees them
    gid_t gid = 0;
    std::vector<gid_t> additional_groups;
    std::optional<mode_t> umask;

    std::optional<CapabilityPlan> capabilities;  ///< nullopt: none at all
    bool no_new_privileges = false;
    std::vector<RlimitPlan> rlimits;
    std::optional<int> oom_score_adjustment;
    std::optional<SchedulerPlan> scheduler;
    std::optional<IoPriorityPlan> io_priority;
    /// CPUs of the setup phase and of the program (`execCPUAffinity`); empty: unchanged.
    std::vector<unsigned> initial_cpus;
    std::vector<unsigned> final_cpus;

    std::string apparmor_profile;
    std::string selinux_label;
    bool operator==(const ProcessPlan&) const = default;
};

/// One hook that runs inside the container's namespaces (OCI config.md, POSIX-platform Hooks).
struct HookPlan {
    std::string path;
    std::vector<std::string> args;  ///< argv, argv[0] included; empty: the path
    std::vector<std::string> environment;
    std::optional<int> timeout_seconds;
    bool operator==(const HookPlan&) const = default;
};

/// set_mempolicy(2).
struct MemoryPolicyPlan {
    int mode = 0;                 ///< MPOL_* without flags
    unsigned flags = 0;           ///< MPOL_F_*
    std::vector<unsigned> nodes;  ///< NUMA nodes
    bool operator==(const MemoryPolicyPlan&) const = default;
};

/// A network interface of the caller's that moves into the container.
struct NetworkDevicePlan {
    std::string name;
    std::string name_inside;  ///< empty: keeps its name
    bool operator==(const NetworkDevicePlan&) const = default;
};

/// Landlock on top (landlock(7)), from the annotation `org.hull.landlock` or a profile.
struct LandlockPlan {
    struct PathRule {
        std::string path;                 ///< inside the container
        std::vector<std::string> access;  ///< "read", "write", "execute"
        bool operator==(const PathRule&) const = default;
    };
    bool scope_signals = false;           ///< no signals to processes outside
    bool scope_abstract_sockets = false;  ///< no abstract unix sockets of outside
    bool restrict_files = false;          ///< only `paths` can be reached
    std::vector<PathRule> paths;
    bool restrict_tcp = false;  ///< only these ports
    std::vector<uint16_t> bind_ports;
    std::vector<uint16_t> connect_ports;
    bool operator==(const LandlockPlan&) const = default;
};

struct Plan {
    std::string id;  ///< the container's name, for its keyring and for messages
    std::vector<NamespacePlan> namespaces;
    std::vector<IdMapping> uid_map;  ///< of a new user namespace
    std::vector<IdMapping> gid_map;
    std::vector<TimeOffset> time_offsets;

    RootPlan root;
    std::vector<MountPlan> mounts;    ///< in this order
    bool populate_dev = true;         ///< make `devices` and the standard links under /dev
    std::vector<DevicePlan> devices;  ///< with the standard ones
    std::vector<std::string> masked_paths;
    std::vector<std::string> readonly_paths;
    std::string mount_label;  ///< SELinux context of new mounts

    std::optional<std::string> hostname;
    std::optional<std::string> domainname;
    std::vector<std::pair<std::string, std::string>> sysctl;  ///< "net.ipv4.ip_forward" -> "1"
    std::vector<NetworkDevicePlan> network_devices;
    std::optional<uint32_t> personality;  ///< personality(2)
    std::optional<MemoryPolicyPlan> memory_policy;
    bool new_session_keyring = true;

    ProcessPlan process;
    std::optional<LandlockPlan> landlock;
    std::vector<HookPlan> create_container_hooks;
    std::vector<HookPlan> start_container_hooks;
    bool operator==(const Plan&) const = default;

    const NamespacePlan* find_namespace(NamespaceKind kind) const {
        for (const auto& entry : namespaces)
            if (entry.kind == kind) return &entry;
        return nullptr;
    }
    bool makes_new(NamespaceKind kind) const {
        const NamespacePlan* entry = find_namespace(kind);
        return entry != nullptr && entry->path.empty();
    }
    bool joins(NamespaceKind kind) const {
        const NamespacePlan* entry = find_namespace(kind);
        return entry != nullptr && !entry->path.empty();
    }
    /// The process will be in a user namespace other than the caller's.
    bool has_user_namespace() const { return find_namespace(NamespaceKind::user) != nullptr; }
};

}  // namespace hull::jail
