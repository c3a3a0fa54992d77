#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace hull::kernel {

/// One line of /proc/PID/mountinfo, proc_pid_mountinfo(5), with octal escapes undone.
struct MountEntry {
    uint64_t id = 0;
    uint64_t parent_id = 0;
    uint32_t device_major = 0;
    uint32_t device_minor = 0;
    std::string root;                              ///< what of the file system is mounted here
    std::string mount_point;                       ///< as seen from the reader's root
    std::string options;                           ///< per mount: "rw,nosuid"
    std::string optional;                          ///< "shared:1 master:2"
    std::string type;                              ///< "ext4", "fuse.x"
    std::string source;                            ///< may be empty
    std::string super_options;                     ///< per file system
    bool has_option(std::string_view name) const;  ///< in `options`
    bool has_super_option(std::string_view name) const;  ///< in `super_options`
};

/// @errors invalid: names the line
Result<std::vector<MountEntry>> parse_mountinfo(std::string_view text);
/// Mounts of the calling process's mount namespace below its root.
Result<std::vector<MountEntry>> read_mountinfo();
/// Those of another process: `proc_path` is "/proc/PID/mountinfo".
Result<std::vector<MountEntry>> read_mountinfo(const std::string& proc_path);
/// The mounts at or below `path` (a clean absolute path), deepest last.
std::vector<MountEntry> mounts_below(const std::vector<MountEntry>& all, std::string_view path);

}  // namespace hull::kernel
