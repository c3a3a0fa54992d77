#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "layer/stream.hpp"

namespace hull::layer {

struct DifferenceOptions {
    bool userxattr = false;       ///< opaque folders are marked by user.overlay.opaque
    bool plain_whiteouts = true;  ///< character device 0/0 is a whiteout
};

struct DifferenceReport {
    uint64_t entries = 0;
    uint64_t bytes = 0;
};

/// Writes what an overlay's upper folder holds as a layer archive: whiteouts as ".wh.NAME", opaque
/// folders as ".wh..wh..opq", hard links kept, sorted by name, reproducible.
/// @param upper  open folder.
Result<DifferenceReport> write_difference(int upper, ByteSink& tar,
                                          const DifferenceOptions& options = {});

}  // namespace hull::layer
