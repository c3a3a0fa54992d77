#pragma once

#include <optional>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "kernel/idmap.hpp"
#include "monitor/settings.hpp"

namespace hull::monitor {

/// The way back to the mounts that a process had before enter_mount_namespace().
struct HostMounts {
    Fd mount_namespace;  ///< closed: there is none, for an ordinary user
    Fd root;
};

/// Puts this process, which has one thread, into the namespaces in which the container's mounts
/// live: a mount namespace that receives the host's mounts and gives it none; for an ordinary user
/// first a user namespace with the user's whole range.
Result<HostMounts> enter_mount_namespace(bool rootless);

/// Leaves the container's mounts to the container, whose own mount namespace holds them from its
/// start on. The working directory becomes "/".
Result<void> return_to_host(HostMounts host);

/// For exec sessions of an ordinary user: the namespace of the container's monitor.
Result<void> join_user_namespace_of(pid_t monitor);

/// The user namespace by which layers are idmapped; made ahead of its mapping where there is time.
struct Idmap {
    std::optional<kernel::UnmappedUserNamespace> unmapped;
    Fd mapped;
};

/// Mounts the snapshot on its target: nosuid, nodev, each layer idmapped when a mapping is given.
/// Call after enter_mount_namespace(). What is mounted goes with the mount namespace.
/// @param idmap  gets the mapping of `rootfs`
/// @errors unsupported: the file system of the layers cannot be idmapped
Result<void> mount_rootfs(const RootfsSettings& rootfs, Idmap& idmap);

/// Makes the files on a tmpfs of their own over `etc.directory`. Call after
/// enter_mount_namespace().
Result<void> mount_etc_files(const EtcFiles& etc);

/// Takes the mounts away again, for who cannot return to the host.
void unmount_all(const MonitorSettings& settings);

/// Copies what the image has at each new volume's place into the volume, with owners, modes and
/// times.
/// @param root  the mounted root filesystem
/// @param idmap  of mount_rootfs()
Result<void> seed_volumes(const RootfsSettings& root, const std::vector<VolumeSeed>& seeds,
                          const Idmap& idmap);

}  // namespace hull::monitor
