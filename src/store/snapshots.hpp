#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "spec/digest.hpp"
#include "store/store.hpp"

namespace hull::store {

enum class SnapshotDriver { overlay, copy };

/// How a container's root file system is put together: pure data; whoever runs the container mounts
/// it in its own mount namespace. As JSON:
/// `{"driver":"overlay","directory":"…","lower":["top",…,"bottom"],"upper":"…","work":"…",
///   "userxattr":false,"plainIds":true}`
struct SnapshotMounts {
    SnapshotDriver driver = SnapshotDriver::overlay;
    std::string directory;  ///< the snapshot's own folder, which holds upper and work
    /// Top first; use lowerdir+ by descriptor. Empty for copy.
    std::vector<std::string> lower;
    std::string upper;       ///< copy: the root file system itself, to be bound
    std::string work;        ///< empty for copy
    bool userxattr = false;  ///< the overlay's mount option of that name (rootless)
    /// Ids on disk are the image's own: each of `lower`, and `directory` as one mount (upper and
    /// work must lie on one), must be idmapped into the container's range. Else (rootless) they
    /// are right as seen in the user's namespace.
    bool plain_ids = true;
    bool operator==(const SnapshotMounts&) const = default;
};

std::string format_snapshot_mounts(const SnapshotMounts& mounts);
Result<SnapshotMounts> parse_snapshot_mounts(std::string_view json);

struct SnapshotRequest {
    std::string id;                      ///< of the container
    std::vector<spec::Digest> diff_ids;  ///< the image's, lowest first; may be empty
    SnapshotDriver driver = SnapshotDriver::overlay;
};

/// Writable copies of images: snapshots/ID. A snapshot keeps its layers from being collected.
class Snapshots {
  public:
    explicit Snapshots(const Store& store) : store_(&store) {}

    /// Not idempotent. overlay: two folders, in well under a millisecond; works as an ordinary user
    /// outside of any namespace. copy: copies the layers, in the namespace that unpacks.
    /// @errors exists; not_found: a layer is not unpacked here (hint: pull again); invalid: an id
    /// that is no file name.
    Result<SnapshotMounts> create(const SnapshotRequest& request) const;
    /// @errors not_found
    Result<SnapshotMounts> mounts(const std::string& id) const;
    Result<std::vector<std::string>> list() const;
    /// Idempotent: gone at once (renamed into trash/), then deleted. What an ordinary user may not
    /// delete outside of the namespace that owns it stays in trash/ until
    /// empty_trash() (store/trash.hpp) runs there.
    /// @return whether everything is deleted.
    Result<bool> remove(const std::string& id) const;

  private:
    const Store* store_;
};

}  // namespace hull::store
