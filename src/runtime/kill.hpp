#pragma once

#include <string>

#include "base/result.hpp"
#include "runtime/container.hpp"
#include "runtime/settings.hpp"

namespace hull::runtime {

/// `kill`
struct KillRequest {
    std::string id;
    int signal = 15;
    bool all = false;  ///< every process of the container
};
/// @errors not_found: no such container; conflict ("container not running"): it has ended
Result<void> kill_container(const Settings& settings, const KillRequest& request);

}  // namespace hull::runtime
