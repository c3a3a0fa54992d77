#pragma once

#include <string>

#include "base/result.hpp"
#include "jail/plan.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {

/// What a config.json does not say.
struct PlanContext {
    std::string id;               ///< the container's
    std::string bundle;           ///< absolute; relative paths of the configuration start here
    bool no_pivot = false;        ///< --no-pivot
    bool no_new_keyring = false;  ///< --no-new-keyring
};

/// Translates a configuration that check_runtime_config() found good. Pure: looks at no file.
/// @errors invalid or unsupported, with the JSON path: an unknown capability, mount option, …
Result<jail::Plan> plan_from_spec(const spec::RuntimeConfig& config, const PlanContext& context);

/// The process object alone (exec). The same for `exec --process FILE`.
Result<jail::ProcessPlan> plan_process(const spec::Process& process);

/// linux.seccomp in the kernel room's words.
Result<kernel::SeccompFilter> plan_seccomp(const spec::SeccompProfile& profile);

}  // namespace hull::runtime
