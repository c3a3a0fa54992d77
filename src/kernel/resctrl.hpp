#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

// Control groups of the CPU's caches and memory bandwidth: the resctrl file system (Intel RDT, AMD
// QoS; the kernel's Documentation/filesystems/resctrl.rst). One folder is one class of service
// (CLOS); what is in its `schemata` holds for the processes in its `tasks`.

namespace hull::kernel {

/// Where resctrl is mounted: /sys/fs/resctrl, or wherever the administrator has put it.
/// @errors unsupported: the machine has none, or it is not mounted
Result<std::string> find_resctrl();

/// runtime-spec config-linux.md, IntelRdt, in the kernel's words.
struct ResctrlRequest {
    std::string name;                   ///< of the class; "/" is the root's
    std::vector<std::string> schemata;  ///< lines, in the order in which they are written
    /// The class is somebody else's and is only joined: it must exist when `schemata` is empty, and
    /// must say the same when it exists.
    bool is_shared = false;
    std::string monitor;  ///< name of a monitoring group of its own; empty: none
};

/// A class that a container is in: what a state file keeps.
struct ResctrlGroup {
    std::string directory;  ///< empty: none
    bool is_own = false;    ///< made for this container: goes with it
    std::string monitor_directory;
    bool operator==(const ResctrlGroup&) const = default;
};

/// What create_resctrl_group() will make, before it is made: a caller that is killed meanwhile
/// leaves a note of it.
/// @param root  from find_resctrl(), or another folder in its place (tests)
/// @errors invalid: a name with a slash
Result<ResctrlGroup> plan_resctrl_group(const std::string& root, const ResctrlRequest& request);

/// Makes what `group` plans and writes its schemata.
/// @errors not_found: a shared class without schemata must exist; conflict: it exists and says
///         something else; invalid, denied…: what the kernel says, with its info/last_cmd_status
Result<void> create_resctrl_group(const std::string& root, const ResctrlRequest& request,
                                  const ResctrlGroup& group);
/// Puts one process into the class and its monitoring group.
Result<void> join_resctrl_group(const std::string& root, const ResctrlGroup& group, pid_t pid);
/// Writes further schemata (`update`).
Result<void> write_resctrl_schemata(const std::string& root, const ResctrlGroup& group,
                                    const std::vector<std::string>& schemata);
/// Removes what is the container's own. Idempotent.
Result<void> remove_resctrl_group(const ResctrlGroup& group);

/// Whether each line of `wanted` ("L3:0=00ff;1=c0") says the same as the line of that resource in
/// `present`, the content of a `schemata` file: the kernel pads numbers and orders domains.
bool schemata_agree(std::string_view present, const std::vector<std::string>& wanted);

/// One file of numbers below info/: nullopt where the machine lacks the resource.
struct ResctrlStats {
    struct Cache {
        std::string mask;
        uint64_t least_bits = 0;
        uint64_t classes = 0;
    };
    struct Bandwidth {
        uint64_t granularity = 0;
        uint64_t linear = 0;
        uint64_t least = 0;
        uint64_t classes = 0;
    };
    struct Monitor {
        std::optional<uint64_t> cache_bytes;  ///< llc_occupancy
        std::optional<uint64_t> total_bytes;  ///< mbm_total_bytes
        std::optional<uint64_t> local_bytes;  ///< mbm_local_bytes
    };
    std::optional<Cache> cache;
    std::optional<Bandwidth> bandwidth;
    std::vector<std::string> root_schemata;
    std::vector<std::string> schemata;
    std::vector<Monitor> monitors;  ///< one for each L3 cache, in their order
};
Result<ResctrlStats> read_resctrl_stats(const std::string& root, const ResctrlGroup& group);

}  // namespace hull::kernel
