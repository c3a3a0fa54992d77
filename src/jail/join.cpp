#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/closing.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "jail/init.hpp"
#include "jail/launch.hpp"
#include "jail/seccomp_listener.hpp"
#include "kernel/process.hpp"

// A further process in a running container. It stands in the container's namespaces from one
// setns(2) to the other, so it must have nothing that the container could take: it is not dumpable
// before the first, and no file of the container is opened before the last.

namespace hull::jail {
namespace {

constexpr uint64_t kPidFlag = CLONE_NEWPID;

uint64_t join_flags(const JoinRequest& request) {
    uint64_t flags = 0;
    for (const auto kind : request.namespaces)
        flags |= kernel::clone_flag(kind);
    return flags;
}

/// What the child inherits while this exists: it is born in the container's pid namespace, where
/// everybody sees it, so it must not be dumpable from its first moment on (CVE-2019-5736). What
/// only a dumpable process may write is written before.
class Inheritance {
  public:
    static Result<Inheritance> prepare(const ProcessPlan& process) {
        Inheritance self;
        if (process.oom_score_adjustment) {
            self.oom_score_ = TRY(open_path("/proc/self/oom_score_adj", O_RDWR));
            self.old_score_ = TRY(read_all(self.oom_score_.get()));
            TRY(with_context(
                write_all(self.oom_score_.get(), std::to_string(*process.oom_score_adjustment)),
                "process.oomScoreAdj"));
        }
        self.was_dumpable_ = ::prctl(PR_GET_DUMPABLE) == 1;
        TRY(kernel::set_dumpable(false));
        return self;
    }
    Inheritance(Inheritance&& other) noexcept
        : oom_score_(std::move(other.oom_score_)),
          old_score_(std::move(other.old_score_)),
          was_dumpable_(std::exchange(other.was_dumpable_, false)) {}
    Inheritance& operator=(Inheritance&&) = delete;
    ~Inheritance() {
        if (was_dumpable_) (void)kernel::set_dumpable(true);
        if (oom_score_) (void)write_all(oom_score_.get(), old_score_);
    }

