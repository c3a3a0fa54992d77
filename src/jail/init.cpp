#include "jail/init.hpp"

#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/closing.hpp"
#include "base/log.hpp"
#include "base/spawn.hpp"
#include "jail/hooks.hpp"
#include "jail/seccomp_listener.hpp"
#include "kernel/process.hpp"

namespace hull::jail {
namespace {

Result<void> run_hooks_of_runtime(LaunchSetup& setup) {
    if (setup.request->run_hooks) TRY(setup.program.channel->ask_for_hooks());
    return {};
}

Result<void> run_create_container_hooks(LaunchSetup& setup) {
    if (setup.plan->create_container_hooks.empty()) return {};
    return run_hooks(setup.plan->create_container_hooks,
                     {.stage = "createContainer",
                      .state = setup.request->hook_state("creating", ::getpid()),
                      .outputs = setup.request->hook_outputs});
}

Result<void> open_launch_console(LaunchSetup& setup) {
    setup.program.bind_console = setup.has_mount_namespace();
    return open_console(setup.program);
}

constexpr std::array kLaunchSteps = {
    Step<LaunchSetup>{
        .name = "namespaces", .prepare = open_joined_namespaces, .in_child = join_namespaces},
    Step<LaunchSetup>{.name = kIdMaps, .in_parent = write_id_maps, .in_child = become_root_inside},
    Step<LaunchSetup>{.name = "oom score", .in_parent = set_oom_score},
    Step<LaunchSetup>{.name = "cgroups", .in_child = join_cgroups},
    Step<LaunchSetup>{.name = "host name", .in_child = set_host_names},
    Step<LaunchSetup>{
        .name = "network", .in_parent = move_network_devices, .in_child = set_loopback_up},
    Step<LaunchSetup>{.name = "standard descriptors", .prepare = give_stdio_to_user},
    Step<LaunchSetup>{.name = "root", .prepare = open_root_source, .prepares_mounts = true},
    Step<LaunchSetup>{.name = "masks",
                      .prepare = build_mask_sources,
                      .prepares_mounts = true,
                      .in_child = attach_root},
    Step<LaunchSetup>{.name = "mounts", .prepare = open_mount_sources, .prepares_mounts = true},
    Step<LaunchSetup>{.name = "devices",
                      .prepare = build_dev,
                      .prepares_mounts = true,
                      .in_parent = map_mount_sources,
                      .in_child = attach_mounts},
    Step<LaunchSetup>{.name = "device nodes", .in_child = complete_dev},
    Step<LaunchSetup>{.name = "sysctl", .in_child = write_sysctls},
    Step<LaunchSetup>{.name = "masked and read-only paths", .in_child = protect_paths},
    Step<LaunchSetup>{.name = "hooks of the runtime", .in_child = run_hooks_of_runtime},
    Step<LaunchSetup>{.name = "createContainer hooks", .in_child = run_create_container_hooks},
    Step<LaunchSetup>{.name = "change of root", .in_child = change_root},
    Step<LaunchSetup>{.name = "console", .in_child = open_launch_console},
    Step<LaunchSetup>{.name = "read-only mounts", .in_child = finish_mounts},
    Step<LaunchSetup>{.name = "memory policy", .in_child = set_memory_policy},
};

constexpr std::array kProgramSteps = {
    Step<ProgramSetup>{.name = "keyring", .in_child = create_keyring},
    Step<ProgramSetup>{.name = "limits", .in_child = set_limits},
    Step<ProgramSetup>{.name = "scheduling", .in_child = set_scheduling},
    Step<ProgramSetup>{.name = "labels", .in_child = set_labels},
    Step<ProgramSetup>{.name = "descriptors", .in_child = close_host_descriptors},
    Step<ProgramSetup>{.name = "working directory", .in_child = enter_working_directory},
    Step<ProgramSetup>{.name = "user and capabilities", .in_child = change_user},
    Step<ProgramSetup>{.name = "working directory", .in_child = enter_working_directory_as_user},
    Step<ProgramSetup>{.name = "affinity", .in_child = set_final_affinity},
    Step<ProgramSetup>{.name = "program", .in_child = find_program},
};

template <typename Setup>
Result<void> run_steps(std::span<const Step<Setup>> steps, Setup& setup) {
    for (const auto& step : steps)
        if (step.in_child != nullptr) TRY(step.in_child(setup));
    return {};
}

Result<void> run_launch_steps(LaunchSetup& setup) {
    for (const auto& step : launch_steps()) {
        if (step.prepares_mounts && setup.mounts_in_child) {
            setup.is_inside = true;
            TRY(step.prepare(setup));
        }
        if (step.in_child != nullptr) TRY(step.in_child(setup));
    }
    return {};
}

/// Ignored signals and a mask would reach the program through execve(2).
void clear_signals() {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGCHLD})
        ::signal(signal, SIG_DFL);
}

