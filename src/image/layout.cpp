#include "image/layout.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "base/text.hpp"
#include "layer/hash.hpp"

namespace hull::image {
namespace {

using registry::ManifestData;

constexpr size_t kBuffer = 256U << 10U;
constexpr size_t kMaxDocument = 4U << 20U;
constexpr std::string_view kLayoutFile = R"({"imageLayoutVersion":"1.0.0"})";

std::string blob_path(const std::string& folder, const spec::Digest& digest) {
    return folder + "/blobs/" + std::string{spec::algorithm_name(digest.algorithm())} + "/" +
           digest.hex();
}

/// A document whose digest must be right.
Result<ManifestData> read_document(const std::string& path, const spec::Descriptor& descriptor) {
    ManifestData out;
    out.bytes = TRY(read_file(path, kMaxDocument));
    out.digest = layer::hash(out.bytes, descriptor.digest.algorithm());
    if (!descriptor.digest.is_empty() && out.digest != descriptor.digest)
        return fail(Errc::corrupt, path + ": its content has the digest " + out.digest.to_string());
    out.media_type = TRY(with_context(spec::detect_media_type(out.bytes), path));
    return out;
}

class LayoutSource final : public registry::ImageSource {
  public:
    LayoutSource(std::string folder, std::string tag, spec::Descriptor top)
        : folder_(std::move(folder)), tag_(std::move(tag)), top_(std::move(top)) {}
    std::string name() const override {
        return "oci:" + folder_ + (tag_.empty() ? "" : ":" + tag_);
    }
    Result<ManifestData> top_manifest() override { return manifest(top_); }
    Result<ManifestData> manifest(const spec::Descriptor& descriptor) override {
        return read_document(blob_path(folder_, descriptor.digest), descriptor);
    }
    Result<std::unique_ptr<registry::BlobReader>> open_blob(const spec::Descriptor& descriptor,
                                                            uint64_t offset) override {
        return open_file_blob(blob_path(folder_, descriptor.digest), offset);
    }

  private:
    std::string folder_;
    std::string tag_;
    spec::Descriptor top_;
};

class LayoutTarget final : public registry::ImageTarget {
  public:
    LayoutTarget(std::string folder, std::string tag)
        : folder_(std::move(folder)), tag_(std::move(tag)) {}
    std::string name() const override {
        return "oci:" + folder_ + (tag_.empty() ? "" : ":" + tag_);
    }
    Result<std::string> put_blob(const spec::Descriptor& descriptor,
                                 const registry::BlobRole& /*role*/, registry::ImageSource& source,
                                 registry::Progress* progress, int item) override {
        std::string path = blob_path(folder_, descriptor.digest);
        TRY(create_directories(parent_path(path)));
        return write_file_blob(path, descriptor, source, progress, item);
    }
    Result<void> put_manifest(const ManifestData& manifest) override {
        std::string path = blob_path(folder_, manifest.digest);
        TRY(create_directories(parent_path(path)));
        return write_file_atomically(path, manifest.bytes);
    }
    Result<void> put_top(const ManifestData& top, const ManifestData& /*chosen*/) override {
        TRY(put_manifest(top));
        // Two writers of one layout must not lose each other's entry.
        LockFile lock = TRY(LockFile::acquire(folder_ + "/oci-layout"));
        std::string path = folder_ + "/index.json";
        spec::Index index;
        if (path_exists(path))
            index = TRY(with_context(spec::parse_index(TRY(read_file(path))), path));
        spec::Descriptor entry{top.media_type, top.digest, top.bytes.size()};
        if (!tag_.empty()) entry.annotations[kRefName] = tag_;
        std::erase_if(index.manifests, [&](const spec::Descriptor& old) {
            auto name = old.annotations.find(kRefName);
            std::string old_tag = name == old.annotations.end() ? "" : name->second;
            return old_tag == tag_ && (!tag_.empty() || old.digest == entry.digest);
        });
        index.manifests.push_back(std::move(entry));
        return write_file_atomically(path, spec::format_index(index));
    }

  private:
    std::string folder_;
    std::string tag_;
};

class FolderSource final : public registry::ImageSource {
  public:
    explicit FolderSource(std::string folder) : folder_(std::move(folder)) {}
    std::string name() const override { return "dir:" + folder_; }
    Result<ManifestData> top_manifest() override {
        return read_document(folder_ + "/manifest.json", {});
    }
    Result<ManifestData> manifest(const spec::Descriptor& descriptor) override {
        return read_document(folder_ + "/" + descriptor.digest.hex() + ".manifest.json",
                             descriptor);
    }
    Result<std::unique_ptr<registry::BlobReader>> open_blob(const spec::Descriptor& descriptor,
                                                            uint64_t offset) override {
        return open_file_blob(folder_ + "/" + descriptor.digest.hex(), offset);
    }

