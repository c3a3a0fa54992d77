#include <doctest/doctest.h>

#include "base/base64.hpp"

using namespace hull;

TEST_CASE("base64 round trips, and what is not base64 is refused") {
    for (const char* text : {"", "a", "ab", "abc", "user:pass", "\xff\xfe"})
        CHECK(decode_base64(encode_base64(text)) == text);
    CHECK(encode_base64("user:pass") == "dXNlcjpwYXNz");
    CHECK_FALSE(decode_base64("a*b"));
    CHECK_FALSE(decode_base64("YQ=a"));
    CHECK_FALSE(decode_base64("A"));
}
