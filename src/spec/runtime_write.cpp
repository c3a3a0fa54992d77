#include "base/json_writer.hpp"
#include "spec/runtime_json.hpp"
#include "spec/runtime_writer.hpp"

namespace hull::spec {

void write_id_mappings(JsonWriter& out, std::string_view name,
                       const std::vector<IdMapping>& mappings) {
    if (mappings.empty()) return;
    out.begin_array(name);
    for (const auto& mapping : mappings) {
        out.begin_object();
        out.field("containerID", mapping.container_id);
        out.field("hostID", mapping.host_id);
        out.field("size", mapping.size);
        out.end_object();
    }
    out.end_array();
}

void write_strings(JsonWriter& out, std::string_view name, const std::vector<std::string>& items) {
    if (!items.empty()) out.field(name, items);
}

void write_map(JsonWriter& out, std::string_view name,
               const std::vector<std::pair<std::string, std::string>>& map) {
    if (map.empty()) return;
    out.begin_object(name);
    for (const auto& [key, value] : map)
        out.field(key, value);
    out.end_object();
}

namespace {

void write_user(JsonWriter& out, const User& user) {
    out.begin_object("user");
    out.field("uid", user.uid);
    out.field("gid", user.gid);
    write_optional(out, "umask", user.umask);
    if (!user.additional_gids.empty()) {
        out.begin_array("additionalGids");
        for (uint32_t gid : user.additional_gids)
            out.value(gid);
        out.end_array();
    }
    out.end_object();
}

void write_capabilities(JsonWriter& out, const Capabilities& sets) {
    out.begin_object("capabilities");
    out.field("bounding", sets.bounding);
    out.field("effective", sets.effective);
    out.field("inheritable", sets.inheritable);
    out.field("permitted", sets.permitted);
    out.field("ambient", sets.ambient);
    out.end_object();
}

void write_rlimits(JsonWriter& out, const std::vector<Rlimit>& limits) {
    if (limits.empty()) return;
    out.begin_array("rlimits");
    for (const auto& limit : limits) {
        out.begin_object();
        out.field("type", limit.type);
        out.field("soft", limit.soft);
        out.field("hard", limit.hard);
        out.end_object();
    }
    out.end_array();
}

void write_scheduling(JsonWriter& out, const Process& process) {
    if (process.scheduler) {
        const Scheduler& scheduler = *process.scheduler;
        out.begin_object("scheduler");
        out.field("policy", scheduler.policy);
        write_optional(out, "nice", scheduler.nice);
        write_optional(out, "priority", scheduler.priority);
        write_strings(out, "flags", scheduler.flags);
        write_optional(out, "runtime", scheduler.runtime);
        write_optional(out, "deadline", scheduler.deadline);
        write_optional(out, "period", scheduler.period);
        out.end_object();
    }
    if (process.io_priority) {
        out.begin_object("ioPriority");
        out.field("class", process.io_priority->io_class);
        write_optional(out, "priority", process.io_priority->priority);
        out.end_object();
    }
    if (process.exec_cpu_affinity) {
        out.begin_object("execCPUAffinity");
        out.optional_field("initial", process.exec_cpu_affinity->initial);
        out.optional_field("final", process.exec_cpu_affinity->final);
        out.end_object();
    }
}

void write_process_members(JsonWriter& out, const Process& process) {
    out.field("terminal", process.terminal);
    if (process.console_size) {
        out.begin_object("consoleSize");
        out.field("height", process.console_size->height);
        out.field("width", process.console_size->width);
        out.end_object();
    }
    write_user(out, process.user);
    write_strings(out, "args", process.args);
    write_strings(out, "env", process.env);
    out.field("cwd", process.cwd);
    if (process.capabilities) write_capabilities(out, *process.capabilities);
    write_rlimits(out, process.rlimits);
    out.field("noNewPrivileges", process.no_new_privileges);
    out.optional_field("apparmorProfile", process.apparmor_profile);
    write_optional(out, "oomScoreAdj", process.oom_score_adj);
    out.optional_field("selinuxLabel", process.selinux_label);
    write_scheduling(out, process);
}

void write_mounts(JsonWriter& out, const std::vector<Mount>& mounts) {
    if (mounts.empty()) return;
    out.begin_array("mounts");
    for (const auto& mount : mounts) {
        out.begin_object();
        out.field("destination", mount.destination);
        out.optional_field("type", mount.type);
        out.optional_field("source", mount.source);
        write_strings(out, "options", mount.options);
        write_id_mappings(out, "uidMappings", mount.uid_mappings);
        write_id_mappings(out, "gidMappings", mount.gid_mappings);
        out.end_object();
    }
    out.end_array();
}

void write_hook_list(JsonWriter& out, std::string_view name, const std::vector<Hook>& hooks) {
    if (hooks.empty()) return;
    out.begin_array(name);
    for (const auto& hook : hooks) {
        out.begin_object();
        out.field("path", hook.path);
        write_strings(out, "args", hook.args);
        write_strings(out, "env", hook.env);
        write_optional(out, "timeout", hook.timeout);
        out.end_object();
    }
    out.end_array();
}

void write_hooks(JsonWriter& out, const Hooks& hooks) {
    if (hooks.empty()) return;
    out.begin_object("hooks");
    write_hook_list(out, "prestart", hooks.prestart);
    write_hook_list(out, "createRuntime", hooks.create_runtime);
    write_hook_list(out, "createContainer", hooks.create_container);
    write_hook_list(out, "startContainer", hooks.start_container);
    write_hook_list(out, "poststart", hooks.poststart);
    write_hook_list(out, "poststop", hooks.poststop);
    out.end_object();
}

}  // namespace

std::string format_process(const Process& process) {
    JsonWriter out;
    out.begin_object();
    write_process_members(out, process);
    out.end_object();
    return out.take();
}

std::string format_runtime_config(const RuntimeConfig& config, int indent) {
    JsonWriter out{indent};
    out.begin_object();
    out.field("ociVersion", config.oci_version);
    if (config.process) {
        out.begin_object("process");
        write_process_members(out, *config.process);
        out.end_object();
    }
    if (config.root) {
        out.begin_object("root");
        out.field("path", config.root->path);
        out.field("readonly", config.root->readonly);
        out.end_object();
    }
    out.optional_field("hostname", config.hostname);
    out.optional_field("domainname", config.domainname);
    write_mounts(out, config.mounts);
    write_hooks(out, config.hooks);
    write_map(out, "annotations", config.annotations);
    if (config.linux_ != Linux{}) write_linux(out, config.linux_);
    out.end_object();
    return out.take();
}

}  // namespace hull::spec
