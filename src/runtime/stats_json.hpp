#pragma once

#include <string>
#include <string_view>

#include "kernel/cgroup_stats.hpp"

namespace hull::runtime {

/// {"type":"stats","id":…,"data":{…}}: the shape that engines read from runc (types/events.go).
std::string format_stats_event(std::string_view id, const kernel::CgroupStats& stats);

}  // namespace hull::runtime
