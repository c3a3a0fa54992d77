#include <doctest/doctest.h>

#include "runtime/landlock_annotation.hpp"

namespace hull::runtime {
namespace {

std::string refusal(std::string_view text) {
    const auto plan = parse_landlock_annotation(text);
    REQUIRE_FALSE(plan);
    return plan.error().to_string();
}

TEST_CASE("an empty Landlock annotation restricts nothing") {
    const auto plan = parse_landlock_annotation("{}");
    REQUIRE(plan);
    CHECK_FALSE(plan->restrict_files);
    CHECK_FALSE(plan->restrict_tcp);
    CHECK_FALSE(plan->scope_signals);
}

TEST_CASE("naming paths or ports restricts to them") {
    const auto plan = parse_landlock_annotation(
        R"({"paths":[{"path":"/usr","access":["read"]}],"bind":[80,443],"scopes":["signal"]})");
    REQUIRE(plan);
    CHECK(plan->restrict_files);
    CHECK(plan->restrict_tcp);
    CHECK(plan->scope_signals);
    CHECK(plan->bind_ports == std::vector<uint16_t>{80, 443});
}

TEST_CASE("a Landlock annotation with a mistake is refused by its place") {
    CHECK(refusal("[]").find("org.hull.landlock") != std::string::npos);
    CHECK(refusal("{").find("org.hull.landlock") != std::string::npos);
    CHECK(refusal(R"({"scopes":["everything"]})").find("signal and abstract-socket") !=
          std::string::npos);
    CHECK(refusal(R"({"paths":[{"path":"usr","access":[]}]})").find("paths[0]") !=
          std::string::npos);
    CHECK(refusal(R"({"paths":[{"path":"/usr","access":["fly"]}]})").find("\"fly\"") !=
          std::string::npos);
    CHECK(refusal(R"({"bind":[70000]})").find("bind[0]") != std::string::npos);
}

}  // namespace
}  // namespace hull::runtime
