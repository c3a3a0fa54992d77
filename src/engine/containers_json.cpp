#include <array>

#include "base/json_io.hpp"
#include "base/text.hpp"
#include "engine/containers.hpp"

namespace hull::engine {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr std::array<std::string_view, 3> kMountKinds = {"bind", "volume", "tmpfs"};

Json pairs_json(const Pairs& pairs) {
    Json out = Json::object();
    for (const auto& [key, value] : pairs)
        out[key] = value;
    return out;
}

Result<void> read_pairs(const JsonReader& reader, std::string_view key, Pairs& out) {
    auto member = reader.find(key);
    if (!member) return {};
    for (const auto& [name, value] : TRY(member->members()))
        out.emplace_back(name, TRY(value.as_string()));
    return {};
}

Json mount_json(const MountConfig& mount) {
    Json out = {{"kind", kMountKinds.at(static_cast<size_t>(mount.kind))},
                {"source", mount.source},
                {"target", mount.target},
                {"read_only", mount.read_only},
                {"recursive", mount.recursive},
                {"create_source", mount.create_source},
                {"no_copy", mount.no_copy},
                {"anonymous", mount.anonymous},
                {"propagation", mount.propagation},
                {"tmpfs_size", mount.tmpfs_size}};
    if (mount.tmpfs_mode) out["tmpfs_mode"] = *mount.tmpfs_mode;
    return out;
}

Result<MountConfig> read_mount(const JsonReader& reader) {
    MountConfig out;
    std::string kind;
    TRY(reader.read("kind", kind));
    for (size_t i = 0; i < kMountKinds.size(); i++)
        if (kMountKinds.at(i) == kind) out.kind = static_cast<MountKind>(i);
    TRY(reader.read("source", out.source));
    TRY(reader.read("target", out.target));
    TRY(reader.read("read_only", out.read_only));
    TRY(reader.read("recursive", out.recursive));
    TRY(reader.read("create_source", out.create_source));
    TRY(reader.read("no_copy", out.no_copy));
    TRY(reader.read("anonymous", out.anonymous));
    TRY(reader.read("propagation", out.propagation));
    TRY(reader.read("tmpfs_size", out.tmpfs_size));
    TRY(reader.read("tmpfs_mode", out.tmpfs_mode));
    return out;
}

/// Every member once, for both directions.
template <typename Visitor>
Result<void> visit_members(ContainerConfig& config, Visitor&& visit) {
    TRY(visit("entrypoint", config.entrypoint));
    TRY(visit("command", config.command));
    TRY(visit("env", config.env));
    TRY(visit("working_dir", config.working_dir));
    TRY(visit("user", config.user));
    TRY(visit("extra_groups", config.extra_groups));
    TRY(visit("hostname", config.hostname));
    TRY(visit("terminal", config.terminal));
    TRY(visit("open_stdin", config.open_stdin));
    TRY(visit("stop_signal", config.stop_signal));
    TRY(visit("stop_timeout", config.stop_timeout));
    TRY(visit("read_only", config.read_only));
    TRY(visit("shm_size", config.shm_size));
    TRY(visit("memory", config.memory));
    TRY(visit("memory_swap", config.memory_swap));
    TRY(visit("nano_cpus", config.nano_cpus));
    TRY(visit("cpu_shares", config.cpu_shares));
    TRY(visit("cpuset_cpus", config.cpuset_cpus));
    TRY(visit("pids_limit", config.pids_limit));
    TRY(visit("privileged", config.privileged));
    TRY(visit("cap_add", config.cap_add));
    TRY(visit("cap_drop", config.cap_drop));
    TRY(visit("no_new_privileges", config.no_new_privileges));
    TRY(visit("seccomp_unconfined", config.seccomp_unconfined));
    TRY(visit("seccomp_profile", config.seccomp_profile));
    TRY(visit("apparmor_profile", config.apparmor_profile));
    TRY(visit("runtime", config.runtime));
    TRY(visit("log_disabled", config.log_disabled));
    TRY(visit("log_max_size", config.log_max_size));
    TRY(visit("log_max_files", config.log_max_files));
    TRY(visit("allow_engine_socket", config.allow_engine_socket));
    TRY(visit("warnings", config.warnings));
    return {};
}

struct Writer {
    Json& out;
    template <typename T>
    Result<void> operator()(const char* key, const T& value) {
        out[key] = value;
        return {};
    }
    template <typename T>
    Result<void> operator()(const char* key, const std::optional<T>& value) {
        if (value) out[key] = *value;
        return {};
    }
};

struct Reader {
    const JsonReader& in;
    template <typename T>
    Result<void> operator()(const char* key, T& value) {
        return in.read(key, value);
    }
};

Result<ContainerConfig> read_config(const JsonReader& reader) {
    ContainerConfig out;
    TRY(visit_members(out, Reader{reader}));
    TRY(read_pairs(reader, "labels", out.labels));
    TRY(read_pairs(reader, "sysctls", out.sysctls));
    std::string network;
    TRY(reader.read("network", network));
    out.network = network == "host" ? NetworkMode::host : NetworkMode::none;
    if (auto mounts = reader.find("mounts"))
        for (const auto& mount : TRY(mounts->elements()))
            out.mounts.push_back(TRY(read_mount(mount)));
    if (auto ulimits = reader.find("ulimits")) {
        for (const auto& element : TRY(ulimits->elements())) {
            Ulimit limit;
            TRY(element.read("name", limit.name));
            TRY(element.read("soft", limit.soft));
            TRY(element.read("hard", limit.hard));
            out.ulimits.push_back(std::move(limit));
        }
    }
    return out;
}

}  // namespace

std::string format_config(const ContainerConfig& config) {
    Json out;
    ContainerConfig copy = config;
    (void)visit_members(copy, Writer{out});
    out["labels"] = pairs_json(config.labels);
    out["sysctls"] = pairs_json(config.sysctls);
    out["network"] = config.network == NetworkMode::host ? "host" : "none";
    out["mounts"] = Json::array();
    for (const auto& mount : config.mounts)
        out["mounts"].push_back(mount_json(mount));
    out["ulimits"] = Json::array();
    for (const auto& limit : config.ulimits)
        out["ulimits"].push_back(
            {{"name", limit.name}, {"soft", limit.soft}, {"hard", limit.hard}});
    return dump_json(out);
}

Result<ContainerConfig> parse_config(std::string_view json) {
    auto parsed = parse_json(json, "container configuration");
    if (!parsed) return fail(Errc::corrupt, parsed.error().message);
    auto config = read_config(JsonReader(*parsed, "container configuration"));
    if (!config) return fail(Errc::corrupt, config.error().message);
    return config;
}

}  // namespace hull::engine
