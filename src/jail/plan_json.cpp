#include "jail/plan_json.hpp"

#include <array>
#include <span>

#include <fmt/format.h>

#include "base/json_io.hpp"
#include "kernel/mount.hpp"

namespace hull::jail {
namespace {

using OrderedJson = nlohmann::ordered_json;

struct BitName {
    uint64_t bit;
    std::string_view name;
};

constexpr std::array kAttributeNames = {BitName{MOUNT_ATTR_RDONLY, "ro"},
                                        BitName{MOUNT_ATTR_NOSUID, "nosuid"},
                                        BitName{MOUNT_ATTR_NODEV, "nodev"},
                                        BitName{MOUNT_ATTR_NOEXEC, "noexec"},
                                        BitName{MOUNT_ATTR_NOATIME, "noatime"},
                                        BitName{MOUNT_ATTR_STRICTATIME, "strictatime"},
                                        BitName{MOUNT_ATTR_NODIRATIME, "nodiratime"},
                                        BitName{MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"}};

/// The atime mode is a field of several bits: "atime" stands for the whole of it.
OrderedJson attribute_names(uint64_t bits) {
    OrderedJson names = OrderedJson::array();
    if ((bits & MOUNT_ATTR__ATIME) == MOUNT_ATTR__ATIME) {
        names.push_back("atime");
        bits &= ~uint64_t{MOUNT_ATTR__ATIME};
    }
    for (const auto& [bit, name] : kAttributeNames)
        if ((bits & bit) != 0) names.push_back(name);
    return names;
}

template <typename T>
void put(OrderedJson& object, std::string_view key, const T& value) {
    object[std::string(key)] = value;
}
void put_text(OrderedJson& object, std::string_view key, const std::string& value) {
    if (!value.empty()) put(object, key, value);
}
template <typename T>
void put_list(OrderedJson& object, std::string_view key, const std::vector<T>& values) {
    if (!values.empty()) put(object, key, values);
}
template <typename T>
void put_optional(OrderedJson& object, std::string_view key, const std::optional<T>& value) {
    if (value) put(object, key, *value);
}
void put_true(OrderedJson& object, std::string_view key, bool value) {
    if (value) put(object, key, true);
}

std::string octal(mode_t mode) {
    return fmt::format("{:04o}", mode);
}

OrderedJson json_of(const kernel::IdMap& map) {
    OrderedJson list = OrderedJson::array();
    for (const auto& range : map)
        list.push_back(
            {{"inside", range.inside}, {"outside", range.outside}, {"count", range.count}});
    return list;
}

void put_id_mapping(OrderedJson& object, const kernel::IdMapping& mapping) {
    if (!mapping.users.empty()) put(object, "uid_map", json_of(mapping.users));
    if (!mapping.groups.empty()) put(object, "gid_map", json_of(mapping.groups));
}

std::string_view propagation_name(Propagation kind) {
    switch (kind) {
        case Propagation::unchanged:
            return "unchanged";
        case Propagation::private_:
            return "private";
        case Propagation::slave:
            return "slave";
        case Propagation::shared:
            return "shared";
        case Propagation::unbindable:
            return "unbindable";
    }
    return "unchanged";
}

void put_propagation(OrderedJson& object, const PropagationPlan& plan) {
    if (plan.kind == Propagation::unchanged) return;
    put(object, "propagation",
        std::string(plan.recursive ? "r" : "") + std::string(propagation_name(plan.kind)));
}

void put_attributes(OrderedJson& object, std::string_view prefix, const MountAttributes& plan) {
    if (plan.set != 0) put(object, std::string(prefix) + "set", attribute_names(plan.set));
    if (plan.clear != 0) put(object, std::string(prefix) + "clear", attribute_names(plan.clear));
}

OrderedJson json_of(const MountPlan& mount) {
    OrderedJson object;
    put(object, "target", mount.target);
    switch (mount.kind) {
        case MountKind::bind:
            put(object, "kind", "bind");
            break;
        case MountKind::cgroup:
            put(object, "kind", "cgroup");
            break;
        case MountKind::filesystem:
            put(object, "kind", "filesystem");
            break;
    }
    put_text(object, "type", mount.type);
    put_text(object, "source", mount.source);
    put_true(object, "recursive", mount.recursive);
    put_true(object, "remount", mount.remount);
    put_list(object, "parameters", mount.parameters);
    put_attributes(object, "", mount.attributes);
    put_attributes(object, "recursive_", mount.recursive_attributes);
    put_propagation(object, mount.propagation);
    if (mount.id_map.enabled) {
        OrderedJson map = OrderedJson::object();
        put_true(map, "recursive", mount.id_map.recursive);
        put_id_mapping(map, mount.id_map.ids);
        put(object, "id_map", map);
    }
    put_true(object, "copy_up", mount.copy_up);
    put_true(object, "copy_symlink", mount.copy_symlink);
    put_true(object, "source_nofollow", mount.source_nofollow);
    put_true(object, "target_nofollow", mount.target_nofollow);
    return object;
}

OrderedJson json_of(const DevicePlan& device) {
    OrderedJson object;
    put(object, "path", device.path);
    put(object, "type", std::string(1, device.type));
    if (device.type != 'p') put(object, "number", fmt::format("{}:{}", device.major, device.minor));
    put(object, "mode", octal(device.mode));
    if (device.uid != 0) put(object, "uid", device.uid);
    if (device.gid != 0) put(object, "gid", device.gid);
    return object;
}

OrderedJson json_of(const kernel::CapabilitySets& sets) {
    OrderedJson object = OrderedJson::object();
    put_list(object, "bounding", kernel::capability_names(sets.bounding));
    put_list(object, "effective", kernel::capability_names(sets.effective));
    put_list(object, "permitted", kernel::capability_names(sets.permitted));
    put_list(object, "inheritable", kernel::capability_names(sets.inheritable));
    put_list(object, "ambient", kernel::capability_names(sets.ambient));
    return object;
}

OrderedJson json_of(const kernel::Scheduler& scheduler) {
    OrderedJson object;
    put(object, "policy", scheduler.policy);
    put(object, "nice", scheduler.nice);
    put(object, "priority", scheduler.priority);
    put(object, "flags", scheduler.flags);
    put(object, "runtime_ns", scheduler.runtime_ns);
    put(object, "deadline_ns", scheduler.deadline_ns);
    put(object, "period_ns", scheduler.period_ns);
    return object;
}

OrderedJson json_of(const ProcessPlan& process) {
    OrderedJson object;
    put(object, "args", process.args);
    put_list(object, "environment", process.environment);
    put(object, "working_directory", process.working_directory);
    put_true(object, "terminal", process.terminal);
    if (process.console_size)
        put(object, "console_size",
            OrderedJson{{"width", process.console_size->width},
                        {"height", process.console_size->height}});
    put(object, "uid", process.uid);
    put(object, "gid", process.gid);
    put_list(object, "additional_groups", process.additional_groups);
    put_true(object, "keep_original_groups", process.keep_original_groups);
    if (process.umask) put(object, "umask", octal(*process.umask));
    if (process.capabilities) put(object, "capabilities", json_of(*process.capabilities));
    put_true(object, "no_new_privileges", process.no_new_privileges);
    OrderedJson limits = OrderedJson::object();
    for (const auto& limit : process.rlimits)
        limits[kernel::rlimit_name(limit.resource)] = {kernel::format_rlimit_value(limit.soft),
                                                       kernel::format_rlimit_value(limit.hard)};
    if (!limits.empty()) put(object, "rlimits", limits);
    put_optional(object, "oom_score_adjustment", process.oom_score_adjustment);
    if (process.scheduler) put(object, "scheduler", json_of(*process.scheduler));
    if (process.io_priority)
        put(object, "io_priority",
            OrderedJson{{"class", process.io_priority->io_class},
                        {"level", process.io_priority->level}});
    put_list(object, "initial_cpus", process.initial_cpus);
    put_list(object, "final_cpus", process.final_cpus);
    put_text(object, "apparmor_profile", process.apparmor_profile);
    put_text(object, "selinux_label", process.selinux_label);
    return object;
}

OrderedJson json_of(const kernel::SeccompRule& rule) {
    OrderedJson object;
    put(object, "names", rule.names);
    put(object, "action", kernel::seccomp_action_name(rule.action));
    put_optional(object, "errno", rule.errno_value);
    OrderedJson arguments = OrderedJson::array();
    for (const auto& argument : rule.arguments) {
        OrderedJson entry;
        put(entry, "index", argument.index);
        put(entry, "op", kernel::seccomp_operator_name(argument.op));
        put(entry, "value", argument.value);
        if (argument.value_two != 0) put(entry, "value_two", argument.value_two);
        arguments.push_back(entry);
    }
    if (!arguments.empty()) put(object, "arguments", arguments);
    return object;
}

OrderedJson json_of(const kernel::SeccompFilter& filter) {
    OrderedJson object;
    put(object, "default_action", kernel::seccomp_action_name(filter.default_action));
    put_optional(object, "default_errno", filter.default_errno);
    put_list(object, "architectures", filter.architectures);
    put_true(object, "log", filter.log);
    put_true(object, "allow_speculation", filter.allow_speculation);
    put_true(object, "synchronize_threads", filter.synchronize_threads);
    put_true(object, "wait_killable", filter.wait_killable);
    OrderedJson rules = OrderedJson::array();
    for (const auto& rule : filter.rules)
        rules.push_back(json_of(rule));
    put(object, "rules", rules);
    return object;
}

OrderedJson json_of(const LandlockPlan& plan) {
    OrderedJson object = OrderedJson::object();
    put_true(object, "scope_signals", plan.scope_signals);
    put_true(object, "scope_abstract_sockets", plan.scope_abstract_sockets);
    put_true(object, "restrict_files", plan.restrict_files);
    OrderedJson paths = OrderedJson::array();
    for (const auto& rule : plan.paths)
        paths.push_back({{"path", rule.path}, {"access", rule.access}});
    if (!paths.empty()) put(object, "paths", paths);
    put_true(object, "restrict_tcp", plan.restrict_tcp);
    put_list(object, "bind_ports", plan.bind_ports);
    put_list(object, "connect_ports", plan.connect_ports);
    return object;
}

void put_hooks(OrderedJson& object, std::string_view key, const std::vector<HookPlan>& hooks) {
    if (hooks.empty()) return;
    OrderedJson list = OrderedJson::array();
    for (const auto& hook : hooks) {
        OrderedJson entry;
        put(entry, "path", hook.path);
        put_list(entry, "args", hook.args);
        put_list(entry, "environment", hook.environment);
        put_optional(entry, "timeout_seconds", hook.timeout_seconds);
        list.push_back(entry);
    }
    put(object, key, list);
}

void put_namespaces(OrderedJson& object, const Plan& plan) {
    OrderedJson namespaces = OrderedJson::object();
    for (const auto& entry : plan.namespaces)
        namespaces[std::string(kernel::namespace_name(entry.kind))] =
            entry.path.empty() ? "new" : "join " + entry.path;
    put(object, "namespaces", namespaces);
    put_id_mapping(object, plan.id_map);
    OrderedJson offsets = OrderedJson::object();
    const auto put_offset = [&](const char* clock, const auto& offset) {
        if (offset)
            offsets[clock] = {{"seconds", offset->seconds}, {"nanoseconds", offset->nanoseconds}};
    };
    put_offset("monotonic", plan.time_offsets.monotonic);
    put_offset("boottime", plan.time_offsets.boottime);
    if (!offsets.empty()) put(object, "time_offsets", offsets);
}

void put_filesystem(OrderedJson& object, const Plan& plan) {
    OrderedJson root;
    put(root, "path", plan.root.path);
    put_true(root, "read_only", plan.root.read_only);
    put_propagation(root, plan.root.propagation);
    put_true(root, "no_pivot", plan.root.no_pivot);
    put(object, "root", root);
    OrderedJson mounts = OrderedJson::array();
    for (const auto& mount : plan.mounts)
        mounts.push_back(json_of(mount));
    put(object, "mounts", mounts);
    put(object, "populate_dev", plan.populate_dev);
    OrderedJson devices = OrderedJson::array();
    for (const auto& device : plan.devices)
        devices.push_back(json_of(device));
    put(object, "devices", devices);
    put_list(object, "masked_paths", plan.masked_paths);
    put_list(object, "readonly_paths", plan.readonly_paths);
    put_text(object, "mount_label", plan.mount_label);
    if (plan.mount_label_option != "context")
        put_text(object, "mount_label_option", plan.mount_label_option);
}

void put_kernel_settings(OrderedJson& object, const Plan& plan) {
    put_optional(object, "hostname", plan.hostname);
    put_optional(object, "domainname", plan.domainname);
    OrderedJson sysctl = OrderedJson::object();
    for (const auto& [name, value] : plan.sysctl)
        sysctl[name] = value;
    if (!sysctl.empty()) put(object, "sysctl", sysctl);
    OrderedJson links = OrderedJson::object();
    for (const auto& device : plan.network_devices)
        links[device.name] = device.name_inside.empty() ? device.name : device.name_inside;
    if (!links.empty()) put(object, "network_devices", links);
    put_optional(object, "personality", plan.personality);
    if (plan.memory_policy)
        put(object, "memory_policy",
            OrderedJson{{"mode", plan.memory_policy->mode},
                        {"flags", plan.memory_policy->flags},
                        {"nodes", plan.memory_policy->nodes}});
    put(object, "new_session_keyring", plan.new_session_keyring);
}

}  // namespace

std::string format_plan(const Plan& plan, int indent) {
    OrderedJson object;
    put(object, "id", plan.id);
    put_namespaces(object, plan);
    put_filesystem(object, plan);
    put_kernel_settings(object, plan);
    put(object, "process", json_of(plan.process));
    if (plan.landlock) put(object, "landlock", json_of(*plan.landlock));
    if (plan.seccomp) put(object, "seccomp", json_of(*plan.seccomp));
    if (plan.seccomp_program)
        put(object, "seccomp_program_instructions", plan.seccomp_program->instructions.size());
    put_text(object, "seccomp_listener_path", plan.seccomp_listener_path);
    put_text(object, "seccomp_listener_metadata", plan.seccomp_listener_metadata);
    put_hooks(object, "create_container_hooks", plan.create_container_hooks);
    put_hooks(object, "start_container_hooks", plan.start_container_hooks);
    return object.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace hull::jail
