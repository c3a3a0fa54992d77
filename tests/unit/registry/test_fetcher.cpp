#include <cerrno>

#include <doctest/doctest.h>

#include "registry/client.hpp"
#include "registry/fetcher.hpp"

using namespace hull::registry;
using std::chrono::seconds;

TEST_CASE("Retry-After is read as seconds and as a date") {
    auto now = std::chrono::system_clock::from_time_t(784111777);  // Sun, 06 Nov 1994 08:49:37 GMT
    CHECK(parse_retry_after("120", now) == seconds{120});
    CHECK(parse_retry_after(" 0 ", now) == seconds{0});
    CHECK(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now) == seconds{60});
    CHECK(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now) == seconds{0});
    CHECK_FALSE(parse_retry_after("soon", now));
    CHECK_FALSE(parse_retry_after("-1", now));
    CHECK_FALSE(parse_retry_after("", now));
}

TEST_CASE("only what may pass by itself is tried again") {
    CHECK(is_transient(hull::make_error(hull::Errc::timeout, "")));
    CHECK(is_transient(hull::make_error(hull::Errc::io, "")));
    CHECK(is_transient(hull::errno_error(ECONNRESET, "")));
    CHECK_FALSE(is_transient(hull::errno_error(ECONNREFUSED, "")));
    CHECK_FALSE(is_transient(hull::errno_error(ENOSPC, "")));
    CHECK_FALSE(is_transient(hull::make_error(hull::Errc::corrupt, "")));
    CHECK_FALSE(is_transient(hull::make_error(hull::Errc::denied, "")));
}

TEST_CASE("URLs of other schemes and with user names are refused") {
    for (const char* bad : {"file:///etc/passwd", "ftp://h/x", "gopher://h/", "scp://h/x"}) {
        INFO(bad);
        auto url = parse_url(bad);
        REQUIRE_FALSE(url);
        CHECK(url.error().code == hull::Errc::denied);
    }
    CHECK_FALSE(parse_url("https://user:pass@h/x"));
    CHECK_FALSE(parse_url("no url"));
    auto url = parse_url("http://[::1]:5000/v2/a?b=c");
    REQUIRE(url);
    CHECK(url->host == "::1");
    CHECK(url->authority == "[::1]:5000");
    CHECK(url->path == "/v2/a?b=c");
}

TEST_CASE("a Location is resolved against the page that named it") {
    CHECK(*resolve_url("https://h:1/v2/x/", "/v2/y?s=1") == "https://h:1/v2/y?s=1");
    CHECK(*resolve_url("https://h:1/v2/x/", "z") == "https://h:1/v2/x/z");
    CHECK(*resolve_url("https://h/v2/", "http://other/a") == "http://other/a");
}

TEST_CASE("loopback is told from names that only look like it") {
    for (const char* yes : {"127.0.0.1", "127.9.9.9", "localhost", "a.localhost", "::1", "[::1]"})
        CHECK(is_loopback_host(yes));
    for (const char* no : {"127.0.0.1.evil.example", "128.0.0.1", "localhost.evil", "::2", ""})
        CHECK_FALSE(is_loopback_host(no));
}

TEST_CASE("the next page is found in a Link header") {
    CHECK(parse_next_link("</v2/_catalog?last=b&n=2>; rel=\"next\"") == "/v2/_catalog?last=b&n=2");
    CHECK(parse_next_link("</a>; rel=\"prev\", </b>; rel=next") == "/b");
    CHECK_FALSE(parse_next_link("</a>; rel=\"prev\""));
    CHECK_FALSE(parse_next_link(""));
    CHECK_FALSE(parse_next_link("<unfinished"));
}
