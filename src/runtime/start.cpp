#include "runtime/start.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/text.hpp"
#include "runtime/hooks.hpp"
#include "runtime/pause_point.hpp"
#include "runtime/sd_notify.hpp"

namespace hull::runtime {
namespace {

tl::unexpected<Error> refuse_start(const std::string& id, Status status) {
    if (status == Status::stopped)
        return fail(Errc::conflict, "cannot start a container that has stopped: " + id,
                    "delete it and create it again");
    if (status == Status::creating)
        return fail(Errc::conflict, "cannot start container " + id + ": it is still being created");
    return fail(Errc::conflict, "cannot start an already running container: " + id);
}

/// Waits until the fifo has no reader any more: the descriptor is closed by exec or by the end.
Result<void> wait_for_exec(int fifo, int pidfd) {
    while (true) {
        std::array<pollfd, 2> fds{pollfd{fifo, 0, 0}, pollfd{pidfd, POLLIN, 0}};
        if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR)
            return fail_errno(errno, "poll");
        if (fds[0].revents != 0 || fds[1].revents != 0) return {};
    }
}

/// What the process has written into the fifo instead of running its program. Our own writing end
/// keeps the fifo's content alive.
std::optional<Error> read_failure(const std::string& fifo_path) {
    Fd fifo{::open(fifo_path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)};
    std::string text(8192, '\0');
    ssize_t count = fifo ? ::read(fifo.get(), text.data(), text.size()) : -1;
    if (count <= 0) return std::nullopt;
    text.resize(static_cast<size_t>(count));
    return decode_error(text);
}

}  // namespace

Result<void> run_poststart_hooks(const Container& container) {
    const ContainerState& state = container.state;
    if (state.poststart_hooks.empty()) return {};
    auto done = run_hooks(state.poststart_hooks,
                          {.stage = "poststart",
                           .state = format_oci_state(state, Status::running, state.process.pid),
                           .directory = state.bundle,
                           .annotations = &state.annotations});
    if (done) return done;
    if (auto process = container.open_process()) (void)kernel::send_signal(process->get(), SIGKILL);
    return done;
}

Result<void> start_container(const Settings& settings, const std::string& id) {
    Container container = TRY(Container::open(settings.root, id));
    TRY(container.lock());
    Fd fifo{::open(container.fifo_path().c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)};
    auto process = container.open_process();
    if (!fifo || !process) return refuse_start(id, TRY(container.status()));
    auto notify = TRY(NotifyRelay::open(container.directory()));
    pause_point("before_start");
    TRY(with_context(write_all(fifo.get(), "0"), "start container " + id));
    pause_point("start_told");
    TRY(wait_for_exec(fifo.get(), process->get()));
    auto failed = read_failure(container.fifo_path());
    if (::unlink(container.fifo_path().c_str()) < 0 && errno != ENOENT)
        return fail_errno(errno, "remove " + container.fifo_path());
    if (failed) return fail(std::move(*failed).with_context("start container " + id));
    TRY(run_poststart_hooks(container));
    if (notify) TRY(notify->relay_until_ready(process->get(), container.state.process.pid));
    return {};
}

}  // namespace hull::runtime
