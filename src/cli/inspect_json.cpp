// inspect: a container, image or volume as docker's JSON, with what hull knows besides.

#include "base/json_io.hpp"
#include "base/text.hpp"
#include "cli/output.hpp"
#include "cli/verbs.hpp"
#include "engine/apparmor.hpp"
#include "engine/bundle.hpp"
#include "engine/engine.hpp"
#include "kernel/landlock.hpp"
#include "spec/reference.hpp"

namespace hull::cli {

using engine::ContainerView;
using engine::Engine;

namespace {

constexpr const char* kNever = "0001-01-01T00:00:00Z";

Json pairs_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
    Json out = Json::object();
    for (const auto& [name, value] : pairs)
        out[name] = value;
    return out;
}

Json state_json(const ContainerView& view) {
    return {{"Status", view.state},
            {"Running", view.state == "running"},
            {"Paused", false},
            {"Restarting", false},
            {"OOMKilled", view.oom_killed},
            {"Dead", false},
            {"Pid", view.pid},
            {"ExitCode", view.exit_code},
            {"Error", view.error},
            {"StartedAt", view.started_at.empty() ? kNever : view.started_at},
            {"FinishedAt", view.finished_at.empty() ? kNever : view.finished_at}};
}

Json mounts_json(const Engine& engine, const ContainerView& view) {
    Json out = Json::array();
    for (const auto& mount : view.record.config.mounts) {
        bool is_volume = mount.kind == engine::MountKind::volume;
        Json one = {
            {"Type", is_volume                               ? "volume"
                     : mount.kind == engine::MountKind::bind ? "bind"
                                                             : "tmpfs"},
            {"Source", is_volume ? engine.settings().volume_path(mount.source) : mount.source},
            {"Destination", mount.target},
            {"RW", !mount.read_only},
            {"Mode", mount.read_only ? "ro" : ""},
            {"Propagation", mount.propagation.empty() ? "rprivate" : mount.propagation}};
        if (is_volume) one["Name"] = mount.source;
        out.push_back(std::move(one));
    }
    return out;
}

Json host_config_json(const ContainerView& view) {
    const auto& config = view.record.config;
    Json security = Json::array();
    if (config.no_new_privileges) security.push_back("no-new-privileges");
    if (config.seccomp_unconfined) security.push_back("seccomp=unconfined");
    if (!config.seccomp_profile.empty()) security.push_back("seccomp=" + config.seccomp_profile);
    if (!config.apparmor_profile.empty()) security.push_back("apparmor=" + config.apparmor_profile);
    Json ulimits = Json::array();
    for (const auto& limit : config.ulimits)
        ulimits.push_back({{"Name", limit.name}, {"Soft", limit.soft}, {"Hard", limit.hard}});
    return {{"NetworkMode", config.network == engine::NetworkMode::host ? "host" : "none"},
            {"AutoRemove", view.record.auto_remove},
            {"Privileged", config.privileged},
            {"ReadonlyRootfs", config.read_only},
            {"CapAdd", config.cap_add},
            {"CapDrop", config.cap_drop},
            {"SecurityOpt", security},
            {"Memory", config.memory},
            {"MemorySwap", config.memory_swap.value_or(
                               config.memory > 0 ? 2 * static_cast<int64_t>(config.memory) : 0)},
            {"NanoCpus", config.nano_cpus},
            {"CpuShares", config.cpu_shares.value_or(0)},
            {"CpusetCpus", config.cpuset_cpus},
            {"PidsLimit", config.pids_limit},
            {"ShmSize", config.shm_size},
            {"Ulimits", ulimits},
            {"Sysctls", pairs_json(config.sysctls)},
            {"Runtime", config.runtime.empty() ? "hull-runtime" : config.runtime},
            {"LogConfig",
             {{"Type", config.log_disabled ? "none" : "json-file"}, {"Config", Json::object()}}}};
}

/// Which mandatory layer applies, line 20 of the threat model; none: a weakening that was asked
/// for, or a kernel that has none.
Json mandatory_layers(const ContainerView& view) {
    const auto& config = view.record.config;
    Json out = Json::array();
    if (auto profile = engine::effective_apparmor_profile(config); !profile.empty())
        out.push_back("apparmor: " + profile);
    if (engine::applies_landlock(config) && kernel::landlock_abi() >= engine::kLandlockScopesAbi)
        out.push_back("landlock: signals and abstract sockets stay inside");
    return out;
}

Json container_json(const Engine& engine, const ContainerView& view) {
    const auto& record = view.record;
    const auto& config = record.config;
    auto args = engine::process_args(config);
    Json out = {
        {"Id", record.id},
        {"Created", record.created_at},
        {"Path", args.empty() ? "" : args.front()},
        {"Args", std::vector<std::string>(args.begin() + (args.empty() ? 0 : 1), args.end())},
        {"State", state_json(view)},
        {"Image", record.image_id},
        {"ImageDigest", record.image_digest},
        {"Name", "/" + record.name},
        {"LogPath", config.log_disabled ? "" : engine.settings().log_path(record.id)},
        {"Driver", "overlay"},
        {"HostConfig", host_config_json(view)},
        {"Mounts", mounts_json(engine, view)},
        {"AppArmorProfile", engine::effective_apparmor_profile(config)},
        {"MandatoryLayers", mandatory_layers(view)},
        {"Warnings", config.warnings}};
    out["IdRange"] = {{"First", record.range.first}, {"Count", record.range.count}};
    out["Config"] = {
        {"Hostname", config.hostname.empty() ? record.id.substr(0, 12) : config.hostname},
        {"User", config.user},
        {"Tty", config.terminal},
        {"OpenStdin", config.open_stdin},
        {"Env", config.env},
        {"Cmd", config.command},
        {"Entrypoint", config.entrypoint},
        {"Image", record.image},
        {"WorkingDir", config.working_dir},
        {"Labels", pairs_json(config.labels)},
        {"StopSignal", config.stop_signal.empty() ? "SIGTERM" : config.stop_signal},
        {"StopTimeout", config.stop_timeout}};
    return out;
}

Json image_json(const store::Image& image) {
    const auto& config = image.config.config;
    Json tags = Json::array();
    for (const auto& name : image.names) {
        auto reference = spec::parse_reference(name);
        tags.push_back(reference ? reference->familiar() : name);
    }
    Json layers = Json::array();
    for (const auto& diff_id : image.config.diff_ids)
        layers.push_back(diff_id.to_string());
    Json ports = Json::object();
    for (const auto& port : config.exposed_ports)
        ports[port] = Json::object();
    Json volumes = Json::object();
    for (const auto& volume : config.volumes)
        volumes[volume] = Json::object();
    return {{"Id", image.id.to_string()},
            {"RepoTags", tags},
            {"RepoDigests", Json::array()},
            {"Digest", image.digest.to_string()},
            {"Created", image.config.created},
            {"Author", image.config.author},
            {"Architecture", image.config.platform.architecture},
            {"Os", image.config.platform.os},
            {"Size", image.size},
            {"RootFS", {{"Type", "layers"}, {"Layers", layers}}},
            {"Config",
             {{"User", config.user},
              {"Env", config.env},
              {"Cmd", config.cmd},
              {"Entrypoint", config.entrypoint},
              {"WorkingDir", config.working_dir},
              {"ExposedPorts", ports},
              {"Volumes", volumes},
              {"Labels", config.labels},
              {"StopSignal", config.stop_signal}}}};
}

Result<Json> inspect_one(Engine& engine, const std::string& name, const std::string& type) {
    if (type != "image") {
        auto view = engine.view(name);
        if (view) return container_json(engine, *view);
        if (view.error().code != Errc::not_found || type == "container")
            return fail(std::move(view).error());
    }
    auto image = store::find_image(*TRY(engine.store()), name);
    if (image) return image_json(*image);
    if (type == "image") return fail(std::move(image).error());
    return fail(Errc::not_found, "no container or image is called " + name,
                "hull ps -a and hull images list them");
}

Result<Json> inspect_volume(Engine& engine, const std::string& name) {
    auto volume = TRY(engine.database().get_volume(name));
    if (!volume) return fail(Errc::not_found, "no such volume: " + name, "hull volume ls");
    return Json{{"Name", volume->name},
                {"CreatedAt", volume->created_at},
                {"Driver", "local"},
                {"Mountpoint", engine.settings().volume_path(volume->name)},
                {"Anonymous", volume->anonymous}};
}

}  // namespace

int cmd_inspect(const GlobalWords& global, const std::string& verb, const NamesWords& words) {
    auto engine = Engine::open(global.settings);
    if (!engine) {
        print_error(engine.error());
        return 1;
    }
    int code = 0;
    Json all = Json::array();
    for (const auto& name : words.names) {
        auto found = verb == "volume inspect" ? inspect_volume(*engine, name)
                                              : inspect_one(*engine, name, words.type);
        if (found && !words.format.empty()) {
            auto text = format_json_template(dump_json(*found), words.format);
            if (text) {
                print(*text + "\n");
                continue;
            }
            found = fail(std::move(text).error());
        }
        if (found) {
            all.push_back(std::move(*found));
        } else {
            print_error(found.error());
            code = 1;
        }
    }
    if (words.format.empty()) print(dump_json(all, 4) + "\n");
    return code;
}

}  // namespace hull::cli
