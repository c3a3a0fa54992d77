#include "jail/hooks.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>

#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "kernel/process.hpp"

namespace hull::jail {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kKeptErrorText = 4096;

/// A process group of its own, so that a timeout ends also what the hook started; no signal is
/// blocked or ignored in it.
Result<pid_t> start_hook(const HookPlan& hook, const HookRun& run, int input, int errors) {
    SpawnOptions options;
    ::posix_spawn_file_actions_adddup2(&options.actions, input, 0);
    ::posix_spawn_file_actions_adddup2(&options.actions, errors, 2);
    if (run.outputs.out >= 0)
        ::posix_spawn_file_actions_adddup2(&options.actions, run.outputs.out, 1);
    if (!run.directory.empty())
        ::posix_spawn_file_actions_addchdir_np(&options.actions, run.directory.c_str());
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&options.attributes, &none);
    ::posix_spawnattr_setsigdefault(&options.attributes, &all);
    ::posix_spawnattr_setpgroup(&options.attributes, 0);
    ::posix_spawnattr_setflags(
        &options.attributes,
        static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
    std::vector<std::string> args = hook.args.empty() ? std::vector{hook.path} : hook.args;
    auto argv = exec_pointers(args);
    auto environment = exec_pointers(hook.environment);
    pid_t pid = -1;
    int failed = ::posix_spawn(&pid, hook.path.c_str(), &options.actions, &options.attributes,
                               argv.data(), environment.data());
    if (failed != 0) return fail_errno(failed, "start " + hook.path);
    return pid;
}

/// A hook may end without reading its state: that must not end us.
class NoSigpipe {
  public:
    NoSigpipe() {
        struct sigaction ignore{};
        ignore.sa_handler = SIG_IGN;
        ::sigaction(SIGPIPE, &ignore, &saved_);
    }
    ~NoSigpipe() { ::sigaction(SIGPIPE, &saved_, nullptr); }
    NoSigpipe(const NoSigpipe&) = delete;
    NoSigpipe& operator=(const NoSigpipe&) = delete;

  private:
    struct sigaction saved_{};
};

int milliseconds_left(const std::optional<Clock::time_point>& deadline) {
    if (!deadline) return -1;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
    return left < 0 ? 0 : static_cast<int>(std::min<int64_t>(left, 1 << 30));
}

/// Carries the state in and stderr out until the hook has ended.
class HookPipes {
  public:
    HookPipes(Fd input, Fd errors, const HookRun& run)
        : input_(std::move(input)),
          errors_(std::move(errors)),
          state_(run.state),
          copy_(run.outputs.errors >= 0 ? run.outputs.errors : 2) {}

    /// False: the deadline came first.
    Result<bool> carry_until_end(int pidfd, const std::optional<Clock::time_point>& deadline) {
        while (true) {
            std::array<pollfd, 3> fds{pollfd{pidfd, POLLIN, 0},
                                      pollfd{state_.empty() ? -1 : input_.get(), POLLOUT, 0},
                                      pollfd{errors_.get(), POLLIN, 0}};
            if (state_.empty()) input_.reset();
            int ready = ::poll(fds.data(), fds.size(), milliseconds_left(deadline));
            if (ready < 0 && errno == EINTR) continue;
            if (ready < 0) return fail_errno(errno, "poll");
            if (ready == 0) return false;
            if (fds[2].revents != 0) read_errors();
            if (fds[1].revents != 0) write_state();
            // What it wrote last is in the pipe by now; a child of its may hold the other end on.
            if (fds[0].revents != 0 && fds[2].revents == 0) return true;
            if (fds[0].revents != 0 && !errors_) return true;
        }
    }
    std::string_view error_text() const { return trim(text_); }

  private:
    void write_state() {
        ssize_t count = ::write(input_.get(), state_.data(), state_.size());
        if (count > 0)
            state_.remove_prefix(static_cast<size_t>(count));
        else if (count < 0 && errno != EAGAIN && errno != EINTR)
            state_ = {};  // it does not want to read it
    }
    void read_errors() {
        std::array<char, 4096> buffer{};
        ssize_t count = ::read(errors_.get(), buffer.data(), buffer.size());
        if (count <= 0) {
            if (count == 0 || (errno != EAGAIN && errno != EINTR)) errors_.reset();
            return;
        }
        std::string_view piece{buffer.data(), static_cast<size_t>(count)};
        (void)write_all(copy_, piece);
        text_ += piece;
        if (text_.size() > kKeptErrorText) text_.erase(0, text_.size() - kKeptErrorText);
    }

    Fd input_;
    Fd errors_;
    std::string_view state_;
    int copy_;
    std::string text_;
};

Result<void> make_nonblocking(int fd) {
    int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return fail_errno(errno, "fcntl O_NONBLOCK");
    return {};
}

Result<void> judge(const ExitStatus& status, std::string_view error_text) {
    if (status.success()) return {};
    std::string why = status.signal != 0 ? "was killed by " + kernel::signal_name(status.signal)
                                         : "exited with status " + std::to_string(status.code);
    if (!error_text.empty()) why += ": " + quote(error_text);
    return fail(Errc::invalid, std::move(why));
}

Result<void> run_hook(const HookPlan& hook, const HookRun& run) {
    Pipe input = TRY(create_pipe());
    Pipe errors = TRY(create_pipe());
    pid_t pid = TRY(start_hook(hook, run, input.read_end.get(), errors.write_end.get()));
    input.read_end.reset();
    errors.write_end.reset();
    TRY(make_nonblocking(input.write_end.get()));
    TRY(make_nonblocking(errors.read_end.get()));
    Fd pidfd = TRY(kernel::open_pidfd(pid));
    std::optional<Clock::time_point> deadline;
    if (hook.timeout_seconds) deadline = Clock::now() + std::chrono::seconds(*hook.timeout_seconds);
    HookPipes pipes{std::move(input.write_end), std::move(errors.read_end), run};
    auto ended = pipes.carry_until_end(pidfd.get(), deadline);
    if (!ended || !*ended) ::kill(-pid, SIGKILL);
    ExitStatus status = TRY(wait_for(pid));
    if (!ended) return fail(std::move(ended).error());
    if (!*ended)
        return fail(Errc::timeout,
                    "took longer than its timeout of " + std::to_string(*hook.timeout_seconds) +
                        " s and was killed",
                    "raise the hook's timeout");
    return judge(status, pipes.error_text());
}

}  // namespace

Result<void> run_hooks(const std::vector<HookPlan>& hooks, const HookRun& run) {
    const NoSigpipe no_sigpipe;
    for (size_t i = 0; i < hooks.size(); ++i) {
        auto done = run_hook(hooks[i], run);
        if (done) continue;
        Error error = std::move(done).error().with_context(
            std::string{run.stage} + " hook " + std::to_string(i) + " (" + hooks[i].path + ")");
        if (run.stop_at_failure) return fail(std::move(error));
        log::warning(error.to_string());
    }
    return {};
}

}  // namespace hull::jail
