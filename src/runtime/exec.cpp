#include "runtime/exec.hpp"

#include <csignal>

#include "base/file.hpp"
#include "base/text.hpp"
#include "jail/launch.hpp"
#include "kernel/terminal.hpp"
#include "runtime/container.hpp"
#include "runtime/create.hpp"
#include "runtime/foreground.hpp"
#include "runtime/pause_point.hpp"
#include "runtime/plan_from_spec.hpp"
#include "runtime/systemd_scope.hpp"
#include "spec/runtime_check.hpp"
#include "spec/runtime_json.hpp"

namespace hull::runtime {
namespace {

Result<uint32_t> parse_id(std::string_view text, std::string_view what) {
    // CVE-2026-30892: what is not wholly a number is no id.
    auto id = parse_number<uint32_t>(text);
    if (!id || *id == UINT32_MAX)
        return fail(Errc::invalid, std::string{what} + " " + quote(text) + " is not a number",
                    "names are not looked up: give the id, as 1000 or 1000:1000");
    return *id;
}

Result<void> set_user(const ExecRequest& request, spec::User& user) {
    if (!request.user.empty()) {
        size_t colon = request.user.find(':');
        user.uid = TRY(parse_id(std::string_view{request.user}.substr(0, colon), "--user: uid"));
        if (colon != std::string::npos)
            user.gid =
                TRY(parse_id(std::string_view{request.user}.substr(colon + 1), "--user: gid"));
    }
    for (const auto& text : request.additional_gids)
        for (auto part : split(text, ','))
            user.additional_gids.push_back(TRY(parse_id(part, "--additional-gids:")));
    return {};
}

void add_capabilities(const ExecRequest& request, spec::Process& process) {
    if (request.capabilities.empty()) return;
    if (!process.capabilities) process.capabilities.emplace();
    spec::Capabilities& sets = *process.capabilities;
    for (const auto& name : request.capabilities) {
        sets.bounding.push_back(name);
        sets.effective.push_back(name);
        sets.permitted.push_back(name);
        // Ambient ones must be inheritable too, and --cap makes nothing inheritable.
        if (!sets.inheritable.empty()) {
            sets.inheritable.push_back(name);
            sets.ambient.push_back(name);
        }
    }
}

Result<spec::Process> process_from_options(const ExecRequest& request, spec::Process process) {
    if (request.args.empty())
        return fail(Errc::invalid, "exec args cannot be empty", "give the command after the id");
    process.args = request.args;
    if (!request.cwd.empty()) process.cwd = request.cwd;
    if (!request.apparmor.empty()) process.apparmor_profile = request.apparmor;
    if (!request.process_label.empty()) process.selinux_label = request.process_label;
    if (request.no_new_privileges) process.no_new_privileges = *request.no_new_privileges;
    process.terminal = request.tty;
    for (const auto& variable : request.env)
        process.env.push_back(variable);
    add_capabilities(request, process);
    TRY(set_user(request, process.user));
    return process;
}

Result<spec::Process> wanted_process(const ExecRequest& request,
                                     const spec::RuntimeConfig& config) {
    spec::Process process;
    if (!request.process_file.empty()) {
        std::string text = TRY(read_file(request.process_file));
        process = TRY(spec::parse_process(text, request.process_file));
        // crun's callers give a file and --tty.
        process.terminal = process.terminal || request.tty;
    } else {
        process = TRY(process_from_options(request, config.process.value_or(spec::Process{})));
    }
    if (request.listen_fds > 0) {
        process.env.push_back("LISTEN_FDS=" + std::to_string(request.listen_fds));
        process.env.emplace_back("LISTEN_PID=1");
    }
    TRY(spec::refuse_violations(spec::check_process(process)));
    return process;
}

Result<void> check_status(const Container& container, const ExecRequest& request) {
    Status status = TRY(container.status());
    if (status == Status::stopped || status == Status::creating)
        return fail(Errc::conflict, "cannot exec in a " + std::string{status_name(status)} +
                                        " container: container not running: " + request.id);
    if (status == Status::paused && !request.ignore_paused)
        return fail(Errc::conflict, "cannot exec in a paused container: " + request.id,
                    "use --ignore-paused to override");
    return {};
}

Result<kernel::CgroupPaths> wanted_cgroups(const Container& container, const ExecRequest& request) {
    kernel::CgroupPaths paths = container.state.cgroups;
    if (request.cgroups.empty()) return paths;
    kernel::CgroupPaths joined = paths;
    for (const auto& sub : request.cgroups) {
        auto part = TRY(with_context(kernel::sub_cgroup_paths(paths, sub), "--cgroup"));
        if (!part.v2.empty()) joined.v2 = part.v2;
        for (const auto& [name, path] : part.v1)
            for (auto& [known, place] : joined.v1)
                if (known == name) place = path;
    }
    return joined;
}

/// A process that joins gets a Landlock domain beside the container's, not within it: with the same
/// scopes it could not signal the container's processes or connect to their sockets. Where the
/// container has a namespace of its own, the scope hides nothing more, and is left out.
std::optional<jail::LandlockPlan> landlock_of_joining(const jail::Plan& container) {
    auto plan = container.landlock;
    if (!plan) return plan;
    if (container.makes_new(jail::NamespaceKind::pid)) plan->scope_signals = false;
    if (container.makes_new(jail::NamespaceKind::network)) plan->scope_abstract_sockets = false;
    const bool restricts = plan->scope_signals || plan->scope_abstract_sockets ||
                           plan->restrict_files || plan->restrict_tcp;
    if (!restricts) plan.reset();
    return plan;
}

class Exec {
  public:
    Exec(const Settings& settings, const ExecRequest& request, Container container)
        : settings_(settings), request_(request), container_(std::move(container)) {}

