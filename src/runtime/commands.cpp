#include "runtime/commands.hpp"

#include <algorithm>
#include <csignal>
#include <vector>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/own_directory.hpp"
#include "base/printable.hpp"
#include "base/text.hpp"
#include "kernel/executable.hpp"
#include "runtime/log_target.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {
namespace {

constexpr OptionSpec kGlobalOptions[] = {
    {"root", 0, "DIR", "where containers are kept (default /run/hull-runtime)"},
    {"log", 0, "FILE", "append warnings and errors to FILE; also journald:NAME, syslog:NAME"},
    {"log-format", 0, "FORMAT", "text or json"},
    {"log-level", 0, "LEVEL", "debug, info, warning or error"},
    {"debug", 0, "", "the same as --log-level debug"},
    {"systemd-cgroup", 0, "", "the same as --cgroup-manager systemd"},
    {"cgroup-manager", 0, "MANAGER", "cgroupfs, systemd or disabled"},
    {"rootless", 0, "true|false|auto", "ignore what only root may do with cgroups"},
    {"criu", 0, "PROGRAM", "taken, as runc's callers give it; without effect"},
    {"version", 'v', "", "print the version"},
    {"version", 'V', "", ""},
    {"help", 'h', "", "print this help, or that of a command"},
    {"help", '?', "", ""},
    {"usage", 0, "", "print the options in short"},
};

/// Of every command.
constexpr OptionSpec kCommonOptions[] = {
    {"help", 'h', "", "print this help"},
    {"help", '?', "", ""},
    {"usage", 0, "", "print the options in short"},
};

/// runc's exit code for a command that it does not have; crun's is 1.
constexpr int kUnknownCommand = 3;

constexpr std::string_view kIntroduction =
    "hull-runtime runs containers from OCI bundles: a folder with a config.json and a root file\n"
    "system. It takes the commands and options of runc and crun, and does what config.json says.\n";

constexpr std::string_view kExample =
    "A first container:\n"
    "  mkdir -p bundle/rootfs && cd bundle\n"
    "  busybox_root=rootfs   # put a root file system there\n"
    "  hull-runtime spec     # writes config.json, confined by default\n"
    "  hull-runtime check    # tells everything that is wrong with it\n"
    "  hull-runtime run first\n";

std::vector<const Command*> all_commands() {
    std::vector<const Command*> all;
    for (auto group : {life_commands(), control_commands(), report_commands()})
        for (const auto& command : group)
            all.push_back(&command);
    return all;
}

void print(std::string_view text) {
    (void)write_all(1, text);
}

void print_version() {
    print(std::string{"hull-runtime version "} + HULL_VERSION + "\nspec: " +
          std::string{spec::kRuntimeSpecVersion} + "\nfeatures: cgroups v1, v2 and hybrid, " +
          "seccomp, AppArmor, SELinux, Landlock, idmapped mounts\n");
}

std::string pad(std::string_view text, size_t width) {
    std::string out{text};
    out.resize(std::max(width, text.size()), ' ');
    return out;
}

std::vector<OptionSpec> options_of(const Command& command) {
    std::vector<OptionSpec> all(command.options.begin(), command.options.end());
    all.insert(all.end(), std::begin(kCommonOptions), std::end(kCommonOptions));
    return all;
}

void print_usage() {
    print("Usage: hull-runtime " + format_usage(kGlobalOptions) + " COMMAND [OPTION…] [ID …]\n");
}

void print_command_usage(const Command& command) {
    print("Usage: hull-runtime " + std::string{command.name} + " " +
          format_usage(options_of(command)) + " " + std::string{command.arguments} + "\n");
}

void print_help() {
    std::string out = "Usage: hull-runtime [OPTION…] COMMAND [OPTION…] [ID …]\n\n";
    out += kIntroduction;
    out += "\nCommands:\n";
    for (const Command* command : all_commands())
        out += "  " + pad(command->name, 12) + std::string{command->summary} + "\n";
    out += "\nOptions:\n" + format_options(kGlobalOptions) + "\n" + std::string{kExample} +
           "\nExit codes: 1 when hull-runtime itself fails (exec: 255), 3 for a command that it "
           "does not\n"
           "have; else that of the program.\n"
           "\n`hull-runtime COMMAND --help` tells more.\n";
    print(out);
}

void print_command_help(const Command& command) {
    std::string out = "Usage: hull-runtime " + std::string{command.name} + " [OPTION…] " +
                      std::string{command.arguments} + "\n\n" + std::string{command.summary} + "\n";
    out += "\nOptions:\n" + format_options(options_of(command));
    if (!command.help.empty()) out += "\n" + std::string{command.help} + "\n";
    print(out);
}

Result<CgroupManager> parse_manager(std::string_view name) {
    if (name == "cgroupfs") return CgroupManager::cgroupfs;
    if (name == "systemd") return CgroupManager::systemd;
    if (name == "disabled") return CgroupManager::disabled;
    return fail(Errc::invalid, "--cgroup-manager: " + quote(name) + " is unknown",
                "use cgroupfs, systemd or disabled");
}

Result<Settings> parse_settings(const ParsedArgs& args) {
    Settings settings;
    settings.is_root_given = args.has("root");
    settings.root = TRY(absolute_path(args.get("root", default_root())));
    // Whoever owns that folder owns the containers in it, and their hooks.
    if (!settings.is_root_given && settings.root.starts_with("/tmp/hull-runtime-"))
        TRY(create_own_directory(settings.root, 0711));
    settings.log_file = args.get("log");
    std::string format = args.get("log-format", "text");
    if (format != "text" && format != "json")
        return fail(Errc::invalid, "--log-format: " + quote(format) + " is unknown",
                    "use text or json");
    if (format == "json") settings.log_format = log::Format::json;
    settings.log_level = TRY(log::parse_level(args.get("log-level", "warning")));
    if (args.has("debug")) settings.log_level = log::Level::debug;
    settings.cgroup_manager = TRY(parse_manager(args.get("cgroup-manager", "cgroupfs")));
    if (args.has("systemd-cgroup")) settings.cgroup_manager = CgroupManager::systemd;
    std::string rootless = args.get("rootless", "auto");
    if (rootless != "true" && rootless != "false" && rootless != "auto")
        return fail(Errc::invalid, "--rootless: " + quote(rootless) + " is unknown",
                    "use true, false or auto");
    if (rootless != "auto") settings.rootless = rootless == "true";
    return settings;
}

/// The error for people on stderr and, with --log, as a record for the engine.
int report(const Error& error, const Settings& settings, int code) {
    std::string text = error.to_string();
    if (!settings.log_file.empty()) log::error(text);
    (void)write_all(2, "hull-runtime: " + printable(text) + "\n");
    return code;
}

Result<const Command*> find_command(const std::string& name) {
    std::vector<std::string> names;
    for (const Command* command : all_commands()) {
        if (command->name == name) return command;
        names.emplace_back(command->name);
    }
    auto near = closest_match(name, names);
    return fail(Errc::invalid, "unknown command " + quote(name),
                near ? "did you mean " + *near + "?" : "see hull-runtime --help");
}

Result<void> check_words(const Command& command, const ParsedArgs& args) {
    size_t count = args.positionals.size();
    if (count >= command.least_words && count <= command.most_words) return {};
    return fail(Errc::invalid,
                std::string{command.name} +
                    (count < command.least_words ? " needs more than " + std::to_string(count)
                                                 : " takes fewer than " + std::to_string(count)) +
                    " words",
                "usage: hull-runtime " + std::string{command.name} + " [OPTION…] " +
                    std::string{command.arguments});
}

/// Commands of which a process becomes the container's.
bool becomes_container(std::string_view command) {
    return command == "create" || command == "run" || command == "exec";
}

/// From here on this program runs from a file that no container can write to.
void protect_own_program(std::span<const std::string> args) {
    std::vector<std::string> words = {"hull-runtime"};
    words.insert(words.end(), args.begin(), args.end());
    if (auto done = kernel::protect_own_file(words); !done)
        log::warning("a container without user namespace could overwrite hull-runtime: " +
                     done.error().to_string());
}

/// @param args  begins with the command's name
int run_command(const Settings& settings, std::span<const std::string> args) {
    auto command = find_command(args[0]);
    if (!command) return report(command.error(), settings, kUnknownCommand);
    auto parsed = parse_args(args.subspan(1), options_of(**command),
                             {.stop_after_positionals = (*command)->stop_after});
    // A command that comes later says so, whatever its options will be.
    if (!parsed && (*command)->stop_after == 0U) parsed = ParsedArgs{};
    if (!parsed) return report(parsed.error(), settings, 1);
    if (parsed->has("help") || parsed->has("usage")) {
        parsed->has("help") ? print_command_help(**command) : print_command_usage(**command);
        return 0;
    }
    if (auto good = check_words(**command, *parsed); !good)
        return report(good.error(), settings, 1);
    auto code = (*command)->run(settings, *parsed);
    return code ? *code : report(code.error(), settings, (*command)->failure_code);
}

}  // namespace

