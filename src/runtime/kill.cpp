#include "runtime/kill.hpp"

#include <csignal>

#include "base/text.hpp"

namespace hull::runtime {
namespace {

tl::unexpected<Error> not_running(const std::string& id) {
    return fail(Errc::conflict, "container not running: " + id);
}

Result<void> kill_all(const Container& container, int signal) {
    auto cgroup = container.open_cgroup();
    if (!cgroup) {
        if (cgroup.error().code == Errc::not_found) return {};
        return fail(std::move(cgroup).error());
    }
    return cgroup->kill_all(signal);
}

}  // namespace

Result<void> kill_container(const Settings& settings, const KillRequest& request) {
    Container container = TRY(Container::open(settings.root, request.id));
    const ContainerState& state = container.state;
    auto process = container.open_process();
    if (!process && process.error().code != Errc::not_found)
        return fail(std::move(process).error());
    // Without a pid namespace of its own the others outlive the first process.
    bool reaches_all = request.all || (request.signal == SIGKILL && !state.owns_pid_namespace);
    bool has_cgroup = !state.cgroups.empty() && !state.cgroups_are_planned;
    if (!process) {
        if (!request.all) return not_running(request.id);
        return has_cgroup ? kill_all(container, request.signal) : Result<void>{};
    }
    if (reaches_all && has_cgroup) return kill_all(container, request.signal);
    auto sent = kernel::send_signal(process->get(), request.signal);
    if (!sent && sent.error().code == Errc::not_found) return not_running(request.id);
    if (!sent) return sent;
    // On v1 a frozen process takes its SIGKILL only when it is thawed.
    if (request.signal == SIGKILL && has_cgroup && TRY(container.status()) == Status::paused)
        return TRY(container.open_cgroup()).thaw();
    return {};
}

}  // namespace hull::runtime
