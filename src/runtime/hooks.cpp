#include "runtime/hooks.hpp"

#include <fcntl.h>

namespace hull::runtime {

Result<HookFiles> open_hook_files(
    const std::vector<std::pair<std::string, std::string>>& annotations) {
    HookFiles files;
    for (const auto& [name, path] : annotations) {
        if (name != "run.oci.hooks.stdout" && name != "run.oci.hooks.stderr") continue;
        Fd file = TRY(with_context(open_path(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, 0600),
                                   "annotation " + name));
        (name == "run.oci.hooks.stdout" ? files.out : files.errors) = std::move(file);
    }
    return files;
}

Result<void> run_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run) {
    if (hooks.empty()) return {};
    std::vector<jail::HookPlan> plans;
    plans.reserve(hooks.size());
    for (const auto& hook : hooks)
        plans.push_back({.path = hook.path,
                         .args = hook.args,
                         .environment = hook.env,
                         .timeout_seconds = hook.timeout});
    HookFiles files;
    if (run.annotations != nullptr) files = TRY(open_hook_files(*run.annotations));
    return jail::run_hooks(plans, {.stage = run.stage,
                                   .state = std::string{run.state},
                                   .directory = run.directory,
                                   .stop_at_failure = run.stop_at_failure,
                                   .outputs = files.outputs()});
}

}  // namespace hull::runtime
