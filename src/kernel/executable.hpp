#pragma once

#include <span>
#include <string>

#include "base/result.hpp"

namespace hull::kernel {

/// Ends CVE-2019-5736 for a program that turns into a container's process: whoever gets hold of
/// /proc/PID/exe of it (a container's program that is a link to /proc/self/exe, or a script with it
/// as interpreter) could write the host's file. Starts this program again from a detached,
/// read-only mount of its own file, where the kernel refuses that; without CAP_SYS_ADMIN from a
/// sealed copy in memory. Call it first: everything but arguments, environment and inherited
/// descriptors is lost.
/// @param args  with the program's name
/// @return  only when this process runs from such a file already, or on failure
/// @errors unsupported: neither way is open (a noexec memfd policy)
/// @see open_tree(2), execveat(2), memfd_create(2)
Result<void> continue_from_protected_file(std::span<const std::string> args);

/// Whether nobody can write to the file that this process runs from.
bool is_executable_protected();

}  // namespace hull::kernel
