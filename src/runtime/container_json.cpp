#include "base/json_io.hpp"
#include "base/json_writer.hpp"
#include "runtime/container.hpp"

namespace hull::runtime {
namespace {

void write_hooks(JsonWriter& out, std::string_view name, const std::vector<spec::Hook>& hooks) {
    if (hooks.empty()) return;
    out.begin_array(name);
    for (const auto& hook : hooks) {
        out.begin_object();
        out.field("path", hook.path);
        out.field("args", hook.args);
        out.field("env", hook.env);
        if (hook.timeout) out.field("timeout", *hook.timeout);
        out.end_object();
    }
    out.end_array();
}

Result<std::vector<spec::Hook>> read_hooks(const JsonReader& in, std::string_view name) {
    std::vector<spec::Hook> hooks;
    auto list = in.find(name);
    if (!list) return hooks;
    for (const auto& item : TRY(list->elements())) {
        spec::Hook& hook = hooks.emplace_back();
        TRY(item.read("path", hook.path));
        TRY(item.read("args", hook.args));
        TRY(item.read("env", hook.env));
        TRY(item.read("timeout", hook.timeout));
    }
    return hooks;
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

void write_pairs(JsonWriter& out, std::string_view name, const Pairs& pairs) {
    if (pairs.empty()) return;
    out.begin_object(name);
    for (const auto& [key, value] : pairs)
        out.field(key, value);
    out.end_object();
}

Result<Pairs> read_pairs(const JsonReader& in, std::string_view name) {
    Pairs pairs;
    auto map = in.find(name);
    if (!map) return pairs;
    for (const auto& [key, value] : TRY(map->members()))
        pairs.emplace_back(key, TRY(value.as_string()));
    return pairs;
}

Result<ContainerState> read_state(const JsonReader& in) {
    ContainerState state;
    TRY(in.read("id", state.id));
    TRY(in.read("ociVersion", state.oci_version));
    TRY(in.read("bundle", state.bundle));
    TRY(in.read("rootfs", state.rootfs));
    TRY(in.read("created", state.created));
    TRY(in.read("bootId", state.boot_id));
    TRY(in.read("pid", state.process.pid));
    TRY(in.read("pidStartTime", state.process.start_time));
    TRY(in.read("cgroupPath", state.cgroup_path));
    state.cgroups.v1 = TRY(read_pairs(in, "cgroupsV1"));
    TRY(in.read("cgroupV2", state.cgroups.v2));
    TRY(in.read("cgroupsArePlanned", state.cgroups_are_planned));
    TRY(in.read("resctrlDirectory", state.resctrl.directory));
    TRY(in.read("resctrlIsOwn", state.resctrl.is_own));
    TRY(in.read("resctrlMonitorDirectory", state.resctrl.monitor_directory));
    TRY(in.read("systemdUnit", state.systemd_unit));
    TRY(in.read("rootless", state.is_rootless));
    TRY(in.read("keepsKeyring", state.keeps_keyring));
    TRY(in.read("ownsPidNamespace", state.owns_pid_namespace));
    state.annotations = TRY(read_pairs(in, "annotations"));
    state.poststart_hooks = TRY(read_hooks(in, "poststart"));
    state.poststop_hooks = TRY(read_hooks(in, "poststop"));
    return state;
}

}  // namespace

std::string format_state(const ContainerState& state) {
    JsonWriter out;
    out.begin_object();
    out.field("ociVersion", state.oci_version);
    out.field("id", state.id);
    out.field("bundle", state.bundle);
    out.field("rootfs", state.rootfs);
    out.field("created", state.created);
    out.field("bootId", state.boot_id);
    out.field("pid", state.process.pid);
    out.field("pidStartTime", state.process.start_time);
    out.optional_field("cgroupPath", state.cgroup_path);
    write_pairs(out, "cgroupsV1", state.cgroups.v1);
    out.optional_field("cgroupV2", state.cgroups.v2);
    if (state.cgroups_are_planned) out.field("cgroupsArePlanned", true);
    out.optional_field("resctrlDirectory", state.resctrl.directory);
    if (state.resctrl.is_own) out.field("resctrlIsOwn", true);
    out.optional_field("resctrlMonitorDirectory", state.resctrl.monitor_directory);
    out.optional_field("systemdUnit", state.systemd_unit);
    out.field("rootless", state.is_rootless);
    if (state.keeps_keyring) out.field("keepsKeyring", true);
    out.field("ownsPidNamespace", state.owns_pid_namespace);
    write_pairs(out, "annotations", state.annotations);
    write_hooks(out, "poststart", state.poststart_hooks);
    write_hooks(out, "poststop", state.poststop_hooks);
    out.end_object();
    return out.take() + "\n";
}

Result<ContainerState> parse_state(std::string_view text, std::string_view what) {
    auto document = parse_json(text, what);
    if (document) {
        JsonReader in{*document, ""};
        auto state = read_state(in);
        if (state && !state->id.empty()) return state;
        if (state) return fail(Errc::corrupt, std::string{what} + ": holds no container id");
        return fail(Errc::corrupt, std::string{what} + ": " + state.error().message);
    }
    Error error = std::move(document).error();
    error.code = Errc::corrupt;
    return fail(std::move(error));
}

std::string format_oci_state(const ContainerState& state, Status status, pid_t pid) {
    JsonWriter out;
    out.begin_object();
    out.field("ociVersion", state.oci_version);
    out.field("id", state.id);
    out.field("status", status_name(status));
    if (pid > 0) out.field("pid", pid);
    out.field("bundle", state.bundle);
    write_pairs(out, "annotations", state.annotations);
    out.end_object();
    return out.take();
}

}  // namespace hull::runtime
