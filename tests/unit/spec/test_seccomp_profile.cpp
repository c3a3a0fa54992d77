#include <doctest/doctest.h>

#include "spec/seccomp_profile.hpp"

using namespace hull;
using namespace hull::spec;

namespace {

/// The message of a refused profile; empty when it was taken.
std::string refusal(std::string_view text) {
    auto profile = parse_seccomp_profile_text(text, "profile");
    return profile ? std::string() : profile.error().to_string();
}

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a seccomp section with every field is read and written again") {
    const std::string text =
        R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,)"
        R"("architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],)"
        R"("flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/run/agent.sock",)"
        R"("listenerMetadata":"x","syscalls":[{"names":["mkdir","mknod"],)"
        R"("action":"SCMP_ACT_NOTIFY"},{"names":["clone"],"action":"SCMP_ACT_ALLOW",)"
        R"("args":[{"index":0,"value":18446744073709551615,"valueTwo":7,)"
        R"("op":"SCMP_CMP_MASKED_EQ"}]},{"names":["kill"],"action":"SCMP_ACT_ERRNO",)"
        R"("errnoRet":3}]})";
    auto profile = parse_seccomp_profile_text(text, "profile");
    REQUIRE_MESSAGE(profile.has_value(), profile.error().to_string());
    CHECK(profile->default_errno_ret == 38);
    CHECK(profile->syscalls[1].args[0].value == UINT64_MAX);
    CHECK(profile->syscalls[2].errno_ret == 3);
    CHECK(format_seccomp_profile(*profile) == text);
}

TEST_CASE("refusals name the JSON path and a remedy") {
    const std::string unknown = refusal(
        R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALOW"}]})");
    CHECK(has(unknown, "syscalls[0].action"));
    CHECK(has(unknown, "did you mean SCMP_ACT_ALLOW"));
    CHECK(has(refusal("{}"), "defaultAction"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["X"]})"),
              "architectures[0]"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]})"), "flags[0]"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1})"),
              "defaultErrnoRet"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000})"), "4095"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_NOTIFY"})"), "default action"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":[],)"
                      R"("action":"SCMP_ACT_ALLOW"}]})"),
              "syscalls[0].names"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["a"],)"
                      R"("action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":0,)"
                      R"("op":"SCMP_CMP_EQ"}]}]})"),
              "syscalls[0].args[0].index"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["a"],)"
                      R"("action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":-1,)"
                      R"("op":"SCMP_CMP_EQ"}]}]})"),
              "syscalls[0].args[0].value"));
}

TEST_CASE("a listener must be named by a full path") {
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"x.sock"})"),
              "not absolute"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x"})"),
              "listenerMetadata"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/a","syscalls":)"
                      R"([{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]})"),
              "write"));
}

TEST_CASE("Docker's extended profile format is refused with a hint") {
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"x"}]})"),
              "Docker's profile format"));
    CHECK(has(refusal(R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["bpf"],)"
                      R"("action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"]}}]})"),
              "includes"));
    CHECK(refusal(R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"read",)"
                  R"("action":"SCMP_ACT_ALLOW","includes":{},"excludes":null}]})")
              .empty());
}
