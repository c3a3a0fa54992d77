#pragma once

#include <span>
#include <string>

#include "base/result.hpp"

namespace hull::kernel {

/// Ends CVE-2019-5736 for a program that turns into a container's process: whoever gets hold of
/// /proc/PID/exe of it (a container's program that is a link to /proc/self/exe, or a script with it
/// as interpreter) could write the host's file. Makes a detached, read-only mount of the program's
/// own file what /proc/self/exe leads to; there the kernel refuses to write. Where that cannot be
/// done in place, starts the program again from that mount, and without CAP_SYS_ADMIN from a sealed
/// copy in memory. Call it first: with the start everything but arguments, environment and
/// inherited descriptors is lost.
/// @param args  with the program's name
/// @return  when the file is protected, or on failure
/// @errors unsupported: no way is open (a noexec memfd policy)
/// @see open_tree(2), PR_SET_MM_EXE_FILE(2const), execveat(2), memfd_create(2)
Result<void> protect_own_file(std::span<const std::string> args);

/// Whether nobody can write to the file that this process runs from.
bool is_executable_protected();

/// Lets this process run from the file below `mount`, which must hold the very same program: its
/// text is mapped from there, its data becomes memory without a file, and /proc/self/exe leads
/// there. Takes a tenth of the time of an execve(2). Only for a process with one thread.
/// @param mount  O_PATH descriptor of the file
/// @errors denied: this needs CAP_SYS_RESOURCE on the host, or CAP_CHECKPOINT_RESTORE in this user
///         namespace. The process then goes on as before
Result<void> continue_from_file(int mount);

}  // namespace hull::kernel
