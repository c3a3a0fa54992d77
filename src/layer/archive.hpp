#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "layer/compress.hpp"
#include "layer/receive.hpp"
#include "spec/image.hpp"
#include "spec/reference.hpp"
#include "store/store.hpp"

namespace hull::layer {

/// An image that came in, in the store but without a name yet.
struct LoadedImage {
    std::vector<std::string> names;  ///< full names that the archive gives; may be empty
    spec::Descriptor target;         ///< its manifest or index, a blob of the store
    spec::Digest id;                 ///< of the configuration
    std::vector<std::string> warnings;
};

struct LoadOptions {
    spec::Platform platform = spec::host_platform();  ///< which of an index is unpacked
    UnpackOptions unpack = unpack_options_here();
    /// Called at times with the bytes read so far.
    std::function<void(uint64_t)> progress;
};

/// Reads the output of `docker save`, `podman save`, an OCI layout as a tar (all of them compressed
/// or not, recognised by content), from a file or a pipe, into the store: layers are unpacked as
/// they stream by. A docker-archive may carry several images.
/// The caller sets the references, while `lease` lives.
/// @errors invalid: no archive of images; corrupt: a digest differs, which one.
Result<std::vector<LoadedImage>> load_archive(const store::Store& store, const store::Lease& lease,
                                              int input, const LoadOptions& options = {});

/// Reads an OCI layout in a folder, or docker's `dir:` form when there is no index.json.
Result<std::vector<LoadedImage>> load_directory(const store::Store& store,
                                                const store::Lease& lease, const std::string& path,
                                                const LoadOptions& options = {});

struct ImportOptions {
    spec::ContainerDefaults config;  ///< CMD, ENV and so on of the new image
    std::string message;             ///< history comment
    std::string created;             ///< RFC 3339; empty: now
    spec::Platform platform = spec::host_platform();
    UnpackOptions unpack = unpack_options_here();
    Compression compression = Compression::gzip;  ///< of the stored blob
    std::function<void(uint64_t)> progress;
};

/// Makes an image of one layer from a root file system archive (tar, compressed or not).
Result<LoadedImage> import_root_filesystem(const store::Store& store, const store::Lease& lease,
                                           int input, const ImportOptions& options = {});

/// One image to write.
struct SaveItem {
    std::vector<std::string> names;  ///< full names
    spec::Descriptor target;         ///< manifest or index in the store
};

enum class ArchiveFormat { docker, oci };

/// Writes images as `docker load`, `podman load`, skopeo and containerd read them. The same images
/// give the same bytes. docker: one manifest each (chosen for `platform`), layers uncompressed, as
/// docker writes them; oci: blobs as they are stored, also of an index.
Result<void> save_archive(const store::Store& store, const std::vector<SaveItem>& items,
                          ArchiveFormat format, ByteSink& output);

/// Writes an OCI layout into a folder, adding to what is there.
Result<void> save_oci_directory(const store::Store& store, const std::vector<SaveItem>& items,
                                const std::string& path);

}  // namespace hull::layer
