#pragma once

#include <map>
#include <string>

#include "base/result.hpp"
#include "layer/archive.hpp"
#include "layer/receive.hpp"

namespace hull::layer {

/// What an archive of images held: documents as text, layers already in the store.
struct ArchiveMembers {
    std::map<std::string, std::string> documents;  ///< by member name
    std::map<std::string, NewLayer> layers;        ///< by member name
    std::map<std::string, std::string> links;      ///< member name -> member name

    /// The name that is behind links (old docker archives link equal layers).
    std::string real_name(const std::string& name) const;
    /// @errors invalid: not in the archive.
    Result<const std::string*> document(const std::string& name) const;
    Result<const NewLayer*> layer(const std::string& name) const;
};

/// Reads an archive of images as a stream; layers go into the store as they come by.
Result<ArchiveMembers> read_members(const store::Store& store, const store::Lease& lease,
                                    ByteSource& archive, const LoadOptions& options);

/// What `docker save` wrote: manifest.json. Defined in archive_json.cpp.
struct DockerArchiveImage {
    std::string config;                  ///< member name
    std::vector<std::string> repo_tags;  ///< as written there
    std::vector<std::string> layers;     ///< member names, lowest first
};
Result<std::vector<DockerArchiveImage>> parse_docker_archive(const std::string& manifest_json);
std::string format_docker_archive(const std::vector<DockerArchiveImage>& images);
/// @errors invalid: not an OCI layout of version 1.
Result<void> check_oci_layout(const std::string& json);

/// Full names of an index entry's annotations (org.opencontainers.image.ref.name and containerd's
/// io.containerd.image.name); a bare tag is no name.
std::vector<std::string> names_of_entry(const spec::Descriptor& entry);

}  // namespace hull::layer
