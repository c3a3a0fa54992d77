#include "cli/session.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/text.hpp"
#include "kernel/terminal.hpp"

namespace hull::cli {

using monitor::Frame;
using monitor::FrameType;

namespace {

constexpr size_t kInputChunk = 32768;

/// Signals that are the container's business. Stopping and continuing stay ours (job control), as
/// do those that a fault of our own raises.
constexpr std::array kForwarded = {SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1, SIGUSR2,
                                   SIGALRM, SIGTERM, SIGIO,   SIGPWR,  SIGVTALRM};

/// The signals we act on, as a descriptor; the old mask comes back at the end.
class SignalWatch {
  public:
    static Result<SignalWatch> start(bool forward) {
        SignalWatch watch;
        sigset_t wanted;
        sigemptyset(&wanted);
        sigaddset(&wanted, SIGWINCH);
        if (forward)
            for (int signal : kForwarded)
                sigaddset(&wanted, signal);
        if (::sigprocmask(SIG_BLOCK, &wanted, &watch.old_) < 0)
            return fail_errno(errno, "block signals");
        watch.fd_ = Fd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
        if (!watch.fd_) return fail_errno(errno, "make a signalfd");
        return watch;
    }
    SignalWatch(SignalWatch&&) = default;
    SignalWatch& operator=(SignalWatch&&) = delete;
    ~SignalWatch() {
        if (fd_) ::sigprocmask(SIG_SETMASK, &old_, nullptr);
    }
    int fd() const { return fd_.get(); }

  private:
    SignalWatch() = default;
    Fd fd_;
    sigset_t old_{};
};

/// Finds the detach keys in what is typed, also when they arrive apart.
class DetachKeys {
  public:
    explicit DetachKeys(std::string keys) : keys_(std::move(keys)) {}
    /// What is to be passed on of `typed`; `matched` when the sequence is complete.
    std::string filter(std::string_view typed, bool& matched) {
        std::string out;
        for (char c : typed) {
            if (!keys_.empty() && c == keys_[seen_]) {
                if (++seen_ == keys_.size()) {
                    matched = true;
                    return out;
                }
                continue;
            }
            out += keys_.substr(0, seen_);
            seen_ = !keys_.empty() && c == keys_[0] ? 1 : 0;
            if (seen_ == 0) out += c;
        }
        return out;
    }

  private:
    std::string keys_;
    size_t seen_ = 0;
};

class Session {
  public:
    Session(engine::MonitorConnection& connection, const SessionOptions& options)
        : connection_(connection),
          options_(options),
          keys_(options.detach_keys),
          reads_stdin_(options.forward_stdin) {}

    Result<SessionResult> run();

  private:
    Result<void> handle_frame(const Frame& frame);
    Result<void> handle_stdin();
    Result<void> handle_signals();
    Result<void> send_size();
    void write_output(int fd, std::string_view bytes);

    engine::MonitorConnection& connection_;
    const SessionOptions& options_;
    std::optional<SignalWatch> signals_;
    DetachKeys keys_;
    std::optional<SessionResult> result_;
    bool reads_stdin_;
    bool stdin_under_way_ = false;
};

Result<void> Session::send_size() {
    if (!options_.terminal) return {};
    auto size = own_terminal_size();
    if (!size) return {};
    return connection_.send(FrameType::resize, monitor::encode_size(*size));
}

/// Output that nobody takes (a closed pipe) is dropped; the container goes on.
void Session::write_output(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        ssize_t put = ::write(fd, bytes.data(), bytes.size());
        if (put > 0) {
            bytes.remove_prefix(static_cast<size_t>(put));
        } else if (errno == EAGAIN) {
            pollfd ready{fd, POLLOUT, 0};
            ::poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

Result<void> Session::handle_frame(const Frame& frame) {
    switch (frame.type) {
        case FrameType::stdout_data:
            write_output(1, frame.payload);
            break;
        case FrameType::stderr_data:
            write_output(2, frame.payload);
            break;
        case FrameType::stdin_taken:
            stdin_under_way_ = false;
            break;
        case FrameType::started:
            if (options_.on_started) options_.on_started();
            return send_size();
        case FrameType::exited:
            result_ = SessionResult{
                SessionEnd::exited, parse_number<int>(frame.payload).value_or(kHullFailed), {}};
            break;
        case FrameType::failed: {
            auto error = decode_error(frame.payload);
            result_ = SessionResult{
                SessionEnd::failed, kHullFailed,
                error ? std::move(*error) : make_error(Errc::internal, frame.payload)};
            break;
        }
        default:
            break;
    }
    return {};
}

Result<void> Session::handle_stdin() {
    std::array<char, kInputChunk> buffer{};
    ssize_t got = ::read(0, buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return {};
    if (got <= 0) {
        reads_stdin_ = false;
        return connection_.send(FrameType::stdin_end);
    }
    std::string_view bytes(buffer.data(), static_cast<size_t>(got));
    bool detached = false;
    std::string passed = options_.terminal ? keys_.filter(bytes, detached) : std::string(bytes);
    if (!passed.empty()) {
        TRY(connection_.send(FrameType::stdin_data, passed));
        stdin_under_way_ = true;
    }
    if (detached) result_ = SessionResult{SessionEnd::detached, 0, {}};
    return {};
}

Result<void> Session::handle_signals() {
    signalfd_siginfo info{};
    while (::read(signals_->fd(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        if (info.ssi_signo == SIGWINCH)
            TRY(send_size());
        else
            TRY(connection_.send(FrameType::signal, std::to_string(info.ssi_signo)));
    }
    return {};
}

Result<SessionResult> Session::run() {
    signals_.emplace(TRY(SignalWatch::start(options_.forward_signals)));
    std::optional<kernel::RawMode> raw;
    if (options_.terminal && options_.forward_stdin && kernel::is_terminal(0))
        raw.emplace(TRY(kernel::RawMode::enter(0)));
    TRY(send_size());
    bool monitor_is_there = true;
    while (!result_) {
        auto frame = TRY(connection_.next_buffered());
        if (frame) {
            TRY(handle_frame(*frame));
            continue;
        }
        if (!monitor_is_there) return SessionResult{};
        bool polls_stdin = reads_stdin_ && !stdin_under_way_;
        std::array<pollfd, 3> watched{pollfd{connection_.fd(), POLLIN, 0},
                                      pollfd{signals_->fd(), POLLIN, 0},
                                      pollfd{polls_stdin ? 0 : -1, POLLIN, 0}};
        if (::poll(watched.data(), watched.size(), -1) < 0) {
            if (errno == EINTR) continue;
            return fail_errno(errno, "wait for the container");
        }
        // A monitor that is gone refuses what is sent; what it said before is still read.
        if (watched[1].revents != 0 && !handle_signals()) monitor_is_there = false;
        if (watched[2].revents != 0 && !handle_stdin()) reads_stdin_ = false;
        if (watched[0].revents != 0 && !TRY(connection_.read_more())) monitor_is_there = false;
    }
    return *result_;
}

}  // namespace

std::optional<monitor::TerminalSize> own_terminal_size() {
    for (int fd : {0, 1, 2}) {
        if (!kernel::is_terminal(fd)) continue;
        auto size = kernel::window_size(fd);
        if (size) return monitor::TerminalSize{size->rows, size->columns};
    }
    return std::nullopt;
}

Result<SessionResult> run_session(engine::MonitorConnection& connection,
                                  const SessionOptions& options) {
    return Session(connection, options).run();
}

}  // namespace hull::cli
