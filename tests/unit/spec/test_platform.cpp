#include <doctest/doctest.h>

#include "spec/image.hpp"
#include "spec/platform.hpp"

using namespace hull;
using spec::match_platform;
using spec::parse_platform;

TEST_CASE("platforms are spelled in one way") {
    CHECK(parse_platform("linux/x86_64")->to_string() == "linux/amd64");
    CHECK(parse_platform("arm64")->to_string() == "linux/arm64");
    CHECK(parse_platform("linux/arm64/v8")->to_string() == "linux/arm64");
    CHECK(parse_platform("linux/arm")->to_string() == "linux/arm/v7");
    CHECK(parse_platform("linux/arm/6")->to_string() == "linux/arm/v6");
    CHECK_FALSE(parse_platform(""));
    CHECK_FALSE(parse_platform("linux/"));
    CHECK_FALSE(parse_platform("a/b/c/d"));
    CHECK_FALSE(parse_platform("toaster"));
    CHECK_FALSE(parse_platform("linux/amd64\n"));
}

TEST_CASE("a machine takes its own variant first and older ones after it") {
    auto v7 = *parse_platform("linux/arm/v7");
    CHECK(match_platform(v7, *parse_platform("linux/arm/v7")) >
          match_platform(v7, *parse_platform("linux/arm/v6")));
    CHECK(match_platform(v7, *parse_platform("linux/arm/v6")) >
          match_platform(v7, *parse_platform("linux/arm/v5")));
    CHECK(match_platform(*parse_platform("linux/arm/v6"), v7) == 0);
    CHECK(match_platform(*parse_platform("linux/amd64"), *parse_platform("linux/amd64/v3")) == 0);
    CHECK(match_platform(*parse_platform("linux/amd64/v3"), *parse_platform("linux/amd64")) > 0);
    CHECK(match_platform(*parse_platform("linux/amd64"), *parse_platform("windows/amd64")) == 0);
}

namespace {
spec::Descriptor entry(const char* platform, char digit) {
    spec::Descriptor descriptor;
    descriptor.media_type = spec::media::kOciManifest;
    descriptor.digest = *spec::Digest::parse("sha256:" + std::string(64, digit));
    if (platform != nullptr) descriptor.platform = *parse_platform(platform);
    return descriptor;
}
}  // namespace

TEST_CASE("an index offers the manifest that serves best, and says what there is if none does") {
    spec::Index index;
    index.manifests = {entry("linux/arm/v5", '1'), entry("linux/arm/v6", '2'),
                       entry("linux/amd64", '3'), entry("unknown/unknown", '4')};
    auto chosen = spec::choose_manifest(index, *parse_platform("linux/arm/v7"));
    REQUIRE(chosen);
    CHECK(chosen->digest.hex()[0] == '2');
    auto none = spec::choose_manifest(index, *parse_platform("linux/s390x"));
    REQUIRE_FALSE(none);
    CHECK(none.error().code == Errc::not_found);
    CHECK(none.error().hint.find("linux/amd64") != std::string::npos);
    CHECK(none.error().hint.find("unknown") == std::string::npos);
}

TEST_CASE("an index with one manifest and no platform is taken at its word") {
    spec::Index index;
    index.manifests = {entry(nullptr, '1')};
    CHECK(spec::choose_manifest(index, spec::host_platform()));
    index.manifests.push_back(entry(nullptr, '2'));
    CHECK_FALSE(spec::choose_manifest(index, spec::host_platform()));
}
