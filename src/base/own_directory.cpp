#include "base/own_directory.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace hull {

Result<void> create_own_directory(const std::string& path, mode_t mode) {
    if (::mkdir(path.c_str(), mode) == 0) return {};
    if (errno != EEXIST) return fail_errno(errno, "create folder " + path);
    return check_own_directory(path);
}

Result<void> check_own_directory(const std::string& path) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) < 0) return fail_errno(errno, "look at " + path);
    if (S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() && (info.st_mode & 0022U) == 0)
        return {};
    return fail(
        Errc::denied,
        path + " is not a folder that only uid " + std::to_string(::geteuid()) + " can write",
        "remove it, or give another one with --root or --runroot");
}

}  // namespace hull
