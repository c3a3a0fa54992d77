#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace hull::runtime {

/// The JSON path of the limit that is written to a cgroup file: "linux.resources.cpu.cpus" for
/// cpuset.cpus, of v1 and v2; "linux.resources" for a file that no field is known for.
std::string resource_path(std::string_view cgroup_file);

/// Adds the JSON path of the limit to an error of kernel::Cgroup about one of its files.
Error name_resource(Error error);

}  // namespace hull::runtime
