#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/result.hpp"
#include "layer/compress.hpp"
#include "layer/phases.hpp"
#include "layer/unpack.hpp"
#include "spec/digest.hpp"
#include "spec/image.hpp"
#include "store/store.hpp"

namespace hull::layer {

struct LayerRequest {
    /// Digest and size of the compressed layer, from the manifest. Size 0: not known.
    spec::Descriptor descriptor;
    spec::Digest diff_id;  ///< from the configuration; empty: not known, only the blob is wanted
    UnpackOptions unpack = unpack_options_here();
};

struct LayerResult {
    spec::Digest diff_id;
    uint64_t compressed_bytes = 0;
    uint64_t tar_bytes = 0;
    UnpackReport report;
    PhaseTimes times;          ///< but for `fetch`, which is the caller's
    bool was_present = false;  ///< another process, or an earlier pull, had done it all
};

/// Takes a layer's bytes as they arrive and turns them into a blob and an unpacked tree, in one
/// pass: the caller's thread hashes and stores what came, a Pipeline does the rest. Buffers are
/// bounded (about 10 MB); write() waits when the disk is slower than the network. Dropped without
/// finish(), the tree is removed and the partial blob stays for the next attempt.
class LayerReceiver {
  public:
    /// Adds digest and diff id to `lease`. Waits while another process receives the same layer.
    static Result<std::unique_ptr<LayerReceiver>> start(const store::Store& store,
                                                        const store::Lease& lease,
                                                        const LayerRequest& request);
    virtual ~LayerReceiver() = default;

    /// True: blob and tree are there, nothing need be fetched; call finish() only.
    virtual bool is_complete() const = 0;
    /// Compressed bytes that an interrupted download left: continue there (Range: bytes=N-). If
    /// these are all, call finish() at once.
    virtual uint64_t offset() const = 0;
    /// The server cannot continue there: what follows are the bytes from 0. Only before the first
    /// write().
    virtual Result<void> restart() = 0;
    /// @errors any of the pipeline's: corrupt archive, disk full; invalid: more than the
    /// descriptor's size.
    virtual Result<void> write(std::string_view bytes) = 0;
    /// Ends the stream; checks size, digest and diff id; only then the blob and the tree get their
    /// names.
    /// @errors corrupt: which one differs, expected and found.
    virtual Result<LayerResult> finish() = 0;
    /// Bytes of the archive unpacked so far, for progress. Any thread.
    virtual uint64_t unpacked_bytes() const = 0;
};

/// Unpacks a layer whose blob is in the store (its tree was lost or never made). Idempotent.
Result<LayerResult> unpack_stored_layer(const store::Store& store, const store::Lease& lease,
                                        const LayerRequest& request);

/// A layer whose digest was not known before it was read.
struct NewLayer {
    spec::Descriptor descriptor;  ///< of the blob, with its OCI media type
    LayerResult result;
};

struct NewLayerRequest {
    std::optional<spec::Digest> diff_id;  ///< checked when given
    /// Of the blob that is stored; nullopt: the bytes of the source as they are.
    std::optional<Compression> recompress;
    UnpackOptions unpack = unpack_options_here();
};

/// Stores and unpacks a layer from a source of unknown digest (docker-archive, import).
Result<NewLayer> receive_new_layer(const store::Store& store, const store::Lease& lease,
                                   ByteSource& source, const NewLayerRequest& request);

}  // namespace hull::layer
