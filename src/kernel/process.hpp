#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/spawn.hpp"

namespace hull::kernel {

/// A process to make with clone3(2).
struct CloneRequest {
    uint64_t namespaces = 0;       ///< CLONE_NEW* flags
    int cgroup_v2_directory = -1;  ///< CLONE_INTO_CGROUP; borrowed
    bool as_sibling = false;       ///< CLONE_PARENT: our parent becomes its parent
};

struct ClonedProcess {
    pid_t pid = 0;  ///< 0 in the child
    Fd pidfd;       ///< closed in the child
    bool is_child() const { return pid == 0; }
};

/// Forks with new namespaces; returns twice, as fork(2). The caller must have one thread. The child
/// gets a copy of the address space; no atfork handler runs.
/// @errors denied: no right to make these namespaces; unsupported: kernel < 5.7 for the cgroup.
/// @see clone3(2)
Result<ClonedProcess> clone_process(const CloneRequest& request);

/// @errors not_found ("no such process"): it is gone. @see pidfd_open(2)
Result<Fd> open_pidfd(pid_t pid);
/// @errors not_found ("no such process"): it is gone.
Result<void> send_signal(int pidfd, int signal);
/// The pid in our own pid namespace, by /proc/self/fdinfo. @errors not_found: it has been reaped.
Result<pid_t> pid_of_pidfd(int pidfd);

/// Waits for our child's end and reaps it (waitid(2), P_PIDFD).
Result<ExitStatus> wait_for_pidfd(int pidfd);
/// As wait_for_pidfd(), but nullopt while it still runs.
Result<std::optional<ExitStatus>> try_wait_for_pidfd(int pidfd);
/// Waits until the process, ours or not, has ended; does not reap. False after `timeout`.
Result<bool> wait_until_ended(int pidfd, std::chrono::milliseconds timeout);

/// One process for good: a pid alone may be used again by another. `start_time` is in clock ticks
/// since boot (field 22 of proc_pid_stat(5)).
struct ProcessIdentity {
    pid_t pid = 0;
    uint64_t start_time = 0;
    bool operator==(const ProcessIdentity&) const = default;
};

/// The fields of /proc/PID/stat that hull uses.
struct ProcessStat {
    pid_t pid = 0;
    std::string name;  ///< may hold blanks and parentheses
    char state = '?';  ///< 'Z': zombie, 'T': stopped
    pid_t parent = 0;
    uint64_t start_time = 0;  ///< clock ticks since boot
    bool is_dead() const { return state == 'Z' || state == 'X'; }
};
/// @see proc_pid_stat(5)
Result<ProcessStat> parse_process_stat(std::string_view text);
/// @errors not_found ("no such process")
Result<ProcessStat> read_process_stat(pid_t pid);

/// The identity of the process behind `pidfd`; right even if the pid was used again meanwhile.
Result<ProcessIdentity> identify_process(int pidfd);
/// A pidfd of exactly that process. @errors not_found: it is gone (or a zombie), whoever has its
/// pid now.
Result<Fd> open_process(const ProcessIdentity& identity);

/// Marks all descriptors from `first` on close-on-exec (close_range(2), CLOSE_RANGE_CLOEXEC).
Result<void> close_on_exec_from(unsigned int first);
/// Closes the descriptors first..last.
Result<void> close_fds(unsigned int first, unsigned int last = ~0U);

/// Orphaned descendants become our children (PR_SET_CHILD_SUBREAPER).
Result<void> set_child_subreaper(bool on);
/// Not dumpable: no one in a container can ptrace us or read /proc/PID/{exe,fd,mem}
/// (PR_SET_DUMPABLE).
Result<void> set_dumpable(bool on);
Result<void> set_no_new_privileges();
Result<bool> has_no_new_privileges();
/// `signal` is sent to us when our parent ends; 0 for none. Fails with `conflict` if the parent is
/// not `expected_parent` any more (it died before the call). Cleared by set-id exec and setns.
Result<void> set_parent_death_signal(int signal, pid_t expected_parent);
/// Default disposition for every signal, and nothing blocked: what an exec'd program expects.
void reset_signals();

/// "SIGTERM", "TERM", "15", "RTMIN+3", any case. @errors invalid
Result<int> parse_signal(std::string_view text);
/// "SIGTERM"; "SIGRTMIN+3"; "signal 77" for an unknown number.
std::string signal_name(int signal);

}  // namespace hull::kernel
