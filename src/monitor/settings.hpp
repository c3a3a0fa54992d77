#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "kernel/idmap.hpp"
#include "monitor/attach.hpp"
#include "monitor/log_file.hpp"

namespace hull::monitor {

/// The root filesystem to mount, as the store's snapshot says it.
struct RootfsSettings {
    std::vector<std::string> lowers;  ///< directories, topmost first
    std::string upper;                ///< empty: nothing can be written
    std::string work;
    std::string copy;           ///< of the copy driver: one whole tree, in place of an overlay
    std::string target;         ///< existing folder it is mounted on
    bool user_xattr = false;    ///< in a user namespace
    bool allow_suid = false;    ///< no_new_privs was given up: no nosuid on the mount
    bool is_volatile = false;   ///< the container goes with its files: nothing is ever synced
    kernel::IdMapping mapping;  ///< ids on disk (inside) and as they are shown; empty: unchanged
};

/// A named volume that is new: what the image has at its place is copied into it.
struct VolumeSeed {
    std::string volume;  ///< folder on the host
    std::string path;    ///< inside the root filesystem
};

/// The container's own files that are bound over the image's, as /etc/hosts. They lie on a small
/// tmpfs in the monitor's mount namespace: the container writes to them, and the host's disk or
/// /run is not what it fills.
struct EtcFile {
    std::string name;
    std::string content;
    std::string copy_of;  ///< a file of the host's: its content instead, if it can be read
};
struct EtcFiles {
    std::string directory;  ///< made if it is missing; empty: there are none
    uint32_t owner = 0;     ///< of the files, as this monitor numbers ids
    std::vector<EtcFile> files;
};

/// What one monitor is to do; the engine hands it over as JSON. Everything is resolved: a monitor
/// asks nobody.
struct MonitorSettings {
    std::string id;         ///< of the container or exec session
    std::string directory;  ///< its run directory: socket, status, pid file; the cwd of the monitor
    /// Program and global arguments of the OCI runtime.
    std::vector<std::string> runtime;
    bool own_runtime = false;  ///< it is hull's own: run without another exec, in a fork
    /// Set: an exec session of that container, whose process is `directory`/process.json.
    std::string exec_container;
    /// Set: the user namespace of that process (a monitor's) is joined first. For exec sessions of
    /// an ordinary user.
    pid_t join_user_namespace_of = 0;
    bool rootless = false;  ///< a user namespace with the user's whole range is made first

    std::optional<RootfsSettings> rootfs;
    std::vector<VolumeSeed> seeds;
    EtcFiles etc;
    bool terminal = false;
    bool keep_stdin = false;  ///< -i: stdin is a pipe, else /dev/null
    uint32_t stdio_uid = 0;   ///< owner of the pipes, as this monitor numbers ids
    uint32_t stdio_gid = 0;
    bool hold_start = false;  ///< made first, started by a `start` frame
    bool watch_oom = false;   ///< a memory limit was asked for: tell whether it killed
    LogSettings log;
    std::vector<std::string> on_exit;  ///< command to run at the end; empty: none
    bool remove_directory = false;     ///< at the end: exec sessions that nobody asks about
};

inline constexpr std::string_view kMonitorLock = "monitor.lock";
inline constexpr std::string_view kRuntimeLog = "runtime.log";
inline constexpr std::string_view kProcessFile = "process.json";

std::string format_rootfs(const RootfsSettings& rootfs);
/// @errors invalid: names the field
Result<RootfsSettings> parse_rootfs(std::string_view text, std::string_view what);
std::string format_settings(const MonitorSettings& settings);
/// @errors invalid: names the field
Result<MonitorSettings> parse_settings(std::string_view text, std::string_view what);

/// The last error in a runtime's JSON log (`--log FILE --log-format json`), or `fallback`.
std::string last_runtime_error(std::string_view log, std::string_view fallback);

}  // namespace hull::monitor
