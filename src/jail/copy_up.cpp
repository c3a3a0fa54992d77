#include "jail/copy_up.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include "base/fd.hpp"
#include "base/text.hpp"
#include "kernel/rooted_path.hpp"

namespace hull::jail {
namespace {

/// Deeper trees are a mistake or an attack on our stack.
constexpr int kDeepest = 128;

Result<void> copy_content(int from, int to) {
    constexpr size_t kChunk = 1U << 20U;
    while (true) {
        const ssize_t count = ::sendfile(to, from, nullptr, kChunk);
        if (count == 0) return {};
        if (count < 0 && errno != EINTR) return fail_errno(errno, "copy a file");
    }
}

Result<void> copy_metadata(int directory, const std::string& name, const struct stat& info) {
    if (::fchownat(directory, name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(errno, "set the owner of " + quote(name));
    if (!S_ISLNK(info.st_mode) && ::fchmodat(directory, name.c_str(), info.st_mode & 07777, 0) < 0)
        return fail_errno(errno, "set the mode of " + quote(name));
    const std::array times = {info.st_atim, info.st_mtim};
    if (::utimensat(directory, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(errno, "set the times of " + quote(name));
    return {};
}

Result<void> copy_xattrs(int from, int to, const std::string& name) {
    auto names = kernel::list_xattrs_at(from, name);
    if (!names) return {};  // a file system without them
    for (const auto& attribute : *names)
        if (const auto value = TRY(kernel::find_xattr_at(from, name, attribute))) {
            auto set = kernel::set_xattr_at(to, name, attribute, *value);
            if (!set && set.error().code != Errc::unsupported && set.error().code != Errc::denied)
                return set;
        }
    return {};
}

Result<void> copy_link(int from, int to, const std::string& name) {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlinkat(from, name.c_str(), target.data(), target.size());
    if (size < 0) return fail_errno(errno, "read link " + quote(name));
    const std::string text(target.data(), static_cast<size_t>(size));
    if (::symlinkat(text.c_str(), to, name.c_str()) < 0)
        return fail_errno(errno, "make link " + quote(name));
    return {};
}

Result<void> copy_file(int from, int to, const std::string& name) {
    const Fd source = TRY(open_at(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    const Fd target = TRY(open_at(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    return copy_content(source.get(), target.get());
}

Result<void> copy_folder(int from, int to, int depth);

Result<void> copy_entry(int from, int to, const std::string& name, int depth) {
    struct stat info{};
    if (::fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(errno, "look at " + quote(name));
    if (S_ISDIR(info.st_mode)) {
        if (::mkdirat(to, name.c_str(), 0700) < 0)
            return fail_errno(errno, "make folder " + quote(name));
        const Fd source = TRY(open_at(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        const Fd target = TRY(open_at(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        TRY(copy_folder(source.get(), target.get(), depth + 1));
    } else if (S_ISLNK(info.st_mode)) {
        TRY(copy_link(from, to, name));
    } else if (S_ISREG(info.st_mode)) {
        TRY(copy_file(from, to, name));
    } else {
        return {};  // sockets, fifos and devices are not content
    }
    TRY(copy_xattrs(from, to, name));
    return copy_metadata(to, name, info);
}

Result<void> copy_folder(int from, int to, int depth) {
    if (depth > kDeepest) return fail(Errc::invalid, "the folder to copy is nested too deep");
    for (const auto& entry : TRY(kernel::list_directory_at(from)))
        TRY(copy_entry(from, to, entry.name, depth));
    return {};
}

}  // namespace

Result<void> copy_up(int from, int to) {
    const Fd source = TRY(open_at(from, ".", O_RDONLY | O_DIRECTORY));
    const Fd target = TRY(open_at(to, ".", O_RDONLY | O_DIRECTORY));
    TRY(with_context(copy_folder(source.get(), target.get(), 0), "tmpcopyup"));
    struct stat info{};
    if (::fstat(source.get(), &info) < 0) return fail_errno(errno, "look at the target");
    if (::fchown(target.get(), info.st_uid, info.st_gid) < 0 ||
        ::fchmod(target.get(), info.st_mode & 07777) < 0)
        return fail_errno(errno, "tmpcopyup: set owner and mode");
    return {};
}

}  // namespace hull::jail
