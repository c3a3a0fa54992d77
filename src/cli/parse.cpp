#include "cli/parse.hpp"

#include <algorithm>
#include <array>
#include <functional>

#include <CLI/CLI.hpp>

#include "base/text.hpp"
#include "cli/help.hpp"

namespace hull::cli {
namespace {

using Words = decltype(CommandLine::words);

/// The options of one verb on their way from CLI11 into words.
class Options {
  public:
    explicit Options(std::string verb) : app_("", "hull " + verb), verb_(std::move(verb)) {
        app_.set_help_flag("-h,--help", "print this");
        app_.get_formatter()->column_width(34);
    }
    void flag(const std::string& names, bool& target, const std::string& help) {
        app_.add_flag(names, target, help);
    }
    template <typename T>
    void value(const std::string& names, T& target, const std::string& type,
               const std::string& help) {
        app_.add_option(names, target, help)->type_name(type);
    }
    void values(const std::string& names, std::vector<std::string>& target, const std::string& type,
                const std::string& help) {
        app_.add_option(names, target, help)->type_name(type)->allow_extra_args(false);
    }
    /// All words that are no option.
    void rest(const std::string& name, std::vector<std::string>& target, bool is_required = true) {
        auto* option = app_.add_option(name, target, "");
        if (is_required) option->required();
    }
    /// The words after the options, options of another program included.
    void command_follows() { app_.prefix_command(); }

    /// @return  the words that followed; help text if that was asked for
    struct Outcome {
        std::vector<std::string> following;
        std::optional<std::string> help;
    };
    Result<Outcome> parse(const std::vector<std::string>& args) {
        std::vector<std::string> reversed(args.rbegin(), args.rend());
        try {
            app_.parse(reversed);
        } catch (const CLI::CallForHelp&) {
            return Outcome{{}, verb_help(verb_, app_.help())};
        } catch (const CLI::ParseError& thrown) {
            return fail(Errc::invalid, "hull " + verb_ + ": " + one_line(thrown.what()),
                        "see hull " + verb_ + " --help");
        }
        auto following = app_.remaining();
        bool is_escaped = !following.empty() && following.front() == "--";
        if (is_escaped) following.erase(following.begin());
        if (!is_escaped && !following.empty() && following.front().size() > 1 &&
            following.front()[0] == '-')
            return fail(unknown_option(following.front()));
        return Outcome{std::move(following), std::nullopt};
    }

