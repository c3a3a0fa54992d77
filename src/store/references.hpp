#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "spec/digest.hpp"

namespace hull::store {

/// A name and the manifest or index it stands for.
struct ReferenceEntry {
    std::string name;  ///< spec::Reference::to_string()
    spec::Digest digest;
    std::string media_type;
    uint64_t size = 0;  ///< of the manifest or index, bytes
    std::chrono::system_clock::time_point updated;
};

/// Image names. All live in one small file that is replaced as a whole under a lock, so a reader
/// sees all of a change or nothing of it.
class References {
  public:
    explicit References(std::string root) : root_(std::move(root)) {}

    /// Sorted by name.
    Result<std::vector<ReferenceEntry>> list() const;
    Result<std::optional<ReferenceEntry>> find(const std::string& name) const;
    /// Sets or moves names, all or none. `updated` is set to now if it is zero. Idempotent.
    Result<void> set(std::vector<ReferenceEntry> entries) const;
    Result<void> set(ReferenceEntry entry) const;
    /// @return whether it was there.
    Result<bool> remove(const std::string& name) const;

    /// Whether the file is there and both copies in it are sound. One is enough to read it.
    Result<bool> is_whole() const;
    /// Makes both copies sound again from the one that is; an empty file if there is none. @errors
    /// corrupt: neither is
    Result<void> mend() const;

  private:
    std::string root_;
};

}  // namespace hull::store
