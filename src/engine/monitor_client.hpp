#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "monitor/attach.hpp"
#include "monitor/handover.hpp"
#include "monitor/settings.hpp"
#include "monitor/status.hpp"

namespace hull::engine {

/// A connection to a monitor's attach socket.
class MonitorConnection {
  public:
    explicit MonitorConnection(Fd socket) : socket_(std::move(socket)) {}
    /// @errors not_found, io: there is no monitor any more
    static Result<MonitorConnection> connect(const std::string& run_directory, uint8_t wants);

    int fd() const { return socket_.get(); }
    /// @errors io: the monitor is gone
    Result<void> send(monitor::FrameType type, std::string_view payload = {});
    /// The next frame. Waits at most `timeout` (nullopt: for ever).
    /// @return  nullopt: the monitor is gone
    /// @errors timeout
    Result<std::optional<monitor::Frame>> receive(
        std::optional<std::chrono::milliseconds> timeout = std::nullopt);
    /// A frame that has arrived already.
    Result<std::optional<monitor::Frame>> next_buffered() { return reader_.next(); }
    /// Reads once from the socket without waiting; false: the monitor is gone.
    Result<bool> read_more();

  private:
    Fd socket_;
    monitor::FrameReader reader_;
};

/// A hull-monitor that was started early and waits for its settings. It ends with this object,
/// which waits for that, unless it was put to work.
class IdleMonitor {
  public:
    static Result<IdleMonitor> start(monitor::Purpose purpose);
    IdleMonitor(IdleMonitor&& other) noexcept = default;
    IdleMonitor& operator=(IdleMonitor&&) = delete;
    ~IdleMonitor();

    /// Lets it mount the root file system while the rest of its settings is found out.
    Result<void> mount(const monitor::RootfsSettings& rootfs);
    /// Takes the run directory's lock for it and hands over the settings: at no moment does a
    /// living monitor look dead.
    /// @param wants  of the first client, which the connection is
    Result<MonitorConnection> put_to_work(const monitor::MonitorSettings& settings, uint8_t wants);

  private:
    IdleMonitor(pid_t pid, Fd socket) : pid_(pid), socket_(std::move(socket)) {}
    pid_t pid_;
    Fd socket_;  ///< closed: it is at work
};

/// Whether the monitor of this run directory lives (its lock is held).
bool is_monitor_alive(const std::string& run_directory);

}  // namespace hull::engine
