#include "layer/receive.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "base/text.hpp"
#include "layer/compress.hpp"
#include "layer/hash.hpp"
#include "layer/pipeline.hpp"

namespace hull::layer {
namespace {

store::LayerRecord make_record(const Pipeline::Outcome& outcome, const UnpackOptions& options) {
    store::LayerRecord record;
    record.diff_id = outcome.diff_id;
    record.entries = outcome.report.entries;
    record.bytes = outcome.report.bytes;
    record.tar_bytes = outcome.tar_bytes;
    record.highest_id = outcome.report.highest_id;
    if (!outcome.report.has_replaced)
        record.count = {outcome.report.names, outcome.report.file_bytes};
    record.implied_directories = outcome.report.implied_directories;
    record.userxattr = options.whiteouts == WhiteoutForm::overlay_user;
    return record;
}

LayerResult make_result(Pipeline::Outcome outcome, uint64_t compressed_bytes) {
    LayerResult result;
    result.diff_id = std::move(outcome.diff_id);
    result.compressed_bytes = compressed_bytes;
    result.tar_bytes = outcome.tar_bytes;
    result.report = std::move(outcome.report);
    result.times = outcome.times;
    return result;
}

/// A pipeline together with the tree it fills.
struct Unpacking {
    std::optional<store::StagedLayer> staged;  ///< not set: only the archive's digest is wanted
    std::unique_ptr<Pipeline> pipeline;

    /// Does not unpack what is there already.
    static Result<Unpacking> start(const store::Store& store, const spec::Digest& diff_id,
                                   const UnpackOptions& options) {
        Unpacking unpacking;
        Pipeline::Settings settings;
        settings.diff_algorithm = diff_id.algorithm();
        settings.unpack = options;
        if (!store.layers().has(diff_id)) {
            unpacking.staged.emplace(TRY(store.layers().create_staging()));
            settings.tree = unpacking.staged->tree();
        }
        unpacking.pipeline = TRY(Pipeline::start(settings));
        return unpacking;
    }

    /// Ends it, compares the diff id, and gives the tree its name.
    Result<Pipeline::Outcome> finish(const store::Store& store, const spec::Digest& expected,
                                     const UnpackOptions& options) {
        Pipeline::Outcome outcome = TRY(pipeline->finish());
        if (!expected.is_empty() && outcome.diff_id != expected)
            return fail(Errc::corrupt,
                        "layer unpacks to diff id " + outcome.diff_id.to_string() +
                            ", the image's configuration says " + expected.to_string(),
                        "the image is damaged or forged; ask who made it");
        if (staged) TRY(store.layers().publish(std::move(*staged), make_record(outcome, options)));
        staged.reset();
        return outcome;
    }
};

/// Feeds an open file into a pipeline, hashing it on the way.
Result<uint64_t> feed_file(int fd, Pipeline& pipeline, spec::Hasher& hasher, uint64_t limit) {
    uint64_t fed = 0;
    while (fed < limit) {
        std::shared_ptr<Chunk> chunk = pipeline.take_chunk();
        size_t wanted = static_cast<size_t>(std::min<uint64_t>(Chunk::kCapacity, limit - fed));
        ssize_t got = ::pread(fd, chunk->data(), wanted, static_cast<off_t>(fed));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(errno, "read the layer's blob");
        if (got == 0) break;
        chunk->size = static_cast<size_t>(got);
        hasher.update(chunk->view());
        fed += chunk->size;
        TRY(pipeline.push(std::move(chunk)));
    }
    return fed;
}

Error digest_error(const spec::Digest& actual, const spec::Digest& expected) {
    return make_error(
        Errc::corrupt,
        "layer has digest " + actual.to_string() + ", expected " + expected.to_string(),
        "it was damaged on the way, or the registry serves something else; try again");
}

class Receiver final : public LayerReceiver {
  public:
    Receiver(const store::Store& store, const LayerRequest& request)
        : store_(&store),
          request_(request),
          hasher_(create_hasher(request.descriptor.digest.algorithm())) {}

    Result<void> open(const store::Lease& lease) {
        TRY(lease.add(request_.descriptor.digest));
        TRY(lease.add(request_.diff_id));
        writer_ = TRY(store_->blobs().create(request_.descriptor.digest, request_.descriptor.size));
        if (!writer_) {
            // The blob is there: from an earlier pull, or from one that ran beside this one.
            result_.was_present = true;
            result_.diff_id = request_.diff_id;
            if (!request_.diff_id.is_empty() && !store_->layers().has(request_.diff_id))
                result_ = TRY(unpack_stored_layer(*store_, lease, request_));
            return {};
        }
        if (!request_.diff_id.is_empty())
            unpacking_.emplace(TRY(Unpacking::start(*store_, request_.diff_id, request_.unpack)));
        return {};
    }

