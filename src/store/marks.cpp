#include "store/marks.hpp"

#include <unistd.h>

#include "base/file.hpp"
#include "base/text.hpp"
#include "spec/image.hpp"
#include "store/snapshot_record.hpp"

namespace hull::store {
namespace {

void mark_manifest(const Store& store, const std::string& text, Marks& marks) {
    auto manifest = spec::parse_manifest(text);
    if (!manifest) return;
    marks.digests.insert(manifest->config.digest);
    for (const spec::Descriptor& layer : manifest->layers)
        marks.digests.insert(layer.digest);
    if (!spec::is_config_type(manifest->config.media_type)) return;
    auto config_text = store.blobs().read(manifest->config.digest);
    if (!config_text) return;
    auto config = spec::parse_image_config(*config_text);
    if (!config) return;
    marks.digests.insert(config->diff_ids.begin(), config->diff_ids.end());
    marks.chains.insert(std::move(config->diff_ids));
}

/// Leases whose process lives; the others are removed.
Result<void> mark_leases(const Store& store, Marks& marks) {
    std::string folder = store.root() + "/leases";
    for (const std::string& name : TRY(list_directory(folder))) {
        std::string path = folder + "/" + name;
        if (auto dead = LockFile::try_acquire(path)) {
            ::unlink(path.c_str());
            continue;
        }
        auto text = read_file(path);
        if (!text) continue;  // ended meanwhile
        for (std::string_view line : split_lines(*text)) {
            auto digest = spec::Digest::parse(line);
            if (!digest) continue;
            marks.digests.insert(*digest);
        }
    }
    return {};
}

Result<void> mark_snapshots(const Store& store, Marks& marks) {
    std::string folder = store.root() + "/snapshots";
    for (const std::string& id : TRY(list_directory(folder))) {
        auto record = load_snapshot_record(folder + "/" + id);
        if (!record) {
            if (path_exists(folder + "/" + id)) marks.needs_unknown_layers = true;
            continue;
        }
        marks.digests.insert(record->diff_ids.begin(), record->diff_ids.end());
        marks.chains.insert(std::move(record->diff_ids));
    }
    return {};
}

}  // namespace

void mark_image(const Store& store, const spec::Digest& root, Marks& marks) {
    std::vector<spec::Digest> todo{root};
    std::set<spec::Digest> seen;
    while (!todo.empty()) {
        spec::Digest digest = std::move(todo.back());
        todo.pop_back();
        if (!seen.insert(digest).second) continue;
        marks.digests.insert(digest);
        auto text = store.blobs().read(digest);
        if (!text) continue;
        auto type = spec::detect_media_type(*text);
        if (!type) continue;
        if (!spec::is_index_type(*type)) {
            mark_manifest(store, *text, marks);
            continue;
        }
        auto index = spec::parse_index(*text);
        if (!index) continue;
        for (const spec::Descriptor& child : index->manifests)
            todo.push_back(child.digest);
    }
}

Result<Marks> mark_all(const Store& store, const std::vector<spec::Digest>& keep) {
    Marks marks = TRY(mark_in_use(store, keep));
    for (const ReferenceEntry& entry : TRY(store.references().list()))
        mark_image(store, entry.digest, marks);
    return marks;
}

Result<Marks> mark_in_use(const Store& store, const std::vector<spec::Digest>& keep) {
    Marks marks;
    for (const spec::Digest& digest : keep)
        mark_image(store, digest, marks);
    TRY(mark_snapshots(store, marks));
    TRY(mark_leases(store, marks));
    return marks;
}

}  // namespace hull::store
