#include "kernel/lsm.hpp"

#include <sys/statfs.h>

#include <cerrno>

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::kernel {

namespace {

constexpr uint64_t kSelinuxMagic = 0xf97cff8c;

bool is_flag_set(const std::string& path) {
    auto text = read_file(path, 4096);
    return text && trim(*text) == "Y";
}

/// New lines and NULs would end the label early.
Result<void> check_label(std::string_view label, const char* what) {
    for (char c : label)
        if (static_cast<unsigned char>(c) < 0x20)
            return fail(Errc::invalid,
                        std::string(what) + " " + quote(label) + " has a control character");
    return {};
}

}  // namespace

std::vector<std::string> active_lsms() {
    std::vector<std::string> names;
    auto text = read_file("/sys/kernel/security/lsm", 4096);
    if (!text) return names;
    for (std::string_view name : split(trim(*text), ','))
        if (!name.empty()) names.emplace_back(name);
    return names;
}

bool is_apparmor_enabled() {
    return is_flag_set("/sys/module/apparmor/parameters/enabled");
}

bool is_selinux_enabled() {
    struct statfs info{};
    return ::statfs("/sys/fs/selinux", &info) == 0 &&
           static_cast<uint32_t>(info.f_type) == kSelinuxMagic;
}

Result<void> set_apparmor_exec_profile(const Procfs& proc, std::string_view profile) {
    TRY(check_label(profile, "AppArmor profile"));
    std::string content = "exec " + std::string(profile);
    // apparmor/ since 5.8; attr/exec is whichever LSM was first.
    auto written = proc.write("self/attr/apparmor/exec", content);
    if (!written && written.error().sys_errno == ENOENT)
        written = is_apparmor_enabled()
                      ? proc.write("self/attr/exec", content)
                      : fail(Errc::unsupported, "AppArmor is not active in this kernel");
    if (written) return {};
    Error error = std::move(written).error();
    if (error.sys_errno == ENOENT || error.sys_errno == EINVAL) {
        error.code = Errc::not_found;
        error.hint = "load the profile with apparmor_parser, or use the profile unconfined";
    }
    return fail(std::move(error).with_context("apply AppArmor profile " + quote(profile)));
}

namespace {
Result<void> write_selinux(const Procfs& proc, const char* file, std::string_view label) {
    TRY(check_label(label, "SELinux label"));
    if (!is_selinux_enabled())
        return fail(Errc::unsupported,
                    "SELinux label " + quote(label) + ": SELinux is not active in this kernel",
                    "leave out process.selinuxLabel");
    auto written = proc.write(file, label);
    if (written) return {};
    Error error = std::move(written).error();
    if (error.sys_errno == EINVAL) error.hint = "the loaded policy knows no such label";
    return fail(std::move(error).with_context("apply SELinux label"));
}
}  // namespace

Result<void> set_selinux_exec_label(const Procfs& proc, std::string_view label) {
    return write_selinux(proc, "self/attr/exec", label);
}

Result<void> set_selinux_key_label(const Procfs& proc, std::string_view label) {
    return write_selinux(proc, "self/attr/keycreate", label);
}

}  // namespace hull::kernel
