#include <doctest/doctest.h>

#include "spec/digest.hpp"

using namespace hull;
using spec::Digest;

TEST_CASE("a digest is read strictly") {
    std::string hex(64, 'a');
    REQUIRE(Digest::parse("sha256:" + hex));
    CHECK(Digest::parse("sha256:" + hex)->to_string() == "sha256:" + hex);
    CHECK(Digest::parse("sha512:" + hex + hex)->algorithm() == spec::DigestAlgorithm::sha512);
    CHECK(Digest::parse("sha256:" + hex.substr(1)).error().code == Errc::invalid);
    CHECK(Digest::parse("sha256:" + std::string(64, 'A')).error().code == Errc::invalid);
    CHECK(Digest::parse("sha512:" + hex).error().code == Errc::invalid);
    CHECK(Digest::parse("md5:" + hex).error().code == Errc::unsupported);
    CHECK(Digest::parse(hex).error().code == Errc::invalid);
    CHECK_FALSE(Digest::parse(""));
    CHECK_FALSE(Digest::parse("sha256:../../../../etc/passwd"));
}

TEST_CASE("a default digest is empty and names nothing") {
    CHECK(Digest{}.is_empty());
    CHECK(Digest{}.to_string().empty());
    CHECK(Digest{} != *Digest::parse("sha256:" + std::string(64, '0')));
}
