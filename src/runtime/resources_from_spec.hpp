#pragma once

#include <vector>

#include "base/result.hpp"
#include "kernel/cgroup_resources.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {

/// linux.resources in the kernel room's words.
kernel::CgroupResources cgroup_resources_from_spec(const spec::Resources& resources);

/// linux.resources.devices, then a rule for each node of linux.devices, then what every container
/// may use. @errors invalid: a rule of no known form, with its JSON path
Result<std::vector<kernel::DeviceRule>> device_rules_from_spec(const spec::Linux& section);

}  // namespace hull::runtime
