#include "monitor/tied_process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <vector>

#include "kernel/process.hpp"

namespace hull::monitor {
namespace {

constexpr int kParked = 100;  ///< above every number that a program gets

/// In the child. Returns errno, or 0.
int tie(pid_t parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return errno;
    return ::getppid() == parent ? 0 : ESRCH;
}

/// In the child; only async-signal-safe calls. Returns errno, or 0.
int place(const std::vector<std::pair<int, int>>& fds) {
    int parked = kParked;
    for (const auto& [ours, theirs] : fds)
        if (::dup3(ours, parked++, O_CLOEXEC) < 0) return errno;
    parked = kParked;
    for (const auto& [ours, theirs] : fds)
        if (::dup2(parked++, theirs) < 0) return errno;
    return 0;
}

}  // namespace

Result<pid_t> spawn_tied(const SpawnRequest& request) {
    std::vector<char*> argv{const_cast<char*>(request.program.c_str())};
    for (const auto& text : request.args)
        argv.push_back(const_cast<char*>(text.c_str()));
    argv.push_back(nullptr);
    Pipe report = TRY(create_pipe());
    pid_t parent = ::getpid();
    auto child = TRY(kernel::clone_process({}));
    if (child.is_child()) {
        int failed = tie(parent);
        if (failed == 0) failed = place(request.fds);
        if (failed == 0) {
            kernel::reset_signals();
            ::execvp(argv[0], argv.data());
            failed = errno;
        }
        (void)!::write(report.write_end.get(), &failed, sizeof failed);
        ::_exit(127);
    }
    report.write_end.reset();
    int failed = 0;
    ssize_t got = 0;
    while ((got = ::read(report.read_end.get(), &failed, sizeof failed)) < 0 && errno == EINTR) {
    }
    if (got == 0) return child.pid;
    (void)wait_for(child.pid);
    return fail_errno(failed, "start " + request.program);
}

Result<pid_t> fork_process(const ForkRequest& request) {
    pid_t parent = ::getpid();
    auto child = TRY(kernel::clone_process({}));
    if (!child.is_child()) return child.pid;
    if ((request.tied && tie(parent) != 0) || place(request.fds) != 0 || !kernel::close_fds(3))
        ::_exit(127);
    kernel::reset_signals();
    ::prctl(PR_SET_NAME, request.name);
    ::_exit(request.work());
}

}  // namespace hull::monitor
