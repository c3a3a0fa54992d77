#include "layer/unpack_directories.hpp"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::layer {
namespace {

constexpr size_t kOpenFolders = 48;
constexpr int kMaxLinks = 40;  // as the kernel's own limit
constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

std::string join_below(const std::string& folder, std::string_view name) {
    if (folder.empty()) return std::string{name};
    std::string path = folder;
    path.append("/").append(name);
    return path;
}

/// Where a link in the real folder `folder` leads, as a path in the root. ".." stops at the root.
std::string resolve_link(const std::string& folder, const std::string& target) {
    std::string full = target.starts_with('/') ? target : "/" + folder + "/" + target;
    std::string clean = clean_path(full);
    return clean.substr(1);
}

}  // namespace

SplitPath split_path(std::string_view path) {
    size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return {"", path};
    return {path.substr(0, slash), path.substr(slash + 1)};
}

Result<std::unique_ptr<UnpackDirectories>> UnpackDirectories::open(int root,
                                                                   std::string opaque_attribute) {
    Fd copy{::fcntl(root, F_DUPFD_CLOEXEC, 3)};
    if (!copy) return fail_errno(errno, "duplicate the descriptor of the layer's folder");
    kernel::RootedPath rooted = TRY(kernel::RootedPath::adopt(std::move(copy)));
    rooted.set_links(kernel::Links::refuse);
    rooted.set_one_mount(true);
    std::unique_ptr<UnpackDirectories> directories{
        new UnpackDirectories{std::move(rooted), std::move(opaque_attribute)}};
    return directories;
}

UnpackDirectories::Handle UnpackDirectories::remember(std::string key, Handle directory) {
    if (auto known = known_.find(key); known != known_.end()) {
        open_.splice(open_.begin(), open_, known->second);
        known->second->second = directory;
        return directory;
    }
    struct stat info{};
    if (keep_times_ && !pending_.contains(directory->path) &&
        ::fstat(directory->fd.get(), &info) == 0)
        pending_[directory->path] = {.is_implied = false, .is_below = true, .mtime = info.st_mtim};
    open_.emplace_front(std::move(key), directory);
    known_.emplace(open_.front().first, open_.begin());
    if (open_.size() > kOpenFolders) {
        known_.erase(open_.back().first);
        open_.pop_back();
    }
    return directory;
}

Result<UnpackDirectories::Handle> UnpackDirectories::ensure(std::string_view path) {
    return resolve(path, true, 0);
}

Result<UnpackDirectories::Handle> UnpackDirectories::find(std::string_view path) {
    return resolve(path, false, 0);
}

Result<UnpackDirectories::Handle> UnpackDirectories::resolve(std::string_view path,
                                                             bool make_missing, int depth) {
    if (auto known = known_.find(path); known != known_.end()) {
        if (known->second != open_.begin()) open_.splice(open_.begin(), open_, known->second);
        return open_.front().second;
    }
    std::string name{path};
    // In one call, when no link is on the way; longer paths go folder by folder.
    if (path.size() < PATH_MAX) {
        auto folder = root_.open_file(path.empty() ? "/" : path, kFolderFlags);
        if (folder)
            return remember(name, std::make_shared<Directory>(Directory{name, std::move(*folder)}));
    }
    if (path.empty()) return fail(Errc::internal, "the layer's own folder cannot be opened");
    auto [parent_path, last] = split_path(path);
    Handle parent = TRY(resolve(parent_path, make_missing, depth));
    Handle folder = TRY(resolve_last(parent, std::string{last}, make_missing, depth));
    return remember(name, std::move(folder));
}

Result<UnpackDirectories::Handle> UnpackDirectories::resolve_last(const Handle& parent,
                                                                  const std::string& name,
                                                                  bool make_missing, int depth) {
    std::string real = join_below(parent->path, name);
    int fd = ::openat(parent->fd.get(), name.c_str(), kFolderFlags | O_CLOEXEC);
    if (fd >= 0) return std::make_shared<Directory>(Directory{real, Fd{fd}});
    if (errno == ENOENT) {
        if (!make_missing) return fail_errno(ENOENT, "open " + quote(real));
        return make(*parent, name);
    }
    if (errno != ENOTDIR && errno != ELOOP) return fail_errno(errno, "open folder " + quote(real));
    std::array<char, PATH_MAX> target{};
    ssize_t length = ::readlinkat(parent->fd.get(), name.c_str(), target.data(), target.size());
    if (length < 0) {
        struct stat info{};
        if (::fstatat(parent->fd.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISCHR(info.st_mode))
            return fail(Errc::corrupt,
                        "tar: " + quote(real) + " is used as a folder, but is a file");
        // A whiteout of this layer: what was below is gone, the new folder hides it.
        if (::unlinkat(parent->fd.get(), name.c_str(), 0) < 0)
            return fail_errno(errno, "remove " + quote(real));
        has_replaced_ = true;
        Handle folder = TRY(make(*parent, name));
        TRY(set_opaque(*folder));
        return folder;
    }
    if (depth >= kMaxLinks)
        return fail(Errc::corrupt, "tar: links go in circles at " + quote(real));
    std::string link{target.data(), static_cast<size_t>(length)};
    return resolve(resolve_link(parent->path, link), make_missing, depth + 1);
}

Result<UnpackDirectories::Handle> UnpackDirectories::make(const Directory& parent,
                                                          const std::string& name) {
    std::string path = join_below(parent.path, name);
    bool is_new = ::mkdirat(parent.fd.get(), name.c_str(), 0755) == 0;
    if (!is_new && errno != EEXIST) return fail_errno(errno, "create folder " + quote(path));
    int fd = ::openat(parent.fd.get(), name.c_str(), kFolderFlags | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOTDIR || errno == ELOOP)
            return fail(Errc::exists, quote(path) + " exists and is no folder");
        return fail_errno(errno, "open folder " + quote(path));
    }
    if (is_new) pending_[path] = {};
    return remember(path, std::make_shared<Directory>(Directory{path, Fd{fd}}));
}

Result<void> UnpackDirectories::set_opaque(const Directory& directory) {
    opaque_.insert(directory.path);
    if (opaque_attribute_.empty()) return {};
    if (::fsetxattr(directory.fd.get(), opaque_attribute_.c_str(), "y", 1, 0) < 0)
        return fail_errno(errno, "set " + opaque_attribute_ + " of " + quote(directory.path),
                          "the store's file system must have extended attributes");
    return {};
}

void UnpackDirectories::forget(const std::string& path) {
    // Folders that were reached over links may lie below it as well.
    known_.clear();
    open_.clear();
    pending_.erase(path);
    pending_.erase(pending_.lower_bound(path + "/"), pending_.lower_bound(path + "0"));
    opaque_.erase(path);
    opaque_.erase(opaque_.lower_bound(path + "/"), opaque_.lower_bound(path + "0"));
}

void UnpackDirectories::settle() {
    known_.clear();
    open_.clear();
    pending_.clear();
    keep_times_ = true;
}

bool UnpackDirectories::is_opaque(std::string_view path) const {
    if (opaque_.empty()) return false;
    for (;;) {
        if (opaque_.contains(path)) return true;
        if (path.empty()) return false;
        path = split_path(path).parent;
    }
}

}  // namespace hull::layer
