// Images from folders: an OCI layout, or the `dir:` form of skopeo.
#include <fcntl.h>

#include "base/file.hpp"
#include "base/text.hpp"
#include "layer/archive.hpp"
#include "layer/archive_members.hpp"
#include "layer/hash.hpp"

namespace hull::layer {
namespace {

constexpr size_t kMaxDocument = 16U << 20U;
constexpr int kMaxIndexDepth = 4;

/// One folder to load from.
struct Folder {
    std::string path;
    bool is_layout = false;  ///< blobs/sha256/HEX; else the hexadecimal digits alone

    std::string blob(const spec::Digest& digest) const {
        if (!is_layout) return path + "/" + digest.hex();
        return path + "/blobs/" + std::string{spec::algorithm_name(digest.algorithm())} + "/" +
               digest.hex();
    }
    bool has(const spec::Digest& digest) const { return path_exists(blob(digest)); }
    Result<std::string> document(const spec::Digest& digest) const {
        std::string text = TRY(read_file(blob(digest), kMaxDocument));
        spec::Digest actual = hash(text, digest.algorithm());
        if (actual != digest)
            return fail(Errc::corrupt, blob(digest) + " has digest " + actual.to_string(),
                        "the folder is damaged; make or fetch it again");
        return text;
    }
};

struct Loader {
    const store::Store& store;
    const store::Lease& lease;
    const LoadOptions& options;
    Folder folder;
    uint64_t done = 0;

    Result<void> put(const spec::Digest& digest, const std::string& text) {
        TRY(lease.add(digest));
        return store.blobs().put(digest, text);
    }

    Result<void> take_layer(const spec::Descriptor& descriptor, const spec::Digest& diff_id,
                            LoadedImage& image) {
        return with_context(receive(descriptor, diff_id, image),
                            "layer " + descriptor.digest.to_string());
    }

    Result<void> receive(const spec::Descriptor& descriptor, const spec::Digest& diff_id,
                         LoadedImage& image) {
        LayerRequest request;
        request.descriptor = descriptor;
        request.diff_id = diff_id;
        request.unpack = options.unpack;
        auto receiver = TRY(LayerReceiver::start(store, lease, request));
        if (!receiver->is_complete()) {
            Fd file = TRY(open_path(folder.blob(descriptor.digest), O_RDONLY));
            if (receiver->offset() > 0) TRY(receiver->restart());
            FileSource source{file.get()};
            for (;;) {
                std::string_view bytes = TRY(source.read());
                if (bytes.empty()) break;
                TRY(receiver->write(bytes));
                done += bytes.size();
                if (options.progress) options.progress(done);
            }
        }
        LayerResult result = TRY(receiver->finish());
        if (result.report.skipped_devices > 0)
            image.warnings.push_back(
                std::to_string(result.report.skipped_devices) +
                " device nodes were left out, the first: " + quote(result.report.first_skipped));
        return {};
    }

    /// @return the image's id; empty for what is no image.
    Result<spec::Digest> take_manifest(const std::string& text, const std::string& media_type,
                                       LoadedImage& image) {
        spec::Manifest manifest = TRY(spec::parse_manifest(text, media_type));
        std::string config_text = TRY(folder.document(manifest.config.digest));
        TRY(put(manifest.config.digest, config_text));
        std::vector<spec::Digest> diff_ids(manifest.layers.size());
        bool is_image = spec::is_config_type(manifest.config.media_type);
        if (is_image) {
            diff_ids = TRY(spec::parse_image_config(config_text)).diff_ids;
            if (diff_ids.size() != manifest.layers.size())
                return fail(Errc::corrupt, "the manifest has " +
                                               std::to_string(manifest.layers.size()) +
                                               " layers, its configuration names " +
                                               std::to_string(diff_ids.size()));
        }
        for (size_t i = 0; i < manifest.layers.size(); ++i)
            TRY(take_layer(manifest.layers[i], diff_ids[i], image));
        if (!is_image) return spec::Digest{};
        TRY(store.layers().complete_chain(diff_ids));
        return manifest.config.digest;
    }

    /// An index is taken with the one manifest that serves this machine.
    Result<spec::Digest> take(const spec::Descriptor& target, LoadedImage& image, int depth = 0) {
        if (depth > kMaxIndexDepth)
            return fail(Errc::invalid, "indexes are nested deeper than " +
                                           std::to_string(kMaxIndexDepth) + " levels");
        std::string text = TRY(folder.document(target.digest));
        TRY(put(target.digest, text));
        std::string type = TRY(spec::detect_media_type(text));
        if (!spec::is_index_type(type)) return take_manifest(text, target.media_type, image);
        spec::Index index = TRY(spec::parse_index(text, target.media_type));
        return take(TRY(spec::choose_manifest(index, options.platform)), image, depth + 1);
    }
};

Result<std::vector<LoadedImage>> load_skopeo_directory(Loader& loader) {
    std::string text = TRY(read_file(loader.folder.path + "/manifest.json", kMaxDocument));
    LoadedImage image;
    image.target.digest = hash(text);
    image.target.size = text.size();
    image.target.media_type = TRY(spec::detect_media_type(text));
    TRY(loader.put(image.target.digest, text));
    image.id = TRY(loader.take_manifest(text, image.target.media_type, image));
    std::vector<LoadedImage> images;
    images.push_back(std::move(image));
    return images;
}

}  // namespace

Result<std::vector<LoadedImage>> load_directory(const store::Store& store,
                                                const store::Lease& lease, const std::string& path,
                                                const LoadOptions& options) {
    Loader loader{store, lease, options, {path, path_exists(path + "/index.json")}};
    if (!loader.folder.is_layout) {
        if (path_exists(path + "/manifest.json")) return load_skopeo_directory(loader);
        return fail(Errc::invalid,
                    path + " holds no images: neither index.json (OCI layout) nor manifest.json");
    }
    TRY(check_oci_layout(TRY(read_file(path + "/oci-layout", kMaxDocument))));
    spec::Index index =
        TRY(with_context(spec::parse_index(TRY(read_file(path + "/index.json", kMaxDocument))),
                         path + "/index.json"));
    std::vector<LoadedImage> images;
    for (const spec::Descriptor& entry : index.manifests) {
        LoadedImage image;
        image.target = entry;
        image.id = TRY(loader.take(entry, image));
        image.names = names_of_entry(entry);
        image.target.annotations.clear();
        image.target.platform.reset();
        images.push_back(std::move(image));
    }
    return images;
}

}  // namespace hull::layer
