#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace hull::monitor {

/// What is true of a container (or exec session) now, as its monitor last wrote it.
enum class Phase {
    starting,  ///< the runtime is at work
    created,   ///< the process exists and waits for its start
    running,
    exited,
    failed,  ///< it could not be made or started; `error` says why
};

struct Status {
    Phase phase = Phase::starting;
    std::string boot_id;     ///< of the boot this was written in; another one: it is history
    pid_t monitor_pid = 0;   ///< on the host, as the monitor's own namespace numbers it
    pid_t pid = 0;           ///< of the container's first process
    uint64_t pid_start = 0;  ///< field 22 of /proc/PID/stat: tells a reused pid apart
    std::string started_at;  ///< RFC 3339; empty: has not
    std::string finished_at;
    int exit_code = 0;  ///< 128+n when a signal ended it
    bool oom_killed = false;
    std::string error;  ///< encode_error() of the failure
};

inline constexpr std::string_view kStatusFile = "status.json";

std::string_view phase_name(Phase phase);

/// Replaces `directory`/status.json as one step.
Result<void> save_status(const std::string& directory, const Status& status);
/// @errors not_found: no monitor has written one.
Result<Status> load_status(const std::string& directory);

/// When `pid` began, in clock ticks since boot (proc_pid_stat(5), field 22); 0: no such process.
uint64_t process_start_time(pid_t pid);
/// /proc/sys/kernel/random/boot_id, read once.
const std::string& boot_id();

}  // namespace hull::monitor
