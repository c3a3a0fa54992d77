#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "spec/image.hpp"
#include "spec/platform.hpp"
#include "store/store.hpp"

namespace hull::store {

/// An image of the store, ready for use.
struct Image {
    std::vector<std::string> names;  ///< full names; empty for one that lost its last
    spec::Digest digest;             ///< of what the name stands for: a manifest or an index
    spec::Digest manifest_digest;    ///< of the platform's manifest
    spec::Digest id;                 ///< digest of the configuration, as in docker
    spec::Manifest manifest;
    spec::ImageConfig config;
    uint64_t size = 0;        ///< unpacked, bytes
    uint32_t highest_id = 0;  ///< highest uid or gid in its layers: what a container's range needs
    std::chrono::system_clock::time_point updated;
};

/// Finds an image by what a person types: a name ("debian:12"), an id or a unique beginning of one,
/// "sha256:…" of its configuration or manifest.
/// @errors not_found: no such image; conflict: a beginning that fits several.
Result<Image> find_image(const Store& store, const std::string& text,
                         const spec::Platform& platform = spec::host_platform());

/// Loads by the digest of a manifest or index.
Result<Image> load_image(const Store& store, const spec::Digest& digest,
                         const spec::Platform& platform = spec::host_platform());

/// All images that have a name and whose manifest for `platform` is here. One damaged image does
/// not hide the others: it is left out and warned of.
Result<std::vector<Image>> list_images(const Store& store,
                                       const spec::Platform& platform = spec::host_platform());

/// Notes that the image was used now (for the disk budget).
Result<void> touch_image(const Store& store, const spec::Digest& manifest_digest);

}  // namespace hull::store
