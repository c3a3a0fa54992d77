#include "base/json_io.hpp"
#include "base/text.hpp"
#include "monitor/settings.hpp"

namespace hull::monitor {
namespace {

Json id_map_json(const kernel::IdMap& map) {
    Json out = Json::array();
    for (const auto& range : map)
        out.push_back({range.inside, range.outside, range.count});
    return out;
}

Result<kernel::IdMap> read_id_map(const JsonReader& reader, std::string_view key) {
    kernel::IdMap out;
    auto member = reader.find(key);
    if (!member) return out;
    for (const auto& range : TRY(member->elements())) {
        auto numbers = TRY(range.elements());
        if (numbers.size() != 3) return range.refuse("must be [inside, outside, count]");
        out.push_back({TRY(numbers[0].as_uint32()), TRY(numbers[1].as_uint32()),
                       TRY(numbers[2].as_uint32())});
    }
    return out;
}

Json rootfs_json(const RootfsSettings& rootfs) {
    return {{"lowers", rootfs.lowers},
            {"upper", rootfs.upper},
            {"work", rootfs.work},
            {"copy", rootfs.copy},
            {"target", rootfs.target},
            {"user_xattr", rootfs.user_xattr},
            {"allow_suid", rootfs.allow_suid},
            {"volatile", rootfs.is_volatile},
            {"users", id_map_json(rootfs.mapping.users)},
            {"groups", id_map_json(rootfs.mapping.groups)}};
}

Result<RootfsSettings> read_rootfs(const JsonReader& reader) {
    RootfsSettings out;
    TRY(reader.read("lowers", out.lowers));
    TRY(reader.read("upper", out.upper));
    TRY(reader.read("work", out.work));
    TRY(reader.read("copy", out.copy));
    TRY(reader.read("target", out.target));
    TRY(reader.read("user_xattr", out.user_xattr));
    TRY(reader.read("allow_suid", out.allow_suid));
    TRY(reader.read("volatile", out.is_volatile));
    out.mapping.users = TRY(read_id_map(reader, "users"));
    out.mapping.groups = TRY(read_id_map(reader, "groups"));
    return out;
}

Json etc_json(const EtcFiles& etc) {
    Json files = Json::array();
    for (const auto& file : etc.files)
        files.push_back(
            {{"name", file.name}, {"content", file.content}, {"copy_of", file.copy_of}});
    return {{"directory", etc.directory}, {"owner", etc.owner}, {"files", std::move(files)}};
}

Result<EtcFiles> read_etc(const JsonReader& reader) {
    EtcFiles out;
    TRY(reader.read("directory", out.directory));
    TRY(reader.read("owner", out.owner));
    if (auto files = reader.find("files")) {
        for (const auto& element : TRY(files->elements())) {
            EtcFile& file = out.files.emplace_back();
            TRY(element.read("name", file.name));
            TRY(element.read("content", file.content));
            TRY(element.read("copy_of", file.copy_of));
        }
    }
    return out;
}

}  // namespace

std::string format_rootfs(const RootfsSettings& rootfs) {
    return dump_json(rootfs_json(rootfs));
}

Result<RootfsSettings> parse_rootfs(std::string_view text, std::string_view what) {
    Json json = TRY(parse_json(text, what));
    return read_rootfs(JsonReader(json, std::string(what)));
}

std::string format_settings(const MonitorSettings& settings) {
    Json out = {{"id", settings.id},
                {"directory", settings.directory},
                {"runtime", settings.runtime},
                {"own_runtime", settings.own_runtime},
                {"exec_container", settings.exec_container},
                {"join_user_namespace_of", settings.join_user_namespace_of},
                {"rootless", settings.rootless},
                {"terminal", settings.terminal},
                {"keep_stdin", settings.keep_stdin},
                {"stdio_uid", settings.stdio_uid},
                {"stdio_gid", settings.stdio_gid},
                {"hold_start", settings.hold_start},
                {"watch_oom", settings.watch_oom},
                {"log_path", settings.log.path},
                {"log_max_size", settings.log.max_size},
                {"log_max_files", settings.log.max_files},
                {"on_exit", settings.on_exit},
                {"remove_directory", settings.remove_directory}};
    if (settings.rootfs) out["rootfs"] = rootfs_json(*settings.rootfs);
    Json seeds = Json::array();
    for (const auto& seed : settings.seeds)
        seeds.push_back({{"volume", seed.volume}, {"path", seed.path}});
    out["seeds"] = std::move(seeds);
    if (!settings.etc.directory.empty()) out["etc"] = etc_json(settings.etc);
    return dump_json(out);
}

Result<MonitorSettings> parse_settings(std::string_view text, std::string_view what) {
    Json json = TRY(parse_json(text, what));
    JsonReader reader(json, std::string(what));
    MonitorSettings out;
    TRY(reader.read("id", out.id));
    TRY(reader.read("directory", out.directory));
    TRY(reader.read("runtime", out.runtime));
    TRY(reader.read("own_runtime", out.own_runtime));
    TRY(reader.read("exec_container", out.exec_container));
    TRY(reader.read("join_user_namespace_of", out.join_user_namespace_of));
    TRY(reader.read("rootless", out.rootless));
    TRY(reader.read("terminal", out.terminal));
    TRY(reader.read("keep_stdin", out.keep_stdin));
    TRY(reader.read("stdio_uid", out.stdio_uid));
    TRY(reader.read("stdio_gid", out.stdio_gid));
    TRY(reader.read("hold_start", out.hold_start));
    TRY(reader.read("watch_oom", out.watch_oom));
    TRY(reader.read("log_path", out.log.path));
    TRY(reader.read("log_max_size", out.log.max_size));
    TRY(reader.read("log_max_files", out.log.max_files));
    TRY(reader.read("on_exit", out.on_exit));
    TRY(reader.read("remove_directory", out.remove_directory));
    if (auto rootfs = reader.find("rootfs")) out.rootfs = TRY(read_rootfs(*rootfs));
    if (auto etc = reader.find("etc")) out.etc = TRY(read_etc(*etc));
    if (auto seeds = reader.find("seeds")) {
        for (const auto& element : TRY(seeds->elements())) {
            VolumeSeed seed;
            TRY(element.read("volume", seed.volume));
            TRY(element.read("path", seed.path));
            out.seeds.push_back(std::move(seed));
        }
    }
    if (out.id.empty() || out.directory.empty() || out.runtime.empty())
        return reader.refuse("id, directory and runtime are needed");
    return out;
}

std::string last_runtime_error(std::string_view log, std::string_view fallback) {
    std::string found(fallback);
    for (auto line : split_lines(log)) {
        if (trim(line).empty()) continue;
        auto json = parse_json(line, "runtime log");
        if (!json) continue;
        JsonReader reader(*json, "runtime log");
        std::string level;
        std::string message;
        if (!reader.read("level", level) || !reader.read("msg", message)) continue;
        if ((level == "error" || level == "fatal") && !message.empty()) found = message;
    }
    return found;
}

}  // namespace hull::monitor
