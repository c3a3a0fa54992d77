#include "monitor/stdio.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "kernel/terminal.hpp"

namespace hull::monitor {
namespace {

/// A pipe that the container's user may reopen through /dev/stdout: a pipe keeps the owner who
/// made it, and a process of another user namespace would get EACCES.
Result<Pipe> create_owned_pipe(const MonitorSettings& settings) {
    Pipe pipe = TRY(create_pipe());
    if (settings.stdio_uid == ::geteuid() && settings.stdio_gid == ::getegid()) return pipe;
    if (::fchown(pipe.read_end.get(), settings.stdio_uid, settings.stdio_gid) < 0)
        return fail_errno(errno, "give the stdio pipe to the container's user");
    return pipe;
}

void set_nonblocking(int fd) {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

}  // namespace

Result<Stdio> Stdio::create(const MonitorSettings& settings) {
    Stdio stdio;
    stdio.null_ = TRY(open_path("/dev/null", O_RDWR));
    if (settings.terminal) {
        stdio.console_listener_ = TRY(listen_in(settings.directory, kConsoleSocket));
        return stdio;
    }
    Pipe out = TRY(create_owned_pipe(settings));
    Pipe err = TRY(create_owned_pipe(settings));
    stdio.out_ = std::move(out.read_end);
    stdio.err_ = std::move(err.read_end);
    stdio.runtime_out_ = std::move(out.write_end);
    stdio.runtime_err_ = std::move(err.write_end);
    set_nonblocking(stdio.out_.get());
    set_nonblocking(stdio.err_.get());
    if (settings.keep_stdin) {
        stdio.in_pipe_ = TRY(create_owned_pipe(settings));
        stdio.in_ = std::move(stdio.in_pipe_.write_end);
        set_nonblocking(stdio.in_.get());
    }
    return stdio;
}

std::vector<std::pair<int, int>> Stdio::runtime_fds() const {
    auto or_null = [&](const Fd& fd) { return fd ? fd.get() : null_.get(); };
    return {
        {or_null(in_pipe_.read_end), 0}, {or_null(runtime_out_), 1}, {or_null(runtime_err_), 2}};
}

void Stdio::close_runtime_ends() {
    in_pipe_.read_end.reset();
    runtime_out_.reset();
    runtime_err_.reset();
    null_.reset();
}

Result<void> Stdio::accept_terminal() {
    Fd connection(::accept4(console_listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) return fail_errno(errno, "accept the terminal from the runtime");
    auto message = TRY(receive_with_fds(connection.get()));
    if (message.fds.size() != 1)
        return fail(Errc::corrupt, "the runtime sent no terminal over its console socket");
    terminal_ = std::move(message.fds.front());
    console_listener_.reset();
    set_nonblocking(terminal_.get());
    if (wanted_size_.rows != 0) resize(wanted_size_);
    write_more_stdin();
    return {};
}

void Stdio::stop_waiting_for_terminal() {
    console_listener_.reset();
}

void Stdio::close_out() {
    // The terminal's last slave was closed; stdin goes the same way.
    terminal_.reset();
    out_.reset();
}

void Stdio::write_stdin(std::string_view bytes) {
    if (stdin_ended_) return;
    stdin_pending_ += bytes;
    write_more_stdin();
}

void Stdio::end_stdin() {
    stdin_ended_ = true;
    write_more_stdin();
}

int Stdio::blocked_stdin() const {
    return stdin_pending_.empty() ? -1 : stdin_fd();
}

void Stdio::write_more_stdin() {
    if (stdin_fd() < 0) {
        if (!awaits_terminal()) stdin_pending_.clear();
        return;
    }
    while (!stdin_pending_.empty()) {
        ssize_t put = ::write(stdin_fd(), stdin_pending_.data(), stdin_pending_.size());
        if (put > 0) {
            stdin_pending_.erase(0, static_cast<size_t>(put));
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            stdin_pending_.clear();  // the container closed its stdin
            in_.reset();
            return;
        }
    }
    if (stdin_ended_) in_.reset();
}

void Stdio::resize(TerminalSize size) {
    wanted_size_ = size;
    if (terminal_) (void)kernel::set_window_size(terminal_.get(), {size.rows, size.columns});
}

}  // namespace hull::monitor
