#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"

// Reading and writing the files of one cgroup directory, with errors that say which file of which
// controller refused which value.

namespace hull::kernel {

/// Writes `value` to `file` in the open `directory` with one write(2).
/// @errors unsupported: the file is missing; denied: not root, not delegated or read-only; invalid:
///         the kernel refuses the value; conflict: busy
Result<void> write_cgroup_file(int directory, const std::string& file, std::string_view value);
/// As write_cgroup_file(); false when the file is missing.
Result<bool> write_cgroup_file_if_present(int directory, const std::string& file,
                                          std::string_view value);
/// The text without its last newline. @errors unsupported: the file is missing
Result<std::string> read_cgroup_file(int directory, const std::string& file);
/// The text, or empty when it cannot be read.
std::string read_cgroup_file_or_empty(int directory, const std::string& file);
bool has_cgroup_file(int directory, const std::string& file);

/// "max" for a negative number.
std::string limit_text(int64_t limit);

/// One open directory of a v1 hierarchy.
struct ControllerDirectory {
    std::string_view hierarchy;  ///< "cpu,cpuacct"
    int directory;               ///< -1: the hierarchy is there, nothing is to be written to it
};
/// The directory of `controller`; -1 when none is to be written.
int find_controller(std::span<const ControllerDirectory> directories, std::string_view controller);
/// True when a v1 hierarchy has `controller`, so that v2 cannot have it.
bool is_v1_controller(std::span<const ControllerDirectory> directories,
                      std::string_view controller);
/// True when comma-separated `hierarchy` has `controller`.
bool has_controller(std::string_view hierarchy, std::string_view controller);

}  // namespace hull::kernel
