#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "jail/plan_mounts.hpp"

namespace hull::runtime {

/// Applies one word of a mount's `options` (OCI config.md, Linux mount options; crun's additions)
/// to `mount`. A word that is no mount option becomes a parameter of the file system.
/// @errors invalid: a broken "idmap=…"
Result<void> apply_mount_option(std::string_view option, jail::MountPlan& mount);

/// The words that are understood, sorted, for `features`.
std::vector<std::string> known_mount_options();

}  // namespace hull::runtime
