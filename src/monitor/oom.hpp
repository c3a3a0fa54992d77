#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace hull::monitor {

/// The file that counts the OOM kills of `pid`'s memory cgroup: memory.events (v2) or
/// memory.oom_control (v1); empty: there is none.
std::string find_memory_events(pid_t pid);
/// The same from the content of /proc/PID/cgroup, below `mount` (/sys/fs/cgroup).
std::string memory_events_path(std::string_view proc_cgroup, std::string_view mount);
/// The "oom_kill N" line of that file; 0: none or unreadable.
uint64_t count_oom_kills(const std::string& path);
uint64_t parse_oom_kills(std::string_view text);

}  // namespace hull::monitor
