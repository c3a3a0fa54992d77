#include "base/fd.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/closing.hpp"

namespace hull {

void Fd::reset(int fd) {
    if (fd_ >= 0 && !ClosedTogether::takes(fd_)) ::close(fd_);
    fd_ = fd;
}

Result<Fd> Fd::duplicate() const {
    int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) return fail_errno(errno, "duplicate descriptor " + std::to_string(fd_));
    return Fd{copy};
}

Result<Fd> open_at(int directory, const std::string& path, int flags, mode_t mode) {
    int fd = -1;
    do {
        fd = ::openat(directory, path.c_str(), flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return fail_errno(errno, "open " + path);
    return Fd{fd};
}

Result<Fd> open_path(const std::string& path, int flags, mode_t mode) {
    return open_at(AT_FDCWD, path, flags, mode);
}

Result<Pipe> create_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) < 0) return fail_errno(errno, "create a pipe");
    for (const int fd : ends)
        ClosedTogether::exempt(fd);
    return Pipe{Fd{ends[0]}, Fd{ends[1]}};
}

Result<SocketPair> create_socket_pair(int type) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) < 0)
        return fail_errno(errno, "create a socket pair");
    for (const int fd : ends)
        ClosedTogether::exempt(fd);
    return SocketPair{Fd{ends[0]}, Fd{ends[1]}};
}

Result<std::string> read_all(int fd, size_t limit) {
    std::string out;
    std::array<char, 16384> buffer;  // what read(2) does not fill costs no memory
    for (;;) {
        ssize_t got = ::read(fd, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(errno, "read descriptor " + std::to_string(fd));
        if (got == 0) return out;
        out.append(buffer.data(), static_cast<size_t>(got));
        if (out.size() > limit)
            return fail(Errc::invalid, "input is larger than " + std::to_string(limit) + " bytes");
    }
}

Result<void> write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        ssize_t put = ::write(fd, bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno(errno, "write descriptor " + std::to_string(fd));
        bytes.remove_prefix(static_cast<size_t>(put));
    }
    return {};
}

namespace {
constexpr size_t kMaxFds = 64;
}

Result<void> send_with_fds(int socket, std::string_view bytes, std::span<const int> fds) {
    if (fds.size() > kMaxFds)
        return fail(Errc::internal, "more than 64 descriptors in one message");
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) return fail_errno(errno, "send on a socket");
    if (static_cast<size_t>(sent) < bytes.size())
        return write_all(socket, bytes.substr(static_cast<size_t>(sent)));
    return {};
}

Result<ReceivedMessage> receive_with_fds(int socket, size_t limit) {
    ReceivedMessage out;
    out.bytes.resize(limit);
    iovec part{out.bytes.data(), out.bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t got = 0;
    do {
        got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return fail_errno(errno, "receive on a socket");
    out.bytes.resize(static_cast<size_t>(got));
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            out.fds.emplace_back(fd);
        }
    }
    if ((message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0)
        return fail(Errc::corrupt, "a message on a socket was cut off");
    return out;
}

Result<void> set_close_on_exec(int fd, bool on) {
    int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || ::fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC) < 0)
        return fail_errno(errno, "set close-on-exec of descriptor " + std::to_string(fd));
    return {};
}

}  // namespace hull
