#include "kernel/process.hpp"

#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>

#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/kernel_file.hpp"
#include "kernel/uapi.hpp"

namespace hull::kernel {

namespace {

tl::unexpected<Error> fail_no_process(const std::string& what) {
    Error error = make_error(Errc::not_found, what + ": no such process");
    error.sys_errno = ESRCH;
    return fail(std::move(error));
}

Result<ExitStatus> to_exit_status(const siginfo_t& info) {
    ExitStatus status;
    if (info.si_code == CLD_EXITED) {
        status.code = info.si_status;
    } else {
        status.signal = info.si_status;
    }
    return status;
}

Result<void> set_prctl(int option, unsigned long value, const char* what) {
    if (::prctl(option, value, 0UL, 0UL, 0UL) < 0) return fail_errno(errno, what);
    return {};
}

}  // namespace

Result<ClonedProcess> clone_process(const CloneRequest& request) {
    int pidfd = -1;
    CloneArgs args{};
    args.flags = request.namespaces | CLONE_PIDFD;
    args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
    // clone3(2): a sibling takes over its parent's exit signal.
    args.exit_signal = request.as_sibling ? 0 : SIGCHLD;
    if (request.as_sibling) args.flags |= CLONE_PARENT;
    if (request.cgroup_v2_directory >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = static_cast<uint64_t>(request.cgroup_v2_directory);
    }
    long pid = ::syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0) {
        int cause = errno;
        std::string hint;
        if (cause == EPERM || cause == EACCES)
            hint = "namespaces need CAP_SYS_ADMIN, or a new user namespace with them";
        if (cause == ENOSPC || cause == EUSERS)
            hint = "raise the limits in /proc/sys/user/max_*_namespaces";
        return fail_errno(cause, "clone a process with new namespaces", hint);
    }
    ClonedProcess process;
    process.pid = static_cast<pid_t>(pid);
    if (pid > 0) process.pidfd = Fd{pidfd};
    return process;
}

Result<Fd> open_pidfd(pid_t pid) {
    // glibc 2.36 declares pidfd_open without extern "C".
    long fd = ::syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0) return Fd{static_cast<int>(fd)};
    int cause = errno;
    // EINVAL: the pid is a thread's, or not positive (pidfd_open(2)).
    if (cause == ESRCH || cause == EINVAL) return fail_no_process("pid " + std::to_string(pid));
    return fail_errno(cause, "open process " + std::to_string(pid));
}

Result<void> send_signal(int pidfd, int signal) {
    if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return {};
    int cause = errno;
    if (cause == ESRCH) return fail_no_process("send " + signal_name(signal));
    return fail_errno(cause, "send " + signal_name(signal));
}

Result<pid_t> pid_of_pidfd(int pidfd) {
    std::string text = TRY(read_file("/proc/self/fdinfo/" + std::to_string(pidfd)));
    for (std::string_view line : split_lines(text)) {
        if (!line.starts_with("Pid:")) continue;
        auto pid = parse_number<pid_t>(trim(line.substr(4)));
        if (!pid || *pid <= 0) return fail_no_process("process descriptor");
        return *pid;
    }
    return fail(Errc::internal, "descriptor " + std::to_string(pidfd) + " is not a pidfd");
}

namespace {
Result<std::optional<ExitStatus>> wait_with(int pidfd, int options) {
    siginfo_t info{};
    int result = 0;
    do {
        result = ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info,
                          WEXITED | options);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return fail_errno(errno, "wait for a process");
    if (info.si_pid == 0) return std::optional<ExitStatus>{};
    return std::optional<ExitStatus>{TRY(to_exit_status(info))};
}
}  // namespace

Result<ExitStatus> wait_for_pidfd(int pidfd) {
    auto status = TRY(wait_with(pidfd, 0));
    if (!status) return fail(Errc::internal, "waited for a process that has not ended");
    return *status;
}

Result<std::optional<ExitStatus>> try_wait_for_pidfd(int pidfd) {
    return wait_with(pidfd, WNOHANG);
}

