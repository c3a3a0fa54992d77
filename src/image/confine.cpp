#include "image/confine.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/idmap.hpp"
#include "kernel/landlock.hpp"
#include "kernel/mount.hpp"
#include "kernel/namespaces.hpp"
#include "kernel/process.hpp"
#include "kernel/seccomp.hpp"
#include "kernel/uapi.hpp"

namespace hull::image {
namespace {

/// What the C library, TLS and name resolution read.
constexpr const char* kSystemPaths[] = {"/etc/resolv.conf",
                                        "/etc/hosts",
                                        "/etc/nsswitch.conf",
                                        "/etc/host.conf",
                                        "/etc/gai.conf",
                                        "/etc/services",
                                        "/etc/localtime",
                                        "/etc/ssl",
                                        "/etc/pki",
                                        "/etc/ld.so.cache",
                                        "/etc/ld.so.conf",
                                        "/etc/containers",
                                        "/etc/docker/certs.d",
                                        "/etc/passwd",
                                        "/etc/group",
                                        "/usr/lib",
                                        "/usr/lib64",
                                        "/lib",
                                        "/lib64",
                                        "/usr/share/ca-certificates",
                                        "/usr/share/zoneinfo",
                                        "/usr/local/share/ca-certificates",
                                        "/run/systemd/resolve",
                                        "/dev/null",
                                        "/dev/zero",
                                        "/dev/urandom",
                                        "/dev/random",
                                        "/proc/self",
                                        "/proc/sys/kernel",
                                        "/proc/meminfo",
                                        "/proc/cpuinfo",
                                        "/sys/devices/system/cpu"};

constexpr const char* kProgramPaths[] = {"/usr/bin", "/bin"};

/// System calls of a program that reads the network and writes files.
const std::vector<std::string>& allowed_calls() {
    static const std::vector<std::string> names = {
        // bytes and descriptors
        "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
        "pwritev2", "lseek", "_llseek", "close", "close_range", "dup", "dup2", "dup3", "fcntl",
        "fcntl64", "pipe", "pipe2", "poll", "ppoll", "ppoll_time64", "select", "pselect6",
        "pselect6_time64", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait",
        "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "sendfile", "sendfile64", "splice",
        "tee", "copy_file_range", "memfd_create", "readahead", "fadvise64", "fadvise64_64",
        // files
        "open", "openat", "openat2", "creat", "stat", "lstat", "fstat", "stat64", "lstat64",
        "fstat64", "newfstatat", "fstatat64", "statx", "statfs", "fstatfs", "statfs64", "fstatfs64",
        "access", "faccessat", "faccessat2", "getdents", "getdents64", "getcwd", "chdir", "fchdir",
        "mkdir", "mkdirat", "rmdir", "link", "linkat", "unlink", "unlinkat", "symlink", "symlinkat",
        "readlink", "readlinkat", "rename", "renameat", "renameat2", "mknod", "mknodat", "chmod",
        "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "chown32",
        "fchown32", "lchown32", "utime", "utimes", "futimesat", "utimensat", "utimensat_time64",
        "truncate", "ftruncate", "truncate64", "ftruncate64", "fallocate", "fsync", "fdatasync",
        "syncfs", "sync_file_range", "sync_file_range2", "flock", "umask", "setxattr", "lsetxattr",
        "fsetxattr", "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr",
        "removexattr", "lremovexattr", "fremovexattr", "setxattrat", "getxattrat", "listxattrat",
        "removexattrat",
        // memory and threads
        "mmap", "mmap2", "munmap", "mprotect", "mremap", "madvise", "brk", "mlock", "munlock",
        "futex", "futex_time64", "set_robust_list", "get_robust_list", "rseq", "set_tid_address",
        "membarrier", "sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler",
        "arch_prctl", "set_thread_area", "exit", "exit_group", "restart_syscall", "getcpu",
        // time, signals, ids, limits
        "nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "clock_gettime",
        "clock_gettime64", "clock_getres", "clock_getres_time64", "gettimeofday", "time", "times",
        "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack",
        "rt_sigpending", "rt_sigtimedwait", "getpid", "gettid", "getppid", "getpgrp", "getpgid",
        "getsid", "getuid", "geteuid", "getgid", "getegid", "getgroups", "getresuid", "getresgid",
        "getuid32", "geteuid32", "getgid32", "getegid32", "tgkill", "kill", "uname", "sysinfo",
        "getrandom", "getrlimit", "ugetrlimit", "prlimit64", "getrusage", "prctl", "capget",
        "wait4", "waitid",
        // sockets
        "socket", "socketpair", "connect", "bind", "getsockname", "getpeername", "setsockopt",
        "getsockopt", "send", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg",
        "recvmmsg", "recvmmsg_time64", "shutdown"};
    return names;
}

kernel::SeccompFilter make_filter(const ConfineRequest& request) {
    using kernel::SeccompAction;
    using kernel::SeccompOperator;
    kernel::SeccompFilter filter;
    filter.default_action = SeccompAction::error;
    filter.default_errno = EPERM;
    filter.rules.push_back({allowed_calls(), SeccompAction::allow, std::nullopt, {}});
    // Threads only: the flags of pthread_create have CLONE_THREAD; a filter cannot see clone3's.
    constexpr uint64_t kNewNamespace = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                       CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    uint64_t mask = request.runs_programs ? kNewNamespace : uint64_t{CLONE_THREAD};
    uint64_t wanted = request.runs_programs ? 0 : uint64_t{CLONE_THREAD};
    filter.rules.push_back({{"clone"},
                            SeccompAction::allow,
                            std::nullopt,
                            {{0, SeccompOperator::masked_equal, mask, wanted}}});
    filter.rules.push_back({{"clone3"}, SeccompAction::error, ENOSYS, {}});
    if (request.runs_programs)
        filter.rules.push_back(
            {{"execve", "execveat", "vfork"}, SeccompAction::allow, std::nullopt, {}});
    // Terminals: sizes may be asked for, nothing may be typed into them (TIOCSTI, TIOCLINUX).
    for (uint64_t request_number : {uint64_t{TIOCGWINSZ}, uint64_t{TCGETS}, uint64_t{FIONREAD},
                                    uint64_t{FIONBIO}, uint64_t{FIOCLEX}})
        filter.rules.push_back({{"ioctl"},
                                SeccompAction::allow,
                                std::nullopt,
                                {{1, SeccompOperator::equal, request_number, 0}}});
    return filter;
}

kernel::CapabilitySet capabilities_of(const ConfineRequest& request) {
    kernel::CapabilitySet set;
    if (!request.unpacks) {
        set.add(CAP_DAC_OVERRIDE);  // rootless: files of the range's other ids
        set.add(CAP_FOWNER);
        return set;
    }
    for (int one : {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP, CAP_MKNOD})
        set.add(one);
    // trusted.overlay.opaque: the mark of an opaque folder for overlays that root mounts. What else
    // sys_admin gives is behind the system call filter and Landlock (docs/decisions/0010).
    if (request.marks_layers) set.add(CAP_SYS_ADMIN);
    return set;
}

/// Everything read-only but the folders that are written: a mount of its own for each of those.
Result<void> protect_mounts(const ConfineRequest& request) {
    TRY(kernel::unshare_namespaces(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS));
    TRY(kernel::set_mount_attributes_at("/", {.propagation = MS_PRIVATE, .recursive = true}));
    std::vector<std::string> writable;
    for (const auto& folder : request.write_folders) {
        if (folder == "/") return {};  // an archive at the very top: Landlock alone restricts
        Fd copy = TRY(kernel::clone_mount(AT_FDCWD, folder, {.recursive = true}));
        Fd target = TRY(open_path(folder, O_PATH | O_DIRECTORY));
        // What was made read-only from outside stays so.
        if ((TRY(kernel::mount_attributes_of(target.get())) & MOUNT_ATTR_RDONLY) == 0)
            writable.push_back(folder);
        TRY(kernel::attach_mount(copy.get(), target.get()));
    }
    TRY(kernel::set_mount_attributes_at("/", {.set = MOUNT_ATTR_RDONLY, .recursive = true}));
    for (const auto& folder : writable)
        TRY(kernel::set_mount_attributes_at(
            folder, {.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                     .clear = MOUNT_ATTR_RDONLY}));
    // The working folder is still one of the old mount; what follows is given by absolute paths.
    return {};
}

Result<void> allow(kernel::LandlockRuleset& rules, const std::string& path, uint64_t access) {
    int fd = ::open(path.c_str(), O_PATH | O_CLOEXEC);
    if (fd < 0) return {};  // what is not there needs no rule
    Fd opened{fd};
    struct stat info{};
    if (::fstat(fd, &info) < 0) return fail_errno(errno, "stat " + path);
    if (!S_ISDIR(info.st_mode)) access &= kernel::kLandlockFile;
    return rules.allow_path(fd, access);
}

Result<void> restrict_files(const ConfineRequest& request) {
    if (kernel::landlock_abi() == 0) return {};
    auto rules = TRY(kernel::LandlockRuleset::create(
        {.handled_files = kernel::kLandlockAll,
         .handled_ports = request.network ? kernel::kLandlockBindTcp
                                          : kernel::kLandlockBindTcp | kernel::kLandlockConnectTcp,
         .scopes = kernel::kLandlockScopeSignal | kernel::kLandlockScopeAbstractSocket}));
    uint64_t read =
        bits(kernel::LandlockAccess::read_file) | bits(kernel::LandlockAccess::read_directory);
    for (const char* path : kSystemPaths)
        TRY(allow(rules, path, request.runs_programs ? kernel::kLandlockRead : read));
    TRY(allow(rules, "/dev/null", read | bits(kernel::LandlockAccess::write_file)));
    if (request.runs_programs)
        for (const char* path : kProgramPaths)
            TRY(allow(rules, path, kernel::kLandlockRead));
    for (const auto& path : request.read_paths)
        TRY(allow(rules, path, read));
    for (const auto& path : request.write_folders)
        TRY(allow(rules, path, kernel::kLandlockAll & ~bits(kernel::LandlockAccess::execute)));
    return rules.restrict_self();
}

Result<void> drop_capabilities(const ConfineRequest& request) {
    kernel::CapabilitySet keep = capabilities_of(request);
    TRY(kernel::limit_bounding_set(keep));
    kernel::CapabilitySets sets;
    sets.bounding = sets.effective = sets.permitted = keep;
    return kernel::apply_capabilities(sets, {.clamp = true});
}

}  // namespace

Result<void> enter_namespace(NamespaceOptions options) {
    if (::geteuid() == 0) return {};
    auto entered = with_context(
        kernel::enter_user_namespace_with_full_range({.allow_single = !options.needs_range}),
        "unpack as an ordinary user");
    if (!entered) return fail(std::move(entered).error());
    return {};
}

Result<void> confine(const ConfineRequest& request) {
    // The filter is compiled first: its cache cannot be written afterwards.
    auto filter = make_filter(request);
    auto program =
        TRY(with_context(request.cache_folder.empty()
                             ? kernel::compile_seccomp(filter)
                             : kernel::load_or_compile_seccomp(filter, request.cache_folder),
                         "confine hull-image"));
    auto steps = [&]() -> Result<void> {
        TRY(protect_mounts(request));
        TRY(kernel::set_no_new_privileges());
        TRY(restrict_files(request));
        TRY(drop_capabilities(request));
        TRY(kernel::install_seccomp(program));
        return {};
    };
    return with_context(steps(), "confine hull-image");
}

}  // namespace hull::image
