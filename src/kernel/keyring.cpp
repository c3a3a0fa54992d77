#include "kernel/keyring.hpp"

#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace hull::kernel {

namespace {

/// What the kernel gives a new session keyring (security/keys/process_keys.c: all to its possessor;
/// view, read and link to its user), and KEY_USR_SEARCH: keyctl_setperm(3).
constexpr uint32_t kPermissions = 0x3f130000 | 0x00080000;

}  // namespace

Result<int32_t> create_session_keyring(const std::string& name) {
    long key = ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str());
    if (key < 0) {
        int cause = errno;
        std::string hint;
        if (cause == EDQUOT) hint = "raise kernel.keys.maxkeys, or use --no-new-keyring";
        if (cause == ENOSYS || cause == EPERM) hint = "use --no-new-keyring";
        return fail_errno(cause, "make a session keyring", hint);
    }
    if (::syscall(SYS_keyctl, KEYCTL_SETPERM, key, kPermissions) < 0)
        return fail_errno(errno, "set the session keyring's permissions");
    return static_cast<int32_t>(key);
}

}  // namespace hull::kernel
