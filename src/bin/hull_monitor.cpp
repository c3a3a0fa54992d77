// hull-monitor SETTINGS: stands by one container or exec session. Started by hull, never by hand.
// Descriptor 3 is the first attach client, 4 the lock that says this monitor lives.

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/file.hpp"
#include "base/log.hpp"
#include "kernel/process.hpp"
#include "monitor/monitor.hpp"

namespace {

constexpr int kControl = 3;
constexpr int kLock = 4;

/// Its stderr is /dev/null: what goes wrong is said in the run directory.
void log_to_run_directory(hull::log::Level level, std::string_view message) {
    int fd = ::open("monitor.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return;
    hull::Fd owner(fd);
    std::string line = std::string(hull::log::level_name(level)) + ": " + std::string(message);
    (void)hull::write_all(fd, line + "\n");
}

int usage(const std::string& why) {
    std::fprintf(stderr, "hull-monitor: %s\n", why.c_str());
    std::fputs("usage: hull-monitor SETTINGS.json (hull starts it; see hull run)\n", stderr);
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == "--version") {
        std::puts("hull-monitor " HULL_VERSION);
        return 0;
    }
    if (argc != 2) return usage("one argument is needed");
    auto text = hull::read_file(argv[1]);
    if (!text) return usage(text.error().to_string());
    auto settings = hull::monitor::parse_settings(*text, argv[1]);
    if (!settings) return usage(settings.error().to_string());

    // Nothing of the caller's may be held open by a process that outlives it.
    (void)hull::kernel::close_fds(kLock + 1);
    (void)hull::set_close_on_exec(kLock, true);
    hull::Fd control;
    if (::fcntl(kControl, F_GETFD) >= 0) {
        (void)hull::set_close_on_exec(kControl, true);
        control.reset(kControl);
    }
    hull::log::configure({.sink = log_to_run_directory});
    hull::monitor::Monitor monitor(std::move(*settings), std::move(control));
    return monitor.run();
}
