#pragma once

#include "base/result.hpp"
#include "monitor/settings.hpp"

namespace hull::monitor {

/// Puts this process, which has one thread, into the namespaces in which the container's mounts
/// live: a mount namespace that receives the host's mounts and gives it none; for an ordinary user
/// first a user namespace with the user's whole range; for an exec session of an ordinary user the
/// user namespace of the container's monitor.
Result<void> enter_namespaces(const MonitorSettings& settings);

/// Mounts the snapshot on its target: nosuid, nodev, each layer idmapped when a mapping is given.
/// Call after enter_namespaces(). What is mounted goes with the mount namespace.
/// @errors unsupported: the file system of the layers cannot be idmapped
Result<void> mount_rootfs(const RootfsSettings& rootfs);

/// Takes the mount away again; before the on-exit command, which deletes its folder from inside
/// this mount namespace.
void unmount_rootfs(const RootfsSettings& rootfs);

/// Copies what the image has at each new volume's place into the volume, with owners, modes and
/// times. @param root  the mounted root filesystem
Result<void> seed_volumes(const RootfsSettings& root, const std::vector<VolumeSeed>& seeds);

}  // namespace hull::monitor
