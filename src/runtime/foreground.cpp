#include "runtime/foreground.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "base/log.hpp"
#include "kernel/process.hpp"

namespace hull::runtime {
namespace {

/// One direction between the user's terminal and the pty.
class Copy {
  public:
    Copy(int from, int to) : from_(from), to_(to) {}
    bool is_open() const { return from_ >= 0; }
    pollfd wait() const {
        if (!pending_.empty()) return {to_, POLLOUT, 0};
        return {from_, POLLIN, 0};
    }
    void step() {
        if (pending_.empty()) {
            std::array<char, 16384> buffer{};
            ssize_t count = ::read(from_, buffer.data(), buffer.size());
            // EIO: the last process has closed the other end of the pty.
            if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) from_ = -1;
            if (count <= 0) return;
            pending_.assign(buffer.data(), static_cast<size_t>(count));
        }
        ssize_t count = ::write(to_, pending_.data(), pending_.size());
        if (count > 0) pending_.erase(0, static_cast<size_t>(count));
        if (count < 0 && errno != EINTR && errno != EAGAIN) from_ = -1;
    }
    /// What is left in the pty after the end.
    void drain() {
        pollfd ready = wait();
        while (is_open() && ::poll(&ready, 1, 0) > 0) {
            step();
            ready = wait();
        }
    }

  private:
    int from_;
    int to_;
    std::string pending_;
};

/// Nothing where nobody has set it: process.consoleSize stays.
std::optional<kernel::WindowSize> size_of(int terminal) {
    auto size = kernel::window_size(terminal);
    if (!size || size->rows == 0 || size->columns == 0) return std::nullopt;
    return *size;
}

class Session {
  public:
    Session(pid_t pid, int pidfd, int signals, int master, int own_terminal)
        : pid_(pid),
          pidfd_(pidfd),
          signals_(signals),
          master_(master),
          own_terminal_(own_terminal),
          in_(master < 0 ? -1 : 0, master),
          out_(master, 1) {}

    Result<ExitStatus> run(std::optional<NotifyRelay>& notify) {
        resize();
        while (!ended_) {
            std::array<pollfd, 5> fds{pollfd{signals_, POLLIN, 0}, pollfd{pidfd_, POLLIN, 0},
                                      pollfd{notify ? notify->fd() : -1, POLLIN, 0}, in_.wait(),
                                      out_.wait()};
            if (::poll(fds.data(), fds.size(), -1) < 0) {
                if (errno == EINTR) continue;
                return fail_errno(errno, "poll");
            }
            if (fds[3].revents != 0) in_.step();
            if (fds[4].revents != 0) out_.step();
            if (fds[2].revents != 0) relay(notify);
            if (fds[0].revents != 0) take_signal();
            if (fds[1].revents != 0) reap();
        }
        out_.drain();
        return *ended_;
    }

  private:
    void resize() const {
        if (master_ < 0) return;
        if (auto size = size_of(own_terminal_)) (void)kernel::set_window_size(master_, *size);
    }
    static void relay_failed(const Error& error) { log::warning(error.to_string()); }
    void relay(std::optional<NotifyRelay>& notify) const {
        auto ready = notify->relay(pid_);
        if (!ready) relay_failed(ready.error());
        if (!ready || *ready) notify.reset();
    }
    void take_signal() {
        signalfd_siginfo info{};
        if (::read(signals_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
        int signal = static_cast<int>(info.ssi_signo);
        if (signal == SIGCHLD) return reap();
        if (signal == SIGWINCH) return resize();
        (void)kernel::send_signal(pidfd_, signal);
    }
    /// All children that have ended: ours, and as a subreaper the container's orphans.
    void reap() {
        int status = 0;
        for (pid_t pid = ::waitpid(-1, &status, WNOHANG); pid > 0;
             pid = ::waitpid(-1, &status, WNOHANG)) {
            if (pid != pid_) continue;
            ended_ = ExitStatus{.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
                                .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0};
        }
    }

    pid_t pid_;
    int pidfd_;
    int signals_;
    int master_;
    int own_terminal_;
    Copy in_;
    Copy out_;
    std::optional<ExitStatus> ended_;
};

}  // namespace

Result<Foreground> Foreground::create(Options options) {
    Foreground foreground;
    if (options.is_subreaper) TRY(kernel::set_child_subreaper(true));
    if (options.has_terminal) {
        auto own = kernel::open_own_terminal();
        if (!own)
            return fail(std::move(own)
                            .error()
                            .with_context("cannot allocate tty")
                            .with_hint("give --console-socket, start from a terminal, or ask for "
                                       "none: process.terminal, --tty"));
        foreground.own_terminal_ = std::move(*own);
        SocketPair pair = TRY(create_socket_pair(SOCK_STREAM));
        foreground.console_parent_ = std::move(pair.first);
        foreground.console_child_ = std::move(pair.second);
    }
    sigset_t all;
    sigfillset(&all);
    sigset_t saved;
    if (::sigprocmask(SIG_BLOCK, &all, &saved) < 0) return fail_errno(errno, "sigprocmask");
    foreground.saved_mask_ = saved;
    foreground.signals_ = Fd{::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK)};
    if (!foreground.signals_) return fail_errno(errno, "signalfd");
    return foreground;
}

Foreground::~Foreground() {
    if (signals_ && saved_mask_) ::sigprocmask(SIG_SETMASK, &*saved_mask_, nullptr);
}

void Foreground::set_console_size(jail::ProcessPlan& process) const {
    if (!own_terminal_) return;
    if (auto size = size_of(own_terminal_.get()))
        process.console_size = jail::ConsoleSize{.width = size->columns, .height = size->rows};
}

Result<ExitStatus> Foreground::stay_with(pid_t pid, int pidfd, std::optional<NotifyRelay> notify) {
    console_child_.reset();
    Fd master;
    std::optional<kernel::RawMode> raw;
    if (console_parent_) {
        auto message = TRY(receive_with_fds(console_parent_.get()));
        if (message.fds.size() != 1)
            return fail(Errc::internal, "the container's setup sent no terminal");
        master = std::move(message.fds.front());
        raw = TRY(kernel::RawMode::enter(own_terminal_.get()));
    }
    return Session{pid, pidfd, signals_.get(), master.get(), own_terminal_.get()}.run(notify);
}

}  // namespace hull::runtime
