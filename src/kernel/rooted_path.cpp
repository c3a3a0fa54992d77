#include "kernel/rooted_path.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include "base/remove_tree.hpp"
#include "base/text.hpp"
#include "kernel/rooted_walk.hpp"

namespace hull::kernel {

namespace {

std::string describe(std::string_view path) {
    return path.empty() ? std::string("/") : quote(path);
}

tl::unexpected<Error> fail_at(int cause, const char* verb, std::string_view path) {
    std::string hint;
    if (cause == ELOOP) hint = "there is a symbolic link (or a loop of them) where none may be";
    if (cause == EXDEV) hint = "the path leads out of its root or onto another mount";
    Error error = errno_error(cause, std::string(verb) + " " + describe(path), std::move(hint));
    if (cause == ELOOP || cause == EXDEV || cause == ENOTDIR) error.code = Errc::invalid;
    return fail(std::move(error));
}

bool has_nul(std::string_view path) {
    return path.find('\0') != std::string_view::npos;
}

std::string_view without_trailing_slashes(std::string_view path) {
    while (!path.empty() && path.back() == '/')
        path.remove_suffix(1);
    return path;
}

}  // namespace

Result<Fd> open_beneath(int directory, const std::string& path, const OpenHow& request) {
    open_how how{};
    how.flags = static_cast<uint64_t>(request.flags) | O_CLOEXEC;
    if ((request.flags & (O_CREAT | __O_TMPFILE)) != 0) how.mode = request.mode & 07777;
    how.resolve = request.resolve;
    // openat2(2): EAGAIN when something was renamed or mounted during the walk; each try is safe.
    constexpr int kTries = 256;
    for (int attempt = 0;; ++attempt) {
        long fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how);
        if (fd >= 0) return Fd{static_cast<int>(fd)};
        if (errno == EINTR || (errno == EAGAIN && attempt < kTries)) continue;
        return fail_at(errno, "open", path);
    }
}

Result<RootedPath> RootedPath::open(const std::string& host_path) {
    return RootedPath{TRY(open_path(host_path, O_PATH | O_DIRECTORY))};
}

Result<RootedPath> RootedPath::adopt(Fd directory) {
    struct stat info{};
    if (::fstat(directory.get(), &info) < 0)
        return fail_errno(errno, "look at a root's descriptor");
    if (!S_ISDIR(info.st_mode)) return fail(Errc::invalid, "a root must be a directory");
    return RootedPath{std::move(directory)};
}

Result<RootedPath> RootedPath::duplicate() const {
    RootedPath copy{TRY(root_.duplicate())};
    copy.links_ = links_;
    copy.one_mount_ = one_mount_;
    return copy;
}

uint64_t RootedPath::resolve_flags() const {
    uint64_t flags = RESOLVE_NO_MAGICLINKS;
    flags |= links_ == Links::inside ? RESOLVE_IN_ROOT : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    if (one_mount_) flags |= RESOLVE_NO_XDEV;
    return flags;
}

Result<Fd> RootedPath::resolve(std::string_view path, int flags, mode_t mode) const {
    if (has_nul(path)) return fail(Errc::invalid, "open " + describe(path) + ": has a NUL byte");
    // RESOLVE_BENEATH refuses absolute paths; here "/etc" is "etc".
    while (path.starts_with('/'))
        path.remove_prefix(1);
    return open_beneath(root_.get(), path.empty() ? "." : std::string(path),
                        {.flags = flags, .mode = mode, .resolve = resolve_flags()});
}

Result<Fd> RootedPath::open_file(std::string_view path, int flags, mode_t mode) const {
    return resolve(path, flags, mode);
}

Result<Fd> RootedPath::open_target(std::string_view path) const {
    return resolve(path, O_PATH, 0);
}

Result<Fd> RootedPath::open_entry(std::string_view path) const {
    // A trailing slash would make the kernel follow the link.
    return resolve(without_trailing_slashes(path), O_PATH | O_NOFOLLOW, 0);
}

Result<Fd> RootedPath::open_directory(std::string_view path) const {
    return resolve(path, O_PATH | O_DIRECTORY, 0);
}

