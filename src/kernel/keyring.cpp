#include "kernel/keyring.hpp"

#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/text.hpp"

namespace hull::kernel {

namespace {

constexpr uint32_t kUserSearch = 0x00080000;  // KEY_USR_SEARCH, keyctl_setperm(3)

/// The permissions in "keyring;0;0;3f1b0000;name".
std::optional<uint32_t> read_permissions(long key) {
    std::array<char, 512> text{};
    long size = ::syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text.data(), text.size());
    if (size <= 0 || static_cast<size_t>(size) > text.size()) return std::nullopt;
    auto fields = split(std::string_view(text.data(), ::strnlen(text.data(), text.size())), ';');
    if (fields.size() < 5) return std::nullopt;
    return parse_number<uint32_t>(fields[3], 16);
}

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
    auto permissions = read_permissions(key);
    if (!permissions) return fail(Errc::internal, "cannot read the session keyring's permissions");
    if (::syscall(SYS_keyctl, KEYCTL_SETPERM, key, *permissions | kUserSearch) < 0)
        return fail_errno(errno, "set the session keyring's permissions");
    return static_cast<int32_t>(key);
}

}  // namespace hull::kernel
