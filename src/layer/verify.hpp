#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "layer/receive.hpp"
#include "store/store.hpp"

namespace hull::layer {

struct VerifyReport {
    /// Names that differ (type, content, owner, mode, time, links, attributes), at most ten, with
    /// whiteout names for what is missing; empty: the tree is what its blob unpacks to.
    std::vector<std::string> differences;
    bool was_repaired = false;
};

/// Compares an unpacked layer with its blob, byte by byte: unpacks the blob again and walks both.
/// With `repair` the fresh tree takes the place of a damaged one; containers that run on the old
/// one keep it until they end.
/// @errors not_found: no blob; corrupt: the blob itself is damaged (with `repair` it is removed);
/// those of unpacking.
Result<VerifyReport> verify_layer(const store::Store& store, const store::Lease& lease,
                                  const LayerRequest& request, bool repair);

/// The same for the extra layer that joins a chain of layers, all of which must be here.
/// @param diff_ids  lowest first.
/// @see store::Layers::complete_chain
Result<VerifyReport> verify_chain(const store::Store& store,
                                  const std::vector<spec::Digest>& diff_ids, bool repair);

}  // namespace hull::layer
