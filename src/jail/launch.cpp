#include "jail/launch.hpp"

#include <linux/capability.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "base/closing.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "jail/init.hpp"
#include "jail/middle.hpp"
#include "jail/seccomp_listener.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/process.hpp"

namespace hull::jail {
namespace {

/// New namespaces that clone3 makes. The cgroup namespace comes later (join_cgroups), and time with
/// its offsets is the middle process's.
uint64_t clone_flags(const Plan& plan) {
    uint64_t flags = 0;
    for (const auto& entry : plan.namespaces)
        if (entry.path.empty() && entry.kind != NamespaceKind::cgroup)
            flags |= kernel::clone_flag(entry.kind);
    return flags;
}

Result<void> prepare(LaunchSetup& setup) {
    for (const auto& step : launch_steps())
        if (step.prepare != nullptr && !(step.prepares_mounts && setup.mounts_in_child))
            TRY(step.prepare(setup));
    return {};
}

/// Whether this process lacks the right to mount, and gets it inside a user namespace only.
Result<bool> may_mount_only_inside(const Plan& plan) {
    if (!plan.has_user_namespace() || !plan.makes_new(NamespaceKind::mount)) return false;
    return !TRY(kernel::read_effective_capabilities()).has(CAP_SYS_ADMIN);
}

bool has_id_mapped_mounts(const Plan& plan) {
    for (const auto& mount : plan.mounts)
        if (mount.id_map.enabled) return true;
    return false;
}

/// A child that was made and must not outlive a failure.
class Child {
  public:
    Child(pid_t pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
    Child(Child&&) = default;
    Child& operator=(Child&&) = default;
    ~Child() {
        if (!pidfd_) return;
        (void)kernel::send_signal(pidfd_.get(), SIGKILL);
        (void)kernel::wait_for_pidfd(pidfd_.get());
    }
    pid_t pid() const { return pid_; }
    int pidfd() const { return pidfd_.get(); }
    Fd release() { return std::move(pidfd_); }

  private:
    pid_t pid_;
    Fd pidfd_;
};

/// The parent's side, from the child's first to its `ready`.
class Handshake {
  public:
    Handshake(LaunchSetup& setup, const ParentEnd& channel) : setup_(setup), channel_(channel) {}

    Result<void> run(const Child& child) {
        const auto& request = *setup_.request;
        setup_.child = child.pid();
        if (request.on_child_first && request.on_child) TRY(request.on_child(child.pid()));
        for (const auto& step : launch_steps())
            if (step.in_parent != nullptr && !(setup_.maps_are_written && step.name == kIdMaps))
                TRY(step.in_parent(setup_));
        if (setup_.waits_for_go) TRY(send_go());
        if (!request.on_child_first && request.on_child) TRY(request.on_child(child.pid()));
        if (!request.run_hooks) start_at_once();
        TRY(answer(child));
        if (request.start_fifo >= 0) TRY(channel_.send(Message::created));
        return {};
    }

  private:
    void start_at_once() {
        // A child that has failed already does not read it: its error is what counts.
        if (setup_.program.start_at_once) (void)channel_.send(Message::start);
    }

    /// Does what the child asks for until it is ready.
    Result<void> answer(const Child& child) {
        while (true) {
            const auto received = TRY(channel_.receive());
            if (received.is_end && setup_.program.start_at_once) return {};
            if (received.is_end)
                return fail(Errc::internal, "the container's process ended while it was set up",
                            "it was killed from outside, or for lack of memory");
            if (received.message == Message::ready) return {};
            if (received.message == Message::need_hooks)
                TRY(run_hooks(child));
            else if (received.message == Message::listener)
                TRY(forward(child));
            else
                return fail(Errc::internal, "handshake: unexpected message from the child");
        }
    }

    Result<void> send_go() {
        std::vector<int> fds;
        for (const auto& fd : setup_.mapped_sources)
            fds.push_back(fd.get());
        TRY(channel_.send(Message::go, fds));
        setup_.mapped_sources.clear();
        return {};
    }