Result<bool> wait_until_ended(int pidfd, std::chrono::milliseconds timeout) {
    auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline -
                                                                 std::chrono::steady_clock::now());
        if (left.count() < 0) left = std::chrono::milliseconds{0};
        pollfd item{pidfd, POLLIN, 0};
        int ready = ::poll(&item, 1, static_cast<int>(std::min<int64_t>(left.count(), 1 << 30)));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return fail_errno(errno, "wait for a process");
        if (ready == 0) return false;
    }
}

Result<ProcessStat> parse_process_stat(std::string_view text) {
    // "pid (name) state ppid …": the name is up to the last parenthesis.
    size_t open = text.find(" (");
    size_t close = text.rfind(") ");
    if (open == std::string_view::npos || close == std::string_view::npos || close < open + 2)
        return fail(Errc::invalid, "process stat: not in the form of proc_pid_stat(5)");
    ProcessStat stat;
    auto pid = parse_number<pid_t>(text.substr(0, open));
    auto fields = split(trim(text.substr(close + 2)), ' ');
    // Field 3 is fields[0]; the start time is field 22.
    constexpr size_t kStartTime = 22 - 3;
    if (!pid || fields.size() <= kStartTime || fields[0].size() != 1)
        return fail(Errc::invalid, "process stat: not in the form of proc_pid_stat(5)");
    auto parent = parse_number<pid_t>(fields[1]);
    auto start = parse_number<uint64_t>(fields[kStartTime]);
    if (!parent || !start) return fail(Errc::invalid, "process stat: a field is not a number");
    stat.pid = *pid;
    stat.name = std::string(text.substr(open + 2, close - open - 2));
    stat.state = fields[0][0];
    stat.parent = *parent;
    stat.start_time = *start;
    return stat;
}

Result<ProcessStat> read_process_stat(pid_t pid) {
    auto text = read_kernel_file("/proc/" + std::to_string(pid) + "/stat");
    if (!text) {
        int cause = text.error().sys_errno;
        if (cause == ENOENT || cause == ESRCH) return fail_no_process("pid " + std::to_string(pid));
        return fail(std::move(text).error());
    }
    return parse_process_stat(*text);
}

Result<ProcessIdentity> identify_process(int pidfd) {
    pid_t pid = TRY(pid_of_pidfd(pidfd));
    ProcessStat stat = TRY(read_process_stat(pid));
    // Still there: then what /proc showed under this pid was this process.
    TRY(send_signal(pidfd, 0));
    return ProcessIdentity{pid, stat.start_time};
}

Result<Fd> open_process(const ProcessIdentity& identity) {
    Fd pidfd = TRY(open_pidfd(identity.pid));
    ProcessStat stat = TRY(read_process_stat(identity.pid));
    TRY(send_signal(pidfd.get(), 0));
    if (stat.start_time != identity.start_time || stat.is_dead())
        return fail_no_process("pid " + std::to_string(identity.pid));
    return pidfd;
}

Result<void> close_on_exec_from(unsigned int first) {
    if (::close_range(first, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        return fail_errno(errno, "mark descriptors close-on-exec");
    return {};
}

Result<void> close_fds(unsigned int first, unsigned int last) {
    if (first > last) return {};
    if (::close_range(first, last, 0) < 0) return fail_errno(errno, "close descriptors");
    return {};
}

Result<void> set_child_subreaper(bool on) {
    return set_prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, "become child subreaper");
}

Result<void> set_dumpable(bool on) {
    return set_prctl(PR_SET_DUMPABLE, on ? 1 : 0, "set the dumpable attribute");
}

Result<void> set_no_new_privileges() {
    return set_prctl(PR_SET_NO_NEW_PRIVS, 1, "set no_new_privs");
}

Result<bool> has_no_new_privileges() {
    int value = ::prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL);
    if (value < 0) return fail_errno(errno, "read no_new_privs");
    return value == 1;
}

Result<void> set_parent_death_signal(int signal, pid_t expected_parent) {
    TRY(set_prctl(PR_SET_PDEATHSIG, static_cast<unsigned long>(signal), "set parent death signal"));
    if (signal != 0 && ::getppid() != expected_parent)
        return fail(Errc::conflict, "the parent process has ended");
    return {};
}

