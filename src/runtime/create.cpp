#include "runtime/create.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include "base/closing.hpp"
#include "base/file.hpp"
#include "base/json_writer.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "kernel/terminal.hpp"
#include "runtime/create_cgroup.hpp"
#include "runtime/delete.hpp"
#include "runtime/hooks.hpp"
#include "runtime/intel_rdt.hpp"
#include "runtime/pause_point.hpp"
#include "runtime/plan_from_spec.hpp"
#include "runtime/sd_notify.hpp"
#include "spec/runtime_check.hpp"
#include "spec/runtime_json.hpp"

namespace hull::runtime {

Result<void> write_pid_file(const std::string& path, pid_t pid) {
    return with_context(write_file_atomically(path, std::to_string(pid)), "write the pid file");
}

Result<void> send_pidfd(const std::string& socket_path, int pidfd) {
    Fd socket = TRY(with_context(kernel::connect_console_socket(socket_path), "--pidfd-socket"));
    int fds[] = {pidfd};
    return with_context(send_with_fds(socket.get(), "pidfd", fds), "--pidfd-socket");
}

std::string format_process_state(const ContainerState& state, Status status, pid_t pid,
                                 const std::string& metadata) {
    pid_t first = state.process.pid > 0 ? state.process.pid : pid;
    JsonWriter out;
    out.begin_object();
    out.field("ociVersion", spec::kRuntimeSpecVersion);
    out.field("fds", std::vector<std::string>{"seccompFd"});
    out.field("pid", pid);
    out.optional_field("metadata", metadata);
    out.raw_field("state", format_oci_state(state, status, first));
    out.end_object();
    return out.take();
}

void add_seccomp_receiver(spec::RuntimeConfig& config) {
    constexpr const char* kAnnotation = "run.oci.seccomp.receiver";
    const char* path = ::getenv("RUN_OCI_SECCOMP_RECEIVER");
    if (path != nullptr && path[0] != '\0' && config.find_annotation(kAnnotation) == nullptr)
        config.annotations.emplace_back(kAnnotation, path);
}

namespace {

/// Socket activation, sd_listen_fds(3): the program is pid 1 of its container as it sees it.
void add_listen_environment(const CreateRequest& request, spec::Process& process) {
    if (request.listen_fds == 0) return;
    process.env.push_back("LISTEN_FDS=" + std::to_string(request.listen_fds));
    process.env.emplace_back("LISTEN_PID=1");
    if (!request.listen_fd_names.empty())
        process.env.push_back("LISTEN_FDNAMES=" + request.listen_fd_names);
}

Result<void> check_terminal(const CreateRequest& request, const spec::RuntimeConfig& config) {
    if (request.console_fd == kAnyConsole) return {};
    bool has_socket = !request.console_socket.empty() || request.console_fd >= 0;
    if (config.process->terminal && !has_socket)
        return fail(Errc::invalid,
                    "cannot allocate tty if hull-runtime will detach without setting console "
                    "socket: process.terminal is true",
                    "give --console-socket, or set process.terminal to false");
    if (!config.process->terminal && has_socket)
        return fail(Errc::invalid,
                    "cannot use console socket if hull-runtime will not detach or allocate tty: "
                    "process.terminal is false",
                    "leave --console-socket out, or set process.terminal to true");
    return {};
}

}  // namespace

Result<Prepared> prepare(const Settings& settings, const CreateRequest& request) {
    TRY(check_container_id(request.id));
    Prepared prepared;
    prepared.bundle = TRY(with_context(absolute_path(request.bundle), "bundle"));
    std::string path = request.config.empty() ? join_path(prepared.bundle, "config.json")
                                              : TRY(absolute_path(request.config));
    prepared.document = TRY(
        read_config(settings, TRY(spec::read_runtime_config(path)), path, request.read_seccomp));
    spec::RuntimeConfig& config = prepared.document.config;
    add_seccomp_receiver(config);
    TRY(spec::refuse_violations(spec::check_runtime_config(config)));
    if (config.linux_.intel_rdt) TRY(with_context(kernel::find_resctrl(), "linux.intelRdt"));
    TRY(check_terminal(request, config));
    add_listen_environment(request, *config.process);
    if (request.has_notify_socket) add_notify_socket(config, join_path(settings.root, request.id));
    prepared.plan = TRY(plan_from_spec(config, {.id = request.id,
                                                .bundle = prepared.bundle,
                                                .no_pivot = request.no_pivot,
                                                .no_new_keyring = request.no_new_keyring}));
    return prepared;
}

namespace {

class Creation {
  public:
    Creation(const Settings& settings, const CreateRequest& request, const Prepared& prepared,
             Container container)
        : settings_(settings),
          request_(request),
          prepared_(prepared),
          container_(std::move(container)) {}

