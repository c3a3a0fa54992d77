#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace hull::store {

/// Builds the whole file system of a chain as plain files in the new folder `target`: for machines
/// without overlayfs. Content is cloned where the file system can (FICLONE), else copied with its
/// holes; hard links inside a layer stay hard links.
/// @param lower  layer trees, top first, with overlay's whiteouts.
Result<void> copy_layers(const std::vector<std::string>& lower, const std::string& target);

}  // namespace hull::store
