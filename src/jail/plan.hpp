#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jail/plan_mounts.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/idmap.hpp"
#include "kernel/namespaces.hpp"
#include "kernel/process_attributes.hpp"
#include "kernel/seccomp.hpp"

// Everything needed to make one confined process, resolved, as pure data. Front ends write it
// (plan_from_spec, plan_from_profile), plan_json prints it, launch and join carry it out. Nothing
// here is looked up later but what only the running system knows: paths, ids of open descriptors.

namespace hull::jail {

using kernel::NamespaceKind;

/// One namespace that differs from the caller's; kinds that are not listed are inherited.
struct NamespacePlan {
    NamespaceKind kind = NamespaceKind::mount;
    std::string path;  ///< join the one behind this path; empty: make a new one
};

/// ioprio_set(2).
struct IoPriorityPlan {
    int io_class = 0;  ///< 1 real time, 2 best effort, 3 idle
    int level = 0;     ///< 0 highest .. 7
};

struct ConsoleSize {
    uint16_t width = 0;
    uint16_t height = 0;
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
    bool keep_original_groups = false;  ///< those of the caller stay (annotation of crun's)
    std::optional<mode_t> umask;

    std::optional<kernel::CapabilitySets> capabilities;  ///< nullopt: as they are
    bool no_new_privileges = false;
    std::vector<kernel::ResourceLimit> rlimits;
    std::optional<int> oom_score_adjustment;
    std::optional<kernel::Scheduler> scheduler;
    std::optional<IoPriorityPlan> io_priority;
    /// CPUs of the setup phase and of the program (`execCPUAffinity`); empty: unchanged.
    std::vector<uint32_t> initial_cpus;
    std::vector<uint32_t> final_cpus;

    std::string apparmor_profile;
    std::string selinux_label;
};

/// One hook that runs inside the container's namespaces (OCI config.md, POSIX-platform Hooks).
struct HookPlan {
    std::string path;
    std::vector<std::string> args;  ///< argv, argv[0] included; empty: the path
    std::vector<std::string> environment;
    std::optional<int> timeout_seconds;
};

/// A network interface of the caller's that moves into the container.
struct NetworkDevicePlan {
    std::string name;
    std::string name_inside;  ///< empty: keeps its name
};

/// Landlock on top (landlock(7)), from the annotation `org.hull.landlock` or a profile.
struct LandlockPlan {
    struct PathRule {
        std::string path;                 ///< inside the container
        std::vector<std::string> access;  ///< "read", "write", "execute"
    };
    bool scope_signals = false;           ///< no signals to processes outside
    bool scope_abstract_sockets = false;  ///< no abstract unix sockets of outside
    bool restrict_files = false;          ///< only `paths` can be reached
    std::vector<PathRule> paths;
    bool restrict_tcp = false;  ///< only these ports
    std::vector<uint16_t> bind_ports;
    std::vector<uint16_t> connect_ports;
};

struct Plan {
    std::string id;  ///< the container's name, for its keyring and for messages
    std::vector<NamespacePlan> namespaces;
    kernel::IdMapping id_map;          ///< of a new user namespace
    kernel::TimeOffsets time_offsets;  ///< of a new time namespace

    RootPlan root;
    std::vector<MountPlan> mounts;    ///< in this order
    bool populate_dev = true;         ///< make `devices` and the standard links under /dev
    std::vector<DevicePlan> devices;  ///< with the standard ones
    std::vector<std::string> masked_paths;
    std::vector<std::string> readonly_paths;
    std::string mount_label;                     ///< SELinux context of new mounts
    std::string mount_label_option = "context";  ///< which mount option takes it: mount(8)

    std::optional<std::string> hostname;
    std::optional<std::string> domainname;
    std::vector<std::pair<std::string, std::string>> sysctl;  ///< "net.ipv4.ip_forward" -> "1"
    std::vector<NetworkDevicePlan> network_devices;
    std::optional<unsigned long> personality;  ///< personality(2)
    std::optional<kernel::MemoryPolicy> memory_policy;
    bool new_session_keyring = true;

    ProcessPlan process;
    std::optional<LandlockPlan> landlock;
    std::optional<kernel::SeccompFilter> seccomp;
    std::optional<kernel::SeccompProgram> seccomp_program;  ///< in the place of `seccomp`
    std::string seccomp_listener_path;  ///< unix socket that gets the listener's descriptor
    std::string seccomp_listener_metadata;
    std::vector<HookPlan> create_container_hooks;
    std::vector<HookPlan> start_container_hooks;

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