Result<int> parse_count(const ParsedArgs& args, std::string_view option) {
    auto text = args.find(option);
    if (!text) return 0;
    auto number = parse_number<int>(*text);
    if (!number || *number < 0 || *number > 1024)
        return fail(Errc::invalid, "--" + std::string{option} + ": " + quote(*text) +
                                       " is not a number from 0 to 1024");
    return *number;
}

int run_command_line(std::span<const std::string> args) {
    // A reader that goes away is an error of write(2), not our end; children get the default back.
    ::signal(SIGPIPE, SIG_IGN);
    Settings settings;
    auto global = parse_args(args, kGlobalOptions, {.stop_after_positionals = 1});
    if (!global) return report(global.error(), settings, 1);
    if (global->has("version")) {
        print_version();
        return 0;
    }
    if (global->has("usage")) {
        print_usage();
        return 0;
    }
    const auto& words = global->positionals;
    if (words.empty() || global->has("help") || words[0] == "help") {
        size_t topic = !words.empty() && words[0] == "help" ? 1 : 0;
        if (words.size() > topic) {
            auto command = find_command(words[topic]);
            if (!command) return report(command.error(), settings, kUnknownCommand);
            print_command_help(**command);
        } else {
            print_help();
        }
        return 0;
    }
    auto parsed = parse_settings(*global);
    if (!parsed) return report(parsed.error(), settings, 1);
    settings = std::move(*parsed);
    auto log_file = configure_log(settings);
    if (!log_file) {
        settings.log_file.clear();
        return report(log_file.error(), settings, 1);
    }
    if (becomes_container(words[0])) protect_own_program(args);
    return run_command(settings, words);
}

}  // namespace hull::runtime
