#include "runtime/plan_from_spec.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "kernel/devices.hpp"
#include "runtime/annotations.hpp"
#include "runtime/mount_options.hpp"

namespace hull::runtime {
namespace {

using jail::MountKind;
using jail::Plan;

/// Looks a name up in one of the kernel room's tables; names the field in the error.
template <typename Parse>
auto parse_name(Parse parse, std::string_view name, std::string_view field, std::string_view what)
    -> Result<typename decltype(parse(name))::value_type> {
    auto value = parse(name);
    if (!value)
        return fail(Errc::invalid, fmt::format("{}: unknown {} {}", field, what, quote(name)));
    return *value;
}

kernel::IdMap id_map(const std::vector<spec::IdMapping>& mappings) {
    kernel::IdMap map;
    for (const auto& entry : mappings)
        map.push_back(
            {.inside = entry.container_id, .outside = entry.host_id, .count = entry.size});
    return map;
}

// ---- process ----

/// What this build does not know, or no kernel: config.md, Linux Process, wants a warning, so that
/// a newer engine's containers still run.
kernel::CapabilitySets capability_sets(const spec::Capabilities& capabilities) {
    std::vector<std::string> unknown;
    const auto read = [&](const std::vector<std::string>& names) {
        kernel::CapabilitySet set;
        for (const auto& name : names) {
            if (const auto number = kernel::parse_capability(name))
                set.add(*number);
            else if (std::find(unknown.begin(), unknown.end(), name) == unknown.end())
                unknown.push_back(name);
        }
        return set;
    };
    kernel::CapabilitySets sets;
    sets.bounding = read(capabilities.bounding);
    sets.effective = read(capabilities.effective);
    sets.permitted = read(capabilities.permitted);
    sets.inheritable = read(capabilities.inheritable);
    sets.ambient = read(capabilities.ambient);
    if (!unknown.empty())
        log::warning("process.capabilities: unknown and ignored: " + join(unknown, ", "));
    return sets;
}

Result<kernel::Scheduler> scheduler(const spec::Scheduler& spec) {
    kernel::Scheduler plan;
    plan.policy = TRY(parse_name(kernel::parse_scheduler_policy, spec.policy,
                                 "process.scheduler.policy", "policy"));
    for (const auto& flag : spec.flags)
        plan.flags |=
            TRY(parse_name(kernel::parse_scheduler_flag, flag, "process.scheduler.flags", "flag"));
    plan.nice = spec.nice.value_or(0);
    plan.priority = static_cast<uint32_t>(std::max(0, spec.priority.value_or(0)));
    plan.runtime_ns = spec.runtime.value_or(0);
    plan.deadline_ns = spec.deadline.value_or(0);
    plan.period_ns = spec.period.value_or(0);
    return plan;
}

Result<void> plan_process_attributes(const spec::Process& process, jail::ProcessPlan& plan) {
    for (const auto& limit : process.rlimits) {
        const int resource =
            TRY(parse_name(kernel::parse_rlimit, limit.type, "process.rlimits", "limit"));
        plan.rlimits.push_back({.resource = resource, .soft = limit.soft, .hard = limit.hard});
    }
    if (process.oom_score_adj) plan.oom_score_adjustment = *process.oom_score_adj;
    if (process.scheduler) plan.scheduler = TRY(scheduler(*process.scheduler));
    if (process.io_priority) {
        const auto io_class =
            TRY(parse_name(kernel::parse_io_priority_class, process.io_priority->io_class,
                           "process.ioPriority.class", "class"));
        plan.io_priority = jail::IoPriorityPlan{.io_class = io_class,
                                                .level = process.io_priority->priority.value_or(0)};
    }
    if (process.exec_cpu_affinity) {
        const auto& affinity = *process.exec_cpu_affinity;
        if (!affinity.initial.empty())
            plan.initial_cpus = TRY(with_context(kernel::parse_number_list(affinity.initial),
                                                 "process.execCPUAffinity.initial"));
        if (!affinity.final.empty())
            plan.final_cpus = TRY(with_context(kernel::parse_number_list(affinity.final),
                                               "process.execCPUAffinity.final"));
    }
    return {};
}

// ---- namespaces ----

Result<void> plan_namespaces(const spec::Linux& section, Plan& plan) {
    for (const auto& entry : section.namespaces) {
        const auto kind = TRY(parse_name(kernel::parse_namespace_kind, entry.type,
                                         "linux.namespaces", "namespace type"));
        plan.namespaces.push_back({.kind = kind, .path = entry.path});
    }
    const auto order = [](jail::NamespaceKind kind) {
        return std::find(kernel::kNamespaceKinds.begin(), kernel::kNamespaceKinds.end(), kind);
    };
    std::stable_sort(plan.namespaces.begin(), plan.namespaces.end(),
                     [&](const auto& a, const auto& b) { return order(a.kind) < order(b.kind); });
    plan.id_map = {.users = id_map(section.uid_mappings), .groups = id_map(section.gid_mappings)};
    for (const auto& offset : section.time_offsets) {
        const kernel::TimeOffset value{.seconds = offset.secs, .nanoseconds = offset.nanosecs};
        if (offset.clock == "monotonic")
            plan.time_offsets.monotonic = value;
        else if (offset.clock == "boottime")
            plan.time_offsets.boottime = value;
        else
            return fail(Errc::invalid, "linux.timeOffsets: unknown clock " + quote(offset.clock),
                        "the clocks are monotonic and boottime");
    }
    return {};
}

// ---- files ----

/// "rslave" and the like; `field` names the place in errors.
Result<jail::PropagationPlan> propagation(std::string_view name, std::string_view field) {
    jail::MountPlan scratch;
    TRY(apply_mount_option(name, scratch));
    if (scratch.propagation.kind == jail::Propagation::unchanged)
        return fail(Errc::invalid, fmt::format("{}: unknown propagation {}", field, quote(name)),
                    "one of shared, slave, private, unbindable, each also with r in front");
    return scratch.propagation;
}

Result<jail::MountPlan> plan_mount(const spec::Mount& mount, const spec::Linux& section,
                                   const PlanContext& context) {
    jail::MountPlan plan;
    plan.target = "/" + clean_path("/" + mount.destination).substr(1);
    plan.type = mount.type;
    plan.source = mount.source;
    if (mount.type == "bind") plan.kind = MountKind::bind;
    if (mount.type == "cgroup" || mount.type == "cgroup2") plan.kind = MountKind::cgroup;
    for (const auto& option : mount.options)
        TRY(apply_mount_option(
            is_relative_id_map(option) ? TRY(absolute_id_map_option(option, section)) : option,
            plan));
    if (!mount.uid_mappings.empty() || !mount.gid_mappings.empty()) {
        plan.id_map.enabled = true;
        plan.id_map.ids = {.users = id_map(mount.uid_mappings),
                           .groups = id_map(mount.gid_mappings)};
    }
    if (plan.remount) return plan;
    if (plan.kind == MountKind::bind) {
        if (plan.source.empty())
            return fail(Errc::invalid, "a bind mount has no source",
                        "name the file or folder to bind");
        if (!plan.source.starts_with('/')) plan.source = join_path(context.bundle, plan.source);
        plan.type.clear();
    } else if (plan.type.empty()) {
        return fail(Errc::invalid, "neither a type nor the option bind is given",
                    "name the file system's type, as in \"tmpfs\"");
    }
    return plan;
}

void plan_devices(const spec::Linux& section, Plan& plan) {
    plan.devices = kernel::default_devices();
    for (const auto& device : section.devices) {
        jail::DevicePlan node{.path = device.path,
                              .type = device.type == "u" ? 'c' : device.type.front(),
                              .major = static_cast<uint32_t>(device.major),
                              .minor = static_cast<uint32_t>(device.minor),
                              .mode = device.file_mode.value_or(0666),
                              .uid = device.uid.value_or(0),
                              .gid = device.gid.value_or(0)};
        const auto same = std::find_if(plan.devices.begin(), plan.devices.end(),
                                       [&](const auto& other) { return other.path == node.path; });
        if (same == plan.devices.end())
            plan.devices.push_back(std::move(node));
        else
            *same = std::move(node);
    }
}

Result<void> plan_files(const spec::RuntimeConfig& config, const PlanContext& context, Plan& plan) {
    if (config.root) {
        const auto& path = config.root->path;
        plan.root.path = path.starts_with('/') ? path : join_path(context.bundle, path);
        plan.root.read_only = config.root->readonly;
    }
    plan.root.no_pivot = context.no_pivot;
    const auto& section = config.linux_;
    if (!section.rootfs_propagation.empty())
        plan.root.propagation =
            TRY(propagation(section.rootfs_propagation, "linux.rootfsPropagation"));
    for (size_t i = 0; i < config.mounts.size(); ++i)
        plan.mounts.push_back(
            TRY(with_context(plan_mount(config.mounts[i], section, context),
                             fmt::format("mounts[{}] ({})", i, config.mounts[i].destination))));
    // A /dev of the caller's own is left as it is, as in runc.
    plan.populate_dev =
        std::none_of(plan.mounts.begin(), plan.mounts.end(), [](const jail::MountPlan& mount) {
            return mount.kind == MountKind::bind && mount.target == "/dev";
        });
    plan_devices(section, plan);
    plan.masked_paths = section.masked_paths;
    plan.readonly_paths = section.readonly_paths;
    plan.mount_label = section.mount_label;
    return {};
}

// ---- kernel settings ----

Result<void> plan_kernel_settings(const spec::RuntimeConfig& config, Plan& plan) {
    const auto& section = config.linux_;
    if (!config.hostname.empty()) plan.hostname = config.hostname;
    if (!config.domainname.empty()) plan.domainname = config.domainname;
    plan.sysctl = section.sysctl;
    for (const auto& device : section.net_devices)
        plan.network_devices.push_back({.name = device.host_name, .name_inside = device.name});
    if (section.personality) {
        if (!section.personality->flags.empty())
            return fail(Errc::unsupported, "linux.personality.flags: no flag is defined",
                        "leave the list empty");
        plan.personality = TRY(parse_name(kernel::parse_personality, section.personality->domain,
                                          "linux.personality.domain", "domain"));
    }
    if (section.memory_policy) {
        kernel::MemoryPolicy policy;
        policy.mode = TRY(parse_name(kernel::parse_memory_policy_mode, section.memory_policy->mode,
                                     "linux.memoryPolicy.mode", "mode"));
        for (const auto& flag : section.memory_policy->flags)
            policy.flags |= TRY(parse_name(kernel::parse_memory_policy_flag, flag,
                                           "linux.memoryPolicy.flags", "flag"));
        if (!section.memory_policy->nodes.empty())
            policy.nodes = TRY(with_context(kernel::parse_number_list(section.memory_policy->nodes),
                                            "linux.memoryPolicy.nodes"));
        plan.memory_policy = std::move(policy);
    }
    return {};
}

std::vector<jail::HookPlan> plan_hooks(const std::vector<spec::Hook>& hooks) {
    std::vector<jail::HookPlan> plans;
    for (const auto& hook : hooks)
        plans.push_back({.path = hook.path,
                         .args = hook.args,
                         .environment = hook.env,
                         .timeout_seconds = hook.timeout});
    return plans;
}

Result<kernel::SeccompArgument> plan_argument(const spec::SeccompProfileArgument& argument) {
    return kernel::SeccompArgument{
        .index = argument.index,
        .op = TRY(parse_name(kernel::parse_seccomp_operator, argument.op,
                             "linux.seccomp.syscalls.args.op", "operator")),
        .value = argument.value,
        .value_two = argument.value_two};
}

Result<void> plan_seccomp_flags(const spec::SeccompProfile& profile,
                                kernel::SeccompFilter& filter) {
    for (const auto& flag : profile.flags) {
        if (flag == "SECCOMP_FILTER_FLAG_LOG")
            filter.log = true;
        else if (flag == "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
            filter.allow_speculation = true;
        else if (flag == "SECCOMP_FILTER_FLAG_TSYNC")
            filter.synchronize_threads = true;
        else if (flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")
            filter.wait_killable = true;
        else
            return fail(Errc::invalid, "linux.seccomp.flags: unknown flag " + quote(flag));
    }
    return {};
}

}  // namespace

Result<jail::ProcessPlan> plan_process(const spec::Process& process) {
    jail::ProcessPlan plan;
    plan.args = process.args;
    plan.environment = process.env;
    plan.working_directory = process.cwd.empty() ? "/" : process.cwd;
    plan.terminal = process.terminal;
    if (process.console_size)
        plan.console_size =
            jail::ConsoleSize{.width = static_cast<uint16_t>(process.console_size->width),
                              .height = static_cast<uint16_t>(process.console_size->height)};
    plan.uid = process.user.uid;
    plan.gid = process.user.gid;
    plan.additional_groups = process.user.additional_gids;
    if (process.user.umask) plan.umask = *process.user.umask;
    // Without the section the process has no capabilities at all (runc and crun alike).
    plan.capabilities =
        process.capabilities ? capability_sets(*process.capabilities) : kernel::CapabilitySets{};
    plan.no_new_privileges = process.no_new_privileges;
    TRY(plan_process_attributes(process, plan));
    plan.apparmor_profile = process.apparmor_profile;
    plan.selinux_label = process.selinux_label;
    return plan;
}

Result<kernel::SeccompFilter> plan_seccomp(const spec::SeccompProfile& profile) {
    kernel::SeccompFilter filter;
    filter.default_action = TRY(parse_name(kernel::parse_seccomp_action, profile.default_action,
                                           "linux.seccomp.defaultAction", "action"));
    filter.default_errno = profile.default_errno_ret;
    for (const auto& name : profile.architectures)
        filter.architectures.push_back(
            TRY(parse_name(kernel::parse_seccomp_architecture, name, "linux.seccomp.architectures",
                           "architecture")));
    TRY(plan_seccomp_flags(profile, filter));
    filter.rules.reserve(profile.syscalls.size());
    for (const auto& call : profile.syscalls) {
        kernel::SeccompRule rule;
        rule.names = call.names;
        rule.action = TRY(parse_name(kernel::parse_seccomp_action, call.action,
                                     "linux.seccomp.syscalls.action", "action"));
        rule.errno_value = call.errno_ret;
        for (const auto& argument : call.args)
            rule.arguments.push_back(TRY(plan_argument(argument)));
        filter.rules.push_back(std::move(rule));
    }
    return filter;
}

Result<Plan> plan_from_spec(const spec::RuntimeConfig& config, const PlanContext& context) {
    Plan plan;
    plan.id = context.id;
    plan.new_session_keyring = !context.no_new_keyring;
    if (config.process) plan.process = TRY(plan_process(*config.process));
    TRY(plan_namespaces(config.linux_, plan));
    TRY(plan_files(config, context, plan));
    TRY(plan_kernel_settings(config, plan));
    if (config.linux_.seccomp) {
        plan.seccomp = TRY(plan_seccomp(*config.linux_.seccomp));
        plan.seccomp_listener_path = config.linux_.seccomp->listener_path;
        plan.seccomp_listener_metadata = config.linux_.seccomp->listener_metadata;
    }
    plan.create_container_hooks = plan_hooks(config.hooks.create_container);
    plan.start_container_hooks = plan_hooks(config.hooks.start_container);
    TRY(apply_annotations(config, plan));
    return plan;
}

}  // namespace hull::runtime