    Result<void> run_hooks(const Child& child) {
        TRY(setup_.request->run_hooks(HookStage::prestart, child.pid()));
        TRY(setup_.request->run_hooks(HookStage::create_runtime, child.pid()));
        TRY(channel_.send(Message::hooks_done));
        start_at_once();
        return {};
    }

    Result<void> forward(const Child& child) {
        return with_context(
            forward_listener({.cell = setup_.program.seccomp_listener,
                              .pidfd = child.pidfd(),
                              .socket_path = setup_.plan->seccomp_listener_path,
                              .state = setup_.request->seccomp_listener_state(child.pid())}),
            "linux.seccomp.listenerPath");
    }

    LaunchSetup& setup_;
    const ParentEnd& channel_;
};

Result<LaunchSetup> create_setup(const LaunchRequest& request) {
    const Plan& plan = *request.plan;
    if (request.start_at_once && request.start_fifo >= 0)
        return fail(Errc::internal, "a process either waits in a fifo or starts at once");
    LaunchSetup setup{.request = &request, .plan = &plan};
    setup.program = {.process = &plan.process,
                     .container_id = plan.id,
                     .seccomp = request.seccomp,
                     .personality = plan.personality,
                     .landlock = plan.landlock ? &*plan.landlock : nullptr,
                     .new_session_keyring = plan.new_session_keyring,
                     .console_socket = request.console_socket,
                     .preserve_fds = request.preserve_fds,
                     .make_working_directory = true,
                     .start_at_once = request.start_at_once,
                     .hook_outputs = request.hook_outputs,
                     .in_user_namespace = plan.has_user_namespace()};
    if (plan.seccomp && plan.seccomp->uses_notify() && request.seccomp != nullptr) {
        setup.program.seccomp_listener = TRY(create_listener_cell());
        // Its descriptor goes at exec: the program waits until we have taken it.
        setup.program.start_at_once = false;
    }
    setup.mounts_in_child = TRY(may_mount_only_inside(plan));
    setup.waits_for_go = plan.has_user_namespace() || request.on_child_first ||
                         !plan.network_devices.empty() || has_id_mapped_mounts(plan);
    return setup;
}

/// clone3 as the plan needs it; in the child this does not return.
Result<Child> create_child(LaunchSetup& setup, Channel& channel) {
    const auto flags = clone_flags(*setup.plan);
    if (needs_middle_process(*setup.plan)) {
        auto made = TRY(clone_through_middle(setup, channel, flags));
        return Child(made.pid, std::move(made.pidfd));
    }
    auto process = TRY(kernel::clone_process(
        {.namespaces = flags, .cgroup_v2_directory = setup.request->cgroup_v2_directory}));
    if (process.is_child()) {
        channel.parent.close();
        run_launch_child(setup, channel.child);
    }
    return Child(process.pid, std::move(process.pidfd));
}

}  // namespace

Result<Launched> launch(const LaunchRequest& request) {
    const ClosedTogether closing;
    auto setup = TRY(create_setup(request));
    TRY(prepare(setup));
    auto channel = TRY(create_channel());
    auto child = TRY(create_child(setup, channel));
    channel.child.close();
    TRY(Handshake(setup, channel.parent).run(child));
    const pid_t pid = child.pid();
    if (setup.program.start_at_once) channel.parent.close();
    return Launched(pid, child.release(), std::move(channel.parent).take());
}

Result<void> Launched::start() {
    if (!channel) return {};
    ParentEnd end(std::move(channel));
    TRY(end.send(Message::start));
    const auto received = end.receive();
    if (received && received->is_end) return {};
    // It says no more than its error, and ends.
    (void)kernel::wait_for_pidfd(pidfd.get());
    if (!received) return fail(received.error());
    return fail(Errc::internal, "handshake: unexpected message after start");
}

}  // namespace hull::jail
