#pragma once

#include <array>
#include <cstddef>

namespace hull {

/// While one exists, what the process's Fd objects let go stays open; at its end all of that is
/// closed, neighbours with one close_range(2). For stretches of work that open and close dozens of
/// descriptors: closing them one by one was a sixth of the system calls of a container's start.
/// What has another end that sees a close (pipes, sockets) is closed at once as ever: see exempt().
/// Only in a process with one thread. An inner one does nothing.
class ClosedTogether {
  public:
    ClosedTogether();
    ~ClosedTogether();
    ClosedTogether(const ClosedTogether&) = delete;
    ClosedTogether& operator=(const ClosedTogether&) = delete;
    /// Nothing is closed at the end: the process closes all it has by other means, or ends.
    void abandon() { is_abandoned_ = true; }
    /// Puts the present one out of force for good: what was let go has been closed by other means,
    /// and from now on each descriptor is closed at once again.
    static void end();

    /// `fd`, made just now, is closed at once when its owner lets it go: somebody waits for that.
    static void exempt(int fd);
    /// For Fd: true when `fd` is left to the present one.
    static bool takes(int fd);

  private:
    /// Descriptors beyond are closed at once: a plan with many mounts stays below RLIMIT_NOFILE.
    static constexpr size_t kMost = 128;
    void close_all();
    std::array<bool, kMost> let_go_{};
    std::array<bool, kMost> exempt_{};
    bool is_inner_ = false;
    bool is_abandoned_ = false;
};

}  // namespace hull
