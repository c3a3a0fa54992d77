#pragma once

#include <string>

#include "base/result.hpp"
#include "store/layers.hpp"

namespace hull::store {

/// Reads FOLDER/record and FOLDER/implied. @errors not_found; corrupt: cannot be read
Result<LayerRecord> load_layer_record(const std::string& folder);
/// Writes both; `boot_id` is set to the present one.
Result<void> save_layer_record(const std::string& folder, const LayerRecord& record);

/// Of /proc/sys/kernel/random/boot_id; "unknown" where it cannot be read.
const std::string& current_boot_id();

}  // namespace hull::store