    bool is_complete() const override { return !writer_; }
    uint64_t offset() const override { return writer_ ? writer_->size() : 0; }

    Result<void> restart() override {
        if (!writer_) return {};
        if (has_started_) return fail(Errc::internal, "layer: restart after the first write");
        return writer_->restart();
    }

    Result<void> write(std::string_view bytes) override {
        if (!writer_) return fail(Errc::internal, "layer: write to a complete layer");
        auto taken = take(bytes);
        // To continue after bytes that cannot be unpacked would fail for ever.
        if (!taken && (taken.error().code == Errc::corrupt || taken.error().code == Errc::invalid))
            writer_->discard();
        return taken;
    }

    Result<LayerResult> finish() override {
        if (!writer_) return std::move(result_);
        auto ended = end();
        if (!ended && ended.error().code == Errc::corrupt) writer_->discard();
        return ended;
    }

    uint64_t unpacked_bytes() const override {
        return unpacking_ ? unpacking_->pipeline->tar_bytes() : 0;
    }

  private:
    Result<LayerResult> end() {
        TRY(feed_existing());
        TRY(flush());
        const spec::Descriptor& wanted = request_.descriptor;
        uint64_t size = writer_->size();
        if (wanted.size != 0 && size < wanted.size)
            return fail(Errc::io,
                        "layer " + wanted.digest.to_string() + " ended after " +
                            std::to_string(size) + " of " + std::to_string(wanted.size) + " bytes",
                        "the connection broke; try again: it goes on where it stopped");
        spec::Digest actual = hasher_->finish();
        if (actual != wanted.digest) return fail(digest_error(actual, wanted.digest));
        LayerResult result;
        if (unpacking_)
            result = make_result(
                TRY(unpacking_->finish(*store_, request_.diff_id, request_.unpack)), size);
        result.compressed_bytes = size;
        result.times += times_;
        TRY(writer_->commit(actual));
        return result;
    }

    Result<void> take(std::string_view bytes) {
        TRY(feed_existing());
        if (received() + bytes.size() > limit())
            return fail(Errc::invalid,
                        "layer " + request_.descriptor.digest.to_string() + " is longer than the " +
                            std::to_string(request_.descriptor.size) + " bytes its manifest says",
                        "the registry serves something else");
        while (!bytes.empty()) {
            if (!chunk_) chunk_ = take_chunk();
            size_t count = std::min(bytes.size(), Chunk::kCapacity - chunk_->size);
            std::memcpy(chunk_->data() + chunk_->size, bytes.data(), count);
            chunk_->size += count;
            bytes.remove_prefix(count);
            if (chunk_->size == Chunk::kCapacity) TRY(flush());
        }
        return {};
    }

    uint64_t limit() const {
        return request_.descriptor.size != 0 ? request_.descriptor.size : UINT64_MAX;
    }
    uint64_t received() const { return writer_->size() + (chunk_ ? chunk_->size : 0); }
    std::shared_ptr<Chunk> take_chunk() {
        return unpacking_ ? unpacking_->pipeline->take_chunk() : std::make_shared<Chunk>();
    }

    /// What an interrupted download left goes through first.
    Result<void> feed_existing() {
        if (std::exchange(has_started_, true) || writer_->size() == 0) return {};
        if (unpacking_) {
            TRY(feed_file(writer_->fd(), *unpacking_->pipeline, *hasher_, writer_->size()));
            return {};
        }
        Chunk buffer;
        for (uint64_t fed = 0; fed < writer_->size();) {
            ssize_t got =
                ::pread(writer_->fd(), buffer.data(), Chunk::kCapacity, static_cast<off_t>(fed));
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) return fail_errno(errno, "read the partial blob");
            hasher_->update({buffer.data(), static_cast<size_t>(got)});
            fed += static_cast<uint64_t>(got);
        }
        return {};
    }

    Result<void> flush() {
        if (!chunk_ || chunk_->size == 0) return {};
        ThreadClock clock;
        hasher_->update(chunk_->view());
        times_.hash_blob += clock.lap();
        TRY(writer_->write(chunk_->view()));
        times_.store_blob += clock.lap();
        if (unpacking_) TRY(unpacking_->pipeline->push(std::move(chunk_)));
        chunk_.reset();
        return {};
    }

    const store::Store* store_;
    LayerRequest request_;
    std::unique_ptr<spec::Hasher> hasher_;
    std::optional<store::BlobWriter> writer_;  ///< not set: the blob is there
    std::shared_ptr<Chunk> chunk_;             ///< being filled
    std::optional<Unpacking> unpacking_;       ///< not set: only the blob is wanted
    LayerResult result_;
    PhaseTimes times_;
    bool has_started_ = false;
};

/// Writes into a blob that has no name yet.
class BlobSink final : public ByteSink {
  public:
    explicit BlobSink(store::BlobWriter& writer) : writer_(&writer) {}
    Result<void> write(std::string_view bytes) override { return writer_->write(bytes); }