    Result<int> run() {
        pidfd_ = TRY(container_.open_process());
        const std::string path = container_.config_path();
        auto document =
            TRY(read_config(settings_, TRY(read_file(path)), path, ReadSeccomp::if_not_cached));
        spec::RuntimeConfig& config = document.config;
        add_seccomp_receiver(config);
        auto process = TRY(wanted_process(request_, config));
        TRY(check_terminal(process));
        config.process.reset();  // the plan of `process` says what is wrong with it
        container_plan_ =
            TRY(plan_from_spec(config, {.id = request_.id, .bundle = container_.state.bundle}));
        plan_ = TRY(plan_process(process));
        seccomp_ = TRY(seccomp_program(settings_, document, container_plan_));
        plan_.keep_original_groups = container_plan_.process.keep_original_groups;
        return request_.detach ? run_detached() : run_attached();
    }

  private:
    Result<void> check_terminal(const spec::Process& process) const {
        if (process.terminal && request_.detach && request_.console_socket.empty())
            return fail(Errc::invalid,
                        "cannot allocate tty if hull-runtime will detach without setting console "
                        "socket",
                        "give --console-socket, or leave --detach out");
        if (!process.terminal && !request_.console_socket.empty())
            return fail(Errc::invalid, "--console-socket: the process has no terminal",
                        "add --tty");
        return {};
    }

    Result<jail::Launched> launch(int console_socket) {
        if (container_.state.is_rootless && !container_.state.systemd_unit.empty())
            TRY(enter_user_scope());
        auto process = launch_in(TRY(wanted_cgroups(container_, request_)), console_socket);
        bool may_try_other =
            !process && process.error().sys_errno == EBUSY && request_.cgroups.empty();
        if (!may_try_other) return process;
        // v2: a cgroup that hands on controllers takes no process; the container's first process
        // has then moved into one below.
        auto moved = TRY(kernel::cgroup_paths_of(container_.state.process.pid));
        return launch_in(moved, console_socket);
    }

    Result<jail::Launched> launch_in(const kernel::CgroupPaths& paths, int console_socket) {
        jail::JoinRequest join;
        join.target_pidfd = pidfd_.get();
        join.target_pid = container_.state.process.pid;
        for (const auto& entry : container_plan_.namespaces)
            join.namespaces.push_back(entry.kind);
        join.process = &plan_;
        join.id_map = container_plan_.id_map;
        join.personality = container_plan_.personality;
        join.landlock = landlock_of_joining(container_plan_);
        join.new_session_keyring = !container_.state.keeps_keyring;
        std::optional<kernel::Cgroup> cgroup;
        if (!paths.empty()) {
            cgroup = TRY(with_context(kernel::Cgroup::open(paths, kernel::CgroupUse::join),
                                      "open the container's cgroup"));
            join.cgroup_v1_tasks = cgroup->v1_tasks();
            join.cgroup_v2_directory = cgroup->v2_directory();
        }
        join.seccomp = seccomp_ ? &*seccomp_ : nullptr;
        if (container_plan_.seccomp && container_plan_.seccomp->uses_notify()) {
            join.seccomp_listener_path = container_plan_.seccomp_listener_path;
            join.seccomp_listener_state = [this](pid_t pid) {
                return format_process_state(container_.state, Status::running, pid,
                                            container_plan_.seccomp_listener_metadata);
            };
        }
        join.console_socket = console_socket;
        join.preserve_fds = request_.preserve_fds + request_.listen_fds;
        join.container_id = request_.id;
        join.start_at_once = request_.pid_file.empty() && request_.pidfd_socket.empty();
        return jail::join(join);
    }

    Result<void> announce(const jail::Launched& process) const {
        if (!request_.pidfd_socket.empty())
            TRY(send_pidfd(request_.pidfd_socket, process.pidfd.get()));
        if (!request_.pid_file.empty()) TRY(write_pid_file(request_.pid_file, process.pid));
        return {};
    }

    Result<void> announce_and_start(jail::Launched& process) {
        pause_point("joined");
        auto done = announce(process);
        if (done) done = process.start();
        if (done) return done;
        (void)kernel::send_signal(process.pidfd.get(), SIGKILL);
        (void)kernel::wait_for_pidfd(process.pidfd.get());
        return done;
    }

    Result<Fd> connect_console() const {
        if (request_.console_socket.empty()) return Fd{};
        return with_context(kernel::connect_console_socket(request_.console_socket),
                            "--console-socket");
    }

    Result<int> run_detached() {
        Fd console = TRY(connect_console());
        auto process = TRY(launch(console.get()));
        TRY(announce_and_start(process));
        return 0;
    }

    Result<int> run_attached() {
        Fd console = TRY(connect_console());
        Foreground foreground =
            TRY(Foreground::create({.has_terminal = plan_.terminal && !console}));
        foreground.set_console_size(plan_);
        auto process = TRY(launch(console ? console.get() : foreground.console_socket()));
        TRY(announce_and_start(process));
        auto ended = TRY(foreground.stay_with(process.pid, process.pidfd.get(), std::nullopt));
        return ended.shell_code();
    }

    const Settings& settings_;
    const ExecRequest& request_;
    Container container_;
    Fd pidfd_;
    jail::Plan container_plan_;
    jail::ProcessPlan plan_;
    std::optional<kernel::SeccompProgram> seccomp_;
};

}  // namespace

Result<int> exec_in_container(const Settings& settings, const ExecRequest& request) {
    Container container = TRY(Container::open(settings.root, request.id));
    TRY(check_status(container, request));
    return Exec{settings, request, std::move(container)}.run();
}

}  // namespace hull::runtime
