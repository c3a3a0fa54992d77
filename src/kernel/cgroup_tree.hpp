#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.hpp"

// Directories of a cgroup hierarchy: making, walking and removing them.

namespace hull::kernel {

/// Makes `path` and what is missing above it, down from `mount_point`. In a cpuset hierarchy every
/// new level inherits its parent's CPUs and memory nodes.
/// @return  true when `path` itself is new
/// @errors denied: not root, not delegated or mounted read-only
Result<bool> make_cgroup_directory(const std::string& mount_point, const std::string& path,
                                   bool is_cpuset);

/// Names of the nested cgroups directly below `path`; none when it is gone.
std::vector<std::string> nested_cgroups(const std::string& path);

/// Pids in `path` (cgroup.procs), with those of nested cgroups when `recursive`.
Result<std::vector<pid_t>> cgroup_processes(const std::string& path, bool recursive);

/// Removes `path` and all nested cgroups once. @return false: something in it is still busy
Result<bool> try_remove_cgroup(const std::string& path);

}  // namespace hull::kernel
