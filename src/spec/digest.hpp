#pragma once

#include <compare>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace hull::spec {

enum class DigestAlgorithm { sha256, sha512 };

std::string_view algorithm_name(DigestAlgorithm algorithm);

/// The identity of a piece of content: "sha256:" and 64 hexadecimal digits, or sha512 and 128.
/// A default-made Digest is empty and names nothing.
/// @see OCI image-spec descriptor.md, Digests.
class Digest {
  public:
    Digest() = default;
    /// Strict: lower-case hexadecimal of exactly the algorithm's length.
    /// @errors invalid: not of that form; unsupported: an algorithm other than sha256 and sha512.
    static Result<Digest> parse(std::string_view text);
    /// From the hash function's own bytes (32 or 64).
    static Digest from_raw(DigestAlgorithm algorithm, std::string_view raw);

    bool is_empty() const { return hex_.empty(); }
    DigestAlgorithm algorithm() const { return algorithm_; }
    const std::string& hex() const { return hex_; }
    /// The first twelve digits, as people see ids.
    std::string short_hex() const { return hex_.substr(0, 12); }
    std::string to_string() const;

    auto operator<=>(const Digest&) const = default;

  private:
    DigestAlgorithm algorithm_ = DigestAlgorithm::sha256;
    std::string hex_;
};

/// One running hash. `layer/hash` implements it; `store` is handed one, and so needs no crypto
/// library.
class Hasher {
  public:
    virtual ~Hasher() = default;
    virtual void update(std::string_view bytes) = 0;
    /// The digest of all bytes so far. Call once.
    virtual Digest finish() = 0;
};

using CreateHasher = std::unique_ptr<Hasher> (*)(DigestAlgorithm);

}  // namespace hull::spec
