#include "monitor/monitor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "kernel/process.hpp"
#include "monitor/oom.hpp"
#include "monitor/rootfs.hpp"
#include "monitor/tied_process.hpp"

namespace hull::monitor {
namespace {

std::string now() {
    return format_timestamp(std::chrono::system_clock::now());
}

int shell_code(int wait_status) {
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/// SIGCHLD, and what a terminal or a service manager may send: the container has its own.
Result<Fd> create_signal_fd() {
    sigset_t watched;
    sigemptyset(&watched);
    for (int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT})
        sigaddset(&watched, signal);
    if (::sigprocmask(SIG_BLOCK, &watched, nullptr) < 0) return fail_errno(errno, "block signals");
    Fd fd(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) return fail_errno(errno, "make a signalfd");
    // A container may close its stdin at any time.
    std::signal(SIGPIPE, SIG_IGN);
    return fd;
}

}  // namespace

Monitor::Monitor(MonitorStart start)
    : settings_(std::move(start.handover.settings)),
      lock_(std::move(start.handover.lock)),
      mounts_(std::move(start.mounts)),
      idmap_(std::move(start.idmap)),
      rootfs_(std::move(start.rootfs)),
      own_runtime_(start.own_runtime) {
    status_.boot_id = boot_id();
    status_.monitor_pid = ::getpid();
    if (!start.control) return;
    clients_.push_back(
        std::make_unique<Client>(std::move(start.control), std::move(start.handover.received)));
    Client& starter = *clients_.back();
    starter.said_hello = true;  // it may say more later; output is kept for it from now on
    starter.wants = kWantsOutput;
    while (auto frame = starter.next_frame())
        handle_frame(starter, *frame);
}

int Monitor::run() {
    auto prepared = prepare();
    if (prepared) prepared = start_runtime();
    if (!prepared) fail_container(std::move(prepared).error());
    while (stage_ != Stage::done)
        loop();
    if (settings_.remove_directory) (void)remove_tree(settings_.directory);
    return failure_ ? 1 : 0;
}

Result<void> Monitor::prepare() {
    signals_ = TRY(create_signal_fd());
    TRY(kernel::set_child_subreaper(true));
    if (::chdir(settings_.directory.c_str()) < 0)
        return fail_errno(errno, "enter " + settings_.directory);
    listener_ = TRY(listen_in(".", kAttachSocket));
    log_ = TRY(LogFile::create(settings_.log));
    TRY(with_context(enter_namespaces(), "make the container's mount namespace"));
    if (settings_.rootfs) TRY(mount_and_seed());
    stdio_ = TRY(Stdio::create(settings_));
    return {};
}

Result<void> Monitor::enter_namespaces() {
    if (settings_.join_user_namespace_of != 0)
        return join_user_namespace_of(settings_.join_user_namespace_of);
    if (!settings_.rootfs) return {};
    if (!mounts_) mounts_ = enter_mount_namespace(settings_.rootless);
    return *mounts_ ? Result<void>() : fail((*mounts_).error());
}

Result<void> Monitor::mount_and_seed() {
    if (!rootfs_) rootfs_ = mount_rootfs(*settings_.rootfs, idmap_);
    if (!*rootfs_) return fail((*rootfs_).error());
    TRY(seed_volumes(*settings_.rootfs, settings_.seeds, idmap_));
    TRY(with_context(mount_etc_files(settings_.etc), "make the container's /etc files"));
    idmap_.mapped.reset();
    return {};
}

/// Nothing is done in the container's mounts any more; it has a mount namespace of its own. Freeing
/// ours takes a moment, which nobody waits for while the container runs.
void Monitor::leave_mounts() {
    if (!mounts_ || !*mounts_) return;
    HostMounts host = std::move(**mounts_);
    mounts_.reset();
    if (!host.mount_namespace) return unmount_all(settings_);
    auto left = return_to_host(std::move(host));
    if (left && ::chdir(settings_.directory.c_str()) < 0)
        left = fail_errno(errno, "enter " + settings_.directory);
    if (!left) log::error("leave the container's mounts: " + left.error().to_string());
}

Result<void> Monitor::run_runtime(std::vector<std::string> args, bool with_stdio) {
    SpawnRequest request;
    request.program = settings_.runtime.front();
    request.args.assign(settings_.runtime.begin() + 1, settings_.runtime.end());
    for (const char* text : {"--log", "", "--log-format", "json"})
        request.args.emplace_back(text);
    request.args[request.args.size() - 3] = join_path(settings_.directory, kRuntimeLog);
    request.args.insert(request.args.end(), args.begin(), args.end());
    if (with_stdio) request.fds = stdio_->runtime_fds();
    if (settings_.own_runtime && own_runtime_ != nullptr) {
        auto work = [&] { return own_runtime_(request.args); };
        helper_ = TRY(with_context(
            fork_process({.name = "hull-runtime", .work = work, .fds = request.fds, .tied = true}),
            "start the runtime"));
        return {};
    }
    helper_ = TRY(with_context(spawn_tied(request), "start the runtime"));
    return {};
}

Result<void> Monitor::start_runtime() {
    std::vector<std::string> args;
    if (!settings_.exec_container.empty())
        args = {"exec", "--detach", "--process", join_path(settings_.directory, kProcessFile)};
    else if (settings_.hold_start)
        args = {"create", "--bundle", settings_.directory};
    else
        args = {"run", "--detach", "--bundle", settings_.directory};
    args.insert(args.end(), {"--pid-file", join_path(settings_.directory, "pid")});
    if (settings_.terminal)
        args.insert(args.end(),
                    {"--console-socket", join_path(settings_.directory, kConsoleSocket)});
    args.push_back(settings_.exec_container.empty() ? settings_.id : settings_.exec_container);
    TRY(run_runtime(std::move(args), true));
    stdio_->close_runtime_ends();
    return {};
}

/// The runtime's own words, from its log, else from what it wrote to the container's stderr.
Error Monitor::runtime_error() {
    std::string fallback = "the runtime " + settings_.runtime.front() + " failed without a word";
    if (stdio_ && stdio_->err() >= 0) {
        std::array<char, 4096> text{};
        ssize_t got = ::read(stdio_->err(), text.data(), text.size());
        if (got > 0) {
            auto lines = split_lines(trim({text.data(), static_cast<size_t>(got)}));
            if (!lines.empty()) fallback = std::string(lines.back());
        }
    }
    auto log = read_file(join_path(settings_.directory, kRuntimeLog));
    return make_error(Errc::internal, last_runtime_error(log ? *log : "", fallback));
}

void Monitor::fail_container(Error error) {
    status_.phase = Phase::failed;
    status_.finished_at = now();
    status_.error = encode_error(error);
    failure_ = std::move(error);
    if (stdio_) {
        stdio_->close_out();
        stdio_->close_err();
        stdio_->stop_waiting_for_terminal();
    }
    stage_ = Stage::deleting;
    // A runtime that failed cleans up by itself; this is for one that was killed on the way.
    bool has_runtime_state = (helper_ != 0 || status_.pid != 0) && settings_.exec_container.empty();
    helper_ = 0;
    if (!has_runtime_state || !delete_container()) on_deleted();
}

void Monitor::save() {
    auto saved = save_status(settings_.directory, status_);
    if (!saved) log::error("save the status of " + settings_.id + ": " + saved.error().to_string());
}

void Monitor::handle_children() {
    std::array<signalfd_siginfo, 16> ignored{};
    while (::read(signals_.get(), ignored.data(), sizeof ignored) > 0) {
    }
    int wait_status = 0;
    std::optional<int> helper_ended;
    std::optional<int> container_ended;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &wait_status, WNOHANG)) > 0;) {
        if (pid == helper_)
            helper_ended = wait_status;
        else if (pid == status_.pid)
            container_ended = wait_status;
        else if (status_.pid == 0)
            reaped_[pid] = wait_status;
    }
    if (helper_ended) {
        helper_ = 0;
        if (stage_ == Stage::runtime || stage_ == Stage::held)
            on_runtime_ended(*helper_ended);
        else if (stage_ == Stage::deleting)
            on_deleted();
        else if (stage_ == Stage::on_exit)
            flush_or_end();
    }
    if (container_ended) on_container_ended(*container_ended);
}

