#include <doctest/doctest.h>

#include "base/base64.hpp"
#include "runtime/annotations.hpp"

using namespace hull;
using namespace hull::runtime;

namespace {

Result<jail::Plan> plan_with(std::string_view name, std::string value, jail::Plan plan = {}) {
    spec::RuntimeConfig config;
    config.annotations.emplace_back(name, std::move(value));
    TRY(apply_annotations(config, plan));
    return plan;
}

std::string refusal(std::string_view name, std::string value, jail::Plan plan = {}) {
    auto done = plan_with(name, std::move(value), std::move(plan));
    return done ? std::string() : done.error().to_string();
}

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

/// A plan with a filter of one call.
jail::Plan filtered(const std::string& call) {
    jail::Plan plan;
    plan.seccomp.emplace();
    plan.seccomp->rules.push_back({.names = {call}});
    return plan;
}

}  // namespace

TEST_CASE("annotations that nobody knows have no effect") {
    CHECK(plan_with("com.example.x", "y"));
    CHECK(plan_with("run.oci.unheard", "y"));
}

TEST_CASE("what only crun can do is refused, not left out") {
    CHECK(has(refusal("run.oci.handler", "krun"), "krun"));
    CHECK(has(refusal("run.oci.seccomp.plugins", "/lib/p.so"), "run.oci.seccomp.plugins"));
    CHECK(refusal("run.oci.handler", "").empty());
}

TEST_CASE("groups stay with the annotation, unless it says no") {
    CHECK(plan_with("run.oci.keep_original_groups", "1")->process.keep_original_groups);
    CHECK_FALSE(plan_with("run.oci.keep_original_groups", "0")->process.keep_original_groups);
}

TEST_CASE("the mount option for labels is one of four") {
    CHECK(plan_with("run.oci.mount_context_type", "fscontext")->mount_label_option == "fscontext");
    CHECK(has(refusal("run.oci.mount_context_type", "xcontext"), "rootcontext"));
}

TEST_CASE("a ready filter takes the place of the section") {
    const std::string allow{"\x06\0\0\0\0\0\xff\x7f", 8};  // BPF_RET, SECCOMP_RET_ALLOW
    auto plan = plan_with("run.oci.seccomp_bpf_data", encode_base64(allow), filtered("read"));
    REQUIRE(plan);
    CHECK_FALSE(plan->seccomp);
    REQUIRE(plan->seccomp_program);
    REQUIRE(plan->seccomp_program->instructions.size() == 1);
    CHECK(plan->seccomp_program->instructions[0].k == 0x7fff0000);
    CHECK(has(refusal("run.oci.seccomp_bpf_data", "*"), "base64"));
    CHECK(has(refusal("run.oci.seccomp_bpf_data", "AAAA"), "3 bytes"));
    CHECK(has(refusal("run.oci.seccomp_bpf_data", ""), "0 bytes"));
}

TEST_CASE("an unknown system call is an error only when asked for") {
    constexpr const char* kName = "run.oci.seccomp_fail_unknown_syscall";
    CHECK(has(refusal(kName, "1", filtered("raed")), "linux.seccomp.syscalls[0].names: \"raed\""));
    CHECK(refusal(kName, "1", filtered("read")).empty());
    CHECK(refusal(kName, "0", filtered("raed")).empty());
}

TEST_CASE("a receiver stands in for a missing listenerPath only") {
    constexpr const char* kName = "run.oci.seccomp.receiver";
    CHECK(plan_with(kName, "/run/agent")->seccomp_listener_path == "/run/agent");
    jail::Plan plan;
    plan.seccomp_listener_path = "/of/the/specification";
    CHECK(plan_with(kName, "/run/agent", plan)->seccomp_listener_path == "/of/the/specification");
    CHECK(has(refusal(kName, "agent"), "not absolute"));
}

TEST_CASE("systemd's v1 hierarchy replaces what was to be mounted there") {
    constexpr const char* kName = "run.oci.systemd.force_cgroup_v1";
    jail::Plan plan;
    plan.mounts.push_back({.target = "/sys/fs/cgroup", .kind = jail::MountKind::cgroup});
    const auto with = plan_with(kName, "/sys/fs/cgroup/", plan);
    REQUIRE(with);
    REQUIRE(with->mounts.size() == 1);
    CHECK(with->mounts[0].type == "cgroup");
    CHECK(with->mounts[0].kind == jail::MountKind::filesystem);
    CHECK(with->mounts[0].parameters[1] == "name=systemd");
    CHECK(plan_with(kName, "/elsewhere", plan)->mounts.size() == 2);
    CHECK(has(refusal(kName, "x"), "not absolute"));
}
