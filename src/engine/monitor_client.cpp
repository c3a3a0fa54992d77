#include "engine/monitor_client.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/spawn.hpp"

namespace hull::engine {

using monitor::Frame;
using monitor::FrameType;

Result<MonitorConnection> MonitorConnection::connect(const std::string& run_directory,
                                                     uint8_t wants) {
    MonitorConnection connection(TRY(monitor::connect_in(run_directory, monitor::kAttachSocket)));
    char byte = static_cast<char>(wants);
    TRY(connection.send(FrameType::hello, {&byte, 1}));
    return connection;
}

Result<void> MonitorConnection::send(FrameType type, std::string_view payload) {
    std::string bytes = monitor::encode_frame(type, payload);
    std::string_view rest = bytes;
    while (!rest.empty()) {
        ssize_t put = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (put > 0)
            rest.remove_prefix(static_cast<size_t>(put));
        else if (errno != EINTR)
            return fail_errno(errno, "talk to the container's monitor");
    }
    return {};
}

Result<bool> MonitorConnection::read_more() {
    std::array<char, 65536> buffer{};
    while (true) {
        ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
        if (got > 0) {
            reader_.append({buffer.data(), static_cast<size_t>(got)});
            return true;
        }
        if (got == 0 || errno == ECONNRESET) return false;
        if (errno != EINTR) return fail_errno(errno, "listen to the container's monitor");
    }
}

Result<std::optional<Frame>> MonitorConnection::receive(
    std::optional<std::chrono::milliseconds> timeout) {
    auto deadline = std::chrono::steady_clock::now() + timeout.value_or(std::chrono::hours(0));
    while (true) {
        auto frame = TRY(reader_.next());
        if (frame) return frame;
        int wait = -1;
        if (timeout) {
            auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                deadline - std::chrono::steady_clock::now());
            if (left.count() < 0) return fail(Errc::timeout, "the container did not end in time");
            wait = static_cast<int>(left.count()) + 1;
        }
        pollfd watched{socket_.get(), POLLIN, 0};
        int ready = ::poll(&watched, 1, wait);
        if (ready < 0 && errno != EINTR) return fail_errno(errno, "wait for the monitor");
        if (ready > 0 && !TRY(read_more())) return std::nullopt;
    }
}

Result<IdleMonitor> IdleMonitor::start(monitor::Purpose purpose) {
    auto pair = TRY(create_socket_pair(SOCK_STREAM));
    Fd null = TRY(open_path("/dev/null", O_RDWR));
    SpawnRequest request;
    request.program = TRY(find_sibling("hull-monitor"));
    request.args = {std::string(monitor::purpose_name(purpose))};
    request.fds = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}, {pair.second.get(), 3}};
    request.new_session = true;
    pid_t pid = TRY(spawn(request));
    return IdleMonitor(pid, std::move(pair.first));
}

IdleMonitor::~IdleMonitor() {
    if (!socket_) return;
    socket_.reset();
    (void)wait_for(pid_);
}

Result<void> IdleMonitor::mount(const monitor::RootfsSettings& rootfs) {
    return with_context(monitor::send_rootfs(socket_.get(), rootfs),
                        "start the container's monitor");
}

Result<MonitorConnection> IdleMonitor::put_to_work(const monitor::MonitorSettings& settings,
                                                   uint8_t wants) {
    auto lock = TRY(LockFile::acquire(join_path(settings.directory, monitor::kMonitorLock)));
    TRY(with_context(monitor::send_handover(socket_.get(), settings, lock.fd(), wants),
                     "start the container's monitor"));
    return MonitorConnection(std::move(socket_));
}

bool is_monitor_alive(const std::string& run_directory) {
    Fd lock(::open(join_path(run_directory, monitor::kMonitorLock).c_str(), O_RDWR | O_CLOEXEC));
    if (!lock) return false;
    return ::flock(lock.get(), LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

}  // namespace hull::engine
