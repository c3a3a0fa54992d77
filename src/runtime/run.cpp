#include "runtime/run.hpp"

#include <csignal>

#include "base/closing.hpp"
#include "base/log.hpp"
#include "runtime/delete.hpp"
#include "runtime/foreground.hpp"
#include "runtime/pause_point.hpp"
#include "runtime/sd_notify.hpp"
#include "runtime/start.hpp"

namespace hull::runtime {

Result<void> create_only(const Settings& settings, CreateRequest request) {
    request.waits_in_fifo = true;
    Prepared prepared = TRY(prepare(settings, request));
    TRY(create_container(settings, request, prepared));
    return {};
}

namespace {

/// After a failed start nothing stays.
tl::unexpected<Error> destroy_after(Error error, Created& created) {
    (void)kernel::send_signal(created.process.pidfd.get(), SIGKILL);
    (void)kernel::wait_for_pidfd(created.process.pidfd.get());
    auto removed = destroy_container(created.container);
    if (!removed) log::warning("clean up after the failure: " + removed.error().to_string());
    return fail(std::move(error));
}

Result<void> start_created(Created& created) {
    TRY(created.process.start());
    pause_point("started");
    return run_poststart_hooks(created.container);
}

Result<int> run_detached(const Settings& settings, const RunRequest& request) {
    Prepared prepared = TRY(prepare(settings, request.create));
    Created created = TRY(create_container(settings, request.create, prepared));
    auto notify = NotifyRelay::open(created.container.directory());
    if (!notify) return destroy_after(std::move(notify).error(), created);
    if (auto started = start_created(created); !started)
        return destroy_after(std::move(started).error(), created);
    if (*notify)
        TRY((*notify)->relay_until_ready(created.process.pidfd.get(), created.process.pid));
    return 0;
}

/// A `delete --force` of somebody else's may have ended it, and is then faster.
Result<void> destroy_ended(Created& created) {
    auto locked = created.container.relock();
    if (!locked && locked.error().code == Errc::not_found) return {};
    if (!locked) return locked;
    return destroy_container(
        created.container,
        {.is_process_gone = true, .cgroup = created.cgroup ? &*created.cgroup : nullptr});
}

/// What the kernel ends for lack of memory shows only "killed", even before the program has begun.
void tell_of_lack_of_memory(const Created& created, const ExitStatus& ended) {
    if (ended.signal != SIGKILL || !created.cgroup) return;
    const auto stats = created.cgroup->stats();
    if (stats && stats->memory.oom_kills > 0)
        log::warning("killed for lack of memory (raise linux.resources.memory.limit)");
}

Result<int> run_attached(const Settings& settings, RunRequest& request) {
    std::optional<ClosedTogether> closing;
    CreateRequest& create = request.create;
    // Whether there is a terminal is known only from the configuration: prepared first without one.
    create.console_fd = create.console_socket.empty() ? kAnyConsole : -1;
    Prepared prepared = TRY(prepare(settings, create));
    bool owns_terminal = prepared.plan.process.terminal && create.console_socket.empty();
    Foreground foreground = TRY(
        Foreground::create({.is_subreaper = !request.no_subreaper, .has_terminal = owns_terminal}));
    create.console_fd = foreground.console_socket();
    foreground.set_console_size(prepared.plan.process);
    Created created = TRY(create_container(settings, create, prepared));
    auto notify = NotifyRelay::open(created.container.directory());
    if (!notify) return destroy_after(std::move(notify).error(), created);
    if (auto started = start_created(created); !started)
        return destroy_after(std::move(started).error(), created);
    created.container.unlock();
    auto ended =
        foreground.stay_with(created.process.pid, created.process.pidfd.get(), std::move(*notify));
    if (!ended) return destroy_after(std::move(ended).error(), created);
    pause_point("ended");
    tell_of_lack_of_memory(created, *ended);
    closing.emplace().abandon();  // the kernel closes what this process ends with
    if (!request.keep) TRY(destroy_ended(created));
    return ended->shell_code();
}

}  // namespace

Result<int> run_container(const Settings& settings, RunRequest request) {
    request.create.waits_in_fifo = false;
    if (request.detach) return run_detached(settings, request);
    return run_attached(settings, request);
}

}  // namespace hull::runtime
