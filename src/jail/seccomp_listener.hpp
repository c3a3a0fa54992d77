#pragma once

#include "jail/step.hpp"

namespace hull::jail {

/// Loads a filter that has a listener. The parent takes the listener's descriptor over
/// (pidfd_getfd(2)): once the filter is in force, a system call of ours could wait for a listener
/// that nobody has yet. Runs in: child.
Result<void> install_with_listener(ProgramSetup& setup);

/// The memory in which the child tells the number; lives as long as the process.
Result<std::atomic<int>*> create_listener_cell();

/// Waits for the number, takes the descriptor and sends it with `state` to the unix socket at
/// plan.seccomp_listener_path. Runs in: parent.
/// @errors cancelled: the child ended first
struct ListenerRequest {
    const std::atomic<int>* cell = nullptr;
    int pidfd = -1;
    std::string socket_path;
    std::string state;
};
Result<void> forward_listener(const ListenerRequest& request);

}  // namespace hull::jail
