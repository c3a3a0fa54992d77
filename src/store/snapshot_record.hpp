#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "store/snapshots.hpp"

namespace hull::store {

/// What a snapshot is made of: the file `record` in its folder.
struct SnapshotRecord {
    SnapshotDriver driver = SnapshotDriver::overlay;
    std::vector<spec::Digest> diff_ids;
    bool userxattr = false;
    /// As loaded: both copies of the record are sound. Else save_snapshot_record() mends it.
    bool is_whole = true;
};

Result<void> save_snapshot_record(const std::string& directory, const SnapshotRecord& record);
/// @errors not_found, corrupt
Result<SnapshotRecord> load_snapshot_record(const std::string& directory);

}  // namespace hull::store
