#pragma once

#include <string>

#include "base/result.hpp"
#include "store/store.hpp"

namespace hull::store {

/// Renames `path` (inside the store) into trash/: gone at once for everybody, whatever its size.
/// @return  its new path; empty if `path` was not there.
Result<std::string> move_to_trash(const std::string& root, const std::string& path);

/// Deletes one entry of trash/, locked against a second remover. @return false if another process
/// is at it, or if part of it may not be deleted by this user.
Result<bool> delete_trashed(const std::string& path);

/// Deletes what is in trash/ and whose remover is gone. Rootless: in the user's namespace.
Result<void> empty_trash(const Store& store);

}  // namespace hull::store
