#include <stdlib.h>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "kernel/seccomp_cache.hpp"
#include "runtime/config_document.hpp"
#include "runtime/container.hpp"
#include "temporary_folder.hpp"

using namespace hull;
using namespace hull::runtime;

namespace {

std::string document(const std::string& section, const std::string& more = "") {
    return R"({"ociVersion":"1.2.0","linux":{"seccomp":)" + section + "}" + more + "}";
}

/// A section that compiles, and its filter as a plan has it.
const std::string kSection = R"({"defaultAction":"SCMP_ACT_ALLOW"})";

jail::Plan plan_of(kernel::SeccompAction action) {
    jail::Plan plan;
    plan.seccomp.emplace();
    plan.seccomp->default_action = kernel::SeccompAction::allow;
    plan.seccomp->rules.push_back({.names = {"mkdir"}, .action = action});
    return plan;
}

ConfigDocument read(const Settings& settings, const std::string& text,
                    ReadSeccomp how = ReadSeccomp::if_not_cached) {
    auto read = read_config(settings, text, "config.json", how);
    REQUIRE(read.has_value());
    return std::move(*read);
}

}  // namespace

TEST_CASE("the section is read until its filter is known, then no more") {
    const TemporaryFolder folder;
    Settings settings;
    settings.root = folder.path;
    auto first = read(settings, document(kSection));
    CHECK(first.config.linux_.seccomp.has_value());
    CHECK_FALSE(first.filter.has_value());
    CHECK(list_directory(folder.path)->empty());  // reading leaves nothing behind

    const auto plan = plan_of(kernel::SeccompAction::error);
    const auto compiled = seccomp_program(settings, first, plan);
    REQUIRE(compiled.has_value());
    REQUIRE(compiled->has_value());

    const auto second = read(settings, document(kSection));
    CHECK_FALSE(second.config.linux_.seccomp.has_value());
    REQUIRE(second.filter.has_value());
    CHECK(second.filter->instructions.size() == (*compiled)->instructions.size());
    const auto used = seccomp_program(settings, second, {});
    REQUIRE(used.has_value());
    CHECK(used->has_value());

    CHECK(read(settings, document(kSection), ReadSeccomp::always).config.linux_.seccomp);
    CHECK(read(settings, document(kSection + " ")).filter.has_value());
    CHECK_FALSE(read(settings, document(R"({"defaultAction": "SCMP_ACT_ALLOW"})")).filter);
}

TEST_CASE("the names are read for who asks about them, and a listener's filter is not kept") {
    const TemporaryFolder folder;
    Settings settings;
    settings.root = folder.path;
    const auto first = read(settings, document(kSection));
    REQUIRE(seccomp_program(settings, first, plan_of(kernel::SeccompAction::notify)).has_value());
    CHECK_FALSE(read(settings, document(kSection)).filter.has_value());

    REQUIRE(seccomp_program(settings, first, plan_of(kernel::SeccompAction::error)).has_value());
    CHECK(read(settings, document(kSection)).filter.has_value());
    const std::string annotation = R"(,"annotations":{"run.oci.seccomp_fail_unknown_syscall":"1"})";
    CHECK(read(settings, document(kSection, annotation)).config.linux_.seccomp.has_value());
}

TEST_CASE("a document that is wrong elsewhere is told with its own lines") {
    const TemporaryFolder folder;
    Settings settings;
    settings.root = folder.path;
    const auto first = read(settings, document(kSection));
    REQUIRE(seccomp_program(settings, first, plan_of(kernel::SeccompAction::error)).has_value());
    const auto wrong = read_config(settings, document(kSection, ",\n oops"), "config.json",
                                   ReadSeccomp::if_not_cached);
    REQUIRE_FALSE(wrong.has_value());
    CHECK(wrong.error().message.find("line 2") != std::string::npos);
}
