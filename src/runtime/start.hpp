#pragma once

#include <string>

#include "base/result.hpp"
#include "runtime/container.hpp"
#include "runtime/settings.hpp"

namespace hull::runtime {

/// `start`: lets the process go on, waits until it runs its program, runs the poststart hooks.
/// @errors not_found; conflict: it is not waiting to be started
Result<void> start_container(const Settings& settings, const std::string& id);

/// The poststart hooks of a container that just started; when one fails the container is killed
/// (runtime.md, Lifecycle, step 9).
Result<void> run_poststart_hooks(const Container& container);

}  // namespace hull::runtime
