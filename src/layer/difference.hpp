#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "layer/stream.hpp"

namespace hull::layer {

struct DifferenceReport {
    uint64_t entries = 0;
    uint64_t bytes = 0;
};

/// Writes what an overlay's upper folder holds as a layer archive: whiteouts as ".wh.NAME", opaque
/// folders as ".wh..wh..opq", hard links kept, sorted by name, reproducible. Both of overlayfs'
/// forms are understood, whoever mounted it. Ids are written as they are on disk. Sockets are left
/// out.
/// @param upper  open folder.
Result<DifferenceReport> write_difference(int upper, ByteSink& tar);

/// Writes a layer archive that turns the tree `before` into the tree `after`: what is new or
/// changed (type, content, mode, owner, time of modification, link, extended attributes), whiteouts
/// for what is gone. A file whose size and time are equal counts as unchanged unless
/// `compare_content`.
struct CompareRequest {
    int before = -1;  ///< open folder
    int after = -1;   ///< open folder
    bool compare_content = false;
};
Result<DifferenceReport> write_changes(const CompareRequest& request, ByteSink& tar);

}  // namespace hull::layer
