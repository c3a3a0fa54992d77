// Owner, mode, times and extended attributes: the rest of rooted_path.hpp.

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/text.hpp"
#include "kernel/rooted_path.hpp"
#include "kernel/rooted_walk.hpp"
#include "kernel/uapi.hpp"

namespace hull::kernel {

namespace {

std::string fd_path(int fd) {
    return "/proc/self/fd/" + std::to_string(fd);
}

/// For l…xattr(2) on kernels before 6.13: the descriptor's magic link, then one component that is
/// not followed.
std::string entry_path(int directory, const std::string& name) {
    return fd_path(directory) + "/" + name;
}

bool is_root_path(std::string_view path) {
    return path.find_first_not_of("/.") == std::string_view::npos &&
           path.find("..") == std::string_view::npos;
}

/// setxattrat(2) and its kin are missing (ENOSYS), or a filter older than them refuses (EPERM).
std::atomic<bool> xattrat_missing{false};

bool try_old_way(long result) {
    if (result >= 0 || (errno != ENOSYS && errno != EPERM)) return false;
    if (errno == ENOSYS) xattrat_missing.store(true, std::memory_order_relaxed);
    return true;
}

bool use_new_way() {
    return !xattrat_missing.load(std::memory_order_relaxed);
}

ssize_t get_at(int directory, const std::string& name, const std::string& attribute,
               std::string& buffer) {
    if (use_new_way()) {
        XattrArgs args{reinterpret_cast<uint64_t>(buffer.data()),
                       static_cast<uint32_t>(buffer.size()), 0};
        long size = ::syscall(SYS_getxattrat, directory, name.c_str(), AT_SYMLINK_NOFOLLOW,
                              attribute.c_str(), &args, sizeof args);
        if (!try_old_way(size)) return size;
    }
    return ::lgetxattr(entry_path(directory, name).c_str(), attribute.c_str(), buffer.data(),
                       buffer.size());
}

ssize_t list_at(int directory, const std::string& name, std::string& buffer) {
    if (use_new_way()) {
        long size = ::syscall(SYS_listxattrat, directory, name.c_str(), AT_SYMLINK_NOFOLLOW,
                              buffer.data(), buffer.size());
        if (!try_old_way(size)) return size;
    }
    return ::llistxattr(entry_path(directory, name).c_str(), buffer.data(), buffer.size());
}

std::vector<std::string> split_names(std::string_view bytes) {
    std::vector<std::string> names;
    for (std::string_view name : split(bytes, '\0'))
        if (!name.empty()) names.emplace_back(name);
    return names;
}

constexpr size_t kXattrMax = 65536;  // XATTR_SIZE_MAX, XATTR_LIST_MAX

}  // namespace

Result<void> set_mode_of(int fd, mode_t mode) {
    if (::syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0) return {};
    if (errno != ENOSYS && errno != EPERM) return fail_errno(errno, "set permissions");
    if (::chmod(fd_path(fd).c_str(), mode) < 0) return fail_errno(errno, "set permissions");
    return {};
}

Result<Fd> reopen(int fd, int flags) {
    return open_path(fd_path(fd), flags);
}

Result<void> set_xattr_at(int directory, const std::string& name, const std::string& attribute,
                          std::string_view value) {
    if (use_new_way()) {
        XattrArgs args{reinterpret_cast<uint64_t>(value.data()),
                       static_cast<uint32_t>(value.size()), 0};
        long result = ::syscall(SYS_setxattrat, directory, name.c_str(), AT_SYMLINK_NOFOLLOW,
                                attribute.c_str(), &args, sizeof args);
        if (result == 0) return {};
        if (!try_old_way(result)) return fail_errno(errno, "set attribute " + quote(attribute));
    }
    if (::lsetxattr(entry_path(directory, name).c_str(), attribute.c_str(), value.data(),
                    value.size(), 0) < 0)
        return fail_errno(errno, "set attribute " + quote(attribute));
    return {};
}

Result<std::optional<std::string>> find_xattr_at(int directory, const std::string& name,
                                                 const std::string& attribute) {
    std::string buffer(256, '\0');
    ssize_t size = get_at(directory, name, attribute, buffer);
    if (size < 0 && errno == ERANGE) {
        buffer.resize(kXattrMax);
        size = get_at(directory, name, attribute, buffer);
    }
    if (size < 0 && (errno == ENODATA || errno == EOPNOTSUPP)) return std::optional<std::string>{};
    if (size < 0) return fail_errno(errno, "read attribute " + quote(attribute));
    buffer.resize(static_cast<size_t>(size));
    return std::optional<std::string>{std::move(buffer)};
}

Result<std::vector<std::string>> list_xattrs_at(int directory, const std::string& name) {
    std::string buffer(1024, '\0');
    ssize_t size = list_at(directory, name, buffer);
    if (size < 0 && errno == ERANGE) {
        buffer.resize(kXattrMax);
        size = list_at(directory, name, buffer);
    }
    if (size < 0 && errno == EOPNOTSUPP) return std::vector<std::string>{};
    if (size < 0) return fail_errno(errno, "list attributes of " + quote(name));
    return split_names(std::string_view(buffer).substr(0, static_cast<size_t>(size)));
}

Result<void> remove_xattr_at(int directory, const std::string& name, const std::string& attribute) {
    if (use_new_way()) {
        long result = ::syscall(SYS_removexattrat, directory, name.c_str(), AT_SYMLINK_NOFOLLOW,
                                attribute.c_str());
        if (result == 0) return {};
        if (!try_old_way(result)) return fail_errno(errno, "remove attribute " + quote(attribute));
    }
    if (::lremovexattr(entry_path(directory, name).c_str(), attribute.c_str()) < 0)
        return fail_errno(errno, "remove attribute " + quote(attribute));
    return {};
}

Result<std::vector<DirectoryEntry>> list_directory_at(int directory) {
    // A descriptor of its own: reading moves the position, and O_PATH ones cannot be read.
    Fd readable = TRY(open_at(directory, ".", O_RDONLY | O_DIRECTORY));
    std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(readable.get()), ::closedir);
    if (!stream) return fail_errno(errno, "list a directory");
    readable.release();  // now the stream's
    std::vector<DirectoryEntry> entries;
    for (;;) {
        errno = 0;
        const dirent* entry = ::readdir(stream.get());
        if (entry == nullptr) break;
        std::string_view name = entry->d_name;
        if (name == "." || name == "..") continue;
        entries.push_back({std::string(name), entry->d_type});
    }
    if (errno != 0) return fail_errno(errno, "list a directory");
    return entries;
}