void Monitor::on_runtime_ended(int wait_status) {
    if (wait_status != 0) {
        helper_ = -1;  // there may be something to delete
        return fail_container(runtime_error());
    }
    if (starting_held_) return on_started();
    if (stdio_->awaits_terminal())
        if (auto taken = stdio_->accept_terminal(); !taken)
            return fail_container(std::move(taken).error());
    auto text = read_file("pid");
    auto pid = text ? parse_number<pid_t>(trim(*text)) : std::nullopt;
    if (!pid) {
        helper_ = -1;
        return fail_container(make_error(Errc::internal, "the runtime left no pid file"));
    }
    status_.pid = *pid;
    status_.pid_start = process_start_time(*pid);
    if (settings_.watch_oom) memory_events_ = find_memory_events(*pid);
    if (!settings_.hold_start) return on_started();
    status_.phase = Phase::created;
    stage_ = Stage::held;
    save();
    broadcast(FrameType::created, std::to_string(*pid));
}

void Monitor::on_started() {
    status_.phase = Phase::running;
    status_.started_at = now();
    stage_ = Stage::running;
    save();
    broadcast(FrameType::started, std::to_string(status_.pid));
    for (int signal : std::exchange(early_signals_, {}))
        signal_container(signal);
    leave_mounts();
    auto early = reaped_.find(status_.pid);
    if (early != reaped_.end()) on_container_ended(early->second);
    reaped_.clear();
}

