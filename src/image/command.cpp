#include "image/command.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/printable.hpp"
#include "base/text.hpp"
#include "base/units.hpp"

namespace hull::image {
namespace {

std::atomic<bool> interrupted{false};

constexpr OptionSpec kGlobalOptions[] = {
    {"root", 0, "DIR", "data folder (default /var/lib/hull, or ~/.local/share/hull)"},
    {"runroot", 0, "DIR", "run folder (default /run/hull, or $XDG_RUNTIME_DIR/hull)"},
    {"progress", 0, "MODE", "auto, tty, plain, json or none"},
    {"error-fd", 0, "N", "write a failure to this descriptor, encoded"},
    {"result-fd", 0, "N", "write the result to this descriptor, as JSON"},
    {"help", 'h', "", "show this help"},
    {"version", 0, "", "show the version"},
};

constexpr OptionSpec kHelp{"help", 'h', "", "show this help"};

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

/// ARCHITECTURE.md, "How a container lives": the defaults of --root and --runroot.
std::string default_root() {
    if (::geteuid() == 0) return "/var/lib/hull";
    std::string data = environment("XDG_DATA_HOME");
    if (data.empty()) data = join_path(environment("HOME"), ".local/share");
    return join_path(data, "hull");
}

std::string default_runroot() {
    if (::geteuid() == 0) return "/run/hull";
    std::string runtime = environment("XDG_RUNTIME_DIR");
    if (!runtime.empty()) return join_path(runtime, "hull");
    return "/tmp/hull-" + std::to_string(::geteuid());
}

Result<int> parse_fd(const ParsedArgs& args, std::string_view name) {
    auto text = args.find(name);
    if (!text) return -1;
    auto number = parse_number<int>(*text);
    if (!number || *number < 0)
        return fail(Errc::invalid,
                    "--" + std::string{name} + " " + quote(*text) + " is no descriptor");
    TRY(set_close_on_exec(*number, true));
    return *number;
}

Result<Settings> parse_settings(const ParsedArgs& args) {
    Settings out;
    // First of all, so that later failures are told there.
    out.error_fd = TRY(parse_fd(args, "error-fd"));
    out.result_fd = TRY(parse_fd(args, "result-fd"));
    out.root = TRY(absolute_path(args.get("root", default_root())));
    out.runroot = TRY(absolute_path(args.get("runroot", default_runroot())));
    out.progress = TRY(parse_progress_mode(args.get("progress", "auto")));
    return out;
}

std::vector<Verb> all_verbs() {
    std::vector<Verb> out;
    for (auto make :
         {&pull_verbs, &load_verbs, &save_verbs, &export_verbs, &copy_verbs, &store_verbs,
          &check_verbs, &tree_verbs, &login_verbs, &remote_verbs, &manifest_verbs, &artifact_verbs})
        for (auto& verb : make())
            out.push_back(std::move(verb));
    return out;
}

std::string list_verbs(const std::vector<Verb>& verbs) {
    std::string out;
    size_t width = 0;
    for (const auto& verb : verbs)
        width = std::max(width, verb.name.size());
    for (const auto& verb : verbs)
        out += "  " + std::string{verb.name} + std::string(width - verb.name.size() + 2, ' ') +
               std::string{verb.summary} + "\n";
    return out;
}

std::string general_help(const std::vector<Verb>& verbs) {
    return "Usage: hull-image [OPTIONS] VERB [ARGUMENTS]\n\n"
           "The part of hull that handles images; it confines itself.\n\nVerbs:\n" +
           list_verbs(verbs) + "\nOptions:\n" + format_options(kGlobalOptions) +
           "\nhull-image VERB --help shows the options of a verb.\n";
}

std::string verb_help(const Verb& verb, std::span<const OptionSpec> options) {
    return "Usage: hull image " + std::string{verb.name} + " [OPTIONS] " + std::string{verb.usage} +
           "\n\n" + std::string{verb.summary} + "\n\nOptions:\n" + format_options(options);
}

/// The verbs "GROUP …", as general_help() lists them; empty if there is no such group.
std::vector<Verb> verbs_of_group(const std::vector<Verb>& verbs, const std::string& group) {
    std::vector<Verb> out;
    for (const auto& verb : verbs)
        if (verb.name.starts_with(group + " ")) out.push_back(verb);
    return out;
}

std::string group_help(const std::vector<Verb>& verbs, const std::string& group) {
    return "Usage: hull image " + group + " VERB [ARGUMENTS]\n\nVerbs:\n" + list_verbs(verbs) +
           "\nhull image " + group + " VERB --help shows the options of a verb.\n";
}

/// The verb that `words` begins with, "manifest create" before "manifest"; removes its words.
Result<const Verb*> take_verb(const std::vector<Verb>& verbs, std::vector<std::string>& words) {
    for (size_t count : {2U, 1U}) {
        if (words.size() < count) continue;
        std::string name = words[0] + (count == 2 ? " " + words[1] : "");
        for (const auto& verb : verbs) {
            if (verb.name != name) continue;
            words.erase(words.begin(), words.begin() + static_cast<ptrdiff_t>(count));
            return &verb;
        }
    }
    if (words.empty()) return fail(Errc::invalid, "no verb given", "see hull-image --help");
    std::vector<std::string> names;
    auto group = verbs_of_group(verbs, words[0]);
    for (const auto& verb : group)
        names.emplace_back(verb.name.substr(words[0].size() + 1));
    if (!group.empty())
        return fail(Errc::invalid,
                    words[0] + (words.size() < 2 ? ": a verb is missing"
                                                 : ": unknown verb " + quote(words[1])),
                    "there are " + join(names, ", "));
    for (const auto& verb : verbs)
        names.emplace_back(verb.name);
    auto near = closest_match(words[0], names);
    return fail(Errc::invalid, "unknown verb " + quote(words[0]),
                near ? "did you mean " + *near + "?" : "see hull-image --help");
}

Result<void> run_verb(Context& context, const std::vector<Verb>& verbs,
                      std::vector<std::string> words) {
    bool asks_for_help = words.size() == 2 && (words[1] == "--help" || words[1] == "-h");
    if (auto group = asks_for_help ? verbs_of_group(verbs, words[0]) : std::vector<Verb>{};
        !group.empty())
        return Context::print(group_help(group, words[0]));
    const Verb* verb = TRY(take_verb(verbs, words));
    std::vector<OptionSpec> options = verb->options;
    options.push_back(kHelp);
    ParsedArgs args = TRY(with_context(parse_args(words, options), std::string{verb->name}));
    if (args.has("help")) return Context::print(verb_help(*verb, options));
    size_t count = args.positionals.size();
    if (count < verb->least_arguments || count > verb->most_arguments)
        return fail(
            Errc::invalid,
            std::string{verb->name} + (count < verb->least_arguments ? ": an argument is missing"
                                                                     : ": too many arguments"),
            "usage: hull image " + std::string{verb->name} + " " + std::string{verb->usage});
    if (args.has("quiet")) context.silence();
    TRY(verb->run(context, args));
    return context.write_results();
}

void catch_signals() {
    struct sigaction action{};
    action.sa_handler = [](int) { interrupted.store(true); };
    for (int signal : {SIGINT, SIGTERM, SIGHUP})
        ::sigaction(signal, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
}

int report(const Error& error, int error_fd) {
    bool told = error_fd >= 0 && write_all(error_fd, encode_error(error));
    if (!told) (void)write_all(2, "hull-image: " + error.to_string() + "\n");
    return kHullFailed;
}

}  // namespace

const std::atomic<bool>& Context::cancelled() {
    return interrupted;
}

Result<store::Store> Context::open_store() {
    TRY(create_directories(settings_.root, 0700));
    auto store = TRY(store::Store::open(settings_.root));
    store_settings_ = TRY(store::load_settings(settings_.root));
    return store;
}

Result<void> Context::confine_for_store(ConfineRequest more) const {
    more.write_folders.insert(more.write_folders.begin(), settings_.root);
    // A run folder that cannot be made costs the cache only.
    if (more.cache_folder.empty() && create_directories(settings_.runroot, 0700))
        more.cache_folder = join_path(settings_.runroot, "seccomp");
    return confine(more);
}

registry::Progress& Context::progress() {
    if (!progress_) progress_ = create_progress(settings_.progress, 2);
    return *progress_;
}

Result<void> Context::print(std::string_view text) {
    // What a registry or an image says must not steer a terminal; a program gets the bytes.
    return with_context(::isatty(1) == 1 ? write_all(1, printable(text)) : write_all(1, text),
                        "write to stdout");
}

std::vector<OptionSpec> with_registry_options(std::vector<OptionSpec> own) {
    const std::vector<OptionSpec> shared = {
        {"tls-verify", 0, "BOOL", "check certificates (default true); false allows plain http"},
        {"insecure", 0, "", "the same as --tls-verify=false"},
        {"cert-dir", 0, "DIR", "certificates: CAs *.crt, client *.cert with *.key"},
        {"creds", 0, "USER[:PASSWORD]", "log in as this user"},
        {"no-creds", 0, "", "do not log in"},
        {"authfile", 0, "PATH", "file with credentials, as docker's config.json"},
        {"retry", 0, "N", "attempts after the first when the network fails (default 4)"},
        {"retry-delay", 0, "DURATION",
         "wait before the first of them (default 400ms), then double"},
        {"timeout", 0, "DURATION", "give up when too little comes for so long (default 60s)"},
        {"min-rate", 0, "SIZE", "how much a second is enough (default 1000; at least 1)"},
        {"registries-conf", 0, "PATH", "in the place of /etc/containers/registries.conf"},
    };
    own.insert(own.end(), shared.begin(), shared.end());
    return own;
}

Result<registry::AccessOptions> parse_access_options(const ParsedArgs& args) {
    registry::AccessOptions out;
    out.registries_conf = args.get("registries-conf");
    out.auth_file = args.get("authfile");
    out.certificate_folder = args.get("cert-dir");
    out.anonymous = args.has("no-creds");
    out.cancelled = &Context::cancelled();
    if (auto verify = args.find("tls-verify")) {
        if (*verify != "true" && *verify != "false")
            return fail(Errc::invalid,
                        "--tls-verify " + quote(*verify) + ": must be true or false");
        out.tls_verify = *verify == "true";
    }
    if (args.has("insecure")) out.tls_verify = false;
    if (auto text = args.find("retry")) {
        auto number = parse_number<int>(*text);
        if (!number || *number < 0 || *number > 100)
            return fail(Errc::invalid, "--retry " + quote(*text) + ": must be 0 to 100");
        out.retry.attempts = *number + 1;
    }
    if (auto text = args.find("retry-delay"))
        out.retry.first_delay = std::chrono::duration_cast<std::chrono::milliseconds>(
            TRY(with_context(parse_duration(*text), "--retry-delay")));
    if (auto text = args.find("timeout")) {
        auto wait = TRY(with_context(parse_duration(*text), "--timeout"));
        out.timeout = std::chrono::duration_cast<std::chrono::seconds>(wait);
        if (out.timeout.count() < 1)
            return fail(Errc::invalid, "--timeout " + quote(*text) + ": must be 1s or more");
    }
    if (auto text = args.find("min-rate")) {
        auto rate = TRY(with_context(parse_bytes(*text), "--min-rate"));
        if (rate.value < 1 || rate.value > UINT32_MAX)
            return fail(Errc::invalid, "--min-rate " + quote(*text) + ": must be 1 to 4g");
        out.least_rate = static_cast<uint32_t>(rate.value);
    }
    if (auto text = args.find("creds")) {
        size_t colon = text->find(':');
        registry::Credential credential;
        credential.username = text->substr(0, colon);
        if (colon != std::string::npos) credential.password = text->substr(colon + 1);
        if (credential.username.empty())
            return fail(Errc::invalid, "--creds: must be USER[:PASSWORD]");
        out.credential = std::move(credential);
    }
    return out;
}

void add_registry_paths(const registry::AccessOptions& options, ConfineRequest& request) {
    auto add = [&](std::string path) {
        if (!path.empty()) request.read_paths.push_back(std::move(path));
    };
    add(options.certificate_folder);
    add(options.registries_conf);
    add(environment("SSL_CERT_FILE"));
    for (auto& folder : registry::certificate_folders())
        add(std::move(folder));
}

Result<spec::Platform> parse_platform_option(const ParsedArgs& args) {
    auto text = args.find("platform");
    return text ? with_context(spec::parse_platform(*text), "--platform") : spec::host_platform();
}

int run_hull_image(std::span<const std::string> args) {
    catch_signals();
    auto parsed = parse_args(args, kGlobalOptions, {.stop_after_positionals = 1});
    if (!parsed) return report(parsed.error(), -1);
    auto verbs = all_verbs();
    if (parsed->has("version")) {
        (void)Context::print("hull-image version " HULL_VERSION "\n");
        return 0;
    }
    if (parsed->has("help") || parsed->positionals.empty()) {
        (void)Context::print(general_help(verbs));
        return parsed->has("help") ? 0 : kHullFailed;
    }
    auto settings = parse_settings(*parsed);
    if (!settings) return report(settings.error(), -1);
    int error_fd = settings->error_fd;
    Context context{std::move(*settings)};
    auto done = run_verb(context, verbs, parsed->positionals);
    return done ? 0 : report(done.error(), error_fd);
}

}  // namespace hull::image
