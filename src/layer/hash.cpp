#include "layer/hash.hpp"

#include <array>
#include <cstdlib>

#include <openssl/evp.h>

#include "base/log.hpp"

namespace hull::layer {
namespace {

class EvpHasher final : public spec::Hasher {
  public:
    explicit EvpHasher(spec::DigestAlgorithm algorithm)
        : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {
        const EVP_MD* type =
            algorithm == spec::DigestAlgorithm::sha256 ? EVP_sha256() : EVP_sha512();
        check(context_ != nullptr && EVP_DigestInit_ex(context_, type, nullptr) == 1);
    }
    EvpHasher(const EvpHasher&) = delete;
    EvpHasher& operator=(const EvpHasher&) = delete;
    ~EvpHasher() override { EVP_MD_CTX_free(context_); }

    void update(std::string_view bytes) override {
        check(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
    }
    spec::Digest finish() override {
        std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
        unsigned int size = 0;
        check(EVP_DigestFinal_ex(context_, raw.data(), &size) == 1);
        return spec::Digest::from_raw(algorithm_,
                                      {reinterpret_cast<const char*>(raw.data()), size});
    }

  private:
    /// Fails only without memory; a wrong digest must not come out of it.
    static void check(bool ok) {
        if (ok) return;
        log::error("OpenSSL cannot hash: out of memory");
        std::abort();
    }
    spec::DigestAlgorithm algorithm_;
    EVP_MD_CTX* context_;
};

}  // namespace

std::unique_ptr<spec::Hasher> create_hasher(spec::DigestAlgorithm algorithm) {
    return std::make_unique<EvpHasher>(algorithm);
}

spec::Digest hash(std::string_view bytes, spec::DigestAlgorithm algorithm) {
    EvpHasher hasher{algorithm};
    hasher.update(bytes);
    return hasher.finish();
}

}  // namespace hull::layer
