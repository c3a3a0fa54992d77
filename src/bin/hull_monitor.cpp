// hull-monitor: stands by one container or exec session. Started by hull, never by hand.
//   hull-monitor container|session   gets ready, then its settings and lock over descriptor 3, a
//                                    socket that becomes its first client
//   hull-monitor FILE                settings from a file, to watch one work alone
// hull's own runtime is in here as well: it runs in a fork of the monitor.

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "base/file.hpp"
#include "base/log.hpp"
#include "kernel/idmap.hpp"
#include "kernel/process.hpp"
#include "monitor/monitor.hpp"
#include "runtime/commands.hpp"

namespace {

using namespace hull::monitor;

constexpr int kControl = 3;

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
    std::fputs(
        "usage: hull-monitor container|session|SETTINGS.json (hull starts it; see hull run)\n",
        stderr);
    return 2;
}

int stand_by(MonitorStart start) {
    start.own_runtime = hull::runtime::run_command_line;
    hull::log::configure({.sink = log_to_run_directory});
    return Monitor(std::move(start)).run();
}

/// What fails here is told when there is somebody to tell: with the settings.
void get_ready(MonitorStart& start) {
    const bool rootless = ::geteuid() != 0;
    start.mounts = enter_mount_namespace(rootless);
    if (rootless) return;
    if (auto made = hull::kernel::UnmappedUserNamespace::create())
        start.idmap.unmapped.emplace(std::move(*made));
}

int wait_for_work(Purpose purpose) {
    // Nothing of the caller's may be held open by a process that outlives it.
    (void)hull::kernel::close_fds(kControl + 1);
    MonitorStart start;
    start.control.reset(kControl);
    (void)hull::set_close_on_exec(kControl, true);
    if (purpose == Purpose::container) get_ready(start);
    auto mount = [&](const RootfsSettings& rootfs) {
        if (start.mounts && *start.mounts) start.rootfs = mount_rootfs(rootfs, start.idmap);
    };
    auto handover = receive_handover(kControl, mount);
    if (!handover) return usage(handover.error().to_string());
    if (!*handover) return 0;
    start.handover = std::move(**handover);
    return stand_by(std::move(start));
}

int work_alone(const std::string& file) {
    auto text = hull::read_file(file);
    if (!text) return usage(text.error().to_string());
    auto settings = parse_settings(*text, file);
    if (!settings) return usage(settings.error().to_string());
    (void)hull::kernel::close_fds(kControl);
    MonitorStart start;
    start.handover.settings = std::move(*settings);
    return stand_by(std::move(start));
}

}  // namespace

int main(int count, char** words) {
    std::vector<std::string> args(words, words + count);
    // A runtime that starts over from a file that no container can write to.
    if (!args.empty() && hull::base_name(args[0]) == "hull-runtime")
        return hull::runtime::run_command_line(std::span(args).subspan(1));
    if (args.size() != 2) return usage("one argument is needed");
    if (args[1] == "--version") {
        std::puts("hull-monitor " HULL_VERSION);
        return 0;
    }
    auto purpose = parse_purpose(args[1]);
    return purpose ? wait_for_work(*purpose) : work_alone(args[1]);
}
