#include <fcntl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "image/command.hpp"
#include "registry/credentials.hpp"

namespace hull::image {
namespace {

constexpr std::string_view kDefaultRegistry = "docker.io";

/// "https://index.docker.io/v1/", "HOST/path" -> the host.
std::string host_of(std::string name) {
    for (std::string_view scheme : {"https://", "http://"})
        if (name.starts_with(scheme)) name.erase(0, scheme.size());
    name = name.substr(0, name.find('/'));
    if (name == "index.docker.io" || name == "registry-1.docker.io") return "docker.io";
    return name;
}

Result<std::string> read_line(int fd) {
    std::string out;
    char c = 0;
    for (;;) {
        ssize_t got = ::read(fd, &c, 1);
        if (got < 0 && errno == EINTR && Context::cancelled().load())
            return fail(Errc::cancelled, "interrupted");
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(errno, "read from the terminal");
        if (got == 0 || c == '\n') return out;
        if (out.size() > 4096) return fail(Errc::invalid, "the line is too long");
        out += c;
    }
}

/// Asks on the terminal; `hidden` shows nothing of what is typed.
Result<std::string> ask(const std::string& question, bool hidden) {
    int fd = ::open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return fail(Errc::invalid, "login needs a user name and a password",
                    "give --username and --password-stdin");
    Fd terminal{fd};
    TRY(write_all(fd, question));
    termios before{};
    bool changed = hidden && ::tcgetattr(fd, &before) == 0;
    if (changed) {
        termios quiet = before;
        quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        ::tcsetattr(fd, TCSAFLUSH, &quiet);
    }
    auto line = read_line(fd);
    if (changed) {
        ::tcsetattr(fd, TCSAFLUSH, &before);
        (void)write_all(fd, "\n");
    }
    return line;
}

Result<registry::Credential> read_credential(const ParsedArgs& args) {
    registry::Credential out;
    out.username = args.get("username");
    out.password = args.get("password");
    if (args.has("password-stdin")) {
        if (args.has("password"))
            return fail(Errc::invalid, "--password and --password-stdin cannot go together");
        if (out.username.empty()) return fail(Errc::invalid, "--password-stdin needs --username");
        out.password = TRY(read_all(0, 64U << 10U));
        while (out.password.ends_with('\n') || out.password.ends_with('\r'))
            out.password.pop_back();
    }
    if (out.username.empty()) out.username = TRY(ask("Username: ", false));
    if (out.password.empty()) out.password = TRY(ask("Password: ", true));
    if (out.username.empty() || out.username.find(':') != std::string::npos)
        return fail(Errc::invalid, "the user name " + quote(out.username) + " cannot be used");
    return out;
}

Result<void> ask_registry(const registry::AccessOptions& options, const std::string& host) {
    ConfineRequest confinement{.unpacks = false};
    add_registry_paths(options, confinement);
    auto access = TRY(registry::Access::create(options));
    TRY(enter_namespace({.needs_range = false}));
    TRY(confine(confinement));
    auto client = TRY(access->client(host, ""));
    return client->check_login();
}

/// The registry's answers are read by a confined child; the password is stored by this process,
/// which still may write and run helpers.
Result<void> check_in_child(const registry::AccessOptions& options, const std::string& host) {
    auto pipe = TRY(create_pipe());
    pid_t child = ::fork();
    if (child < 0) return fail_errno(errno, "fork");
    if (child == 0) {
        auto checked = ask_registry(options, host);
        if (!checked) (void)write_all(pipe.write_end.get(), encode_error(checked.error()));
        ::_exit(checked ? 0 : kHullFailed);
    }
    pipe.write_end.reset();
    auto text = read_all(pipe.read_end.get(), 1U << 20U);
    auto status = TRY(wait_for(child));
    if (status.success()) return {};
    auto error = text ? decode_error(*text) : std::nullopt;
    if (error) return fail(std::move(*error));
    return fail(Errc::internal, "the login was ended by signal " + std::to_string(status.signal));
}

Result<void> login(Context& /*context*/, const ParsedArgs& args) {
    auto options = TRY(parse_access_options(args));
    std::string host =
        host_of(args.positionals.empty() ? std::string{kDefaultRegistry} : args.positionals[0]);
    auto paths = registry::find_auth_paths(options.auth_file);
    if (args.has("get-login")) {
        auto known = TRY(registry::find_credential(paths, host, ""));
        if (!known) return fail(Errc::not_found, "not logged in to " + host);
        return Context::print((known->username.empty() ? "<token>" : known->username) + "\n");
    }
    auto credential = TRY(read_credential(args));
    options.credential = credential;
    TRY(check_in_child(options, host));
    TRY(registry::save_credential(paths, host, credential));
    return Context::print("Login Succeeded\n");
}

/// Credentials that another program keeps in a file of its own are not taken away silently.
Result<void> refuse_logout(const registry::AuthPaths& paths, const std::string& host) {
    for (const auto& path : paths.read) {
        if (path == paths.write) continue;
        auto known = TRY(registry::find_credential({{path}, path}, host, ""));
        if (known)
            return fail(
                Errc::not_found,
                "the credentials for " + host + " are in " + path + ", not in " + paths.write,
                "hull logout --authfile " + path + " " + host);
    }
    return fail(Errc::not_found, "not logged in to " + host, "looked in " + paths.write);
}

Result<void> logout(Context& /*context*/, const ParsedArgs& args) {
    auto paths = registry::find_auth_paths(args.get("authfile"));
    std::vector<std::string> hosts;
    if (args.has("all"))
        hosts = TRY(registry::list_credentials(paths));
    else
        hosts.push_back(host_of(args.positionals.empty() ? std::string{kDefaultRegistry}
                                                         : args.positionals[0]));
    for (const auto& host : hosts) {
        bool erased = TRY(registry::erase_credential(paths, host));
        if (!erased && !args.has("all")) return refuse_logout(paths, host);
        if (erased) TRY(Context::print("Removed login credentials for " + host + "\n"));
    }
    return {};
}

}  // namespace

std::vector<Verb> login_verbs() {
    return {
        {"login", "[REGISTRY]", "Store credentials for a registry, after checking them",
         with_registry_options({{"username", 'u', "NAME", "user name"},
                                {"password", 'p', "TEXT", "password (seen by others in ps)"},
                                {"password-stdin", 0, "", "read the password from stdin"},
                                {"get-login", 0, "", "show who is logged in"}}),
         &login, 0, 1},
        {"logout",
         "[REGISTRY]",
         "Remove the credentials for a registry",
         {{"authfile", 0, "PATH", "file with credentials, as docker's config.json"},
          {"all", 'a', "", "for all registries"}},
         &logout,
         0,
         1},
    };
}

}  // namespace hull::image
