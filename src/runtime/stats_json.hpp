#pragma once

#include <string>

#include "kernel/cgroup_stats.hpp"
#include "runtime/container.hpp"

namespace hull::runtime {

/// {"type":"stats","id":…,"data":{…}}: the shape that engines read from runc (types/events.go).
std::string format_stats_event(const ContainerState& state, const kernel::CgroupStats& stats);

}  // namespace hull::runtime
