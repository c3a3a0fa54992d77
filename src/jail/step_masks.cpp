#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/text.hpp"
#include "jail/mount_tools.hpp"
#include "jail/step.hpp"
#include "kernel/devices.hpp"
#include "kernel/mount.hpp"

// Masked and read-only paths. The sources of masks are a null device and an empty folder on a
// tmpfs of our own that the container never sees (CVE-2025-31133: its own /dev/null could be a
// link to anything).

namespace hull::jail {
namespace {

constexpr uint64_t kMaskAttributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
const kernel::DeviceNode kNull{.path = "/dev/null", .major = 1, .minor = 3};

}  // namespace

Result<void> build_mask_sources(LaunchSetup& setup) {
    if (setup.plan->masked_paths.empty() || !setup.has_mount_namespace()) return {};
    auto made = kernel::create_mount({.type = "tmpfs", .source = "tmpfs"});
    // In the parent; the child, which finds none, calls this again.
    if (!made && is_left_to_child(setup, made.error()) && setup.program.channel == nullptr)
        return {};
    Fd directory = TRY(std::move(made));
    if (::mkdirat(directory.get(), "empty", 0555) < 0)
        return fail_errno(errno, "make the source of masked folders");
    // Where mknod is refused the host's own node serves, checked by type and number.
    if (::mknodat(directory.get(), "null", S_IFCHR | 0666, makedev(1, 3)) < 0 && errno != EPERM)
        return fail_errno(errno, "make the source of masked files");
    TRY(kernel::set_mount_attributes(directory.get(), {.set = kMaskAttributes}));
    setup.mask_mount = std::move(directory);
    return {};
}

namespace {

/// One detached mask after the other; what was not used serves the next path.
class Masks {
  public:
    explicit Masks(int directory) : directory_(directory) {}

    Result<int> file() {
        if (!file_) file_ = TRY(clone_null());
        return file_.get();
    }
    Result<int> folder() {
        if (!folder_) folder_ = TRY(kernel::clone_mount(directory_, "empty"));
        return folder_.get();
    }
    void used_file() { file_.reset(); }
    void used_folder() { folder_.reset(); }

  private:
    Result<Fd> clone_null() const {
        auto own = kernel::clone_mount(directory_, "null", {.no_follow = true});
        if (own || own.error().sys_errno != ENOENT) return own;
        Fd host = TRY(kernel::clone_mount(AT_FDCWD, "/dev/null", {.no_follow = true}));
        TRY(kernel::verify_device(host.get(), kNull));
        TRY(kernel::set_mount_attributes(host.get(), {.set = kMaskAttributes}));
        return host;
    }
    int directory_;
    Fd file_;
    Fd folder_;
};

bool is_absent(const Error& error) {
    return error.sys_errno == ENOENT || error.sys_errno == ENOTDIR;
}

/// Where a path to protect is: by name below a mount of the kernel's own files that we made, which
/// holds no links of an image's; else opened once within the root.
struct Place {
    int directory = -1;
    std::string name;  ///< empty: `directory` itself
    Fd opened;
};

Result<std::optional<Place>> find_place(const LaunchSetup& setup, const std::string& path) {
    for (const auto& mount : setup.kernel_mounts) {
        if (!is_below(path, mount.target) || path.size() <= mount.target.size()) continue;
        auto name = path.substr(mount.target.size() + 1);
        // One name only: what lies deeper could be behind a link.
        if (name.empty() || name.find('/') != std::string::npos || name == "..") continue;
        return Place{.directory = mount.fd.get(), .name = std::move(name)};
    }
    auto target = setup.root->open_target(path);
    if (!target && is_absent(target.error())) return std::optional<Place>{};
    const int fd = TRY(std::move(target)).release();
    return Place{.directory = fd, .name = {}, .opened = Fd(fd)};
}

/// move_mount(2) without following a last link. False: there is nothing of that name.
Result<bool> attach(int mount, const Place& place) {
    const unsigned flags =
        MOVE_MOUNT_F_EMPTY_PATH | (place.name.empty() ? MOVE_MOUNT_T_EMPTY_PATH : 0U);
    if (::move_mount(mount, "", place.directory, place.name.c_str(), flags) == 0) return true;
    if (errno == ENOENT) return false;
    return fail_errno(errno, "attach a mount");
}

Result<void> mask(const LaunchSetup& setup, Masks& masks, const std::string& path) {
    const auto place = TRY(find_place(setup, path));
    if (!place) return {};
    // Without a look at what it is: most paths are not there at all, and most others are files.
    const auto attached = attach(TRY(masks.file()), *place);
    if (attached && *attached) masks.used_file();
    if (attached) return {};
    // The answer when a file would go on a folder (move_mount(2): EINVAL).
    if (attached.error().sys_errno != EINVAL && attached.error().sys_errno != ENOTDIR)
        return fail(attached.error());
    if (TRY(attach(TRY(masks.folder()), *place))) masks.used_folder();
    return {};
}

Result<void> make_read_only(const LaunchSetup& setup, const std::string& path) {
    const auto place = TRY(find_place(setup, path));
    if (!place) return {};
    auto copy =
        kernel::clone_mount(place->directory, place->name, {.recursive = true, .no_follow = true});
    if (!copy && is_absent(copy.error())) return {};
    const Fd mount = TRY(std::move(copy));
    TRY(kernel::set_mount_attributes(mount.get(), {.set = MOUNT_ATTR_RDONLY, .recursive = true}));
    TRY(attach(mount.get(), *place));
    return {};
}

}  // namespace

Result<void> protect_paths(LaunchSetup& setup) {
    if (!setup.has_mount_namespace()) {
        if (setup.plan->masked_paths.empty() && setup.plan->readonly_paths.empty()) return {};
        return fail(Errc::invalid, "maskedPaths and readonlyPaths need a mount namespace",
                    "add {\"type\": \"mount\"} to linux.namespaces");
    }
    for (const auto& path : setup.plan->readonly_paths)
        TRY(with_context(make_read_only(setup, path), "linux.readonlyPaths: " + quote(path)));
    Masks masks(setup.mask_mount.get());
    for (const auto& path : setup.plan->masked_paths)
        TRY(with_context(mask(setup, masks, path), "linux.maskedPaths: " + quote(path)));
    return {};
}

}  // namespace hull::jail
