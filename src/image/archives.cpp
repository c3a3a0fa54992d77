#include "image/archives.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <optional>

#include "base/file.hpp"
#include "base/text.hpp"
#include "image/layout.hpp"
#include "layer/compress.hpp"
#include "layer/hash.hpp"
#include "layer/tar.hpp"
#include "registry/endpoints.hpp"
#include "spec/reference.hpp"

namespace hull::image {
namespace {

constexpr size_t kMaxMembers = 20'000;
constexpr int kMaxLinks = 8;

/// The members of an archive as numbered files in a folder: their names are keys only, never paths.
struct Members {
    std::map<std::string, std::string> files;  ///< member name -> path
    std::map<std::string, std::string> links;  ///< member name -> member name

    Result<std::string> find(std::string name) const {
        for (int i = 0; i < kMaxLinks; ++i) {
            auto file = files.find(name);
            if (file != files.end()) return file->second;
            auto link = links.find(name);
            if (link == links.end()) break;
            name = link->second;
        }
        return fail(Errc::corrupt, "the archive has no member " + quote(name));
    }
};

std::string normal_name(const std::string& name) {
    return clean_path("/" + name).substr(1);
}

Result<void> write_member(layer::TarReader& reader, const std::string& path) {
    Fd file = TRY(open_path(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
    uint64_t at = 0;
    for (;;) {
        auto data = TRY(reader.read_data());
        if (data.bytes.empty()) return {};
        if (data.offset != at && ::lseek(file.get(), static_cast<off_t>(data.offset), SEEK_SET) < 0)
            return fail_errno(errno, "seek in " + path);
        TRY(with_context(write_all(file.get(), data.bytes), "write " + path));
        at = data.offset + data.bytes.size();
    }
}

Result<Members> spread_out(int input, const std::string& folder) {
    layer::FileSource file{input};
    auto source = TRY(layer::create_decompressor(file));
    auto reader = layer::create_tar_reader(*source);
    Members out;
    for (;;) {
        const layer::TarEntry* entry = TRY(reader->next());
        if (entry == nullptr) return out;
        std::string name = normal_name(entry->name);
        if (out.files.size() + out.links.size() > kMaxMembers)
            return fail(Errc::corrupt, "an archive of images has fewer members than this one");
        if (entry->type == layer::TarType::file) {
            std::string path = folder + "/member-" + std::to_string(out.files.size());
            TRY(write_member(*reader, path));
            out.files[name] = path;
        } else if (entry->type == layer::TarType::hard_link) {
            out.links[name] = normal_name(entry->link);
        } else if (entry->type == layer::TarType::symlink) {
            out.links[name] = normal_name(parent_path(name) + "/" + entry->link);
        }
    }
}

Result<void> move_file(const std::string& from, const std::string& to) {
    TRY(create_directories(parent_path(to)));
    if (::rename(from.c_str(), to.c_str()) < 0)
        return fail_errno(errno, "rename " + from + " to " + to);
    return {};
}

/// blobs/sha256/HEX and index.json of an OCI archive become a layout in `folder`.
Result<void> arrange_layout(const Members& members, const std::string& folder) {
    for (const auto& [name, path] : members.files) {
        if (name == "index.json" || name == "oci-layout") {
            TRY(move_file(path, folder + "/" + name));
            continue;
        }
        auto parts = split(name, '/');
        if (parts.size() != 3 || parts[0] != "blobs") continue;
        auto digest = spec::Digest::parse(std::string{parts[1]} + ":" + std::string{parts[2]});
        if (digest) TRY(move_file(path, folder + "/" + name));
    }
    return {};
}

std::string blob_path(const std::string& folder, const spec::Digest& digest) {
    return folder + "/blobs/sha256/" + digest.hex();
}

Result<spec::Descriptor> add_config(const std::string& path, const std::string& folder) {
    auto text = TRY(read_file(path, 8U << 20U));
    spec::Descriptor out{std::string{spec::media::kDockerConfig}, layer::hash(text), text.size()};
    TRY(move_file(path, blob_path(folder, out.digest)));
    return out;
}

/// A layer as it will be a blob: packed with gzip unless it is packed already.
Result<spec::Descriptor> add_layer(const std::string& path, const std::string& folder) {
    Fd file = TRY(open_path(path, O_RDONLY));
    char head[4] = {};
    ssize_t got = ::pread(file.get(), head, sizeof head, 0);
    if (got < 0) return fail_errno(errno, "read " + path);
    auto packed = layer::detect_compression({head, static_cast<size_t>(got)});
    std::string temporary = path + ".packed";
    Fd out = TRY(open_path(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    layer::FileSink file_sink{out.get()};
    layer::HashingSink hashing{file_sink};
    auto compressor = layer::create_compressor(
        packed == layer::Compression::none ? layer::Compression::gzip : layer::Compression::none,
        hashing);
    layer::FileSource source{file.get()};
    for (;;) {
        auto bytes = TRY(source.read());
        if (bytes.empty()) break;
        TRY(with_context(compressor->write(bytes), "write " + temporary));
    }
    TRY(compressor->finish());
    bool zstd = packed == layer::Compression::zstd;
    spec::Descriptor descriptor{
        std::string{zstd ? spec::media::kOciLayerZstd : spec::media::kDockerLayerGzip},
        hashing.finish(), hashing.size()};
    TRY(move_file(temporary, blob_path(folder, descriptor.digest)));
    return descriptor;
}

Result<const ArchiveImage*> choose_image(const std::vector<ArchiveImage>& images,
                                         const std::string& name) {
    std::vector<std::string> known;
    auto wanted = name.empty() ? name : TRY(spec::parse_reference(name)).to_string();
    for (const auto& image : images)
        for (const auto& tag : image.tags) {
            known.push_back(tag);
            auto parsed = spec::parse_reference(tag);
            if (!wanted.empty() && parsed && parsed->to_string() == wanted) return &image;
        }
    if (wanted.empty() && images.size() == 1) return &images.front();
    return fail(Errc::not_found,
                wanted.empty() ? "the archive holds " + std::to_string(images.size()) + " images"
                               : "the archive has no image " + wanted,
                "it has: " + join(known, ", "));
}

/// Makes an OCI layout with a Docker manifest of one image of a docker archive.
Result<void> arrange_docker(const Members& members, const std::string& name,
                            const std::string& folder) {
    auto text = TRY(read_file(TRY(members.find("manifest.json")), 8U << 20U));
    auto images = TRY(parse_archive_manifest(text));
    const ArchiveImage* image = TRY(choose_image(images, name));
    spec::Manifest manifest;
    manifest.media_type = spec::media::kDockerManifest;
    manifest.config = TRY(add_config(TRY(members.find(normal_name(image->config))), folder));
    for (const auto& layer : image->layers) {
        manifest.layers.push_back(TRY(add_layer(TRY(members.find(normal_name(layer))), folder)));
        if (manifest.layers.back().media_type == spec::media::kOciLayerZstd)
            manifest.media_type = spec::media::kOciManifest;
    }
    if (!manifest.is_docker()) {
        manifest.config.media_type = spec::media::kOciConfig;
        for (auto& layer : manifest.layers)
            if (layer.media_type == spec::media::kDockerLayerGzip)
                layer.media_type = spec::media::kOciLayerGzip;
    }
    std::string bytes = spec::format_manifest(manifest);
    spec::Descriptor top{manifest.media_type, layer::hash(bytes), bytes.size()};
    TRY(write_file_atomically(blob_path(folder, top.digest), bytes));
    spec::Index index;
    index.manifests.push_back(top);
    return write_file_atomically(folder + "/index.json", spec::format_index(index));
}

class FileOutput final : public ArchiveOutput {
  public:
    FileOutput(Fd file, std::string temporary, std::string path)
        : file_(std::move(file)),
          temporary_(std::move(temporary)),
          path_(std::move(path)),
          sink_(file_.get()) {}
    ~FileOutput() override {
        if (!temporary_.empty()) ::unlink(temporary_.c_str());
    }
    layer::ByteSink& sink() override { return sink_; }
    Result<void> finish() override {
        if (temporary_.empty()) return {};
        if (::rename(temporary_.c_str(), path_.c_str()) < 0)
            return fail_errno(errno, "rename " + temporary_ + " to " + path_);
        temporary_.clear();
        return {};
    }

  private:
    Fd file_;
    std::string temporary_;  ///< empty: nothing to rename
    std::string path_;
    layer::FileSink sink_;
};

class ArchiveTarget final : public registry::ImageTarget {
  public:
    ArchiveTarget(layer::ArchiveFormat format, std::string image_name, ArchiveOutput& output,
                  std::string work)
        : format_(format),
          image_name_(std::move(image_name)),
          output_(output),
          work_(std::move(work)) {}

    std::string name() const override { return "the archive"; }
    Result<std::string> put_blob(const spec::Descriptor& descriptor, const registry::BlobRole& role,
                                 registry::ImageSource& source, registry::Progress* progress,
                                 int item) override {
        TRY(prepare());
        return inner_->put_blob(descriptor, role, source, progress, item);
    }
    Result<void> put_manifest(const registry::ManifestData& manifest) override {
        TRY(prepare());
        return inner_->put_manifest(manifest);
    }
    Result<void> put_top(const registry::ManifestData& top,
                         const registry::ManifestData& chosen) override {
        TRY(prepare());
        TRY(inner_->put_top(top, chosen));
        layer::SaveItem item;
        if (!image_name_.empty()) item.names.push_back(image_name_);
        item.target = {top.media_type, top.digest, top.bytes.size()};
        TRY(layer::save_archive(*store_, {item}, format_, output_.sink()));
        return output_.finish();
    }

  private:
    Result<void> prepare() {
        std::lock_guard lock{mutex_};
        if (inner_) return {};
        store_.emplace(TRY(store::Store::open(work_ + "/store")));
        lease_.emplace(TRY(store_->create_lease()));
        registry::StoreTargetOptions options;
        options.unpack = false;
        options.explicit_platform = true;
        inner_ = registry::open_store_target(*store_, *lease_, options);
        return {};
    }

    layer::ArchiveFormat format_;
    std::string image_name_;
    ArchiveOutput& output_;
    std::string work_;
    std::mutex mutex_;
    std::optional<store::Store> store_;
    std::optional<store::Lease> lease_;
    std::unique_ptr<registry::ImageTarget> inner_;
};

}  // namespace

Result<std::unique_ptr<registry::ImageSource>> open_archive_source(Location::Transport kind,
                                                                   int input,
                                                                   const std::string& name,
                                                                   const std::string& work) {
    TRY(create_directories(work + "/layout/blobs/sha256", 0700));
    auto members = TRY(spread_out(input, work));
    if (kind == Location::Transport::oci_archive) {
        TRY(arrange_layout(members, work + "/layout"));
        return open_layout_source(work + "/layout", name);
    }
    TRY(arrange_docker(members, name, work + "/layout"));
    return open_layout_source(work + "/layout", "");
}

Result<std::unique_ptr<ArchiveOutput>> open_file_output(const std::string& path) {
    if (path == "-") {
        Fd file{::fcntl(1, F_DUPFD_CLOEXEC, 3)};
        if (!file) return fail_errno(errno, "write to stdout");
        return std::make_unique<FileOutput>(std::move(file), "", "");
    }
    struct stat info{};
    bool exists = ::lstat(path.c_str(), &info) == 0;
    if (exists && S_ISDIR(info.st_mode))
        return fail(Errc::invalid, path + ": is a folder", "give the name of a file");
    // A device, a pipe or a link is written to; a rename would put a file in its place.
    if (exists && !S_ISREG(info.st_mode)) {
        Fd file = TRY(open_path(path, O_WRONLY | O_TRUNC));
        return std::make_unique<FileOutput>(std::move(file), "", "");
    }
    std::string temporary = path + ".partial-" + std::to_string(::getpid());
    Fd file = TRY(open_path(temporary, O_RDWR | O_CREAT | O_TRUNC, 0644));
    return std::make_unique<FileOutput>(std::move(file), std::move(temporary), path);
}

std::unique_ptr<registry::ImageTarget> open_archive_target(layer::ArchiveFormat format,
                                                           const std::string& name,
                                                           ArchiveOutput& output,
                                                           const std::string& work) {
    return std::make_unique<ArchiveTarget>(format, name, output, work);
}

}  // namespace hull::image
