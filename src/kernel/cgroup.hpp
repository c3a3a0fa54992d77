#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "kernel/cgroup_resources.hpp"
#include "kernel/cgroup_stats.hpp"

// Control groups on v1, v2 and the hybrid of both, behind one value. cgroups(7).
//
// No process is ever moved by writing cgroup.procs when a container starts: that takes a
// kernel-wide lock, 11 ms on an idle machine. A v1 hierarchy is joined by the child itself, which
// writes "0" to the `tasks` descriptors of v1_tasks() while it has one thread; v2 by clone3(2) with
// CLONE_INTO_CGROUP and v2_directory().

namespace hull::kernel {

/// One mounted v1 hierarchy.
struct CgroupV1Hierarchy {
    std::vector<std::string> controllers;  ///< {"cpu", "cpuacct"}, or {"name=systemd"}
    std::string mount_point;               ///< "/sys/fs/cgroup/cpu,cpuacct"
    std::string mount_root;                ///< which part of the hierarchy is mounted; "/" for all
    std::string own_path;                  ///< where this process is, from /proc/self/cgroup
    /// "cpu,cpuacct", "name=systemd": the key in CgroupPaths.
    std::string name() const;
};

/// The mounted v2 hierarchy.
struct CgroupV2Hierarchy {
    std::string mount_point;               ///< "/sys/fs/cgroup" or "/sys/fs/cgroup/unified"
    std::string mount_root;                ///< "/" for all
    std::string own_path;                  ///< where this process is
    std::vector<std::string> controllers;  ///< cgroup.controllers at the mount point
};

enum class CgroupMode { none, v1, hybrid, v2 };

/// What is mounted. `hybrid`: v1 controllers and a v2 hierarchy beside them.
struct CgroupLayout {
    std::vector<CgroupV1Hierarchy> v1;
    std::optional<CgroupV2Hierarchy> v2;

    CgroupMode mode() const;
    /// The v1 hierarchy of "memory" or "name=systemd"; nullptr when there is none.
    const CgroupV1Hierarchy* find_v1(std::string_view controller) const;
};

/// Reads a layout from the texts of /proc/self/mountinfo and /proc/self/cgroup. Pure, but for
/// cgroup.controllers of v2, which the caller fills in.
/// @errors invalid: a line that is not of mountinfo's form
Result<CgroupLayout> parse_cgroup_layout(std::string_view mountinfo, std::string_view own_cgroups);
/// This machine's layout, read once per process.
Result<const CgroupLayout*> cgroup_layout();

/// Where one container's cgroups are: what a state file keeps. Absolute paths on the host.
struct CgroupPaths {
    std::vector<std::pair<std::string, std::string>> v1;  ///< {"cpu,cpuacct", "/sys/fs/cgroup/…"}
    std::string v2;                                       ///< empty: none
    bool empty() const { return v1.empty() && v2.empty(); }
};

struct CgroupSettings {
    /// Absolute: below the mount points. Relative: below this process's own cgroup (v2: below its
    /// parent, as a cgroup that holds processes can not hand on controllers), as runc has it.
    std::string path;
    CgroupResources resources;
    /// Applied in order, the last match counts, all else is refused. nullopt: the devices of the
    /// container are not restricted.
    std::optional<std::vector<DeviceRule>> device_rules;
    /// The host's ids that own a container which may manage a subtree of its own (v2 and
    /// name=systemd): its directory, cgroup.procs, cgroup.subtree_control and cgroup.threads are
    /// given to them.
    std::optional<std::pair<uid_t, gid_t>> delegate_to;
    /// An ordinary user: hierarchies that may not be written are left out, and so is the device
    /// policy; it is an error only when a resource needs one of them.
    bool is_rootless = false;
    /// systemd made the cgroup and it holds a process already: that is no conflict.
    bool is_prepared = false;
};

/// What an opened cgroup is for.
enum class CgroupUse {
    control,  ///< limits, statistics, kill, remove
    join,     ///< as well a new process: v1_tasks() and v2_directory()
};

/// One container's cgroup in all hierarchies. Owns directory descriptors; dropping the value
/// removes nothing.
class Cgroup {
  public:
    /// Makes the cgroup in each hierarchy and applies resources and device rules. When any part
    /// fails, what was made is removed again.
    /// @errors exists: there already, with processes in it; denied: not root and not delegated (a
    ///         caller that asked for no limits may go on without a cgroup); unsupported: a resource
    ///         whose controller this machine does not have; invalid: the kernel refuses a value
    static Result<Cgroup> create(const CgroupSettings& settings);
    /// An existing cgroup. Hierarchies whose directory is gone are left out.
    /// @errors not_found: with `join`, a directory is gone
    static Result<Cgroup> open(const CgroupPaths& paths, CgroupUse use = CgroupUse::control);

