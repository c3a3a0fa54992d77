#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"
#include "spec/digest.hpp"
#include "store/store.hpp"

namespace hull::store {

struct CollectOptions {
    std::vector<spec::Digest> keep;  ///< more manifests to keep, e.g. those of containers
    /// Interrupted downloads that are younger stay, for the next pull to continue.
    std::chrono::seconds partial_age = std::chrono::hours(24);
};

struct CollectReport {
    uint64_t blobs = 0;
    uint64_t layers = 0;
    Bytes freed;
};

/// Removes what no reference, snapshot or lease needs: blobs, layers, chains; abandoned partial
/// files, stagings and trash. Safe beside pulls and other collects. Rootless: runs in the namespace
/// that unpacks.
Result<CollectReport> collect(const Store& store, const CollectOptions& options = {});

/// Removes those of `diff_ids` that no reference, snapshot or lease needs.
/// @return  the others
Result<std::vector<spec::Digest>> drop_unneeded_layers(const Store& store,
                                                       const std::vector<spec::Digest>& diff_ids);

/// The chains of layers of all images and snapshots.
Result<std::set<std::vector<spec::Digest>>> needed_chains(const Store& store);

/// Bytes on disk (allocated blocks), as `du` counts them.
struct DiskUsage {
    Bytes blobs;
    Bytes layers;
    Bytes snapshots;
    Bytes other;        ///< partial, staging, trash
    Bytes reclaimable;  ///< what collect() would free
    Bytes unused;       ///< what it would free if all images without a snapshot lost their names
};
/// @param keep  more manifests that are in use, e.g. those of containers
Result<DiskUsage> disk_usage(const Store& store, const std::vector<spec::Digest>& keep = {});
/// Of one folder, each inode once; 0 if it is not there.
Bytes allocated_bytes(const std::string& path);

/// Bytes on disk of blobs and layers: what a budget is about.
Bytes image_bytes(const Store& store);

/// Drops the names of images unused longest, then collects, until the store is within `budget`.
/// @param in_use  manifests that must stay.
/// @return names dropped, in order.
Result<std::vector<std::string>> keep_budget(const Store& store, Bytes budget,
                                             const std::vector<spec::Digest>& in_use);

}  // namespace hull::store