    Result<Created> run() {
        auto process = make();
        if (!process) {
            undo();
            return fail(std::move(process).error());
        }
        return Created{std::move(container_), std::move(*process), std::move(cgroup_)};
    }

  private:
    Result<void> make_host_side() {
        const ClosedTogether closing;
        pause_point("directory_made");
        TRY(record());
        TRY(make_files());
        pause_point("state_saved");
        TRY(make_cgroup());
        pause_point("cgroup_made");
        TRY(create_intel_rdt(prepared_.document.config, container_.state));
        seccomp_ = TRY(seccomp_program(settings_, prepared_.document, prepared_.plan));
        return {};
    }

    Result<jail::Launched> make() {
        TRY(make_host_side());
        Fd fifo;
        if (request_.waits_in_fifo) fifo = TRY(make_fifo());
        Fd console = TRY(connect_console());
        hook_files_ = TRY(open_hook_files(container_.state.annotations));
        jail::LaunchRequest launch = launch_request();
        launch.seccomp = seccomp_ ? &*seccomp_ : nullptr;
        launch.start_fifo = fifo.get();
        launch.console_socket = console ? console.get() : request_.console_fd;
        launch.start_at_once = can_start_at_once();
        jail::Launched process = TRY(jail::launch(launch));
        keeper_.reset();
        pause_point("launched");
        auto announced = announce(process);
        if (!announced) {
            (void)kernel::send_signal(process.pidfd.get(), SIGKILL);
            (void)kernel::wait_for_pidfd(process.pidfd.get());
            return fail(std::move(announced).error());
        }
        return process;
    }

    /// Nobody waits for the word between "created" and "started".
    bool can_start_at_once() const {
        return !request_.waits_in_fifo && request_.pid_file.empty() &&
               request_.pidfd_socket.empty() && !request_.has_notify_socket &&
               pidfd_receiver() == nullptr;
    }

    /// crun's --pidfd-socket, of times when it had none.
    const std::string* pidfd_receiver() const {
        return prepared_.document.config.find_annotation("run.oci.pidfd_receiver");
    }

    /// What `delete` must know if this command is killed.
    Result<void> record() {
        ContainerState& state = container_.state;
        state.oci_version = spec::kRuntimeSpecVersion;
        state.bundle = prepared_.bundle;
        state.rootfs = prepared_.plan.root.path;
        state.created = format_timestamp(std::chrono::system_clock::now());
        state.boot_id = TRY(read_boot_id());
        state.is_rootless = settings_.is_rootless();
        state.keeps_keyring = request_.no_new_keyring;
        state.owns_pid_namespace = prepared_.plan.makes_new(jail::NamespaceKind::pid);
        state.annotations = prepared_.document.config.annotations;
        state.poststart_hooks = prepared_.document.config.hooks.poststart;
        state.poststop_hooks = prepared_.document.config.hooks.poststop;
        TRY(plan_cgroup(settings_, prepared_.document.config, state));
        TRY(plan_intel_rdt(prepared_.document.config, state));
        return container_.save();
    }

    Result<void> make_files() {
        TRY(container_.save_config(prepared_.document.text));
        if (request_.has_notify_socket) TRY(make_notify_directory(container_.directory()));
        return {};
    }

    Result<void> make_cgroup() {
        auto made = TRY(create_cgroup(settings_, prepared_.document.config, container_.state));
        cgroup_ = std::move(made.cgroup);
        delegated_ = std::move(made.delegated);
        bool is_elsewhere = made.keeper.has_value();
        if (made.keeper) keeper_.emplace(std::move(*made.keeper));
        // The paths are as planned, and saved, but for systemd's.
        return is_elsewhere ? container_.save() : Result<void>{};
    }

