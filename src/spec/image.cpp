#include "spec/image.hpp"

#include <algorithm>
#include <array>

namespace hull::spec {

bool is_index_type(std::string_view media_type) {
    return media_type == media::kOciIndex || media_type == media::kDockerList;
}

bool is_manifest_type(std::string_view media_type) {
    return media_type == media::kOciManifest || media_type == media::kDockerManifest;
}

bool is_config_type(std::string_view media_type) {
    return media_type == media::kOciConfig || media_type == media::kDockerConfig;
}

bool is_layer_type(std::string_view media_type) {
    // Nondistributable and foreign layers differ in who may pass them on, not in what they are.
    constexpr std::array<std::string_view, 11> kTypes{
        media::kOciLayer,
        media::kOciLayerGzip,
        media::kOciLayerZstd,
        media::kDockerLayer,
        media::kDockerLayerGzip,
        media::kDockerLayerZstd,
        media::kDockerForeignLayer,
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"};
    return std::find(kTypes.begin(), kTypes.end(), media_type) != kTypes.end();
}

bool is_docker_type(std::string_view media_type) {
    return media_type.starts_with("application/vnd.docker.");
}

Result<Descriptor> choose_manifest(const Index& index, const Platform& wanted) {
    const Descriptor* best = nullptr;
    int best_match = 0;
    std::string offered;
    for (const Descriptor& candidate : index.manifests) {
        bool is_image = is_manifest_type(candidate.media_type) || candidate.media_type.empty();
        if (!is_image && !is_index_type(candidate.media_type)) continue;
        if (candidate.platform && candidate.platform->os == "unknown") continue;  // attestation
        if (!candidate.platform) {
            // One manifest without a platform is what small tools write: its config tells.
            if (index.manifests.size() == 1) return candidate;
            continue;
        }
        if (!offered.empty()) offered += ", ";
        offered += candidate.platform->to_string();
        int match = match_platform(wanted, *candidate.platform);
        if (match > best_match) {  // the first of equals, as the specification asks
            best_match = match;
            best = &candidate;
        }
    }
    if (best == nullptr)
        return fail(Errc::not_found, "the image has no manifest for " + wanted.to_string(),
                    offered.empty() ? "its index names no platforms"
                                    : "it is made for " + offered + "; choose one with --platform");
    return *best;
}

}  // namespace hull::spec
