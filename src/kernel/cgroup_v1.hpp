#pragma once

#include <span>

#include "base/result.hpp"
#include "kernel/cgroup_file.hpp"
#include "kernel/cgroup_resources.hpp"

// The files of the v1 controllers. Kernel: Documentation/admin-guide/cgroup-v1.

namespace hull::kernel {

struct CgroupApply {
    bool is_new = false;  ///< no process yet, all files at the kernel's defaults
};

/// Writes what is set in `resources` into those directories that have the controller.
/// Controllers that are in no v1 directory are left to apply_v2_resources().
/// @errors invalid, denied, unsupported, conflict: from write_cgroup_file()
Result<void> apply_v1_resources(std::span<const ControllerDirectory> directories,
                                const CgroupResources& resources, CgroupApply apply);

/// Gives a new cpuset directory its parent's CPUs and memory nodes: an empty one takes no process.
Result<void> inherit_cpuset(int child, CgroupApply apply);

}  // namespace hull::kernel
