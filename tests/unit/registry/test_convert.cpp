#include <doctest/doctest.h>

#include "layer/hash.hpp"
#include "registry/convert.hpp"

using namespace hull;
using namespace hull::registry;
using namespace hull::spec::media;

namespace {
ManifestData manifest(std::string_view layer_type, bool with_subject = false) {
    spec::Manifest out;
    auto digest = layer::hash("x");
    out.config = {std::string{kOciConfig}, digest, 1};
    out.layers.push_back({std::string{layer_type}, digest, 1});
    out.annotations["a"] = "b";
    if (with_subject) out.subject = spec::Descriptor{std::string{kOciManifest}, digest, 1};
    ManifestData data{spec::format_manifest(out), out.media_type, {}};
    data.digest = layer::hash(data.bytes);
    return data;
}
}  // namespace

TEST_CASE("an OCI manifest becomes Docker's and back, with the same blobs") {
    auto docker = convert_manifest(manifest(kOciLayerGzip), ManifestFormat::docker);
    REQUIRE(docker);
    auto parsed = spec::parse_manifest(docker->bytes, docker->media_type);
    REQUIRE(parsed);
    CHECK(parsed->is_docker());
    CHECK(parsed->config.media_type == kDockerConfig);
    CHECK(parsed->layers[0].media_type == kDockerLayerGzip);
    CHECK(parsed->annotations.empty());
    CHECK(docker->digest == layer::hash(docker->bytes));
    auto back = convert_manifest(*docker, ManifestFormat::oci);
    REQUIRE(back);
    CHECK(back->media_type == kOciManifest);
    CHECK(spec::parse_manifest(back->bytes)->layers[0].media_type == kOciLayerGzip);
}

TEST_CASE("a manifest of the wanted family keeps its bytes") {
    auto data = manifest(kOciLayerGzip);
    CHECK(convert_manifest(data, ManifestFormat::oci)->bytes == data.bytes);
    CHECK(convert_manifest(data, ManifestFormat::keep)->bytes == data.bytes);
}

TEST_CASE("Docker's family has neither zstd nor subjects") {
    for (const auto& data : {manifest(kOciLayerZstd), manifest(kOciLayerGzip, true)}) {
        auto done = convert_manifest(data, ManifestFormat::docker);
        REQUIRE_FALSE(done);
        CHECK(done.error().code == Errc::unsupported);
    }
    CHECK_FALSE(parse_manifest_format("v1"));
}