void reset_signals() {
    struct sigaction action{};
    action.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal) {
        // The C library keeps 32 and 33 for itself and refuses them; so do SIGKILL and SIGSTOP.
        (void)::sigaction(signal, &action, nullptr);
    }
    sigset_t none;
    sigemptyset(&none);
    (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
}

namespace {

struct SignalName {
    std::string_view name;
    int number;
};
constexpr std::array kSignals = {
    SignalName{"HUP", SIGHUP},       SignalName{"INT", SIGINT},       SignalName{"QUIT", SIGQUIT},
    SignalName{"ILL", SIGILL},       SignalName{"TRAP", SIGTRAP},     SignalName{"ABRT", SIGABRT},
    SignalName{"BUS", SIGBUS},       SignalName{"FPE", SIGFPE},       SignalName{"KILL", SIGKILL},
    SignalName{"USR1", SIGUSR1},     SignalName{"SEGV", SIGSEGV},     SignalName{"USR2", SIGUSR2},
    SignalName{"PIPE", SIGPIPE},     SignalName{"ALRM", SIGALRM},     SignalName{"TERM", SIGTERM},
    SignalName{"STKFLT", SIGSTKFLT}, SignalName{"CHLD", SIGCHLD},     SignalName{"CONT", SIGCONT},
    SignalName{"STOP", SIGSTOP},     SignalName{"TSTP", SIGTSTP},     SignalName{"TTIN", SIGTTIN},
    SignalName{"TTOU", SIGTTOU},     SignalName{"URG", SIGURG},       SignalName{"XCPU", SIGXCPU},
    SignalName{"XFSZ", SIGXFSZ},     SignalName{"VTALRM", SIGVTALRM}, SignalName{"PROF", SIGPROF},
    SignalName{"WINCH", SIGWINCH},   SignalName{"IO", SIGIO},         SignalName{"PWR", SIGPWR},
    SignalName{"SYS", SIGSYS},       SignalName{"IOT", SIGABRT},      SignalName{"POLL", SIGIO},
    SignalName{"CLD", SIGCHLD}};

// The kernel's own first and last; glibc's SIGRTMIN is 34 because it keeps two for itself, and
// RTMIN in people's and engines' words is that one.
constexpr int kRealTimeFirst = 34;
constexpr int kRealTimeLast = 64;

std::optional<int> parse_real_time(std::string_view name) {
    bool from_first = name.starts_with("RTMIN");
    if (!from_first && !name.starts_with("RTMAX")) return std::nullopt;
    name.remove_prefix(5);
    if (name.empty()) return from_first ? kRealTimeFirst : kRealTimeLast;
    if (name[0] != (from_first ? '+' : '-')) return std::nullopt;
    auto offset = parse_number<unsigned int>(name.substr(1));
    if (!offset || *offset > kRealTimeLast - kRealTimeFirst) return std::nullopt;
    int distance = static_cast<int>(*offset);
    return from_first ? kRealTimeFirst + distance : kRealTimeLast - distance;
}

}  // namespace

Result<int> parse_signal(std::string_view text) {
    if (auto number = parse_number<int>(text)) {
        if (*number >= 1 && *number <= kRealTimeLast) return *number;
        return fail(Errc::invalid, "signal " + quote(text) + " is not in 1..64");
    }
    std::string name;
    for (char c : text)
        name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    std::string_view word = name;
    if (word.starts_with("SIG")) word.remove_prefix(3);
    for (const SignalName& signal : kSignals)
        if (signal.name == word) return signal.number;
    if (auto real_time = parse_real_time(word)) return *real_time;
    return fail(Errc::invalid, "unknown signal " + quote(text), "use a name as TERM, or a number");
}

std::string signal_name(int signal) {
    for (const SignalName& known : kSignals)
        if (known.number == signal) return "SIG" + std::string(known.name);
    if (signal == kRealTimeFirst) return "SIGRTMIN";
    if (signal > kRealTimeFirst && signal <= kRealTimeLast)
        return "SIGRTMIN+" + std::to_string(signal - kRealTimeFirst);
    return "signal " + std::to_string(signal);
}

}  // namespace hull::kernel
