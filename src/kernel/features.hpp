#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace hull::kernel {

enum class CgroupKind {
    none,    ///< no cgroup file system below /sys/fs/cgroup
    v1,      ///< controllers of version 1 only
    hybrid,  ///< version 1, and a version 2 tree at /sys/fs/cgroup/unified
    v2,      ///< one tree of version 2
};
std::string_view cgroup_kind_name(CgroupKind layout);

/// "6.18.44-x" -> {6, 18}
struct KernelVersion {
    int major = 0;
    int minor = 0;
    auto operator<=>(const KernelVersion&) const = default;
};
KernelVersion parse_kernel_version(std::string_view release);
KernelVersion kernel_version();

/// What this kernel gives, each tried and not guessed from the version.
struct Features {
    std::string release;                    ///< uname -r
    std::string machine;                    ///< uname -m
    std::vector<std::string> namespaces;    ///< the runtime-spec's words
    std::vector<std::string> capabilities;  ///< that this kernel knows
    std::vector<std::string> filesystems;   ///< /proc/filesystems
    std::vector<std::string> lsms;          ///< active
    CgroupKind cgroup_kind = CgroupKind::none;
    std::vector<std::string> cgroup_controllers;  ///< that can be used
    int landlock_abi = 0;
    bool apparmor = false;
    bool selinux = false;
    bool seccomp = false;
    std::vector<std::string> seccomp_actions;  ///< /proc/sys/kernel/seccomp/actions_avail
    std::vector<std::string> seccomp_flags;    ///< SECCOMP_FILTER_FLAG_*, each tried
    bool seccomp_notify = false;
    bool mount_api = false;                  ///< fsopen, move_mount (5.2)
    bool mount_setattr = false;              ///< 5.12
    bool idmapped_mounts = false;            ///< on tmpfs (6.3)
    bool overlay_by_descriptor = false;      ///< lowerdir+ (6.8) by FSCONFIG_SET_FD (6.13)
    bool open_tree_in_detached = false;      ///< mounts onto detached mounts (6.15)
    bool openat2 = false;                    ///< 5.6
    bool pidfd = false;                      ///< 5.3
    bool clone_into_cgroup = false;          ///< 5.7
    bool statmount = false;                  ///< 6.8
    bool time_namespaces = false;            ///< 5.6
    bool user_namespaces_for_users = false;  ///< an ordinary user may make them
    bool keyrings = false;
    bool intel_rdt = false;  ///< resctrl is mounted
};
/// Probes; makes nothing that stays. As root or not: what needs a right that is lacking is false.
Features probe_features();

}  // namespace hull::kernel
