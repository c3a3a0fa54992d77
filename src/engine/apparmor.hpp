#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "engine/containers.hpp"

namespace hull::engine {

/// The AppArmor profile of containers that name none: on top of everything else it refuses mounts,
/// writes to kernel files, and signals and tracing beyond containers of the same profile.
inline constexpr std::string_view kDefaultAppArmorProfile = "hull-default";

/// The profile that a container asks for; empty: none (unconfined, or privileged, or with
/// sys_admin, which is for the mounts that the profile refuses). Pure.
std::string wanted_apparmor_profile(const ContainerConfig& config);

/// The profile that a container gets on this machine: none in the place of the default one where
/// the kernel has no AppArmor or the profile is not loaded.
std::string effective_apparmor_profile(const ContainerConfig& config);

/// Puts the default profile into the kernel, by apparmor_parser(8), unless it is there already.
/// @errors not_found: no apparmor_parser; denied: not root; io: what the parser says
Result<void> load_default_apparmor_profile();

}  // namespace hull::engine