Result<RootedPath> RootedPath::enter(std::string_view path) const {
    RootedPath inner{TRY(open_directory(path))};
    inner.links_ = links_;
    inner.one_mount_ = one_mount_;
    return inner;
}

Result<RootedPath::Parent> RootedPath::open_parent(std::string_view path) const {
    if (has_nul(path)) return fail(Errc::invalid, "open " + describe(path) + ": has a NUL byte");
    std::string_view clean = without_trailing_slashes(path);
    size_t slash = clean.rfind('/');
    bool is_top = slash == std::string_view::npos;
    std::string_view name = is_top ? clean : clean.substr(slash + 1);
    if (name.empty() || name == "." || name == "..")
        return fail(Errc::invalid, "path " + describe(path) + " names no entry of a directory",
                    "give a path that ends in a name");
    if (name.size() > NAME_MAX) return fail_at(ENAMETOOLONG, "open", path);
    Parent parent;
    parent.directory = TRY(is_top ? root_.duplicate() : open_directory(clean.substr(0, slash)));
    parent.name = std::string(name);
    return parent;
}

Result<Fd> RootedPath::create_file(std::string_view path, mode_t mode) const {
    Parent parent = TRY(open_parent(path));
    int fd = ::openat(parent.directory.get(), parent.name.c_str(),
                      O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) return fail_at(errno, "create file", path);
    return Fd{fd};
}

Result<void> RootedPath::make_directory(std::string_view path, mode_t mode) const {
    Parent parent = TRY(open_parent(path));
    if (::mkdirat(parent.directory.get(), parent.name.c_str(), mode) < 0)
        return fail_at(errno, "create directory", path);
    return {};
}

Result<Fd> RootedPath::make_directories(std::string_view path, mode_t mode) const {
    auto there = open_directory(path);
    if (there || there.error().sys_errno != ENOENT) return there;
    return walk_and_make(root_.get(), path,
                         {.mode = mode,
                          .follow_links = links_ == Links::inside,
                          .resolve = one_mount_ ? uint64_t{RESOLVE_NO_XDEV} : 0});
}

Result<Fd> RootedPath::make_mount_target(std::string_view path, bool is_file) const {
    constexpr int kMaxLinks = 40;
    std::string current(path);
    for (int links = 0; links <= kMaxLinks; ++links) {
        auto there = open_target(current);
        if (there) {
            struct stat info{};
            if (::fstat(there->get(), &info) < 0) return fail_at(errno, "look at", path);
            if (S_ISDIR(info.st_mode) != !is_file)
                return fail(Errc::invalid,
                            "mount target " + describe(path) + " is " +
                                (is_file ? "a directory" : "not a directory"),
                            "a file is mounted on a file, a directory on a directory");
            return there;
        }
        if (there.error().sys_errno != ENOENT) return there;
        if (!is_file) return make_directories(current, 0755);
        std::string_view clean = without_trailing_slashes(current);
        size_t slash = clean.rfind('/');
        std::string folder(slash == std::string_view::npos ? "" : clean.substr(0, slash));
        std::string name(slash == std::string_view::npos ? clean : clean.substr(slash + 1));
        if (name.empty() || name == "." || name == "..")
            return fail(Errc::invalid, "mount target " + describe(path) + " names no file");
        Fd parent = TRY(make_directories(folder, 0755));
        Fd file{::openat(parent.get(), name.c_str(),
                         O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0644)};
        if (file) return open_beneath(parent.get(), name, beneath_how(O_PATH | O_NOFOLLOW));
        if (errno != EEXIST) return fail_at(errno, "create mount target", path);
        // A dangling link (or somebody was faster): its target is what must be made.
        std::string target = TRY(read_link_at(parent.get(), name));
        if (links_ == Links::refuse) return fail_at(ELOOP, "create mount target", path);
        current = target.starts_with('/') ? target : folder + "/" + target;
    }
    return fail_at(ELOOP, "create mount target", path);
}

Result<void> RootedPath::make_symlink(std::string_view path, const std::string& target) const {
    Parent parent = TRY(open_parent(path));
    if (::symlinkat(target.c_str(), parent.directory.get(), parent.name.c_str()) < 0)
        return fail_at(errno, "create symbolic link", path);
    return {};
}

