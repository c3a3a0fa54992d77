#include "image/trees.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.hpp"
#include "base/text.hpp"
#include "layer/compress.hpp"
#include "layer/hash.hpp"
#include "layer/tree_entry.hpp"
#include "layer/unpack.hpp"

namespace hull::image {
namespace {

using layer::TarType;

/// A blob as a stream that hashes what passes.
class BlobSource final : public layer::ByteSource {
  public:
    BlobSource(registry::BlobReader& reader, spec::DigestAlgorithm algorithm,
               registry::Progress* progress, int item)
        : reader_(reader),
          hasher_(layer::create_hasher(algorithm)),
          progress_(progress),
          item_(item) {}
    Result<std::string_view> read() override {
        size_t got = TRY(reader_.read(buffer_));
        hasher_->update({buffer_.data(), got});
        done_ += got;
        if (progress_ != nullptr) progress_->advance(item_, done_);
        return std::string_view{buffer_.data(), got};
    }
    spec::Digest finish() { return hasher_->finish(); }

  private:
    registry::BlobReader& reader_;
    std::unique_ptr<spec::Hasher> hasher_;
    registry::Progress* progress_;
    int item_;
    uint64_t done_ = 0;
    std::vector<char> buffer_ = std::vector<char>(256U << 10U);
};

/// Hashes what another source gives.
class HashingSource final : public layer::ByteSource {
  public:
    HashingSource(layer::ByteSource& inner, spec::DigestAlgorithm algorithm)
        : inner_(inner), hasher_(layer::create_hasher(algorithm)) {}
    Result<std::string_view> read() override {
        auto bytes = TRY(inner_.read());
        hasher_->update(bytes);
        return bytes;
    }
    spec::Digest finish() { return hasher_->finish(); }

  private:
    layer::ByteSource& inner_;
    std::unique_ptr<spec::Hasher> hasher_;
};

Result<void> unpack_layer(registry::ImageSource& source, const spec::Descriptor& descriptor,
                          const spec::Digest& diff_id, int root, registry::Progress* progress) {
    std::string label = "layer " + descriptor.digest.short_hex();
    int item = progress != nullptr ? progress->begin(label, descriptor.size) : 0;
    auto unpack = [&]() -> Result<void> {
        auto reader = TRY(source.open_blob(descriptor, 0));
        BlobSource blob{*reader, descriptor.digest.algorithm(), progress, item};
        auto plain = TRY(layer::create_decompressor(blob));
        HashingSource tar{*plain, diff_id.algorithm()};
        auto options = layer::unpack_options_here();
        options.whiteouts = layer::WhiteoutForm::apply;
        TRY(layer::unpack_tar(tar, root, options));
        // What follows the archive is hashed as well.
        for (;;)
            if (TRY(tar.read()).empty()) break;
        for (;;)
            if (TRY(blob.read()).empty()) break;
        if (auto actual = blob.finish(); actual != descriptor.digest)
            return fail(Errc::corrupt, "it has other content, with digest " + actual.to_string());
        if (auto actual = tar.finish(); actual != diff_id)
            return fail(Errc::corrupt, "it unpacks to diff id " + actual.to_string() +
                                           ", the configuration says " + diff_id.to_string());
        return {};
    };
    TRY(with_context(unpack(), source.name() + ": " + label));
    if (progress != nullptr) progress->finish(item, "done");
    return {};
}

std::string type_name(const layer::TreeEntry& entry) {
    switch (entry.tar.type) {
        case TarType::file:
        case TarType::hard_link:
            return "file";
        case TarType::directory:
            return "directory";
        case TarType::symlink:
            return "symlink";
        case TarType::character_device:
        case TarType::block_device:
            return "device";
        case TarType::fifo:
            return "fifo";
    }
    return "file";
}

uint64_t size_of(const layer::TreeEntry& entry) {
    return S_ISREG(entry.info.st_mode) ? static_cast<uint64_t>(entry.info.st_size) : 0;
}

Result<bool> same_content(int before, int after, const std::string& name) {
    Fd first = TRY(open_at(before, name, O_RDONLY | O_NOFOLLOW));
    Fd second = TRY(open_at(after, name, O_RDONLY | O_NOFOLLOW));
    layer::FileSource a{first.get()};
    std::vector<char> buffer;
    off_t at = 0;
    for (;;) {
        auto bytes = TRY(a.read());
        if (bytes.empty()) return true;
        buffer.resize(bytes.size());
        size_t have = 0;
        while (have < bytes.size()) {
            ssize_t got = ::pread(second.get(), buffer.data() + have, bytes.size() - have,
                                  at + static_cast<off_t>(have));
            if (got < 0) return fail_errno(errno, "read " + name);
            if (got == 0) return false;
            have += static_cast<size_t>(got);
        }
        if (std::memcmp(buffer.data(), bytes.data(), bytes.size()) != 0) return false;
        at += static_cast<off_t>(bytes.size());
    }
}

class Comparison {
  public:
    Result<void> folders(int before, int after, const std::string& path) {
        auto old_names = TRY(layer::sorted_names(before));
        auto new_names = TRY(layer::sorted_names(after));
        std::vector<std::string> all;
        std::set_union(old_names.begin(), old_names.end(), new_names.begin(), new_names.end(),
                       std::back_inserter(all));
        for (const auto& name : all) {
            bool was = std::binary_search(old_names.begin(), old_names.end(), name);
            bool is = std::binary_search(new_names.begin(), new_names.end(), name);
            std::string full = path.empty() ? name : path + "/" + name;
            if (was && is)
                TRY(both(before, after, name, full));
            else
                TRY(one(was ? before : after, name, full, is));
        }
        return {};
    }

