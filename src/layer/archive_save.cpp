// Images out of the store: docker-archive, OCI layout as a tar or in a folder.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <set>

#include "base/file.hpp"
#include "base/text.hpp"
#include "layer/archive.hpp"
#include "layer/archive_members.hpp"
#include "layer/tar.hpp"
#include "spec/reference.hpp"
#include "store/images.hpp"

namespace hull::layer {
namespace {

constexpr std::string_view kLayout = R"({"imageLayoutVersion":"1.0.0"})";

std::string blob_member(const spec::Digest& digest) {
    return "blobs/" + std::string{spec::algorithm_name(digest.algorithm())} + "/" + digest.hex();
}

/// Blobs that a manifest or index needs and that are here, each once.
Result<void> gather(const store::Store& store, const spec::Digest& root,
                    std::set<spec::Digest>& blobs) {
    if (!blobs.insert(root).second) return {};
    std::string text = TRY(store.blobs().read(root));
    if (spec::is_index_type(TRY(spec::detect_media_type(text)))) {
        for (const spec::Descriptor& child : TRY(spec::parse_index(text)).manifests)
            if (store.blobs().has(child.digest)) TRY(gather(store, child.digest, blobs));
        return {};
    }
    spec::Manifest manifest = TRY(spec::parse_manifest(text));
    blobs.insert(manifest.config.digest);
    for (const spec::Descriptor& layer : manifest.layers)
        blobs.insert(layer.digest);
    return {};
}

std::vector<spec::Descriptor> index_entries(const SaveItem& item) {
    spec::Descriptor entry = item.target;
    if (item.names.empty()) return {entry};
    std::vector<spec::Descriptor> entries;
    for (const std::string& name : item.names) {
        entry.annotations = {{"io.containerd.image.name", name},
                             {"org.opencontainers.image.ref.name", name}};
        entries.push_back(entry);
    }
    return entries;
}

Result<void> add_folder(TarWriter& tar, const std::string& name) {
    TarEntry entry;
    entry.type = TarType::directory;
    entry.name = name + "/";
    entry.mode = 0755;
    return tar.add(entry);
}

/// Copies `source` as the content of the member just begun.
Result<void> copy_content(ByteSource& source, TarWriter& tar) {
    for (;;) {
        std::string_view bytes = TRY(source.read());
        if (bytes.empty()) return {};
        TRY(tar.write_data(bytes));
    }
}

Result<void> save_oci(const store::Store& store, const std::vector<SaveItem>& items,
                      TarWriter& tar) {
    spec::Index index;
    std::set<spec::Digest> blobs;
    for (const SaveItem& item : items) {
        for (spec::Descriptor& entry : index_entries(item))
            index.manifests.push_back(std::move(entry));
        TRY(gather(store, item.target.digest, blobs));
    }
    TRY(tar.add_file("oci-layout", kLayout));
    TRY(tar.add_file("index.json", spec::format_index(index)));
    TRY(add_folder(tar, "blobs"));
    std::set<std::string> folders;
    for (const spec::Digest& digest : blobs) {
        std::string folder = "blobs/" + std::string{spec::algorithm_name(digest.algorithm())};
        if (folders.insert(folder).second) TRY(add_folder(tar, folder));
        Fd blob = TRY(store.blobs().open(digest));
        TarEntry entry;
        entry.name = blob_member(digest);
        entry.mode = 0644;
        entry.size = TRY(store.blobs().size(digest));
        TRY(tar.add(entry));
        FileSource source{blob.get()};
        TRY(copy_content(source, tar));
    }
    return {};
}

/// Size of the uncompressed layer: recorded when it was unpacked, else counted.
Result<uint64_t> plain_size(const store::Store& store, const spec::Digest& blob,
                            const spec::Digest& diff_id) {
    if (auto record = store.layers().record(diff_id)) return record->tar_bytes;
    Fd file = TRY(store.blobs().open(blob));
    FileSource source{file.get()};
    std::unique_ptr<Decompressor> plain = TRY(create_decompressor(source));
    uint64_t size = 0;
    for (;;) {
        size_t count = TRY(plain->read()).size();
        if (count == 0) return size;
        size += count;
    }
}

Result<void> save_docker_layer(const store::Store& store, const spec::Digest& blob,
                               const spec::Digest& diff_id, TarWriter& tar) {
    TRY(add_folder(tar, diff_id.hex()));
    TarEntry entry;
    entry.name = diff_id.hex() + "/layer.tar";
    entry.mode = 0644;
    entry.size = TRY(plain_size(store, blob, diff_id));
    TRY(tar.add(entry));
    Fd file = TRY(store.blobs().open(blob));
    FileSource source{file.get()};
    std::unique_ptr<Decompressor> plain = TRY(create_decompressor(source));
    return copy_content(*plain, tar);
}

Result<void> save_docker(const store::Store& store, const std::vector<SaveItem>& items,
                         TarWriter& tar) {
    std::vector<DockerArchiveImage> list;
    std::set<spec::Digest> written;
    for (const SaveItem& item : items) {
        store::Image image = TRY(store::load_image(store, item.target.digest));
        if (image.manifest.layers.size() != image.config.diff_ids.size())
            return fail(Errc::corrupt, "image " + image.id.to_string() +
                                           ": manifest and configuration differ in their layers");
        DockerArchiveImage entry;
        entry.config = image.id.hex() + ".json";
        for (const std::string& name : item.names) {
            spec::Reference reference = TRY(spec::parse_reference(name));
            if (!reference.tag.empty()) {
                reference.digest.reset();
                entry.repo_tags.push_back(reference.familiar());
            }
        }
        for (size_t i = 0; i < image.config.diff_ids.size(); ++i) {
            const spec::Digest& diff_id = image.config.diff_ids[i];
            entry.layers.push_back(diff_id.hex() + "/layer.tar");
            if (written.insert(diff_id).second)
                TRY(save_docker_layer(store, image.manifest.layers[i].digest, diff_id, tar));
        }
        if (written.insert(image.id).second)
            TRY(tar.add_file(entry.config, TRY(store.blobs().read(image.id))));
        list.push_back(std::move(entry));
    }
    return tar.add_file("manifest.json", format_docker_archive(list));
}

Result<void> copy_blob(const store::Store& store, const spec::Digest& digest,
                       const std::string& target) {
    if (path_exists(target)) return {};
    std::string temporary = target + ".new";
    Fd from = TRY(store.blobs().open(digest));
    Fd to = TRY(open_path(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    for (;;) {
        ssize_t done = ::copy_file_range(from.get(), nullptr, to.get(), nullptr, 1U << 30U, 0);
        if (done == 0) break;
        if (done < 0 && (errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL)) {
            FileSource source{from.get()};
            for (;;) {
                std::string_view bytes = TRY(source.read());
                if (bytes.empty()) break;
                TRY(write_all(to.get(), bytes));
            }
            break;
        }
        if (done < 0) {
            int cause = errno;
            ::unlink(temporary.c_str());
            return fail_errno(cause, "write " + target);
        }
    }
    if (::rename(temporary.c_str(), target.c_str()) < 0)
        return fail_errno(errno, "rename " + temporary);
    return {};
}

bool has_name(const spec::Descriptor& entry, const std::string& name) {
    auto found = entry.annotations.find("org.opencontainers.image.ref.name");
    return found != entry.annotations.end() && found->second == name;
}

}  // namespace

Result<void> save_archive(const store::Store& store, const std::vector<SaveItem>& items,
                          ArchiveFormat format, ByteSink& output) {
    TarWriter tar{output};
    TRY(format == ArchiveFormat::oci ? save_oci(store, items, tar)
                                     : save_docker(store, items, tar));
    return tar.finish();
}

Result<void> save_oci_directory(const store::Store& store, const std::vector<SaveItem>& items,
                                const std::string& path) {
    TRY(create_directories(path + "/blobs/sha256"));
    spec::Index index;
    if (path_exists(path + "/index.json"))
        index = TRY(with_context(spec::parse_index(TRY(read_file(path + "/index.json"))),
                                 path + "/index.json"));
    std::set<spec::Digest> blobs;
    for (const SaveItem& item : items) {
        TRY(gather(store, item.target.digest, blobs));
        for (spec::Descriptor& entry : index_entries(item)) {
            // A name means one image; the same image without a name is there once.
            std::string name = entry.annotations.empty()
                                   ? std::string{}
                                   : entry.annotations["org.opencontainers.image.ref.name"];
            std::erase_if(index.manifests, [&](const spec::Descriptor& other) {
                return name.empty() ? other == entry : has_name(other, name);
            });
            index.manifests.push_back(std::move(entry));
        }
    }
    for (const spec::Digest& digest : blobs) {
        std::string folder =
            path + "/blobs/" + std::string{spec::algorithm_name(digest.algorithm())};
        TRY(create_directories(folder));
        TRY(copy_blob(store, digest, folder + "/" + digest.hex()));
    }
    TRY(write_file_atomically(path + "/oci-layout", kLayout));
    return write_file_atomically(path + "/index.json", spec::format_index(index));
}

}  // namespace hull::layer
