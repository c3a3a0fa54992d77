#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "layer/phases.hpp"
#include "registry/client.hpp"
#include "spec/digest.hpp"
#include "spec/image.hpp"

namespace hull::registry {

/// Told about what happens during a transfer. All functions may be called from any thread.
class Progress {
  public:
    virtual ~Progress() = default;
    /// A new item ("layer 1a2b3c4d5e6f") of `total` bytes. @return its number
    virtual int begin(std::string label, uint64_t total) = 0;
    virtual void advance(int item, uint64_t bytes_done) = 0;
    /// `outcome`: "done", "already here", "mounted".
    virtual void finish(int item, std::string_view outcome) = 0;
    virtual void note(std::string_view text) = 0;
    /// CPU time that a finished item took.
    virtual void account(const layer::PhaseTimes& times) = 0;
};

/// Bytes of one blob.
class BlobReader {
  public:
    virtual ~BlobReader() = default;
    /// @return bytes read, 0 at the end.
    virtual Result<size_t> read(std::span<char> into) = 0;
};

/// The bytes of an open file from where it stands.
std::unique_ptr<BlobReader> read_blob_file(Fd file);

/// A place that an image is read from. Any thread.
class ImageSource {
  public:
    virtual ~ImageSource() = default;
    /// For messages: "docker://127.0.0.1:5000/debian:12".
    virtual std::string name() const = 0;
    /// The manifest or index that the name stands for, its digest checked.
    virtual Result<ManifestData> top_manifest() = 0;
    /// One that an index lists.
    virtual Result<ManifestData> manifest(const spec::Descriptor& descriptor) = 0;
    /// The bytes of a blob from `offset` on; the reader of them checks the digest.
    virtual Result<std::unique_ptr<BlobReader>> open_blob(const spec::Descriptor& descriptor,
                                                          uint64_t offset) = 0;
    /// Where its blobs lie, when that is a registry: another repository there can mount them.
    struct RegistryPlace {
        std::string host;
        std::string repository;
    };
    virtual std::optional<RegistryPlace> registry_place() const { return std::nullopt; }
};

/// What a blob is to the image that needs it.
struct BlobRole {
    enum class Kind { config, layer, other };
    Kind kind = Kind::other;
    spec::Digest diff_id;  ///< of a layer that shall be unpacked; else empty
};

/// A place that an image is written to. put_blob() may be called from several threads.
class ImageTarget {
  public:
    virtual ~ImageTarget() = default;
    virtual std::string name() const = 0;
    /// Fetches the blob from `source` unless the target has it, and checks its digest.
    /// @return  how: "done", "already here", "mounted"
    virtual Result<std::string> put_blob(const spec::Descriptor& descriptor, const BlobRole& role,
                                         ImageSource& source, Progress* progress, int item) = 0;
    /// A manifest of an index, after all of its blobs.
    virtual Result<void> put_manifest(const ManifestData& manifest) = 0;
    /// What the name shall stand for, after everything else. `chosen` is the manifest of the wanted
    /// platform, equal to `top` when there is no index.
    virtual Result<void> put_top(const ManifestData& top, const ManifestData& chosen) = 0;
    /// Keeps a whole index although only one platform's manifest came along.
    virtual bool keeps_sparse_index() const { return false; }
    /// Wants layers unpacked: needs the configuration's diff ids.
    virtual bool unpacks() const { return false; }
};

struct TransferOptions {
    spec::Platform platform = spec::host_platform();
    bool all_platforms = false;
    unsigned parallel = 3;  ///< layers at a time
    Progress* progress = nullptr;
    const std::atomic<bool>* cancelled = nullptr;
};

struct TransferResult {
    ManifestData top;
    ManifestData chosen;
    spec::Digest config_digest;
    uint64_t bytes = 0;  ///< of the blobs of the chosen manifest
};

/// Copies an image: blobs first, in parallel, then manifests, then the name. The bytes of manifests
/// are never changed, so digests stay.
/// @errors  those of both sides; corrupt: a manifest that contradicts its configuration
Result<TransferResult> transfer_image(ImageSource& source, ImageTarget& target,
                                      const TransferOptions& options);

/// Reads `reader` to its end into memory. @errors corrupt: more than `limit`, or another digest
Result<std::string> read_small_blob(ImageSource& source, const spec::Descriptor& descriptor,
                                    size_t limit = 8U << 20U);

}  // namespace hull::registry