  private:
    Inheritance() = default;
    Fd oom_score_;
    std::string old_score_;
    bool was_dumpable_ = false;
};

/// The descriptor of a listener goes at exec: the program waits until we have taken it.
bool starts_at_once(const JoinRequest& request) {
    return request.start_at_once && request.seccomp_listener_path.empty();
}

Error explain_join(Error error) {
    if (error.sys_errno == ESRCH || error.code == Errc::not_found)
        return make_error(Errc::conflict, "container not running: its process has ended");
    return error;
}

/// Before any namespace of the container's.
Result<void> leave_host(const JoinRequest& request) {
    for (const int tasks : request.cgroup_v1_tasks)
        if (::write(tasks, "0", 1) != 1) return fail_errno(errno, "join a cgroup");
    if (!request.process->initial_cpus.empty())
        TRY(with_context(kernel::set_cpu_affinity(request.process->initial_cpus),
                         "process.execCPUAffinity.initial"));
    return {};
}

Result<void> enter_namespaces(const JoinRequest& request, uint64_t flags) {
    if (flags != 0)
        if (auto joined = kernel::join_namespaces_of_process(request.target_pidfd, flags); !joined)
            return fail(explain_join(std::move(joined).error()));
    if ((flags & CLONE_NEWUSER) == 0) return {};
    // EINVAL: the container has no id 0; the program's own ids are set later.
    if (::syscall(SYS_setresgid, 0, 0, 0) < 0 && errno != EINVAL)
        return fail_errno(errno, "become root of the container");
    if (::syscall(SYS_setresuid, 0, 0, 0) < 0 && errno != EINVAL)
        return fail_errno(errno, "become root of the container");
    return kernel::set_dumpable(false);
}

Result<void> run_in_container(const JoinRequest& request, ProgramSetup& setup, uint64_t flags) {
    // A terminal starts the session itself.
    if (!request.process->terminal && ::setsid() < 0) return fail_errno(errno, "start a session");
    TRY(enter_namespaces(request, flags));
    TRY(open_console(setup));
    return run_program(setup, -1, nullptr);
}

/// What is left to do for a process that runs the program.
struct JoinRest {
    bool leave_host = false;
    uint64_t flags = 0;  ///< namespaces to enter
};

[[noreturn]] void run_join_child(const JoinRequest& request, const ChildEnd& channel,
                                 const JoinRest& rest, std::atomic<int>* listener) {
    log_through(channel);
    ClosedTogether closing;  // by close_host_descriptors()
    closing.abandon();
    ProgramSetup setup{.process = request.process,
                       .container_id = request.container_id,
                       .seccomp = request.seccomp,
                       .personality = request.personality,
                       .landlock = request.landlock ? &*request.landlock : nullptr,
                       .new_session_keyring = request.new_session_keyring,
                       .console_socket = request.console_socket,
                       .preserve_fds = request.preserve_fds,
                       .start_at_once = starts_at_once(request),
                       .seccomp_listener = listener,
                       .channel = &channel};
    const auto run = [&]() -> Result<void> {
        if (rest.leave_host) TRY(leave_host(request));
        return run_in_container(request, setup, rest.flags);
    };
    const auto result = run();
    end_with_error(channel, result.error(), false);
}

/// What the child has of ours when it is born among the container's processes.
Result<void> close_all_but_needed(const JoinRequest& request, const ChildEnd& channel) {
    return close_descriptors_but(static_cast<unsigned>(3 + request.preserve_fds),
                                 {channel.fd(), request.console_socket});
}

/// The process between joins everything, and the child is born where it stays. For a caller that
/// may not set its own pid namespace (an ordinary user: joining the user namespace gives the
/// right), and for a container in our own user namespace: there CAP_SYS_PTRACE of the container's
/// is ours as well, and the child, which being non-dumpable does not hide from that, must have
/// nothing of the host: no root, no working directory, no descriptor.
[[noreturn]] void run_join_middle(const JoinRequest& request, const ChildEnd& channel,
                                  uint64_t flags, std::atomic<int>* listener) {
    log_through(channel);
    const auto run = [&]() -> Result<void> {
        TRY(leave_host(request));
        TRY(enter_namespaces(request, flags));
        TRY(close_all_but_needed(request, channel));
        auto child = TRY(kernel::clone_process({.as_sibling = true}));
        if (child.is_child()) run_join_child(request, channel, {}, listener);
        return channel.send_child(child.pid);
    };
    const auto result = run();
    if (!result) end_with_error(channel, result.error(), false);
    ::_exit(0);
}

/// The caller's pid namespace for children is the container's while this exists.
class PidNamespace {
  public:
    static Result<PidNamespace> enter(int pidfd) {
        Fd own = TRY(open_path("/proc/self/ns/pid", O_RDONLY));
        TRY(kernel::join_namespaces_of_process(pidfd, kPidFlag));
        return PidNamespace(std::move(own));
    }
    PidNamespace(PidNamespace&&) = default;
    PidNamespace& operator=(PidNamespace&&) = default;
    ~PidNamespace() {
        if (own_) (void)kernel::join_namespace(own_.get(), NamespaceKind::pid);
    }