    std::vector<TreeChange> changes;

  private:
    /// Something that is on one side only, with all that is in it.
    Result<void> one(int folder, const std::string& name, const std::string& path, bool added) {
        auto entry = TRY(layer::describe_entry(folder, name, path));
        TreeChange change;
        change.kind = added ? TreeChange::Kind::added : TreeChange::Kind::removed;
        change.path = path;
        change.type = type_name(entry);
        (added ? change.size_after : change.size_before) = size_of(entry);
        changes.push_back(std::move(change));
        if (entry.tar.type != TarType::directory) return {};
        Fd inner = TRY(open_at(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        for (const auto& child : TRY(layer::sorted_names(inner.get())))
            TRY(one(inner.get(), child, path + "/" + child, added));
        return {};
    }

    Result<void> both(int before, int after, const std::string& name, const std::string& path) {
        auto old_entry = TRY(layer::describe_entry(before, name, path));
        auto new_entry = TRY(layer::describe_entry(after, name, path));
        TreeChange change;
        change.path = path;
        change.type = type_name(new_entry);
        change.size_before = size_of(old_entry);
        change.size_after = size_of(new_entry);
        bool same_type = type_name(old_entry) == change.type;
        auto note = [&](bool differs, const char* field) {
            if (differs) change.fields.emplace_back(field);
        };
        const auto& a = old_entry.tar;
        const auto& b = new_entry.tar;
        note(!same_type, "type");
        if (same_type && change.type == "file")
            note(change.size_before != change.size_after || !TRY(same_content(before, after, name)),
                 "content");
        if (same_type && change.type == "symlink") note(a.link != b.link, "link");
        note(a.mode != b.mode, "mode");
        note(a.uid != b.uid || a.gid != b.gid, "owner");
        note(same_type && change.type == "file" && a.mtime.tv_sec != b.mtime.tv_sec, "time");
        note(a.xattrs != b.xattrs, "xattrs");
        if (!change.fields.empty()) changes.push_back(change);
        if (!same_type || change.type != "directory") return {};
        Fd old_folder = TRY(open_at(before, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        Fd new_folder = TRY(open_at(after, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        return folders(old_folder.get(), new_folder.get(), path);
    }
};

}  // namespace

Result<ImageView> read_image_view(registry::ImageSource& source, const spec::Platform& platform) {
    ImageView out;
    out.data = TRY(source.top_manifest());
    if (spec::is_index_type(out.data.media_type)) {
        auto index = TRY(spec::parse_index(out.data.bytes, out.data.media_type));
        auto chosen = TRY(with_context(spec::choose_manifest(index, platform), source.name()));
        out.data = TRY(source.manifest(chosen));
    }
    out.manifest =
        TRY(with_context(spec::parse_manifest(out.data.bytes, out.data.media_type), source.name()));
    if (!spec::is_config_type(out.manifest.config.media_type))
        return fail(Errc::invalid, source.name() + ": is an artifact, not an image");
    auto text = TRY(registry::read_small_blob(source, out.manifest.config));
    out.config = TRY(with_context(spec::parse_image_config(text), source.name()));
    if (out.config.diff_ids.size() != out.manifest.layers.size())
        return fail(Errc::corrupt, source.name() + ": the manifest lists " +
                                       std::to_string(out.manifest.layers.size()) +
                                       " layers, the configuration " +
                                       std::to_string(out.config.diff_ids.size()));
    return out;
}

Result<void> unpack_image(registry::ImageSource& source, const ImageView& view, int root,
                          registry::Progress* progress) {
    for (size_t i = 0; i < view.manifest.layers.size(); ++i)
        TRY(unpack_layer(source, view.manifest.layers[i], view.config.diff_ids[i], root, progress));
    return {};
}

Result<std::vector<TreeChange>> compare_trees(int before, int after) {
    Comparison comparison;
    TRY(comparison.folders(before, after, ""));
    return std::move(comparison.changes);
}

}  // namespace hull::image
