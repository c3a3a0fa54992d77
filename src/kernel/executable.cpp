#include "kernel/executable.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <string_view>
#include <vector>

#include "kernel/mount.hpp"

namespace hull::kernel {

namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
constexpr unsigned int kMemfdExecutable = 0x10;  // MFD_EXEC, 6.3

constexpr const char* kOwnFile = "/proc/self/exe";

/// A process that unshared its mount namespace runs from a file of the old one, which open_tree(2)
/// refuses: the same file by its path.
Result<Fd> clone_own_mount() {
    auto mount = clone_mount(AT_FDCWD, kOwnFile);
    if (mount) return mount;
    std::array<char, PATH_MAX> path{};
    const ssize_t size = ::readlink(kOwnFile, path.data(), path.size() - 1);
    if (size <= 0 || path[0] != '/') return mount;
    auto again = clone_mount(AT_FDCWD, path.data());
    struct stat ours{};
    struct stat found{};
    if (!again || ::stat(kOwnFile, &ours) < 0 || ::fstat(again->get(), &found) < 0 ||
        ours.st_dev != found.st_dev || ours.st_ino != found.st_ino)
        return mount;
    return again;
}

/// A mount of this file alone that nobody can attach, remount or write through.
Result<Fd> mount_read_only() {
    Fd mount = TRY(clone_own_mount());
    TRY(set_mount_attributes(mount.get(), {.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID}));
    return mount;
}

Result<Fd> copy_to_memory() {
    const Fd file = TRY(open_path(kOwnFile, O_RDONLY));
    struct stat info{};
    if (::fstat(file.get(), &info) < 0) return fail_errno(errno, "look at our own program");
    constexpr unsigned int kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    Fd copy{::memfd_create("hull-runtime", kFlags | kMemfdExecutable)};
    if (!copy) copy = Fd{::memfd_create("hull-runtime", kFlags)};  // before 6.3
    if (!copy) return fail_errno(errno, "make a file in memory");
    for (off_t done = 0; done < info.st_size;) {
        ssize_t count =
            ::sendfile(copy.get(), file.get(), &done, static_cast<size_t>(info.st_size - done));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return fail_errno(count < 0 ? errno : EIO, "copy our own program");
    }
    if (::fchmod(copy.get(), 0555) < 0 || ::fcntl(copy.get(), F_ADD_SEALS, kSeals) < 0)
        return fail_errno(errno, "seal a copy of our own program");
    return copy;
}

}  // namespace

bool is_executable_protected() {
    struct statfs info{};
    // Of the mount that the magic link leads to. A file in memory is on a tmpfs.
    if (::statfs(kOwnFile, &info) == 0) {
        if ((static_cast<unsigned long>(info.f_flags) & ST_RDONLY) != 0) return true;
        if (static_cast<uint64_t>(info.f_type) != kTmpfsMagic) return false;
    }
    std::array<char, 32> target{};
    const ssize_t size = ::readlink(kOwnFile, target.data(), target.size());
    if (size <= 0 ||
        !std::string_view(target.data(), static_cast<size_t>(size)).starts_with("/memfd:"))
        return false;
    const auto file = open_path(kOwnFile, O_RDONLY);
    const int seals = file ? ::fcntl(file->get(), F_GET_SEALS) : -1;
    return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

Result<void> protect_own_file(std::span<const std::string> args) {
    if (is_executable_protected()) return {};
    auto file = mount_read_only();
    if (file && continue_from_file(file->get())) return {};
    if (!file) file = copy_to_memory();
    if (!file) return fail(std::move(file).error().with_context("protect our own program"));
    std::vector<char*> words;
    for (const std::string& word : args)
        words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    ::syscall(SYS_execveat, file->get(), "", words.data(), environ, AT_EMPTY_PATH);
    return fail_errno(errno, "start our own program from a protected file");
}

}  // namespace hull::kernel
