#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "jail/step.hpp"
#include "kernel/mount.hpp"

// What the files that mount share.

namespace hull::jail {

/// MS_SHARED and so on; 0 for `unchanged`.
uint64_t propagation_flag(Propagation kind);

/// Opens the place inside the root where a mount goes, making it if it is missing.
enum class TargetKind {
    directory,
    file,
    kernel_directory,  ///< for proc and sysfs: no symbolic link on the way (CVE-2019-19921)
};
Result<Fd> open_mount_target(const kernel::RootedPath& root, std::string_view path,
                             TargetKind kind);

/// True when `path` is `folder` or below it; both clean and absolute.
bool is_below(std::string_view path, std::string_view folder);

/// linux.mountLabel, for a file system that is to be made.
/// @errors unsupported: there is a label, and SELinux is not active
Result<void> add_mount_label(const Plan& plan, kernel::FilesystemRequest& request);

/// The ids of a mount as the kernel wants them: a user namespace that has them.
/// @param container_pid  whose user namespace is taken when the plan names no ids of its own
Result<Fd> open_id_map_namespace(const MountIdMap& map, pid_t container_pid);

}  // namespace hull::jail
