#include "layer/archive.hpp"

#include <algorithm>
#include <chrono>
#include <set>

#include "base/text.hpp"
#include "base/units.hpp"
#include "layer/archive_members.hpp"
#include "layer/hash.hpp"

namespace hull::layer {
namespace {

Result<void> put_document(const store::Store& store, const store::Lease& lease,
                          const spec::Digest& digest, const std::string& text) {
    TRY(lease.add(digest));
    return store.blobs().put(digest, text);
}

void warn_about(const UnpackReport& report, std::vector<std::string>& warnings) {
    if (report.skipped_devices > 0)
        warnings.push_back(
            std::to_string(report.skipped_devices) +
            " device nodes were left out (no container could open them), the first: " +
            quote(report.first_skipped));
    else if (report.skipped_xattrs > 0)
        warnings.push_back(std::to_string(report.skipped_xattrs) +
                           " extended attributes were left out, the first of " +
                           quote(report.first_skipped));
}

/// Each layer's diff id must be what the configuration says.
Result<void> check_diff_ids(const std::vector<const NewLayer*>& layers,
                            const std::vector<spec::Digest>& diff_ids) {
    if (layers.size() != diff_ids.size())
        return fail(Errc::corrupt, "the image has " + std::to_string(layers.size()) +
                                       " layers, its configuration names " +
                                       std::to_string(diff_ids.size()));
    for (size_t i = 0; i < layers.size(); ++i)
        if (layers[i]->result.diff_id != diff_ids[i])
            return fail(Errc::corrupt,
                        "layer " + std::to_string(i + 1) + " unpacks to diff id " +
                            layers[i]->result.diff_id.to_string() + ", the configuration says " +
                            diff_ids[i].to_string(),
                        "the archive is damaged; make or fetch it again");
    return {};
}

std::string docker_layer_type(const std::string& oci_type) {
    if (oci_type == spec::media::kOciLayerGzip) return std::string{spec::media::kDockerLayerGzip};
    if (oci_type == spec::media::kOciLayerZstd) return std::string{spec::media::kDockerLayerZstd};
    return std::string{spec::media::kDockerLayer};
}

Result<LoadedImage> load_docker_image(const store::Store& store, const store::Lease& lease,
                                      const ArchiveMembers& members,
                                      const DockerArchiveImage& item) {
    const std::string& config_text = *TRY(members.document(item.config));
    spec::ImageConfig config = TRY(spec::parse_image_config(config_text));
    spec::Manifest manifest;
    manifest.media_type = spec::media::kDockerManifest;
    manifest.config = {.media_type = std::string{spec::media::kDockerConfig},
                       .digest = hash(config_text),
                       .size = config_text.size()};
    LoadedImage image;
    std::vector<const NewLayer*> layers;
    for (const std::string& name : item.layers) {
        const NewLayer* layer = TRY(members.layer(name));
        layers.push_back(layer);
        manifest.layers.push_back(layer->descriptor);
        manifest.layers.back().media_type = docker_layer_type(layer->descriptor.media_type);
        warn_about(layer->result.report, image.warnings);
    }
    TRY(check_diff_ids(layers, config.diff_ids));
    TRY(put_document(store, lease, manifest.config.digest, config_text));
    std::string text = spec::format_manifest(manifest);
    image.target = {.media_type = manifest.media_type, .digest = hash(text), .size = text.size()};
    image.id = manifest.config.digest;
    TRY(put_document(store, lease, image.target.digest, text));
    TRY(store.layers().complete_chain(config.diff_ids));
    for (const std::string& tag : item.repo_tags)
        image.names.push_back(TRY(spec::parse_reference(tag)).to_string());
    return image;
}

std::string blob_name(const spec::Digest& digest) {
    return "blobs/" + std::string{spec::algorithm_name(digest.algorithm())} + "/" + digest.hex();
}

/// Takes a manifest, or all manifests of an index that are in the archive, into the store.
/// @return  the id of the image for `platform`; empty if that is not in it.
Result<spec::Digest> take_oci_tree(const store::Store& store, const store::Lease& lease,
                                   const ArchiveMembers& members, const spec::Descriptor& target,
                                   const spec::Platform& platform, LoadedImage& image) {
    const std::string& text = *TRY(members.document(blob_name(target.digest)));
    std::string type = TRY(spec::detect_media_type(text));
    TRY(put_document(store, lease, target.digest, text));
    spec::Digest id;
    if (spec::is_index_type(type)) {
        spec::Index index = TRY(spec::parse_index(text, target.media_type));
        int best = 0;
        for (const spec::Descriptor& child : index.manifests) {
            if (!members.documents.contains(blob_name(child.digest))) continue;  // a sparse index
            spec::Digest found = TRY(take_oci_tree(store, lease, members, child, platform, image));
            int match = child.platform ? spec::match_platform(platform, *child.platform) : 1;
            if (match > best && !found.is_empty()) {
                best = match;
                id = found;
            }
        }
        return id;
    }
    spec::Manifest manifest = TRY(spec::parse_manifest(text, target.media_type));
    std::vector<const NewLayer*> layers;
    for (const spec::Descriptor& descriptor : manifest.layers) {
        auto found = members.layers.find(blob_name(descriptor.digest));
        if (found == members.layers.end()) {
            // An attestation or artifact: its layers are documents.
            const std::string& content = *TRY(members.document(blob_name(descriptor.digest)));
            TRY(put_document(store, lease, descriptor.digest, content));
            continue;
        }
        layers.push_back(&found->second);
        warn_about(found->second.result.report, image.warnings);
    }
    const std::string& config_text = *TRY(members.document(blob_name(manifest.config.digest)));
    TRY(put_document(store, lease, manifest.config.digest, config_text));
    if (!spec::is_config_type(manifest.config.media_type)) return id;
    if (target.platform && target.platform->os == "unknown") return id;  // an attestation
    spec::ImageConfig config = TRY(spec::parse_image_config(config_text));
    TRY(check_diff_ids(layers, config.diff_ids));
    TRY(store.layers().complete_chain(config.diff_ids));
    return manifest.config.digest;
}

/// Names that a manifest.json beside the index gives to the image with this id (docker 25 and later
/// write both).
Result<std::vector<std::string>> names_by_id(const ArchiveMembers& members,
                                             const spec::Digest& id) {
    std::vector<std::string> names;
    auto manifest = members.documents.find("manifest.json");
    if (manifest == members.documents.end()) return names;
    for (const DockerArchiveImage& item : TRY(parse_docker_archive(manifest->second))) {
        if (item.config.find(id.hex()) == std::string::npos) continue;
        for (const std::string& tag : item.repo_tags)
            names.push_back(TRY(spec::parse_reference(tag)).to_string());
    }
    return names;
}

Result<std::vector<LoadedImage>> load_oci_members(const store::Store& store,
                                                  const store::Lease& lease,
                                                  const ArchiveMembers& members,
                                                  const LoadOptions& options) {
    TRY(check_oci_layout(*TRY(members.document("oci-layout"))));
    spec::Index index = TRY(with_context(spec::parse_index(*TRY(members.document("index.json"))),
                                         "index.json of the archive"));
    std::vector<LoadedImage> images;
    for (const spec::Descriptor& entry : index.manifests) {
        LoadedImage image;
        image.target = entry;
        image.id = TRY(take_oci_tree(store, lease, members, entry, options.platform, image));
        image.target.annotations.clear();
        image.target.platform.reset();
        image.names = names_of_entry(entry);
        if (image.names.empty() && !image.id.is_empty())
            image.names = TRY(names_by_id(members, image.id));
        // The same manifest under several names is one image.
        auto same = std::find_if(images.begin(), images.end(), [&](const LoadedImage& other) {
            return other.target.digest == image.target.digest;
        });
        if (same == images.end())
            images.push_back(std::move(image));
        else
            same->names.insert(same->names.end(), image.names.begin(), image.names.end());
    }
    return images;
}

}  // namespace

Result<std::vector<LoadedImage>> load_archive(const store::Store& store, const store::Lease& lease,
                                              int input, const LoadOptions& options) {
    FileSource source{input};
    ArchiveMembers members = TRY(read_members(store, lease, source, options));
    if (members.documents.contains("index.json") && members.documents.contains("oci-layout"))
        return load_oci_members(store, lease, members, options);
    if (!members.documents.contains("manifest.json"))
        return fail(Errc::invalid,
                    "the input is no archive of images: it has neither manifest.json (docker save) "
                    "nor index.json (OCI layout)",
                    "to make an image from a root file system use hull import");
    std::vector<LoadedImage> images;
    for (const DockerArchiveImage& item :
         TRY(parse_docker_archive(*TRY(members.document("manifest.json")))))
        images.push_back(TRY(load_docker_image(store, lease, members, item)));
    return images;
}

Result<LoadedImage> import_root_filesystem(const store::Store& store, const store::Lease& lease,
                                           int input, const ImportOptions& options) {
    FileSource source{input};
    NewLayerRequest request;
    request.unpack = options.unpack;
    request.recompress = options.compression;
    NewLayer layer = TRY(with_context(receive_new_layer(store, lease, source, request), "import"));
    LoadedImage image;
    warn_about(layer.result.report, image.warnings);
    spec::ImageConfig config;
    config.created = options.created.empty() ? format_timestamp(std::chrono::system_clock::now())
                                             : options.created;
    config.platform = options.platform;
    config.config = options.config;
    config.diff_ids = {layer.result.diff_id};
    config.history = {
        {.created = config.created, .created_by = "hull import", .comment = options.message}};
    std::string config_text = spec::format_image_config(config);
    spec::Manifest manifest;
    manifest.config = {.media_type = std::string{spec::media::kOciConfig},
                       .digest = hash(config_text),
                       .size = config_text.size()};
    manifest.layers = {layer.descriptor};
    std::string text = spec::format_manifest(manifest);
    image.target = {.media_type = manifest.media_type, .digest = hash(text), .size = text.size()};
    image.id = manifest.config.digest;
    TRY(put_document(store, lease, image.id, config_text));
    TRY(put_document(store, lease, image.target.digest, text));
    TRY(store.layers().complete_chain(config.diff_ids));
    return image;
}

}  // namespace hull::layer
