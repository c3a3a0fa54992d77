#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/devices.hpp"
#include "kernel/idmap.hpp"

// The part of a Plan that is about files: root, mounts, devices.

namespace hull::jail {

/// Mount propagation (mount_namespaces(7)).
enum class Propagation { unchanged, private_, slave, shared, unbindable };

struct PropagationPlan {
    Propagation kind = Propagation::unchanged;
    bool recursive = false;
};

/// MOUNT_ATTR_* bits to set and to clear (mount_setattr(2)). A bit in neither stays as it is.
struct MountAttributes {
    uint64_t set = 0;
    uint64_t clear = 0;
    bool empty() const { return set == 0 && clear == 0; }
};

/// The ids of one mount are shifted (MOUNT_ATTR_IDMAP).
struct MountIdMap {
    bool enabled = false;
    bool recursive = false;  ///< "ridmap": submounts too
    kernel::IdMapping ids;   ///< empty: those of the container's user namespace
};

enum class MountKind {
    bind,        ///< an existing file or folder of the caller's, `source`
    filesystem,  ///< a new instance of `type` (fsopen(2)): tmpfs, proc, devpts, overlay, ext4, …
    cgroup,      ///< the container's own view of its cgroups
};

/// One mount inside the container.
struct MountPlan {
    std::string target;  ///< absolute, inside the container; never followed out of the root
    MountKind kind = MountKind::filesystem;
    std::string type;        ///< file system type of `filesystem`
    std::string source;      ///< `bind`: absolute host path; else the name that mountinfo shows
    bool recursive = false;  ///< `bind`: with all mounts below (rbind)
    bool remount = false;    ///< no new mount: what is at `target` gets the attributes
    std::vector<std::string> parameters;   ///< of the superblock, "size=64m", "ro" (fsconfig(2))
    MountAttributes attributes;            ///< of this mount
    MountAttributes recursive_attributes;  ///< of this mount and all below ("rro", "rnosuid", …)
    PropagationPlan propagation;
    MountIdMap id_map;
    bool copy_up = false;          ///< "tmpcopyup": a tmpfs that starts with the target's content
    bool copy_symlink = false;     ///< a source that is a symbolic link is made again, not mounted
    bool source_nofollow = false;  ///< "src-nofollow": bind the link itself
    bool target_nofollow = false;  ///< "dest-nofollow": the target may be a link, mount over it
};

/// The root file system.
struct RootPlan {
    std::string path;  ///< absolute host path; empty: keep the caller's root (no mount namespace)
    bool read_only = false;
    PropagationPlan propagation;  ///< rootfsPropagation; unchanged means recursive slave
    bool no_pivot = false;        ///< chroot instead of pivot_root: for a root on an initramfs
};

/// A device node; uid and gid are those inside the container.
using DevicePlan = kernel::DeviceNode;

}  // namespace hull::jail
