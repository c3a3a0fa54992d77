#pragma once

#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "image/location.hpp"
#include "layer/archive.hpp"
#include "registry/access.hpp"
#include "registry/transfer.hpp"
#include "spec/platform.hpp"

namespace hull::image {

/// The image in an archive (docker-archive:, oci-archive:), spread out in the folder `work`, which
/// must stay as long as the source. Uncompressed layers of a docker archive are packed with gzip.
/// @param input  the archive, a file or a pipe; borrowed
/// @param name   which image of several; empty: the only one
Result<std::unique_ptr<registry::ImageSource>> open_archive_source(Location::Transport kind,
                                                                   int input,
                                                                   const std::string& name,
                                                                   const std::string& work);

/// A docker archive's manifest.json.
struct ArchiveImage {
    std::string config;  ///< member names
    std::vector<std::string> layers;
    std::vector<std::string> tags;
};
Result<std::vector<ArchiveImage>> parse_archive_manifest(std::string_view json);

/// Where a finished archive goes.
class ArchiveOutput {
  public:
    virtual ~ArchiveOutput() = default;
    virtual layer::ByteSink& sink() = 0;
    /// The archive is complete.
    virtual Result<void> finish() = 0;
};
/// A file, written beside its place and renamed at the end; what is there and no regular file is
/// written to as it is; "-" is stdout. Opened before the process confines itself; the folder of it
/// must stay writable.
/// @errors invalid: a folder
Result<std::unique_ptr<ArchiveOutput>> open_file_output(const std::string& path);

/// Docker's engine, by its socket (DOCKER_HOST or /var/run/docker.sock).
Result<std::string> docker_socket();
/// Writes the archive of image `name` to `output`. @errors not_found
Result<void> fetch_from_docker(registry::Access& access, const std::string& name, int output);
/// Gives an archive (an open file, read from its start) to `docker load`.
Result<void> send_to_docker(registry::Access& access, int archive);

/// A target that gathers the image in a store of its own in `work` and writes it as an archive.
/// @param output  borrowed
std::unique_ptr<registry::ImageTarget> open_archive_target(layer::ArchiveFormat format,
                                                           const std::string& name,
                                                           ArchiveOutput& output,
                                                           const std::string& work);

}  // namespace hull::image
