#include "spec/runtime_writer.hpp"

namespace hull::spec {
namespace {

void write_namespaces(JsonWriter& out, const Linux& section) {
    if (!section.namespaces.empty()) {
        out.begin_array("namespaces");
        for (const auto& entry : section.namespaces) {
            out.begin_object();
            out.field("type", entry.type);
            out.optional_field("path", entry.path);
            out.end_object();
        }
        out.end_array();
    }
    write_id_mappings(out, "uidMappings", section.uid_mappings);
    write_id_mappings(out, "gidMappings", section.gid_mappings);
    if (section.time_offsets.empty()) return;
    out.begin_object("timeOffsets");
    for (const auto& offset : section.time_offsets) {
        out.begin_object(offset.clock);
        out.field("secs", offset.secs);
        out.field("nanosecs", offset.nanosecs);
        out.end_object();
    }
    out.end_object();
}

void write_devices(JsonWriter& out, const Linux& section) {
    if (!section.devices.empty()) {
        out.begin_array("devices");
        for (const auto& device : section.devices) {
            out.begin_object();
            out.field("type", device.type);
            out.field("path", device.path);
            out.field("major", device.major);
            out.field("minor", device.minor);
            write_optional(out, "fileMode", device.file_mode);
            write_optional(out, "uid", device.uid);
            write_optional(out, "gid", device.gid);
            out.end_object();
        }
        out.end_array();
    }
    if (section.net_devices.empty()) return;
    out.begin_object("netDevices");
    for (const auto& device : section.net_devices) {
        out.begin_object(device.host_name);
        out.optional_field("name", device.name);
        out.end_object();
    }
    out.end_object();
}

void write_seccomp_rule(JsonWriter& out, const SeccompProfileRule& rule) {
    out.begin_object();
    out.field("names", rule.names);
    out.field("action", rule.action);
    write_optional(out, "errnoRet", rule.errno_ret);
    if (!rule.args.empty()) {
        out.begin_array("args");
        for (const auto& argument : rule.args) {
            out.begin_object();
            out.field("index", argument.index);
            out.field("value", argument.value);
            if (argument.value_two != 0) out.field("valueTwo", argument.value_two);
            out.field("op", argument.op);
            out.end_object();
        }
        out.end_array();
    }
    out.end_object();
}

void write_seccomp(JsonWriter& out, const SeccompProfile& profile) {
    out.begin_object("seccomp");
    out.field("defaultAction", profile.default_action);
    write_optional(out, "defaultErrnoRet", profile.default_errno_ret);
    write_strings(out, "architectures", profile.architectures);
    write_strings(out, "flags", profile.flags);
    out.optional_field("listenerPath", profile.listener_path);
    out.optional_field("listenerMetadata", profile.listener_metadata);
    out.begin_array("syscalls");
    for (const auto& rule : profile.syscalls)
        write_seccomp_rule(out, rule);
    out.end_array();
    out.end_object();
}

void write_rest(JsonWriter& out, const Linux& section) {
    if (section.personality) {
        out.begin_object("personality");
        out.field("domain", section.personality->domain);
        write_strings(out, "flags", section.personality->flags);
        out.end_object();
    }
    if (section.intel_rdt) {
        out.begin_object("intelRdt");
        out.optional_field("closID", section.intel_rdt->clos_id);
        write_strings(out, "schemata", section.intel_rdt->schemata);
        out.optional_field("l3CacheSchema", section.intel_rdt->l3_cache_schema);
        out.optional_field("memBwSchema", section.intel_rdt->mem_bw_schema);
        out.field("enableMonitoring", section.intel_rdt->enable_monitoring);
        out.end_object();
    }
    if (section.memory_policy) {
        out.begin_object("memoryPolicy");
        out.field("mode", section.memory_policy->mode);
        out.optional_field("nodes", section.memory_policy->nodes);
        write_strings(out, "flags", section.memory_policy->flags);
        out.end_object();
    }
}

}  // namespace

void write_linux(JsonWriter& out, const Linux& section) {
    out.begin_object("linux");
    write_namespaces(out, section);
    write_devices(out, section);
    out.optional_field("cgroupsPath", section.cgroups_path);
    if (section.resources != Resources{}) write_resources(out, section.resources);
    write_map(out, "sysctl", section.sysctl);
    out.optional_field("rootfsPropagation", section.rootfs_propagation);
    write_strings(out, "maskedPaths", section.masked_paths);
    write_strings(out, "readonlyPaths", section.readonly_paths);
    out.optional_field("mountLabel", section.mount_label);
    write_rest(out, section);
    if (section.seccomp) write_seccomp(out, *section.seccomp);
    out.end_object();
}

}  // namespace hull::spec
