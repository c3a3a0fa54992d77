#include "runtime/sd_notify.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::runtime {
namespace {

constexpr int kBarrierTimeout = 30'000;  // ms, as sd_notify_barrier's callers wait

struct SocketAddress {
    sockaddr_un address{};
    socklen_t size = 0;
};

/// "@name" is an abstract socket, unix(7).
Result<SocketAddress> socket_address(const std::string& path) {
    SocketAddress out;
    out.address.sun_family = AF_UNIX;
    if (path.size() >= sizeof out.address.sun_path)
        return fail(Errc::invalid, "socket path " + quote(path) + " is too long");
    std::memcpy(out.address.sun_path, path.data(), path.size());
    if (path.starts_with('@')) out.address.sun_path[0] = '\0';
    out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                      (path.starts_with('@') ? 0 : 1));
    return out;
}

Result<Fd> datagram_socket() {
    Fd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!socket) return fail_errno(errno, "socket");
    return socket;
}

std::string notify_directory(const std::string& container_directory) {
    return join_path(container_directory, "notify");
}

/// sd_notify_barrier(3): returns when the service manager has seen what was sent before, so that
/// our end does not overtake it.
Result<void> wait_for_barrier(int socket) {
    Pipe pipe = TRY(create_pipe());
    int fds[] = {pipe.write_end.get()};
    TRY(send_with_fds(socket, "BARRIER=1", fds));
    pipe.write_end.reset();
    pollfd wait{pipe.read_end.get(), POLLIN, 0};
    while (::poll(&wait, 1, kBarrierTimeout) < 0 && errno == EINTR) {
    }
    return {};
}

Result<void> tell_caller(std::string_view ready_line, pid_t main_pid) {
    const char* caller = ::getenv("NOTIFY_SOCKET");
    if (caller == nullptr) return {};
    auto address = TRY(socket_address(caller));
    Fd socket = TRY(datagram_socket());
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) <
        0)
        return fail_errno(errno, std::string{"connect to NOTIFY_SOCKET "} + caller);
    TRY(write_all(socket.get(), std::string{ready_line} + "\n"));
    TRY(write_all(socket.get(), "MAINPID=" + std::to_string(main_pid) + "\n"));
    return wait_for_barrier(socket.get());
}

}  // namespace

void add_notify_socket(spec::RuntimeConfig& config, const std::string& container_directory) {
    config.mounts.push_back({.destination = "/run/notify",
                             .type = "bind",
                             .source = notify_directory(container_directory),
                             .options = {"bind", "nosuid", "noexec", "nodev", "ro"}});
    if (config.process) config.process->env.emplace_back("NOTIFY_SOCKET=/run/notify/notify.sock");
}

Result<void> make_notify_directory(const std::string& container_directory) {
    return create_directories(notify_directory(container_directory), 0755);
}

Result<std::optional<NotifyRelay>> NotifyRelay::open(const std::string& container_directory) {
    const char* caller = ::getenv("NOTIFY_SOCKET");
    std::string directory = notify_directory(container_directory);
    if (caller == nullptr || caller[0] == '\0' || !path_exists(directory))
        return std::optional<NotifyRelay>{};
    Fd folder = TRY(open_path(directory, O_PATH | O_DIRECTORY));
    // By descriptor: the whole path may be longer than the 107 bytes of a socket address.
    std::string path = "/proc/self/fd/" + std::to_string(folder.get()) + "/notify.sock";
    auto address = TRY(socket_address(path));
    Fd socket = TRY(datagram_socket());
    ::unlinkat(folder.get(), "notify.sock", 0);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) < 0)
        return fail_errno(errno, "bind " + directory + "/notify.sock");
    if (::fchmodat(folder.get(), "notify.sock", 0777, 0) < 0)
        return fail_errno(errno, "chmod " + directory + "/notify.sock");
    return std::optional{NotifyRelay{std::move(socket)}};
}

Result<bool> NotifyRelay::relay(pid_t main_pid) {
    std::array<char, 4096> buffer{};
    ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0) {
        if (errno == EAGAIN || errno == EINTR) return false;
        return fail_errno(errno, "read the container's notify socket");
    }
    for (auto line : split_lines({buffer.data(), static_cast<size_t>(count)})) {
        if (!line.starts_with("READY=")) continue;
        TRY(tell_caller(line, main_pid));
        return true;
    }
    return false;
}

Result<void> NotifyRelay::relay_until_ready(int pidfd, pid_t main_pid) {
    while (true) {
        std::array<pollfd, 2> fds{pollfd{socket_.get(), POLLIN, 0}, pollfd{pidfd, POLLIN, 0}};
        if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR)
            return fail_errno(errno, "poll");
        if (fds[0].revents != 0 && TRY(relay(main_pid))) return {};
        if (fds[0].revents == 0 && fds[1].revents != 0) return {};
    }
}

}  // namespace hull::runtime
