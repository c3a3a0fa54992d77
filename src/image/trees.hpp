#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "registry/transfer.hpp"
#include "spec/image.hpp"

namespace hull::image {

/// An image's manifest and configuration for one platform.
struct ImageView {
    registry::ManifestData data;
    spec::Manifest manifest;
    spec::ImageConfig config;
};
/// @errors invalid: an artifact
Result<ImageView> read_image_view(registry::ImageSource& source, const spec::Platform& platform);

/// Unpacks all layers, one over the other, below the open folder `root`; each layer's digest and
/// diff id are checked.
Result<void> unpack_image(registry::ImageSource& source, const ImageView& view, int root,
                          registry::Progress* progress);

/// One path that differs between two trees.
struct TreeChange {
    enum class Kind { added, removed, changed };
    Kind kind = Kind::changed;
    std::string path;  ///< "etc/passwd"
    std::string type;  ///< "file", "directory", "symlink" …; of what is there now
    uint64_t size_before = 0;
    uint64_t size_after = 0;
    std::vector<std::string>
        fields;  ///< what changed: type, content, mode, owner, time, link, xattrs
};

/// Compares two open folders, content included; sorted by path. What is inside an added or removed
/// folder is listed as well.
Result<std::vector<TreeChange>> compare_trees(int before, int after);

}  // namespace hull::image
