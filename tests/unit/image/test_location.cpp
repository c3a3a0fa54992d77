#include <doctest/doctest.h>

#include "image/archives.hpp"
#include "image/location.hpp"
#include "image/progress.hpp"

using namespace hull;
using hull::image::Location;
using hull::image::parse_location;

TEST_CASE("every transport's form is taken apart") {
    auto registry = parse_location("docker://h:5000/a/b:1");
    REQUIRE(registry);
    CHECK(registry->transport == Location::Transport::registry);
    CHECK(registry->name == "h:5000/a/b:1");
    auto layout = parse_location("oci:/a/b:tag:with:colons");
    CHECK(layout->path == "/a/b");
    CHECK(layout->name == "tag:with:colons");
    CHECK(parse_location("docker-archive:/x.tar:n:1")->name == "n:1");
    CHECK(parse_location("dir:/with:colon")->path == "/with:colon");
    CHECK(parse_location("docker-daemon:a:1")->name == "a:1");
    CHECK(parse_location("debian:12")->transport == Location::Transport::store);
    CHECK(parse_location("containers-storage:debian")->name == "debian");
    CHECK(parse_location("oci:relative")->path.starts_with("/"));
    CHECK(layout->to_string() == "oci:/a/b:tag:with:colons");
}

TEST_CASE("what is no place is refused") {
    for (const char* bad : {"", "oci:", "docker://", "https://h/x", "store:"}) {
        INFO(bad);
        auto found = parse_location(bad);
        REQUIRE_FALSE(found);
        CHECK(found.error().code == Errc::invalid);
    }
}

TEST_CASE("a docker archive's manifest.json lists its images") {
    auto images = hull::image::parse_archive_manifest(
        R"([{"Config":"c.json","RepoTags":["a:1"],"Layers":["1/layer.tar","2/layer.tar"]},
            {"Config":"d.json","RepoTags":null,"Layers":null}])");
    REQUIRE(images);
    REQUIRE(images->size() == 2);
    CHECK((*images)[0].layers.size() == 2);
    CHECK((*images)[1].tags.empty());
    CHECK_FALSE(hull::image::parse_archive_manifest("{}"));
    CHECK_FALSE(hull::image::parse_archive_manifest(R"([{"RepoTags":[]}])"));
    CHECK_FALSE(hull::image::parse_archive_manifest(R"([{"Config":5}])"));
}

TEST_CASE("progress modes are known by name") {
    CHECK(*hull::image::parse_progress_mode("json") == hull::image::ProgressMode::json);
    CHECK(*hull::image::parse_progress_mode("auto") == hull::image::ProgressMode::automatic);
    CHECK_FALSE(hull::image::parse_progress_mode("fancy"));
}
