#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.hpp"
#include "base/text.hpp"
#include "jail/step.hpp"
#include "kernel/keyring.hpp"
#include "kernel/landlock.hpp"
#include "kernel/lsm.hpp"
#include "kernel/process.hpp"

// What the process may do: keyring, labels, user, capabilities, Landlock, seccomp.

namespace hull::jail {

Result<void> create_keyring(ProgramSetup& setup) {
    if (!setup.new_session_keyring) return {};
    const auto made = kernel::create_session_keyring("_ses." + setup.container_id);
    if (made) return {};
    // Kernels without keyrings, and outer filters that forbid them (docker in docker).
    const int cause = made.error().sys_errno;
    if (cause != ENOSYS && cause != EPERM && cause != EDQUOT) return fail(made.error());
    log::warning("no session keyring of its own: " + made.error().to_string());
    return {};
}

Result<void> set_labels(ProgramSetup& setup) {
    const auto& process = *setup.process;
    if (!process.apparmor_profile.empty()) {
        const auto* proc = TRY(setup.proc());
        TRY(with_context(kernel::set_apparmor_exec_profile(*proc, process.apparmor_profile),
                         "process.apparmorProfile"));
    }
    if (!process.selinux_label.empty()) {
        const auto* proc = TRY(setup.proc());
        TRY(with_context(kernel::set_selinux_exec_label(*proc, process.selinux_label),
                         "process.selinuxLabel"));
    }
    return {};
}

namespace {

/// setgroups(2) may be denied in a user namespace; then the groups that nobody asked for stay.
Result<void> set_groups(const ProgramSetup& setup) {
    const auto& process = *setup.process;
    if (process.keep_original_groups) return {};
    const auto& groups = process.additional_groups;
    if (::syscall(SYS_setgroups, groups.size(), groups.data()) == 0) return {};
    const int cause = errno;
    if (cause == EPERM && groups.empty()) return {};
    return fail_errno(cause, "process.user.additionalGids: set the groups",
                      cause == EPERM
                          ? "an ordinary user without a subgid range cannot have further groups"
                          : "each group must be mapped in linux.gidMappings");
}

bool needs_admin_for_filter(const ProgramSetup& setup) {
    return setup.seccomp != nullptr && !setup.process->no_new_privileges;
}

}  // namespace

Result<void> change_user(ProgramSetup& setup) {
    const auto& process = *setup.process;
    if (process.capabilities)
        TRY(with_context(kernel::limit_bounding_set(process.capabilities->bounding),
                         "process.capabilities.bounding"));
    if (process.uid != 0) TRY(kernel::set_keep_capabilities(true));
    TRY(set_groups(setup));
    if (::syscall(SYS_setresgid, process.gid, process.gid, process.gid) < 0)
        return fail_errno(errno, "process.user.gid: become group " + std::to_string(process.gid),
                          "is it mapped in linux.gidMappings?");
    if (::syscall(SYS_setresuid, process.uid, process.uid, process.uid) < 0)
        return fail_errno(errno, "process.user.uid: become user " + std::to_string(process.uid),
                          "is it mapped in linux.uidMappings?");
    // Changing ids made us dumpable again (prctl(2), PR_SET_DUMPABLE).
    TRY(kernel::set_dumpable(false));
    ::umask(process.umask.value_or(0022));
    if (!process.capabilities) return {};
    auto sets = *process.capabilities;
    // Loading a filter without no_new_privs needs this one until then; execve(2) computes the
    // program's sets from the bounding, inheritable and ambient ones, so it does not survive.
    if (needs_admin_for_filter(setup)) {
        sets.permitted.add(CAP_SYS_ADMIN);
        sets.effective.add(CAP_SYS_ADMIN);
    }
    return with_context(kernel::apply_capabilities(sets, {.clamp = true}), "process.capabilities");
}

namespace {

uint64_t landlock_access(const std::vector<std::string>& names, bool is_folder) {
    uint64_t access = 0;
    for (const auto& name : names) {
        if (name == "read")
            access |= kernel::bits(kernel::LandlockAccess::read_file) |
                      kernel::bits(kernel::LandlockAccess::read_directory);
        if (name == "execute") access |= kernel::bits(kernel::LandlockAccess::execute);
        if (name == "write") access |= kernel::kLandlockWrite;
    }
    return is_folder ? access : access & kernel::kLandlockFile;
}

Result<void> restrict_with_landlock(const LandlockPlan& plan) {
    kernel::LandlockSettings settings;
    if (plan.restrict_files) settings.handled_files = kernel::kLandlockAll;
    if (plan.restrict_tcp)
        settings.handled_ports = kernel::kLandlockBindTcp | kernel::kLandlockConnectTcp;
    if (plan.scope_signals) settings.scopes |= kernel::kLandlockScopeSignal;
    if (plan.scope_abstract_sockets) settings.scopes |= kernel::kLandlockScopeAbstractSocket;
    auto ruleset = TRY(kernel::LandlockRuleset::create(settings));
    for (const auto& rule : plan.paths) {
        const Fd path = TRY(open_path(rule.path, O_PATH));
        struct stat info{};
        if (::fstat(path.get(), &info) < 0) return fail_errno(errno, "look at " + rule.path);
        TRY(ruleset.allow_path(path.get(), landlock_access(rule.access, S_ISDIR(info.st_mode))));
    }
    for (const uint16_t port : plan.bind_ports)
        TRY(ruleset.allow_port(port, kernel::kLandlockBindTcp));
    for (const uint16_t port : plan.connect_ports)
        TRY(ruleset.allow_port(port, kernel::kLandlockConnectTcp));
    const auto missing = kernel::missing_in_landlock(settings, ruleset.settings());
    if (!missing.empty())
        log::warning("this kernel's Landlock cannot do all that org.hull.landlock asks for: " +
                     missing);
    return ruleset.restrict_self();
}

}  // namespace

Result<void> confine_for_good(ProgramSetup& setup) {
    if (setup.process->no_new_privileges) TRY(kernel::set_no_new_privileges());
    if (setup.landlock != nullptr)
        TRY(with_context(restrict_with_landlock(*setup.landlock), "org.hull.landlock"));
    return {};
}

}  // namespace hull::jail