  private:
    explicit PidNamespace(Fd own) : own_(std::move(own)) {}
    Fd own_;
};

Result<kernel::ClonedProcess> clone_through_join_middle(const JoinRequest& request,
                                                        Channel& channel, uint64_t flags,
                                                        std::atomic<int>* listener) {
    auto middle = TRY(kernel::clone_process({.cgroup_v2_directory = request.cgroup_v2_directory}));
    if (middle.is_child()) {
        channel.parent.close();
        run_join_middle(request, channel.child, flags, listener);
    }
    channel.child.close();
    const auto text = channel.parent.wait_for(Message::child);
    TRY(kernel::wait_for_pidfd(middle.pidfd.get()));
    if (!text) return fail(text.error());
    const auto pid = parse_number<pid_t>(*text);
    if (!pid) return fail(Errc::internal, "handshake: no pid of the child");
    return kernel::ClonedProcess{.pid = *pid, .pidfd = TRY(kernel::open_pidfd(*pid))};
}

Result<kernel::ClonedProcess> clone_joined(const JoinRequest& request, Channel& channel,
                                           std::atomic<int>* listener) {
    const uint64_t flags = join_flags(request);
    const Inheritance inheritance = TRY(Inheritance::prepare(*request.process));
    std::optional<PidNamespace> inside;
    if ((flags & kPidFlag) != 0 && (flags & CLONE_NEWUSER) == 0)
        return clone_through_join_middle(request, channel, flags, listener);
    if ((flags & kPidFlag) != 0) {
        auto entered = PidNamespace::enter(request.target_pidfd);
        if (!entered && entered.error().sys_errno == EPERM)
            return clone_through_join_middle(request, channel, flags, listener);
        if (!entered) return fail(explain_join(std::move(entered).error()));
        inside = std::move(*entered);
    }
    auto process = kernel::clone_process({.cgroup_v2_directory = request.cgroup_v2_directory});
    if (process && process->is_child()) {
        channel.parent.close();
        run_join_child(request, channel.child, {.leave_host = true, .flags = flags & ~kPidFlag},
                       listener);
    }
    channel.child.close();
    // ENOMEM: the pid namespace has no init any more (pid_namespaces(7)).
    if (!process && process.error().sys_errno == ENOMEM)
        return fail(Errc::conflict, "container not running: its process has ended");
    return process;
}

void give_stdio_to(const JoinRequest& request) {
    const auto& process = *request.process;
    if (process.terminal) return;
    const auto& map = request.id_map;
    const auto uid = map.empty() ? process.uid : kernel::to_outside(map.users, process.uid);
    const auto gid = map.empty() ? process.gid : kernel::to_outside(map.groups, process.gid);
    if (uid && gid) give_pipes_to(*uid, *gid);
}

class JoinHandshake {
  public:
    JoinHandshake(const JoinRequest& request, const ParentEnd& channel,
                  const kernel::ClonedProcess& child, const std::atomic<int>* listener)
        : request_(request), channel_(channel), child_(child), listener_(listener) {}

    /// Until the child is ready, or, when it starts at once, until it runs its program.
    Result<void> run() const {
        // A child that has failed already does not read it: its error is what counts.
        if (starts_at_once(request_)) (void)channel_.send(Message::start);
        while (true) {
            const auto received = TRY(channel_.receive());
            if (received.is_end && starts_at_once(request_)) return {};
            if (received.is_end)
                return fail(Errc::internal, "the process ended while it was set up",
                            "it was killed from outside, or for lack of memory");
            if (received.message == Message::ready) return {};
            if (received.message != Message::listener || listener_ == nullptr)
                return fail(Errc::internal, "handshake: unexpected message from the child");
            TRY(with_context(
                forward_listener({.cell = listener_,
                                  .pidfd = child_.pidfd.get(),
                                  .socket_path = request_.seccomp_listener_path,
                                  .state = request_.seccomp_listener_state(child_.pid)}),
                "linux.seccomp.listenerPath"));
        }
    }

  private:
    const JoinRequest& request_;
    const ParentEnd& channel_;
    const kernel::ClonedProcess& child_;
    const std::atomic<int>* listener_;
};

}  // namespace

Result<Launched> join(const JoinRequest& request) {
    give_stdio_to(request);
    std::atomic<int>* listener = nullptr;
    if (!request.seccomp_listener_path.empty()) listener = TRY(create_listener_cell());
    auto channel = TRY(create_channel());
    auto child = TRY(clone_joined(request, channel, listener));
    auto ready = JoinHandshake(request, channel.parent, child, listener).run();
    if (!ready) {
        (void)kernel::send_signal(child.pidfd.get(), SIGKILL);
        (void)kernel::wait_for_pidfd(child.pidfd.get());
        return fail(std::move(ready).error());
    }
    if (starts_at_once(request)) channel.parent.close();
    return Launched(child.pid, std::move(child.pidfd), std::move(channel.parent).take());
}

}  // namespace hull::jail
