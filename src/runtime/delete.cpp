#include "runtime/delete.hpp"

#include <chrono>
#include <csignal>
#include <ctime>

#include "base/log.hpp"
#include "base/text.hpp"
#include "runtime/hooks.hpp"
#include "runtime/pause_point.hpp"
#include "runtime/systemd_scope.hpp"

namespace hull::runtime {
namespace {

constexpr std::chrono::milliseconds kEndTimeout{10'000};

void keep_first(Result<void>& first, Result<void> next) {
    if (!next && first) first = std::move(next);
}

/// Kills the container's process and waits for its end.
Result<void> end_process(const Container& container) {
    auto process = container.open_process();
    if (!process) {
        if (process.error().code == Errc::not_found) return {};
        return fail(std::move(process).error());
    }
    (void)kernel::send_signal(process->get(), SIGKILL);
    if (container.state.cgroups.empty() == false) {
        // A frozen process does not take its SIGKILL on v1.
        if (auto cgroup = container.open_cgroup()) (void)cgroup->thaw();
    }
    if (!TRY(kernel::wait_until_ended(process->get(), kEndTimeout)))
        return fail(Errc::timeout,
                    "container " + quote(container.state.id) + ": process " +
                        std::to_string(container.state.process.pid) +
                        " did not end within 10 s of SIGKILL",
                    "it may hang in the kernel: see its state in /proc/PID/status");
    return {};
}

/// Its creator was killed between making the cgroup and noting its process: that one ends by
/// itself, as its creator has. One with processes that stay is somebody else's.
Result<bool> becomes_empty(const kernel::Cgroup& cgroup) {
    for (int attempt = 0; attempt < 200; ++attempt) {
        if (TRY(cgroup.processes(true)).empty()) return true;
        const timespec pause{.tv_sec = 0, .tv_nsec = 10'000'000};
        ::nanosleep(&pause, nullptr);
    }
    return false;
}

Result<void> remove_cgroup(const ContainerState& state, kernel::Cgroup* open_cgroup) {
    if (open_cgroup != nullptr) {
        TRY(open_cgroup->destroy());
    } else if (!state.cgroups.empty()) {
        auto cgroup = kernel::Cgroup::open(state.cgroups);
        if (!cgroup && cgroup.error().code != Errc::not_found)
            return fail(std::move(cgroup).error());
        if (cgroup && state.cgroups_are_planned && !TRY(becomes_empty(*cgroup))) return {};
        if (cgroup) TRY(cgroup->destroy());
    }
    if (!state.systemd_unit.empty()) TRY(stop_systemd_scope(state.systemd_unit, state.is_rootless));
    return {};
}

}  // namespace

Result<void> destroy_container(Container& container, DestroyOptions options) {
    Result<void> result;
    if (!options.is_process_gone) result = end_process(container);
    pause_point("process_ended");
    keep_first(result,
               with_context(remove_cgroup(container.state, options.cgroup), "remove the cgroup"));
    keep_first(result, with_context(kernel::remove_resctrl_group(container.state.resctrl),
                                    "remove the class of service"));
    pause_point("cgroup_removed");
    // As long as something is left, so is the folder: the next `delete` tries again.
    if (!result) return result;
    ContainerState state = container.state;
    TRY(container.remove_directory());
    pause_point("directory_removed");
    if (options.run_poststop_hooks && !state.poststop_hooks.empty()) {
        std::string text = format_oci_state(state, Status::stopped, 0);
        TRY(run_hooks(state.poststop_hooks, {.stage = "poststop",
                                             .state = text,
                                             .directory = state.bundle,
                                             .stop_at_failure = false,
                                             .annotations = &state.annotations}));
    }
    return {};
}

namespace {

/// With --force a command that still creates this container is not waited for: without its process
/// it gives up and cleans up itself.
Result<void> lock_for_deletion(Container& container, bool force) {
    if (!force) return container.lock();
    if (TRY(container.try_lock())) return container.lock();
    if (auto process = container.open_process()) (void)kernel::send_signal(process->get(), SIGKILL);
    return container.lock();
}

}  // namespace

Result<void> delete_container(const Settings& settings, const DeleteRequest& request) {
    auto container = Container::open(settings.root, request.id);
    bool is_gone = !container && container.error().code == Errc::not_found;
    if (is_gone && request.force) return {};
    if (!container) return fail(std::move(container).error());
    auto locked = lock_for_deletion(*container, request.force);
    if (!locked) {
        if (request.force && locked.error().code == Errc::not_found) return {};
        return locked;
    }
    Status status = TRY(container->status());
    if (!request.force && (status == Status::running || status == Status::paused))
        return fail(Errc::conflict,
                    "cannot delete container " + request.id +
                        " that is not stopped: " + std::string{status_name(status)},
                    "stop it first with `hull-runtime kill`, or use --force");
    return destroy_container(*container);
}

}  // namespace hull::runtime
