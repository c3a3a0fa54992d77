#include "base/text.hpp"
#include "spec/runtime_defaults.hpp"

namespace hull::spec {
namespace {

// What programs use and what is safe. Not here, hence refused: modules, kexec, bpf,
// perf_event_open, open_by_handle_at, userfaultfd, io_uring, keys, mounts, namespaces, swap,
// reboot, clocks, quotas, ports, other processes' descriptors, NUMA policy of others, tracing of
// the kernel, obsolete calls. Names of 32-bit machines are for those.
constexpr std::string_view kAllowed =
    "_llseek _newselect accept accept4 access alarm arch_prctl arm_fadvise64_64 "
    "arm_sync_file_range bind breakpoint brk cacheflush capget capset chdir chmod chown "
    "chown32 chroot clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat "
    "dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_wait "
    "epoll_wait_old eventfd2 execve exit exit_group faccessat faccessat2 fadvise64 "
    "fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl "
    "fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 "
    "fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_time64 "
    "get_thread_area get_tls getcpu getcwd getdents getdents64 getegid getegid32 geteuid "
    "geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp "
    "getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 "
    "getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 "
    "getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ipc kill "
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 "
    "lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat "
    "lstat64 madvise membarrier memfd_create mincore mkdir mkdirat mknod mknodat mlock "
    "mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive "
    "mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget "
    "msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat openat2 "
    "pause pidfd_open pidfd_send_signal pipe pipe2 poll ppoll ppoll_time64 prctl pread64 "
    "preadv prlimit64 pselect6 pselect6_time64 ptrace pwrite64 pwritev read readlink "
    "readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg removexattr rename "
    "renameat renameat2 restart_syscall riscv_flush_icache rmdir rseq rt_sigaction "
    "rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min "
    "sched_getaffinity sched_getparam sched_getscheduler sched_rr_get_interval "
    "sched_rr_get_interval_time64 sched_setaffinity sched_setparam sched_setscheduler "
    "sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send "
    "sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area "
    "set_tid_address set_tls setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 "
    "setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid "
    "setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt "
    "setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd4 "
    "sigprocmask sigreturn socketpair splice stat stat64 statfs statfs64 statx symlink "
    "symlinkat sync sync_file_range sync_file_range2 syncfs sysinfo tgkill time timer_create "
    "timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime "
    "timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
    "timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink "
    "unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork wait4 waitid waitpid "
    "write writev";

// Safe enough, and nothing needs them: libraries fall back to an older call, or do without (NUMA
// policy, asynchronous disk I/O, protection keys, I/O priorities). ENOSYS makes them do so; the
// kernel code behind each is out of reach.
constexpr std::string_view kUnneeded =
    "cachestat epoll_pwait2 eventfd execveat fanotify_mark futex_requeue futex_wait "
    "futex_waitv futex_wake futimesat get_mempolicy get_robust_list getxattrat io_cancel "
    "io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit "
    "ioprio_get ioprio_set listxattrat map_shadow_stack mbind memfd_secret mlock2 mseal "
    "pkey_alloc pkey_free pkey_mprotect preadv2 process_mrelease process_vm_readv "
    "process_vm_writev pwritev2 readahead removexattrat sched_getattr sched_setattr "
    "set_mempolicy setxattrat signalfd tee vmsplice";

constexpr uint32_t kEnosys = 38;

SeccompProfileRule allow_if(std::string name, SeccompProfileArgument argument) {
    return {.names = {std::move(name)},
            .action = "SCMP_ACT_ALLOW",
            .errno_ret = {},
            .args = {std::move(argument)}};
}

SeccompProfileArgument equals(uint32_t index, uint64_t value) {
    return {.index = index, .value = value, .value_two = 0, .op = "SCMP_CMP_EQ"};
}

SeccompProfileArgument masked(uint32_t index, uint64_t mask, uint64_t value) {
    return {.index = index, .value = mask, .value_two = value, .op = "SCMP_CMP_MASKED_EQ"};
}

/// Families whose kernel code containers are meant to reach: UNIX, INET, INET6, NETLINK. By
/// equality of the low half: the kernel's argument is an int.
void add_socket_rules(std::vector<SeccompProfileRule>& rules) {
    for (uint64_t family : {1U, 2U, 10U, 16U})
        rules.push_back(allow_if("socket", masked(0, 0xffffffff, family)));
}

/// Every ioctl but TIOCSTI, which types into the terminal. The kernel looks at the low 32 bits of
/// the number only (CVE-2019-7303 was a filter that compared all 64), and a rule can only compare
/// for equality under a mask: so one rule for each bit in which a number can differ.
void add_ioctl_rules(std::vector<SeccompProfileRule>& rules) {
    constexpr uint64_t kTiocsti = 0x5412;
    for (unsigned bit = 0; bit < 32; ++bit) {
        uint64_t mask = uint64_t{1} << bit;
        rules.push_back(allow_if("ioctl", masked(1, mask, ~kTiocsti & mask)));
    }
}

/// PER_LINUX, PER_LINUX32, both with UNAME26, and the question for the present one.
void add_personality_rules(std::vector<SeccompProfileRule>& rules) {
    for (uint64_t persona : {0x0ULL, 0x8ULL, 0x20000ULL, 0x20008ULL, 0xffffffffULL})
        rules.push_back(allow_if("personality", equals(0, persona)));
}

std::string native_architecture() {
#if defined(__x86_64__)
    return "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
    return "SCMP_ARCH_AARCH64";
#elif defined(__riscv)
    return "SCMP_ARCH_RISCV64";
#else
    return "SCMP_ARCH_NATIVE";
#endif
}

}  // namespace

SeccompProfile default_seccomp_profile() {
    SeccompProfile profile;
    profile.default_action = "SCMP_ACT_ERRNO";
    profile.default_errno_ret = 1;
    profile.architectures = {native_architecture()};
    SeccompProfileRule allowed{
        .names = {}, .action = "SCMP_ACT_ALLOW", .errno_ret = {}, .args = {}};
    for (auto name : split(kAllowed, ' '))
        allowed.names.emplace_back(name);
    profile.syscalls.push_back(std::move(allowed));
    // clone's flags are its first argument (CLONE_NEW* is 0x7e020000); clone3's cannot be seen, and
    // ENOSYS makes C libraries fall back to clone.
    profile.syscalls.push_back(allow_if("clone", masked(0, 0x7e020000, 0)));
    profile.syscalls.push_back(
        {.names = {"clone3"}, .action = "SCMP_ACT_ERRNO", .errno_ret = kEnosys, .args = {}});
    SeccompProfileRule unneeded{
        .names = {}, .action = "SCMP_ACT_ERRNO", .errno_ret = kEnosys, .args = {}};
    for (auto name : split(kUnneeded, ' '))
        unneeded.names.emplace_back(name);
    profile.syscalls.push_back(std::move(unneeded));
    add_socket_rules(profile.syscalls);
    add_personality_rules(profile.syscalls);
    add_ioctl_rules(profile.syscalls);
    return profile;
}

}  // namespace hull::spec