Result<void> wait_for_start(const ProgramSetup& setup, int start_fifo) {
    if (start_fifo < 0) return setup.channel->wait_for_start();
    TRY(setup.channel->wait_for_created());
    char byte = 0;
    while (true) {
        const ssize_t count = ::read(start_fifo, &byte, 1);
        if (count == 1) return {};
        if (count < 0 && errno == EINTR) continue;
        return fail_errno(errno, "wait for start");
    }
}

/// From here to execve(2) nothing may fail for other reasons than its own.
Result<void> execute(ProgramSetup& setup) {
    const auto argv = exec_pointers(setup.process->args);
    const auto environment = exec_pointers(setup.environment);
    const auto first = static_cast<unsigned>(3 + setup.preserve_fds);
    if (::syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        return fail_errno(errno, "mark descriptors to be closed");
    if (setup.seccomp != nullptr && !setup.seccomp_is_loaded)
        TRY(with_context(kernel::install_seccomp(*setup.seccomp), "linux.seccomp"));
    ::execve(setup.program.c_str(), argv.data(), environment.data());
    return fail_errno(errno, "exec " + setup.program);
}

const ChildEnd* log_channel = nullptr;

}  // namespace

std::span<const Step<LaunchSetup>> launch_steps() {
    return kLaunchSteps;
}

std::span<const Step<ProgramSetup>> program_steps() {
    return kProgramSteps;
}

void log_through(const ChildEnd& channel) {
    log_channel = &channel;
    auto settings = log::settings();
    settings.sink = [](log::Level level, std::string_view text) {
        if (level >= log::settings().level) log_channel->send_log(level, text);
    };
    log::configure(settings);
}

void end_with_error(const ChildEnd& channel, const Error& error, bool is_started, int start_fifo) {
    channel.send_error(error);
    // `start` reads what is left in the fifo.
    if (is_started && start_fifo >= 0) (void)write_all(start_fifo, encode_error(error));
    // `create` has gone when `start` lets us run: the container's stderr is all that is left.
    if (is_started) (void)write_all(2, error.to_string() + "\n");
    ::_exit(1);
}

Result<void> run_program(ProgramSetup& setup, int start_fifo,
                         const std::function<Result<void>()>& before_exec) {
    setup.start_fifo = start_fifo;
    TRY(run_steps(program_steps(), setup));
    if (setup.seccomp_listener != nullptr) {
        TRY(confine_for_good(setup));
        TRY(install_with_listener(setup));
    }
    if (!setup.start_at_once) TRY(setup.channel->send_ready());
    TRY(wait_for_start(setup, start_fifo));
    setup.is_started = start_fifo >= 0;
    if (before_exec) TRY(before_exec());
    clear_signals();
    if (setup.seccomp_listener == nullptr) TRY(confine_for_good(setup));
    return execute(setup);
}

void run_launch_child(LaunchSetup& setup, const ChildEnd& channel) {
    log_through(channel);
    // close_host_descriptors() ends all of them.
    ClosedTogether closing;
    closing.abandon();
    setup.program.channel = &channel;
    const auto run = [&]() -> Result<void> {
        if (setup.waits_for_go) take_mapped_sources(setup, TRY(channel.wait_for_go()));
        // A terminal starts the session itself.
        if (!setup.plan->process.terminal && ::setsid() < 0)
            return fail_errno(errno, "start a session");
        TRY(run_launch_steps(setup));
        const auto& hooks = setup.plan->start_container_hooks;
        return run_program(setup.program, setup.request->start_fifo, [&]() -> Result<void> {
            if (hooks.empty()) return {};
            return run_hooks(hooks, {.stage = "startContainer",
                                     .state = setup.request->hook_state("created", ::getpid()),
                                     .outputs = setup.request->hook_outputs});
        });
    };
    const auto result = run();
    end_with_error(channel, result.error(), setup.program.is_started, setup.request->start_fifo);
}

}  // namespace hull::jail
