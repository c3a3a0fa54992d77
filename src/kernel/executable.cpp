#include "kernel/executable.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "kernel/mount.hpp"

namespace hull::kernel {

namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
constexpr unsigned int kMemfdExecutable = 0x10;  // MFD_EXEC, 6.3

Result<Fd> open_own_file(int flags) {
    return open_path("/proc/self/exe", flags);
}

/// A mount of this file alone that nobody can attach, remount or write through.
Result<Fd> mount_read_only() {
    const Fd file = TRY(open_own_file(O_PATH));
    Fd mount = TRY(clone_mount(file.get(), ""));
    TRY(set_mount_attributes(mount.get(), {.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID}));
    return mount;
}

Result<Fd> copy_to_memory() {
    const Fd file = TRY(open_own_file(O_RDONLY));
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
    const auto file = open_own_file(O_RDONLY);
    if (!file) return false;
    const int seals = ::fcntl(file->get(), F_GET_SEALS);
    if (seals >= 0 && (seals & F_SEAL_WRITE) != 0) return true;
    const auto attributes = mount_attributes_of(file->get());
    return attributes && (*attributes & MOUNT_ATTR_RDONLY) != 0;
}

Result<void> continue_from_protected_file(std::span<const std::string> args) {
    if (is_executable_protected()) return {};
    auto file = mount_read_only();
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