  private:
    static std::string one_line(std::string text) {
        std::ranges::replace(text, '\n', ' ');
        return text;
    }
    Error unknown_option(const std::string& option) {
        std::vector<std::string> known;
        for (const auto* one : app_.get_options())
            for (const auto& name : one->get_lnames())
                known.push_back("--" + name);
        auto closest = closest_match(option.substr(0, option.find('=')), known);
        return make_error(
            Errc::invalid, "hull " + verb_ + ": unknown option " + option,
            closest ? "did you mean " + *closest + "?" : "see hull " + verb_ + " --help");
    }
    CLI::App app_;
    std::string verb_;
};

void add_process_options(Options& options, RunWords& words) {
    options.flag("-d,--detach", words.detach, "run in the background and print the container's id");
    options.flag("-i,--interactive", words.interactive, "keep stdin open");
    options.flag("-t,--tty", words.terminal, "give the container a terminal");
    options.flag("--rm", words.remove, "remove the container when it has ended");
    options.value("--name", words.name, "NAME", "name of the container");
    options.values("-e,--env", words.env, "NAME[=VALUE]", "set a variable, or pass one on");
    options.values("--env-file", words.env_files, "FILE", "read variables from a file");
    options.value("-w,--workdir", words.working_dir, "DIR", "working directory inside");
    options.value("-u,--user", words.user, "USER[:GROUP]", "user, by the image's own names");
    options.values("--group-add", words.groups, "GROUP", "one more group for the user");
    options.value("--hostname", words.hostname, "NAME", "host name inside");
    options.value("--entrypoint", words.entrypoint, "PROGRAM", "replaces the image's entrypoint");
    options.values("-l,--label", words.labels, "NAME=VALUE", "a label of the container");
    options.value("--stop-signal", words.stop_signal, "SIGNAL", "what hull stop sends first");
    options.value("--stop-timeout", words.stop_timeout, "SECONDS",
                  "how long hull stop waits before SIGKILL");
    options.value("--pull", words.pull, "WHEN", "missing (default), always or never");
    options.value("--cidfile", words.cid_file, "FILE", "write the container's id there");
    options.value("--detach-keys", words.detach_keys, "KEYS", "default ctrl-p,ctrl-q");
    options.value("--log-driver", words.log_driver, "DRIVER", "json-file (default) or none");
    options.values("--log-opt", words.log_options, "NAME=VALUE",
                   "max-size=50m (0: no limit), max-file=2");
    options.value("--runtime", words.runtime, "PROGRAM", "OCI runtime in place of hull-runtime");
    options.flag("--dry-run", words.dry_run, "print the bundle's config.json, start nothing");
    options.flag("-q,--quiet", words.quiet, "no progress of a pull");
}

void add_confinement_options(Options& options, RunWords& words) {
    options.values("-v,--volume", words.volumes, "SOURCE:TARGET[:ro]",
                   "a folder of the host, or a named volume");
    options.values("--mount", words.mounts, "type=bind,source=…,target=…", "the same, in full");
    options.values("--tmpfs", words.tmpfs, "DIR[:size=64m]", "memory as a folder");
    options.flag("--read-only", words.read_only, "the root file system cannot be written");
    options.value("-m,--memory", words.memory, "BYTES", "memory limit: 512m, 2g");
    options.value("--memory-swap", words.memory_swap, "BYTES", "memory and swap; -1: unlimited");
    options.value("--cpus", words.cpus, "NUMBER", "processors: 1.5");
    options.value("--cpu-shares", words.cpu_shares, "NUMBER", "relative weight, 1024 is normal");
    options.value("--cpuset-cpus", words.cpuset_cpus, "LIST", "processors to run on: 0-3,5");
    options.value("--pids-limit", words.pids_limit, "NUMBER", "processes (2048); -1: unlimited");
    options.values("--ulimit", words.ulimits, "NAME=SOFT[:HARD]", "nofile=1024:4096");
    options.value("--shm-size", words.shm_size, "BYTES", "size of /dev/shm (64m)");
    options.value("--network", words.network, "MODE", "none (default: loopback only) or host");
    options.values("--sysctl", words.sysctls, "NAME=VALUE", "a kernel setting of its namespaces");
    options.values("--cap-add", words.cap_add, "NAME", "a capability more");
    options.values("--cap-drop", words.cap_drop, "NAME", "a capability less; ALL");
    options.values("--security-opt", words.security, "OPTION",
                   "no-new-privileges[=false], seccomp=unconfined|FILE, "
                   "apparmor=unconfined|PROFILE");
    options.flag("--privileged", words.privileged,
                 "all capabilities, no filter, no masks (its user namespace stays)");
    options.flag("--allow-engine-socket", words.allow_engine_socket,
                 "bind mounts may reach hull's own files and sockets");
}

Result<Words> parse_run(const std::string& verb, const std::vector<std::string>& args) {
    RunWords words;
    Options options(verb);
    add_process_options(options, words);
    add_confinement_options(options, words);
    bool proxy = true;
    if (verb == "run")
        options.flag("--sig-proxy", proxy, "pass signals on to the container (default true)");
    options.command_follows();
    auto outcome = TRY(options.parse(args));
    if (outcome.help) return PrintWords{*outcome.help};
    words.no_signal_proxy = !proxy;
    if (outcome.following.empty())
        return fail(Errc::invalid, "hull " + verb + ": which image?",
                    "hull " + verb + " [OPTIONS] IMAGE [COMMAND…]");
    words.image = outcome.following.front();
    words.command.assign(outcome.following.begin() + 1, outcome.following.end());
    return words;
}

Result<Words> parse_exec(const std::string& verb, const std::vector<std::string>& args) {
    ExecWords words;
    Options options(verb);
    options.flag("-d,--detach", words.detach, "run in the background");
    options.flag("-i,--interactive", words.interactive, "keep stdin open");
    options.flag("-t,--tty", words.terminal, "give the command a terminal");
    options.flag("--privileged", words.privileged, "all capabilities for this command");
    options.value("-u,--user", words.user, "USER[:GROUP]", "user, by the container's own names");
    options.value("-w,--workdir", words.working_dir, "DIR", "working directory inside");
    options.values("-e,--env", words.env, "NAME[=VALUE]", "set a variable, or pass one on");
    options.values("--env-file", words.env_files, "FILE", "read variables from a file");
    options.value("--detach-keys", words.detach_keys, "KEYS", "default ctrl-p,ctrl-q");
    options.command_follows();
    auto outcome = TRY(options.parse(args));
    if (outcome.help) return PrintWords{*outcome.help};
    if (outcome.following.size() < 2)
        return fail(Errc::invalid, "hull exec needs a container and a command",
                    "hull exec [OPTIONS] CONTAINER COMMAND [ARG…]");
    words.container = outcome.following.front();
    words.command.assign(outcome.following.begin() + 1, outcome.following.end());
    return words;
}

Result<Words> parse_attach(const std::string& verb, const std::vector<std::string>& args) {
    AttachWords words;
    Options options(verb);
    if (verb == "start") {
        options.flag("-a,--attach", words.attach, "show its output and pass signals on");
        options.flag("-i,--interactive", words.interactive, "pass stdin on");
    } else {
        options.flag("--no-stdin", words.no_stdin, "do not pass stdin on");
    }
    options.value("--detach-keys", words.detach_keys, "KEYS", "default ctrl-p,ctrl-q");
    options.rest("CONTAINER", words.containers);
    auto outcome = TRY(options.parse(args));
    if (outcome.help) return PrintWords{*outcome.help};
    bool wants_one = verb == "attach" || words.attach || words.interactive;
    if (wants_one && words.containers.size() != 1)
        return fail(Errc::invalid, "hull " + verb + ": one container can be attached to at a time");
    return words;
}

Result<Words> parse_list(const std::string& verb, const std::vector<std::string>& args) {
    ListWords words;
    bool latest = false;
    std::vector<std::string> names;
    Options options(verb);
    if (verb == "ps") {
        options.flag("-a,--all", words.all, "those that do not run as well");
        options.value("-n,--last", words.last, "NUMBER", "the newest, in any state");
        options.flag("-l,--latest", latest, "the newest one, in any state");
    } else if (verb == "images") {
        options.flag("-a,--all", words.all, "accepted for docker's sake");
        options.flag("--digests", words.digests, "with the manifests' digests");
    }
    options.flag("-q,--quiet", words.quiet, "ids (or names) only");
    options.flag("--no-trunc", words.no_truncate, "whole ids and commands");
    options.value("--format", words.format, "FORMAT", "table, json, or '{{.Names}} {{.State}}'");
    options.values("-f,--filter", words.filters, "NAME=VALUE",
                   "name=, id=, status=, label=, ancestor=, reference=");
    if (verb == "images") options.rest("NAME", names, false);
    auto outcome = TRY(options.parse(args));
    if (outcome.help) return PrintWords{*outcome.help};
    if (names.size() > 1) return fail(Errc::invalid, "hull images takes at most one name");
    for (const auto& name : names)
        words.filters.push_back("reference=" + name);
    if (latest) words.last = 1;
    return words;
}

Result<Words> parse_names(const std::string& verb, const std::vector<std::string>& args) {
    NamesWords words;
    Options options(verb);
    auto is = [&](std::initializer_list<std::string_view> verbs) {
        return std::ranges::find(verbs, verb) != verbs.end();
    };
    if (is({"rm", "rmi", "volume rm"}))
        options.flag("-f,--force", words.force, "also what is running or in use");
    if (is({"rm"})) options.flag("-v,--volumes", words.volumes, "its anonymous volumes as well");
    if (is({"stop", "restart"}))
        options.value("-t,--time", words.time, "SECONDS", "before SIGKILL (10)");
    if (is({"kill"})) options.value("-s,--signal", words.signal, "SIGNAL", "default KILL");
    if (is({"inspect", "volume inspect"}))
        options.value("-f,--format", words.format, "FORMAT", "'{{.State.Status}}'");
    if (is({"inspect"}))
        options.value("--type", words.type, "TYPE", "container or image: when a name is both");
    options.rest("NAME", words.names);
    auto outcome = TRY(options.parse(args));
    if (outcome.help) return PrintWords{*outcome.help};
    if (verb == "rename" && words.names.size() != 2)
        return fail(Errc::invalid, "hull rename needs a container and its new name");
    return words;
}

Result<Words> parse_logs(const std::string& verb, const std::vector<std::string>& args) {
    LogsWords words;
    std::vector<std::string> names;
    Options options(verb);
    options.flag("-f,--follow", words.follow, "go on until the container ends");
    options.flag("-t,--timestamps", words.timestamps, "with the time of each line");
    options.value("-n,--tail", words.tail, "LINES", "only the last ones");
    options.value("--since", words.since, "TIME", "2026-01-31T12:30:00Z, or 10m: ten minutes ago");
    options.value("--until", words.until, "TIME", "2026-01-31T12:30:00Z, or 10m: ten minutes ago");
    options.rest("CONTAINER", names);
    auto outcome = TRY(options.parse(args));
    if (outcome.help) return PrintWords{*outcome.help};
    if (names.size() != 1) return fail(Errc::invalid, "hull logs takes one container");
    words.container = names.front();
    return words;
}

Result<Words> parse_export(const std::string& verb, const std::vector<std::string>& args) {
    ExportWords words;
    std::vector<std::string> names;
    Options options(verb);
    options.value("-o,--output", words.output, "FILE", "where to; - is stdout (default)");
    options.rest("CONTAINER", names);
    auto outcome = TRY(options.parse(args));
    if (outcome.help) return PrintWords{*outcome.help};
    if (names.size() != 1) return fail(Errc::invalid, "hull export takes one container");
    words.container = names.front();
    return words;
}

Result<Words> parse_format(const std::string& verb, const std::vector<std::string>& args) {
    FormatWords words;
    Options options(verb);
    options.value("-f,--format", words.format, "FORMAT",
                  verb == "df" ? "table, json, or '{{.Type}} {{.Size}}'" : "json, or '{{.Root}}'");
    auto outcome = TRY(options.parse(args));
    if (outcome.help) return PrintWords{*outcome.help};
    return words;
}

using ParseVerb = Result<Words> (*)(const std::string&, const std::vector<std::string>&);
struct Verb {
    std::string_view name;
    ParseVerb parse;
};
constexpr std::array<Verb, 26> kVerbs = {{{"run", parse_run},
                                          {"create", parse_run},
                                          {"exec", parse_exec},
                                          {"start", parse_attach},
                                          {"attach", parse_attach},
                                          {"ps", parse_list},
                                          {"images", parse_list},
                                          {"volume ls", parse_list},
                                          {"stop", parse_names},
                                          {"restart", parse_names},
                                          {"kill", parse_names},
                                          {"rm", parse_names},
                                          {"wait", parse_names},
                                          {"inspect", parse_names},
                                          {"rename", parse_names},
                                          {"rmi", parse_names},
                                          {"volume rm", parse_names},
                                          {"volume create", parse_names},
                                          {"volume inspect", parse_names},
                                          {"container on-exit", parse_names},
                                          {"logs", parse_logs},
                                          {"export", parse_export},
                                          {"info", parse_format},
                                          {"version", parse_format},
                                          {"df", parse_format},
                                          {"system info", parse_format}}};

/// Verbs that hull-image does.
constexpr std::array<std::string_view, 15> kImageToolVerbs = {
    "pull",   "push",    "load", "save", "import",    "tag",      "untag",   "login",
    "logout", "history", "copy", "sync", "list-tags", "manifest", "artifact"};
constexpr std::array<std::string_view, 4> kGroups = {"container", "image", "volume", "system"};

template <typename Range>
bool contains(const Range& range, std::string_view word) {
    return std::ranges::find(range, word) != std::end(range);
}

/// "container ls" is "ps", "image rm" is "rmi", "container start" is "start".
std::string canonical_verb(const std::string& group, const std::string& verb) {
    if (group == "container") {
        if (verb == "ls" || verb == "list") return "ps";
        return verb == "on-exit" ? "container on-exit" : verb;
    }
    if (group == "image") {
        if (verb == "ls" || verb == "list") return "images";
        if (verb == "rm" || verb == "remove") return "rmi";
        if (verb == "export") return verb;
        return "image " + verb;
    }
    if (group == "volume" && verb == "list") return "volume ls";
    if (group == "system" && verb == "df") return "df";
    return group + " " + verb;
}

Result<Words> parse_verb(std::string& verb, const std::vector<std::string>& rest) {
    std::vector<std::string> args = rest;
    if (contains(kGroups, verb)) {
        bool wants_help = args.empty() || args[0] == "--help" || args[0] == "-h";
        if (wants_help && verb == "image") return ImageToolWords{{"--help"}};
        if (wants_help) return PrintWords{overview_help()};
        verb = canonical_verb(verb, args[0]);
        args.erase(args.begin());
    }
    bool is_image_verb = verb.starts_with("image ");
    if (is_image_verb || contains(kImageToolVerbs, verb)) {
        std::string tool_verb = is_image_verb ? verb.substr(6) : verb;
        args.insert(args.begin(), tool_verb);
        return ImageToolWords{std::move(args)};
    }
    for (const auto& known : kVerbs)
        if (known.name == verb) return known.parse(verb, args);
    std::vector<std::string> names;
    for (const auto& known : kVerbs)
        names.emplace_back(known.name);
    for (auto known : kImageToolVerbs)
        names.emplace_back(known);
    auto closest = closest_match(verb, names);
    return fail(Errc::invalid, quote(verb) + " is not a command",
                closest ? "did you mean hull " + *closest + "?" : "see hull --help");
}

}  // namespace

Result<CommandLine> parse_command_line(const std::vector<std::string>& args) {
    CommandLine out;
    size_t i = 0;
    for (; i < args.size() && args[i].size() > 1 && args[i][0] == '-'; i++) {
        const std::string& word = args[i];
        size_t equals = word.find('=');
        std::string name = word.substr(0, equals);
        auto value = [&]() -> Result<std::string> {
            if (equals != std::string::npos) return word.substr(equals + 1);
            if (i + 1 >= args.size()) return fail(Errc::invalid, name + " needs a value");
            return args[++i];
        };
        if (name == "--root") {
            out.global.settings.root = TRY(value());
        } else if (name == "--runroot") {
            out.global.settings.run_root = TRY(value());
        } else if (name == "--debug" || name == "-D") {
            out.global.debug = true;
        } else if (name == "--help" || name == "-h") {
            out.words = PrintWords{overview_help()};
            return out;
        } else if (name == "--version" || name == "-v") {
            out.words = PrintWords{"hull version " HULL_VERSION "\n"};
            return out;
        } else {
            return fail(Errc::invalid, "unknown option " + name,
                        "options of a command come after it; see hull --help");
        }
    }
    if (i >= args.size()) {
        out.words = PrintWords{overview_help()};
        return out;
    }
    out.verb = args[i];
    if (out.verb == "help") {
        std::vector<std::string> rest(args.begin() + static_cast<ptrdiff_t>(i) + 1, args.end());
        if (rest.empty()) {
            out.words = PrintWords{overview_help()};
            return out;
        }
        out.verb = rest.front();
        rest.erase(rest.begin());
        rest.emplace_back("--help");
        out.words = TRY(parse_verb(out.verb, rest));
        return out;
    }
    out.words =
        TRY(parse_verb(out.verb, {args.begin() + static_cast<ptrdiff_t>(i) + 1, args.end()}));
    return out;
}

}  // namespace hull::cli
