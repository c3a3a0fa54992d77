#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "spec/digest.hpp"
#include "spec/platform.hpp"

namespace hull::spec {

/// Media types. @see OCI image-spec media-types.md; Docker "Image Manifest Version 2, Schema 2".
namespace media {
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kOciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kOciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kOciEmpty = "application/vnd.oci.empty.v1+json";
inline constexpr std::string_view kDockerList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";
inline constexpr std::string_view kDockerLayerGzip =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view kDockerLayerZstd =
    "application/vnd.docker.image.rootfs.diff.tar.zstd";
inline constexpr std::string_view kDockerForeignLayer =
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
}  // namespace media

bool is_index_type(std::string_view media_type);
bool is_manifest_type(std::string_view media_type);
bool is_config_type(std::string_view media_type);
/// A file system layer, compressed or not, also a foreign or nondistributable one.
bool is_layer_type(std::string_view media_type);
bool is_docker_type(std::string_view media_type);

using Annotations = std::map<std::string, std::string>;

/// Points at content. @see OCI image-spec descriptor.md.
struct Descriptor {
    std::string media_type;
    Digest digest;
    uint64_t size = 0;  ///< bytes
    std::optional<Platform> platform;
    Annotations annotations;
    std::vector<std::string> urls;
    std::string artifact_type;
    std::string data;  ///< embedded content, as base64
    bool operator==(const Descriptor&) const = default;
};

/// OCI image manifest, or Docker v2 schema 2: same form, other media types.
struct Manifest {
    std::string media_type{media::kOciManifest};
    std::string artifact_type;
    Descriptor config;
    std::vector<Descriptor> layers;  ///< lowest first
    std::optional<Descriptor> subject;
    Annotations annotations;
    bool is_docker() const { return media_type == media::kDockerManifest; }
};

/// OCI image index, or Docker manifest list.
struct Index {
    std::string media_type{media::kOciIndex};
    std::string artifact_type;
    std::vector<Descriptor> manifests;
    std::optional<Descriptor> subject;
    Annotations annotations;
};

/// Docker's HEALTHCHECK; times in nanoseconds, 0 is the engine's default.
struct HealthCheck {
    std::vector<std::string> test;
    int64_t interval = 0;
    int64_t timeout = 0;
    int64_t start_period = 0;
    int64_t start_interval = 0;
    int64_t retries = 0;
    bool operator==(const HealthCheck&) const = default;
};

/// One step of the image's making.
struct HistoryEntry {
    std::string created;  ///< RFC 3339
    std::string created_by;
    std::string author;
    std::string comment;
    bool empty_layer = false;
    bool operator==(const HistoryEntry&) const = default;
};

/// What a container of the image starts with ("config" in the image configuration).
struct ContainerDefaults {
    std::string user;
    std::vector<std::string> exposed_ports;  ///< "80/tcp"
    std::vector<std::string> env;            ///< "NAME=value"
    std::vector<std::string> entrypoint;
    std::vector<std::string> cmd;
    std::vector<std::string> volumes;  ///< paths
    std::string working_dir;
    std::map<std::string, std::string> labels;
    std::string stop_signal;
    std::optional<HealthCheck> health_check;
    std::vector<std::string> shell;
    std::vector<std::string> on_build;
};

/// The image configuration. @see OCI image-spec config.md.
struct ImageConfig {
    std::string created;  ///< RFC 3339; may be empty
    std::string author;
    Platform platform;
    ContainerDefaults config;
    std::vector<Digest> diff_ids;  ///< lowest layer first
    std::vector<HistoryEntry> history;
};

/// @errors invalid: with the JSON path; a schema 1 manifest is `unsupported` and says what to do.
/// `media_type` is what the transport said, empty if nothing; a document that says otherwise is
/// refused (one must not be readable as two things).
Result<Manifest> parse_manifest(std::string_view json, std::string_view media_type = {});
Result<Index> parse_index(std::string_view json, std::string_view media_type = {});
Result<ImageConfig> parse_image_config(std::string_view json);

/// The media type of a manifest or index: its own "mediaType", else known by its form.
Result<std::string> detect_media_type(std::string_view json);

/// Compact JSON, members in a fixed order: the same value always gives the same bytes.
std::string format_manifest(const Manifest& manifest);
std::string format_index(const Index& index);
std::string format_image_config(const ImageConfig& config);

/// The manifest of an index that serves `wanted` best. Attestations (platform unknown/unknown) are
/// passed over.
/// @errors not_found: none does; the hint lists what there is.
Result<Descriptor> choose_manifest(const Index& index, const Platform& wanted);

}  // namespace hull::spec
