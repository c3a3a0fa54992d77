#include "layer/archive_members.hpp"

#include "base/file.hpp"
#include "base/text.hpp"
#include "layer/hash.hpp"
#include "layer/tar.hpp"
#include "spec/reference.hpp"

namespace hull::layer {
namespace {

constexpr size_t kMaxDocument = 16U << 20U;
constexpr size_t kMaxDocuments = 64U << 20U;
constexpr size_t kMaxMembers = 100'000;

/// The content of the present member as a stream.
class MemberSource final : public ByteSource {
  public:
    MemberSource(TarReader& reader, std::string first)
        : reader_(&reader), first_(std::move(first)) {}
    Result<std::string_view> read() override {
        if (!std::exchange(gave_first_, true) && !first_.empty()) return std::string_view{first_};
        return TRY(reader_->read_data()).bytes;
    }

  private:
    TarReader* reader_;
    std::string first_;
    bool gave_first_ = false;
};

/// The first bytes of a member: at least 8 unless it is shorter.
Result<std::string> read_first(TarReader& reader) {
    std::string first;
    while (first.size() < 8) {
        std::string_view bytes = TRY(reader.read_data()).bytes;
        if (bytes.empty()) break;
        first.append(bytes);
    }
    return first;
}

bool is_document(const std::string& name, std::string_view first) {
    if (name == "oci-layout" || name == "index.json" || name == "manifest.json" ||
        name == "repositories" || name == "VERSION" || name.ends_with(".json") ||
        name.ends_with("/json") || name.ends_with("/VERSION"))
        return true;
    return first.starts_with('{') || first.starts_with('[');
}

Result<std::string> read_document(const std::string& name, TarReader& reader, std::string text) {
    for (;;) {
        if (text.size() > kMaxDocument)
            return fail(Errc::invalid, quote(name) + " is larger than 16 MiB");
        std::string_view bytes = TRY(reader.read_data()).bytes;
        if (bytes.empty()) return text;
        text.append(bytes);
    }
}

/// A blob of an OCI layout must have the digest that its name says.
Result<void> check_blob_name(const std::string& name, const spec::Digest& actual) {
    constexpr std::string_view kFolder = "blobs/sha256/";
    if (!name.starts_with(kFolder)) return {};
    auto expected = spec::Digest::parse("sha256:" + name.substr(kFolder.size()));
    if (expected && *expected == actual) return {};
    return fail(Errc::corrupt, quote(name) + " of the archive has digest " + actual.to_string(),
                "the archive is damaged; make or fetch it again");
}

Result<void> read_member(const store::Store& store, const store::Lease& lease,
                         const LoadOptions& options, const TarEntry& entry, TarReader& reader,
                         ArchiveMembers& members) {
    std::string name = clean_path(entry.name);
    if (entry.type == TarType::symlink || entry.type == TarType::hard_link) {
        std::string target = entry.type == TarType::symlink
                                 ? join_path(parent_path("/" + name), entry.link)
                                 : "/" + entry.link;
        members.links[name] = clean_path(target).substr(1);
        return {};
    }
    if (entry.type != TarType::file) return {};
    std::string first = TRY(read_first(reader));
    if (is_document(name, first)) {
        std::string text = TRY(read_document(name, reader, std::move(first)));
        TRY(check_blob_name(name, hash(text)));
        members.documents[name] = std::move(text);
        return {};
    }
    MemberSource source{reader, std::move(first)};
    NewLayerRequest request;
    request.unpack = options.unpack;
    NewLayer layer = TRY(with_context(receive_new_layer(store, lease, source, request),
                                      "layer " + quote(name) + " of the archive"));
    TRY(check_blob_name(name, layer.descriptor.digest));
    members.layers.insert_or_assign(name, std::move(layer));
    return {};
}

/// Tells the progress of reading.
class CountingSource final : public ByteSource {
  public:
    CountingSource(ByteSource& source, const std::function<void(uint64_t)>& progress)
        : source_(&source), progress_(&progress) {}
    Result<std::string_view> read() override {
        std::string_view bytes = TRY(source_->read());
        count_ += bytes.size();
        if (*progress_) (*progress_)(count_);
        return bytes;
    }

  private:
    ByteSource* source_;
    const std::function<void(uint64_t)>* progress_;
    uint64_t count_ = 0;
};

}  // namespace

std::string ArchiveMembers::real_name(const std::string& name) const {
    std::string clean = clean_path(name);
    for (int depth = 0; depth < 8; ++depth) {
        auto link = links.find(clean);
        if (link == links.end()) break;
        clean = link->second;
    }
    return clean;
}

Result<const std::string*> ArchiveMembers::document(const std::string& name) const {
    auto found = documents.find(real_name(name));
    if (found == documents.end())
        return fail(Errc::invalid, "the archive has no member " + quote(name),
                    "it is damaged or not an archive of images");
    return &found->second;
}

Result<const NewLayer*> ArchiveMembers::layer(const std::string& name) const {
    auto found = layers.find(real_name(name));
    if (found == layers.end())
        return fail(Errc::invalid, "the archive has no layer " + quote(name),
                    "it is damaged or cut short");
    return &found->second;
}

Result<ArchiveMembers> read_members(const store::Store& store, const store::Lease& lease,
                                    ByteSource& archive, const LoadOptions& options) {
    CountingSource counting{archive, options.progress};
    std::unique_ptr<Decompressor> plain = TRY(create_decompressor(counting));
    std::unique_ptr<TarReader> reader = create_tar_reader(*plain);
    ArchiveMembers members;
    size_t count = 0;
    size_t document_bytes = 0;
    for (;;) {
        const TarEntry* entry = TRY(reader->next());
        if (entry == nullptr) break;
        if (++count > kMaxMembers)
            return fail(Errc::invalid, "the archive has more than 100,000 members",
                        "to make an image from a root file system use hull import");
        TarEntry copy = *entry;
        TRY(read_member(store, lease, options, copy, *reader, members));
        if (auto text = members.documents.find(clean_path(copy.name));
            text != members.documents.end())
            document_bytes += text->second.size();
        if (document_bytes > kMaxDocuments)
            return fail(Errc::invalid, "the archive's documents are larger than 64 MiB");
    }
    // To the end, so that a damaged tail is seen and a pipe's writer is not cut off.
    TRY(reader->drain());
    return members;
}

std::vector<std::string> names_of_entry(const spec::Descriptor& entry) {
    std::vector<std::string> names;
    for (const char* key : {"io.containerd.image.name", "org.opencontainers.image.ref.name"}) {
        auto found = entry.annotations.find(key);
        if (found == entry.annotations.end()) continue;
        const std::string& text = found->second;
        // "latest" alone is a tag within the layout; "name:tag" and "host/name" are names.
        if (text.find_first_of(":/") == std::string::npos) continue;
        auto reference = spec::parse_reference(text);
        if (reference && names.empty()) names.push_back(reference->to_string());
    }
    return names;
}

}  // namespace hull::layer
