#include "registry/transfer.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <set>
#include <thread>

#include "base/text.hpp"
#include "layer/hash.hpp"

namespace hull::registry {
namespace {

constexpr size_t kMaxLayers = 500;  // an overlay takes no more (OVL_MAX_STACK)
constexpr size_t kMaxManifests = 1000;

/// One blob that has to be at the target.
struct Task {
    spec::Descriptor descriptor;
    BlobRole role;
};

Result<void> check_manifest(const spec::Manifest& manifest, const std::string& name) {
    if (manifest.layers.size() > kMaxLayers)
        return fail(Errc::invalid,
                    name + ": has " + std::to_string(manifest.layers.size()) +
                        " layers; an image can have " + std::to_string(kMaxLayers),
                    "build it again with fewer steps, or squash it");
    return {};
}

class FileReader final : public BlobReader {
  public:
    explicit FileReader(Fd file) : file_(std::move(file)) {}
    Result<size_t> read(std::span<char> into) override {
        for (;;) {
            ssize_t got = ::read(file_.get(), into.data(), into.size());
            if (got >= 0) return static_cast<size_t>(got);
            if (errno != EINTR) return fail_errno(errno, "read a blob's file");
        }
    }

  private:
    Fd file_;
};

/// Runs the tasks on a few threads; the first failure stops the others.
class Workers {
  public:
    Workers(ImageSource& source, ImageTarget& target, const TransferOptions& options)
        : source_(source), target_(target), options_(options) {}

    Result<void> run(const std::vector<Task>& tasks) {
        std::set<spec::Digest> seen;
        for (const auto& task : tasks)
            if (seen.insert(task.descriptor.digest).second) tasks_.push_back(&task);
        size_t count = std::clamp<size_t>(options_.parallel, 1, 16);
        count = std::min(count, tasks_.size());
        std::vector<std::thread> threads;
        for (size_t i = 1; i < count; ++i)
            threads.emplace_back([this] { work(); });
        work();
        for (auto& thread : threads)
            thread.join();
        if (failure_) return fail(std::move(*failure_));
        return {};
    }

  private:
    void work() {
        while (const Task* task = next()) {
            auto done = run_one(*task);
            if (done) continue;
            std::lock_guard lock{mutex_};
            // What fails because the others were told to stop is not the cause.
            if (!failure_) failure_ = std::move(done).error();
            return;
        }
    }

    const Task* next() {
        std::lock_guard lock{mutex_};
        bool stop = options_.cancelled != nullptr && options_.cancelled->load();
        if (stop && !failure_) failure_ = make_error(Errc::cancelled, "interrupted");
        if (failure_ || next_ >= tasks_.size()) return nullptr;
        return tasks_[next_++];
    }

    Result<void> run_one(const Task& task) {
        std::string kind = task.role.kind == BlobRole::Kind::layer    ? "layer "
                           : task.role.kind == BlobRole::Kind::config ? "config "
                                                                      : "blob ";
        std::string label = kind + task.descriptor.digest.short_hex();
        int item = options_.progress != nullptr
                       ? options_.progress->begin(label, task.descriptor.size)
                       : 0;
        auto outcome = with_context(
            target_.put_blob(task.descriptor, task.role, source_, options_.progress, item), label);
        if (!outcome) return fail(std::move(outcome).error());
        if (options_.progress != nullptr) options_.progress->finish(item, *outcome);
        return {};
    }

    ImageSource& source_;
    ImageTarget& target_;
    const TransferOptions& options_;
    std::mutex mutex_;
    std::vector<const Task*> tasks_;
    size_t next_ = 0;
    std::optional<Error> failure_;
};

class MemoryReader final : public BlobReader {
  public:
    explicit MemoryReader(std::string_view rest) : rest_(rest) {}
    Result<size_t> read(std::span<char> into) override {
        size_t length = rest_.copy(into.data(), into.size());
        rest_.remove_prefix(length);
        return length;
    }

  private:
    std::string_view rest_;
};

/// A source of which one small blob, the configuration, has been read already.
class RememberingSource final : public ImageSource {
  public:
    explicit RememberingSource(ImageSource& inner) : inner_(inner) {}
    std::string name() const override { return inner_.name(); }
    Result<ManifestData> top_manifest() override { return inner_.top_manifest(); }
    Result<ManifestData> manifest(const spec::Descriptor& descriptor) override {
        return inner_.manifest(descriptor);
    }
    Result<std::unique_ptr<BlobReader>> open_blob(const spec::Descriptor& descriptor,
                                                  uint64_t offset) override {
        if (descriptor.digest != digest_ || offset > content_.size())
            return inner_.open_blob(descriptor, offset);
        return std::make_unique<MemoryReader>(std::string_view{content_}.substr(offset));
    }
    std::optional<RegistryPlace> registry_place() const override { return inner_.registry_place(); }
    void remember(spec::Digest digest, std::string content) {
        digest_ = std::move(digest);
        content_ = std::move(content);
    }

