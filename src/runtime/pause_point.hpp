#pragma once

#include <string_view>

namespace hull::runtime {

/// For tests of what a killed command leaves behind: stops this process (SIGSTOP) here when the
/// environment variable HULL_DEBUG_PAUSE_AT is `step`. Otherwise costs one getenv(3).
void pause_point(std::string_view step);

}  // namespace hull::runtime
