#include "engine/apparmor.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/file.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "engine/bundle.hpp"
#include "kernel/lsm.hpp"

namespace hull::engine {
namespace {

/// apparmor.d(5). It includes nothing, so that it can be loaded on a machine that has the parser
/// alone. Signals and tracing may come from whatever manages the container.
constexpr std::string_view kProfile =
    R"(profile hull-default flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  unix,
  signal (receive),
  signal (send) peer=hull-default,
  ptrace (readby, tracedby),
  ptrace (read, trace) peer=hull-default,
  deny mount,
  deny remount,
  deny umount,
  deny pivot_root,
  deny /proc/sys/** wkl,
  deny /proc/{sysrq-trigger,kcore,kmem,mem,keys,timer_list} rwklx,
  deny /proc/{acpi,bus,fs,irq,scsi}/** wklx,
  deny /sys/** wkl,
  deny /sys/{firmware,kernel/security,kernel/debug,kernel/tracing}/** rwklx,
}
)";

/// A folder for each loaded profile, "hull-default.7", which ordinary users may list as well.
bool is_loaded(std::string_view profile) {
    auto names = list_directory("/sys/kernel/security/apparmor/policy/profiles");
    const std::string prefix = std::string(profile) + ".";
    return names && std::ranges::any_of(*names, [&](const std::string& name) {
               return name.starts_with(prefix) &&
                      parse_number<uint64_t>(name.substr(prefix.size()));
           });
}

std::string parser_path() {
    for (const char* path : {"/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"})
        if (path_exists(path)) return path;
    return "apparmor_parser";
}

}  // namespace

std::string wanted_apparmor_profile(const ContainerConfig& config) {
    if (config.privileged || config.apparmor_profile == "unconfined") return {};
    if (!config.apparmor_profile.empty()) return config.apparmor_profile;
    return applies_landlock(config) ? std::string(kDefaultAppArmorProfile) : std::string();
}

std::string effective_apparmor_profile(const ContainerConfig& config) {
    std::string wanted = wanted_apparmor_profile(config);
    // One that was asked for by name is never left out: the runtime refuses what it cannot apply.
    if (wanted != kDefaultAppArmorProfile) return wanted;
    return kernel::is_apparmor_enabled() && is_loaded(wanted) ? wanted : std::string();
}

Result<void> load_default_apparmor_profile() {
    if (is_loaded(kDefaultAppArmorProfile)) return {};
    if (::geteuid() != 0)
        return fail(Errc::denied, "the AppArmor profile hull-default is not loaded",
                    "run a container as root once: it loads the profile for everyone");
    auto done =
        run_command({.program = parser_path(), .args = {"--replace", "--skip-cache"}}, kProfile);
    if (!done && done.error().code == Errc::not_found)
        return fail(Errc::not_found, "AppArmor is active, and there is no apparmor_parser",
                    "install the package apparmor");
    auto output = TRY(std::move(done));
    if (!output.status.success())
        return fail(Errc::io,
                    "load the AppArmor profile hull-default: " + std::string(trim(output.err)));
    return {};
}

}  // namespace hull::engine
