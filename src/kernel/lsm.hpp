#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "kernel/procfs.hpp"

namespace hull::kernel {

/// Names in /sys/kernel/security/lsm ("landlock", "apparmor"); empty where securityfs is not
/// mounted.
std::vector<std::string> active_lsms();
bool is_apparmor_enabled();
bool is_selinux_enabled();

/// The AppArmor profile for the next exec ("unconfined" gives confinement up). Through `proc`, the
/// detached one. @errors unsupported: AppArmor is not active; not_found: profile not loaded
Result<void> set_apparmor_exec_profile(const Procfs& proc, std::string_view profile);
/// The SELinux label for the next exec. @errors unsupported: SELinux is not active; invalid: label
Result<void> set_selinux_exec_label(const Procfs& proc, std::string_view label);
/// The SELinux label of keyrings made from now on.
Result<void> set_selinux_key_label(const Procfs& proc, std::string_view label);

}  // namespace hull::kernel
