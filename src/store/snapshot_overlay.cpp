#include "store/snapshot_overlay.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace hull::store {

Result<void> create_overlay(const std::string& directory, const std::vector<std::string>& lower) {
    std::string upper = directory + "/upper";
    std::string work = directory + "/work";
    if (::mkdir(work.c_str(), 0700) < 0) return fail_errno(errno, "create " + work);
    if (::mkdir(upper.c_str(), 0755) < 0) return fail_errno(errno, "create " + upper);
    struct stat info{};
    if (lower.empty()) {
        if (::chmod(upper.c_str(), 0755) < 0) return fail_errno(errno, "chmod " + upper);
        return {};
    }
    // The overlay shows the upper folder's own metadata for "/".
    if (::stat(lower.front().c_str(), &info) < 0) return fail_errno(errno, "stat " + lower.front());
    // An ordinary user outside of the namespace cannot give the root folder to another id; an image
    // whose "/" is not root's is the one that would show it.
    if ((info.st_uid != ::geteuid() || info.st_gid != ::getegid()) &&
        ::chown(upper.c_str(), info.st_uid, info.st_gid) < 0 && errno != EPERM)
        return fail_errno(errno, "chown " + upper);
    if (::chmod(upper.c_str(), info.st_mode & 07777U) < 0)
        return fail_errno(errno, "chmod " + upper);
    std::array<timespec, 2> times{info.st_atim, info.st_mtim};
    if (::utimensat(AT_FDCWD, upper.c_str(), times.data(), 0) < 0)
        return fail_errno(errno, "set the times of " + upper);
    return {};
}

}  // namespace hull::store
