#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "jail/plan.hpp"

namespace hull::jail {

/// Where hooks write, as open descriptors, borrowed; -1: where we write ourselves.
struct HookOutputs {
    int out = -1;
    int errors = -1;
};

/// The hooks of one stage (OCI config.md, POSIX-platform Hooks).
struct HookRun {
    std::string_view stage;       ///< "createContainer", for messages
    std::string state;            ///< container state as JSON, the hook's stdin
    std::string directory;        ///< where it runs; empty: where we stand
    bool stop_at_failure = true;  ///< false: failures are warnings, the others still run
    HookOutputs outputs;
};

/// Runs the hooks in order, each with exactly its own environment, and waits for each; what a hook
/// writes goes to `outputs`, and the end of its stderr into the error.
/// @errors invalid: it exited with a failure; not_found, denied: cannot be executed; timeout: it
///         ran longer than its timeout and was killed with its process group
Result<void> run_hooks(const std::vector<HookPlan>& hooks, const HookRun& run);

}  // namespace hull::jail
