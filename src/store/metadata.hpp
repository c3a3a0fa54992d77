#pragma once

#include <sys/stat.h>

#include <string>

#include "base/result.hpp"

namespace hull::store {

/// Gives `target` the owner, mode, extended attributes (but not overlayfs' own) and times of
/// `source`; neither is followed if it is a link. Both lie in trees that only this user can change.
/// An owner that this process may not give is an error.
Result<void> copy_metadata(const std::string& source, const std::string& target);

/// Whether both have equal owner, mode, extended attributes and modification time.
Result<bool> has_equal_metadata(const std::string& a, const std::string& b);

/// "trusted.overlay.", "user.overlay.": the overlay's marks, which no image may bring or keep.
bool is_overlay_xattr(std::string_view name);
/// Marks that a layer's folder hides what lies below it.
bool is_opaque(const std::string& directory);
/// Character device 0/0.
bool is_whiteout(const struct stat& info);

}  // namespace hull::store
