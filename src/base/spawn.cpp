#include "base/spawn.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>

#include "base/file.hpp"

namespace hull {
std::vector<char*> exec_pointers(const std::vector<std::string>& strings) {
    std::vector<char*> out;
    out.reserve(strings.size() + 1);
    for (const auto& text : strings)
        out.push_back(const_cast<char*>(text.c_str()));
    out.push_back(nullptr);
    return out;
}

Result<pid_t> spawn(const SpawnRequest& request) {
    SpawnOptions options;
    // Two steps, because a target number may be the source of another pair: first every source to a
    // number above all targets, then each to its target.
    int above = 100;
    for (const auto& [ours, theirs] : request.fds)
        above = std::max({above, ours + 1, theirs + 1});
    int parked = above;
    for (const auto& [ours, theirs] : request.fds)
        ::posix_spawn_file_actions_adddup2(&options.actions, ours, parked++);
    parked = above;
    for (const auto& [ours, theirs] : request.fds) {
        ::posix_spawn_file_actions_adddup2(&options.actions, parked, theirs);
        ::posix_spawn_file_actions_addclose(&options.actions, parked++);
    }
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (request.new_session) flags = static_cast<short>(flags | POSIX_SPAWN_SETSID);
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&options.attributes, &none);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    ::posix_spawnattr_setsigdefault(&options.attributes, &defaults);
    ::posix_spawnattr_setflags(&options.attributes, flags);

    std::vector<std::string> arguments{request.program};
    arguments.insert(arguments.end(), request.args.begin(), request.args.end());
    auto argv = exec_pointers(arguments);
    auto envp = exec_pointers(request.environment);
    pid_t pid = -1;
    int failed =
        ::posix_spawnp(&pid, request.program.c_str(), &options.actions, &options.attributes,
                       argv.data(), request.environment.empty() ? environ : envp.data());
    if (failed != 0) return fail_errno(failed, "start " + request.program);
    return pid;
}

Result<ExitStatus> wait_for(pid_t pid) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return fail_errno(errno, "wait for process " + std::to_string(pid));
    if (WIFSIGNALED(status)) return ExitStatus{0, WTERMSIG(status)};
    return ExitStatus{WEXITSTATUS(status), 0};
}

namespace {

constexpr size_t kMaxOutput = 64U << 20U;

/// Reads what is there; false at end of file.
bool drain(Fd& from, std::string& into) {
    std::array<char, 16384> buffer{};
    ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    if (got == 0) return false;
    if (into.size() < kMaxOutput) into.append(buffer.data(), static_cast<size_t>(got));
    return true;
}

void exchange(Fd input_end, std::string_view input, Fd out_end, Fd err_end, CommandOutput& output) {
    ::fcntl(input_end.get(), F_SETFL, O_NONBLOCK);
    if (input.empty()) input_end.reset();
    while (out_end || err_end || input_end) {
        std::array<pollfd, 3> watched{pollfd{input_end.get(), POLLOUT, 0},
                                      pollfd{out_end.get(), POLLIN, 0},
                                      pollfd{err_end.get(), POLLIN, 0}};
        if (::poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return;
        if (watched[0].revents != 0) {
            ssize_t put = ::write(input_end.get(), input.data(), input.size());
            if (put > 0) input.remove_prefix(static_cast<size_t>(put));
            if (input.empty() || (put < 0 && errno != EAGAIN && errno != EINTR)) input_end.reset();
        }
        if (watched[1].revents != 0 && !drain(out_end, output.out)) out_end.reset();
        if (watched[2].revents != 0 && !drain(err_end, output.err)) err_end.reset();
    }
}

}  // namespace

Result<CommandOutput> run_command(const SpawnRequest& request, std::string_view input) {
    Pipe in = TRY(create_pipe());
    Pipe out = TRY(create_pipe());
    Pipe err = TRY(create_pipe());
    SpawnRequest with_pipes = request;
    with_pipes.fds.insert(
        with_pipes.fds.end(),
        {{in.read_end.get(), 0}, {out.write_end.get(), 1}, {err.write_end.get(), 2}});
    pid_t pid = TRY(spawn(with_pipes));
    in.read_end.reset();
    out.write_end.reset();
    err.write_end.reset();
    CommandOutput output;
    // A program that does not read its input must not kill us.
    auto previous = std::signal(SIGPIPE, SIG_IGN);
    exchange(std::move(in.write_end), input, std::move(out.read_end), std::move(err.read_end),
             output);
    std::signal(SIGPIPE, previous);
    output.status = TRY(wait_for(pid));
    return output;
}

Result<std::string> find_sibling(const std::string& name) {
    std::array<char, PATH_MAX> self{};
    ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size() - 1);
    if (length > 0) {
        std::string beside = join_path(
            parent_path(std::string_view{self.data(), static_cast<size_t>(length)}), name);
        if (::access(beside.c_str(), X_OK) == 0) return beside;
    }
    std::string installed = "/usr/libexec/hull/" + name;
    if (::access(installed.c_str(), X_OK) == 0) return installed;
    return fail(Errc::not_found,
                "find " + name + ": neither beside this program nor in /usr/libexec/hull",
                "install hull completely, or build it with ./dev build");
}

}  // namespace hull
