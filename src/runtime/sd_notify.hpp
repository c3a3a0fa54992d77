#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "spec/runtime.hpp"

// A container whose caller is a systemd service of Type=notify: it gets a socket of its own at
// /run/notify, and the runtime tells the caller's socket when the container is ready. sd_notify(3).

namespace hull::runtime {

/// Adds the mount and NOTIFY_SOCKET to a configuration.
void add_notify_socket(spec::RuntimeConfig& config, const std::string& container_directory);
Result<void> make_notify_directory(const std::string& container_directory);

class NotifyRelay {
  public:
    /// Binds the container's socket. nullopt: our environment has no NOTIFY_SOCKET, or the
    /// container was made without.
    static Result<std::optional<NotifyRelay>> open(const std::string& container_directory);

    /// Readable when the container has sent something.
    int fd() const { return socket_.get(); }
    /// Reads one datagram; READY=1 is told to the caller's socket with MAINPID.
    /// @return  true: the container is ready
    Result<bool> relay(pid_t main_pid);
    /// relay() until the container is ready or has ended.
    Result<void> relay_until_ready(int pidfd, pid_t main_pid);

  private:
    explicit NotifyRelay(Fd socket) : socket_(std::move(socket)) {}
    Fd socket_;
};

}  // namespace hull::runtime
