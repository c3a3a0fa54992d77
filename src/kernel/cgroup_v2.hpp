#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "kernel/cgroup.hpp"
#include "kernel/cgroup_file.hpp"
#include "kernel/cgroup_v1.hpp"

// The files of the v2 controllers. Kernel: Documentation/admin-guide/cgroup-v2.rst.

namespace hull::kernel {

/// Writes what is set in `resources` into the v2 `directory`, but for controllers that one of
/// `v1` has (the hybrid layout), and the unified map last.
/// @errors as apply_v1_resources()
Result<void> apply_v2_resources(int directory, std::span<const ControllerDirectory> v1,
                                const CgroupResources& resources, CgroupApply apply);

/// Hands `controllers` down from the mount point to the parent of `path` (cgroup.subtree_control of
/// each level), writing only where one is missing. A controller that some level refuses is left out
/// with a debug record: what needs it fails by name when its file is missing.
Result<void> enable_v2_controllers(const CgroupV2Hierarchy& hierarchy, const std::string& path,
                                   const std::vector<std::string>& controllers);

/// The v2 controllers that `resources` needs, without those that a v1 hierarchy has.
std::vector<std::string> needed_v2_controllers(const CgroupResources& resources,
                                               const CgroupLayout& layout);

/// "quota period" for cpu.max. `current` is the file's present text, for what is not set.
std::string cpu_max_text(const CpuResources& cpu, std::string_view current);

}  // namespace hull::kernel
