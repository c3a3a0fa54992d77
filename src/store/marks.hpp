#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "spec/digest.hpp"
#include "store/store.hpp"

namespace hull::store {

/// What is in use: digests of blobs, diff ids of layers, and the chains of images and snapshots.
struct Marks {
    std::set<spec::Digest> digests;
    std::set<std::vector<spec::Digest>> chains;
    /// A container's record is damaged: nobody knows which layers it stands on.
    bool needs_unknown_layers = false;
};

/// Marks all that the manifest or index `root` needs and that is here. What cannot be read needs
/// nothing; check_store() tells of it.
void mark_image(const Store& store, const spec::Digest& root, Marks& marks);

/// Marks what references, snapshots, the leases of living processes and `keep` need. To be called
/// with the store locked exclusively.
Result<Marks> mark_all(const Store& store, const std::vector<spec::Digest>& keep);
/// As mark_all(), without the references: what would stay if no image had a name.
Result<Marks> mark_in_use(const Store& store, const std::vector<spec::Digest>& keep);

}  // namespace hull::store
