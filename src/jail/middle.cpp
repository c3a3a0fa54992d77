#include "jail/middle.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.hpp"
#include "jail/init.hpp"
#include "kernel/process.hpp"
#include "kernel/uapi.hpp"

namespace hull::jail {

bool needs_middle_process(const Plan& plan) {
    const bool has_offsets = plan.time_offsets.monotonic || plan.time_offsets.boottime;
    return plan.joins(NamespaceKind::pid) || plan.joins(NamespaceKind::user) ||
           plan.joins(NamespaceKind::time) || (plan.makes_new(NamespaceKind::time) && has_offsets);
}

namespace {

constexpr uint64_t kTimeFlag = CLONE_NEWTIME;

/// Joins what must be joined before the child exists. User first: it gives the rights for the rest.
Result<void> join_for_children(const LaunchSetup& setup) {
    for (const auto kind : {NamespaceKind::user, NamespaceKind::pid, NamespaceKind::time})
        for (const auto& joined : setup.joined)
            if (joined.kind == kind) TRY(kernel::join_namespace(joined.fd.get(), kind));
    return {};
}

/// @param offsets  our /proc/self/timens_offsets, opened before our ids changed: from then on it
///                 belongs to the host's root
Result<void> make_time_namespace(const Plan& plan, int offsets) {
    TRY(kernel::unshare_namespaces(kTimeFlag));
    return with_context(write_all(offsets, kernel::format_time_offsets(plan.time_offsets)),
                        "linux.timeOffsets");
}

/// Root of a new user namespace, so that namespaces made from here on are its own.
Result<void> become_root() {
    if (::syscall(SYS_setresgid, 0, 0, 0) < 0 || ::syscall(SYS_setresuid, 0, 0, 0) < 0)
        return fail_errno(errno, "become root of the user namespace");
    return {};
}

Result<void> run_middle(LaunchSetup& setup, const ChildEnd& channel, uint64_t flags) {
    const Plan& plan = *setup.plan;
    Fd offsets;
    if ((flags & kTimeFlag) != 0) offsets = TRY(open_path("/proc/self/timens_offsets", O_WRONLY));
    if (plan.makes_new(NamespaceKind::user)) {
        TRY(channel.wait_for_maps());
        TRY(become_root());
    }
    // A joined pid namespace has processes in it already, which must not look into the child.
    TRY(kernel::set_dumpable(false));
    TRY(join_for_children(setup));
    if ((flags & kTimeFlag) != 0) TRY(make_time_namespace(plan, offsets.get()));
    auto child = TRY(kernel::clone_process({.namespaces = flags & ~kTimeFlag, .as_sibling = true}));
    if (child.is_child()) run_launch_child(setup, channel);
    return channel.send_child(child.pid);
}

}  // namespace

Result<kernel::ClonedProcess> clone_through_middle(LaunchSetup& setup, Channel& channel,
                                                   uint64_t flags) {
    setup.waits_for_go = true;
    const uint64_t user = flags & CLONE_NEWUSER;
    auto middle = TRY(kernel::clone_process(
        {.namespaces = user, .cgroup_v2_directory = setup.request->cgroup_v2_directory}));
    if (middle.is_child()) {
        channel.parent.close();
        log_through(channel.child);
        const auto result = run_middle(setup, channel.child, flags & ~user);
        if (!result) end_with_error(channel.child, result.error(), false);
        ::_exit(0);
    }
    auto child = [&]() -> Result<kernel::ClonedProcess> {
        if (user != 0) {
            setup.child = middle.pid;
            TRY(write_id_maps(setup));
            setup.maps_are_written = true;
            TRY(channel.parent.send(Message::maps_done));
        }
        const auto text = TRY(channel.parent.wait_for(Message::child));
        const auto pid = parse_number<pid_t>(text);
        if (!pid) return fail(Errc::internal, "handshake: no pid of the child");
        return kernel::ClonedProcess{.pid = *pid, .pidfd = TRY(kernel::open_pidfd(*pid))};
    }();
    if (!child) (void)kernel::send_signal(middle.pidfd.get(), SIGKILL);
    TRY(kernel::wait_for_pidfd(middle.pidfd.get()));
    return child;
}

}  // namespace hull::jail
