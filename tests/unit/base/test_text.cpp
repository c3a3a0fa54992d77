#include <doctest/doctest.h>

#include "base/printable.hpp"
#include "base/text.hpp"
#include "base/units.hpp"

using namespace hull;

TEST_CASE("numbers are parsed whole or not at all") {
    CHECK(parse_number<uint32_t>("4294967295") == 4294967295U);
    CHECK_FALSE(parse_number<uint32_t>("4294967296"));
    CHECK_FALSE(parse_number<uint32_t>("1 "));
    CHECK_FALSE(parse_number<uint32_t>("-1"));
    CHECK_FALSE(parse_number<uint32_t>(""));
    CHECK(parse_number<int>("0644", 8) == 0644);
}

TEST_CASE("printable text keeps lines and words, and steers no terminal") {
    CHECK(printable("a\tb\nü€😀 \"x\\") == "a\tb\nü€😀 \"x\\");
    CHECK(printable("\x1b[31mred\r\x07\x7f") == R"(\x1b[31mred\x0d\x07\x7f)");
    CHECK(printable("\xc2\x9b"
                    "31m") == R"(\xc2\x9b31m)");
    CHECK(printable("\xe2\x81\xa6 \xe2\x80\x8f \xe2\x82\xac") ==
          "\\xe2\\x81\\xa6 \\xe2\\x80\\x8f €");
    CHECK(printable("\xff€\xe2") == R"(\xff\xe2\x82\xac\xe2)");  // no UTF-8: nothing is trusted
    CHECK(printable("") == "");
    CHECK(printable_line(std::string_view("a\tb\r\nc\0d\x1b", 8)) == "a b  c d");
    CHECK(printable_line("\x1b]0;title\x07") == R"(\x1b]0;title\x07)");
}

TEST_CASE("quote escapes what could deceive a reader") {
    CHECK(quote("a\nb\x01\"") == "\"a\\nb\\x01\\\"\"");
    CHECK(quote("\xff") == "\"\\xff\"");
    CHECK(quote("ü") == "\"ü\"");
    CHECK(quote("a\xc2\x9b"
                "2J") == R"("a\xc2\x9b2J")");  // CSI as one character
    CHECK(quote("a\xe2\x80\xae"
                "b") == R"("a\xe2\x80\xaeb")");  // right to left from here
}

TEST_CASE("UTF-8 is checked for overlong forms and surrogates") {
    CHECK(is_valid_utf8("aü€😀"));
    CHECK_FALSE(is_valid_utf8("\xc0\x80"));
    CHECK_FALSE(is_valid_utf8("\xed\xa0\x80"));
    CHECK_FALSE(is_valid_utf8("\xe2\x82"));
}

TEST_CASE("a mistyped word finds its neighbour") {
    CHECK(closest_match("--bundel", {"--bundle", "--root"}) == "--bundle");
    CHECK_FALSE(closest_match("--xyz", {"--bundle", "--root"}));
}

TEST_CASE("sizes are read as docker reads them") {
    CHECK(parse_bytes("512")->value == 512);
    CHECK(parse_bytes("64k")->value == 65536);
    CHECK(parse_bytes("1.5g")->value == 1610612736);
    CHECK(parse_bytes("2GiB")->value == 2147483648);
    CHECK_FALSE(parse_bytes("12x"));
    CHECK_FALSE(parse_bytes("-1"));
    CHECK_FALSE(parse_bytes("99999999p"));
    CHECK_FALSE(parse_bytes(""));
    CHECK(format_bytes(Bytes{1610612736}) == "1.5 GiB");
}

TEST_CASE("durations are read as Go reads them") {
    using namespace std::chrono_literals;
    CHECK(*parse_duration("1h2m3s") == 3723s);
    CHECK(*parse_duration("250ms") == 250ms);
    CHECK(*parse_duration("10") == 10s);
    CHECK_FALSE(parse_duration("10 s"));
    CHECK_FALSE(parse_duration(""));
}

TEST_CASE("times survive formatting") {
    auto when = parse_timestamp("2026-01-02T03:04:05.000000006Z");
    REQUIRE(when);
    CHECK(format_timestamp(*when) == "2026-01-02T03:04:05.000000006Z");
    CHECK(format_timestamp(*parse_timestamp("2026-01-02T03:04:05+01:00")) ==
          "2026-01-02T02:04:05.000000000Z");
    CHECK_FALSE(parse_timestamp("2026-13-02T03:04:05Z"));
    CHECK_FALSE(parse_timestamp("9999-01-01T00:00:00Z"));
}
