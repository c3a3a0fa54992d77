#include <doctest/doctest.h>

#include "spec/runtime_json.hpp"
#include "spec/seccomp_text.hpp"

using namespace hull;
using namespace hull::spec;

namespace {

constexpr std::string_view kStart = R"({"ociVersion":"1.2.0","linux":{)";

std::string document(std::string_view members) {
    return std::string{kStart} + std::string{members} + "}}";
}

}  // namespace

TEST_CASE("linux.seccomp is found in the text") {
    const std::string section = R"({"defaultAction":"SCMP_ACT_ALLOW","x":{"y":"}\"{"}})";
    const std::string text = document("\"cgroupsPath\":\"a\",\"seccomp\" : \n\t" + section);
    const auto found = find_seccomp_text(text);
    REQUIRE(found.has_value());
    CHECK(*found == section);
    CHECK(found->data() >= text.data());

    CHECK_FALSE(find_seccomp_text(document("")));
    CHECK_FALSE(find_seccomp_text(document(R"("seccomp":null)")));
    CHECK_FALSE(find_seccomp_text(document(R"("a":"seccomp")")));
    CHECK_FALSE(find_seccomp_text(R"({"seccomp":{"a":1)"));
    CHECK_FALSE(find_seccomp_text(R"({"seccomp":{"a":"1)"));
    CHECK_FALSE(find_seccomp_text(R"({"seccomp":)"));
    CHECK_FALSE(find_seccomp_text(R"("seccomp")"));
    // A value of this name elsewhere is no matter, a second object is.
    CHECK(find_seccomp_text(document(R"("a":{"seccomp":1},"b":["seccomp"],"seccomp":{})")));
    CHECK_FALSE(find_seccomp_text(document(R"("a":{"seccomp":{}},"seccomp":{})")));
}

TEST_CASE("what is left out stays unread, and all the rest is read") {
    const std::string text = document(R"("seccomp":{"defaultAction":7},"cgroupsPath":"/a")");
    const auto section = find_seccomp_text(text);
    REQUIRE(section.has_value());
    const auto config = parse_runtime_config_without(text, "config.json", *section);
    REQUIRE(config.has_value());
    CHECK_FALSE(config->linux_.seccomp.has_value());
    CHECK(config->linux_.cgroups_path == "/a");
    CHECK_FALSE(parse_runtime_config(text, "config.json").has_value());
}

TEST_CASE("an object of this name that is not linux.seccomp is not left out") {
    for (const std::string& text :
         {std::string{R"({"ociVersion":"1.2.0","linux":{},"seccomp":{}})"},
          document(R"("resources":{"seccomp":{}})"),
          std::string{R"({"ociVersion":"1.2.0","linux":[{"seccomp":{}}]})"},
          document(R"("a\"seccomp":{})"), std::string{R"([{"seccomp":{}}])"},
          document(R"("seccomp":{},"seccomp":null)"), document(R"("seccomp":{} 1)")}) {
        CAPTURE(text);
        const auto section = find_seccomp_text(text);
        if (section)
            CHECK_FALSE(parse_runtime_config_without(text, "config.json", *section).has_value());
    }
}
