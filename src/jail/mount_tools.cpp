#include "jail/mount_tools.hpp"

#include <fcntl.h>
#include <sys/mount.h>

#include <cerrno>

#include "base/text.hpp"
#include "kernel/lsm.hpp"

namespace hull::jail {

uint64_t propagation_flag(Propagation kind) {
    switch (kind) {
        case Propagation::unchanged:
            return 0;
        case Propagation::private_:
            return MS_PRIVATE;
        case Propagation::slave:
            return MS_SLAVE;
        case Propagation::shared:
            return MS_SHARED;
        case Propagation::unbindable:
            return MS_UNBINDABLE;
    }
    return 0;
}

namespace {

/// A directory of the image's own under a name that the kernel's file systems go to. A link there
/// would put them somewhere else, and the paths that are masked later with them.
Result<Fd> open_kernel_directory(const kernel::RootedPath& root, std::string_view path) {
    auto entry = root.open_file(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (entry) return entry;
    const int cause = entry.error().sys_errno;
    if (cause == ENOENT) return root.make_directories(path, 0755);
    if (cause == ELOOP || cause == ENOTDIR)
        return fail(Errc::invalid,
                    "mount target " + quote(path) + " is a symbolic link, or no directory",
                    "the image must have a real directory there");
    return entry;
}

}  // namespace

Result<Fd> open_mount_target(const kernel::RootedPath& root, std::string_view path,
                             TargetKind kind) {
    if (kind == TargetKind::kernel_directory) return open_kernel_directory(root, path);
    if (kind == TargetKind::directory)
        if (auto there = root.open_directory(path)) return there;
    return root.make_mount_target(path, kind == TargetKind::file);
}

bool is_below(std::string_view path, std::string_view folder) {
    if (folder == "/") return true;
    return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

Result<void> add_mount_label(const Plan& plan, kernel::FilesystemRequest& request) {
    if (plan.mount_label.empty()) return {};
    if (!kernel::is_selinux_enabled())
        return fail(Errc::unsupported,
                    "linux.mountLabel " + quote(plan.mount_label) +
                        ": SELinux is not active in this kernel",
                    "leave out linux.mountLabel");
    request.options.push_back({plan.mount_label_option, plan.mount_label});
    return {};
}

Result<Fd> open_id_map_namespace(const MountIdMap& map, pid_t container_pid) {
    if (map.ids.empty()) return kernel::open_namespace_of(container_pid, NamespaceKind::user);
    return kernel::create_user_namespace(map.ids);
}

}  // namespace hull::jail
