#include <unistd.h>

#include <cerrno>

#include "base/log.hpp"
#include "layer/hash.hpp"
#include "layer/receive.hpp"
#include "registry/endpoints.hpp"

namespace hull::registry {
namespace {

constexpr size_t kBuffer = 256U << 10U;

class StoreSource final : public ImageSource {
  public:
    StoreSource(const store::Store& store, std::string name, spec::Descriptor target)
        : store_(store), name_(std::move(name)), target_(std::move(target)) {}
    std::string name() const override { return name_; }
    Result<ManifestData> top_manifest() override { return manifest(target_); }
    Result<ManifestData> manifest(const spec::Descriptor& descriptor) override {
        ManifestData out;
        out.bytes = TRY(with_context(store_.blobs().read(descriptor.digest), name_));
        out.digest = layer::hash(out.bytes, descriptor.digest.algorithm());
        if (out.digest != descriptor.digest)
            return fail(Errc::corrupt,
                        name_ + ": blob " + descriptor.digest.to_string() + " is damaged",
                        "repair the store: hull image fsck --repair");
        out.media_type = descriptor.media_type.empty() ? TRY(spec::detect_media_type(out.bytes))
                                                       : descriptor.media_type;
        return out;
    }
    Result<std::unique_ptr<BlobReader>> open_blob(const spec::Descriptor& descriptor,
                                                  uint64_t offset) override {
        Fd file = TRY(with_context(store_.blobs().open(descriptor.digest), name_));
        if (offset > 0 && ::lseek(file.get(), static_cast<off_t>(offset), SEEK_SET) < 0)
            return fail_errno(errno, "seek in blob " + descriptor.digest.to_string());
        return read_blob_file(std::move(file));
    }

  private:
    const store::Store& store_;
    std::string name_;
    spec::Descriptor target_;
};

class StoreTarget final : public ImageTarget {
  public:
    StoreTarget(const store::Store& store, const store::Lease& lease, StoreTargetOptions options)
        : store_(store), lease_(lease), options_(std::move(options)) {}

    std::string name() const override { return "the store " + store_.root(); }
    bool unpacks() const override { return options_.unpack; }
    bool keeps_sparse_index() const override { return !options_.explicit_platform; }

    Result<std::string> put_blob(const spec::Descriptor& descriptor, const BlobRole& role,
                                 ImageSource& source, Progress* progress, int item) override {
        bool is_tree = role.kind == BlobRole::Kind::layer && !role.diff_id.is_empty();
        return is_tree ? put_layer(descriptor, role, source, progress, item)
                       : put_plain(descriptor, source, progress, item);
    }

    Result<void> put_manifest(const ManifestData& manifest) override {
        TRY(lease_.add(manifest.digest));
        return store_.blobs().put(manifest.digest, manifest.bytes);
    }

    Result<void> put_top(const ManifestData& top, const ManifestData& chosen) override {
        TRY(put_manifest(top));
        if (options_.unpack) {
            auto manifest = TRY(spec::parse_manifest(chosen.bytes, chosen.media_type));
            auto config = TRY(store_.blobs().read(manifest.config.digest));
            TRY(store_.layers().complete_chain(TRY(spec::parse_image_config(config)).diff_ids));
        }
        std::vector<store::ReferenceEntry> entries;
        for (const auto& one : options_.names)
            entries.push_back({one, top.digest, top.media_type, top.bytes.size(), {}});
        return store_.references().set(std::move(entries));
    }

  private:
    bool is_cancelled() const {
        return options_.cancelled != nullptr && options_.cancelled->load();
    }

    Result<std::string> put_layer(const spec::Descriptor& descriptor, const BlobRole& role,
                                  ImageSource& source, Progress* progress, int item) {
        layer::LayerRequest request;
        request.descriptor = descriptor;
        request.diff_id = role.diff_id;
        auto receiver = TRY(layer::LayerReceiver::start(store_, lease_, request));
        if (receiver->is_complete()) {
            TRY(receiver->finish());
            return "already here";
        }
        uint64_t done = receiver->offset();
        auto reader = TRY(source.open_blob(descriptor, done));
        std::vector<char> buffer(kBuffer);
        std::chrono::nanoseconds fetching{};
        for (;;) {
            if (is_cancelled()) return fail(Errc::cancelled, "interrupted");
            layer::ThreadClock clock;
            size_t got = TRY(reader->read(buffer));
            fetching += clock.lap();
            if (got == 0) break;
            TRY(receiver->write({buffer.data(), got}));
            done += got;
            if (progress != nullptr) progress->advance(item, done);
        }
        auto result = TRY(receiver->finish());
        result.times.fetch = fetching;
        if (progress != nullptr) progress->account(result.times);
        warn_about_skipped(descriptor, result.report);
        return "done";
    }

    void warn_about_skipped(const spec::Descriptor& descriptor,
                            const layer::UnpackReport& report) const {
        if (report.skipped_devices == 0) return;
        log::warning("layer " + descriptor.digest.short_hex() + ": " +
                     std::to_string(report.skipped_devices) +
                     " device nodes were left out, the first is " + report.first_skipped);
    }

    Result<std::string> put_plain(const spec::Descriptor& descriptor, ImageSource& source,
                                  Progress* progress, int item) {
        TRY(lease_.add(descriptor.digest));
        auto writer = TRY(store_.blobs().create(descriptor.digest));
        if (!writer) return "already here";
        TRY(writer->restart());
        auto reader = TRY(source.open_blob(descriptor, 0));
        auto hasher = layer::create_hasher(descriptor.digest.algorithm());
        std::vector<char> buffer(kBuffer);
        uint64_t done = 0;
        for (;;) {
            if (is_cancelled()) return fail(Errc::cancelled, "interrupted");
            size_t got = TRY(reader->read(buffer));
            if (got == 0) break;
            hasher->update({buffer.data(), got});
            TRY(writer->write({buffer.data(), got}));
            done += got;
            if (progress != nullptr) progress->advance(item, done);
        }
        TRY(with_context(writer->commit(hasher->finish()), source.name()));
        return "done";
    }

    const store::Store& store_;
    const store::Lease& lease_;
    StoreTargetOptions options_;
};

}  // namespace

std::unique_ptr<ImageSource> open_store_source(const store::Store& store, std::string name,
                                               spec::Descriptor target) {
    return std::make_unique<StoreSource>(store, std::move(name), std::move(target));
}

std::unique_ptr<ImageTarget> open_store_target(const store::Store& store, const store::Lease& lease,
                                               StoreTargetOptions options) {
    return std::make_unique<StoreTarget>(store, lease, std::move(options));
}

}  // namespace hull::registry