  private:
    store::BlobWriter* writer_;
};

std::string_view layer_media_type(Compression compression) {
    switch (compression) {
        case Compression::gzip:
            return spec::media::kOciLayerGzip;
        case Compression::zstd:
            return spec::media::kOciLayerZstd;
        case Compression::none:
            break;
    }
    return spec::media::kOciLayer;
}

/// Sends all of `source` into the pipeline and, as `sink` wants it, into the blob.
Result<std::string> pump(ByteSource& source, Pipeline& pipeline, ByteSink& sink) {
    std::string first;
    for (;;) {
        std::string_view bytes = TRY(source.read());
        if (bytes.empty()) return first;
        if (first.size() < 16) first.append(bytes.substr(0, 16 - first.size()));
        TRY(sink.write(bytes));
        while (!bytes.empty()) {
            std::shared_ptr<Chunk> chunk = pipeline.take_chunk();
            chunk->size = std::min(bytes.size(), Chunk::kCapacity);
            std::memcpy(chunk->data(), bytes.data(), chunk->size);
            bytes.remove_prefix(chunk->size);
            TRY(pipeline.push(std::move(chunk)));
        }
    }
}

}  // namespace

Result<std::unique_ptr<LayerReceiver>> LayerReceiver::start(const store::Store& store,
                                                            const store::Lease& lease,
                                                            const LayerRequest& request) {
    auto receiver = std::make_unique<Receiver>(store, request);
    TRY(with_context(receiver->open(lease), "layer " + request.descriptor.digest.to_string()));
    return receiver;
}

Result<LayerResult> unpack_stored_layer(const store::Store& store, const store::Lease& lease,
                                        const LayerRequest& request) {
    TRY(lease.add(request.descriptor.digest));
    TRY(lease.add(request.diff_id));
    LayerResult present;
    present.diff_id = request.diff_id;
    present.was_present = true;
    if (store.layers().has(request.diff_id)) return present;
    Fd blob = TRY(store.blobs().open(request.descriptor.digest));
    Unpacking unpacking = TRY(Unpacking::start(store, request.diff_id, request.unpack));
    auto hasher = create_hasher(request.descriptor.digest.algorithm());
    uint64_t size = TRY(feed_file(blob.get(), *unpacking.pipeline, *hasher, UINT64_MAX));
    spec::Digest actual = hasher->finish();
    if (actual != request.descriptor.digest) {
        TRY(store.blobs().remove(request.descriptor.digest));
        return fail(Error{digest_error(actual, request.descriptor.digest)}.with_hint(
            "the stored blob was damaged and is removed; pull the image again"));
    }
    return make_result(TRY(unpacking.finish(store, request.diff_id, request.unpack)), size);
}

Result<NewLayer> receive_new_layer(const store::Store& store, const store::Lease& lease,
                                   ByteSource& source, const NewLayerRequest& request) {
    store::BlobWriter writer = TRY(store.blobs().create_unnamed());
    BlobSink blob{writer};
    HashingSink hashing{blob};
    auto run = [&]() -> Result<NewLayer> {
        spec::Digest expected = request.diff_id.value_or(spec::Digest{});
        Unpacking unpacking = TRY(Unpacking::start(store, expected, request.unpack));
        Compression compression = Compression::none;
        if (request.recompress) {
            compression = *request.recompress;
            std::unique_ptr<Decompressor> plain = TRY(create_decompressor(source));
            std::unique_ptr<Compressor> compressor = create_compressor(compression, hashing);
            TRY(pump(*plain, *unpacking.pipeline, *compressor));
            TRY(compressor->finish());
        } else {
            compression = detect_compression(TRY(pump(source, *unpacking.pipeline, hashing)));
        }
        NewLayer layer;
        layer.descriptor.media_type = std::string{layer_media_type(compression)};
        layer.descriptor.digest = hashing.finish();
        layer.descriptor.size = hashing.size();
        TRY(lease.add(layer.descriptor.digest));
        // Published and leased in this order: an unnamed tree is safe in its staging.
        Pipeline::Outcome outcome = TRY(unpacking.pipeline->finish());
        TRY(lease.add(outcome.diff_id));
        if (request.diff_id && outcome.diff_id != *request.diff_id)
            return fail(Errc::corrupt, "layer unpacks to diff id " + outcome.diff_id.to_string() +
                                           ", expected " + request.diff_id->to_string());
        if (unpacking.staged)
            TRY(store.layers().publish(std::move(*unpacking.staged),
                                       make_record(outcome, request.unpack)));
        TRY(writer.commit_as(layer.descriptor.digest));
        layer.result = make_result(std::move(outcome), layer.descriptor.size);
        return layer;
    };
    auto layer = run();
    if (!layer) writer.discard();
    return layer;
}

}  // namespace hull::layer
