#include "store/images.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "base/log.hpp"
#include "base/text.hpp"
#include "spec/reference.hpp"
#include "store/short_names.hpp"

namespace hull::store {
namespace {

constexpr int kMaxIndexDepth = 4;

/// Follows indexes to the manifest for `platform` that is here.
Result<spec::Digest> resolve_manifest(const Store& store, spec::Digest digest,
                                      const spec::Platform& platform) {
    for (int depth = 0; depth < kMaxIndexDepth; ++depth) {
        std::string text = TRY(store.blobs().read(digest));
        std::string type = TRY(spec::detect_media_type(text));
        if (!spec::is_index_type(type)) return digest;
        spec::Index index = TRY(spec::parse_index(text));
        spec::Descriptor chosen = TRY(spec::choose_manifest(index, platform));
        if (!store.blobs().has(chosen.digest))
            return fail(Errc::not_found,
                        "the manifest for " + platform.to_string() + " is not in the store",
                        "pull the image with --platform " + platform.to_string());
        digest = chosen.digest;
    }
    return fail(Errc::invalid, "image " + digest.to_string() + ": indexes nested too deep");
}

bool is_hex(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<Image> find_by_id(const Store& store, const std::string& text,
                         const spec::Platform& platform) {
    std::string_view wanted{text};
    if (wanted.starts_with("sha256:")) wanted.remove_prefix(7);
    std::vector<Image> found;
    for (Image& image : TRY(list_images(store, platform))) {
        bool fits = image.id.hex().starts_with(wanted) ||
                    image.manifest_digest.hex().starts_with(wanted) ||
                    image.digest.hex().starts_with(wanted);
        bool known = std::any_of(found.begin(), found.end(),
                                 [&](const Image& other) { return other.id == image.id; });
        if (fits && !known) found.push_back(std::move(image));
    }
    if (found.size() == 1) return std::move(found[0]);
    if (found.empty())
        return fail(Errc::not_found, "no such image: " + text, "hull images lists what there is");
    std::string ids;
    for (const Image& image : found)
        ids += (ids.empty() ? "" : ", ") + image.id.short_hex();
    return fail(Errc::conflict, "image id " + text + " fits several images: " + ids,
                "write more of it");
}

/// All names of the store that stand for `digest`.
Result<std::vector<std::string>> names_of(const Store& store, const spec::Digest& digest) {
    std::vector<std::string> names;
    for (const ReferenceEntry& entry : TRY(store.references().list()))
        if (entry.digest == digest && entry.name != digest.to_string()) names.push_back(entry.name);
    return names;
}

}  // namespace

Result<Image> load_image(const Store& store, const spec::Digest& digest,
                         const spec::Platform& platform) {
    Image image;
    image.digest = digest;
    image.manifest_digest = TRY(resolve_manifest(store, digest, platform));
    image.manifest = TRY(spec::parse_manifest(TRY(store.blobs().read(image.manifest_digest))));
    image.id = image.manifest.config.digest;
    if (!spec::is_config_type(image.manifest.config.media_type))
        return fail(Errc::unsupported,
                    "image " + digest.to_string() + " is an artifact of type " +
                        quote(image.manifest.config.media_type) + ", not something to run",
                    "hull artifact pull gets its files");
    image.config = TRY(spec::parse_image_config(TRY(store.blobs().read(image.id))));
    for (const spec::Digest& diff_id : image.config.diff_ids)
        if (auto record = store.layers().record(diff_id)) {
            image.size += record->bytes;
            image.highest_id = std::max(image.highest_id, record->highest_id);
        }
    return image;
}

Result<Image> find_image(const Store& store, const std::string& text,
                         const spec::Platform& platform) {
    auto reference = resolve_name(store, text);
    if (reference) {
        auto entry = TRY(store.references().find(reference->to_string()));
        if (!entry && reference->digest && !reference->tag.empty()) {
            spec::Reference untagged = *reference;  // name:tag@digest: the digest decides
            untagged.tag.clear();
            entry = TRY(store.references().find(untagged.to_string()));
        }
        if (!entry && reference->digest) {
            // The digest is what counts: any name of the same repository that stands for it.
            for (ReferenceEntry& other : TRY(store.references().list()))
                if (other.digest == *reference->digest &&
                    other.name.starts_with(reference->repository() + ":"))
                    entry = std::move(other);
        }
        if (entry) {
            Image image = TRY(with_context(load_image(store, entry->digest, platform),
                                           "image " + reference->familiar()));
            image.names = TRY(names_of(store, entry->digest));
            image.updated = entry->updated;
            return image;
        }
    }
    std::string_view hex{text};
    if (hex.starts_with("sha256:")) hex.remove_prefix(7);
    if (!hex.empty() && hex.size() <= 64 && is_hex(hex)) return find_by_id(store, text, platform);
    if (!reference) return fail(std::move(reference).error());
    return fail(Errc::not_found, "no such image: " + reference->familiar(),
                "hull pull " + reference->familiar() + " gets it");
}

Result<std::vector<Image>> list_images(const Store& store, const spec::Platform& platform) {
    std::vector<Image> images;
    std::map<spec::Digest, size_t> seen;
    for (const ReferenceEntry& entry : TRY(store.references().list())) {
        auto known = seen.find(entry.digest);
        if (known == seen.end()) {
            auto image = load_image(store, entry.digest, platform);
            if (!image) {
                // Artifacts and other platforms are no damage.
                if (image.error().code != Errc::unsupported)
                    log::warning("image " + entry.name + ": " + image.error().to_string());
                continue;
            }
            image->updated = entry.updated;
            known = seen.emplace(entry.digest, images.size()).first;
            images.push_back(std::move(*image));
        }
        if (entry.name != entry.digest.to_string())
            images[known->second].names.push_back(entry.name);
    }
    return images;
}

Result<void> touch_image(const Store& store, const spec::Digest& manifest_digest) {
    std::string path = store.root() + "/used/" + manifest_digest.hex();
    Fd file = TRY(open_path(path, O_WRONLY | O_CREAT, 0644));
    if (::futimens(file.get(), nullptr) < 0) return fail_errno(errno, "set the time of " + path);
    return {};
}

}  // namespace hull::store
