#pragma once

#include <optional>

#include "base/result.hpp"
#include "kernel/cgroup.hpp"
#include "runtime/container.hpp"
#include "runtime/settings.hpp"
#include "runtime/systemd_scope.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {

/// Decides where the container's cgroups will be and notes it in `state`, before they are made: a
/// `delete` after a kill -9 finds them.
/// @errors invalid: linux.cgroupsPath is not of the manager's form
Result<void> plan_cgroup(const Settings& settings, const spec::RuntimeConfig& config,
                         ContainerState& state);

/// A container's new cgroup; empty: it has none.
struct NewCgroup {
    std::optional<kernel::Cgroup> cgroup;
    /// Holds a scope of systemd's until the container's process is in it.
    std::optional<ScopeKeeper> keeper;
    /// cgroup.procs of the cgroup below that the annotation run.oci.delegate-cgroup names: the
    /// container's process goes there, and manages it; its limits stay above.
    Fd delegated;
};
/// Makes the cgroup with its limits (manager systemd: asks for a scope and sets in it what systemd
/// does not) and notes its paths in `state`.
/// @return  no cgroup: manager `disabled`, or an ordinary user without delegation who asked for no
///          limit
Result<NewCgroup> create_cgroup(const Settings& settings, const spec::RuntimeConfig& config,
                                ContainerState& state);

}  // namespace hull::runtime
