#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "jail/launch.hpp"
#include "jail/protocol.hpp"
#include "kernel/procfs.hpp"
#include "kernel/rooted_path.hpp"

// What the steps of launch and join work on. The parent fills the first part before clone3; the
// child has a copy of it from then on.

namespace hull::jail {

/// The last part of both launch and join: from a process in its namespaces to the program.
struct ProgramSetup {
    const ProcessPlan* process = nullptr;
    std::string container_id;
    const kernel::SeccompProgram* seccomp = nullptr;
    std::optional<unsigned long> personality;
    const LandlockPlan* landlock = nullptr;
    bool new_session_keyring = true;
    int console_socket = -1;
    int preserve_fds = 0;
    bool make_working_directory = false;  ///< where it is missing: for a container's first process
    bool start_at_once = false;  ///< does not say `ready`; `start` is there before it is waited for
    HookOutputs hook_outputs;    ///< stay open until the hooks at the start have run
    bool in_user_namespace = false;  ///< of its own: groups may be refused, ids are the inner ones
    /// Set when the filter has a listener: where the child tells its descriptor's number, in
    /// memory shared with the parent, because no system call is safe once the filter is in force.
    std::atomic<int>* seccomp_listener = nullptr;
    bool bind_console = false;  ///< the terminal is mounted on /dev/console as well

    // in the child
    const ChildEnd* channel = nullptr;
    int start_fifo = -1;                   ///< as in LaunchRequest
    std::optional<kernel::Procfs> procfs;  ///< the detached one, made when first needed
    bool cwd_as_user = false;              ///< only the user itself may enter the directory
    std::string program;                   ///< what argv[0] was found as
    bool seccomp_is_loaded = false;
    bool is_started = false;  ///< by the fifo: the parent may be gone
    std::vector<std::string> environment;

    /// The detached procfs. @errors denied: this user namespace may not mount one
    Result<const kernel::Procfs*> proc();
};

/// A proc or sysfs that we made, and where.
struct KernelMount {
    std::string target;
    bool is_read_only = false;
    Fd fd;
};

/// A joined namespace, opened by the parent.
struct JoinedNamespace {
    NamespaceKind kind;
    Fd fd;
};

struct LaunchSetup {
    const LaunchRequest* request = nullptr;
    const Plan* plan = nullptr;
    ProgramSetup program;

    // made by the parent before clone3
    std::vector<JoinedNamespace> joined;
    Fd dev_mount;   ///< detached tmpfs with the device nodes
    Fd mask_mount;  ///< detached tmpfs with `null` and `empty`, the sources of masks
    bool dev_is_prepared = false;
    bool dev_has_nodes = false;
    /// An ordinary user may mount only inside the new user namespace: the child then prepares the
    /// mounts as well.
    bool mounts_in_child = false;
    std::vector<Fd> sources;  ///< of plan->mounts, by index: detached binds where the child, in a
                              ///< user namespace, may not reach the source itself
    Fd root_source;           ///< the same for the root

    // in the parent
    bool waits_for_go = false;      ///< the child has to wait for the parent's share
    bool maps_are_written = false;  ///< for the middle process already
    pid_t child = 0;
    std::vector<Fd> mapped_sources;  ///< idmapped binds, sent with `go`, in the order of the plan

    // in the child
    bool is_inside = false;                  ///< of the user namespace: ids are the inner ones
    std::optional<kernel::RootedPath> root;  ///< the container's root
    std::vector<Fd> read_only_later;         ///< tmpfs mounts that must be filled first
    std::vector<KernelMount> kernel_mounts;  ///< proc and sysfs

    bool has_mount_namespace() const { return plan->makes_new(NamespaceKind::mount); }
    /// The id outside of one inside; the same without a new user namespace.
    uid_t outside_uid(uid_t inside) const;
    gid_t outside_gid(gid_t inside) const;
};

/// True for an error of a parent that is an ordinary user: what it may not prepare, the child makes
/// with the rights that its user namespace gives.
bool is_left_to_child(const LaunchSetup& setup, const Error& error);

/// Name of the step that writes the id maps.
inline constexpr std::string_view kIdMaps = "id maps";

/// One aspect of a container. Each runs on the side that its name says; an absent one is nullptr.
template <typename Setup>
struct Step {
    std::string_view name;
    /// In the parent, before the child exists: what it makes is inherited.
    Result<void> (*prepare)(Setup&) = nullptr;
    /// prepare() makes mounts: where the parent may not, the child runs it first of all its share.
    bool prepares_mounts = false;
    /// In the parent, while the child waits for `go`.
    Result<void> (*in_parent)(Setup&) = nullptr;
    Result<void> (*in_child)(Setup&) = nullptr;
};

// step_identity: namespaces, ids, cgroups, names
Result<void> open_joined_namespaces(LaunchSetup& setup);
Result<void> write_id_maps(LaunchSetup& setup);
Result<void> become_root_inside(LaunchSetup& setup);
Result<void> join_namespaces(LaunchSetup& setup);
Result<void> join_cgroups(LaunchSetup& setup);
Result<void> set_host_names(LaunchSetup& setup);
Result<void> set_loopback_up(LaunchSetup& setup);
Result<void> move_network_devices(LaunchSetup& setup);

// step_filesystem: the root
Result<void> open_root_source(LaunchSetup& setup);
Result<void> attach_root(LaunchSetup& setup);
Result<void> change_root(LaunchSetup& setup);

// step_mounts: what lies below it
Result<void> open_mount_sources(LaunchSetup& setup);
Result<void> map_mount_sources(LaunchSetup& setup);
/// Puts what came with `go` into setup.sources. Runs in: child.
void take_mapped_sources(LaunchSetup& setup, std::vector<Fd> received);
Result<void> attach_mounts(LaunchSetup& setup);
Result<void> finish_mounts(LaunchSetup& setup);

// step_devices
Result<void> build_dev(LaunchSetup& setup);
Result<void> complete_dev(LaunchSetup& setup);

// step_masks
Result<void> build_mask_sources(LaunchSetup& setup);
Result<void> protect_paths(LaunchSetup& setup);

// step_resources: what the kernel gives the process
Result<void> set_oom_score(LaunchSetup& setup);
Result<void> write_sysctls(LaunchSetup& setup);
Result<void> set_memory_policy(LaunchSetup& setup);
Result<void> set_limits(ProgramSetup& setup);
Result<void> set_scheduling(ProgramSetup& setup);
Result<void> set_final_affinity(ProgramSetup& setup);

// step_confine: what it may do
Result<void> create_keyring(ProgramSetup& setup);
Result<void> set_labels(ProgramSetup& setup);
Result<void> change_user(ProgramSetup& setup);
Result<void> confine_for_good(ProgramSetup& setup);

// step_io: terminal, stdio, environment, program
Result<void> give_stdio_to_user(LaunchSetup& setup);
/// Makes the pipes among the standard descriptors (host ids) the program's own.
void give_pipes_to(uid_t uid, gid_t gid);
Result<void> open_console(ProgramSetup& setup);
Result<void> close_host_descriptors(ProgramSetup& setup);
/// Closes every descriptor from `first` on but those in `kept` (negative ones are none).
Result<void> close_descriptors_but(unsigned first, std::initializer_list<int> kept);
Result<void> enter_working_directory(ProgramSetup& setup);
Result<void> enter_working_directory_as_user(ProgramSetup& setup);
Result<void> find_program(ProgramSetup& setup);

}  // namespace hull::jail
