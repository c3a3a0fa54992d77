#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace hull {

/// Owner of one file descriptor. Every descriptor hull opens is close-on-exec from birth.
class Fd {
  public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    int get() const { return fd_; }
    bool is_open() const { return fd_ >= 0; }
    explicit operator bool() const { return is_open(); }
    int release() { return std::exchange(fd_, -1); }
    void reset(int fd = -1);
    /// Another descriptor of the same open file, close-on-exec.
    Result<Fd> duplicate() const;

  private:
    int fd_ = -1;
};

/// openat(2) with O_CLOEXEC added. Names `path` in the error.
Result<Fd> open_at(int directory, const std::string& path, int flags, mode_t mode = 0);
Result<Fd> open_path(const std::string& path, int flags, mode_t mode = 0);

/// Both ends of a pipe(2), close-on-exec.
struct Pipe {
    Fd read_end;
    Fd write_end;
};
Result<Pipe> create_pipe();

/// Both ends of a unix(7) socket pair, close-on-exec. `type` is SOCK_STREAM or SOCK_SEQPACKET.
struct SocketPair {
    Fd first;
    Fd second;
};
Result<SocketPair> create_socket_pair(int type);

/// Reads to end of file. @errors invalid: more than `limit` bytes.
Result<std::string> read_all(int fd, size_t limit = 64U << 20U);
/// Writes all of `bytes`, restarting after EINTR and short writes.
Result<void> write_all(int fd, std::string_view bytes);

/// Sends `bytes` (at least one) with descriptors over a unix socket (SCM_RIGHTS, unix(7)). The
/// descriptors stay the caller's.
Result<void> send_with_fds(int socket, std::string_view bytes, std::span<const int> fds);

/// One message from a unix socket. `bytes` empty: the peer closed.
struct ReceivedMessage {
    std::string bytes;
    std::vector<Fd> fds;
};
/// Receives one message of at most `limit` bytes and 64 descriptors, each close-on-exec.
Result<ReceivedMessage> receive_with_fds(int socket, size_t limit = 64U << 10U);

/// Sets or clears FD_CLOEXEC.
Result<void> set_close_on_exec(int fd, bool on);

}  // namespace hull
