#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "kernel/cgroup_resources.hpp"

// Asks systemd for a container's cgroup: a transient scope unit, by a few D-Bus messages over the
// bus socket (org.freedesktop.systemd1(5)).

namespace hull::runtime {

/// linux.cgroupsPath of the systemd manager: "slice:prefix:name".
struct SystemdCgroupName {
    std::string slice;   ///< "machine.slice"; empty: "system.slice", or "user.slice" when rootless
    std::string prefix;  ///< "docker"
    std::string name;    ///< the container's id
    /// "docker-ID.scope"; a name that ends in ".slice" is a unit of its own.
    std::string unit() const;
};
/// @param text  "slice:prefix:name", or empty for the default of container `id`
/// @errors invalid: not three parts, or a slice that is no valid slice name
Result<SystemdCgroupName> parse_systemd_cgroup_name(std::string_view text, std::string_view id,
                                                    bool is_rootless);
/// The cgroup of a slice: "a-b.slice" is "/a.slice/a-b.slice"; "-.slice" is "/".
Result<std::string> expand_slice(std::string_view slice);

struct SystemdScopeRequest {
    SystemdCgroupName name;
    std::string description;  ///< "hull container ID"
    /// Processes to put into the scope; systemd makes the cgroup only with one.
    std::vector<pid_t> pids;
    kernel::CgroupResources resources;
    /// {"TimeoutStopUSec", "uint64 123"}: the annotations org.systemd.property.NAME with their
    /// values in GVariant's text form.
    std::vector<std::pair<std::string, std::string>> properties;
    bool is_user_bus = false;  ///< rootless: the user's own systemd
};

/// A process that does nothing but hold a scope open until the container's first process is in its
/// cgroup: systemd starts a scope only with a process, and the container is born into its cgroup.
/// Killed when this value ends.
class ScopeKeeper {
  public:
    static Result<ScopeKeeper> create();
    ScopeKeeper(ScopeKeeper&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
    ScopeKeeper& operator=(ScopeKeeper&&) = delete;
    ScopeKeeper(const ScopeKeeper&) = delete;
    ScopeKeeper& operator=(const ScopeKeeper&) = delete;
    ~ScopeKeeper();
    pid_t pid() const { return pid_; }

  private:
    explicit ScopeKeeper(pid_t pid) : pid_(pid) {}
    pid_t pid_ = -1;
};

/// Starts the scope with Delegate=yes and waits until its job is done. A unit of this name that has
/// failed is forgotten first.
/// @return  the scope's cgroup path as systemd says ("/system.slice/x.scope")
/// @errors not_found: no bus; exists: a unit of that name runs; invalid: a property that
///         systemd refuses; timeout: the job took over 30 s
Result<std::string> start_systemd_scope(const SystemdScopeRequest& request);
/// Makes `name` below the cgroup of a scope and moves `keeper` into it, so that the scope itself
/// holds no process and can hand controllers down (annotation run.oci.systemd.subgroup).
/// @return  the cgroup path of the new one
/// @errors invalid: `name` is a path
Result<std::string> make_scope_subgroup(const std::string& scope, const std::string& name,
                                        const ScopeKeeper& keeper);
/// An ordinary user may move processes only between cgroups of the user's own systemd: when this
/// process is elsewhere (a login session), moves it into a scope of its own there. To be called
/// before a process is put into a cgroup of the user's.
Result<void> enter_user_scope();
/// Stops a scope, waits for it, and forgets its failure. A unit that is gone is no error.
Result<void> stop_systemd_scope(const std::string& unit, bool is_user_bus);
/// Changes properties of a running scope (SetUnitProperties, runtime only).
Result<void> update_systemd_scope(const std::string& unit, const kernel::CgroupResources& resources,
                                  bool is_user_bus);
/// True when systemd runs this machine (or user session) and its bus answers.
bool has_systemd(bool is_user_bus);

}  // namespace hull::runtime
