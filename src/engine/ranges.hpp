#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "engine/containers.hpp"
#include "kernel/idmap.hpp"

namespace hull::engine {

/// Ids of one container unless it needs more.
inline constexpr uint32_t kIdsPerContainer = 65536;

/// The ids that root's containers are made of: the `hull` entry of /etc/subuid and /etc/subgid.
struct HullRange {
    /// The first 65,536: what non-root container ids own in bind mounts, the same in all
    /// containers.
    Range bind_mounts;
    /// The rest: a range of its own for each container.
    Range containers;
};

/// Reads the entry; root's first run makes it.
/// @errors denied: /etc cannot be written; conflict: 268,435,456 ids are not free
Result<HullRange> prepare_hull_range();

/// Where a new entry of `count` ids goes: `wanted`, or the next place that overlaps nobody's.
/// @errors conflict: there is none below 2^32
Result<uint32_t> choose_range(const std::vector<kernel::SubidEntry>& users,
                              const std::vector<kernel::SubidEntry>& groups, uint32_t wanted,
                              uint32_t count);

/// How many ids a container needs so that `uid` and `gid` are among them: whole slots.
uint32_t ids_needed(uint32_t uid, uint32_t gid);

}  // namespace hull::engine
