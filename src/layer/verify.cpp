#include "layer/verify.hpp"

#include <fcntl.h>

#include <algorithm>

#include "base/file.hpp"
#include "layer/compress.hpp"
#include "layer/difference.hpp"
#include "layer/hash.hpp"
#include "layer/tar.hpp"

namespace hull::layer {
namespace {

constexpr size_t kMostNames = 10;

/// Hashes the decompressed stream on its way to the unpacker.
class HashingSource final : public ByteSource {
  public:
    HashingSource(ByteSource& source, spec::DigestAlgorithm algorithm)
        : source_(&source), hasher_(create_hasher(algorithm)) {}
    Result<std::string_view> read() override {
        std::string_view bytes = TRY(source_->read());
        hasher_->update(bytes);
        count_ += bytes.size();
        return bytes;
    }
    spec::Digest finish() { return hasher_->finish(); }
    uint64_t count() const { return count_; }

  private:
    ByteSource* source_;
    std::unique_ptr<spec::Hasher> hasher_;
    uint64_t count_ = 0;
};

struct FreshTree {
    store::StagedLayer staged;
    store::LayerRecord record;
};

Result<FreshTree> unpack_again(const store::Store& store, const LayerRequest& request,
                               bool repair) {
    Fd blob = TRY(store.blobs().open(request.descriptor.digest));
    store::StagedLayer staged = TRY(store.layers().create_staging());
    FileSource file{blob.get()};
    HashingSource compressed{file, request.descriptor.digest.algorithm()};
    std::unique_ptr<Decompressor> plain = TRY(create_decompressor(compressed));
    HashingSource tar{*plain, request.diff_id.algorithm()};
    UnpackReport report = TRY(unpack_tar(tar, staged.tree(), request.unpack));
    spec::Digest digest = compressed.finish();
    spec::Digest diff_id = tar.finish();
    if (digest != request.descriptor.digest || diff_id != request.diff_id) {
        if (repair) TRY(store.blobs().remove(request.descriptor.digest));
        return fail(Errc::corrupt, "blob " + request.descriptor.digest.to_string() + " is damaged",
                    "hull image fsck --repair fetches it again");
    }
    store::LayerRecord record;
    record.diff_id = diff_id;
    record.entries = report.entries;
    record.bytes = report.bytes;
    record.tar_bytes = tar.count();
    record.highest_id = report.highest_id;
    if (!report.has_replaced) record.count = {report.names, report.file_bytes};
    record.implied_directories = std::move(report.implied_directories);
    record.userxattr = request.unpack.whiteouts == WhiteoutForm::overlay_user;
    return FreshTree{std::move(staged), std::move(record)};
}

bool is_same_record(const store::LayerRecord& a, const store::LayerRecord& b) {
    auto sorted = [](std::vector<std::string> names) {
        std::sort(names.begin(), names.end());
        return names;
    };
    return a.diff_id == b.diff_id && a.entries == b.entries && a.bytes == b.bytes &&
           a.tar_bytes == b.tar_bytes && a.highest_id == b.highest_id &&
           a.userxattr == b.userxattr && (!a.count || a.count == b.count) &&
           sorted(a.implied_directories) == sorted(b.implied_directories);
}

/// Names of the members of an archive that is given as text.
Result<std::vector<std::string>> member_names(const std::string& tar) {
    TextSource source{tar};
    std::unique_ptr<TarReader> reader = create_tar_reader(source);
    std::vector<std::string> names;
    for (;;) {
        const TarEntry* entry = TRY(reader->next());
        if (entry == nullptr || names.size() == kMostNames) return names;
        names.push_back(entry->name);
    }
}

/// Keeps the beginning of an archive of differences: enough to name some.
class BeginningSink final : public ByteSink {
  public:
    Result<void> write(std::string_view bytes) override {
        constexpr size_t kLimit = 1U << 20U;
        if (text.size() < kLimit) text.append(bytes.substr(0, kLimit - text.size()));
        return {};
    }
    std::string text;
};

/// Names that differ between two open trees, at most a few.
Result<std::vector<std::string>> compare_trees(int before, int after) {
    BeginningSink changes;
    auto compared =
        TRY(write_changes({.before = before, .after = after, .compare_content = true}, changes));
    std::vector<std::string> names;
    if (compared.entries == 0) return names;
    // A cut-off beginning ends in an error after the names that are wanted.
    if (auto found = member_names(changes.text)) names = std::move(*found);
    if (names.empty()) names.emplace_back("(many)");
    return names;
}

/// What differs between the folder of a chain and one that was made anew.
Result<std::vector<std::string>> compare_chains(const std::string& stored,
                                                const store::StagedLayer& fresh) {
    bool is_empty = path_exists(stored + "/empty");
    if (is_empty != path_exists(fresh.path() + "/empty"))
        return std::vector<std::string>{"(its mark for being empty)"};
    if (is_empty) return std::vector<std::string>{};  // its tree is used by nothing
    auto tree = open_path(stored + "/tree", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!tree) return std::vector<std::string>{"(the whole tree)"};
    return compare_trees(tree->get(), fresh.tree());
}

}  // namespace

Result<VerifyReport> verify_layer(const store::Store& store, const store::Lease& lease,
                                  const LayerRequest& request, bool repair) {
    TRY(lease.add(request.descriptor.digest));
    TRY(lease.add(request.diff_id));
    FreshTree fresh = TRY(unpack_again(store, request, repair));
    VerifyReport report;
    if (store.layers().has(request.diff_id)) {
        Fd tree = TRY(open_path(store.layers().tree_path(request.diff_id),
                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        auto record = store.layers().record(request.diff_id);
        if (!record || !is_same_record(*record, fresh.record))
            report.differences.emplace_back("(its record)");
        auto names = TRY(compare_trees(tree.get(), fresh.staged.tree()));
        report.differences.insert(report.differences.end(), names.begin(), names.end());
        if (report.differences.empty()) return report;
    } else {
        report.differences.emplace_back("(the whole tree)");
    }
    if (!repair) return report;
    TRY(store.layers().remove(request.diff_id));
    TRY(store.layers().publish(std::move(fresh.staged), fresh.record));
    report.was_repaired = true;
    return report;
}

Result<VerifyReport> verify_chain(const store::Store& store,
                                  const std::vector<spec::Digest>& diff_ids, bool repair) {
    VerifyReport report;
    if (!TRY(store.layers().needs_chain(diff_ids))) return report;
    store::StagedLayer fresh = TRY(store.layers().stage_chain(diff_ids));
    std::string stored = store.layers().chain_directory(diff_ids);
    if (!path_exists(stored))
        report.differences.emplace_back("(all of it)");
    else
        report.differences = TRY(compare_chains(stored, fresh));
    if (report.differences.empty() || !repair) return report;
    TRY(store.layers().remove_chain(base_name(stored)));
    TRY(store.layers().publish_chain(std::move(fresh), diff_ids));
    report.was_repaired = true;
    return report;
}

}  // namespace hull::layer