    const CgroupPaths& paths() const { return paths_; }
    /// Open `tasks` files of every v1 hierarchy, borrowed. Empty unless made for joining.
    std::vector<int> v1_tasks() const;
    /// The v2 directory for CLONE_INTO_CGROUP, borrowed; -1: none. Always open when there is one.
    int v2_directory() const { return v2_.get(); }

    /// Changes the resources that are set in `resources`, and only these.
    /// @errors as create()
    Result<void> update(const CgroupResources& resources);
    Result<void> apply_device_rules(const std::vector<DeviceRule>& rules);
    /// Freezes all processes and waits until all are frozen.
    Result<void> freeze();
    Result<void> thaw();
    Result<bool> is_frozen() const;
    /// Pids in the cgroup, with those of nested cgroups when `recursive`, as this process sees
    /// them.
    Result<std::vector<pid_t>> processes(bool recursive) const;
    /// Sends `signal` to every process, nested cgroups included. SIGKILL goes through cgroup.kill
    /// (kernel 5.14) or a freeze, so that no fork escapes it.
    Result<void> kill_all(int signal);
    /// Kills what is left and removes the cgroup with all nested ones. Idempotent.
    /// @errors conflict: still busy after two seconds
    Result<void> destroy();
    Result<CgroupStats> stats() const;
    /// True when no hierarchy has the directory any more.
    bool is_gone() const;

  private:
    struct V1Directory {
        std::string name;  ///< "cpu,cpuacct"
        std::string path;
        Fd directory;  ///< opened when first needed
        Fd tasks;
        bool is_made = false;
    };

    Result<void> make_v1(const CgroupLayout& layout, const CgroupSettings& settings);
    Result<void> make_v2(const CgroupLayout& layout, const CgroupSettings& settings);
    Result<void> configure(const CgroupSettings& settings);
    Result<void> apply(const CgroupResources& resources, bool is_new);
    Result<void> open_v1(const std::vector<std::string_view>& controllers);
    void remove_made();
    /// The directory of a v1 controller, opened now if need be; -1: none.
    int v1_directory(std::string_view controller) const;
    Result<void> kill_frozen(int signal);

    CgroupPaths paths_;
    mutable std::vector<V1Directory> v1_;
    Fd v2_;
    bool is_v2_made_ = false;
};

/// Where Cgroup::create() will put a cgroup of this path, before it is made: what a caller notes
/// down so that the cgroup is found whatever happens to the caller.
Result<CgroupPaths> plan_cgroup_paths(const std::string& path);
/// The paths of `sub` below `paths`, in the notation of `runc exec --cgroup`: "PATH" for every
/// hierarchy or "CONTROLLER[,CONTROLLER]:PATH" for some of them. The directories must exist.
/// @errors invalid: a path that leaves the cgroup, or an unknown controller
Result<CgroupPaths> sub_cgroup_paths(const CgroupPaths& paths, std::string_view sub);
/// Where process `pid` is now: for joining a container whose init has moved into a cgroup of its
/// own below the container's (systemd does).
Result<CgroupPaths> cgroup_paths_of(pid_t pid);

}  // namespace hull::kernel
