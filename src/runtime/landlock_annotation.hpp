#pragma once

#include <string_view>

#include "base/result.hpp"
#include "jail/plan.hpp"

namespace hull::runtime {

/// Reads the annotation `org.hull.landlock`: a JSON object with any of
/// `"scopes": ["signal", "abstract-socket"]`,
/// `"paths": [{"path": "/usr", "access": ["read", "write", "execute"]}]` (then nothing else can be
/// reached), `"bind": [80], "connect": [443]` (then no other TCP port can be used).
/// @errors invalid: with the JSON path
Result<jail::LandlockPlan> parse_landlock_annotation(std::string_view text);

}  // namespace hull::runtime
