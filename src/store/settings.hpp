#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "base/units.hpp"
#include "store/store.hpp"

namespace hull::store {

/// What may be decided about a store: ROOT/settings.json, written by hand.
/// `{"imageBudget": "20g"}`
struct StoreSettings {
    /// Images unused longest are dropped when blobs and layers take more; not set: never.
    std::optional<Bytes> image_budget;
};

std::string settings_path(const std::string& root);
/// No file: the defaults. @errors invalid: naming the file and the key
Result<StoreSettings> load_settings(const std::string& root);

}  // namespace hull::store
