#include "store/metadata.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <string_view>

namespace hull::store {
namespace {

using Attributes = std::map<std::string, std::string>;

Result<Attributes> load_attributes(const std::string& path) {
    Attributes attributes;
    ssize_t size = ::llistxattr(path.c_str(), nullptr, 0);
    if (size < 0 && errno == ENOTSUP) return attributes;
    if (size < 0) return fail_errno(errno, "list extended attributes of " + path);
    std::string names(static_cast<size_t>(size), '\0');
    size = ::llistxattr(path.c_str(), names.data(), names.size());
    if (size < 0) return fail_errno(errno, "list extended attributes of " + path);
    names.resize(static_cast<size_t>(size));
    for (size_t i = 0; i < names.size(); i += std::string_view{names.c_str() + i}.size() + 1) {
        std::string name{names.c_str() + i};
        if (is_overlay_xattr(name)) continue;
        std::array<char, 65536> value{};  // the kernel's own limit
        ssize_t length = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
        if (length < 0 && errno == ENODATA) continue;
        if (length < 0) return fail_errno(errno, "read " + name + " of " + path);
        attributes[name] = std::string(value.data(), static_cast<size_t>(length));
    }
    return attributes;
}

Result<struct stat> stat_of(const std::string& path) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) < 0) return fail_errno(errno, "stat " + path);
    return info;
}

}  // namespace

bool is_overlay_xattr(std::string_view name) {
    return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

bool is_opaque(const std::string& directory) {
    char value = 0;
    for (const char* name : {"trusted.overlay.opaque", "user.overlay.opaque"})
        if (::lgetxattr(directory.c_str(), name, &value, 1) == 1 && value == 'y') return true;
    return false;
}

bool is_whiteout(const struct stat& info) {
    return S_ISCHR(info.st_mode) && info.st_rdev == 0;
}

Result<void> copy_metadata(const std::string& source, const std::string& target) {
    struct stat info = TRY(stat_of(source));
    if (::lchown(target.c_str(), info.st_uid, info.st_gid) < 0)
        return fail_errno(errno, "chown " + target);
    // After chown, which clears set-id bits and security.capability.
    if (!S_ISLNK(info.st_mode) && ::chmod(target.c_str(), info.st_mode & 07777U) < 0)
        return fail_errno(errno, "chmod " + target);
    for (const auto& [name, value] : TRY(load_attributes(source)))
        if (::lsetxattr(target.c_str(), name.c_str(), value.data(), value.size(), 0) < 0 &&
            errno != ENOTSUP)
            return fail_errno(errno, "set " + name + " of " + target);
    std::array<timespec, 2> times{info.st_atim, info.st_mtim};
    if (::utimensat(AT_FDCWD, target.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(errno, "set the times of " + target);
    return {};
}

Result<bool> has_equal_metadata(const std::string& a, const std::string& b) {
    struct stat first = TRY(stat_of(a));
    struct stat second = TRY(stat_of(b));
    if (first.st_mode != second.st_mode || first.st_uid != second.st_uid ||
        first.st_gid != second.st_gid || first.st_mtim.tv_sec != second.st_mtim.tv_sec ||
        first.st_mtim.tv_nsec != second.st_mtim.tv_nsec)
        return false;
    return TRY(load_attributes(a)) == TRY(load_attributes(b));
}

}  // namespace hull::store
