#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "jail/launch.hpp"
#include "jail/plan.hpp"
#include "runtime/config_document.hpp"
#include "runtime/container.hpp"
#include "runtime/settings.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {

/// CreateRequest::console_fd of a caller that connects a terminal when there is to be one.
inline constexpr int kAnyConsole = -2;

/// What `create` and `run` are asked for.
struct CreateRequest {
    std::string id;
    std::string bundle = ".";
    std::string config;  ///< --config: another file than BUNDLE/config.json
    std::string pid_file;
    std::string pidfd_socket;
    std::string console_socket;
    /// A connected socket for the terminal (`run` in the foreground); -1: none.
    int console_fd = -1;
    int preserve_fds = 0;
    int listen_fds = 0;  ///< of them, those of socket activation, first
    std::string listen_fd_names;
    bool no_pivot = false;
    bool no_new_keyring = false;
    /// The plan is to be shown, with all of its filter.
    ReadSeccomp read_seccomp = ReadSeccomp::if_not_cached;
    bool has_notify_socket = false;  ///< NOTIFY_SOCKET is set: the container gets one of its own
    /// The process waits for a later `start` command, else for Launched::start().
    bool waits_in_fifo = true;
};

/// A checked configuration and the plan made of it; nothing has been done yet.
struct Prepared {
    std::string bundle;  ///< absolute
    ConfigDocument document;
    jail::Plan plan;
};

/// @errors invalid: names the JSON path, the rule and the remedy; not_found: no config.json
Result<Prepared> prepare(const Settings& settings, const CreateRequest& request);

struct Created {
    Container container;  ///< locked
    jail::Launched process;
    std::optional<kernel::Cgroup> cgroup;  ///< open, if it has one
};

/// Makes the container of `prepared` up to the point where only its program is missing. After a
/// failure nothing is left: no folder, cgroup or process; poststop hooks have run if others had.
/// @errors exists: the id is taken; whatever the steps say
Result<Created> create_container(const Settings& settings, const CreateRequest& request,
                                 const Prepared& prepared);

/// What a seccomp agent gets with its descriptor: config-linux.md, The Container Process State.
/// @param pid  of the filtered process, which `exec` makes beside the container's own
std::string format_process_state(const ContainerState& state, Status status, pid_t pid,
                                 const std::string& metadata);

/// crun's callers may name a seccomp agent in the environment: RUN_OCI_SECCOMP_RECEIVER.
void add_seccomp_receiver(spec::RuntimeConfig& config);

/// Where `kernel` has the container's cgroups, for its own view of them.
std::vector<jail::CgroupView> cgroup_views(const kernel::CgroupPaths& paths);

/// Writes `pid` to a --pid-file, in one step.
Result<void> write_pid_file(const std::string& path, pid_t pid);
/// Sends a pidfd to a --pidfd-socket.
Result<void> send_pidfd(const std::string& socket_path, int pidfd);

}  // namespace hull::runtime
