#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace hull::layer {

/// Remembers names by a hash of 64 bits: 8 to 32 bytes for each, however long it is. Two of a
/// million names are taken for one another once in ten million times.
class NameSet {
  public:
    void insert(std::string_view name);
    bool contains(std::string_view name) const;
    /// Bytes that it takes.
    size_t memory() const { return slots_.capacity() * sizeof(uint64_t); }

  private:
    /// Where `hash` is, or the free slot that it would take.
    size_t find(uint64_t hash) const;
    void grow();

    std::vector<uint64_t> slots_;  ///< open addressing, a power of two of them; 0: free
    size_t count_ = 0;
};

}  // namespace hull::layer
