#include <doctest/doctest.h>

#include "base/json_io.hpp"
#include "base/json_writer.hpp"

using namespace hull;

TEST_CASE("documents come out compact or indented") {
    for (int indent : {0, 2}) {
        JsonWriter out{indent};
        out.begin_object();
        out.field("id", "x");
        out.field("empty", std::vector<std::string>{});
        out.begin_array("numbers");
        out.value(1);
        out.value(-2);
        out.value(2.5);
        out.value(3.0);
        out.end_array();
        out.begin_object("inner");
        out.field("yes", true);
        out.optional_field("left", "");
        out.end_object();
        out.raw_field("raw", "null");
        out.end_object();
        std::string text = out.take();
        auto value = parse_json(text, "text");
        REQUIRE_MESSAGE(value, text);
        CHECK((*value)["numbers"] == Json::parse("[1,-2,2.5,3]"));
        CHECK((*value)["inner"] == Json::parse(R"({"yes":true})"));
        if (indent == 0)
            CHECK(
                text ==
                R"({"id":"x","empty":[],"numbers":[1,-2,2.5,3],"inner":{"yes":true},"raw":null})");
        else
            CHECK(text.starts_with(
                "{\n  \"id\": \"x\",\n  \"empty\": [],\n  \"numbers\": [\n    1,\n"));
    }
}

TEST_CASE("strings are escaped, and what is not UTF-8 is replaced") {
    CHECK(json_quote("a\"b\\c\n\t\r\x01\x7f") == R"("a\"b\\c\n\t\r\u0001\u007f")");
    CHECK(json_quote("grün €") == "\"grün €\"");
    CHECK(json_quote("a\xff\xc3") == "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
    CHECK(json_quote("\xed\xa0\x80").find("\xed") == std::string::npos);  // a surrogate
    CHECK(json_quote("\xc0\xaf").find("\xc0") == std::string::npos);      // overlong
}
