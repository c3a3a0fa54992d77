#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/json_writer.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "runtime/check_bundle.hpp"
#include "runtime/commands.hpp"
#include "runtime/container.hpp"
#include "runtime/features.hpp"
#include "spec/runtime_defaults.hpp"
#include "spec/runtime_json.hpp"

namespace hull::runtime {
namespace {

constexpr std::span<const OptionSpec> kNoOptions;
constexpr OptionSpec kListOptions[] = {
    {"format", 'f', "FORMAT", "table or json"},
    {"quiet", 'q', "", "print ids only"},
};
constexpr OptionSpec kSpecOptions[] = {
    {"bundle", 'b', "DIR", "write DIR/config.json (default: the current folder)"},
    {"file", 'f', "FILE", "write FILE instead of DIR/config.json"},
    {"rootless", 0, "", "for an ordinary user: a user namespace, no limits"},
};
constexpr OptionSpec kCheckOptions[] = {
    {"bundle", 'b', "DIR", "the bundle (default: the current folder)"},
    {"config", 'f', "FILE", "check FILE instead of DIR/config.json"},
};

/// What `state` and `list` tell of one container.
struct Report {
    ContainerState state;
    Status status = Status::stopped;
    std::string owner;

    pid_t pid() const { return status == Status::stopped ? 0 : state.process.pid; }
};

/// Without NSS: users of LDAP and the like are shown as #UID.
std::string user_name(uid_t uid) {
    auto text = read_file("/etc/passwd");
    if (!text) return "#" + std::to_string(uid);
    for (auto line : split_lines(*text)) {
        auto fields = split(line, ':');
        if (fields.size() > 2 && parse_number<uid_t>(fields[2]) == uid)
            return std::string{fields[0]};
    }
    return "#" + std::to_string(uid);
}

Result<Report> report_on(const Settings& settings, const std::string& id) {
    Container container = TRY(Container::open(settings.root, id));
    Report report;
    report.status = TRY(container.status());
    report.state = std::move(container.state);
    struct stat info{};
    if (::stat(container.directory().c_str(), &info) == 0) report.owner = user_name(info.st_uid);
    return report;
}

void write_report(JsonWriter& out, const Report& report) {
    const ContainerState& state = report.state;
    out.begin_object();
    out.field("ociVersion", state.oci_version);
    out.field("id", state.id);
    out.field("pid", report.pid());
    out.field("status", status_name(report.status));
    out.field("bundle", state.bundle);
    out.field("rootfs", state.rootfs);
    out.field("created", state.created);
    if (!state.annotations.empty()) {
        out.begin_object("annotations");
        for (const auto& [name, value] : state.annotations)
            out.field(name, value);
        out.end_object();
    }
    out.field("owner", report.owner);
    out.end_object();
}

Result<int> state_command(const Settings& settings, const ParsedArgs& args) {
    Report report = TRY(report_on(settings, args.positionals[0]));
    JsonWriter out{2};
    write_report(out, report);
    TRY(write_all(1, out.take() + "\n"));
    return 0;
}

std::string format_table(const std::vector<Report>& reports) {
    std::vector<std::vector<std::string>> rows = {
        {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
    for (const auto& report : reports)
        rows.push_back({report.state.id, std::to_string(report.pid()),
                        std::string{status_name(report.status)}, report.state.bundle,
                        report.state.created, report.owner});
    std::string out;
    for (const auto& row : rows) {
        for (size_t column = 0; column < row.size(); ++column) {
            size_t width = 9;
            for (const auto& other : rows)
                width = std::max(width, other[column].size());
            out += row[column];
            if (column + 1 < row.size()) out.append(width + 3 - row[column].size(), ' ');
        }
        out += '\n';
    }
    return out;
}

Result<std::string> format_list(const std::vector<Report>& reports, const ParsedArgs& args) {
    std::string out;
    if (args.has("quiet")) {
        for (const auto& report : reports)
            out += report.state.id + "\n";
        return out;
    }
    std::string format = args.get("format", "table");
    if (format == "table") return format_table(reports);
    if (format != "json")
        return fail(Errc::invalid, "--format: " + quote(format) + " is unknown",
                    "use table or json");
    if (reports.empty()) return "null\n";  // as runc: engines compare with it
    JsonWriter json;
    json.begin_array();
    for (const auto& report : reports)
        write_report(json, report);
    json.end_array();
    return json.take() + "\n";
}

Result<int> list_command(const Settings& settings, const ParsedArgs& args) {
    std::vector<Report> reports;
    for (const auto& id : TRY(list_containers(settings.root))) {
        auto report = report_on(settings, id);
        if (report)
            reports.push_back(std::move(*report));
        else if (report.error().code != Errc::not_found)  // deleted meanwhile
            log::warning("container " + quote(id) + ": " + report.error().to_string());
    }
    TRY(write_all(1, TRY(format_list(reports, args))));
    return 0;
}

Result<int> features_command(const Settings&, const ParsedArgs&) {
    TRY(write_all(1, format_features() + "\n"));
    return 0;
}

Result<int> spec_command(const Settings& settings, const ParsedArgs& args) {
    spec::DefaultsRequest request{.rootless = args.has("rootless") || settings.is_rootless(),
                                  .host_uid = ::geteuid(),
                                  .host_gid = ::getegid()};
    std::string path = args.get("file", join_path(args.get("bundle", "."), "config.json"));
    if (path_exists(path)) return fail(Errc::exists, "file " + path + " exists", "remove it first");
    std::string text = spec::format_runtime_config(spec::default_runtime_config(request), 4);
    TRY(write_file_atomically(path, text + "\n", {.mode = 0666}));
    return 0;
}

Result<int> check_command(const Settings&, const ParsedArgs& args) {
    std::string bundle = TRY(absolute_path(args.get("bundle", ".")));
    std::string path = args.get("config", join_path(bundle, "config.json"));
    auto report = TRY(check_bundle(bundle, path));
    std::string out;
    for (const auto& problem : report.problems)
        out += problem + "\n";
    for (const auto& note : report.notes)
        out += "note: " + note + "\n";
    if (report.problems.empty()) out += path + ": nothing is wrong\n";
    TRY(write_all(1, out));
    return report.problems.empty() ? 0 : 1;
}

Result<int> later_command(const Settings&, const ParsedArgs&) {
    return fail(Errc::unsupported,
                "unsupported: hull-runtime has no checkpoint, restore and mounts yet",
                "use runc or crun for these");
}

constexpr std::string_view kSpecHelp =
    "The file describes a shell in ./rootfs with the defaults of hull: few capabilities, no new\n"
    "privileges, an allow-list system call filter, private namespaces.";
constexpr std::string_view kCheckHelp =
    "Prints every problem with its JSON path, the rule it breaks and what to do; changes nothing.\n"
    "Exit code 1 when there is any. A note is about what would be ignored: most often a name that\n"
    "is misspelt.";

constexpr Command kCommands[] = {
    {"state",
     "ID",
     "print the state of a container as JSON",
     "",
     kNoOptions,
     1,
     1,
     {},
     state_command},
    {"list", "", "list the containers", "", kListOptions, 0, 0, {}, list_command},
    {"spec",
     "",
     "write a config.json to start from",
     kSpecHelp,
     kSpecOptions,
     0,
     0,
     {},
     spec_command},
    {"check",
     "",
     "tell everything that is wrong with a bundle",
     kCheckHelp,
     kCheckOptions,
     0,
     0,
     {},
     check_command},
    {"features",
     "",
     "print what works on this machine as JSON",
     "",
     kNoOptions,
     0,
     0,
     {},
     features_command},
    {"checkpoint", "ID", "not supported yet", "", kNoOptions, 0, SIZE_MAX, 0, later_command},
    {"restore", "ID", "not supported yet", "", kNoOptions, 0, SIZE_MAX, 0, later_command},
    {"mounts", "ID", "not supported yet", "", kNoOptions, 0, SIZE_MAX, 0, later_command},
};

}  // namespace

std::span<const Command> report_commands() {
    return kCommands;
}

}  // namespace hull::runtime
