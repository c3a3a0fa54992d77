#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {

/// The hooks that run in the runtime's own namespaces: prestart, createRuntime, poststart,
/// poststop. (createContainer and startContainer run inside: jail.) OCI config.md, POSIX-platform
/// Hooks.
struct HookRun {
    std::string_view stage;       ///< "createRuntime", for messages
    std::string_view state;       ///< container state as JSON, the hook's stdin
    std::string directory;        ///< where it runs: the bundle; must exist
    bool stop_at_failure = true;  ///< false: failures are warnings, the others still run
};

/// Runs the hooks in order, each with exactly its own environment, and waits for each; what a hook
/// writes goes to our own stdout and stderr, and the end of its stderr into the error.
/// @errors invalid: it exited with a failure; not_found, denied: cannot be executed; timeout: it
///         ran longer than its timeout and was killed with its process group
Result<void> run_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run);

}  // namespace hull::runtime
