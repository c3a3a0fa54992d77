#include <doctest/doctest.h>

#include "spec/image.hpp"

using namespace hull;
using namespace hull::spec;

namespace {

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');

std::string manifest_with(const std::string& config_size, const std::string& extra) {
    return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",)"
           R"("config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" +
           kA + R"(","size":)" + config_size +
           R"(},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")" +
           kB + R"(","size":7}])" + extra + "}";
}

}  // namespace

TEST_CASE("a manifest survives writing and reading") {
    auto manifest = parse_manifest(manifest_with("5", R"(,"annotations":{"k":"v"})"));
    REQUIRE(manifest);
    CHECK(manifest->config.digest.to_string() == kA);
    CHECK(manifest->layers[0].size == 7);
    CHECK(manifest->annotations.at("k") == "v");
    auto again = parse_manifest(format_manifest(*manifest));
    REQUIRE(again);
    CHECK(again->layers == manifest->layers);
    CHECK(again->config == manifest->config);
    CHECK(format_manifest(*again) == format_manifest(*manifest));
}

TEST_CASE("a damaged manifest is refused with the path of the field") {
    auto negative = parse_manifest(manifest_with("-1", ""));
    REQUIRE_FALSE(negative);
    CHECK(negative.error().message.find("manifest.config.size") != std::string::npos);
    auto text = parse_manifest(manifest_with("\"5\"", ""));
    REQUIRE_FALSE(text);
    CHECK(text.error().message.find("manifest.config.size") != std::string::npos);
    CHECK_FALSE(parse_manifest("{}"));
    CHECK_FALSE(parse_manifest("[]"));
    CHECK_FALSE(parse_manifest(""));
    CHECK_FALSE(parse_manifest("null"));
    CHECK_FALSE(parse_manifest(manifest_with("5", "") + "x"));
}

TEST_CASE("a document cannot be a manifest and an index at once") {
    std::string both = manifest_with("5", R"(,"manifests":[])");
    CHECK_FALSE(parse_manifest(both));
    CHECK_FALSE(parse_index(both));
    CHECK_FALSE(detect_media_type(both));
    // What the transport said must be what the document says.
    CHECK_FALSE(parse_manifest(manifest_with("5", ""), media::kDockerManifest));
    CHECK(parse_manifest(manifest_with("5", ""), media::kOciManifest));
    CHECK_FALSE(parse_index(manifest_with("5", "")));
}

TEST_CASE("a schema 1 manifest is refused with what to do") {
    auto old = parse_manifest(R"({"schemaVersion":1,"name":"x","fsLayers":[]})");
    REQUIRE_FALSE(old);
    CHECK(old.error().code == Errc::unsupported);
    CHECK_FALSE(old.error().hint.empty());
}

TEST_CASE("a manifest of ten thousand layers is refused") {
    std::string layers;
    for (int i = 0; i < 10'000; ++i)
        layers += R"(,{"mediaType":"x","digest":")" + kB + R"(","size":1})";
    std::string text = manifest_with("5", "");
    text.insert(text.rfind(']'), layers);
    auto manifest = parse_manifest(text);
    REQUIRE_FALSE(manifest);
    CHECK(manifest.error().message.find("manifest.layers") != std::string::npos);
}

TEST_CASE("an index keeps platforms and annotations") {
    Index index;
    Descriptor descriptor;
    descriptor.media_type = media::kOciManifest;
    descriptor.digest = *Digest::parse(kA);
    descriptor.size = 3;
    descriptor.platform = Platform{.os = "linux", .architecture = "arm", .variant = "v6"};
    descriptor.annotations["org.opencontainers.image.ref.name"] = "x:1";
    index.manifests = {descriptor};
    auto again = parse_index(format_index(index));
    REQUIRE(again);
    CHECK(again->manifests == index.manifests);
}

TEST_CASE("an image configuration as docker writes it is read whole") {
    std::string text =
        R"({"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05Z","config":{)"
        R"("User":"1000:1000","Env":["A=b"],"Cmd":["sh"],"Entrypoint":null,"WorkingDir":"/w",)"
        R"("ExposedPorts":{"80/tcp":{}},"Volumes":{"/data":{}},"Labels":{"l":"v"},)"
        R"("StopSignal":"SIGQUIT","Healthcheck":{"Test":["CMD","x"],"Interval":5000000000}},)"
        R"("rootfs":{"type":"layers","diff_ids":[")" +
        kA + R"("]},"history":[{"created_by":"/bin/sh","empty_layer":true}]})";
    auto config = parse_image_config(text);
    REQUIRE(config);
    CHECK(config->config.user == "1000:1000");
    CHECK(config->config.exposed_ports == std::vector<std::string>{"80/tcp"});
    CHECK(config->config.volumes == std::vector<std::string>{"/data"});
    CHECK(config->config.health_check->interval == 5'000'000'000);
    CHECK(config->config.entrypoint.empty());
    CHECK(config->diff_ids[0].to_string() == kA);
    CHECK(config->history[0].empty_layer);
    auto again = parse_image_config(format_image_config(*config));
    REQUIRE(again);
    CHECK(again->config.labels == config->config.labels);
    CHECK(again->history == config->history);
    CHECK(format_image_config(*again) == format_image_config(*config));
}

TEST_CASE("an image configuration without layers of a known kind is refused") {
    CHECK_FALSE(parse_image_config(R"({"os":"linux"})"));
    CHECK_FALSE(parse_image_config(R"({"rootfs":{"type":"magic","diff_ids":[]}})"));
    CHECK_FALSE(parse_image_config(R"({"rootfs":{"type":"layers","diff_ids":["sha256:1"]}})"));
}
