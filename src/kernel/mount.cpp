#include "kernel/mount.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/text.hpp"
#include "kernel/fs_context.hpp"

namespace hull::kernel {

std::vector<FilesystemOption> parse_filesystem_options(std::string_view data) {
    std::vector<FilesystemOption> options;
    for (std::string_view word : split(data, ',')) {
        if (word.empty()) continue;
        size_t equals = word.find('=');
        if (equals == std::string_view::npos) {
            options.push_back({std::string(word), std::nullopt});
        } else {
            options.push_back(
                {std::string(word.substr(0, equals)), std::string(word.substr(equals + 1))});
        }
    }
    return options;
}

Result<Fd> create_mount(const FilesystemRequest& request) {
    FsContext context = TRY(FsContext::open(request.type));
    if (!request.source.empty()) TRY(context.set_string("source", request.source));
    if (request.read_only_super) TRY(context.set_flag("ro"));
    for (const FilesystemOption& option : request.options) {
        if (option.value) {
            TRY(context.set_string(option.name, *option.value));
        } else {
            TRY(context.set_flag(option.name));
        }
    }
    return context.create_mount(request.attributes);
}

namespace {

/// MS_* of MOUNT_ATTR_*, where both mean the same.
std::optional<unsigned long> flags_of(uint64_t attributes) {
    struct Pair {
        uint64_t attribute;
        unsigned long flag;
    };
    constexpr std::array kPairs = {
        Pair{MOUNT_ATTR_NOSUID, MS_NOSUID},           Pair{MOUNT_ATTR_NODEV, MS_NODEV},
        Pair{MOUNT_ATTR_NOEXEC, MS_NOEXEC},           Pair{MOUNT_ATTR_NOATIME, MS_NOATIME},
        Pair{MOUNT_ATTR_STRICTATIME, MS_STRICTATIME}, Pair{MOUNT_ATTR_NODIRATIME, MS_NODIRATIME}};
    unsigned long flags = 0;
    for (const Pair& pair : kPairs) {
        if ((attributes & pair.attribute) == 0) continue;
        flags |= pair.flag;
        attributes &= ~pair.attribute;
    }
    if (attributes != 0) return std::nullopt;
    return flags;
}

/// "size=64k,mode=755": one page at most.
std::optional<std::string> data_of(const std::vector<FilesystemOption>& options) {
    std::string data;
    for (const auto& option : options) {
        const std::string word = option.value ? option.name + "=" + *option.value : option.name;
        if (word.find_first_of(",\\\"") != std::string::npos) return std::nullopt;
        data += (data.empty() ? "" : ",") + word;
    }
    if (data.size() > 4000) return std::nullopt;
    return data;
}

}  // namespace

bool mount_on_directory(int target, const FilesystemRequest& request) {
    const auto flags = flags_of(request.attributes);
    const auto data = data_of(request.options);
    if (!flags || !data || request.read_only_super) return false;
    const char* source = request.source.empty() ? "none" : request.source.c_str();
    return ::fchdir(target) == 0 &&
           ::mount(source, ".", request.type.c_str(), *flags, data->c_str()) == 0;
}

Result<Fd> clone_mount(int directory, const std::string& path, CloneTreeOptions options) {
    unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    if (path.empty()) flags |= AT_EMPTY_PATH;
    if (options.recursive) flags |= AT_RECURSIVE;
    if (options.no_follow) flags |= AT_SYMLINK_NOFOLLOW;
    int fd = ::open_tree(directory, path.c_str(), flags);
    if (fd < 0) {
        int cause = errno;
        std::string hint;
        if (cause == EINVAL)
            hint = "the source is unbindable, or has locked mounts below it: bind it recursively";
        return fail_errno(cause, "bind " + (path.empty() ? std::string("a descriptor") : path),
                          hint);
    }
    return Fd{fd};
}

namespace {

Result<void> change_attributes(int directory, const char* path, const MountAttributes& attributes) {
    mount_attr attr{};
    attr.attr_set = attributes.set;
    attr.attr_clr = attributes.clear;
    // mount_setattr(2): the atime modes are one field, which is cleared whenever it is set.
    if ((attributes.set & MOUNT_ATTR__ATIME) != 0) attr.attr_clr |= MOUNT_ATTR__ATIME;
    attr.propagation = attributes.propagation;
    if (attributes.idmap_namespace >= 0) {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = static_cast<uint64_t>(attributes.idmap_namespace);
    }
    unsigned int flags = *path == '\0' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
    if (attributes.recursive) flags |= AT_RECURSIVE;
    if (::mount_setattr(directory, path, flags, &attr, sizeof attr) == 0) return {};
    int cause = errno;
    std::string what =
        attributes.idmap_namespace >= 0 ? "idmap a mount" : "change a mount's attributes";
    if (*path != '\0') what += " at " + std::string(path);
    std::string hint;
    if (attributes.idmap_namespace >= 0 && cause == EINVAL) {
        hint = "this file system cannot be idmapped, or is idmapped already";
    } else if (attributes.idmap_namespace >= 0 && cause == EPERM) {
        hint = "idmapping needs CAP_SYS_ADMIN over the file system's own user namespace";
    } else if (cause == EPERM) {
        hint = "an attribute is locked by a more privileged mount namespace";
    }
    return fail_errno(cause, what, hint);
}

Result<void> move_to(int mount, int target, unsigned int more_flags) {
    if (::move_mount(mount, "", target, "",
                     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH | more_flags) == 0)
        return {};
    int cause = errno;
    std::string hint;
    if (cause == ENOTDIR) hint = "a file is mounted on a file, a directory on a directory";
    if (cause == EINVAL && more_flags == 0)
        hint = "the target is not in this mount namespace, or a file is mounted on a directory";
    return fail_errno(cause, "attach a mount", hint);
}

}  // namespace

Result<void> set_mount_attributes(int mount, const MountAttributes& attributes) {
    return change_attributes(mount, "", attributes);
}

Result<void> set_mount_attributes_at(const std::string& path, const MountAttributes& attributes) {
    return change_attributes(AT_FDCWD, path.c_str(), attributes);
}

Result<void> attach_mount(int mount, int target) {
    return move_to(mount, target, 0);
}

Result<void> attach_mount_beneath(int mount, int target) {
    return move_to(mount, target, kMoveMountBeneath);
}

Result<void> unmount(const std::string& path, int flags) {
    if (::umount2(path.c_str(), flags | UMOUNT_NOFOLLOW) < 0)
        return fail_errno(errno, "unmount " + path);
    return {};
}

Result<void> unmount_directory(int directory) {
    // umount2(2) has no form by descriptor. This one is of ours, and the magic link leads to
    // exactly what it holds, so no name that a container controls is walked.
    std::string path = "/proc/self/fd/" + std::to_string(directory);
    if (::umount2(path.c_str(), MNT_DETACH) < 0) return fail_errno(errno, "detach a mount");
    return {};
}

namespace {

/// Detaches all that lies on top of the new root: the old one, and where a host has mounts over its
/// own "/", first those, one by one. "/.." is the topmost mount, so what it shows is what a process
/// inside could get at: nothing is over when it shows the new root itself.
Result<void> detach_old_root(int new_root) {
    constexpr int kMostMounts = 64;
    const uint64_t wanted = TRY(mount_id(new_root));
    for (int i = 0; i < kMostMounts; ++i) {
        // pivot_root(2) has put the old root there, so that the first one is over in any case.
        if (::umount2("/..", MNT_DETACH) < 0)
            return fail_errno(errno, "detach the old root",
                              "the host has mounts over its own \"/\": unmount these");
        if (TRY(mount_id(AT_FDCWD, "/..")) == wanted) return {};
    }
    return fail(Errc::conflict, "detach the old root: there are too many mounts over \"/\"",
                "unmount on the host what lies over its own \"/\"");
}

}  // namespace

Result<void> pivot_root_to(int new_root) {
    if (::fchdir(new_root) < 0) return fail_errno(errno, "enter the new root");
    if (::syscall(SYS_pivot_root, ".", ".") < 0) {
        int cause = errno;
        std::string hint;
        if (cause == EINVAL)
            hint = "the present root is an initramfs (use --no-pivot), or is mounted shared";
        return fail_errno(cause, "pivot_root", hint);
    }
    // The old root lies on top of the new one now.
    TRY(detach_old_root(new_root));
    if (::chdir("/") < 0) return fail_errno(errno, "enter the new root");
    return {};
}

Result<void> move_root_to(int new_root) {
    if (::fchdir(new_root) < 0) return fail_errno(errno, "enter the new root");
    if (::mount(".", "/", nullptr, MS_MOVE, nullptr) < 0)
        return fail_errno(errno, "move the new root over /");
    if (::chroot(".") < 0) return fail_errno(errno, "chroot into the new root");
    if (::chdir("/") < 0) return fail_errno(errno, "enter the new root");
    return {};
}

Result<uint64_t> mount_id(int fd, const char* path) {
    struct statx info{};
    if (::statx(fd, path, AT_EMPTY_PATH, STATX_MNT_ID, &info) < 0)
        return fail_errno(errno, "read a mount's number");
    if ((info.stx_mask & STATX_MNT_ID) == 0)
        return fail(Errc::unsupported, "this kernel does not tell mount numbers (needs 5.8)");
    return info.stx_mnt_id;
}

Result<uint64_t> filesystem_magic(int fd) {
    struct statfs info{};
    if (::fstatfs(fd, &info) < 0) return fail_errno(errno, "read a file system's type");
    return static_cast<uint64_t>(info.f_type);
}

Result<uint64_t> mount_attributes_of(int fd) {
    struct statvfs info{};
    if (::fstatvfs(fd, &info) < 0) return fail_errno(errno, "read a mount's attributes");
    struct Pair {
        unsigned long flag;
        uint64_t attribute;
    };
    constexpr unsigned long kNoSymlinkFollow = 0x2000;  // ST_NOSYMFOLLOW, 5.10
    constexpr std::array kPairs = {Pair{ST_RDONLY, MOUNT_ATTR_RDONLY},
                                   Pair{ST_NOSUID, MOUNT_ATTR_NOSUID},
                                   Pair{ST_NODEV, MOUNT_ATTR_NODEV},
                                   Pair{ST_NOEXEC, MOUNT_ATTR_NOEXEC},
                                   Pair{ST_NOATIME, MOUNT_ATTR_NOATIME},
                                   Pair{ST_NODIRATIME, MOUNT_ATTR_NODIRATIME},
                                   Pair{kNoSymlinkFollow, MOUNT_ATTR_NOSYMFOLLOW}};
    uint64_t attributes = 0;
    for (const Pair& pair : kPairs)
        if ((info.f_flag & pair.flag) != 0) attributes |= pair.attribute;
    return attributes;
}

Result<void> verify_mount(int fd, uint64_t magic) {
    if (TRY(filesystem_magic(fd)) != magic)
        return fail(Errc::corrupt, "a mount is not of the expected file system type");
    struct statx info{};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &info) < 0)
        return fail_errno(errno, "look at a mount");
    if ((info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0 &&
        (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0)
        return fail(Errc::corrupt, "a descriptor is not the root of its mount");
    return {};
}

}  // namespace hull::kernel
