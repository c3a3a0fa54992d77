#include "runtime/hooks.hpp"

#include "jail/hooks.hpp"

namespace hull::runtime {

Result<void> run_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run) {
    std::vector<jail::HookPlan> plans;
    plans.reserve(hooks.size());
    for (const auto& hook : hooks)
        plans.push_back({.path = hook.path,
                         .args = hook.args,
                         .environment = hook.env,
                         .timeout_seconds = hook.timeout});
    return jail::run_hooks(plans, {.stage = run.stage,
                                   .state = std::string{run.state},
                                   .directory = run.directory,
                                   .stop_at_failure = run.stop_at_failure});
}

}  // namespace hull::runtime
