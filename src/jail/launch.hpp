#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "jail/hooks.hpp"
#include "jail/plan.hpp"

namespace hull::jail {

/// Hooks that run in the runtime's namespaces, by the caller.
enum class HookStage {
    prestart,  ///< namespaces exist; both run here, before pivot
    create_runtime,
};

/// One directory under the container's /sys/fs/cgroup (MountKind::cgroup).
struct CgroupView {
    std::string name;       ///< "cpu,cpuacct", "unified"; empty: pure v2, it is /sys/fs/cgroup
    std::string directory;  ///< host path of the container's own cgroup in that hierarchy
};

struct LaunchRequest {
    const Plan* plan = nullptr;
    /// Open `tasks` files of the container's v1 cgroups: the child joins by writing 0 to each.
    std::vector<int> cgroup_v1_tasks;
    /// Directory of the v2 cgroup to be born in (CLONE_INTO_CGROUP); -1: none.
    int cgroup_v2_directory = -1;
    /// Open cgroup.procs of a cgroup below that one: the child moves there once its cgroup
    /// namespace is made, so that it sees its own limits above it; -1: it stays.
    int cgroup_v2_delegated = -1;
    /// What the container sees in /sys/fs/cgroup; empty: the host's tree, read-only.
    std::vector<CgroupView> cgroup_views;
    const kernel::SeccompProgram* seccomp = nullptr;  ///< compiled; nullptr: none
    /// What plan->seccomp_listener_path gets with the listener's descriptor: the container process
    /// state of the runtime-spec (config-linux.md, The Container Process State).
    std::function<std::string(pid_t)> seccomp_listener_state;
    /// Unix socket that gets the pty's master, when plan->process.terminal.
    int console_socket = -1;
    /// Descriptors 3 .. 2+preserve_fds stay open in the program.
    int preserve_fds = 0;
    /// The container's fifo, open O_RDWR: the child waits in it for one byte, which `start` writes.
    /// -1: the child waits for Launched::start() of this process.
    int start_fifo = -1;
    /// Nothing has to be done between "created" and "started" (no pid file, no fifo): the child
    /// goes on to its program by itself once on_child has returned, which saves two changes of
    /// process. Launched::start() has then nothing to do. Not with a seccomp listener.
    bool start_at_once = false;
    /// Runs prestart and createRuntime hooks while the child waits; empty: none to run.
    std::function<Result<void>(HookStage, pid_t)> run_hooks;
    /// Where the hooks inside write; -1: our own stdout and stderr.
    HookOutputs hook_outputs;
    /// State JSON that in-container hooks get on stdin: status ("creating", "created"), pid.
    std::function<std::string(std::string_view, pid_t)> hook_state;
    /// Called in the parent when the child exists (the state file with the pid is written here), at
    /// the same time as the child sets itself up. Until it has returned the child runs no hook and
    /// no program, and ends if this process does.
    std::function<Result<void>(pid_t)> on_child;
    /// The child does nothing before on_child has returned: a systemd scope moves it to its cgroup.
    bool on_child_first = false;
    kernel::MapWriter map_writer = kernel::MapWriter::automatic;
};

/// A process that is set up and waits to be started.
class Launched {
  public:
    Launched(pid_t process, Fd process_fd, Fd control)
        : pid(process), pidfd(std::move(process_fd)), channel(std::move(control)) {}

    pid_t pid;  ///< in the caller's pid namespace; a child of the caller's, to be waited for
    Fd pidfd;
    Fd channel;  ///< to the child; closing it before start() ends the child (without start_fifo).
                 ///< Not open: the program runs already

    /// Lets the child go on (only without start_fifo) and waits until it runs the program.
    /// @errors what startContainer hooks or execve(2) reported; the child is gone then.
    Result<void> start();
};

/// Makes one process as the plan says. When it returns, the child has said `ready`: all is set up,
/// argv[0] is found, it waits for its start. On failure the child is gone and nothing is left but
/// what the caller made (cgroups).
/// @errors the child's own error, with its context; not_found and denied about argv[0] keep the
///         words that engines look for.
Result<Launched> launch(const LaunchRequest& request);

/// A further process in a running container (exec).
struct JoinRequest {
    int target_pidfd = -1;  ///< the container's process
    pid_t target_pid = 0;
    std::vector<NamespaceKind> namespaces;  ///< those that the container does not share with us
    const ProcessPlan* process = nullptr;
    kernel::IdMapping id_map;          ///< of the container's user namespace; empty: it has none
    std::vector<int> cgroup_v1_tasks;  ///< as in LaunchRequest
    int cgroup_v2_directory = -1;
    const kernel::SeccompProgram* seccomp = nullptr;
    /// The filter has a listener: who gets it, and with what state (as in LaunchRequest).
    std::string seccomp_listener_path;
    std::function<std::string(pid_t)> seccomp_listener_state;
    int console_socket = -1;
    int preserve_fds = 0;
    bool start_at_once = false;  ///< as in LaunchRequest
    std::optional<unsigned long> personality;
    std::optional<LandlockPlan> landlock;
    /// The process gets the session keyring named after `container_id`, which is the container's
    /// own where the kernel lets us join it; false: keeps the caller's (--no-new-keyring).
    bool new_session_keyring = true;
    std::string container_id;
};

/// Starts a process inside the namespaces of a running container. When it returns the process
/// waits; Launched::start() lets it run.
/// @errors as launch(); conflict: the container is not running.
Result<Launched> join(const JoinRequest& request);

}  // namespace hull::jail
