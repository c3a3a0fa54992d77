#include <doctest/doctest.h>

#include "spec/reference.hpp"

using namespace hull;
using spec::parse_reference;

namespace {
const std::string kDigest = "sha256:" + std::string(64, 'b');
}

TEST_CASE("short names are completed as docker completes them") {
    struct Case {
        const char* text;
        const char* full;
        const char* familiar;
    };
    for (const Case& c : {
             Case{"debian", "docker.io/library/debian:latest", "debian:latest"},
             Case{"debian:12", "docker.io/library/debian:12", "debian:12"},
             Case{"user/app", "docker.io/user/app:latest", "user/app:latest"},
             Case{"docker.io/debian", "docker.io/library/debian:latest", "debian:latest"},
             Case{"index.docker.io/library/debian", "docker.io/library/debian:latest",
                  "debian:latest"},
             Case{"localhost/app", "localhost/app:latest", "localhost/app:latest"},
             Case{"127.0.0.1:5000/a/b:v1", "127.0.0.1:5000/a/b:v1", "127.0.0.1:5000/a/b:v1"},
             Case{"[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"},
             Case{"quay.io/x/y__z/a--b.c_d", "quay.io/x/y__z/a--b.c_d:latest",
                  "quay.io/x/y__z/a--b.c_d:latest"},
             Case{"Host/app", "Host/app:latest", "Host/app:latest"},
             // Their short forms would name another registry.
             Case{"docker.io/a.example/b", "docker.io/a.example/b:latest",
                  "docker.io/a.example/b:latest"},
             Case{"docker.io/localhost/b", "docker.io/localhost/b:latest",
                  "docker.io/localhost/b:latest"},
         }) {
        auto reference = parse_reference(c.text);
        CAPTURE(c.text);
        REQUIRE(reference);
        CHECK(reference->to_string() == c.full);
        CHECK(reference->familiar() == c.familiar);
    }
}

TEST_CASE("a digest pins an image and no tag is added to it") {
    auto pinned = parse_reference("debian@" + kDigest);
    REQUIRE(pinned);
    CHECK(pinned->tag.empty());
    CHECK(pinned->tag_or_digest() == kDigest);
    CHECK(pinned->to_string() == "docker.io/library/debian@" + kDigest);
    auto both = parse_reference("127.0.0.1:5000/x:1@" + kDigest);
    REQUIRE(both);
    CHECK(both->tag == "1");
    CHECK(both->tag_or_digest() == kDigest);
}

TEST_CASE("an image name with bad grammar is refused with its reason") {
    struct Case {
        std::string text;
        const char* reason;
    };
    for (const Case& c : {
             Case{"", "empty"},
             Case{"Debian", "must be lowercase"},
             Case{"a//b", "no repository name"},
             Case{"/a", "no repository name"},
             Case{"a:", "no tag"},
             Case{"a:-x", "no tag"},
             Case{"a:" + std::string(129, 'x'), "no tag"},
             Case{"a..b", "no repository name"},
             Case{"a/-b", "no repository name"},
             Case{"host:99999/a", "no registry"},
             Case{"ho_st.x/a", "no registry"},
             Case{"http://host/a", "no scheme"},
             Case{"a@sha256:12", "digits"},
             Case{"a b", "no repository name"},
             Case{"a\nb", "no repository name"},
             Case{"host.x/" + std::string(300, 'a'), "longer than 255"},
             Case{"host.x/", "missing"},
         }) {
        auto reference = parse_reference(c.text);
        CAPTURE(c.text);
        REQUIRE_FALSE(reference);
        CHECK(reference.error().to_string().find(c.reason) != std::string::npos);
        CHECK(reference.error().to_string().find('\n') == std::string::npos);
    }
}

TEST_CASE("loopback registries are known by their address, not by how they look") {
    CHECK(parse_reference("localhost:5000/a")->is_loopback());
    CHECK(parse_reference("127.0.0.1:5000/a")->is_loopback());
    CHECK(parse_reference("127.9.9.9/a")->is_loopback());
    CHECK(parse_reference("[::1]:5000/a")->is_loopback());
    CHECK_FALSE(parse_reference("127.0.0.1.evil.org/a")->is_loopback());
    CHECK_FALSE(parse_reference("localhost.evil.org/a")->is_loopback());
    CHECK_FALSE(parse_reference("127.evil.1.1/a")->is_loopback());
    CHECK_FALSE(parse_reference("debian")->is_loopback());
}
