#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "jail/plan_mounts.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {

/// Applies one word of a mount's `options` (OCI config.md, Linux mount options; crun's additions)
/// to `mount`. A word that is no mount option becomes a parameter of the file system.
/// @errors invalid: a broken "idmap=…"
Result<void> apply_mount_option(std::string_view option, jail::MountPlan& mount);

/// True for crun's "idmap=uids=@1-3-10": ids of the container's own.
bool is_relative_id_map(std::string_view option);
/// The same with the host's ids, through the maps of `section`.
/// @errors invalid: an id that the container's user namespace does not map
Result<std::string> absolute_id_map_option(std::string_view option, const spec::Linux& section);

/// The words that are understood, sorted, for `features`.
std::vector<std::string> known_mount_options();

}  // namespace hull::runtime