Result<void> RootedPath::make_node(std::string_view path, const NodeRequest& request) const {
    Parent parent = TRY(open_parent(path));
    if (::mknodat(parent.directory.get(), parent.name.c_str(), request.mode, request.device) < 0)
        return fail_at(errno, "create node", path);
    return {};
}

Result<void> RootedPath::make_link(std::string_view existing, std::string_view path) const {
    Parent from = TRY(open_parent(existing));
    Parent to = TRY(open_parent(path));
    if (::linkat(from.directory.get(), from.name.c_str(), to.directory.get(), to.name.c_str(), 0) <
        0)
        return fail_at(errno, "create hard link", path);
    return {};
}

Result<void> RootedPath::rename(std::string_view from, std::string_view to,
                                unsigned int flags) const {
    Parent source = TRY(open_parent(from));
    Parent target = TRY(open_parent(to));
    if (::renameat2(source.directory.get(), source.name.c_str(), target.directory.get(),
                    target.name.c_str(), flags) < 0)
        return fail_at(errno, "rename", from);
    return {};
}

Result<void> RootedPath::remove_file(std::string_view path) const {
    Parent parent = TRY(open_parent(path));
    if (::unlinkat(parent.directory.get(), parent.name.c_str(), 0) < 0)
        return fail_at(errno, "remove", path);
    return {};
}

Result<void> RootedPath::remove_directory(std::string_view path) const {
    Parent parent = TRY(open_parent(path));
    if (::unlinkat(parent.directory.get(), parent.name.c_str(), AT_REMOVEDIR) < 0)
        return fail_at(errno, "remove directory", path);
    return {};
}

Result<void> RootedPath::remove_tree(std::string_view path) const {
    auto parent = open_parent(path);
    if (!parent) {
        if (parent.error().sys_errno == ENOENT) return {};
        return fail(std::move(parent).error());
    }
    return with_context(remove_tree_at(parent->directory.get(), parent->name),
                        "remove " + describe(path));
}

Result<void> RootedPath::remove_content(std::string_view path) const {
    Fd directory = TRY(open_directory(path));
    return with_context(remove_content_at(directory.get()), "empty " + describe(path));
}

Result<std::optional<struct stat>> RootedPath::find(std::string_view path) const {
    auto entry = open_entry(path);
    if (!entry) {
        // ENOTDIR: something on the way is a file, so the path does not exist.
        if (entry.error().sys_errno == ENOENT || entry.error().sys_errno == ENOTDIR)
            return std::optional<struct stat>{};
        return fail(std::move(entry).error());
    }
    struct stat info{};
    if (::fstat(entry->get(), &info) < 0) return fail_at(errno, "look at", path);
    return std::optional<struct stat>{info};
}

Result<struct stat> RootedPath::stat(std::string_view path) const {
    Fd entry = TRY(open_entry(path));
    struct stat info{};
    if (::fstat(entry.get(), &info) < 0) return fail_at(errno, "look at", path);
    return info;
}

Result<struct stat> RootedPath::stat_target(std::string_view path) const {
    Fd target = TRY(open_target(path));
    struct stat info{};
    if (::fstat(target.get(), &info) < 0) return fail_at(errno, "look at", path);
    return info;
}

Result<std::string> RootedPath::read_link(std::string_view path) const {
    Fd entry = TRY(open_entry(path));
    return with_context(read_link_at(entry.get(), ""), "read link " + describe(path));
}

Result<std::vector<DirectoryEntry>> RootedPath::list(std::string_view path) const {
    Fd directory = TRY(open_directory(path));
    return with_context(list_directory_at(directory.get()), "list " + describe(path));
}

Result<std::string> RootedPath::read_file(std::string_view path, size_t limit) const {
    Fd file = TRY(open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
    struct stat info{};
    if (::fstat(file.get(), &info) < 0) return fail_at(errno, "look at", path);
    if (!S_ISREG(info.st_mode))
        return fail(Errc::invalid, "read " + describe(path) + ": not a regular file");
    return with_context(read_all(file.get(), limit), "read " + describe(path));
}

}  // namespace hull::kernel
