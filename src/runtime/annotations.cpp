#include "runtime/annotations.hpp"

#include <algorithm>
#include <array>

#include "base/base64.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/mount.hpp"
#include "runtime/landlock_annotation.hpp"

namespace hull::runtime {
namespace {

Result<void> refuse_extensions(const spec::RuntimeConfig& config) {
    for (const char* name : {"run.oci.handler", "run.oci.seccomp.plugins"}) {
        const auto* value = config.find_annotation(name);
        if (value != nullptr && !value->empty())
            return fail(
                Errc::unsupported,
                "annotation " + std::string{name} + ": hull-runtime has no " + quote(*value),
                "leave it out, or run this container with crun");
    }
    return {};
}

Result<void> choose_label_option(const spec::RuntimeConfig& config, jail::Plan& plan) {
    const auto* option = config.find_annotation("run.oci.mount_context_type");
    if (option == nullptr) return {};
    constexpr std::array<std::string_view, 4> kOptions = {"context", "fscontext", "defcontext",
                                                          "rootcontext"};
    if (std::find(kOptions.begin(), kOptions.end(), *option) == kOptions.end())
        return fail(Errc::invalid,
                    "annotation run.oci.mount_context_type: " + quote(*option) + " is unknown",
                    "use context, fscontext, defcontext or rootcontext");
    plan.mount_label_option = *option;
    return {};
}

Result<void> use_ready_program(const spec::RuntimeConfig& config, jail::Plan& plan) {
    constexpr const char* kName = "run.oci.seccomp_bpf_data";
    const auto* text = config.find_annotation(kName);
    if (text == nullptr) return {};
    const std::string what = "annotation " + std::string{kName};
    const auto bytes = decode_base64(*text);
    if (!bytes)
        return fail(Errc::invalid, what + " is not base64",
                    "write the filter's instructions as base64");
    plan.seccomp_program = TRY(with_context(kernel::seccomp_program_from_bytes(*bytes), what));
    plan.seccomp.reset();
    return {};
}

Result<void> refuse_unknown_calls(const spec::RuntimeConfig& config, const jail::Plan& plan) {
    if (!plan.seccomp || !is_annotation_on(config, kFailUnknownCall)) return {};
    for (size_t i = 0; i < plan.seccomp->rules.size(); ++i)
        for (const auto& name : plan.seccomp->rules[i].names)
            if (!kernel::is_known_system_call(name))
                return fail(Errc::invalid,
                            "linux.seccomp.syscalls[" + std::to_string(i) + "].names: " +
                                quote(name) + " is no system call that hull-runtime knows",
                            "correct it, or leave run.oci.seccomp_fail_unknown_syscall out");
    return {};
}

/// The path of an agent, of times when the specification had no listenerPath.
Result<void> set_receiver(const spec::RuntimeConfig& config, jail::Plan& plan) {
    const auto* path = config.find_annotation("run.oci.seccomp.receiver");
    if (path == nullptr || !plan.seccomp_listener_path.empty()) return {};
    if (!path->starts_with('/'))
        return fail(Errc::invalid,
                    "annotation run.oci.seccomp.receiver: " + quote(*path) + " is not absolute",
                    "give the full path of a unix socket");
    plan.seccomp_listener_path = *path;
    return {};
}

/// For a systemd inside that knows no cgroup v2: the v1 hierarchy name=systemd, which the host must
/// have mounted, in the place of what else would be mounted there.
Result<void> mount_systemd_hierarchy(const spec::RuntimeConfig& config, jail::Plan& plan) {
    const auto* target = config.find_annotation("run.oci.systemd.force_cgroup_v1");
    if (target == nullptr) return {};
    if (!target->starts_with('/'))
        return fail(
            Errc::invalid,
            "annotation run.oci.systemd.force_cgroup_v1: " + quote(*target) + " is not absolute",
            "give the mount point inside the container, as /sys/fs/cgroup");
    const jail::MountPlan mount{
        .target = clean_path(*target),
        .type = "cgroup",
        .source = "cgroup",
        .parameters = {"none", "name=systemd", "xattr"},
        .attributes = {.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC}};
    const auto same = std::find_if(plan.mounts.begin(), plan.mounts.end(),
                                   [&](const auto& other) { return other.target == mount.target; });
    if (same == plan.mounts.end())
        plan.mounts.push_back(mount);
    else
        *same = mount;
    return {};
}

}  // namespace

bool is_annotation_on(const spec::RuntimeConfig& config, std::string_view name) {
    const auto* value = config.find_annotation(name);
    return value != nullptr && *value != "0" && *value != "false";
}

Result<void> apply_annotations(const spec::RuntimeConfig& config, jail::Plan& plan) {
    if (config.annotations.empty()) return {};
    TRY(refuse_extensions(config));
    if (const auto* text = config.find_annotation("org.hull.landlock"))
        plan.landlock = TRY(parse_landlock_annotation(*text));
    plan.process.keep_original_groups = is_annotation_on(config, "run.oci.keep_original_groups");
    TRY(choose_label_option(config, plan));
    TRY(use_ready_program(config, plan));
    TRY(refuse_unknown_calls(config, plan));
    TRY(set_receiver(config, plan));
    return mount_systemd_hierarchy(config, plan);
}

}  // namespace hull::runtime