    Result<Fd> make_fifo() const {
        std::string path = container_.fifo_path();
        if (::mkfifo(path.c_str(), 0600) < 0) return fail_errno(errno, "make " + path);
        return open_path(path, O_RDWR);
    }

    Result<Fd> connect_console() const {
        if (request_.console_socket.empty()) return Fd{};
        return with_context(kernel::connect_console_socket(request_.console_socket),
                            "--console-socket");
    }

    jail::LaunchRequest launch_request() {
        jail::LaunchRequest launch;
        launch.plan = &prepared_.plan;
        if (cgroup_) {
            launch.cgroup_v1_tasks = cgroup_->v1_tasks();
            launch.cgroup_v2_directory = cgroup_->v2_directory();
            launch.cgroup_views = cgroup_views(cgroup_->paths());
        }
        launch.cgroup_v2_delegated = delegated_.get();
        launch.hook_outputs = hook_files_.outputs();
        launch.preserve_fds = request_.preserve_fds;
        launch.on_child = [this](pid_t pid) { return on_child(pid); };
        const auto& hooks = prepared_.document.config.hooks;
        if (!hooks.prestart.empty() || !hooks.create_runtime.empty())
            launch.run_hooks = [this](jail::HookStage stage, pid_t pid) {
                return run_stage(stage, pid);
            };
        launch.hook_state = [this](std::string_view status, pid_t pid) {
            return format_oci_state(container_.state,
                                    status == "created" ? Status::created : Status::creating, pid);
        };
        launch.seccomp_listener_state = [this](pid_t pid) {
            return format_process_state(container_.state, Status::creating, pid,
                                        prepared_.plan.seccomp_listener_metadata);
        };
        return launch;
    }

    Result<void> on_child(pid_t pid) {
        pause_point("child_made");
        auto stat = TRY(kernel::read_process_stat(pid));
        container_.state.process = {.pid = pid, .start_time = stat.start_time};
        TRY(container_.save());
        TRY(join_intel_rdt(container_.state));
        pause_point("pid_saved");
        return {};
    }

    Result<void> run_stage(jail::HookStage stage, pid_t pid) {
        bool is_prestart = stage == jail::HookStage::prestart;
        const auto& hooks = prepared_.document.config.hooks;
        hooks_ran_ = true;
        pause_point("hooks");
        return run_hooks(is_prestart ? hooks.prestart : hooks.create_runtime,
                         {.stage = is_prestart ? "prestart" : "createRuntime",
                          .state = format_oci_state(container_.state, Status::creating, pid),
                          .directory = prepared_.bundle,
                          .annotations = &container_.state.annotations});
    }

    Result<void> announce(const jail::Launched& process) const {
        if (!request_.pidfd_socket.empty())
            TRY(send_pidfd(request_.pidfd_socket, process.pidfd.get()));
        if (const auto* receiver = pidfd_receiver())
            TRY(send_pidfd(*receiver, process.pidfd.get()));
        if (!request_.pid_file.empty()) TRY(write_pid_file(request_.pid_file, process.pid));
        return {};
    }

    void undo() {
        auto removed = destroy_container(container_, {.run_poststop_hooks = hooks_ran_});
        if (!removed) log::warning("clean up after the failure: " + removed.error().to_string());
    }

    const Settings& settings_;
    const CreateRequest& request_;
    const Prepared& prepared_;
    Container container_;
    std::optional<kernel::Cgroup> cgroup_;
    std::optional<ScopeKeeper> keeper_;
    Fd delegated_;  ///< cgroup.procs of the cgroup that the container manages itself
    HookFiles hook_files_;
    std::optional<kernel::SeccompProgram> seccomp_;
    bool hooks_ran_ = false;
};

}  // namespace

Result<Created> create_container(const Settings& settings, const CreateRequest& request,
                                 const Prepared& prepared) {
    Container container = TRY(Container::create(settings.root, request.id));
    return Creation{settings, request, prepared, std::move(container)}.run();
}

}  // namespace hull::runtime
