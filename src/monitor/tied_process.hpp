#pragma once

#include <sys/types.h>

#include <functional>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/spawn.hpp"

namespace hull::monitor {

/// Starts a program that the kernel kills when this process dies (PR_SET_PDEATHSIG): a runtime
/// whose monitor is gone must not go on making a container that nobody stands by. Only `program`,
/// `args` and `fds` of the request are used. The caller has one thread, and reaps the child.
/// @errors not_found, denied: the program cannot be executed
Result<pid_t> spawn_tied(const SpawnRequest& request);

/// Work for a forked child that looks like a program of its own: default signals, and of our
/// descriptors only 0, 1, 2 and those in `fds` ({ours, its number}, below 3).
struct ForkRequest {
    const char* name = "";      ///< what ps(1) shows; 15 bytes at most
    std::function<int()> work;  ///< @return  the exit code
    std::vector<std::pair<int, int>> fds;
    bool tied = false;  ///< as spawn_tied()
};
/// The caller has one thread, and reaps the child.
Result<pid_t> fork_process(const ForkRequest& request);

}  // namespace hull::monitor
