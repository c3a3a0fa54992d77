#include "jail/seccomp_listener.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "kernel/process.hpp"
#include "kernel/terminal.hpp"

namespace hull::jail {

Result<void> install_with_listener(ProgramSetup& setup) {
    TRY(setup.channel->send_listener());
    auto listener = TRY(kernel::install_seccomp(*setup.seccomp));
    setup.seccomp_is_loaded = true;
    if (!listener) return fail(Errc::internal, "the seccomp filter gave no listener");
    // A store, not a system call. The descriptor itself goes at exec.
    setup.seccomp_listener->store(listener->release(), std::memory_order_release);
    return {};
}

Result<std::atomic<int>*> create_listener_cell() {
    void* memory = ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return fail_errno(errno, "map shared memory");
    return new (memory) std::atomic<int>(-1);
}

Result<void> forward_listener(const ListenerRequest& request) {
    int number = -1;
    while ((number = request.cell->load(std::memory_order_acquire)) < 0) {
        constexpr auto kPause = std::chrono::milliseconds(1);
        if (TRY(kernel::wait_until_ended(request.pidfd, kPause)))
            return fail(Errc::cancelled, "the process ended while it loaded its seccomp filter");
    }
    const Fd listener{static_cast<int>(::syscall(SYS_pidfd_getfd, request.pidfd, number, 0))};
    if (!listener) return fail_errno(errno, "take the seccomp listener");
    const Fd socket = TRY(kernel::connect_console_socket(request.socket_path));
    const int fds[] = {listener.get()};
    return send_with_fds(socket.get(), request.state, fds);
}

}  // namespace hull::jail
