#include "spec/runtime_json.hpp"

#include "base/text.hpp"
#include "spec/runtime_reader.hpp"
#include "spec/runtime_sections.hpp"

namespace hull::spec {

void RuntimeReader::id_mappings(const JsonReader& in, std::string_view key,
                                std::vector<IdMapping>& out) {
    list(in, key, out, [&](const JsonReader& item, IdMapping& mapping) {
        required(item, "containerID", mapping.container_id);
        required(item, "hostID", mapping.host_id);
        required(item, "size", mapping.size);
    });
}

void RuntimeReader::mount(const JsonReader& in, Mount& out) {
    required(in, "destination", out.destination);
    value(in, "type", out.type);
    value(in, "source", out.source);
    value(in, "options", out.options);
    id_mappings(in, "uidMappings", out.uid_mappings);
    id_mappings(in, "gidMappings", out.gid_mappings);
}

void RuntimeReader::scheduling(const JsonReader& in, Process& out) {
    object(in, "scheduler", [&](const JsonReader& item) {
        Scheduler& scheduler = out.scheduler.emplace();
        required(item, "policy", scheduler.policy);
        value(item, "nice", scheduler.nice);
        value(item, "priority", scheduler.priority);
        value(item, "flags", scheduler.flags);
        value(item, "runtime", scheduler.runtime);
        value(item, "deadline", scheduler.deadline);
        value(item, "period", scheduler.period);
    });
    object(in, "ioPriority", [&](const JsonReader& item) {
        IoPriority& priority = out.io_priority.emplace();
        required(item, "class", priority.io_class);
        value(item, "priority", priority.priority);
    });
    object(in, "execCPUAffinity", [&](const JsonReader& item) {
        ExecCpuAffinity& affinity = out.exec_cpu_affinity.emplace();
        value(item, "initial", affinity.initial);
        value(item, "final", affinity.final);
    });
}

void RuntimeReader::process(const JsonReader& in, Process& out) {
    value(in, "terminal", out.terminal);
    object(in, "consoleSize", [&](const JsonReader& item) {
        ConsoleSize& size = out.console_size.emplace();
        required(item, "height", size.height);
        required(item, "width", size.width);
    });
    object(in, "user", [&](const JsonReader& item) {
        value(item, "uid", out.user.uid);
        value(item, "gid", out.user.gid);
        value(item, "umask", out.user.umask);
        value(item, "additionalGids", out.user.additional_gids);
    });
    value(in, "args", out.args);
    value(in, "env", out.env);
    required(in, "cwd", out.cwd);
    object(in, "capabilities", [&](const JsonReader& item) {
        Capabilities& sets = out.capabilities.emplace();
        value(item, "bounding", sets.bounding);
        value(item, "effective", sets.effective);
        value(item, "inheritable", sets.inheritable);
        value(item, "permitted", sets.permitted);
        value(item, "ambient", sets.ambient);
    });
    list(in, "rlimits", out.rlimits, [&](const JsonReader& item, Rlimit& limit) {
        required(item, "type", limit.type);
        required(item, "soft", limit.soft);
        required(item, "hard", limit.hard);
    });
    value(in, "noNewPrivileges", out.no_new_privileges);
    value(in, "apparmorProfile", out.apparmor_profile);
    value(in, "oomScoreAdj", out.oom_score_adj);
    value(in, "selinuxLabel", out.selinux_label);
    scheduling(in, out);
}

void RuntimeReader::hooks(const JsonReader& in, Hooks& out) {
    auto hook = [&](const JsonReader& item, Hook& one) {
        required(item, "path", one.path);
        value(item, "args", one.args);
        value(item, "env", one.env);
        value(item, "timeout", one.timeout);
    };
    list(in, "prestart", out.prestart, hook);
    list(in, "createRuntime", out.create_runtime, hook);
    list(in, "createContainer", out.create_container, hook);
    list(in, "startContainer", out.start_container, hook);
    list(in, "poststart", out.poststart, hook);
    list(in, "poststop", out.poststop, hook);
}

void RuntimeReader::linux_devices(const JsonReader& in, Linux& out) {
    list(in, "devices", out.devices, [&](const JsonReader& item, Device& device) {
        required(item, "type", device.type);
        required(item, "path", device.path);
        // config-linux.md, Devices: required unless type is p.
        if (device.type != "p" && !device.type.empty()) {
            required(item, "major", device.major);
            required(item, "minor", device.minor);
        }
        value(item, "fileMode", device.file_mode);
        value(item, "uid", device.uid);
        value(item, "gid", device.gid);
    });
    objects(in, "netDevices", [&](const std::string& name, const JsonReader& item) {
        NetDevice& device = out.net_devices.emplace_back();
        device.host_name = name;
        value(item, "name", device.name);
    });
}

void RuntimeReader::linux_rest(const JsonReader& in, Linux& out) {
    object(in, "personality", [&](const JsonReader& item) {
        Personality& personality = out.personality.emplace();
        required(item, "domain", personality.domain);
        value(item, "flags", personality.flags);
    });
    object(in, "intelRdt", [&](const JsonReader& item) {
        IntelRdt& rdt = out.intel_rdt.emplace();
        value(item, "closID", rdt.clos_id);
        value(item, "schemata", rdt.schemata);
        value(item, "l3CacheSchema", rdt.l3_cache_schema);
        value(item, "memBwSchema", rdt.mem_bw_schema);
        value(item, "enableMonitoring", rdt.enable_monitoring);
    });
    object(in, "memoryPolicy", [&](const JsonReader& item) {
        MemoryPolicy& policy = out.memory_policy.emplace();
        required(item, "mode", policy.mode);
        value(item, "nodes", policy.nodes);
        value(item, "flags", policy.flags);
    });
    object(in, "seccomp",
           [&](const JsonReader& item) { out.seccomp = parse_seccomp_profile(item, errors); });
}

void RuntimeReader::linux_section(const JsonReader& in, Linux& out) {
    list(in, "namespaces", out.namespaces, [&](const JsonReader& item, Namespace& entry) {
        required(item, "type", entry.type);
        value(item, "path", entry.path);
    });
    id_mappings(in, "uidMappings", out.uid_mappings);
    id_mappings(in, "gidMappings", out.gid_mappings);
    objects(in, "timeOffsets", [&](const std::string& name, const JsonReader& item) {
        TimeOffset& offset = out.time_offsets.emplace_back();
        offset.clock = name;
        value(item, "secs", offset.secs);
        value(item, "nanosecs", offset.nanosecs);
    });
    linux_devices(in, out);
    value(in, "cgroupsPath", out.cgroups_path);
    object(in, "resources", [&](const JsonReader& item) { resources(item, out.resources); });
    string_map(in, "sysctl", out.sysctl);
    value(in, "rootfsPropagation", out.rootfs_propagation);
    value(in, "maskedPaths", out.masked_paths);
    value(in, "readonlyPaths", out.readonly_paths);
    value(in, "mountLabel", out.mount_label);
    linux_rest(in, out);
}

void RuntimeReader::config(const JsonReader& in, RuntimeConfig& out) {
    if (auto good = in.expect_object(); !good) {
        note(std::move(good));
        return;
    }
    required(in, "ociVersion", out.oci_version);
    object(in, "root", [&](const JsonReader& item) {
        Root& root = out.root.emplace();
        required(item, "path", root.path);
        value(item, "readonly", root.readonly);
    });
    object(in, "process", [&](const JsonReader& item) { process(item, out.process.emplace()); });
    value(in, "hostname", out.hostname);
    value(in, "domainname", out.domainname);
    list(in, "mounts", out.mounts,
         [&](const JsonReader& item, Mount& entry) { mount(item, entry); });
    object(in, "hooks", [&](const JsonReader& item) { hooks(item, out.hooks); });
    string_map(in, "annotations", out.annotations);
    object(in, "linux", [&](const JsonReader& item) { linux_section(item, out.linux_); });
}

namespace {

Error first_of(std::vector<Error>& errors) {
    Error first = std::move(errors.front());
    if (errors.size() > 1)
        first.hint += (first.hint.empty() ? "" : "; ") + std::to_string(errors.size() - 1) +
                      " more: `hull-runtime check` lists all";
    return first;
}

}  // namespace

namespace {

RuntimeConfig read_document(const Json& document, std::vector<Error>& errors) {
    RuntimeConfig config;
    RuntimeReader reader;
    reader.config(JsonReader{document, ""}, config);
    for (auto& error : reader.errors) {
        auto section =
            section_of(std::string_view{error.message}.substr(0, error.message.find(": ")));
        if (!section.empty()) error.message += " [" + std::string{section} + "]";
        errors.push_back(std::move(error));
    }
    return config;
}

bool has_null_seccomp(const Json& document) {
    const auto section = document.find("linux");
    if (section == document.end() || !section->is_object()) return false;
    const auto member = section->find("seccomp");
    return member != section->end() && member->is_null();
}

}  // namespace

RuntimeConfig parse_runtime_config(std::string_view text, std::string_view what,
                                   std::vector<Error>& errors) {
    auto document = parse_json(text, what);
    if (document) return read_document(*document, errors);
    errors.push_back(std::move(document).error());
    return {};
}

Result<RuntimeConfig> parse_runtime_config_without(std::string_view text, std::string_view what,
                                                   std::string_view seccomp) {
    const auto start = static_cast<size_t>(seccomp.data() - text.data());
    std::string rest{text.substr(0, start)};
    rest += "null";
    rest += text.substr(start + seccomp.size());
    const Json document = TRY(parse_json(rest, what));
    if (!document.is_object() || !has_null_seccomp(document))
        return fail(Errc::invalid, std::string{what} + ": linux.seccomp is elsewhere");
    std::vector<Error> errors;
    RuntimeConfig config = read_document(document, errors);
    if (!errors.empty()) return fail(first_of(errors));
    return config;
}

Result<RuntimeConfig> parse_runtime_config(std::string_view text, std::string_view what) {
    std::vector<Error> errors;
    RuntimeConfig config = parse_runtime_config(text, what, errors);
    if (!errors.empty()) return fail(first_of(errors));
    return config;
}

Result<std::string> read_runtime_config(const std::string& path) {
    auto text = read_file(path, 16U << 20U);
    if (!text && text.error().code == Errc::not_found)
        return fail(std::move(text).error().with_hint(
            "a bundle is a folder with a config.json; `hull-runtime spec` writes one"));
    return text;
}

Result<RuntimeConfig> load_runtime_config(const std::string& path) {
    return parse_runtime_config(TRY(read_runtime_config(path)), path);
}

Result<Process> parse_process(std::string_view text, std::string_view what) {
    Json document = TRY(parse_json(text, what));
    JsonReader in{document, "process"};
    TRY(in.expect_object());
    RuntimeReader reader;
    Process process;
    reader.process(in, process);
    if (!reader.errors.empty()) return fail(first_of(reader.errors));
    return process;
}

Result<Resources> parse_resources(std::string_view text, std::string_view what) {
    Json document = TRY(parse_json(text, what));
    JsonReader in{document, "resources"};
    TRY(in.expect_object());
    RuntimeReader reader;
    Resources resources;
    reader.resources(in, resources);
    if (!reader.errors.empty()) return fail(first_of(reader.errors));
    return resources;
}

}  // namespace hull::spec
