#include "spec/runtime_check.hpp"

#include <set>

#include "spec/runtime_rules.hpp"

namespace hull::spec {
namespace {

std::string at(std::string_view list, size_t index) {
    return std::string{list} + "[" + std::to_string(index) + "]";
}

/// "1.2.3", "1.0.2-dev", "1.3.0+build": semver.org, item 2, 9 and 10.
bool is_semantic_version(std::string_view text) {
    size_t end = text.find_first_of("-+");
    auto numbers = split(text.substr(0, end), '.');
    if (numbers.size() != 3 || end == text.size() - 1) return false;
    return std::all_of(numbers.begin(), numbers.end(), [](std::string_view number) {
        return parse_number<uint32_t>(number).has_value() &&
               (number.size() == 1 || number[0] != '0');
    });
}

}  // namespace

std::string Violation::to_string() const {
    std::string out = path + ": ";
    if (!value.empty()) out += value + ": ";
    out += rule + " [" + section + "]";
    if (!remedy.empty()) out += " (" + remedy + ")";
    return out;
}

void RuntimeRules::one_of(std::string path, std::string_view value,
                          std::initializer_list<std::string_view> known, std::string_view section) {
    std::vector<std::string> names(known.begin(), known.end());
    if (std::find(names.begin(), names.end(), value) != names.end()) return;
    auto near = closest_match(value, names);
    found.push_back({.path = std::move(path),
                     .value = quote(value),
                     .rule = "must be one of " + join(names, ", "),
                     .section = std::string{section},
                     .remedy = near ? "did you mean " + *near + "?" : ""});
}

void RuntimeRules::version(const RuntimeConfig& config) {
    constexpr std::string_view kSection = "config.md, Specification version";
    if (!is_semantic_version(config.oci_version))
        add("ociVersion", config.oci_version.empty() ? " " : config.oci_version,
            "must be a semantic version", kSection, "write \"1.3.0\"");
    else if (!config.oci_version.starts_with("1."))
        add("ociVersion", config.oci_version, "must be a version 1 of the specification", kSection,
            "write \"1.3.0\"");
}

void RuntimeRules::root(const RuntimeConfig& config) {
    constexpr std::string_view kSection = "config.md, Root";
    if (!config.root)
        add("root", "", "is missing", kSection, "write {\"path\": \"rootfs\"}");
    else if (config.root->path.empty())
        add("root.path", "", "must not be empty", kSection,
            "name the folder with the root file system, relative to the bundle");
}

void RuntimeRules::mount_mappings(const Mount& mount, const std::string& path,
                                  const Linux& section) {
    constexpr std::string_view kSection = "config.md, POSIX-platform Mounts";
    if (mount.uid_mappings.empty() != mount.gid_mappings.empty())
        add(path + (mount.uid_mappings.empty() ? ".uidMappings" : ".gidMappings"), "",
            "uidMappings and gidMappings must be given together", kSection, "give both or none");
    mapping_list(mount.uid_mappings, path + ".uidMappings");
    mapping_list(mount.gid_mappings, path + ".gidMappings");
    auto has = [&](std::string_view option) {
        return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
    };
    bool wants_map = has("idmap") || has("ridmap");
    bool has_user_namespace = section.find_namespace("user") != nullptr;
    if (wants_map && mount.uid_mappings.empty() && !has_user_namespace)
        add(path + ".options", has("idmap") ? "idmap" : "ridmap",
            "needs uidMappings and gidMappings, or a user namespace whose maps it takes", kSection,
            "give the mount its mappings");
}

void RuntimeRules::mounts(const RuntimeConfig& config) {
    constexpr std::string_view kSection = "config.md, Mounts";
    for (size_t i = 0; i < config.mounts.size(); ++i) {
        const Mount& mount = config.mounts[i];
        std::string path = at("mounts", i);
        // A relative one is taken as below /, for compatibility with old tools.
        if (mount.destination.empty())
            add(path + ".destination", "", "must not be empty", kSection,
                "write an absolute path inside the container");
        bool is_bind = mount.type == "bind";
        bool is_remount = false;
        for (const auto& option : mount.options) {
            is_bind = is_bind || option == "bind" || option == "rbind";
            is_remount = is_remount || option == "remount";
        }
        if (is_bind && mount.source.empty() && !is_remount)
            add(path + ".source", "", "a bind mount must have a source", kSection,
                "name a file or folder of the host");
        if (!is_bind && !is_remount && mount.type.empty())
            add(path + ".type", "", "is missing, and the mount is no bind mount", kSection,
                "name the file system, as \"tmpfs\", or add the option bind");
        mount_mappings(mount, path, config.linux_);
    }
    if (!config.mounts.empty() && config.linux_.find_namespace("mount") == nullptr)
        add("mounts", "", "would change the mounts of the runtime's own namespace",
            "config-linux.md, Namespaces", "add {\"type\": \"mount\"} to linux.namespaces");
}

void RuntimeRules::hooks(const Hooks& hooks) {
    constexpr std::string_view kSection = "config.md, POSIX-platform Hooks";
    auto check = [&](std::string_view name, const std::vector<Hook>& list) {
        for (size_t i = 0; i < list.size(); ++i) {
            std::string path = at(std::string{"hooks."} + std::string{name}, i);
            if (!list[i].path.starts_with('/'))
                add(path + ".path", list[i].path.empty() ? " " : list[i].path,
                    "must be an absolute path", kSection, "write the whole path of the program");
            if (list[i].timeout && *list[i].timeout <= 0)
                add(path + ".timeout", std::to_string(*list[i].timeout),
                    "must be greater than zero", kSection, "give seconds, or leave it out");
            for (size_t k = 0; k < list[i].env.size(); ++k)
                if (list[i].env[k].find('=') == std::string::npos)
                    add(at(path + ".env", k), list[i].env[k], "must be of the form NAME=value",
                        kSection, "");
        }
    };
    check("prestart", hooks.prestart);
    check("createRuntime", hooks.create_runtime);
    check("createContainer", hooks.create_container);
    check("startContainer", hooks.start_container);
    check("poststart", hooks.poststart);
    check("poststop", hooks.poststop);
}

void RuntimeRules::names(const RuntimeConfig& config) {
    const Linux& section = config.linux_;
    bool has_uts = section.find_namespace("uts") != nullptr;
    auto check = [&](std::string_view field, std::string_view name, std::string_view heading) {
        if (name.empty()) return;
        if (!has_uts)
            add(std::string{field}, name, "needs a UTS namespace: the host would be renamed",
                heading, "add {\"type\": \"uts\"} to linux.namespaces");
        if (name.size() > 64)
            add(std::string{field}, name, "must be at most 64 bytes long", heading,
                "shorten it: uname(2)");
    };
    check("hostname", config.hostname, "config.md, Hostname");
    check("domainname", config.domainname, "config.md, Domainname");
    for (const auto& [name, value] : config.annotations)
        if (name.empty())
            add("annotations", " ", "keys must not be empty", "config.md, Annotations", "");
}

void RuntimeRules::config(const RuntimeConfig& config) {
    version(config);
    root(config);
    mounts(config);
    if (config.process)
        process(*config.process);
    else
        add("process", "", "is missing", "config.md, Process",
            "write {\"args\": [\"sh\"], \"cwd\": \"/\"}: no container is made without one");
    names(config);
    hooks(config.hooks);
    const Linux& section = config.linux_;
    namespaces(section);
    mappings(section);
    time_offsets(section);
    devices(section);
    net_devices(section);
    resources(section.resources);
    sysctl(section);
    paths(section);
    if (section.seccomp) seccomp(config);
    if (section.memory_policy) memory_policy(*section.memory_policy);
}

std::vector<Violation> check_runtime_config(const RuntimeConfig& config) {
    RuntimeRules rules;
    rules.config(config);
    return std::move(rules.found);
}

std::vector<Violation> check_process(const Process& process) {
    RuntimeRules rules;
    rules.process(process);
    return std::move(rules.found);
}

std::vector<Violation> check_resources(const Resources& resources) {
    RuntimeRules rules;
    rules.resources(resources);
    return std::move(rules.found);
}

Result<void> refuse_violations(const std::vector<Violation>& violations) {
    if (violations.empty()) return {};
    Violation first = violations.front();
    std::string hint = std::move(first.remedy);
    first.remedy.clear();
    if (violations.size() > 1)
        hint += (hint.empty() ? "" : "; ") + std::to_string(violations.size() - 1) +
                " more: `hull-runtime check` lists all";
    return fail(Errc::invalid, first.to_string(), std::move(hint));
}

}  // namespace hull::spec
