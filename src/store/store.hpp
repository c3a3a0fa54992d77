#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.hpp"
#include "base/result.hpp"
#include "spec/digest.hpp"
#include "spec/image.hpp"
#include "store/blobs.hpp"
#include "store/layers.hpp"
#include "store/references.hpp"

namespace hull::store {

/// Protects content that no reference names yet: what is added to a lease is not collected while
/// the lease's process lives. Held from the first look at what is there until the reference is set.
class Lease {
  public:
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    /// Blob digest or diff id. Add first, then look whether it is there. Safe from several threads
    /// (one write(2) each).
    Result<void> add(const spec::Digest& digest) const;

  private:
    friend class Store;
    Lease(std::string root, std::string path, LockFile file)
        : root_(std::move(root)), path_(std::move(path)), file_(std::move(file)) {}
    std::string root_;
    std::string path_;
    LockFile file_;
};

/// The image store of one user, on disk:
/// ```
/// ROOT/ (0700)      version
///   lock            collect takes it exclusive for moments, the others shared
///   references      names -> manifest digests, one line each
///   blobs/sha256/   verified content            partial/   blobs being written
///   layers/sha256/  unpacked trees by diff id   staging/   trees being unpacked
///   layers/chains/  metadata of implied folders, by chain
///   snapshots/ID/   upper, work                 leases/    what running commands protect
///   trash/          renamed away, being removed used/      when images were used last (mtime)
/// ```
/// Any number of processes may work on it; a kill -9 at any moment leaves only what the next
/// collect removes.
class Store {
  public:
    /// Opens the store, and makes it if it is missing.
    /// @errors denied: not the caller's; unsupported: made by a newer hull.
    static Result<Store> open(const std::string& root);

    const std::string& root() const { return root_; }
    const Blobs& blobs() const { return blobs_; }
    const Layers& layers() const { return layers_; }
    const References& references() const { return references_; }

    Result<Lease> create_lease() const;
    /// Held shared by those who add content, exclusive by collect; for moments only.
    Result<LockFile> lock(LockFile::Kind kind) const;

  private:
    explicit Store(const std::string& root)
        : root_(root), blobs_(root), layers_(root), references_(root) {}
    std::string root_;
    Blobs blobs_;
    Layers layers_;
    References references_;
};

}  // namespace hull::store
