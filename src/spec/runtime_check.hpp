#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "spec/runtime.hpp"

namespace hull::spec {

/// One rule of the specification that a config.json breaks.
struct Violation {
    std::string path;     ///< "mounts[3].destination"
    std::string value;    ///< as written, quoted; empty when the field is missing
    std::string rule;     ///< "must be an absolute path"
    std::string section;  ///< "config.md, Mounts"
    std::string remedy;   ///< what to write instead
    /// "mounts[3].destination: \"proc\": must be an absolute path [config.md, Mounts] (…)"
    std::string to_string() const;
    bool operator==(const Violation&) const = default;
};

/// Every violation at once, in the order of the specification; empty: the configuration is good.
/// Pure: looks at no file system and no kernel.
std::vector<Violation> check_runtime_config(const RuntimeConfig& config);
/// The rules of the process object alone (`exec --process`).
std::vector<Violation> check_process(const Process& process);
/// The rules of linux.resources alone (`update`).
std::vector<Violation> check_resources(const Resources& resources);

/// The violations as one error: the first in full, the number of the others.
/// @errors invalid
Result<void> refuse_violations(const std::vector<Violation>& violations);

}  // namespace hull::spec
