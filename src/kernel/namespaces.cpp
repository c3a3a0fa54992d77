#include "kernel/namespaces.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.hpp"
#include "kernel/uapi.hpp"

namespace hull::kernel {

namespace {

struct KindData {
    NamespaceKind kind;
    uint64_t flag;
    std::string_view name;
    std::string_view file;
};
constexpr std::array kKinds = {
    KindData{NamespaceKind::user, CLONE_NEWUSER, "user", "user"},
    KindData{NamespaceKind::pid, CLONE_NEWPID, "pid", "pid"},
    KindData{NamespaceKind::network, CLONE_NEWNET, "network", "net"},
    KindData{NamespaceKind::ipc, CLONE_NEWIPC, "ipc", "ipc"},
    KindData{NamespaceKind::uts, CLONE_NEWUTS, "uts", "uts"},
    KindData{NamespaceKind::mount, CLONE_NEWNS, "mount", "mnt"},
    KindData{NamespaceKind::cgroup, CLONE_NEWCGROUP, "cgroup", "cgroup"},
    KindData{NamespaceKind::time, CLONE_NEWTIME, "time", "time"},
};

const KindData& data_of(NamespaceKind kind) {
    return kKinds[static_cast<size_t>(kind)];
}

std::string own_file(NamespaceKind kind) {
    return "/proc/self/ns/" + std::string(namespace_file(kind));
}

}  // namespace

uint64_t clone_flag(NamespaceKind kind) {
    return data_of(kind).flag;
}

std::string_view namespace_name(NamespaceKind kind) {
    return data_of(kind).name;
}

std::optional<NamespaceKind> parse_namespace_kind(std::string_view name) {
    for (const KindData& data : kKinds)
        if (data.name == name) return data.kind;
    return std::nullopt;
}

std::string_view namespace_file(NamespaceKind kind) {
    return data_of(kind).file;
}

bool is_namespace_supported(NamespaceKind kind) {
    return ::access(own_file(kind).c_str(), F_OK) == 0;
}

Result<NamespaceKind> namespace_kind(int fd) {
    struct statfs info{};
    if (::fstatfs(fd, &info) < 0) return fail_errno(errno, "look at a namespace descriptor");
    if (static_cast<uint64_t>(info.f_type) != kNsfsMagic)
        return fail(Errc::invalid, "not a namespace file");
    int type = ::ioctl(fd, NS_GET_NSTYPE);
    if (type < 0) return fail_errno(errno, "read the type of a namespace");
    for (const KindData& data : kKinds)
        if (data.flag == static_cast<uint64_t>(type)) return data.kind;
    return fail(Errc::unsupported, "a namespace of unknown type " + std::to_string(type));
}

Result<Fd> open_namespace(const std::string& path, NamespaceKind kind) {
    // O_NONBLOCK: a fifo at this path must not stop us before it is refused.
    Fd fd = TRY(open_path(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
    NamespaceKind found = TRY(with_context(namespace_kind(fd.get()), "open namespace " + path));
    if (found != kind)
        return fail(Errc::invalid, "open namespace " + path + ": it is a " +
                                       std::string(namespace_name(found)) + " namespace, not a " +
                                       std::string(namespace_name(kind)) + " namespace");
    return fd;
}

Result<Fd> open_namespace_of(pid_t pid, NamespaceKind kind) {
    auto fd = open_namespace(
        "/proc/" + std::to_string(pid) + "/ns/" + std::string(namespace_file(kind)), kind);
    if (!fd && fd.error().sys_errno == ENOENT && is_namespace_supported(kind))
        return fail(Errc::not_found, "open the " + std::string(namespace_name(kind)) +
                                         " namespace of pid " + std::to_string(pid) +
                                         ": no such process");
    return fd;
}

Result<NamespaceId> namespace_id(int fd) {
    struct stat info{};
    if (::fstat(fd, &info) < 0) return fail_errno(errno, "look at a namespace descriptor");
    return NamespaceId{info.st_dev, info.st_ino};
}

Result<NamespaceId> namespace_id_of(pid_t pid, NamespaceKind kind) {
    std::string path = "/proc/" + std::to_string(pid) + "/ns/" + std::string(namespace_file(kind));
    struct stat info{};
    if (::stat(path.c_str(), &info) < 0) return fail_errno(errno, "look at " + path);
    return NamespaceId{info.st_dev, info.st_ino};
}

Result<NamespaceId> own_namespace_id(NamespaceKind kind) {
    struct stat info{};
    std::string path = own_file(kind);
    if (::stat(path.c_str(), &info) < 0) return fail_errno(errno, "look at " + path);
    return NamespaceId{info.st_dev, info.st_ino};
}

bool is_in_first_user_namespace() {
    // It has a fixed number: PROC_USER_INIT_INO, since kernel 3.8.
    constexpr ino_t kFirst = 0xEFFFFFFD;
    struct stat info{};
    return ::stat("/proc/self/ns/user", &info) == 0 && info.st_ino == kFirst;
}

Result<Fd> open_owning_user_namespace(int fd) {
    int owner = ::ioctl(fd, NS_GET_USERNS);
    if (owner < 0) return fail_errno(errno, "find the owner of a namespace");
    Fd result{owner};
    TRY(set_close_on_exec(result.get(), true));
    return result;
}

Result<void> join_namespace(int fd, NamespaceKind kind) {
    if (::setns(fd, static_cast<int>(clone_flag(kind))) < 0) {
        int cause = errno;
        std::string hint;
        if (cause == EPERM)
            hint = "joining needs CAP_SYS_ADMIN in the namespace's own user namespace";
        return fail_errno(cause, "join a " + std::string(namespace_name(kind)) + " namespace",
                          hint);
    }
    return {};
}

Result<void> join_namespaces_of_process(int pidfd, uint64_t clone_flags) {
    if (::setns(pidfd, static_cast<int>(clone_flags)) < 0) {
        int cause = errno;
        if (cause == ESRCH)
            return fail_errno(cause, "join the namespaces of the container: no such process");
        return fail_errno(cause, "join the namespaces of the container");
    }
    return {};
}

Result<void> unshare_namespaces(uint64_t clone_flags) {
    if (::unshare(static_cast<int>(clone_flags)) < 0) {
        int cause = errno;
        std::string names;
        for (const KindData& data : kKinds) {
            if ((clone_flags & data.flag) == 0) continue;
            names += (names.empty() ? "" : ", ") + std::string(data.name);
        }
        std::string hint;
        if (cause == EPERM)
            hint = "new namespaces need CAP_SYS_ADMIN, or a user namespace with them";
        if (cause == ENOSPC) hint = "raise the limits in /proc/sys/user/max_*_namespaces";
        return fail_errno(cause, "make new namespaces (" + names + ")", hint);
    }
    return {};
}

std::string format_time_offsets(const TimeOffsets& offsets) {
    std::string lines;
    auto add = [&lines](const char* clock, const std::optional<TimeOffset>& offset) {
        if (offset)
            lines += std::string(clock) + " " + std::to_string(offset->seconds) + " " +
                     std::to_string(offset->nanoseconds) + "\n";
    };
    add("monotonic", offsets.monotonic);
    add("boottime", offsets.boottime);
    return lines;
}

}  // namespace hull::kernel
