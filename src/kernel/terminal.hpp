#pragma once

#include <termios.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull::kernel {

/// Both ends of a pseudo-terminal, pty(7).
struct Pty {
    Fd master;
    Fd slave;
    uint32_t number = 0;  ///< N of /dev/pts/N
};
/// From the host's /dev/ptmx.
Result<Pty> create_pty();
/// From a devpts instance, given by the descriptor of its (detached or attached) root: no path of a
/// container is walked; the other end is opened from the first one (TIOCGPTPEER).
/// @errors corrupt: `devpts_root` is not a devpts
Result<Pty> create_pty_in(int devpts_root);

/// Rows and columns of characters.
struct WindowSize {
    uint16_t rows = 0;
    uint16_t columns = 0;
    bool operator==(const WindowSize&) const = default;
};
Result<void> set_window_size(int terminal, WindowSize size);
Result<WindowSize> window_size(int terminal);
bool is_terminal(int fd);
/// The terminal this process was started from: stdin, stdout or stderr, else the controlling one.
/// @return  a descriptor of our own. @errors not_found: there is none
Result<Fd> open_own_terminal();
/// Switches off that the terminal writes CR LF for LF (ONLCR), as runc does for the container's.
Result<void> clear_newline_translation(int terminal);

/// Makes `slave` the controlling terminal of this process, which becomes a session leader.
Result<void> make_controlling_terminal(int slave);

/// Connects to the unix socket that waits for a terminal (--console-socket).
Result<Fd> connect_console_socket(const std::string& path);
/// Sends the pty's master in runc's format: one message, the descriptor as SCM_RIGHTS, its name
/// ("/dev/ptmx") as payload. @see runc docs/terminals.md
Result<void> send_console(int socket, int master, const std::string& name = "/dev/ptmx");

/// Puts a terminal into raw mode and back when destroyed (also after an error).
class RawMode {
  public:
    /// @param terminal  borrowed; must stay open
    static Result<RawMode> enter(int terminal);
    RawMode(RawMode&& other) noexcept;
    RawMode& operator=(RawMode&& other) noexcept;
    RawMode(const RawMode&) = delete;
    RawMode& operator=(const RawMode&) = delete;
    ~RawMode() { restore(); }
    void restore();

  private:
    RawMode(int terminal, const termios& saved) : terminal_(terminal), saved_(saved) {}
    int terminal_ = -1;
    termios saved_{};
};

}  // namespace hull::kernel
