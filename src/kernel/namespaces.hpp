#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull::kernel {

enum class NamespaceKind { user, pid, network, ipc, uts, mount, cgroup, time };

/// In the order in which a process joins them: user first gives the rights for the others, mount
/// late because it changes what paths mean.
inline constexpr std::array kNamespaceKinds = {
    NamespaceKind::user, NamespaceKind::pid,   NamespaceKind::network, NamespaceKind::ipc,
    NamespaceKind::uts,  NamespaceKind::mount, NamespaceKind::cgroup,  NamespaceKind::time};

/// CLONE_NEWUSER …
uint64_t clone_flag(NamespaceKind kind);
/// The runtime-spec's word: "network", "mount" …
std::string_view namespace_name(NamespaceKind kind);
/// Inverse of namespace_name().
std::optional<NamespaceKind> parse_namespace_kind(std::string_view name);
/// The file in /proc/PID/ns: "net", "mnt" …; for pid and time the one that our children get is
/// "pid_for_children" and "time_for_children".
std::string_view namespace_file(NamespaceKind kind);
/// Whether this kernel has such namespaces.
bool is_namespace_supported(NamespaceKind kind);

/// Names one namespace of the machine for as long as something keeps it open.
struct NamespaceId {
    dev_t device = 0;
    ino_t inode = 0;
    bool operator==(const NamespaceId&) const = default;
};

/// Opens a namespace file and checks that it is one (nsfs) of that kind.
/// @errors invalid: no namespace file, or of another kind; not_found
Result<Fd> open_namespace(const std::string& path, NamespaceKind kind);
/// Opens a namespace of a process, /proc/PID/ns/KIND. @errors not_found: no such process
Result<Fd> open_namespace_of(pid_t pid, NamespaceKind kind);
/// @param fd  a namespace descriptor
Result<NamespaceId> namespace_id(int fd);
Result<NamespaceId> namespace_id_of(pid_t pid, NamespaceKind kind);
/// Of the calling process.
Result<NamespaceId> own_namespace_id(NamespaceKind kind);
/// Whether this process is in the machine's first user namespace, where root is root.
bool is_in_first_user_namespace();
/// The user namespace that owns the namespace `fd`. @see ioctl_ns(2), NS_GET_USERNS
/// @errors denied: it is outside our own user namespace
Result<Fd> open_owning_user_namespace(int fd);
/// NS_GET_NSTYPE. @errors invalid: not a namespace descriptor
Result<NamespaceKind> namespace_kind(int fd);

/// setns(2) with a namespace descriptor. Joined pid and time namespaces apply to children only.
Result<void> join_namespace(int fd, NamespaceKind kind);
/// setns(2) with a pidfd: all namespaces in `clone_flags` at once, or none (5.8).
Result<void> join_namespaces_of_process(int pidfd, uint64_t clone_flags);
/// unshare(2)
Result<void> unshare_namespaces(uint64_t clone_flags);

/// Offsets of a time namespace without processes yet, for our children: unshare(CLONE_NEWTIME)
/// first. @see time_namespaces(7)
struct TimeOffset {
    int64_t seconds = 0;
    int64_t nanoseconds = 0;
};
struct TimeOffsets {
    std::optional<TimeOffset> monotonic;
    std::optional<TimeOffset> boottime;
};
/// The lines for /proc/PID/timens_offsets.
std::string format_time_offsets(const TimeOffsets& offsets);

}  // namespace hull::kernel
