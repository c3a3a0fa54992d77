#pragma once

#include "jail/step.hpp"
#include "kernel/process.hpp"

namespace hull::jail {

/// True when namespaces of the plan apply to children only: a joined pid or user namespace, or a
/// time namespace that is joined or has offsets.
bool needs_middle_process(const Plan& plan);

/// Makes the child by way of a process that stands in those namespaces (protocol.hpp, second
/// table). The child is the caller's own. In the child this does not return.
Result<kernel::ClonedProcess> clone_through_middle(LaunchSetup& setup, Channel& channel,
                                                   uint64_t flags);

}  // namespace hull::jail
