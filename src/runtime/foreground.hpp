#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/spawn.hpp"
#include "jail/plan.hpp"
#include "kernel/terminal.hpp"
#include "runtime/sd_notify.hpp"

namespace hull::runtime {

/// Staying with a process until it ends: signals go on to it, its terminal is ours. Made before
/// the process is, so that no signal is lost and none ends us first.
class Foreground {
  public:
    struct Options {
        bool is_subreaper = false;  ///< orphans of the container become our children
        /// The process gets a pty, whose other end comes to us and is joined to our own terminal.
        bool has_terminal = false;
    };
    /// Blocks all signals until destroyed. A program that is started meanwhile must unblock them.
    /// @errors not_found: has_terminal, and we have none
    static Result<Foreground> create(Options options);
    Foreground(Foreground&&) noexcept = default;
    ~Foreground();

    /// Where the process's setup sends the pty's master; -1 without a terminal.
    int console_socket() const { return console_child_.get(); }
    /// The pty starts with the size of our own terminal, if that has one.
    void set_console_size(jail::ProcessPlan& process) const;
    /// Waits for the process, which must be our child, and reaps it.
    Result<ExitStatus> stay_with(pid_t pid, int pidfd, std::optional<NotifyRelay> notify);

  private:
    Foreground() = default;

    std::optional<sigset_t> saved_mask_;
    Fd signals_;
    Fd own_terminal_;
    Fd console_parent_;
    Fd console_child_;
};

}  // namespace hull::runtime
