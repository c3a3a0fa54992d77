#pragma once

#include <sys/types.h>

#include "base/result.hpp"
#include "base/spawn.hpp"

namespace hull::monitor {

/// Starts a program that the kernel kills when this process dies (PR_SET_PDEATHSIG): a runtime
/// whose monitor is gone must not go on making a container that nobody stands by. Only `program`,
/// `args` and `fds` of the request are used. The caller has one thread, and reaps the child.
/// @errors not_found, denied: the program cannot be executed
Result<pid_t> spawn_tied(const SpawnRequest& request);

}  // namespace hull::monitor