  private:
    ImageSource& inner_;
    spec::Digest digest_;
    std::string content_;
};

/// The blobs of one manifest. `unpack`: layers get their diff ids from the configuration.
Result<std::vector<Task>> plan_blobs(RememberingSource& source, const spec::Manifest& manifest,
                                     bool unpack) {
    TRY(check_manifest(manifest, source.name()));
    bool is_image = spec::is_config_type(manifest.config.media_type);
    std::vector<Task> tasks;
    std::vector<spec::Digest> diff_ids;
    if (unpack && !is_image)
        return fail(Errc::invalid,
                    source.name() + ": is no container image but an artifact of type " +
                        quote(manifest.artifact_type.empty() ? manifest.config.media_type
                                                             : manifest.artifact_type),
                    "fetch it with: hull artifact pull");
    if (unpack) {
        auto text = TRY(with_context(read_small_blob(source, manifest.config), "configuration"));
        diff_ids = TRY(with_context(spec::parse_image_config(text), source.name())).diff_ids;
        source.remember(manifest.config.digest, text);
        if (diff_ids.size() != manifest.layers.size())
            return fail(Errc::corrupt, source.name() + ": the manifest lists " +
                                           std::to_string(manifest.layers.size()) +
                                           " layers, the configuration " +
                                           std::to_string(diff_ids.size()));
    }
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
        const auto& layer = manifest.layers[i];
        BlobRole role{BlobRole::Kind::layer, unpack ? diff_ids[i] : spec::Digest{}};
        if (unpack && !spec::is_layer_type(layer.media_type))
            return fail(Errc::unsupported, source.name() + ": layer " + std::to_string(i + 1) +
                                               " has the type " + quote(layer.media_type));
        tasks.push_back({layer, role});
    }
    // Large layers first: the last one to end decides how long it takes.
    std::stable_sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) {
        return a.descriptor.size > b.descriptor.size;
    });
    BlobRole role{is_image ? BlobRole::Kind::config : BlobRole::Kind::other, {}};
    tasks.insert(tasks.begin(), {manifest.config, role});
    return tasks;
}

Result<spec::Manifest> copy_manifest(ImageSource& source, ImageTarget& target,
                                     const ManifestData& data, bool unpack,
                                     const TransferOptions& options) {
    auto manifest =
        TRY(with_context(spec::parse_manifest(data.bytes, data.media_type), source.name()));
    RememberingSource remembering{source};
    auto tasks = TRY(plan_blobs(remembering, manifest, unpack));
    TRY(Workers(remembering, target, options).run(tasks));
    return manifest;
}

uint64_t total_size(const spec::Manifest& manifest) {
    uint64_t bytes = manifest.config.size;
    for (const auto& layer : manifest.layers)
        bytes += layer.size;
    return bytes;
}

/// Copies all manifests of an index, those in an index within it as well.
Result<void> copy_all(ImageSource& source, ImageTarget& target, const spec::Index& index,
                      const TransferOptions& options, int depth) {
    if (index.manifests.size() > kMaxManifests || depth > 3)
        return fail(Errc::invalid, source.name() + ": an index of too many manifests");
    for (const auto& descriptor : index.manifests) {
        ManifestData data = TRY(source.manifest(descriptor));
        if (spec::is_index_type(data.media_type)) {
            auto inner = TRY(spec::parse_index(data.bytes, data.media_type));
            TRY(copy_all(source, target, inner, options, depth + 1));
        } else {
            TRY(copy_manifest(source, target, data, false, options));
        }
        TRY(target.put_manifest(data));
    }
    return {};
}

}  // namespace

std::unique_ptr<BlobReader> read_blob_file(Fd file) {
    return std::make_unique<FileReader>(std::move(file));
}

Result<std::string> read_small_blob(ImageSource& source, const spec::Descriptor& descriptor,
                                    size_t limit) {
    if (descriptor.size > limit)
        return fail(Errc::invalid, source.name() + ": blob " + descriptor.digest.to_string() +
                                       " has " + std::to_string(descriptor.size) +
                                       " bytes, more than " + std::to_string(limit));
    auto reader = TRY(source.open_blob(descriptor, 0));
    std::string out;
    std::vector<char> buffer(64U << 10U);
    for (;;) {
        size_t got = TRY(reader->read(buffer));
        if (got == 0) break;
        out.append(buffer.data(), got);
        if (out.size() > descriptor.size) break;
    }
    auto actual = layer::hash(out, descriptor.digest.algorithm());
    if (out.size() != descriptor.size || actual != descriptor.digest)
        return fail(Errc::corrupt, source.name() + ": blob " + descriptor.digest.to_string() +
                                       " has other content, with digest " + actual.to_string());
    return out;
}

Result<TransferResult> transfer_image(ImageSource& source, ImageTarget& target,
                                      const TransferOptions& options) {
    TransferResult out;
    out.top = TRY(source.top_manifest());
    out.chosen = out.top;
    bool unpack = target.unpacks();
    if (spec::is_index_type(out.top.media_type)) {
        auto index =
            TRY(with_context(spec::parse_index(out.top.bytes, out.top.media_type), source.name()));
        auto chosen = with_context(spec::choose_manifest(index, options.platform), source.name());
        if (!chosen && (unpack || !options.all_platforms)) return fail(std::move(chosen).error());
        if (chosen) out.chosen = TRY(source.manifest(*chosen));
        if (options.all_platforms) TRY(copy_all(source, target, index, options, 0));
        if (chosen && spec::is_index_type(out.chosen.media_type))
            return fail(Errc::unsupported, source.name() + ": an index within an index");
    }
    bool have_manifest = !spec::is_index_type(out.chosen.media_type);
    if (have_manifest &&
        (unpack || !options.all_platforms || out.chosen.digest == out.top.digest)) {
        auto manifest = TRY(copy_manifest(source, target, out.chosen, unpack, options));
        out.config_digest = manifest.config.digest;
        out.bytes = total_size(manifest);
    } else if (have_manifest) {
        auto manifest = TRY(spec::parse_manifest(out.chosen.bytes, out.chosen.media_type));
        out.config_digest = manifest.config.digest;
        out.bytes = total_size(manifest);
    }
    bool whole_index = options.all_platforms || target.keeps_sparse_index();
    if (whole_index && out.chosen.digest != out.top.digest && !options.all_platforms)
        TRY(target.put_manifest(out.chosen));
    TRY(target.put_top(whole_index ? out.top : out.chosen, out.chosen));
    if (!whole_index) out.top = out.chosen;
    return out;
}

}  // namespace hull::registry
