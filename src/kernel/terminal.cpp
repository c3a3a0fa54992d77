#include "kernel/terminal.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/closing.hpp"
#include "base/file.hpp"
#include "kernel/mount.hpp"

namespace hull::kernel {

namespace {

Result<Pty> finish_pty(Fd master) {
    int unlock = 0;
    if (::ioctl(master.get(), TIOCSPTLCK, &unlock) < 0)
        return fail_errno(errno, "unlock a terminal");
    Pty pty;
    if (::ioctl(master.get(), TIOCGPTN, &pty.number) < 0)
        return fail_errno(errno, "read a terminal's number");
    // From the master, not by the path /dev/pts/N (TIOCGPTPEER, 4.13).
    int slave = ::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) return fail_errno(errno, "open a terminal's other end");
    pty.master = std::move(master);
    pty.slave = Fd{slave};
    return pty;
}

}  // namespace

Result<Pty> create_pty() {
    return finish_pty(TRY(open_path("/dev/ptmx", O_RDWR | O_NOCTTY)));
}

Result<Pty> create_pty_in(int devpts_root) {
    TRY(with_context(verify_mount(devpts_root, kDevptsMagic), "devpts"));
    return finish_pty(TRY(open_at(devpts_root, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW)));
}

Result<void> set_window_size(int terminal, WindowSize size) {
    winsize value{};
    value.ws_row = size.rows;
    value.ws_col = size.columns;
    if (::ioctl(terminal, TIOCSWINSZ, &value) < 0)
        return fail_errno(errno, "set a terminal's size");
    return {};
}

Result<WindowSize> window_size(int terminal) {
    winsize value{};
    if (::ioctl(terminal, TIOCGWINSZ, &value) < 0)
        return fail_errno(errno, "read a terminal's size");
    return WindowSize{value.ws_row, value.ws_col};
}

bool is_terminal(int fd) {
    return ::isatty(fd) == 1;
}

Result<Fd> open_own_terminal() {
    for (int fd : {0, 1, 2}) {
        if (!is_terminal(fd)) continue;
        Fd copy{::fcntl(fd, F_DUPFD_CLOEXEC, 3)};
        if (!copy) return fail_errno(errno, "duplicate the terminal's descriptor");
        return copy;
    }
    // tty(4): ENXIO without a controlling terminal, whatever else it may be.
    if (auto controlling = open_path("/dev/tty", O_RDWR | O_NOCTTY)) return controlling;
    return fail(Errc::not_found, "neither stdin, stdout nor stderr is a terminal");
}

Result<void> clear_newline_translation(int terminal) {
    termios settings{};
    if (::tcgetattr(terminal, &settings) < 0) return fail_errno(errno, "read terminal settings");
    settings.c_oflag &= ~static_cast<tcflag_t>(ONLCR);
    if (::tcsetattr(terminal, TCSANOW, &settings) < 0)
        return fail_errno(errno, "change terminal settings");
    return {};
}

Result<void> make_controlling_terminal(int slave) {
    if (::setsid() < 0 && errno != EPERM) return fail_errno(errno, "start a session");
    if (::ioctl(slave, TIOCSCTTY, 0) < 0) return fail_errno(errno, "take the controlling terminal");
    return {};
}

Result<Fd> connect_console_socket(const std::string& path) {
    // sockaddr_un has 108 bytes: through the folder's descriptor any path fits.
    Fd folder = TRY(open_path(parent_path(path), O_PATH | O_DIRECTORY));
    std::string name = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + base_name(path);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (name.size() >= sizeof address.sun_path)
        return fail(Errc::invalid, "console socket " + path + ": its name is too long");
    std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
    Fd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!socket) return fail_errno(errno, "make a socket");
    ClosedTogether::exempt(socket.get());
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
        return fail_errno(errno, "connect to console socket " + path,
                          "somebody must listen on it before the container is created");
    return socket;
}

Result<void> send_console(int socket, int master, const std::string& name) {
    return with_context(send_with_fds(socket, name, std::span(&master, 1)), "send the terminal");
}

Result<RawMode> RawMode::enter(int terminal) {
    termios saved{};
    if (::tcgetattr(terminal, &saved) < 0) return fail_errno(errno, "read terminal settings");
    termios raw = saved;
    ::cfmakeraw(&raw);
    if (::tcsetattr(terminal, TCSADRAIN, &raw) < 0)
        return fail_errno(errno, "put the terminal into raw mode");
    return RawMode{terminal, saved};
}

RawMode::RawMode(RawMode&& other) noexcept
    : terminal_(std::exchange(other.terminal_, -1)), saved_(other.saved_) {}

RawMode& RawMode::operator=(RawMode&& other) noexcept {
    if (this != &other) {
        restore();
        terminal_ = std::exchange(other.terminal_, -1);
        saved_ = other.saved_;
    }
    return *this;
}

void RawMode::restore() {
    if (terminal_ >= 0) (void)::tcsetattr(terminal_, TCSADRAIN, &saved_);
    terminal_ = -1;
}

}  // namespace hull::kernel
