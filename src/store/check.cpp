#include "store/check.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/file.hpp"
#include "spec/image.hpp"
#include "store/short_names.hpp"
#include "store/snapshot_record.hpp"

namespace hull::store {
namespace {

class Checker {
  public:
    Checker(const Store& store, spec::CreateHasher create_hasher)
        : store_(&store), create_hasher_(create_hasher) {}

    Result<std::vector<Damage>> run() {
        for (const BlobInfo& blob : TRY(store_->blobs().list()))
            TRY(check_blob(blob.digest));
        TRY(check_references());
        for (const spec::Digest& diff_id : TRY(store_->layers().list())) {
            auto record = store_->layers().record(diff_id);
            if (!record)
                add(Damage::Kind::bad_record, diff_id, "", record.error().to_string());
            else if (record->diff_id != diff_id)
                add(Damage::Kind::bad_record, diff_id, "",
                    "its record is of " + record->diff_id.to_string());
        }
        TRY(check_snapshots());
        TRY(check_chains());
        return std::move(found_);
    }

    std::vector<Damage> run_image(const ReferenceEntry& entry) {
        check_tree(entry.name, entry.digest);
        return std::move(found_);
    }

  private:
    Result<void> check_references() {
        auto entries = store_->references().list();
        if (!entries) {
            add(Damage::Kind::bad_record, {}, "", entries.error().to_string());
            return {};
        }
        if (!TRY(store_->references().is_whole()))
            add(Damage::Kind::bad_record, {}, "",
                path_exists(store_->root() + "/references")
                    ? "one of the two copies in references is damaged"
                    : "the file references with all names is lost");
        if (!TRY(has_whole_short_names(*store_)))
            add(Damage::Kind::bad_record, {}, "", "the file short-names is damaged");
        for (const ReferenceEntry& entry : *entries)
            check_tree(entry.name, entry.digest);
        return {};
    }

    Result<void> check_snapshots() {
        std::string snapshots = store_->root() + "/snapshots";
        for (const std::string& id : TRY(list_directory(snapshots))) {
            std::string container = "container " + id.substr(0, 12);
            auto record = load_snapshot_record(snapshots + "/" + id);
            if (!record) {
                if (path_exists(snapshots + "/" + id))  // else removed meanwhile
                    add(Damage::Kind::bad_record, {}, container, record.error().to_string());
                continue;
            }
            if (!record->is_whole)
                add(Damage::Kind::bad_record, {}, container,
                    "one of the two copies of its record is damaged");
            for (const spec::Digest& diff_id : record->diff_ids)
                if (!store_->layers().has(diff_id))
                    add(Damage::Kind::missing_layer, diff_id, container, "not unpacked");
        }
        return {};
    }

    Result<void> check_chains() {
        for (const std::string& name : TRY(store_->layers().damaged_chains())) {
            add(Damage::Kind::bad_chain, {}, "", "layers/chains/" + name + ": its list is damaged");
            found_.back().chain = name;
        }
        return {};
    }

    void add(Damage::Kind kind, const spec::Digest& digest, const std::string& image,
             std::string detail) {
        found_.push_back({kind, digest, image, {}, std::move(detail)});
    }

    Result<void> check_blob(const spec::Digest& digest) {
        auto file = store_->blobs().open(digest);
        if (!file && file.error().code == Errc::not_found) return {};  // removed meanwhile
        if (!file) return fail(std::move(file).error());
        std::unique_ptr<spec::Hasher> hasher = create_hasher_(digest.algorithm());
        std::string buffer(1U << 20U, '\0');
        for (;;) {
            ssize_t got = ::read(file->get(), buffer.data(), buffer.size());
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) {  // a failing disk is damage, not the end of the check
                add(Damage::Kind::corrupt_blob, digest, "", errno_error(errno, "read").to_string());
                corrupt_.insert(digest);
                return {};
            }
            if (got == 0) break;
            hasher->update({buffer.data(), static_cast<size_t>(got)});
        }
        spec::Digest actual = hasher->finish();
        if (actual == digest) return {};
        corrupt_.insert(digest);
        add(Damage::Kind::corrupt_blob, digest, "", "its bytes have digest " + actual.to_string());
        return {};
    }

    /// The document `digest`; empty after telling what is wrong with it.
    std::string read_document(const std::string& image, const spec::Digest& digest) {
        auto text = store_->blobs().read(digest);
        if (text) return corrupt_.contains(digest) ? std::string{} : std::move(*text);
        if (text.error().code == Errc::not_found)
            add(Damage::Kind::missing_blob, digest, image, "a document of the image");
        else
            add(Damage::Kind::bad_document, digest, image, text.error().to_string());
        return {};
    }

