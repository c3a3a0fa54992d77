#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace hull::engine {

enum class MountKind { bind, volume, tmpfs };

/// One mount that was asked for (-v, --mount, --tmpfs, VOLUME of the image).
struct MountConfig {
    MountKind kind = MountKind::bind;
    std::string source;  ///< bind: host path; volume: its name, empty until one is made for it
    std::string target;  ///< absolute path inside
    bool read_only = false;
    bool recursive = true;       ///< bind: with the mounts below
    bool create_source = false;  ///< bind: -v makes a missing folder, --mount does not
    bool no_copy = false;        ///< volume: stays empty when new
    bool anonymous = false;      ///< volume: goes with the container
    std::string propagation;     ///< "rslave", …; empty: rprivate
    uint64_t tmpfs_size = 0;     ///< bytes; 0: the default limit
    std::optional<uint32_t> tmpfs_mode;
    bool operator==(const MountConfig&) const = default;
};

struct Ulimit {
    std::string name;  ///< "nofile"
    uint64_t soft = 0;
    uint64_t hard = 0;
    bool operator==(const Ulimit&) const = default;
};

enum class NetworkMode { none, host };

/// What was asked for, with the image's own settings filled in: the whole intent for a container.
struct ContainerConfig {
    std::vector<std::string> entrypoint;
    std::vector<std::string> command;
    std::vector<std::string> env;  ///< "NAME=value"
    std::string working_dir;
    std::string user;  ///< "", "name", "uid", "name:group", …
    std::vector<std::string> extra_groups;
    std::string hostname;  ///< empty: the first twelve digits of the id
    bool terminal = false;
    bool open_stdin = false;
    std::string stop_signal;  ///< empty: SIGTERM
    int stop_timeout = 10;    ///< seconds
    std::vector<std::pair<std::string, std::string>> labels;

    NetworkMode network = NetworkMode::none;
    std::vector<MountConfig> mounts;
    bool read_only = false;
    uint64_t shm_size = 64U << 20U;  ///< bytes

    uint64_t memory = 0;                 ///< bytes; 0: no limit
    std::optional<int64_t> memory_swap;  ///< memory and swap; -1: unlimited
    uint64_t nano_cpus = 0;              ///< 1e9 is one processor; 0: no limit
    std::optional<uint64_t> cpu_shares;
    std::string cpuset_cpus;
    int64_t pids_limit = 2048;  ///< -1: unlimited
    std::vector<Ulimit> ulimits;
    std::vector<std::pair<std::string, std::string>> sysctls;

    bool privileged = false;
    std::vector<std::string> cap_add;  ///< "CAP_X", or "ALL"
    std::vector<std::string> cap_drop;
    bool no_new_privileges = true;
    bool seccomp_unconfined = false;
    std::string seccomp_profile;   ///< path of a profile of the user's own; empty: the default
    std::string apparmor_profile;  ///< a loaded profile, or "unconfined"; empty: hull-default

    std::string runtime;  ///< program; empty: hull-runtime
    bool log_disabled = false;
    /// What a container says must not fill the host's disk.
    uint64_t log_max_size = 50U << 20U;  ///< bytes; 0: unlimited
    uint32_t log_max_files = 2;
    bool allow_engine_socket = false;   ///< hull's own state may be bound into it
    std::vector<std::string> warnings;  ///< what was weakened, and what that costs
    bool operator==(const ContainerConfig&) const = default;
};

/// "a 64-digit hexadecimal number", new and random.
std::string create_container_id();
/// "brisk_anchor": for containers without --name.
std::string create_container_name();
/// Docker's rule, and a single character as well: [a-zA-Z0-9][a-zA-Z0-9_.-]*. @errors invalid
Result<void> check_name(const std::string& name, std::string_view what);

/// What should be; see ARCHITECTURE.md, How a container lives.
enum class Intent {
    created,   ///< it exists and was not started
    started,   ///< it should run; the run directory says whether it does
    exited,    ///< it ran and ended; the facts below are its last
    removing,  ///< its removal has begun and is finished by whoever comes next
};
std::string_view intent_name(Intent intent);
Result<Intent> parse_intent(std::string_view name);

/// A range of ids on the host.
struct Range {
    uint32_t first = 0;
    uint32_t count = 0;
    bool operator==(const Range&) const = default;
};

/// One row of the database.
struct ContainerRecord {
    std::string id;
    std::string name;
    std::string image;         ///< as it was asked for
    std::string image_digest;  ///< of the manifest
    std::string image_id;      ///< of the configuration
    std::string created_at;    ///< RFC 3339
    Intent intent = Intent::created;
    bool auto_remove = false;
    Range range;  ///< count 0: none (rootless)
    ContainerConfig config;
    /// Facts of the last run, moved here when it ended.
    std::string boot_id;  ///< of the boot it was last started in
    std::string started_at;
    std::string finished_at;
    int exit_code = 0;
    bool oom_killed = false;
    std::string error;
};

std::string format_config(const ContainerConfig& config);
/// @errors corrupt
Result<ContainerConfig> parse_config(std::string_view json);

}  // namespace hull::engine
