#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "base/result.hpp"
#include "kernel/cgroup.hpp"
#include "runtime/container.hpp"
#include "runtime/settings.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {

/// Decides where the container's cgroups will be and notes it in `state`, before they are made: a
/// `delete` after a kill -9 finds them.
/// @errors invalid: linux.cgroupsPath is not of the manager's form
Result<void> plan_cgroup(const Settings& settings, const spec::RuntimeConfig& config,
                         ContainerState& state);

/// Makes the cgroup with its limits and notes its paths in `state`.
/// @return  nullopt: the container has none (manager `disabled`; systemd makes it later; an
///          ordinary user without delegation who asked for no limit)
Result<std::optional<kernel::Cgroup>> create_cgroup(const Settings& settings,
                                                    const spec::RuntimeConfig& config,
                                                    ContainerState& state);

/// The systemd manager: asks for a scope with `pid` in it, then sets what systemd does not.
Result<void> move_into_scope(const Settings& settings, const spec::RuntimeConfig& config, pid_t pid,
                             ContainerState& state);

}  // namespace hull::runtime
