#include "kernel/landlock.hpp"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.hpp"
#include "kernel/uapi.hpp"

namespace hull::kernel {

namespace {

constexpr unsigned int kCreateRulesetVersion = 1;
constexpr unsigned int kRulePathBeneath = 1;
constexpr unsigned int kRuleNetPort = 2;

uint64_t known_file_rights(int abi) {
    if (abi >= 5) return 0xFFFF;
    if (abi >= 3) return 0x7FFF;
    return abi == 2 ? 0x3FFF : 0x1FFF;
}

size_t attribute_size(int abi) {
    if (abi >= 6) return sizeof(LandlockRulesetAttr);
    return abi >= 4 ? 16 : 8;
}

}  // namespace

int landlock_abi() {
    long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kCreateRulesetVersion);
    return version < 0 ? 0 : static_cast<int>(version);
}

std::string missing_in_landlock(const LandlockSettings& asked, const LandlockSettings& active) {
    // Not LandlockAccess::refer: without it such renames are always refused.
    const uint64_t files = asked.handled_files & ~active.handled_files;
    std::vector<std::string> missing;
    if ((files & bits(LandlockAccess::truncate)) != 0) missing.emplace_back("truncate (Linux 6.2)");
    if ((asked.handled_ports & ~active.handled_ports) != 0)
        missing.emplace_back("TCP ports (Linux 6.7)");
    if ((files & bits(LandlockAccess::ioctl_device)) != 0)
        missing.emplace_back("ioctls of devices (Linux 6.10)");
    if ((asked.scopes & ~active.scopes) != 0) missing.emplace_back("scopes (Linux 6.12)");
    return join(missing, ", ");
}

Result<LandlockRuleset> LandlockRuleset::create(const LandlockSettings& settings) {
    int abi = landlock_abi();
    if (abi == 0)
        return fail(Errc::unsupported, "Landlock is not active in this kernel",
                    "boot with lsm=landlock,… (kernel 5.13 or newer)");
    LandlockSettings known = settings;
    known.handled_files &= known_file_rights(abi);
    known.handled_ports &= abi >= 4 ? kLandlockBindTcp | kLandlockConnectTcp : 0;
    known.scopes &= abi >= 6 ? kLandlockScopeAbstractSocket | kLandlockScopeSignal : 0;
    LandlockRulesetAttr attr{known.handled_files, known.handled_ports, known.scopes};
    long fd = ::syscall(SYS_landlock_create_ruleset, &attr, attribute_size(abi), 0);
    if (fd < 0) {
        int cause = errno;
        if (cause == ENOMSG)
            return fail(Errc::unsupported, "Landlock of this kernel (ABI " + std::to_string(abi) +
                                               ") knows nothing of what is to be restricted: " +
                                               missing_in_landlock(settings, known));
        return fail_errno(cause, "make a Landlock ruleset");
    }
    return LandlockRuleset{Fd{static_cast<int>(fd)}, known};
}

Result<void> LandlockRuleset::allow_path(int fd, uint64_t access) {
    struct stat info{};
    if (::fstat(fd, &info) < 0) return fail_errno(errno, "look at the path of a Landlock rule");
    uint64_t allowed = access & settings_.handled_files;
    // EINVAL otherwise: rights about entries of a folder make no sense for a file.
    if (!S_ISDIR(info.st_mode)) allowed &= kLandlockFile;
    if (allowed == 0) return {};
    LandlockPathBeneathAttr attr{allowed, fd};
    if (::syscall(SYS_landlock_add_rule, fd_.get(), kRulePathBeneath, &attr, 0) < 0)
        return fail_errno(errno, "add a Landlock rule for a path");
    return {};
}

Result<void> LandlockRuleset::allow_port(uint16_t port, uint64_t access) {
    uint64_t allowed = access & settings_.handled_ports;
    if (allowed == 0) return {};
    LandlockNetPortAttr attr{allowed, port};
    if (::syscall(SYS_landlock_add_rule, fd_.get(), kRuleNetPort, &attr, 0) < 0)
        return fail_errno(errno, "add a Landlock rule for port " + std::to_string(port));
    return {};
}

Result<void> LandlockRuleset::restrict_self() const {
    if (::syscall(SYS_landlock_restrict_self, fd_.get(), 0) == 0) return {};
    int cause = errno;
    std::string hint;
    if (cause == EPERM) hint = "it needs no_new_privs or CAP_SYS_ADMIN";
    if (cause == E2BIG) hint = "more than 16 Landlock rulesets are stacked";
    return fail_errno(cause, "restrict this process by Landlock", hint);
}

}  // namespace hull::kernel
