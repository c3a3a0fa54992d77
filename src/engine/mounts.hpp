#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "engine/containers.hpp"
#include "engine/settings.hpp"
#include "spec/runtime.hpp"

namespace hull::engine {

/// "SOURCE:TARGET[:OPTIONS]", "NAME:TARGET", "TARGET", as docker's -v has it.
/// @errors invalid: names the part
Result<MountConfig> parse_volume_option(std::string_view text);
/// "type=bind,source=/x,target=/y,readonly", as docker's --mount has it.
Result<MountConfig> parse_mount_option(std::string_view text);
/// "TARGET[:size=64m,mode=1777,ro]", as docker's --tmpfs has it.
Result<MountConfig> parse_tmpfs_option(std::string_view text);

/// Ids of a bind mount (ARCHITECTURE.md, Ids): 0 is the owner of the source, all others one fixed
/// range of the machine. `owner` and `fixed` are ids on disk, `container` those of the container.
std::vector<spec::IdMapping> bind_id_mappings(uint32_t owner, const Range& fixed,
                                              const Range& container);

/// Whether the mount at `path` can be idmapped: tried on a detached copy of it.
bool can_be_idmapped(const std::string& path);

/// Whoever reaches hull's own files from a container has its monitors' sockets and the settings of
/// every container: as much as hull itself. By identity of folders, so that links and other mounts
/// of them are the same. An ordinary user's layers and database may lie in a folder that is shared
/// (they hold nothing but what the user's other files give), the sockets not.
/// @errors denied: `source` is, holds or lies in hull's run or data folder
Result<void> refuse_own_state(const Settings& settings, const std::string& source);

}  // namespace hull::engine
