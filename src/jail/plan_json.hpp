#pragma once

#include <string>

#include "jail/plan.hpp"

namespace hull::jail {

/// The plan as JSON for people and for golden tests: names instead of numbers, what is unset or
/// empty left out, members in a fixed order.
/// @param indent  negative: one line
std::string format_plan(const Plan& plan, int indent = 2);

}  // namespace hull::jail
