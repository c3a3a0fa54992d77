#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "registry/transfer.hpp"

namespace hull::registry {

/// Which family of media types an image is written in.
enum class ManifestFormat { keep, oci, docker };

/// "oci", "v2s2" (or "docker"), "" keeps.
Result<ManifestFormat> parse_manifest_format(const std::string& text);

/// The same manifest in another family; its digest changes, its blobs do not.
/// @errors unsupported: docker's family has no zstd layers, artifacts or subjects
Result<ManifestData> convert_manifest(const ManifestData& data, ManifestFormat format);

/// A source whose manifests are converted as they are read: an index gets the new digests.
/// `inner` is borrowed.
std::unique_ptr<ImageSource> convert_source(ImageSource& inner, ManifestFormat format);

}  // namespace hull::registry
