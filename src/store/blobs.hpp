#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "spec/digest.hpp"

namespace hull::store {

/// A blob being written: a file in partial/, locked by this process, that becomes a blob by
/// commit(). Dropped without commit() it stays for a later process to continue, unless discard() is
/// called.
class BlobWriter {
  public:
    BlobWriter(BlobWriter&&) noexcept = default;
    BlobWriter& operator=(BlobWriter&&) noexcept = default;

    /// Bytes that are there already, from an interrupted write and from write().
    uint64_t size() const { return size_; }
    /// A descriptor to read what is there; borrowed.
    int fd() const { return lock_.fd(); }
    Result<void> write(std::string_view bytes);
    /// Forgets all bytes written so far.
    Result<void> restart();
    /// Makes it a blob: visible to others at once and whole.
    /// @param actual  the digest of all its bytes, as the caller's Hasher found.
    /// @errors corrupt: `actual` is not the digest this writer was made for; the file is removed.
    Result<void> commit(const spec::Digest& actual);
    /// As commit(), for a writer made by create_unnamed().
    Result<void> commit_as(const spec::Digest& actual);
    void discard();

  private:
    friend class Blobs;
    BlobWriter(LockFile lock, std::string root, std::string partial, spec::Digest expected)
        : lock_(std::move(lock)),
          root_(std::move(root)),
          partial_(std::move(partial)),
          expected_(std::move(expected)) {}
    LockFile lock_;
    std::string root_;
    std::string partial_;
    spec::Digest expected_;  ///< empty: not known
    uint64_t size_ = 0;
};

struct BlobInfo {
    spec::Digest digest;
    uint64_t size = 0;
};

/// Content by digest: blobs/sha256/HEX. A blob is verified before it gets its name.
class Blobs {
  public:
    explicit Blobs(std::string root) : root_(std::move(root)) {}

    bool has(const spec::Digest& digest) const;
    /// Whether it is there with this size: a file that lost its end with the power does not count.
    bool has(const spec::Digest& digest, uint64_t size) const;
    /// @errors not_found
    Result<uint64_t> size(const spec::Digest& digest) const;
    std::string path(const spec::Digest& digest) const;
    /// Open for reading; the caller owns the descriptor. @errors not_found
    Result<Fd> open(const spec::Digest& digest) const;
    /// The whole content of a small blob (manifest, config). @errors not_found, invalid: too large
    Result<std::string> read(const spec::Digest& digest, size_t limit = 8U << 20U) const;

    /// Starts or continues writing the blob `expected`. Waits while another process writes the same
    /// one; nullopt when that process has finished it, or it was there before.
    /// @param size  expected bytes, 0 if not known.
    Result<std::optional<BlobWriter>> create(const spec::Digest& expected, uint64_t size = 0) const;
    /// A writer for content whose digest is not known yet: name it with commit_as().
    Result<BlobWriter> create_unnamed() const;
    /// Writes a small blob in one step. No error if it is there.
    /// @param digest  of `content`, as the caller's Hasher found.
    Result<void> put(const spec::Digest& digest, std::string_view content) const;
    Result<std::vector<BlobInfo>> list() const;
    /// No error if it is not there.
    Result<void> remove(const spec::Digest& digest) const;

  private:
    std::string root_;
};

}  // namespace hull::store