  private:
    std::string folder_;
};

class FolderTarget final : public registry::ImageTarget {
  public:
    explicit FolderTarget(std::string folder) : folder_(std::move(folder)) {}
    std::string name() const override { return "dir:" + folder_; }
    Result<std::string> put_blob(const spec::Descriptor& descriptor,
                                 const registry::BlobRole& /*role*/, registry::ImageSource& source,
                                 registry::Progress* progress, int item) override {
        return write_file_blob(folder_ + "/" + descriptor.digest.hex(), descriptor, source,
                               progress, item);
    }
    Result<void> put_manifest(const ManifestData& manifest) override {
        return write_file_atomically(folder_ + "/" + manifest.digest.hex() + ".manifest.json",
                                     manifest.bytes);
    }
    Result<void> put_top(const ManifestData& top, const ManifestData& /*chosen*/) override {
        TRY(write_file_atomically(folder_ + "/version", "Directory Transport Version: 1.1\n"));
        return write_file_atomically(folder_ + "/manifest.json", top.bytes);
    }

  private:
    std::string folder_;
};

}  // namespace

Result<std::unique_ptr<registry::BlobReader>> open_file_blob(const std::string& path,
                                                             uint64_t offset) {
    Fd file = TRY(open_path(path, O_RDONLY | O_NOFOLLOW));
    if (offset > 0 && ::lseek(file.get(), static_cast<off_t>(offset), SEEK_SET) < 0)
        return fail_errno(errno, "seek in " + path);
    return registry::read_blob_file(std::move(file));
}

Result<std::string> write_file_blob(const std::string& path, const spec::Descriptor& descriptor,
                                    registry::ImageSource& source, registry::Progress* progress,
                                    int item) {
    if (path_exists(path)) return "already there";
    std::string temporary = path + ".partial-" + std::to_string(::getpid());
    auto write = [&]() -> Result<void> {
        Fd file = TRY(open_path(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644));
        auto reader = TRY(source.open_blob(descriptor, 0));
        auto hasher = layer::create_hasher(descriptor.digest.algorithm());
        std::vector<char> buffer(kBuffer);
        uint64_t done = 0;
        for (;;) {
            size_t got = TRY(reader->read(buffer));
            if (got == 0) break;
            hasher->update({buffer.data(), got});
            TRY(with_context(write_all(file.get(), {buffer.data(), got}), "write " + path));
            done += got;
            if (progress != nullptr) progress->advance(item, done);
        }
        auto actual = hasher->finish();
        if (actual != descriptor.digest)
            return fail(Errc::corrupt, source.name() + ": blob " + descriptor.digest.to_string() +
                                           " has other content, with digest " + actual.to_string());
        if (::rename(temporary.c_str(), path.c_str()) < 0)
            return fail_errno(errno, "rename " + temporary + " to " + path);
        return {};
    };
    auto done = write();
    if (!done) {
        ::unlink(temporary.c_str());
        return fail(std::move(done).error());
    }
    return "done";
}

Result<std::unique_ptr<registry::ImageSource>> open_layout_source(const std::string& folder,
                                                                  const std::string& tag) {
    std::string path = folder + "/index.json";
    auto text = read_file(path, kMaxDocument);
    if (!text) return fail(std::move(text).error().with_hint("an OCI layout has an index.json"));
    auto index = TRY(with_context(spec::parse_index(*text), path));
    std::vector<std::string> tags;
    const spec::Descriptor* found = nullptr;
    for (const auto& entry : index.manifests) {
        auto name = entry.annotations.find(kRefName);
        std::string own = name == entry.annotations.end() ? "" : name->second;
        tags.push_back(own.empty() ? entry.digest.to_string() : own);
        if (own == tag || entry.digest.to_string() == tag) found = &entry;
    }
    if (tag.empty() && index.manifests.size() == 1) found = &index.manifests.front();
    if (found == nullptr)
        return fail(Errc::not_found,
                    folder + (tag.empty() ? ": holds " + std::to_string(tags.size()) + " images"
                                          : ": has no image " + quote(tag)),
                    "it has: " + join(tags, ", "));
    return std::make_unique<LayoutSource>(folder, tag, *found);
}

Result<std::unique_ptr<registry::ImageTarget>> open_layout_target(const std::string& folder,
                                                                  const std::string& tag) {
    TRY(create_directories(folder + "/blobs"));
    std::string marker = folder + "/oci-layout";
    if (!path_exists(marker)) TRY(write_file_atomically(marker, kLayoutFile));
    return std::make_unique<LayoutTarget>(folder, tag);
}

Result<std::unique_ptr<registry::ImageSource>> open_folder_source(const std::string& folder) {
    if (!path_exists(folder + "/manifest.json"))
        return fail(Errc::not_found, "dir:" + folder + ": has no manifest.json");
    return std::make_unique<FolderSource>(folder);
}

Result<std::unique_ptr<registry::ImageTarget>> open_folder_target(const std::string& folder) {
    TRY(create_directories(folder));
    return std::make_unique<FolderTarget>(folder);
}

}  // namespace hull::image