    void check_tree(const std::string& image, const spec::Digest& root) {
        std::string text = read_document(image, root);
        if (text.empty()) return;
        auto type = spec::detect_media_type(text);
        if (!type) return add(Damage::Kind::bad_document, root, image, type.error().to_string());
        if (!spec::is_index_type(*type)) return check_manifest(image, root, text);
        auto index = spec::parse_index(text);
        if (!index) return add(Damage::Kind::bad_document, root, image, index.error().to_string());
        size_t here = 0;
        for (const spec::Descriptor& child : index->manifests) {
            if (!store_->blobs().has(child.digest)) continue;  // another platform, never fetched
            ++here;
            check_tree(image, child.digest);
        }
        if (here == 0 && !index->manifests.empty())
            add(Damage::Kind::missing_blob, index->manifests[0].digest, image,
                "none of its manifests is here");
    }

    void check_manifest(const std::string& image, const spec::Digest& digest,
                        const std::string& text) {
        auto manifest = spec::parse_manifest(text);
        if (!manifest)
            return add(Damage::Kind::bad_document, digest, image, manifest.error().to_string());
        std::set<spec::Digest> seen;
        for (const spec::Descriptor& layer : manifest->layers) {
            if (!seen.insert(layer.digest).second) continue;
            if (!store_->blobs().has(layer.digest))
                add(Damage::Kind::missing_blob, layer.digest, image, "a layer");
            else if (!store_->blobs().has(layer.digest, layer.size) &&
                     !corrupt_.contains(layer.digest))
                add(Damage::Kind::bad_document, digest, image,
                    "says " + std::to_string(layer.size) + " bytes for " +
                        layer.digest.to_string());
        }
        std::string config_text = read_document(image, manifest->config.digest);
        if (config_text.empty() || !spec::is_config_type(manifest->config.media_type)) return;
        auto config = spec::parse_image_config(config_text);
        if (!config)
            return add(Damage::Kind::bad_document, manifest->config.digest, image,
                       config.error().to_string());
        // Images of other platforms may be here to be passed on, packed as they came.
        if (spec::match_platform(spec::host_platform(), config->platform) == 0) return;
        std::set<spec::Digest> told;
        for (const spec::Digest& diff_id : config->diff_ids)
            if (told.insert(diff_id).second && !store_->layers().has(diff_id))
                add(Damage::Kind::missing_layer, diff_id, image, "not unpacked");
        if (auto lower = store_->layers().lower_directories(config->diff_ids);
            !lower && has_all_layers(config->diff_ids))
            add(Damage::Kind::bad_chain, {}, image, lower.error().to_string_without_hint());
    }

    /// Whether all layers are here, so that only their chain can be what is missing.
    bool has_all_layers(const std::vector<spec::Digest>& diff_ids) const {
        return std::all_of(diff_ids.begin(), diff_ids.end(),
                           [&](const spec::Digest& one) { return store_->layers().has(one); });
    }

    const Store* store_;
    spec::CreateHasher create_hasher_;
    std::set<spec::Digest> corrupt_;
    std::vector<Damage> found_;
};

}  // namespace

std::string_view damage_name(Damage::Kind kind) {
    switch (kind) {
        case Damage::Kind::missing_blob:
            return "missing blob";
        case Damage::Kind::corrupt_blob:
            return "corrupt blob";
        case Damage::Kind::missing_layer:
            return "missing layer";
        case Damage::Kind::corrupt_layer:
            return "corrupt layer";
        case Damage::Kind::bad_document:
            return "bad document";
        case Damage::Kind::bad_record:
            return "bad record";
        case Damage::Kind::bad_chain:
            return "bad chain";
    }
    return "damage";
}

Result<std::vector<Damage>> check_store(const Store& store, spec::CreateHasher create_hasher) {
    return Checker{store, create_hasher}.run();
}

std::vector<Damage> check_image(const Store& store, const ReferenceEntry& entry) {
    return Checker{store, nullptr}.run_image(entry);
}

Result<void> mend_records(const Store& store) {
    if (!TRY(store.references().is_whole())) TRY(store.references().mend());
    TRY(mend_short_names(store));
    std::string snapshots = store.root() + "/snapshots";
    for (const std::string& id : TRY(list_directory(snapshots))) {
        auto record = load_snapshot_record(snapshots + "/" + id);
        if (record && !record->is_whole) TRY(save_snapshot_record(snapshots + "/" + id, *record));
    }
    return {};
}

}  // namespace hull::store