Result<void> RootedPath::set_owner(std::string_view path, uid_t uid, gid_t gid) const {
    Fd entry = TRY(open_entry(path));
    if (::fchownat(entry.get(), "", uid, gid, AT_EMPTY_PATH) < 0)
        return fail_errno(errno, "set the owner of " + quote(path));
    return {};
}

Result<void> RootedPath::set_mode(std::string_view path, mode_t mode) const {
    Fd entry = TRY(open_entry(path));
    struct stat info{};
    if (::fstat(entry.get(), &info) < 0) return fail_errno(errno, "look at " + quote(path));
    if (S_ISLNK(info.st_mode))
        return fail(Errc::unsupported, "set permissions of " + quote(path) + ": it is a link");
    return with_context(set_mode_of(entry.get(), mode), quote(path));
}

Result<void> RootedPath::set_times(std::string_view path, const timespec& access,
                                   const timespec& modification) const {
    Fd entry = TRY(open_entry(path));
    const timespec times[2] = {access, modification};
    if (::utimensat(entry.get(), "", times, AT_EMPTY_PATH) < 0)
        return fail_errno(errno, "set the times of " + quote(path));
    return {};
}

Result<void> RootedPath::set_xattr(std::string_view path, const std::string& name,
                                   std::string_view value) const {
    if (is_root_path(path)) return with_context(set_xattr_at(fd(), ".", name, value), quote(path));
    Parent parent = TRY(open_parent(path));
    return with_context(set_xattr_at(parent.directory.get(), parent.name, name, value),
                        quote(path));
}

Result<std::optional<std::string>> RootedPath::find_xattr(std::string_view path,
                                                          const std::string& name) const {
    if (is_root_path(path)) return find_xattr_at(fd(), ".", name);
    Parent parent = TRY(open_parent(path));
    return with_context(find_xattr_at(parent.directory.get(), parent.name, name), quote(path));
}

Result<std::vector<std::string>> RootedPath::list_xattrs(std::string_view path) const {
    if (is_root_path(path)) return list_xattrs_at(fd(), ".");
    Parent parent = TRY(open_parent(path));
    return with_context(list_xattrs_at(parent.directory.get(), parent.name), quote(path));
}

Result<void> RootedPath::remove_xattr(std::string_view path, const std::string& name) const {
    if (is_root_path(path)) return remove_xattr_at(fd(), ".", name);
    Parent parent = TRY(open_parent(path));
    return with_context(remove_xattr_at(parent.directory.get(), parent.name, name), quote(path));
}

}  // namespace hull::kernel
