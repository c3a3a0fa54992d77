#pragma once

#include "base/result.hpp"
#include "store/snapshots.hpp"

namespace hull::store {

/// Makes upper and work in the new snapshot folder `directory`; the root folder gets the metadata
/// of the image's.
Result<void> create_overlay(const std::string& directory, const std::vector<std::string>& lower);

}  // namespace hull::store
