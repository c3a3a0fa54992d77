#pragma once

#include <sys/mount.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "kernel/uapi.hpp"

// Mounts are made as detached objects, changed while nobody can see them, and attached by
// descriptor. A detached mount that is never attached is gone when its descriptor is closed.

namespace hull::kernel {

/// A file system option, "size" = "64k", or a flag when there is no value.
struct FilesystemOption {
    std::string name;
    std::optional<std::string> value;
};

/// A new instance of a file system.
struct FilesystemRequest {
    std::string type;                       ///< "tmpfs"
    std::string source;                     ///< shown in mountinfo; a device for ext4
    std::vector<FilesystemOption> options;  ///< for the file system, not for the mount
    uint64_t attributes = 0;                ///< MOUNT_ATTR_*, of the mount
    bool read_only_super = false;           ///< the file system itself is read-only ("ro")
};

/// Splits "size=64k,mode=755,nr_inodes=10" into options.
std::vector<FilesystemOption> parse_filesystem_options(std::string_view data);

/// Makes a detached mount (fsopen, fsconfig, fsmount). The kernel's own log of what it dislikes
/// becomes the error's text.
/// @return  descriptor of the mount, also usable as an O_PATH directory; the caller's.
/// @errors invalid: an option; denied: no CAP_SYS_ADMIN; unsupported: unknown file system
/// @see fsopen(2)
Result<Fd> create_mount(const FilesystemRequest& request);

/// Mounts a new instance on the directory `target` by mount(2): two calls in the place of five and
/// one for each option. For what needs no preparation and is not asked for by descriptor later. It
/// makes `target` the working directory, and mounts on ".": no path is walked.
/// @return  false: nothing was done. What mount(2) cannot say (an option with a comma, a read-only
///          mount of a writable file system), and what the kernel refuses: create_mount() tells why
bool mount_on_directory(int target, const FilesystemRequest& request);

struct CloneTreeOptions {
    bool recursive = false;  ///< with the mounts below (rbind)
    bool no_follow = false;  ///< a last symbolic link is not followed
};
/// A detached copy (a bind mount) of what `path` relative to `directory` names; "" is `directory`
/// itself, which may be a descriptor of a file. @see open_tree(2), OPEN_TREE_CLONE
Result<Fd> clone_mount(int directory, const std::string& path, CloneTreeOptions options = {});

/// What mount_setattr(2) changes.
struct MountAttributes {
    uint64_t set = 0;          ///< MOUNT_ATTR_*
    uint64_t clear = 0;        ///< MOUNT_ATTR_*; to set an atime mode, MOUNT_ATTR__ATIME is cleared
    uint64_t propagation = 0;  ///< MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, or 0: as it is
    int idmap_namespace = -1;  ///< user namespace: idmaps the (detached) mount; borrowed
    bool recursive = false;
};
/// @param mount  descriptor of a mount's root
/// @errors invalid: the file system cannot be idmapped (EINVAL), or the mount is attached already;
/// denied: an attribute is locked by a more privileged mount namespace
Result<void> set_mount_attributes(int mount, const MountAttributes& attributes);
/// As above for the mount at a path. Only for paths that no container controls.
Result<void> set_mount_attributes_at(const std::string& path, const MountAttributes& attributes);

/// Attaches the detached mount on what the descriptor `target` (O_PATH) names: no path is walked.
/// A file goes on a file, a directory on a directory. @see move_mount(2)
Result<void> attach_mount(int mount, int target);
/// As attach_mount(), but below the mount that `target` is the root of (6.5).
Result<void> attach_mount_beneath(int mount, int target);

/// umount2(2); `flags` MNT_DETACH, UMOUNT_NOFOLLOW is always added. Only for paths that no
/// container controls.
Result<void> unmount(const std::string& path, int flags = 0);
/// Detaches the topmost mount that `directory` is the root of, by descriptor.
Result<void> unmount_directory(int directory);

/// Makes `new_root` (an attached mount's root) the root of this mount namespace, detaches the old
/// one, and stands in the new "/". No mount of the old root may be shared: detaching it would reach
/// its peers on the host. @see pivot_root(2): ".", "."
Result<void> pivot_root_to(int new_root);
/// For `--no-pivot`: moves `new_root` over "/" and chroots; the old root stays below it.
Result<void> move_root_to(int new_root);

/// A stack of directories, as overlay shows it.
struct OverlayRequest {
    std::vector<int> lowers;  ///< directories, topmost first; may be detached mounts; borrowed
    int upper = -1;           ///< -1: read-only; borrowed
    int work = -1;            ///< on the same file system as `upper`; borrowed
    int writable =
        -1;  ///< the detached mount that holds upper and work, if they are on one; borrowed
    bool user_xattr = false;                ///< as it must be in a user namespace
    std::vector<FilesystemOption> options;  ///< more: "metacopy" = "off", "volatile"
    std::string source = "overlay";
    uint64_t attributes = 0;  ///< MOUNT_ATTR_*
    /// An existing folder that kernels < 6.13, which take layers by path only, use to attach
    /// detached layers for a moment; empty: such kernels refuse detached ones.
    std::string scratch_directory;
};
/// @return  a detached mount. Layers are given by descriptor (lowerdir+ with FSCONFIG_SET_FD, 6.13;
/// else by /proc/self/fd paths), so a long chain has no length limit.
Result<Fd> create_overlay(const OverlayRequest& request);

/// Number of the mount that `fd`, or what `path` relative to it leads to, is on (statx(2),
/// STATX_MNT_ID), as in mountinfo.
Result<uint64_t> mount_id(int fd, const char* path = "");
/// Type of the file system that `fd` is on: one of the k…Magic numbers. @see statfs(2)
Result<uint64_t> filesystem_magic(int fd);
/// MOUNT_ATTR_* that the mount of `fd` has (statfs(2) flags): what a remount in a user namespace
/// must keep.
Result<uint64_t> mount_attributes_of(int fd);
/// @errors corrupt: `fd` is not the root of its mount, or of another file system type: somebody
/// put something else in its place.
Result<void> verify_mount(int fd, uint64_t magic);

}  // namespace hull::kernel
