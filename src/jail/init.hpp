#pragma once

#include "jail/step.hpp"

namespace hull::jail {

/// The steps before and in launch's child, in order: the documentation of what a container is.
std::span<const Step<LaunchSetup>> launch_steps();
/// The steps that launch and join share, which end with the program found.
std::span<const Step<ProgramSetup>> program_steps();

/// The child of clone3: carries out the steps, says `ready`, waits, executes. Does not return.
[[noreturn]] void run_launch_child(LaunchSetup& setup, const ChildEnd& channel);

/// What join's child does once it stands in its namespaces. Does not return but with an error.
/// @param start_fifo  as in LaunchRequest
Result<void> run_program(ProgramSetup& setup, int start_fifo,
                         const std::function<Result<void>()>& before_exec);

/// Reports the error to the parent, or on stderr when it has gone, and ends the process.
[[noreturn]] void end_with_error(const ChildEnd& channel, const Error& error, bool is_started,
                                 int start_fifo = -1);

/// Sends this process's log records through `channel` from now on.
void log_through(const ChildEnd& channel);

}  // namespace hull::jail
