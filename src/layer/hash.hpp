#pragma once

#include <memory>
#include <string_view>

#include "layer/stream.hpp"
#include "spec/digest.hpp"

namespace hull::layer {

/// A running sha256 or sha512 (OpenSSL EVP, with the processor's SHA instructions).
std::unique_ptr<spec::Hasher> create_hasher(spec::DigestAlgorithm algorithm);

spec::Digest hash(std::string_view bytes,
                  spec::DigestAlgorithm algorithm = spec::DigestAlgorithm::sha256);

/// Hashes what passes through it on the way to `next`, and counts it.
class HashingSink final : public ByteSink {
  public:
    explicit HashingSink(ByteSink& next,
                         spec::DigestAlgorithm algorithm = spec::DigestAlgorithm::sha256)
        : next_(&next), hasher_(create_hasher(algorithm)) {}
    Result<void> write(std::string_view bytes) override {
        hasher_->update(bytes);
        size_ += bytes.size();
        return next_->write(bytes);
    }
    spec::Digest finish() { return hasher_->finish(); }
    uint64_t size() const { return size_; }

  private:
    ByteSink* next_;
    std::unique_ptr<spec::Hasher> hasher_;
    uint64_t size_ = 0;
};

}  // namespace hull::layer
