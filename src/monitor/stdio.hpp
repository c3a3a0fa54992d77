#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "monitor/attach.hpp"
#include "monitor/settings.hpp"

namespace hull::monitor {

/// Name of the socket on which the runtime hands over the terminal's master.
inline constexpr std::string_view kConsoleSocket = "console.sock";

/// The container's stdin, stdout and stderr, or its terminal: the monitor's ends of them.
class Stdio {
  public:
    /// Makes the pipes (owned by the settings' stdio user, so that the container may reopen
    /// /dev/stdout), or the console socket in the run directory.
    static Result<Stdio> create(const MonitorSettings& settings);

    /// {ours, its number} for the runtime's process.
    std::vector<std::pair<int, int>> runtime_fds() const;
    /// Call when the runtime has been started: our copies of its ends are closed.
    void close_runtime_ends();

    /// Takes the terminal that the runtime sent, once it has connected.
    Result<void> accept_terminal();
    bool awaits_terminal() const { return console_listener_.is_open(); }
    int console_listener() const { return console_listener_.get(); }
    void stop_waiting_for_terminal();

    /// To read from; -1: closed. With a terminal only `out`.
    int out() const { return terminal_ ? terminal_.get() : out_.get(); }
    int err() const { return err_.get(); }
    void close_out();
    void close_err() { err_.reset(); }

    /// Takes bytes for stdin; what the container does not read yet is kept.
    void write_stdin(std::string_view bytes);
    void end_stdin();
    /// Descriptor that waits to be writable; -1: nothing is kept back.
    int blocked_stdin() const;
    void write_more_stdin();
    bool stdin_is_drained() const { return stdin_pending_.empty(); }

    void resize(TerminalSize size);

  private:
    int stdin_fd() const { return terminal_ ? terminal_.get() : in_.get(); }

    Fd null_;
    Pipe in_pipe_;
    Fd in_;
    Fd out_;
    Fd err_;
    Fd runtime_out_;
    Fd runtime_err_;
    Fd console_listener_;
    Fd terminal_;
    std::string stdin_pending_;
    bool stdin_ended_ = false;
    TerminalSize wanted_size_;
};

}  // namespace hull::monitor
