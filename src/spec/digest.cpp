#include "spec/digest.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace hull::spec {
namespace {

size_t hex_length(DigestAlgorithm algorithm) {
    return algorithm == DigestAlgorithm::sha256 ? 64 : 128;
}

bool is_lower_hex(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

std::string_view algorithm_name(DigestAlgorithm algorithm) {
    return algorithm == DigestAlgorithm::sha256 ? "sha256" : "sha512";
}

Result<Digest> Digest::parse(std::string_view text) {
    size_t colon = text.find(':');
    if (colon == std::string_view::npos)
        return fail(Errc::invalid,
                    "digest " + quote(text.substr(0, 200)) + ": has no \":\" after its algorithm",
                    "a digest looks like sha256:<64 hexadecimal digits>");
    std::string_view name = text.substr(0, colon);
    std::string_view hex = text.substr(colon + 1);
    Digest digest;
    if (name == "sha256")
        digest.algorithm_ = DigestAlgorithm::sha256;
    else if (name == "sha512")
        digest.algorithm_ = DigestAlgorithm::sha512;
    else
        return fail(Errc::unsupported,
                    "digest " + quote(text.substr(0, 200)) + ": unknown algorithm " +
                        quote(name.substr(0, 50)),
                    "hull knows sha256 and sha512");
    if (hex.size() != hex_length(digest.algorithm_))
        return fail(Errc::invalid, "digest " + quote(text.substr(0, 200)) + ": has " +
                                       std::to_string(hex.size()) + " digits, " +
                                       std::string{name} + " has " +
                                       std::to_string(hex_length(digest.algorithm_)));
    if (!is_lower_hex(hex))
        return fail(Errc::invalid,
                    "digest " + quote(text) + ": must be lower-case hexadecimal digits");
    digest.hex_ = std::string{hex};
    return digest;
}

Digest Digest::from_raw(DigestAlgorithm algorithm, std::string_view raw) {
    Digest digest;
    digest.algorithm_ = algorithm;
    digest.hex_ = to_hex(raw);
    return digest;
}

std::string Digest::to_string() const {
    if (is_empty()) return {};
    return std::string{algorithm_name(algorithm_)} + ":" + hex_;
}

}  // namespace hull::spec
