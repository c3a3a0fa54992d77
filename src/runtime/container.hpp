#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "kernel/cgroup.hpp"
#include "kernel/process.hpp"
#include "kernel/resctrl.hpp"
#include "spec/runtime.hpp"

// One container as it is kept between two commands: the folder ROOT/ID with
//   lock         held (fcntl(2)) by the command that changes the container
//   state.json   what is known of it, replaced as a whole
//   config.json  the configuration it was made from: later changes of the bundle have no effect
//   exec.fifo    while it waits for `start`
// The folder is made first and removed last, so that whatever is left of a command that was killed
// can be found and removed. What the container does now is never stored: status() looks.

namespace hull::runtime {

/// runtime.md, State; `paused` as all runtimes add it.
enum class Status { creating, created, running, paused, stopped };
std::string_view status_name(Status status);

/// The content of state.json.
struct ContainerState {
    std::string id;
    std::string oci_version;
    std::string bundle;               ///< absolute
    std::string rootfs;               ///< absolute
    std::string created;              ///< RFC 3339, UTC
    std::string boot_id;              ///< a process of another boot is gone, whatever has its pid
    kernel::ProcessIdentity process;  ///< pid 0: not made yet
    std::string cgroup_path;          ///< as asked for, before it was resolved
    kernel::CgroupPaths cgroups;
    bool cgroups_are_planned = false;  ///< not made yet, or by a command that was killed there
    kernel::ResctrlGroup resctrl;      ///< noted before it is made
    std::string systemd_unit;          ///< of the systemd manager; empty: cgroupfs
    bool is_rootless = false;
    bool keeps_keyring = false;       ///< --no-new-keyring
    bool owns_pid_namespace = false;  ///< when its init ends, the kernel ends all others
    std::vector<std::pair<std::string, std::string>> annotations;
    std::vector<spec::Hook> poststart_hooks;
    std::vector<spec::Hook> poststop_hooks;
};
std::string format_state(const ContainerState& state);
/// @errors corrupt: not what format_state() writes
Result<ContainerState> parse_state(std::string_view text, std::string_view what);

/// The container state that hooks and `state` get: runtime.md, State.
/// @param pid  0: left out
std::string format_oci_state(const ContainerState& state, Status status, pid_t pid);

/// @errors invalid: not of the letters, digits, '_', '+', '-', '.' or over 1024 long
Result<void> check_container_id(std::string_view id);

/// Folder of the runtime's own files below --root, which is no container.
inline constexpr std::string_view kSeccompCacheFolder = ".seccomp";

class Container {
  public:
    ContainerState state;

    /// Makes the folder and takes its lock.
    /// @errors exists: "container with given ID already exists"
    static Result<Container> create(const std::string& root, const std::string& id);
    /// @errors not_found: "container … does not exist"
    static Result<Container> open(const std::string& root, const std::string& id);

    const std::string& directory() const { return directory_; }
    std::string file(std::string_view name) const;
    std::string fifo_path() const { return file("exec.fifo"); }
    std::string config_path() const { return file("config.json"); }

    /// Waits for the lock, then reads the state again, if another process may have changed it.
    /// POSIX record locks: not inherited by the container, given up by the kernel when the holder
    /// dies.
    /// @errors not_found: deleted meanwhile
    Result<void> lock();
    /// Takes the lock again that this value gave up; nobody else changes the state meanwhile.
    Result<void> relock();
    void unlock();
    /// False: somebody else holds it.
    Result<bool> try_lock();
    /// The process that holds the lock now, other than this one.
    std::optional<pid_t> lock_holder() const;

    Result<void> save() const;
    /// Keeps the configuration that the container is made from.
    Result<void> save_config(std::string_view text) const;
    /// From facts: the process by pid and start time, the fifo's reader, the freezer.
    Result<Status> status() const;
    /// @errors not_found: it has ended
    Result<Fd> open_process() const;
    /// True while the container's process waits in the fifo.
    bool waits_for_start() const;

    Result<kernel::Cgroup> open_cgroup(kernel::CgroupUse use = kernel::CgroupUse::control) const;
    /// Removes the folder with all in it; the lock goes last.
    Result<void> remove_directory();

  private:
    Container(std::string directory, Fd lock_file)
        : directory_(std::move(directory)), lock_(std::move(lock_file)) {}
    static Result<Container> open_folder(const std::string& directory, const std::string& id);
    Result<void> load();

    std::string directory_;
    Fd lock_;
};

/// /proc/sys/kernel/random/boot_id
Result<std::string> read_boot_id();

/// Ids of all containers below `root`, sorted. A missing folder has none.
Result<std::vector<std::string>> list_containers(const std::string& root);

}  // namespace hull::runtime
