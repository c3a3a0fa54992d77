#pragma once

#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "registry/transfer.hpp"

namespace hull::image {

/// An image in an OCI layout folder (oci:). `tag` empty: the only image there is.
/// @errors not_found: no such tag, with those there are; invalid: no layout
Result<std::unique_ptr<registry::ImageSource>> open_layout_source(const std::string& folder,
                                                                  const std::string& tag);

/// Adds an image to an OCI layout folder, which is made if missing; a tag that is there moves.
Result<std::unique_ptr<registry::ImageTarget>> open_layout_target(const std::string& folder,
                                                                  const std::string& tag);

/// skopeo's dir: form: manifest.json, version, and blobs named by their hexadecimal digest.
Result<std::unique_ptr<registry::ImageSource>> open_folder_source(const std::string& folder);
Result<std::unique_ptr<registry::ImageTarget>> open_folder_target(const std::string& folder);

/// A blob that is a file. Shared by all sources that are folders.
Result<std::unique_ptr<registry::BlobReader>> open_file_blob(const std::string& path,
                                                             uint64_t offset);
/// Writes a blob to `path` unless it is there, verified, by way of a temporary file beside it.
/// @return  "done" or "already there"
Result<std::string> write_file_blob(const std::string& path, const spec::Descriptor& descriptor,
                                    registry::ImageSource& source, registry::Progress* progress,
                                    int item);

/// The annotation of an index's entry that holds its tag.
inline constexpr const char* kRefName = "org.opencontainers.image.ref.name";

}  // namespace hull::image
