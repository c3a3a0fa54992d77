#include <fcntl.h>
#include <regex.h>

#include <cstdlib>

#include "base/fd.hpp"
#include "base/text.hpp"
#include "jail/plan_json.hpp"
#include "kernel/process.hpp"
#include "runtime/commands.hpp"
#include "runtime/container.hpp"
#include "runtime/delete.hpp"
#include "runtime/exec.hpp"
#include "runtime/kill.hpp"
#include "runtime/run.hpp"
#include "runtime/start.hpp"

namespace hull::runtime {
namespace {

constexpr OptionSpec kCreateOptions[] = {
    {"bundle", 'b', "DIR", "the bundle (default: the current folder)"},
    {"config", 'f', "FILE", "read FILE instead of DIR/config.json"},
    {"console-socket", 0, "SOCKET", "unix socket that gets the terminal's descriptor"},
    {"pid-file", 0, "FILE", "write the process's pid there"},
    {"pidfd-socket", 0, "SOCKET", "unix socket that gets a pidfd of the process"},
    {"no-pivot", 0, "", "chroot instead of pivot_root: for a root file system on an initramfs"},
    {"no-new-keyring", 0, "", "keep the caller's session keyring"},
    {"preserve-fds", 0, "N", "pass descriptors 3 to 2+N on to the program"},
    {"no-subreaper", 0, "", "do not adopt orphans of the container (run)"},
    {"dry-run", 0, "", "print as JSON what would be done; do nothing"},
};
constexpr OptionSpec kRunOptions[] = {
    {"bundle", 'b', "DIR", "the bundle (default: the current folder)"},
    {"config", 'f', "FILE", "read FILE instead of DIR/config.json"},
    {"console-socket", 0, "SOCKET", "unix socket that gets the terminal's descriptor"},
    {"pid-file", 0, "FILE", "write the process's pid there"},
    {"pidfd-socket", 0, "SOCKET", "unix socket that gets a pidfd of the process"},
    {"no-pivot", 0, "", "chroot instead of pivot_root: for a root file system on an initramfs"},
    {"no-new-keyring", 0, "", "keep the caller's session keyring"},
    {"preserve-fds", 0, "N", "pass descriptors 3 to 2+N on to the program"},
    {"detach", 'd', "", "return as soon as the program runs"},
    {"keep", 0, "", "do not delete the container after its end"},
    {"no-subreaper", 0, "", "do not adopt orphans of the container"},
    {"dry-run", 0, "", "print as JSON what would be done; do nothing"},
};
constexpr OptionSpec kExecOptions[] = {
    {"console-socket", 0, "SOCKET", "unix socket that gets the terminal's descriptor"},
    {"pidfd-socket", 0, "SOCKET", "unix socket that gets a pidfd of the process"},
    {"cwd", 0, "DIR", "working directory in the container"},
    {"env", 'e', "NAME=VALUE", "add to the environment"},
    {"tty", 't', "", "give the program a terminal"},
    {"user", 'u', "UID[:GID]", "numbers, as inside the container"},
    {"additional-gids", 'g', "GID", "one more group"},
    {"process", 'p', "FILE", "a process object as JSON, instead of a command"},
    {"detach", 'd', "", "return as soon as the program runs"},
    {"pid-file", 0, "FILE", "write the process's pid there"},
    {"process-label", 0, "LABEL", "SELinux label"},
    {"apparmor", 0, "PROFILE", "AppArmor profile"},
    {"no-new-privs", 0, "", "nothing the program starts gains privileges"},
    {"cap", 'c', "CAPABILITY", "add to the bounding, effective and permitted sets"},
    {"preserve-fds", 0, "N", "pass descriptors 3 to 2+N on to the program"},
    {"cgroup", 0, "[CONTROLLER:]PATH", "run in this cgroup below the container's"},
    {"ignore-paused", 0, "", "also in a paused container: it runs when that is resumed"},
};
constexpr OptionSpec kKillOptions[] = {
    {"all", 'a', "", "send to every process of the container"},
    {"regex", 'r', "", "ID is a regular expression: all containers that match"},
};
constexpr OptionSpec kDeleteOptions[] = {
    {"force", 'f', "", "kill what still runs; a container that does not exist is no error"},
    {"regex", 'r', "", "ID is a regular expression: all containers that match"},
};

/// Descriptors of socket activation are those from 3 on, before --preserve-fds'.
Result<int> listen_fds() {
    const char* text = ::getenv("LISTEN_FDS");
    if (text == nullptr || text[0] == '\0') return 0;
    auto number = parse_number<int>(text);
    if (!number || *number < 0 || *number > 1024)
        return fail(Errc::invalid,
                    "environment LISTEN_FDS: " + quote(text) + " is not a number from 0 to 1024");
    return *number;
}

Result<void> check_preserved(int count) {
    for (int fd = 3; fd < 3 + count; ++fd)
        if (::fcntl(fd, F_GETFD) < 0)
            return fail(Errc::invalid,
                        "--preserve-fds: descriptor " + std::to_string(fd) + " is not open",
                        "the descriptors to pass are 3, 4, … without a gap");
    return {};
}

Result<CreateRequest> create_request(const ParsedArgs& args) {
    CreateRequest request;
    request.id = args.positionals[0];
    request.bundle = args.get("bundle", ".");
    request.config = args.get("config");
    request.pid_file = args.get("pid-file");
    request.pidfd_socket = args.get("pidfd-socket");
    request.console_socket = args.get("console-socket");
    request.listen_fds = TRY(listen_fds());
    if (const char* names = ::getenv("LISTEN_FDNAMES")) request.listen_fd_names = names;
    request.preserve_fds = TRY(parse_count(args, "preserve-fds")) + request.listen_fds;
    TRY(check_preserved(request.preserve_fds));
    request.no_pivot = args.has("no-pivot");
    request.no_new_keyring = args.has("no-new-keyring");
    const char* notify = ::getenv("NOTIFY_SOCKET");
    request.has_notify_socket = notify != nullptr && notify[0] != '\0';
    return request;
}

Result<int> print_plan(const Settings& settings, CreateRequest request) {
    request.console_fd = kAnyConsole;
    request.read_seccomp = ReadSeccomp::always;
    Prepared prepared = TRY(prepare(settings, request));
    TRY(write_all(1, jail::format_plan(prepared.plan) + "\n"));
    return 0;
}

Result<int> create_command(const Settings& settings, const ParsedArgs& args) {
    auto request = TRY(create_request(args));
    if (args.has("dry-run")) return print_plan(settings, std::move(request));
    TRY(create_only(settings, std::move(request)));
    return 0;
}

Result<int> run_command(const Settings& settings, const ParsedArgs& args) {
    auto request = TRY(create_request(args));
    if (args.has("dry-run")) return print_plan(settings, std::move(request));
    return run_container(settings, {.create = std::move(request),
                                    .detach = args.has("detach"),
                                    .keep = args.has("keep"),
                                    .no_subreaper = args.has("no-subreaper")});
}

Result<int> start_command(const Settings& settings, const ParsedArgs& args) {
    TRY(start_container(settings, args.positionals[0]));
    return 0;
}

Result<int> exec_command(const Settings& settings, const ParsedArgs& args) {
    ExecRequest request;
    request.id = args.positionals[0];
    request.args.assign(args.positionals.begin() + 1, args.positionals.end());
    request.process_file = args.get("process");
    request.cwd = args.get("cwd");
    request.env = args.all("env");
    request.user = args.get("user");
    request.additional_gids = args.all("additional-gids");
    request.capabilities = args.all("cap");
    request.apparmor = args.get("apparmor");
    request.process_label = args.get("process-label");
    if (args.has("no-new-privs")) request.no_new_privileges = true;
    request.tty = args.has("tty");
    request.detach = args.has("detach");
    request.ignore_paused = args.has("ignore-paused");
    request.cgroups = args.all("cgroup");
    request.console_socket = args.get("console-socket");
    request.pid_file = args.get("pid-file");
    request.pidfd_socket = args.get("pidfd-socket");
    request.listen_fds = TRY(listen_fds());
    request.preserve_fds = TRY(parse_count(args, "preserve-fds"));
    TRY(check_preserved(request.preserve_fds + request.listen_fds));
    return with_context(exec_in_container(settings, request), "exec failed");
}

/// The ids below --root that `pattern` matches, or the pattern itself as the one id.
Result<std::vector<std::string>> wanted_ids(const Settings& settings, const ParsedArgs& args) {
    const std::string& pattern = args.positionals[0];
    if (!args.has("regex")) return std::vector{pattern};
    regex_t expression{};
    if (::regcomp(&expression, pattern.c_str(), REG_EXTENDED | REG_NOSUB) != 0)
        return fail(Errc::invalid, "--regex: " + quote(pattern) + " is no regular expression");
    auto ids = list_containers(settings.root);
    if (ids)
        std::erase_if(*ids, [&](const std::string& id) {
            return ::regexec(&expression, id.c_str(), 0, nullptr, 0) != 0;
        });
    ::regfree(&expression);
    return ids;
}

Result<int> kill_command(const Settings& settings, const ParsedArgs& args) {
    KillRequest request;
    if (args.positionals.size() > 1) {
        const std::string& word = args.positionals[1];
        // As runc: 0 asks whether it is there, kill(2), and an empty word is as good as none.
        if (word == "0")
            request.signal = 0;
        else if (!word.empty())
            request.signal = TRY(kernel::parse_signal(word));
    }
    request.all = args.has("all");
    for (const auto& id : TRY(wanted_ids(settings, args))) {
        request.id = id;
        TRY(kill_container(settings, request));
    }
    return 0;
}

Result<int> delete_command(const Settings& settings, const ParsedArgs& args) {
    for (const auto& id : TRY(wanted_ids(settings, args)))
        TRY(delete_container(settings, {.id = id, .force = args.has("force")}));
    return 0;
}

constexpr std::string_view kCreateHelp =
    "The container is made up to the point where only its program is missing; `start` runs that.\n"
    "  hull-runtime create --bundle ./bundle web && hull-runtime start web";
constexpr std::string_view kRunHelp =
    "create, start, wait and delete in one. Signals go on to the program, its exit code is ours\n"
    "(128+N when signal N ended it).\n"
    "  hull-runtime run --bundle ./bundle web\n"
    "  hull-runtime run --dry-run web | less      # what would be done";
constexpr std::string_view kExecHelp =
    "The program gets the user, environment, capabilities and filter of the container's process,\n"
    "changed by the options. Exit code 255: hull-runtime itself failed.\n"
    "  hull-runtime exec -t web sh";
constexpr std::string_view kKillHelp =
    "The signal (default TERM) goes to the container's first process. KILL ends all of them.\n"
    "  hull-runtime kill web KILL";
constexpr std::string_view kDeleteHelp =
    "A container that still runs is refused without --force; what a killed command left behind is\n"
    "removed as well.";

constexpr Command kCommands[] = {
    {"create",
     "ID",
     "make a container, ready to start",
     kCreateHelp,
     kCreateOptions,
     1,
     1,
     {},
     create_command},
    {"start", "ID", "run the program of a created container", "", {}, 1, 1, {}, start_command},
    {"run", "ID", "create, start, wait and delete", kRunHelp, kRunOptions, 1, 1, {}, run_command},
    {"exec", "ID COMMAND [ARG…]", "run one more program in a container", kExecHelp, kExecOptions, 1,
     SIZE_MAX, 1, exec_command, 255},
    {"kill", "ID [SIGNAL]", "send a signal", kKillHelp, kKillOptions, 1, 2, {}, kill_command},
    {"delete",
     "ID",
     "remove a container that has ended",
     kDeleteHelp,
     kDeleteOptions,
     1,
     1,
     {},
     delete_command},
};

}  // namespace

std::span<const Command> life_commands() {
    return kCommands;
}

}  // namespace hull::runtime
