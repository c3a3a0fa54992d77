#include "base/log.hpp"
#include "layer/hash.hpp"
#include "registry/endpoints.hpp"

namespace hull::registry {
namespace {

class RegistryReader final : public BlobReader {
  public:
    explicit RegistryReader(std::unique_ptr<BlobStream> stream) : stream_(std::move(stream)) {}
    Result<size_t> read(std::span<char> into) override { return stream_->read(into); }

  private:
    std::unique_ptr<BlobStream> stream_;
};

class RegistrySource final : public ImageSource {
  public:
    RegistrySource(std::shared_ptr<Client> client, std::string repository, std::string name,
                   ManifestData top)
        : client_(std::move(client)),
          repository_(std::move(repository)),
          name_(std::move(name)),
          top_(std::move(top)) {}

    std::string name() const override { return name_; }
    Result<ManifestData> top_manifest() override { return top_; }
    Result<ManifestData> manifest(const spec::Descriptor& descriptor) override {
        ManifestData data = TRY(client_->get_manifest(repository_, descriptor.digest.to_string()));
        if (data.bytes.size() != descriptor.size)
            return fail(Errc::corrupt, name_ + ": manifest " + descriptor.digest.to_string() +
                                           " has " + std::to_string(data.bytes.size()) +
                                           " bytes, the index says " +
                                           std::to_string(descriptor.size));
        return data;
    }
    Result<std::unique_ptr<BlobReader>> open_blob(const spec::Descriptor& descriptor,
                                                  uint64_t offset) override {
        auto stream = TRY(client_->open_blob(repository_, descriptor, offset));
        return std::make_unique<RegistryReader>(std::move(stream));
    }
    std::optional<RegistryPlace> registry_place() const override {
        return RegistryPlace{client_->host(), repository_};
    }

  private:
    std::shared_ptr<Client> client_;
    std::string repository_;
    std::string name_;
    ManifestData top_;
};

class RegistryTarget final : public ImageTarget {
  public:
    RegistryTarget(std::shared_ptr<Client> client, spec::Reference reference, uint64_t chunk_size)
        : client_(std::move(client)), reference_(std::move(reference)), chunk_size_(chunk_size) {}

    std::string name() const override { return "docker://" + reference_.to_string(); }

    Result<std::string> put_blob(const spec::Descriptor& descriptor, const BlobRole& /*role*/,
                                 ImageSource& source, Progress* progress, int item) override {
        BlobUpload upload;
        upload.descriptor = descriptor;
        upload.chunk_size = chunk_size_;
        auto place = source.registry_place();
        if (place && place->host == client_->host() && place->repository != reference_.path)
            upload.mount_from = place->repository;
        upload.open = [&source, &descriptor](uint64_t offset) -> Result<BodySource> {
            std::shared_ptr<BlobReader> reader = TRY(source.open_blob(descriptor, offset));
            return BodySource{[reader](std::span<char> into) { return reader->read(into); }};
        };
        if (progress != nullptr)
            upload.progress = [progress, item](uint64_t sent) { progress->advance(item, sent); };
        switch (TRY(client_->upload_blob(reference_.path, upload))) {
            case UploadOutcome::mounted:
                return "mounted";
            case UploadOutcome::existed:
                return "already there";
            case UploadOutcome::uploaded:
                break;
        }
        return "done";
    }

    Result<void> put_manifest(const ManifestData& manifest) override {
        return client_->put_manifest(reference_.path, manifest.digest.to_string(), manifest);
    }

    Result<void> put_top(const ManifestData& top, const ManifestData& /*chosen*/) override {
        std::string where = reference_.tag.empty() ? top.digest.to_string() : reference_.tag;
        if (reference_.digest && *reference_.digest != top.digest)
            return fail(Errc::invalid,
                        name() + ": what would be pushed has the digest " + top.digest.to_string());
        return client_->put_manifest(reference_.path, where, top);
    }

  private:
    std::shared_ptr<Client> client_;
    spec::Reference reference_;
    uint64_t chunk_size_;
};

Result<std::unique_ptr<ImageSource>> open_choice(Access& access, const SourceChoice& choice,
                                                 const spec::Reference& reference) {
    auto client = TRY(access.client(choice.host, choice.repository, choice.insecure));
    auto top = TRY(client->get_manifest(choice.repository, reference.tag_or_digest()));
    std::string name = "docker://" + reference.to_string();
    if (choice.is_mirror) name += " (mirror " + choice.host + ")";
    return std::make_unique<RegistrySource>(std::move(client), choice.repository, std::move(name),
                                            std::move(top));
}

}  // namespace

Result<std::unique_ptr<ImageSource>> open_registry_source(Access& access,
                                                          const spec::Reference& reference) {
    auto choices = TRY(access.sources(reference));
    for (size_t i = 0;; ++i) {
        auto source = open_choice(access, choices[i], reference);
        bool last = i + 1 == choices.size();
        if (source || last || source.error().code == Errc::cancelled) return source;
        log::warning("mirror " + choices[i].host + " passed over: " + source.error().to_string());
    }
}

Result<std::unique_ptr<ImageTarget>> open_registry_target(Access& access,
                                                          const spec::Reference& reference,
                                                          uint64_t chunk_size) {
    // Mirrors are for reading; a push goes to the registry's own location.
    auto choices = TRY(access.sources(reference));
    const SourceChoice& own = choices.back();
    auto client = TRY(access.client(own.host, own.repository, own.insecure));
    spec::Reference target = reference;
    target.domain = own.host;
    target.path = own.repository;
    return std::make_unique<RegistryTarget>(std::move(client), std::move(target), chunk_size);
}

}  // namespace hull::registry
