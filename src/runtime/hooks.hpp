#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "jail/hooks.hpp"
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
    const std::vector<std::pair<std::string, std::string>>* annotations = nullptr;  ///< see below
};

/// Where the annotations run.oci.hooks.stdout and run.oci.hooks.stderr send what hooks write: files
/// of the runtime's namespace, made when missing, appended to. Not open: our own descriptors.
struct HookFiles {
    Fd out;
    Fd errors;
    jail::HookOutputs outputs() const { return {.out = out.get(), .errors = errors.get()}; }
};
Result<HookFiles> open_hook_files(
    const std::vector<std::pair<std::string, std::string>>& annotations);

/// Runs the hooks in order, each with exactly its own environment, and waits for each; what a hook
/// writes goes where the annotations say, and the end of its stderr into the error.
/// @errors invalid: it exited with a failure; not_found, denied: cannot be executed; timeout: it
///         ran longer than its timeout and was killed with its process group
Result<void> run_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run);

}  // namespace hull::runtime
