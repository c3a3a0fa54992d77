#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.hpp"

// Folders that hold what decides over containers: whoever owns one owns them and their hooks. In
// /tmp anybody may have been first.

namespace hull {

/// mkdir of a folder that nobody else may fill or exchange. What stands there already passes only
/// as check_own_directory() has it. Parents are not made.
Result<void> create_own_directory(const std::string& path, mode_t mode);
/// @errors denied: a link, no folder, somebody else's, or others may write to it
Result<void> check_own_directory(const std::string& path);

}  // namespace hull
