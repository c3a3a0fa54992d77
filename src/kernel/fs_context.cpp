#include "kernel/fs_context.hpp"

#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/log.hpp"
#include "base/text.hpp"

namespace hull::kernel {

namespace {

/// What the kernel says about the last failures; each read gives one line, "e overlay: …".
std::string read_log(int fd) {
    std::string text;
    std::array<char, 1024> buffer{};
    for (int lines = 0; lines < 16; ++lines) {
        ssize_t got = ::read(fd, buffer.data(), buffer.size());
        if (got <= 0) break;
        std::string_view line = trim({buffer.data(), static_cast<size_t>(got)});
        bool has_level = line.size() > 2 && line[1] == ' ';
        if (has_level && line[0] == 'i') continue;
        if (has_level) line.remove_prefix(2);
        text += (text.empty() ? "" : "; ") + std::string(line);
    }
    return text;
}

}  // namespace

tl::unexpected<Error> FsContext::refused(int cause, const std::string& what) const {
    std::string message = "mount a " + type_ + ": " + what;
    std::string log = read_log(fd_.get());
    if (!log.empty()) message += ": " + log;
    std::string hint;
    if (cause == EPERM)
        hint = "mounting needs CAP_SYS_ADMIN in the mount namespace's user namespace";
    return fail_errno(cause, std::move(message), std::move(hint));
}

Result<FsContext> FsContext::open(const std::string& type) {
    int fd = ::fsopen(type.c_str(), FSOPEN_CLOEXEC);
    if (fd >= 0) return FsContext{Fd{fd}, type};
    int cause = errno;
    if (cause == ENODEV)
        return fail(Errc::unsupported, "mount: unknown file system type " + quote(type),
                    "load its kernel module, or see /proc/filesystems");
    std::string hint;
    if (cause == EPERM)
        hint = "mounting needs CAP_SYS_ADMIN in the mount namespace's user namespace";
    return fail_errno(cause, "mount a " + type, hint);
}

Result<FsContext> FsContext::pick(int mount) {
    int fd = ::fspick(mount, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
    if (fd < 0) return fail_errno(errno, "configure a mounted file system anew");
    return FsContext{Fd{fd}, "mounted file system"};
}

Result<void> FsContext::reconfigure() {
    if (::fsconfig(fd_.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) == 0) return {};
    return refused(errno, "reconfigure");
}

Result<void> FsContext::set_string(const std::string& key, const std::string& value) {
    if (::fsconfig(fd_.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) == 0) return {};
    int cause = errno;
    // fsconfig(2): a string has at most 256 bytes.
    if (value.size() > 255)
        return fail_errno(cause,
                          "mount a " + type_ + ": option " + key + " is longer than 255 bytes");
    return refused(cause, "option " + key + "=" + value);
}

Result<void> FsContext::set_flag(const std::string& key) {
    if (::fsconfig(fd_.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) == 0) return {};
    const int cause = errno;
    if (key == "iversion" && cause == EINVAL) return set_inode_versions();
    return refused(cause, "option " + key);
}

Result<void> FsContext::set_inode_versions() {
    // mount(2)'s MS_I_VERSION has no word of its own in this interface. ext4's is i_version; other
    // file systems count versions always or never.
    if (::fsconfig(fd_.get(), FSCONFIG_SET_FLAG, "i_version", nullptr, 0) == 0) return {};
    (void)read_log(fd_.get());  // this refusal shall not be told as the cause of a later one
    log::warning("mount a " + type_ + ": this file system has no option iversion to turn on");
    return {};
}

Result<void> FsContext::set_fd(const std::string& key, int fd) {
    if (::fsconfig(fd_.get(), FSCONFIG_SET_FD, key.c_str(), nullptr, fd) == 0) return {};
    return refused(errno, "option " + key + " by descriptor");
}

Result<Fd> FsContext::create_mount(uint64_t attributes) {
    if (::fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
        return refused(errno, "create");
    int mount = ::fsmount(fd_.get(), FSMOUNT_CLOEXEC, static_cast<unsigned int>(attributes));
    if (mount < 0) return refused(errno, "make the mount");
    return Fd{mount};
}

}  // namespace hull::kernel
