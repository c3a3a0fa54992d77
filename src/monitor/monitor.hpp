#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "monitor/client.hpp"
#include "monitor/handover.hpp"
#include "monitor/log_file.hpp"
#include "monitor/rootfs.hpp"
#include "monitor/settings.hpp"
#include "monitor/status.hpp"
#include "monitor/stdio.hpp"

namespace hull::monitor {

/// What a monitor begins with.
struct MonitorStart {
    Handover handover;
    Fd control;  ///< the first client: who started this monitor; may be closed
    /// What was entered while the settings were on their way.
    std::optional<Result<HostMounts>> mounts;
    Idmap idmap;
    std::optional<Result<void>> rootfs;  ///< how mounting it ahead of the settings went
    /// hull-runtime's whole program, for settings that ask for it.
    int (*own_runtime)(std::span<const std::string> args) = nullptr;
};

/// The one process that stands by a container (or an exec session) from before it is made until
/// after it ended: it owns its mounts, its stdio or terminal, its log, its attach socket and its
/// status file, reaps it, and runs the on-exit command. One thread, one poll(2) loop.
class Monitor {
  public:
    explicit Monitor(MonitorStart start);

    /// Until the container has ended and the on-exit work is done.
    /// @return  the exit code of this process
    int run();

  private:
    /// What the monitor waits for next, in this order.
    enum class Stage {
        runtime,  ///< the runtime makes the container
        held,     ///< it exists; a `start` frame starts it
        running,
        deleting,  ///< it ended; the runtime removes what it made
        owner,     ///< the owner does the on-exit work
        on_exit,   ///< the on-exit command does
        flushing,  ///< slow readers get the rest
        done,
    };

    Result<void> prepare();
    Result<void> enter_namespaces();
    Result<void> mount_and_seed();
    void leave_mounts();
    Result<void> start_runtime();
    Result<void> run_runtime(std::vector<std::string> args, bool with_stdio);
    void fail_container(Error error);
    Error runtime_error();

    void loop();
    void handle_children();
    void on_runtime_ended(int wait_status);
    void on_started();
    void on_container_ended(int wait_status);
    bool delete_container();
    void on_deleted();
    void finish_or_hand_over();
    void run_on_exit();
    void flush_or_end();

    void accept_client();
    void serve(Client& client);
    void handle_frame(Client& client, const Frame& frame);
    void greet(Client& client);
    void broadcast(FrameType type, std::string_view payload = {});
    void acknowledge_stdin();
    bool has_owner() const;
    bool has_slow_reader() const;
    void drop_closed_clients();

    bool forward(int fd, Stream stream);
    void forward_rest();
    void signal_container(int signal);
    void save();

    MonitorSettings settings_;
    Fd lock_;
    std::optional<Result<HostMounts>> mounts_;  ///< until they are left
    Idmap idmap_;
    std::optional<Result<void>> rootfs_;
    int (*own_runtime_)(std::span<const std::string> args);
    std::vector<std::unique_ptr<Client>> clients_;
    Fd signals_;
    Fd listener_;
    std::optional<Stdio> stdio_;
    std::optional<LogFile> log_;
    Status status_;
    Stage stage_ = Stage::runtime;
    bool starting_held_ = false;  ///< `runtime start` is at work
    bool owner_is_done_ = false;  ///< with the on-exit work
    std::optional<Error> failure_;
    pid_t helper_ = 0;                ///< the runtime's or on-exit command's process
    std::map<pid_t, int> reaped_;     ///< ended before we knew the container's pid
    std::vector<int> early_signals_;  ///< came before there was a process to send them to
    std::string memory_events_;       ///< file that counts OOM kills
};

}  // namespace hull::monitor