void Monitor::on_container_ended(int wait_status) {
    if (stage_ != Stage::running && stage_ != Stage::held) return;
    if (stage_ == Stage::held && helper_ != 0) {
        // `runtime start` is still at work: its own word about the failure comes first.
        reaped_[status_.pid] = wait_status;
        return;
    }
    forward_rest();
    log_->flush(std::chrono::system_clock::now());
    status_.phase = Phase::exited;
    status_.exit_code = shell_code(wait_status);
    status_.finished_at = now();
    if (!memory_events_.empty()) status_.oom_killed = count_oom_kills(memory_events_) > 0;
    // Clients hear of it at once: an owner does its work while the runtime does its own. What is in
    // the status file they know when they hear of `deleted`, and that all is over when this process
    // closes the connection.
    broadcast(FrameType::exited, std::to_string(status_.exit_code));
    stage_ = Stage::deleting;
    bool is_deleting = settings_.exec_container.empty() && delete_container();
    save();
    if (!is_deleting) on_deleted();
}

/// Not tied to this process: what it has begun it shall finish.
bool Monitor::delete_container() {
    SpawnRequest request;
    request.program = settings_.runtime.front();
    request.args.assign(settings_.runtime.begin() + 1, settings_.runtime.end());
    request.args.insert(request.args.end(), {"delete", "--force", settings_.id});
    auto started = settings_.own_runtime && own_runtime_ != nullptr
                       ? fork_process({.name = "hull-runtime",
                                       .work = [&] { return own_runtime_(request.args); }})
                       : spawn(request);
    if (!started) {
        log::error("remove the container: " + started.error().to_string());
        return false;
    }
    helper_ = *started;
    return true;
}

void Monitor::on_deleted() {
    if (failure_) {
        save();
        broadcast(FrameType::failed, status_.error);
    }
    log_.reset();
    broadcast(FrameType::deleted);
    finish_or_hand_over();
}

void Monitor::finish_or_hand_over() {
    if (owner_is_done_) return flush_or_end();
    if (has_owner()) {
        stage_ = Stage::owner;
        return;
    }
    run_on_exit();
}

void Monitor::run_on_exit() {
    stage_ = Stage::on_exit;
    if (settings_.on_exit.empty()) return flush_or_end();
    leave_mounts();
    SpawnRequest request;
    request.program = settings_.on_exit.front();
    request.args.assign(settings_.on_exit.begin() + 1, settings_.on_exit.end());
    auto started = spawn(request);
    if (!started) {
        log::error("run the on-exit command: " + started.error().to_string());
        return flush_or_end();
    }
    helper_ = *started;
}

void Monitor::flush_or_end() {
    bool pending = std::ranges::any_of(
        clients_, [](const auto& client) { return client->is_open() && client->has_pending(); });
    stage_ = pending ? Stage::flushing : Stage::done;
}

void Monitor::signal_container(int signal) {
    if (stage_ == Stage::runtime)
        early_signals_.push_back(signal);
    else if (stage_ == Stage::running || stage_ == Stage::held)
        ::kill(status_.pid, signal);
}

bool Monitor::forward(int fd, Stream stream) {
    static std::array<char, 65536> buffer;
    ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got <= 0) {  // EIO: the last slave of a terminal was closed
        if (stream == Stream::out)
            stdio_->close_out();
        else
            stdio_->close_err();
        return false;
    }
    std::string_view bytes(buffer.data(), static_cast<size_t>(got));
    log_->append(stream, bytes, std::chrono::system_clock::now());
    auto type = stream == Stream::out ? FrameType::stdout_data : FrameType::stderr_data;
    for (const auto& client : clients_)
        if ((client->wants & kWantsOutput) != 0) client->send(type, bytes);
    return true;
}

/// All processes of the container are dead when its first one has been reaped (its pid namespace
/// is), so what the pipes hold now is all there will ever be.
void Monitor::forward_rest() {
    auto drain = [&](int fd, Stream stream) {
        pollfd ready{fd, POLLIN, 0};
        while (fd >= 0 && ::poll(&ready, 1, 0) > 0 && forward(fd, stream)) {
        }
    };
    drain(stdio_->out(), Stream::out);
    drain(stdio_->err(), Stream::err);
    stdio_->close_out();
    stdio_->close_err();
}

}  // namespace hull::monitor
