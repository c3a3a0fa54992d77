#include <cstdlib>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "jail/plan_json.hpp"
#include "runtime/plan_from_spec.hpp"
#include "spec/runtime_json.hpp"

// Golden plans: plans/NAME.json is a config.json, plans/NAME.plan.json what it means. After a
// wanted change HULL_UPDATE_PLANS=1 writes them anew; read the difference before committing it.

namespace hull::runtime {
namespace {

std::string data(const std::string& name) {
    return std::string(HULL_TEST_DATA) + "/plans/" + name;
}

Result<jail::Plan> plan_of(const std::string& text) {
    const auto config = TRY(spec::parse_runtime_config(text, "config.json"));
    return plan_from_spec(config, {.id = "golden", .bundle = "/bundle"});
}

std::string plan_error(const std::string& text) {
    const auto plan = plan_of(text);
    REQUIRE_FALSE(plan);
    return plan.error().to_string();
}

void check_golden(const std::string& name) {
    CAPTURE(name);
    const auto text = read_file(data(name + ".json"));
    REQUIRE(text);
    const auto plan = plan_of(*text);
    if (!plan) FAIL(plan.error().to_string());
    const auto json = jail::format_plan(*plan) + "\n";
    const auto path = data(name + ".plan.json");
    if (std::getenv("HULL_UPDATE_PLANS") != nullptr) REQUIRE(write_file_atomically(path, json));
    const auto golden = read_file(path);
    REQUIRE(golden);
    CHECK(json == *golden);
}

TEST_CASE("the configuration that docker writes becomes its golden plan") {
    check_golden("docker");
}

TEST_CASE("runc's default configuration becomes its golden plan") {
    check_golden("runc");
}

TEST_CASE("runc's rootless configuration becomes its golden plan") {
    check_golden("rootless");
}

TEST_CASE("a user namespace with idmapped mounts becomes its golden plan") {
    check_golden("user_namespace");
}

TEST_CASE("every field of the specification becomes its golden plan") {
    check_golden("everything");
}

TEST_CASE("relative paths start at the bundle") {
    const auto plan = plan_of(
        R"({"ociVersion":"1.0.0","root":{"path":"rootfs"},"mounts":[{"destination":"a//b/../c","source":"data","options":["bind"]}]})");
    REQUIRE(plan);
    CHECK(plan->root.path == "/bundle/rootfs");
    CHECK(plan->mounts.at(0).source == "/bundle/data");
    CHECK(plan->mounts.at(0).target == "/a/c");
}

TEST_CASE("a process without a capabilities section has none") {
    const auto plan = plan_of(R"({"ociVersion":"1.0.0","process":{"args":["a"],"cwd":"/"}})");
    REQUIRE(plan);
    REQUIRE(plan->process.capabilities);
    CHECK(plan->process.capabilities->bounding.empty());
}

TEST_CASE("namespaces are joined in the kernel's order, whatever the order in the file") {
    const auto plan = plan_of(
        R"({"ociVersion":"1.0.0","linux":{"namespaces":[{"type":"mount"},{"type":"pid"},{"type":"user"}]}})");
    REQUIRE(plan);
    CHECK(plan->namespaces.at(0).kind == jail::NamespaceKind::user);
    CHECK(plan->makes_new(jail::NamespaceKind::pid));
    CHECK_FALSE(plan->joins(jail::NamespaceKind::pid));
}

TEST_CASE("an unknown capability is left out, and the others are kept") {
    const auto plan = plan_of(
        R"({"ociVersion":"1.0.0","process":{"args":["a"],"cwd":"/","capabilities":{"bounding":["CAP_FLY","CAP_KILL"]}}})");
    REQUIRE(plan);
    CHECK(plan->process.capabilities->bounding.bits == 1U << 5U);  // CAP_KILL
}

TEST_CASE("a mount without a type that is no bind is refused by its index") {
    CHECK(plan_error(R"({"ociVersion":"1.0.0","mounts":[{"destination":"/x"}]})")
              .find("mounts[0] (/x)") != std::string::npos);
}

TEST_CASE("an unknown propagation is refused with the names that exist") {
    CHECK(plan_error(R"({"ociVersion":"1.0.0","linux":{"rootfsPropagation":"upwards"}})")
              .find("shared, slave, private, unbindable") != std::string::npos);
}

}  // namespace
}  // namespace hull::runtime
