#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace hull::runtime {

/// What `check` tells, one line each: path, value, rule with its section, remedy.
struct BundleReport {
    std::vector<std::string> problems;  ///< a container could not be made, or not as it says
    std::vector<std::string> notes;     ///< what would be ignored
};

/// Everything that is wrong with a bundle at once: types, the specification's rules, files, and
/// what this machine lacks. Changes nothing.
/// @param path  of the configuration
/// @errors not_found: there is none
Result<BundleReport> check_bundle(const std::string& bundle, const std::string& path);

}  // namespace hull::runtime
